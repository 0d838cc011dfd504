# SPDX-License-Identifier: Apache-2.0
"""What holdfast-est does on the wire that Python's TLS cannot show: the exporter's value, a proxy;
and what the process is allowed while it waits."""
import base64
import contextlib
import os
import re
import select
import socket
import subprocess
import threading

import pytest
from cryptography.x509.oid import AttributeOID

from badest import ROOT_CA, SERVER_CERT, SUB_CA, BadEst, Request, certs, issue, own, stop_listening
from estlib import EST, client_cert, enroll, environment, run
from keeperlib import ROOT, until
from realbroker import RealBroker


@pytest.fixture(scope="module")
def broker():
    b = RealBroker()
    b.start()
    b.algorithms()
    b.add_key("dev")
    yield b
    b.close()


class SServer:
    """openssl s_server, which tells the keying material; we write its answers."""

    def __init__(self, folder, *more):
        args = ["openssl", "s_server", "-accept", "0", "-naccept", "1", "-cert",
                own(SERVER_CERT.pem, folder, "s.pem"), "-key", own(SERVER_CERT.key_pem, folder, "s.key"),
                "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32", *more]
        env = {k: v for k, v in os.environ.items() if not k.startswith("OPENSSL_")}
        self.p = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, env=env)
        self.text = b""
        self.port = int(self.read(rb"ACCEPT [^\n]*:(\d+)\r?\n")[1])
        self.url = "https://localhost:%d" % self.port

    def read(self, pattern):
        """Waits for @pattern in what it prints, and takes it away with all before it."""
        while not (found := re.search(pattern, self.text, re.S)):
            assert select.select([self.p.stdout], [], [], 20)[0], self.text
            piece = os.read(self.p.stdout.fileno(), 65536)
            assert piece, self.text
            self.text += piece
        self.text = self.text[found.end():]
        return found

    def answer(self, data):
        self.p.stdin.write(data)
        self.p.stdin.flush()

    def close(self):
        self.p.kill()
        self.p.wait()
        self.p.stdin.close()
        self.p.stdout.close()


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_exporter(broker, tmp_path, version):
    """RFC 9266: both sides compute the same value, with the label and the length it says."""
    server, results = SServer(tmp_path, version), []
    try:
        client = threading.Thread(target=lambda: results.append(run(enroll(
            server, binding="tls-exporter", csrattrs="ignore"), broker)))
        client.start()
        material = server.read(rb"Keying material: ([0-9A-F]+)")[1].decode()
        server.read(rb"GET /.well-known/est/cacerts HTTP/1.1.*?\r\n\r\n")
        server.answer(certs(ROOT_CA.der, SUB_CA.der))
        head = server.read(rb"POST /\S+ HTTP/1.1.*?Content-Length: (\d+).*?\r\n\r\n")
        body = server.read(rb".{%d}" % int(head[1]))[0]
        request = Request("POST", "/simpleenroll", {}, body, None)
        server.answer(certs(issue(request).der, SUB_CA.der))
        client.join(20)
        assert results and results[0]["status"] == "ok", results
        said = [a for a in request.csr.attributes if a.oid == AttributeOID.CHALLENGE_PASSWORD]
        assert base64.b64decode(said[0].value).hex() == material.lower()
    finally:
        server.close()


# ---------------------------------------------------------------- a proxy

class Proxy:
    """CONNECT and nothing else."""

    def __init__(self, refuse=False):
        self.asked, self.refuse = [], refuse
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],),
                                 daemon=True).start()

    def serve(self, s):
        with contextlib.suppress(OSError), s:
            head = b""
            while b"\r\n\r\n" not in head:
                head += s.recv(4096)
            self.asked.append(head.decode())
            if self.refuse:
                s.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
                return
            host, port = head.split()[1].decode().rsplit(":", 1)
            with socket.create_connection((host, int(port))) as to:
                s.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    for one in select.select([s, to], [], [])[0]:
                        piece = one.recv(65536)
                        if not piece:
                            return
                        (to if one is s else s).sendall(piece)

    def close(self):
        stop_listening(self.listener, self.acceptor)


@pytest.mark.parametrize("refuse,status", [(False, "ok"), (True, "network")])
def test_proxy(broker, refuse, status):
    proxy = Proxy(refuse)
    with BadEst() as server:
        result = run(enroll(server, proxy=proxy.url,
                            auth={"basic": {"username": "estuser", "password": "estpwd"}}), broker)
        assert result["status"] == status, result
        assert proxy.asked and all(a.startswith("CONNECT localhost:%d " % server.port)
                                   for a in proxy.asked)
        # what the server is told is not the proxy's business
        assert not re.search("authorization|pkcs10|estuser", str(proxy.asked), re.I)
    proxy.close()


