# SPDX-License-Identifier: Apache-2.0
"""The provider inside a program that forks, has threads, closes descriptors and exits."""
import concurrent.futures
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from keeperlib import until
from provider_env import BUILD, ORDERS, UNCONFIGURED, Openssl, fake, openssl, short_dir  # noqa: F401
from realbroker import RealBroker

HOST = f"{BUILD}/tests/system/provider-host"


@pytest.fixture
def host(fake, openssl):  # noqa: F811
    for name, algorithm in (("ec", "ec-p256"), ("rsa", "rsa-2048"), ("ed", "ed25519")):
        fake.add_key(name, algorithm)

    def run(command, uri="holdfast:ec", n=1, timeout=120, **env):
        # what is alive at exit is no leak; everything else that a sanitizer finds is
        leaks = "0" if command == "live-exit" else "1"
        r = openssl.run(HOST, command, uri, str(n), timeout=timeout,
                        env={"ASAN_OPTIONS": f"detect_leaks={leaks}:abort_on_error=1", **env})
        assert r.code == 0, r.errors
        assert r.errors == ""
        return r
    return run


@pytest.mark.parametrize("key", ["ec", "rsa", "ed"])
@pytest.mark.parametrize("from_file", [False, True])
def test_key_semantics(host, openssl, key, from_file):  # noqa: F811
    host("semantics", openssl.reference(key) if from_file else f"holdfast:{key}")


@pytest.mark.parametrize("order", sorted(ORDERS))
def test_error_queue_is_left_clean(fake, tmp_path, order):  # noqa: F811
    openssl = Openssl(str(tmp_path), fake.path, order)  # noqa: F811
    fake.add_key("ec")
    openssl("genpkey", "-algorithm", "RSA", "-out", "soft.pem")
    for key in ("holdfast:ec", openssl.reference("ec"), "soft.pem"):
        r = openssl.run(HOST, "sign", key, "2")
        assert r.code == 0, (key, r.errors)


@pytest.mark.parametrize("key", ["ec", "rsa", "ed"])
def test_contexts(host, fake, key):  # noqa: F811
    host("contexts", f"holdfast:{key}")
    assert fake.count("sign") == 2


def test_contexts_of_a_ca_key(host, fake):  # noqa: F811
    """The whole message travels; the broker here takes anything that is not a certificate."""
    fake.add_key("ca", "ec-p256", "ca")
    host("contexts", "holdfast:ca")


def test_one_request_per_signature_one_connection_per_process(host, fake):  # noqa: F811
    host("sign", n=50)
    assert fake.count("sign") == 50
    assert fake.count("key_get") == 1
    assert fake.connections == 1


def test_prefork(host, fake):  # noqa: F811
    host("prefork", n=32)
    # each child has a connection of its own, besides the parent's
    assert fake.connections == 32 + 1 + 32


def test_threads_share_one_connection(host, fake):  # noqa: F811
    host("threads", n=64)
    assert fake.count("sign") == 64 * 20
    assert fake.connections == 1


def test_threads_when_the_broker_is_slow_and_dies(host, fake):  # noqa: F811
    for fault in ("close", "busy", "delay:0.2", "unavailable", "wrong-id", "garbage"):
        fake.faults.extend([fault] + [None] * 60)
    host("threads", n=16)


@pytest.mark.plain
def test_threads_when_the_broker_hangs(host, openssl, short_dir):  # noqa: F811
    """A call takes 15 s at most, and a connection is made by one thread at a time."""
    ref = openssl.reference("ec")
    path = f"{short_dir}/hung"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(path)
        s.listen(8)
        host("hung", ref, 17, HOLDFAST_SOCKET=path)


# the sanitizer's own allocator is not safe over fork() in a program with threads (gcc 12)
@pytest.mark.plain
def test_fork_in_the_middle(host):
    host("midfork", n=50)


def test_thousand_times_loaded_and_unloaded(host, fake):  # noqa: F811
    """Out of the process's memory, each time; and with the sanitizer nothing is left there."""
    host("unload", n=1000, timeout=300, **UNCONFIGURED)
    assert fake.count("sign") == 1000 and fake.connections == 1000


def test_exit_with_live_objects(host):
    host("live-exit")


def test_descriptors_closed_behind_our_back(host):
    host("closed-fds")


def test_no_standard_streams(host):
    host("no-stdio")


def test_nothing_is_inherited_over_exec(host):
    assert host("exec", n=1).text == host("exec", n=0).text


@pytest.fixture(scope="module")
def tpm():
    b = RealBroker().start()
    b.add_key("ec")
    b.add_key("rsa", "rsa-2048")
    yield b
    b.close()


@pytest.fixture
def tpm_openssl(tpm, tmp_path):
    return Openssl(str(tmp_path), tpm.path, "dropin")


@pytest.mark.parametrize("command,n", [("semantics", 1), ("contexts", 1), ("sign", 20),
                                       ("prefork", 16), ("threads", 64), ("live-exit", 1),
                                       ("closed-fds", 1)])
@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_on_a_tpm(tpm_openssl, key, command, n):
    r = tpm_openssl.run(HOST, command, f"holdfast:{key}", str(n), timeout=120,
                        env={"ASAN_OPTIONS": "detect_leaks=0"})
    assert r.code == 0, r.errors


