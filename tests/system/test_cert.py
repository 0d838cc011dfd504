# SPDX-License-Identifier: Apache-2.0
"""holdfast cert and status: with an agent, without one, and with one that is told what to say."""
import json
import os
import pty
import pwd
import socket
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import agentlib
import guides
from clilib import CLI, ENV, Home, Running
from estpki import Cert
from fakeagent import FakeAgent

OK = {"id": "edge-ca", "state": "ok", "not_after": 1893456000, "last": {"result": "ok", "message": ""}}


@pytest.fixture(scope="module", name="dev")
def fixture_dev():
    with agentlib.Device() as d:
        d.until(lambda: d.credential("edge-ca")["state"] == "ok")
        yield d


@pytest.fixture(scope="module", name="home")
def fixture_home():
    h = Home()
    h.run("config", "apply")
    yield h
    h.close()


@pytest.fixture(scope="module", name="run")
def fixture_run():
    r = Running()
    yield r
    r.close()


def test_list(dev):
    shown = dev.json("cert", "list", "--root", dev.dir)
    [c] = shown["certificates"]
    said = dev.credential("edge-ca")
    assert shown["agent_running"] and c["id"] == "edge-ca" and c["state"] == "ok" and c["quickstart"]
    assert (c["key"], c["token"]) == ("edge-ca", "tpm")
    assert c["subject"] == c["issuer"] == "CN=" + dev.cert().subject.rfc4514_string()[3:]
    assert c["spki_sha256"] == said["spki_sha256"] and c["sha256"] == dev.fingerprint()
    assert c["next"] > c["not_before"] and c["next"] < c["not_after"] and c["last"] == said["last"]["result"]
    text = dev.cli("cert", "list", "--root", dev.dir).stdout
    assert c["subject"] in text and "not for production" in text and "does not run" not in text


def test_show(dev):
    shown = dev.json("cert", "show", "edge-ca", "--root", dev.dir)
    assert shown["generation"]["state"] == "current" and shown["generation"]["sha256"] == shown["spki_sha256"]
    assert len(shown["chain"]) == 1 and shown["renewals"] >= 0 and shown["renew"]["enabled"]
    assert dev.json("cert", "show", "aziot-edged-ca", "--root", dev.dir)["id"] == "edge-ca"  # as IoT Edge calls it
    text = dev.cli("cert", "show", "edge-ca", "--root", dev.dir).stdout
    assert shown["serial"] in text and dev.path("edge-ca.pem") in text
    assert "did you mean 'edge-ca'" in dev.cli("cert", "show", "edge-cb", "--root", dev.dir, code=2).stderr


def test_status(dev):
    shown = dev.json("status", "--root", dev.dir)
    assert shown["agent_running"] and shown["clock"]["trusted"] and shown["errors"] == []
    assert shown["tokens"][0]["state"] == "ready" and [k["name"] for k in shown["key_list"]] == ["edge-ca"]
    assert shown["certificates"][0]["state"] == "ok"
    text = dev.cli("status", "--root", dev.dir).stdout
    for words in ("agent: running; the clock is trusted", "tpm2", "ready", "edge-ca", "ec-p256", "not for production"):
        assert words in text
    assert len(text.split("\n")) < 25


def test_without_an_agent(dev):
    """What the files tell, and that nobody renews them."""
    dev.stop_agent()
    try:
        shown = dev.json("cert", "list", "--root", dev.dir)
        assert not shown["agent_running"] and shown["certificates"][0]["state"] == "ok"
        assert "does not run" in dev.cli("cert", "list", "--root", dev.dir).stdout
        shown = dev.json("status", "--root", dev.dir)
        assert [e["what"] for e in shown["errors"]] == ["agent"] and "clock" not in shown
        os.rename(dev.path("edge-ca.pem"), dev.path("away"))
        assert dev.json("cert", "list", "--root", dev.dir)["certificates"][0]["state"] == "missing"
        os.rename(dev.path("away"), dev.path("edge-ca.pem"))
    finally:
        dev.start_agent()


def test_without_a_broker(home):
    """Certificates are shown all the same; the exit status tells."""
    certs = home.path("certs")
    os.makedirs(certs, exist_ok=True)
    with open(os.path.join(certs, "edge-ca.pem"), "w") as f:
        f.write(Cert("old", ca=True, begins=-9, days=-1).pem)
    shown = home.json("status", code=4)
    assert {e["what"] for e in shown["errors"]} == {"broker", "agent", "edge-ca"}
    assert shown["certificates"][0]["state"] == "expired" and shown["tokens"] == []
    text = home.run("status", code=4).out
    assert "broker: not running" in text and "expired" in text
    with open(os.path.join(certs, "edge-ca.pem"), "w") as f:
        f.write("-----BEGIN CERTIFICATE-----\nMIIB\n")
    assert home.json("cert", "list")["certificates"][0]["state"] == "damaged"


