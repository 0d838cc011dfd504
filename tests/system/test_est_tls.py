# SPDX-License-Identifier: Apache-2.0
"""EST servers that are not who they should be, or have no TLS: nothing may be sent to them."""
import os
import socket
import ssl
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes

from badest import (CLIENT, HOST, OTHER_CA, ROOT_CA, SERVER_CERT, SUB_CA, BadEst, certs, issue)
from estlib import chain, client_cert, enroll, leaf, run
from estpki import CMC_RA, SERVER, Cert, weak_key
from realbroker import RealBroker


@pytest.fixture(scope="module")
def broker():
    b = RealBroker()
    b.start()
    b.algorithms()
    for name in ("dev", "cl"):
        b.add_key(name)
    yield b
    b.close()


def version(most, ciphers=None):
    def set_up(context):
        if most < ssl.TLSVersion.TLSv1_2:
            context.minimum_version = most
        context.maximum_version = most
        if ciphers:
            context.set_ciphers(ciphers)
    return set_up


NOT_CA = Cert("no CA", ROOT_CA, ca=False)
CERTS = {  # a server's certificate, what is said about it
    "other-name": (Cert("x", ROOT_CA, sans=("DNS:other.example",), eku=(SERVER,)), "does not name"),
    "cn-of-another-host": (Cert("other.example", ROOT_CA, eku=(SERVER,)), "does not name"),
    "partial-wildcard": (Cert("x", ROOT_CA, sans=("DNS:local*",), eku=(SERVER,)), "does not name"),
    "name-with-nul": (Cert("x", ROOT_CA, sans=("DNS:localhost\0.example",), eku=(SERVER,)), ""),
    "expired": (Cert("localhost", ROOT_CA, begins=-9, days=-1, **HOST), "expired"),
    "not-yet-valid": (Cert("localhost", ROOT_CA, begins=2, **HOST), "not yet valid"),
    "self-signed": (Cert("localhost", **HOST), "self-signed"),
    "another-ca": (Cert("localhost", OTHER_CA, **HOST), "not trusted"),
    "issuer-is-no-ca": (Cert("localhost", NOT_CA, **HOST), "not trusted"),
    "not-for-servers": (Cert("localhost", ROOT_CA, sans=HOST["sans"], eku=(CLIENT,)), "not one for"),
    "sha1": (Cert("localhost", ROOT_CA, digest=hashes.SHA1(), **HOST), "too weak"),
    "rsa-1024": (Cert("localhost", ROOT_CA, key=weak_key(), **HOST), "too"),
    "chain-missing": (Cert("localhost", SUB_CA, **HOST), "not trusted"),
}


@pytest.mark.parametrize("case", CERTS)
def test_server_certificate_is_refused(broker, case):
    cert, said = CERTS[case]
    chain = [NOT_CA] if case == "issuer-is-no-ca" else []
    with BadEst(cert=cert, chain=chain, tls="weak") as server:
        result = run(enroll(server, auth={"basic": {"username": "u", "password": "p"}}), broker)
        assert result["status"] == "tls" and said in result["message"], result
        assert "nothing was sent" in result["message"] and server.url in result["message"]
        assert not server.requests