def test_unload_with_a_tpm(tpm_openssl):
    r = tpm_openssl.run(HOST, "unload", "holdfast:ec", "5", env=UNCONFIGURED)
    assert r.code == 0, r.errors


def test_a_key_that_is_not_there_is_named_once(tpm_openssl):
    """By the broker or by us, as an administrator sees it."""
    r = tpm_openssl.fails("pkey", "-in", "holdfast:nobody", "-pubout")
    assert r.errors.count("key nobody: no such key;") == 1 and r.errors.count("nobody:") == 1, r.errors


def test_more_processes_than_connections(tpm, tpm_openssl):
    """A hundred workers of one user, all alive, with the limits that we ship: 64 connections. None
    fails, and none waits for another to end."""
    before = tpm.call(status_get={}).status_reply.busy
    began = time.monotonic()
    r = tpm_openssl.run(HOST, "crowd", "holdfast:ec", "100", timeout=120)
    assert r.code == 0, r.errors
    assert time.monotonic() - began < 30
    assert tpm.call(status_get={}).status_reply.connections <= 64
    assert tpm.call(status_get={}).status_reply.busy == before


def test_more_keys_than_a_tpm_has_slots(tpm, tpm_openssl):
    """Which are three. Eight processes at a time, each with a key of its own."""
    for n in range(40):
        tpm.add_key(f"many-{n}")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: tpm_openssl.run(HOST, "sign", f"holdfast:many-{n}", "5"),
                             range(40)))
    assert [r.errors for r in done if r.code] == []
    for code in ("0x902", "0x903"):  # object memory, session memory
        assert code not in tpm.logged()


def keepers(broker):
    """Process ids of the keepers below a broker."""
    r = subprocess.run(["pgrep", "-s", "0", "-f", "holdfast-keeper"], capture_output=True,
                       text=True)
    mine = []
    for pid in r.stdout.split():
        try:
            with open(f"/proc/{pid}/stat") as f:
                state, parent = f.read().rsplit(")", 1)[1].split()[:2]
        except FileNotFoundError:
            continue
        if state != "Z" and parent == str(broker.process.pid):
            mine.append(int(pid))
    return mine


def test_keeper_is_killed_under_load(tpm, tpm_openssl):
    p = subprocess.Popen([HOST, "threads", "holdfast:ec", "32"], env=tpm_openssl.environ,
                         stderr=subprocess.PIPE, text=True)
    killed = 0
    while p.poll() is None and killed < 2:
        before = tpm.call(status_get={}).status_reply.operations
        until(lambda: p.poll() is not None or
              tpm.call(status_get={}).status_reply.operations > before + 50)
        if p.poll() is None:
            for pid in keepers(tpm):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
    errors = p.stderr.read()
    assert p.wait(60) == 0, errors + tpm.logged()[-2000:]
    assert killed, "the load was over before a keeper could be killed"


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_broker_restarts_under_load(tpm, tpm_openssl, key):
    """Told to end and killed, again and again, while 16 threads sign: each signature comes."""
    p = subprocess.Popen([HOST, "load", f"holdfast:{key}", "16"], env=tpm_openssl.environ,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)

    def signed():
        return tpm.logged().count('op="sign"')

    assert p.stdout.readline() == "loaded\n"
    for how in (signal.SIGTERM, signal.SIGKILL) * 3:
        before = signed()
        until(lambda: signed() > before + 50 or p.poll() is not None)
        if p.poll() is not None:
            break  # what it has to say is looked at below
        tpm.stop(how)
        tpm.start()
    errors = p.communicate(timeout=60)[1]
    assert p.returncode == 0, errors + tpm.logged()[-2000:]


class Steps:
    """A process that signs when it is told to."""

    def __init__(self, openssl, uri):  # noqa: F811
        self.p = subprocess.Popen([HOST, "step", uri, "0"], env=openssl.environ, cwd=openssl.dir,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)

    def sign(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        return self.p.stdout.readline().strip()

    def end(self):
        self.p.stdin.close()
        errors = self.p.stderr.read()
        assert self.p.wait(30) == 0, errors
        return errors


def test_broker_restarts_between_signatures(host, fake, openssl):  # noqa: F811
    s = Steps(openssl, "holdfast:ec")
    for _ in range(5):
        assert s.sign() == "ok"
        fake.stop()
        fake.start()
    assert s.end() == ""


def test_broker_comes_back_late(host, fake, openssl):  # noqa: F811
    """The signature that is asked for while the broker is away waits for it."""
    s = Steps(openssl, "holdfast:ec")
    assert s.sign() == "ok"
    fake.stop()
    timer = threading.Timer(0.7, fake.start)
    timer.start()
    assert s.sign() == "ok"
    timer.join()
    assert s.end() == ""


def test_broker_stays_away(host, fake, openssl):  # noqa: F811
    s = Steps(openssl, "holdfast:ec")
    assert s.sign() == "ok"
    fake.stop()
    assert s.sign() == "failed"
    assert s.sign() == "failed"  # at once: the time to heal is over
    fake.start()
    assert s.sign() == "ok"
    errors = s.end()
    assert "key ec" in errors and fake.path in errors and "is holdfastd running?" in errors