def test_without_anything():
    h = Home()
    try:
        assert "config apply" in h.run("cert", "list", code=4).err
        h.write("not JSON", "etc/agent.json")
        assert "agent.json" in h.run("cert", "show", "edge-ca", code=1).err
    finally:
        h.close()


def test_who_may_not_read_the_configuration(dev):
    """agent.json has secrets; status.json is for everybody."""
    conf = os.path.join(dev.dir, "etc", "agent.json")
    os.rename(conf, conf + ".away")
    try:
        [c] = dev.json("cert", "list", "--root", dev.dir)["certificates"]
        assert c["id"] == "edge-ca" and c["state"] == "ok" and c["key"] == "edge-ca"
    finally:
        os.rename(conf + ".away", conf)


# ---------------------------------------------------------------- what the agent is asked

def socket_of(home):
    path = home.path("run", "agent", "certd.sock")
    if os.path.exists(path):
        os.unlink(path)
    return path


def test_renew_and_reset(home):
    with FakeAgent(socket_of(home), lambda *_: (200, OK)) as agent:
        assert home.json("cert", "renew", "edge-ca")["state"] == "ok"
        home.run("cert", "renew", "edge-ca", "--rotate-key", "--no-wait")
        home.run("cert", "renew", "aziot-edged-ca", "--same-key")
        p = home.run("cert", "reset", "edge-ca", "--yes")
        assert "edge-ca: ok, valid until 2030-01-01T00:00:00Z" in p.out
        assert agent.requests == [
            ("POST", "/holdfast/v1/credentials/edge-ca/renew", {"wait": True}),
            ("POST", "/holdfast/v1/credentials/edge-ca/renew", {"rotate_key": True, "wait": False}),
            ("POST", "/holdfast/v1/credentials/edge-ca/renew", {"rotate_key": False, "wait": True}),
            ("POST", "/holdfast/v1/credentials/edge-ca/reset", {"wait": True})]
        assert "did you mean 'edge-ca'" in home.run("cert", "renew", "edge-cb", code=2).err
        home.run("cert", "renew", "edge-ca", "--same-key", "--rotate-key", code=2)
        assert "--yes" in home.run("cert", "reset", "edge-ca", code=2).err
        assert len(agent.requests) == 4


def test_agent_that_does_not_wait(home):
    """It says that it is at it, and is asked until it is not."""
    states = iter(["missing", "renewing", "ok"])

    def answer(method, path, _):
        one = dict(OK, state=next(states))
        return (202, one) if method == "POST" else (200, {"credentials": [dict(OK, id="other"), one]})

    with FakeAgent(socket_of(home), answer) as agent:
        assert home.json("cert", "renew", "edge-ca")["state"] == "ok"
        assert [r[:2] for r in agent.requests[1:]] == [("GET", "/holdfast/v1/status")] * 2
    with FakeAgent(socket_of(home), lambda *_: (200, dict(OK, state="renewing", credentials=[]))):
        p = home.run("cert", "renew", "edge-ca", "--timeout", "500ms", code=4)
        assert "still at it" in p.err
        assert home.json("cert", "renew", "edge-ca", "--no-wait")["state"] == "renewing"


@pytest.mark.parametrize("state,code", [("failed", 1), ("held", 1), ("missing", 1), ("expired", 1), ("pending", 4)])
def test_renewal_that_fails(home, state, code):
    """Though the agent did what it was told."""
    with FakeAgent(socket_of(home), lambda *_: (200, dict(OK, state=state, attempts=1, last={"message": "no route to it"}))):
        assert "no route to it" in home.run("cert", "renew", "edge-ca", code=code).err


