# SPDX-License-Identifier: Apache-2.0
"""The metrics' socket, and the log that nobody reads."""
import contextlib
import fcntl
import os
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

from brokerlib import HOLDFASTD, Broker, Client, WithFakeKeeper
from keeperlib import Swtpm, pb, until

SAMPLE = re.compile(r'^holdfast_([a-z_]+)(\{[a-z]+="[^"\n]*"(?:,[a-z]+="[^"\n]*")*\})? ([0-9.]+)$')


def with_metrics(kind=WithFakeKeeper, mode=0o600, **more):
    b = kind(**more)
    b.metrics = os.path.join(b.dir, "run", "metrics.sock")
    b.settings["metrics"] = [{"name": "metrics", "path": b.metrics, "owner": "", "group": "",
                              "mode": mode}]
    b.configure()
    return b


def get(b):
    """Every sample of the page as curl gets it; the format is checked on the way."""
    p = subprocess.run(["curl", "-sS", "--max-time", "20", "--unix-socket", b.metrics,
                        "http://localhost/metrics"], capture_output=True, text=True, check=True)
    return parse(p.stdout)


def parse(page):
    samples, types = {}, {}
    assert page.endswith("\n")
    for line in page.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in types and kind in ("counter", "gauge", "histogram")
            types[name] = kind
        elif not line.startswith("# HELP "):
            m = SAMPLE.match(line)
            assert m, line
            base = re.sub("_(bucket|sum|count)$", "", m[1])
            assert "holdfast_" + m[1] in types or types["holdfast_" + base] == "histogram"
            assert m[1] + (m[2] or "") not in samples
            samples[m[1] + (m[2] or "")] = float(m[3])
    return samples


def test_what_is_counted():
    with with_metrics() as b:
        c = b.client()
        c.create("k")
        for _ in range(3):
            assert c.sign("k").status == pb.OK
        assert c.sign("nothing").status == pb.NO_KEY
        s = get(b)
        assert s['operations_total{op="sign",result="OK"}'] == 3
        assert s['operations_total{op="sign",result="NO_KEY"}'] == 1
        assert s['operations_total{op="key-create",result="OK"}'] == 1
        assert s["denials_total"] == 1 and s["busy_total"] == 0 and s["log_lines_lost_total"] == 0
        assert s["connections"] == 1 and s["connections_total"] == 1 and s["keys"] == 1
        assert s["audit_lines_total"] >= 5
        assert s["received_bytes_total"] > 100 and s["sent_bytes_total"] > 100
        assert s['operation_seconds_count{op="sign"}'] == 4
        assert s['operation_seconds_bucket{op="sign",le="+Inf"}'] == 4
        buckets = [v for k, v in s.items() if k.startswith('operation_seconds_bucket{op="sign"')]
        assert buckets == sorted(buckets) and len(buckets) == 13
        assert s['keeper_restarts_total{token="tpm"}'] == 0 and s['token_ready{token="tpm"}'] == 1
        os.kill(b.pid("python3"), signal.SIGKILL)
        until(lambda: get(b)['keeper_restarts_total{token="tpm"}'] == 1)


def test_queue_and_busy():
    limits = {"connections": 10, "connections_per_principal": 2, "queue_per_principal": 6, "idle_s": 0}
    with with_metrics(limits=limits) as b:
        c, first = b.client(), b.client()
        other = b.client(hello=False)
        assert other.reply().status == pb.BUSY  # the two have only just come
        first.call(status_get=pb.StatusGet())
        other = b.client()
        assert first.sock.recv(1) == b""
        c.create("k")
        b.mood("sign:hang")
        for _ in range(8):
            c.send(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="ecdsa-sha256", data=b"d" * 32))
        assert [c.reply().status for _ in range(2)] == [pb.BUSY] * 2
        s = get(b)
        assert s['queue_depth{token="tpm"}'] == 4 and s['keeper_requests{token="tpm"}'] == 2
        assert s["busy_total"] == 2 and s["connections_refused_total"] == 1
        assert s["connections_displaced_total"] == 1
        assert s["waiting_bytes"] > 0
        other.close()


def test_of_a_tpm():
    """Exactly one command for a signature, once the key is in the TPM."""
    with contextlib.closing(Swtpm()) as tpm, with_metrics(Broker, tcti=tpm.tcti) as b:
        c = b.client()
        assert c.create("k").status == pb.OK
        assert c.sign("k").status == pb.OK
        before = get(b)['tpm_commands_total{token="tpm"}']
        for _ in range(20):
            assert c.sign("k").status == pb.OK
        s = get(b)
        assert s['tpm_commands_total{token="tpm"}'] == before + 20 and before > 5
        assert s['tpm_lockout_counter{token="tpm"}'] == 0