# ---------------------------------------------------------------- the process

@pytest.mark.plain
def test_process_is_confined_before_the_first_packet(broker):
    import json
    with BadEst(raw=lambda server, s: server.done.wait(20)) as server:
        p = subprocess.Popen([EST], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, env=environment(broker))
        p.stdin.write(json.dumps(enroll(server, timeout_ms=20000)).encode())
        p.stdin.close()
        until(lambda: server.threads)  # it has connected
        with open("/proc/%d/status" % p.pid) as f:
            status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1"), status
        with open("/proc/%d/limits" % p.pid) as f:
            limits = f.read()
        assert re.search(r"Max core file size\s+0 ", limits) and \
            re.search(r"Max address space\s+536870912 ", limits), limits
        with open("/proc/%d/cmdline" % p.pid, "rb") as f:
            assert f.read() == EST.encode() + b"\0"
        p.kill()
        p.wait()
        p.stdout.close()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b"\xff" * 100, b" " * 1100000,
                                  b'{"version":1,"op":"cacerts","url":"https://a","trust":{"mode":"x"}}'],
                         ids=["nothing", "brace", "list", "empty", "no-utf8", "long", "mode"])
def test_job_that_is_none(text):
    assert run(text)["status"] == "job"


def test_arguments_are_refused():
    p = subprocess.run([EST, "--password", "secret"], capture_output=True, text=True, env=environment(None))
    assert p.returncode == 2 and "docs/EST.md" in p.stderr and "secret" not in p.stderr


def test_no_broker(tmp_path):
    class Nobody:
        path = str(tmp_path / "s")
    result = run(enroll(None, url="https://localhost:1"), Nobody())
    assert result["status"] == "key" and str(tmp_path) in result["message"], result


def test_broker_goes_away_before_the_handshake():
    """That is no fault of the server's TLS: the same job again may work."""
    b = RealBroker()
    b.start()
    b.algorithms()
    for name in ("dev", "cl"):
        b.add_key(name)

    def last_answer(r):
        b.stop()
        return certs(ROOT_CA.der, SUB_CA.der, Connection="close")
    auth = {"tls": {"cert_pem": client_cert(b).pem, "key": "holdfast:cl"}}
    with BadEst({"cacerts": last_answer}, clients=ROOT_CA) as server:
        result = run(enroll(server, auth=auth), b)
        assert result["status"] == "key" and "holdfast:cl" in result["message"], result
    b.tpm.close()


def test_environment_is_not_read(broker):
    """No proxy, no store, no configuration that the job does not name."""
    with BadEst() as server:
        bad = "http://127.0.0.1:1"
        result = run(enroll(server), broker, https_proxy=bad, HTTPS_PROXY=bad, all_proxy=bad,
                     ALL_PROXY=bad, SSL_CERT_FILE="/nonexistent", OPENSSL_CONF="/nonexistent",
                     NETRC="/nonexistent", HOME="/nonexistent", CURL_HOME="/nonexistent")
        assert result["status"] == "ok", result


def test_what_a_request_looks_like(broker):
    """What libest and others insist on (RFC 8951; research: exact type, wrapped lines, a length)."""
    with BadEst(label := {}) as server:
        assert run(enroll(server, url=server.url + "/.well-known/est/label-1/"), broker)["status"] == "ok"
        r = server.requests[-1]
        assert label == {} and r.path == "/.well-known/est/label-1/simpleenroll"
        assert r.headers["content-type"] == "application/pkcs10"
        assert "expect" not in r.headers and "transfer-encoding" not in r.headers
        assert int(r.headers["content-length"]) == len(r.body)
        lines = r.body.split(b"\n")
        assert lines[-1] == b"" and all(len(line) == 64 for line in lines[:-2])
        assert r.csr.is_signature_valid


def test_every_test_that_the_document_names_exists():
    tests = ""
    for folder in ("system", "unit"):
        for name in os.listdir(os.path.join(ROOT, "tests", folder)):
            if name.startswith(("test_est_", "test_agent_est", "test_schedule")):
                with open(os.path.join(ROOT, "tests", folder, name)) as f:
                    tests += f.read()
    with open(os.path.join(ROOT, "docs", "EST.md")) as f:
        table = f.read().split("point by point")[1]
    points = re.findall(r"^\| (\d+(?:, \d+)*) \|", table, re.M)
    assert [int(n) for p in points for n in p.split(", ")] == list(range(1, 34))
    named = re.findall(r"\b(test_(?!est_|agent_|schedule)\w+)", table)
    assert len(named) > 40
    for name in named:
        assert re.search(r"\b%s" % name, tests), name