def test_reset_asks(home):
    with FakeAgent(socket_of(home), lambda *_: (200, OK)) as agent:
        for answer, code, asked in ((b"n\n", 1, 0), (b"y\n", 0, 1)):
            master, slave = pty.openpty()
            p = subprocess.Popen([CLI, "cert", "reset", "edge-ca", "--root", home.dir], stdin=slave,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
            os.close(slave)
            os.write(master, answer)
            _, err = p.communicate(timeout=20)
            os.close(master)
            assert p.returncode == code and b"becomes useless" in err and len(agent.requests) == asked


@pytest.mark.parametrize("code,exit_status", [(400, 2), (401, 3), (403, 3), (404, 2), (409, 4), (422, 2), (429, 4),
                                              (500, 1), (503, 4), (504, 4), (302, 1)])
def test_refusals(home, code, exit_status):
    with FakeAgent(socket_of(home), lambda *_: (code, {"message": "because of \x1b[2J this"})):
        p = home.run("cert", "renew", "edge-ca", code=exit_status)
        assert "edge-ca is not renewed: because of \\x1b[2J this" in p.err and "\x1b" not in p.err


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: "
ODD = {
    "nothing": b"", "no HTTP": b"hello\r\n\r\n", "half a head": b"HTTP/1.1 200 OK\r\nContent",
    "cut off": HEAD + b"10\r\n\r\n{}", "too long": HEAD + b"1\r\n\r\n{}", "no JSON": HEAD + b"3\r\n\r\n{{{",
    "in pieces": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "large head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "NUL": b"HTTP/1.1 200\0 OK\r\nContent-Length: 2\r\n\r\n{}",
    "huge": HEAD + b"5000000\r\n\r\n" + b" " * 5000000,
    "deep": HEAD + b"100000\r\n\r\n" + b"[" * 100000,
}


@pytest.mark.parametrize("what", ODD)
def test_odd_answers(home, what):
    with FakeAgent(socket_of(home), lambda *_: ODD[what]):
        p = home.run("cert", "renew", "edge-ca", code=1)
        assert p.err.startswith("holdfast: edge-ca is not renewed: the agent"), p.err


def test_an_answer_that_never_comes(home):
    done = threading.Event()
    with FakeAgent(socket_of(home), lambda *_: done.wait(20) and b""):
        p = home.run("cert", "renew", "edge-ca", "--timeout", "300ms", code=4)
        assert "not answered in 0.3 s" in p.err
        done.set()
    home.run("cert", "renew", "edge-ca", "--timeout", "2h", code=2)


def test_no_agent(home):
    socket_of(home)
    assert "does holdfast-agent run?" in home.run("cert", "renew", "edge-ca", code=4).err


@pytest.mark.root
def test_a_socket_that_somebody_else_serves_is_not_the_agent():
    h = Home()
    path = h.path("run", "agent", "certd.sock")
    os.makedirs(os.path.dirname(path))
    for d in (h.dir, h.path("run"), h.path("run", "agent")):
        os.chmod(d, 0o777)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.setuid(pwd.getpwnam("nobody").pw_uid)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen()
            os.write(write, b"x")
            peer, _ = s.accept()
            os._exit(1 if peer.recv(100) else 0)  # nothing may be said to it
    try:
        assert os.read(read, 1) == b"x"
        assert "this is not the certificate agent" in h.run("cert", "renew", "edge-ca", code=3).err
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        os.close(read)
        os.close(write)
        h.close()


# ---------------------------------------------------------------- issue

def csr_of(request):
    return x509.load_pem_x509_csr(request[2]["csr"].encode())


@pytest.mark.parametrize("algorithm", ["ec-p256", "ec-p384", "rsa-2048"])
def test_issue_for_a_key(run, algorithm):
    name = "web-" + algorithm
    run.run("key", "create", name, "--algorithm", algorithm)
    cert = Cert("web").pem
    with FakeAgent(socket_of(run), lambda *_: (201, {"pem": cert})) as agent:
        run.run("cert", "issue", "web", "--key", name, "--subject", "CN=web,O=Plant", "--san", "web.local", "--san",
                "10.0.0.1", "--eku", "serverAuth,clientAuth", "--days", "20", "--out", "w.pem")
        assert run.read("w.pem").decode() == cert
        assert run.run("cert", "issue", "web", "--key", name, "--subject", "CN=web").out == cert
    method, path, body = agent.requests[0]
    assert (method, path, body["id"], body["issuer"], body["days"]) == (
        "POST", "/holdfast/v1/certificates", "web", "edge-ca", 20)
    csr = csr_of(agent.requests[0])
    assert csr.is_signature_valid and csr.subject.rfc4514_string() == "O=Plant,CN=web"
    run.run("key", "public", name, "--out", "pub")
    from cryptography.hazmat.primitives import serialization as s
    assert csr.public_key().public_bytes(Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo) == run.read("pub")
    sans = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sans.get_values_for_type(x509.DNSName) == ["web.local"]
    assert [str(a) for a in sans.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    assert len(csr.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == 2
    assert len(csr_of(agent.requests[1]).extensions) == 0


def test_issue_for_a_request(run):
    key = Cert("x").key
    from cryptography.hazmat.primitives import hashes
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    with open(run.path("r.csr"), "wb") as f:
        f.write(csr.public_bytes(Encoding.PEM))
    cert = Cert("m").pem
    with FakeAgent(socket_of(run), lambda *_: (200, {"pem": cert})) as agent:
        shown = run.json("cert", "issue", "m1", "--csr", "r.csr", "--issuer", "local-ca")
        assert shown["pem"] == cert
        assert agent.requests[0][2] == {"id": "m1", "csr": csr.public_bytes(Encoding.PEM).decode(), "issuer": "local-ca"}
    with FakeAgent(socket_of(run), lambda *_: (200, {"pem": "nothing"})):
        assert "sent no certificate" in run.run("cert", "issue", "m1", "--csr", "r.csr", code=1).err


@pytest.mark.parametrize("words,says", [
    ([], "either --csr FILE"),
    (["--csr", "r", "--key", "k"], "either --csr FILE"),
    (["--key", "nonesuch", "--subject", "CN=x"], "no such key"),
    (["--key", "issues"], "--subject is missing"),
    (["--key", "issues", "--subject", "nonsense"], "not TYPE=VALUE"),
    (["--key", "issues", "--subject", "CN=x", "--san", "DNS:a b"], "no subjectAltName"),
    (["--key", "issues", "--subject", "CN=x", "--eku", "nonsense"], "--eku"),
    (["--key", "issues", "--subject", "CN=x", "--days", "0"], "--days"),
    (["--csr", "/dev/null"], "not a regular file"),
    (["--csr", "etc/config.toml"], "no request in PEM"),
    (["--csr", "etc/config.toml", "--san", "x"], "in the request already"),
])
def test_issue_that_is_wrong(run, words, says):
    run.run("key", "create", "issues", code=None)
    p = run.run("cert", "issue", "x", *words, code=None)
    assert p.code in (1, 2, 3) and says in p.err, p.err


def test_ca_key_asks_for_itself(run):
    """A ca key signs messages only, its own request among them."""
    run.run("key", "create", "sub-ca", "--usage", "ca")
    with FakeAgent(socket_of(run), lambda *_: (201, {"pem": Cert("s").pem})) as agent:
        run.run("cert", "issue", "sub", "--key", "sub-ca", "--subject", "CN=sub", "--out", "s.pem")
    assert csr_of(agent.requests[0]).is_signature_valid


def test_json_is_what_the_agent_said(home):
    with FakeAgent(socket_of(home), lambda *_: (200, dict(OK, extra=[1]))):
        assert home.json("cert", "renew", "edge-ca")["extra"] == [1]
        json.loads(home.run("--json", "cert", "renew", "edge-ca").out)


@pytest.mark.plain
@pytest.mark.root
def test_guide():
    said = guides.run("certificates.md", """
holdfast cert reset web --yes
if holdfast cert show wep; then exit 1; fi
runuser -u nobody -- holdfast cert list
""")
    assert "web.pem: OK" in said and "pump.pem: OK" in said
    for words in guides.troubles("certificates.md"):
        assert words in said, words


# ---------------------------------------------------------------- the agent itself

def test_renew_by_a_real_agent(dev):
    before, spki = dev.fingerprint(), agentlib.spki_of(dev.cert())
    shown = dev.json("cert", "renew", "edge-ca", "--rotate-key", "--root", dev.dir)
    assert shown["state"] == "ok" and shown["fingerprint_sha256"] == dev.fingerprint() != before
    assert agentlib.spki_of(dev.cert()) != spki
    dev.check_pair()
    before, spki = dev.fingerprint(), agentlib.spki_of(dev.cert())
    assert "edge-ca: ok" in dev.cli("cert", "renew", "aziot-edged-ca", "--same-key", "--root", dev.dir).stdout
    assert dev.fingerprint() != before and agentlib.spki_of(dev.cert()) == spki
    dev.check_pair()


def test_reset_by_a_real_agent(dev):
    spki = agentlib.spki_of(dev.cert())
    dev.cli("cert", "reset", "edge-ca", "--yes", "--root", dev.dir)
    assert agentlib.spki_of(dev.cert()) != spki
    dev.check_pair()


def test_issue_by_a_real_agent(dev):
    out = dev.path("issued.pem")
    dev.cli("key", "create", "issued", "--root", dev.dir)
    dev.cli("cert", "issue", "issued", "--key", "issued", "--subject", "CN=web.local", "--san", "web.local", "--eku",
            "serverAuth", "--days", "7", "--out", out, "--root", dev.dir)
    with open(out, "rb") as f:
        cert = x509.load_pem_x509_certificate(f.read())
    cert.verify_directly_issued_by(dev.cert()) if hasattr(cert, "verify_directly_issued_by") else None
    assert cert.issuer == dev.cert().subject and cert.subject.rfc4514_string() == "CN=web.local"
    assert (cert.not_valid_after - cert.not_valid_before).days in (6, 7)
    p = subprocess.run(["openssl", "verify", "-CAfile", dev.path("trust-bundle.pem"), out], capture_output=True)
    assert p.returncode == 0, p.stderr