TLS = {
    "tls-1.1": version(ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
    "cbc": version(ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256"),
    "no-forward-secrecy": version(ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256"),
    "psk-only": version(ssl.TLSVersion.TLSv1_2, "PSK-AES128-GCM-SHA256"),
}


@pytest.mark.parametrize("case", TLS)
def test_tls_that_is_too_old_or_weak(broker, case):
    with BadEst(tls=TLS[case]) as server:
        result = run(enroll(server), broker)
        assert result["status"] == "tls" and not server.requests, result


RAW = {  # what the server does with the bare connection, status
    "closes": (lambda server, s: None, "network"),
    "plain-http": (lambda server, s: s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "tls"),
    "junk": (lambda server, s: (s.sendall(b"\x16\x03\x03\xff\xff" + bytes(5000)), s.recv(9999), server.done.wait(20)), "tls"),
    "silent": (lambda server, s: server.done.wait(20), "network"),
}


@pytest.mark.parametrize("case", RAW)
def test_connection_without_tls(broker, case):
    act, status = RAW[case]
    with BadEst(raw=act) as server:
        result = run(enroll(server, timeout_ms=500 if case == "silent" else 20000), broker)
        assert result["status"] == status, result


def test_nobody_listens(broker):
    with socket.create_server(("127.0.0.1", 0)) as s:
        url = "https://localhost:%d" % s.getsockname()[1]
    assert run(enroll(None, url=url), broker)["status"] == "network"


def test_name_that_does_not_resolve(broker):
    result = run(enroll(None, url="https://no-such-host.invalid", timeout_ms=5000), broker)
    assert result["status"] == "network" and "no-such-host.invalid" in result["message"]


@pytest.mark.parametrize("most", ["TLSv1_2", "TLSv1_3"])
def test_both_versions(broker, most):
    with BadEst(tls=version(ssl.TLSVersion[most])) as server:
        result = run(enroll(server), broker)
        assert result["status"] == "ok" and result["tls"] == most.replace("_", "."), result


def test_authority_certificate_needs_no_name(broker):
    """RFC 7030, section 3.6.1: id-kp-cmcRA, under an explicit anchor."""
    cert = Cert("ra", ROOT_CA, eku=(CMC_RA,))
    with BadEst(cert=cert) as server:
        assert run(enroll(server), broker)["status"] == "ok"


def test_system_store_does_not_know_it(broker):
    with BadEst() as server:
        result = run(enroll(server, trust={"mode": "system"}), broker)
        assert result["status"] == "tls" and not server.requests, result


@pytest.fixture
def system_store(tmp_path):
    """A command in whose view ROOT_CA is what the system trusts; nothing else is changed."""
    pem = tmp_path / "root.pem"
    pem.write_text(ROOT_CA.pem)
    name = subprocess.run(["openssl", "x509", "-in", pem, "-noout", "-hash"], check=True, text=True,
                          capture_output=True, env={"PATH": os.environ["PATH"]}).stdout.strip()
    os.mkdir(tmp_path / "certs")
    (tmp_path / "certs" / (name + ".0")).write_text(ROOT_CA.pem)
    return ["unshare", "-rm", "sh", "-c", 'mount --bind "$1" /etc/ssl/certs && exec "$2"', "sh",
            str(tmp_path / "certs")]


def test_system_store(broker, system_store):
    with BadEst() as server:
        result = run(enroll(server, trust={"mode": "system"}), broker, system_store)
        assert result["status"] == "ok" and result["cacerts_changed"], result


def test_system_store_does_not_bring_in_roots(broker, system_store):
    """The server is that host; a root is new only with a link to one that was accepted earlier."""
    new = Cert("EST root G2", ca=True, days=90)
    link = Cert("EST root G2", ROOT_CA, ca=True, key=new.key)
    trust = {"mode": "system", "anchors_pem": ROOT_CA.pem}
    sent = [ROOT_CA.der, SUB_CA.der, new.der]
    with BadEst({"cacerts": lambda r: certs(*sent)}) as server:
        job = dict(enroll(server, op="cacerts", trust=trust, key=None, subject=None, sans=None, eku=None))
        result = run(job, None, system_store)
        assert result["status"] == "ok" and not result["cacerts_changed"], result
        assert "1 of the CA certificates" in result["warnings"][0]
        assert len(chain(result, "cacerts_pem")) == 2
        sent.append(link.der)
        result = run(job, None, system_store)
        assert result["cacerts_changed"] and not result["warnings"], result
        assert chain(result, "cacerts_pem")[0] == new.cert


# ---------------------------------------------------------------- fingerprint

def test_fingerprint_in_the_handshake(broker):
    with BadEst(chain=[ROOT_CA]) as server:
        result = run(enroll(server, trust={"mode": "fingerprint", "sha256": ROOT_CA.sha256}), broker)
        assert result["status"] == "ok", result


def test_fingerprint_from_cacerts(broker):
    colons = ":".join(ROOT_CA.sha256[i:i + 2] for i in range(0, 64, 2)).upper()
    with BadEst() as server:
        result = run(enroll(server, trust={"mode": "fingerprint", "sha256": colons},
                            auth={"basic": {"username": "u", "password": "p"}}), broker)
        assert result["status"] == "ok", result
        # once unauthenticated, then again on a connection that is
        assert server.ops()[:2] == ["cacerts", "cacerts"] and "authorization" not in \
            server.requests[0].headers


@pytest.mark.parametrize("behaviour", ["other-ca", "asks-for-password", "redirects"])
def test_fingerprint_that_nobody_has(broker, behaviour):
    """Of a server that nobody vouches for /cacerts is read, and nothing else is said to it."""
    from badest import reply
    handlers = {"other-ca": {"cacerts": lambda r: certs(OTHER_CA.der)},
                "asks-for-password": {"cacerts": lambda r: reply(
                    401, WWW_Authenticate='Basic realm="x"')},
                "redirects": {"cacerts": lambda r: reply(302, Location="https://127.0.0.1:1/x")}}
    with BadEst(handlers[behaviour], cert=Cert("localhost", OTHER_CA, **HOST)) as server:
        result = run(enroll(server, trust={"mode": "fingerprint", "sha256": "ab" * 32},
                            auth={"basic": {"username": "u", "password": "p"}}), broker)
        assert result["status"] in ("tls", "auth", "protocol"), result
        assert server.ops() == ["cacerts"]
        assert all("authorization" not in r.headers for r in server.requests)


def test_fingerprint_of_a_ca_that_does_not_vouch_for_the_server(broker):
    """A stranger may send our CA's certificate: it proves nothing."""
    with BadEst(cert=Cert("localhost", OTHER_CA, **HOST)) as server:
        result = run(enroll(server, trust={"mode": "fingerprint", "sha256": ROOT_CA.sha256}), broker)
        assert result["status"] == "tls" and server.ops() == ["cacerts"], result


@pytest.mark.parametrize("accepted,status", [("both", "ok"), ("old", "tls")])
def test_fingerprint_then_what_was_accepted(broker, accepted, status):
    """The server has moved to a new root, which the old one had vouched for before; or had not."""
    new = Cert("EST root G2", ca=True, days=90)
    anchors = ROOT_CA.pem + (new.pem if accepted == "both" else "")
    trust = {"mode": "fingerprint", "sha256": ROOT_CA.sha256, "anchors_pem": anchors}
    handlers = {"cacerts": lambda r: certs(new.der), "simpleenroll": lambda r: certs(issue(r, new).der)}
    with BadEst(handlers, cert=Cert("localhost", new, **HOST)) as server:
        result = run(enroll(server, trust=trust), broker)
        assert result["status"] == status, result
        # nothing is asked of a server that nobody vouches for: that was for the first contact
        assert server.ops() == (["cacerts", "csrattrs", "simpleenroll"] if status == "ok" else [])
        assert not result["cacerts_changed"]


# ---------------------------------------------------------------- our certificate

def tls_auth(broker, **more):
    cert = client_cert(broker, **more)
    return {"tls": {"cert_pem": cert.pem, "key": "holdfast:cl"}}


@pytest.mark.parametrize("most", ["TLSv1_2", "TLSv1_3"])
def test_client_certificate(broker, most):
    with BadEst(tls=version(ssl.TLSVersion[most]), clients=ROOT_CA) as server:
        assert run(enroll(server, auth=tls_auth(broker)), broker)["status"] == "ok"


@pytest.mark.parametrize("most", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("case", ["none", "other-ca", "expired"])
def test_client_certificate_is_refused(broker, most, case):
    auth = {"none": {}, "other-ca": lambda: tls_auth(broker, issuer=OTHER_CA),
            "expired": lambda: tls_auth(broker, begins=-9, days=-1)}[case]
    with BadEst(tls=version(ssl.TLSVersion[most]), clients=ROOT_CA) as server:
        result = run(enroll(server, auth=auth() if callable(auth) else auth), broker)
        assert result["status"] == "auth" and "TLS alert" in result["message"], result
        assert not server.requests


@pytest.mark.parametrize("send,status", [("full", "ok"), ("leaf", "auth")])
def test_client_chain(broker, send, status):
    """A server that knows the root only needs the chain; another one takes nothing but the leaf."""
    auth = tls_auth(broker, issuer=SUB_CA)
    auth["tls"]["cert_pem"] += SUB_CA.pem
    with BadEst(clients=ROOT_CA) as server:
        result = run(enroll(server, auth=auth, client_chain=send), broker)
        assert result["status"] == status, result


def test_client_certificate_of_another_key(broker):
    auth = {"tls": {"cert_pem": client_cert(broker, key="dev").pem, "key": "holdfast:cl"}}
    with BadEst() as server:
        result = run(enroll(server, auth=auth), broker)
        assert result["status"] == "key" and not server.requests, result


def test_no_key_is_shown_to_a_server_that_is_not_trusted(broker):
    with BadEst(clients=ROOT_CA, cert=Cert("localhost", OTHER_CA, **HOST)) as server:
        assert run(enroll(server, auth=tls_auth(broker)), broker)["status"] == "tls"
        assert not server.requests


def test_the_leaf_is_for_our_key(broker):
    with BadEst() as server:
        result = run(enroll(server), broker)
        assert leaf(result).public_key().public_numbers() == \
            __import__("estlib").public(broker, "dev").public_numbers()
        assert server.failures == [] and SERVER_CERT.pem