def test_socat_gets_the_page_bare_and_others_get_told():
    with with_metrics() as b:
        p = subprocess.run(["socat", "-", "UNIX-CONNECT:" + b.metrics], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=20, check=True)
        assert parse(p.stdout)["keys"] == 0
        with socket.socket(socket.AF_UNIX) as s:  # says nothing, and keeps its end open
            s.connect(b.metrics)
            assert s.recv(65536).startswith(b"# HELP holdfast_build_info")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(b.metrics)
            s.send(b"POST / HTTP/1.1\r\n\r\n")
            assert s.recv(65536).startswith(b"HTTP/1.1 405 ")
        assert stat.S_IMODE(os.stat(b.metrics).st_mode) == 0o600


def test_hostile_readers_hurt_nobody():
    """Readers that say nothing, never read, send rubbish, or come without end."""
    with with_metrics() as b, contextlib.ExitStack() as held:
        c = b.client()
        c.create("k")
        fds = "/proc/%d/fd" % b.pid("holdfastd")
        before = len(os.listdir(fds))
        for i in range(200):
            s = held.enter_context(socket.socket(socket.AF_UNIX))
            s.settimeout(20)
            s.connect(b.metrics)
            if i % 3 == 1:
                s.send(b"GET / HTTP/1.1\r\n\r\n")
            elif i % 3 == 2:
                with contextlib.suppress(OSError):
                    s.send(os.urandom(5000))
            started = time.monotonic()
            assert c.sign("k").status == pb.OK
            assert time.monotonic() - started < 1
        until(lambda: len(os.listdir(fds)) == before)
        assert get(b)['operations_total{op="sign",result="OK"}'] == 200


def test_systemd_hands_it_over(tmp_path):
    """As [Socket] ListenStream= with FileDescriptorName=metrics does."""
    with with_metrics() as b:
        b.stop()
        path = str(tmp_path / "m")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen()
            code = ("import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update("
                    "LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='metrics'); "
                    "os.execv(sys.argv[2], sys.argv[2:])")
            p = subprocess.Popen(["/usr/bin/python3", "-c", code, str(s.fileno()), HOLDFASTD,
                                  "--root", b.dir, "--keeper", b.keeper], pass_fds=[s.fileno()],
                                 stderr=subprocess.DEVNULL)
        try:
            b.metrics = path
            assert get(b)["keys"] == 0
        finally:
            p.terminate()
            assert p.wait(20) == 0


@pytest.mark.parametrize("where", ["a full disk", "a pipe without a reader"])
def test_lines_that_cannot_be_written_are_counted(where):
    with with_metrics() as b:
        b.stop()
        read, write = os.pipe()
        if where == "a full disk":
            os.close(write)
            write = os.open("/dev/full", os.O_WRONLY)
        p = subprocess.Popen([HOLDFASTD, "--root", b.dir, "--keeper", b.keeper], stderr=write,
                             stdout=subprocess.DEVNULL)
        os.close(write)
        os.close(read)
        try:
            until(lambda: os.path.exists(b.socket))
            c = Client(b.socket)
            assert c.create("k").status == c.sign("k").status == pb.OK
            got = get(b)
            assert got["log_lines_lost_total"] >= got["audit_lines_total"] >= 2, got
        finally:
            p.terminate()
            p.wait()


def narrow_pipe():
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 16384)
    return read, write


def narrow_socket():
    """As journald has it, but small."""
    read, write = socket.socketpair()
    write.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    return read.detach(), write.detach()


@pytest.mark.parametrize("narrow", [narrow_pipe, narrow_socket])
def test_a_log_that_nobody_reads_stops_nobody(narrow):
    """Lines that standard error does not take are lost and counted; the next one says how many."""
    with with_metrics() as b:
        b.stop()
        read, write = narrow()
        p = subprocess.Popen([HOLDFASTD, "--root", b.dir, "--keeper", b.keeper], stderr=write,
                             stdout=subprocess.DEVNULL)
        os.close(write)
        try:
            until(lambda: os.path.exists(b.socket))
            c = Client(b.socket)
            c.create("k")
            for _ in range(200):
                assert c.sign("k").status == pb.OK
            lost = get(b)["log_lines_lost_total"]
            assert lost > 100
            assert c.call(status_get=pb.StatusGet()).status_reply.lines_lost >= lost
            lost = get(b)["log_lines_lost_total"]
            text = os.read(read, 65536).decode()
            assert c.sign("k").status == pb.OK
            until(lambda: get(b)["audit_lines_total"] >= 202)
            text += os.read(read, 65536).decode()
            told = re.search(r"holdfastd: (\d+) lines before this one were lost\n", text)
            assert told and int(told[1]) == lost
            numbers = [int(n) for n in re.findall(r"audit seq=(\d+) ", text)]
            assert numbers[-1] - numbers[-2] == lost + 1  # and the gap in seq says the same
        finally:
            p.terminate()
            assert p.wait(20) == 0
            os.close(read)
