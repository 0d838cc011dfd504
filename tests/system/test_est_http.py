# SPDX-License-Identifier: Apache-2.0
"""EST servers that answer wrongly, strangely, too much, too late or not at all."""
import base64
import contextlib
import datetime
import email.utils
import hashlib
import re
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from badest import CLIENT, OTHER_CA, ROOT_CA, SUB_CA, BadEst, certs, issue, reply
from estlib import chain, enroll, leaf, public, run
from estpki import DATA, ENVELOPED, SERVER, Cert, b64, ber, name, pkcs7, seq, set_, tlv
from fakebroker import FakeBroker, Generation
from realbroker import RealBroker

BASIC = {"basic": {"username": "estuser", "password": "estpwd"}}
SECRET = base64.b64encode(b"estuser:estpwd").decode()
P7 = "application/pkcs7-mime"


@pytest.fixture(scope="module")
def broker():
    b = RealBroker(profiles=["ca"])
    b.start()
    b.algorithms()
    b.add_key("dev")
    b.add_key("ca", usage="ca")
    yield b
    b.close()


def answer_with(make):
    """A handler of simpleenroll; `make` gets the DERs of the right answer, leaf and issuer."""
    return {"simpleenroll": lambda r: make(issue(r).der, SUB_CA.der)}


def date(seconds):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return email.utils.format_datetime(when, usegmt=True)


# ---------------------------------------------------------------- wrong, and harmless

HARMLESS = {  # handlers, the warning
    "201": (answer_with(lambda *c: certs(*c, code=201)), "201"),
    "nul-tail": (answer_with(lambda *c: reply(200, b64(pkcs7(*c)) + b"\0", P7)), "NUL"),
    "empty-content": (answer_with(lambda *c: reply(200, b64(pkcs7(
        *c, content=tlv(0xA0, b"\x04\0"))), P7)), "empty content"),
    "old-media-type": (answer_with(lambda *c: certs(*c, type="application/x-pkcs7-mime")), "x-pkcs7"),
    "eku-left-out": ({"simpleenroll": lambda r: certs(issue(
        r, without=(x509.ExtensionOID.EXTENDED_KEY_USAGE,)).der, SUB_CA.der)}, "extended key usage"),
    "csrattrs-403": ({"csrattrs": lambda r: reply(403)}, "no wishes"),
    "csrattrs-type": ({"csrattrs": lambda r: reply(200, b"MAA=\r\n", "text/plain")}, "text/plain"),
}
FINE = {  # nothing to say about
    "one-line": answer_with(lambda *c: reply(200, b64(pkcs7(*c), 0), P7)),
    "crlf": answer_with(lambda *c: reply(200, b64(pkcs7(*c), 76, b"\r\n"), P7)),
    "blanks": answer_with(lambda *c: reply(200, b"\n\t " + b64(pkcs7(*c), 4, b" \r\n\t"), P7)),
    "cte-binary": answer_with(lambda *c: certs(*c, Content_Transfer_Encoding="binary")),
    "cte-base64": answer_with(lambda *c: certs(*c, Content_Transfer_Encoding="base64")),
    "no-type": answer_with(lambda *c: certs(*c, type=None)),
    "issuer-first": answer_with(lambda a, b: certs(b, a)),
    "leaf-alone": answer_with(lambda a, b: certs(a)),
    "leaf-twice": answer_with(lambda a, b: certs(a, b, a)),
    "with-a-stranger": answer_with(lambda a, b: certs(OTHER_CA.der, a, b)),
    "empty-crls": answer_with(lambda *c: reply(200, b64(pkcs7(*c, crls=b"\xa1\0")), P7)),
    "ber": answer_with(lambda *c: reply(200, b64(ber(*c)), P7)),
    "http-1.0": answer_with(lambda *c: re.sub(
        rb"Content-Length: \d+\r\n", b"", certs(*c).replace(b"HTTP/1.1", b"HTTP/1.0", 1))),
    "chunked": answer_with(lambda *c: reply(
        200, b"%x\r\n" % len(b64(pkcs7(*c))) + b64(pkcs7(*c)) + b"\r\n0\r\n\r\n", P7,
        Content_Length=None, Transfer_Encoding="chunked")),
    "100-first": answer_with(lambda *c: b"HTTP/1.1 100 Continue\r\n\r\n" + certs(*c)),
    "csrattrs-404": {"csrattrs": lambda r: reply(404, b"{}", "application/json")},
    "csrattrs-empty": {"csrattrs": lambda r: reply(200, b"MAA=", "application/csrattrs")},
    "csrattrs-nothing": {"csrattrs": lambda r: reply(200, b"", "application/csrattrs")},
    "closes-each-time": {"csrattrs": lambda r: reply(204, Connection="close")},
}


def both(_, c):
    return certs(*c)


@pytest.mark.parametrize("case", HARMLESS)
def test_wrong_but_harmless(broker, case):
    handlers, warning = HARMLESS[case]
    if case == "empty-content":
        handlers = answer_with(lambda *c: reply(200, b64(pkcs7(*c, content=b"\xa0\x02\x04\0")), P7))
    with BadEst(handlers) as server:
        result = run(enroll(server), broker)
        assert result["status"] == "ok", result
        assert len(result["warnings"]) == 1 and warning in result["warnings"][0], result


@pytest.mark.parametrize("case", FINE)
def test_unusual_but_right(broker, case):
    with BadEst(FINE[case]) as server:
        result = run(enroll(server), broker)
        assert (result["status"], result["warnings"]) == ("ok", []), result
        assert [c.subject for c in chain(result)] == [name("device-1"), name("EST issuing CA")]


# ---------------------------------------------------------------- answers that are none

def both_p7(**how):
    return answer_with(lambda *c: reply(200, b64(pkcs7(*c, **how)), P7))


def endless(s):
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" %
              P7.encode())
    while True:
        s.sendall(b"1000\r\n" + b"A" * 4096 + b"\r\n")


def drip(server):
    def slowly(s):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not server.done.wait(0.05):
            s.sendall(b"M")
    return slowly


CORRUPT = bytearray(SUB_CA.der)
CORRUPT[len(CORRUPT) // 3] ^= 0x55
BROKEN = {  # handlers, status, words
    "html": ({"simpleenroll": lambda r: reply(200, b"<html>log in</html>", "text/html")}, "protocol",
             "text/html"),
    "html-cacerts": ({"cacerts": lambda r: reply(200, b"<html>", "text/html")}, "protocol", "html"),
    "raw-der": (answer_with(lambda *c: reply(200, pkcs7(*c), P7)), "protocol", "base64"),
    "pem": (answer_with(lambda *c: reply(200, SUB_CA.pem.encode(), P7)), "protocol", "base64"),
    "base64-cut": (answer_with(lambda *c: reply(200, b64(pkcs7(*c), 0)[:-3], P7)), "protocol", "cut"),
    "half": (answer_with(lambda *c: reply(200, b64(pkcs7(*c)[:500]), P7)), "protocol", "PKCS#7"),
    "junk-after": (answer_with(lambda *c: reply(200, b64(pkcs7(*c) + b"junk"), P7)), "protocol",
                   "PKCS#7"),
    "junk-inside": (answer_with(lambda *c: reply(200, b64(pkcs7(*c, b"\x30\x82\xff\xff")), P7)),
                    "protocol", "broken"),
    "enveloped": (both_p7(kind=ENVELOPED), "protocol", "SignedData"),
    "plain-data": (both_p7(kind=DATA), "protocol", "SignedData"),
    "signed": (both_p7(signers=set_(seq(b"\x02\x01\x01"))), "protocol", "signed"),
    "content": (both_p7(content=b"\xa0\x03\x04\x01x"), "protocol", "content"),
    "no-certificates": (answer_with(lambda *c: reply(200, b64(pkcs7()), P7)), "protocol",
                        "no certificate"),
    "65-certificates": (answer_with(lambda *c: certs(*c, *MANY)), "protocol", "more than 64"),
    "broken-certificate": (answer_with(lambda a, b: certs(a, bytes(CORRUPT[:-5]))), "protocol", ""),
    "deep": (answer_with(lambda *c: reply(200, b64(b"\x30\x80" * 3000), P7)), "protocol", "PKCS#7"),
    "empty": (answer_with(lambda *c: reply(200, b"", P7)), "protocol", ""),
    "gzip": (answer_with(lambda *c: certs(*c, Content_Encoding="gzip")), "protocol", "compressed"),
    "long-headers": (answer_with(lambda *c: certs(*c, X_Filler=["x" * 1000] * 20)), "protocol",
                     "headers"),
    "long-body": (answer_with(lambda *c: reply(200, b"A" * 300000, P7)), "protocol", "longer than"),
    "long-cacerts": ({"cacerts": lambda r: reply(200, b"A" * 1100000, P7)}, "protocol", "longer"),
    "endless": ({"simpleenroll": lambda r: endless}, "protocol", "longer than"),
    "huge-length": (answer_with(lambda *c: certs(*c, Content_Length=2 ** 31)), "protocol", "longer than"),
    "negative-length": (answer_with(lambda *c: certs(*c, Content_Length=-5)), "protocol", ""),
    "cut-off": (answer_with(lambda *c: lambda s: s.sendall(certs(*c)[:400])), "network", ""),
    "says-nothing": ({"simpleenroll": lambda r: None}, "network", ""),
    "no-http": ({"simpleenroll": lambda r: b"220 mail.example ESMTP\r\n\r\n"}, "protocol", ""),
    "202-without-date": ({"simpleenroll": lambda r: reply(202)}, "pending", "600"),
    "204": ({"simpleenroll": lambda r: reply(204)}, "protocol", "204"),
    "300": ({"simpleenroll": lambda r: reply(300)}, "protocol", "300"),
    "400": ({"simpleenroll": lambda r: reply(400, b"bad CSR\n", "text/plain")}, "refused", "bad CSR"),
    "403-words": ({"simpleenroll": lambda r: reply(403, b"no\x1b[2J\nhere", "text/plain")}, "refused",
                  "\\x1b[2J here"),
    "404": ({"simpleenroll": lambda r: reply(404)}, "protocol", "label"),
    "500": ({"simpleenroll": lambda r: reply(500)}, "server", "500"),
    "503": ({"simpleenroll": lambda r: reply(503)}, "busy", "503"),
    "cacerts-404": ({"cacerts": lambda r: reply(404)}, "protocol", "404"),
    "cacerts-500": ({"cacerts": lambda r: reply(500)}, "server", "500"),
    "cacerts-202": ({"cacerts": lambda r: reply(202)}, "protocol", "202"),
    "csrattrs-500": ({"csrattrs": lambda r: reply(500)}, "server", "500"),
    "csrattrs-junk": ({"csrattrs": lambda r: reply(200, b64(b"\x30\x05junk!"),
                                                   "application/csrattrs")}, "protocol", "csrattrs"),
    "csrattrs-html": ({"csrattrs": lambda r: reply(200, b"<html>", "text/html")}, "protocol", "html"),
}
MANY = [Cert("c%d" % n, OTHER_CA).der for n in range(64)]


@pytest.mark.parametrize("case", BROKEN)
def test_broken(broker, case):
    handlers, status, words = BROKEN[case]
    with BadEst(handlers) as server:
        result = run(enroll(server), broker)
        assert result["status"] == status and words in result["message"], result
        assert result["certificates_pem"] == "" and server.url in result["message"]


@pytest.mark.parametrize("op", ["cacerts", "csrattrs", "simpleenroll"])
@pytest.mark.parametrize("how", ["silent", "drip"])
def test_no_answer_in_time(broker, op, how):
    with BadEst() as server:
        slow = drip(server) if how == "drip" else server.hang()
        server.handlers[op] = lambda r: slow
        result = run(enroll(server, timeout_ms=700), broker)
        assert result["status"] == "network" and "in time" in result["message"], result


def test_no_handshake_in_time(broker):
    """A server that takes the connection and says nothing is given up long before the deadline."""
    with BadEst(raw=lambda server, _: server.done.wait(20)) as server:
        since = time.monotonic()
        result = run(enroll(server, connect_timeout_ms=300), broker)
        assert result["status"] == "network" and time.monotonic() - since < 10, result


def test_deadline_is_for_all_requests_together(broker):
    """Each answer in time, and a connection for each, is no way to keep a device for ever."""
    with BadEst() as server:
        def late(answer):
            return lambda r: None if server.done.wait(.8) else answer(r)
        server.handlers = {op: late(answer) for op, answer in server.handlers.items()}
        result = run(enroll(server, timeout_ms=2000), broker)
        assert result["status"] == "network" and "in time" in result["message"], result
        assert server.ops()[:2] == ["cacerts", "csrattrs"]


RETRY = {  # Retry-After (a number: a date in so many seconds), seconds
    "120": 120, "0": 60, "-1": 600, "999999999999": 86400, "tomorrow": 600, "": 600,
    7200: 7200, -7200: 60, 10 * 365 * 86400: 86400, "Sunday, 06-Nov-94 08:49:37 GMT": 60,
    "%A, %d-%b-%y %H:%M:%S GMT": 7200, "%a %b %e %H:%M:%S %Y": 7200, "%d.%m.%Y": 600,
}


@pytest.mark.parametrize("after", RETRY)
def test_retry_after(broker, after):
    text = after if isinstance(after, str) else date(after)
    if "%" in text:  # the older forms of a date, in two hours
        text = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2)).strftime(text)
    with BadEst({"simpleenroll": lambda r: reply(202, Retry_After=text)}) as server:
        result = run(enroll(server), broker)
        assert result["status"] == "pending"
        assert abs(result["retry_after_s"] - RETRY[after]) <= 60, result


def test_retry_after_of_a_busy_server(broker):
    for code in (429, 503):
        with BadEst({"simpleenroll": lambda r: reply(code, Retry_After=300)}) as server:
            result = run(enroll(server), broker)
            assert (result["status"], result["retry_after_s"]) == ("busy", 300)


# ---------------------------------------------------------------- certificates that are not ours

def issued(**how):
    return {"simpleenroll": lambda r: certs(issue(r, **how).der, SUB_CA.der)}


STRANGER = Cert("stranger")
KEY_AGREEMENT = x509.Extension(x509.ExtensionOID.KEY_USAGE, True, x509.KeyUsage(
    False, False, False, False, True, False, False, False, False))
ANSWERS = {  # handlers, words
    "other-key": (issued(public=STRANGER.key.public_key()), "key holdfast:dev"),
    "other-subject": (issued(subject=name("device-2")), "another subject"),
    "more-subject": (issued(subject=x509.Name(list(name("device-1")) + list(name("x")))), "subject"),
    "expired": (issued(begins=-9, days=-1), "expired"),
    "not-yet-valid": (issued(begins=2), "not valid yet"),
    "ca": (issued(ca=True), "one of a CA"),
    "may-sign-certificates": (issued(bc=False, exts=[
        x509.Extension(x509.ExtensionOID.KEY_USAGE, True, x509.KeyUsage(
            True, False, False, False, False, True, False, False, False)),
        x509.Extension(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, False,
                       x509.SubjectAlternativeName([x509.DNSName("device-1.example")]))]),
        "one of a CA"),
    "may-not-sign": ({"simpleenroll": lambda r: certs(issue(
        r, exts=[*r.csr.extensions, KEY_AGREEMENT]).der, SUB_CA.der)}, "key usage"),
    "another-ca": ({"simpleenroll": lambda r: certs(issue(r, OTHER_CA).der, OTHER_CA.der)},
                   "does not lead to"),
    "self-made-chain": ({"simpleenroll": lambda r: certs(issue(r, FAKE_SUB).der, FAKE_SUB.der)},
                        "does not lead to"),
    "sha1": (issued(digest=hashes.SHA1()), "does not lead to"),
    "san-missing": (issued(without=(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME,)), "lacks"),
    "san-added": (issued(without=(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME,),
                         sans=("DNS:device-1.example", "DNS:bank.example")), "nobody"),
    "eku-other": (issued(without=(x509.ExtensionOID.EXTENDED_KEY_USAGE,), eku=(SERVER,)), "lacks"),
}
FAKE_SUB = Cert("EST issuing CA", Cert("EST root", ca=True), ca=True)


@pytest.mark.parametrize("good,status", [(1, "answer"), (2, "ok")])
def test_key_that_has_become_another_one(tmp_path, good, status):
    """All is right with the certificate, but what the key signs now does not verify under it."""
    broker = FakeBroker(str(tmp_path / "s"))
    key, stranger = broker.add_key("dev").current, Generation("ec-p256")
    signatures, right = [], key.sign

    def sign(*args):
        signatures.append(args)
        return (right if len(signatures) <= good else stranger.sign)(*args)
    key.sign = sign
    broker.start()
    with contextlib.closing(broker), BadEst() as server:
        result = run(enroll(server), broker)
        assert result["status"] == status and len(signatures) == 2, result
        if status == "answer":
            assert "does not verify" in result["message"] and not result["certificates_pem"], result


@pytest.mark.parametrize("case", ANSWERS)
def test_certificate_that_was_not_asked_for(broker, case):
    handlers, words = ANSWERS[case]
    with BadEst(handlers) as server:
        result = run(enroll(server), broker)
        assert result["status"] == "answer" and words in result["message"], result
        assert result["certificates_pem"] == ""


@pytest.mark.parametrize("case,word", [("other-subject", "subject"), ("san-missing", "san"),
                                       ("san-added", "san"), ("eku-other", "eku"), ("may-not-sign", "eku")])
def test_what_may_be_tolerated(broker, case, word):
    with BadEst(ANSWERS[case][0]) as server:
        assert run(enroll(server, tolerate=[word]), broker)["status"] == "ok"


def test_cn_added_as_san(broker):
    with BadEst(issued(without=(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME,),
                       sans=("DNS:device-1.example", "DNS:device-1"))) as server:
        result = run(enroll(server), broker)
        assert result["status"] == "ok" and len(result["warnings"]) == 1


def test_subject_in_another_order(broker):
    with BadEst({"simpleenroll": lambda r: certs(issue(
            r, subject=x509.Name(reversed(list(r.csr.subject)))).der, SUB_CA.der)}) as server:
        result = run(enroll(server, subject="CN=device-1,O=Example"), broker)
        assert result["status"] == "ok" and "order" in result["warnings"][0]


@pytest.mark.parametrize("made,pathlen,status", [(0, 0, "ok"), (0, -1, "ok"), (1, 0, "answer"),
                                                 ("leaf", 0, "answer")])
def test_ca_certificate(broker, made, pathlen, status):
    """For a key that signs certificates and nothing else."""
    how = dict(ca=False) if made == "leaf" else dict(ca=True, pathlen=made)
    with BadEst({"simpleenroll": lambda r: certs(issue(r, ROOT_CA, **how).der)}) as server:
        result = run(enroll(server, key="holdfast:ca", ca=True, pathlen=pathlen, eku=None, sans=None,
                            subject="CN=edge CA"), broker)
        assert result["status"] == status, result


# ---------------------------------------------------------------- renewal

def current(broker, **more):
    return Cert("device-1", SUB_CA, public=public(broker, "dev"), eku=(CLIENT,),
                sans=("DNS:device-1.example", "IP:192.0.2.9"), **more)


def renew(server, old, **changes):
    return enroll(server, op="reenroll", subject=None, sans=None, eku=None, replace_pem=old.pem,
                  **changes)


def test_renewal_repeats_the_names(broker):
    old = current(broker)
    with BadEst() as server:
        result = run(renew(server, old), broker)
        assert result["status"] == "ok" and server.ops()[-1] == "simplereenroll", result
        for oid_ in (x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, x509.ExtensionOID.EXTENDED_KEY_USAGE):
            asked = server.requests[-1].csr.extensions.get_extension_for_oid(oid_)
            assert asked == old.cert.extensions.get_extension_for_oid(oid_)
        assert server.requests[-1].csr.subject == old.subject
        assert leaf(result).serial_number != old.cert.serial_number


def test_renewal_that_gives_the_old_one(broker):
    old = current(broker)
    with BadEst({"simplereenroll": lambda r: certs(old.der, SUB_CA.der)}) as server:
        result = run(renew(server, old), broker)
        assert result["status"] == "answer" and "old certificate" in result["message"]


def test_renewal_may_not_change_names(broker):
    job = renew(None, current(broker), url="https://localhost:1")
    job["subject"] = "CN=other"
    assert run(job, broker)["status"] == "job"


# ---------------------------------------------------------------- credentials

def asks(*challenges, good=None, after=None, **more):
    """A handler of simpleenroll that wants an Authorization which `good` accepts."""
    def handler(r):
        given = r.headers.get("authorization")
        if given and (good is None or good(given, r)):
            return certs(issue(r).der, SUB_CA.der)
        return reply(401, b"who?", "text/plain", WWW_Authenticate=list(challenges), **more)
    return {"simpleenroll": handler}


def digest_right(algorithm, given, r, **want):
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', given))
    h = lambda *p: hashlib.new(algorithm, ":".join(p).encode()).hexdigest()
    ha1 = h("estuser", "est realm", "estpwd")
    if want.get("sess"):
        ha1 = h(ha1, fields["nonce"], fields["cnonce"])
    parts = [fields["nc"], fields["cnonce"], "auth"] if "qop" in fields else []
    expected = h(ha1, fields["nonce"], *parts, h("POST", r.path))
    return fields["response"] == expected and fields["uri"] == r.path and \
        all(fields.get(k) == v for k, v in want.items() if k != "sess")


DIGEST = 'Digest realm="est realm", nonce="abc", qop="auth"'
AUTH = {
    "basic": asks('Basic realm="x"', good=lambda a, r: a == "Basic " + SECRET),
    "basic-among-others": asks('Negotiate, Basic realm="a \\" b, c=d", NewScheme abc=',
                               good=lambda a, r: a == "Basic " + SECRET),
    "digest-md5": asks(DIGEST, good=lambda a, r: digest_right("md5", a, r)),
    "digest-old": asks('Digest realm="est realm", nonce="abc"',
                       good=lambda a, r: digest_right("md5", a, r)),
    "digest-sha256": asks(DIGEST + ', algorithm=SHA-256, opaque="o"',
                          good=lambda a, r: digest_right("sha256", a, r, opaque="o")),
    "digest-sess": asks(DIGEST + ", algorithm=MD5-sess",
                        good=lambda a, r: digest_right("md5", a, r, sess=True)),
    "strongest-digest": asks('Basic realm="x"', DIGEST, DIGEST + ", algorithm=SHA-256",
                             good=lambda a, r: digest_right("sha256", a, r)),
}


@pytest.mark.parametrize("case", AUTH)
def test_challenge_is_met(broker, case):
    with BadEst(AUTH[case]) as server:
        result = run(enroll(server, auth=BASIC), broker)
        assert result["status"] == "ok", result
        told = ["authorization" in r.headers for r in server.requests]
        assert told == [False, False, False, True], "unasked"


def test_bearer(broker):
    with BadEst(asks('Bearer realm="x"', good=lambda a, r: a == "Bearer t0ken==")) as server:
        assert run(enroll(server, auth={"bearer": "t0ken=="}), broker)["status"] == "ok"


def test_digest_that_is_stale(broker):
    def good(given, r):
        return 'nonce="new"' in given and digest_right("md5", given, r)
    handlers = asks(good=good)

    def handler(r):
        nonce = "new" if "authorization" in r.headers else "old"
        out = handlers["simpleenroll"](r)
        return out if out.startswith(b"HTTP/1.1 200") else reply(
            401, WWW_Authenticate='Digest realm="est realm", nonce="%s", qop="auth", stale=%s'
            % (nonce, "true" if nonce == "new" else "false"))
    with BadEst({"simpleenroll": handler}) as server:
        assert run(enroll(server, auth=BASIC), broker)["status"] == "ok"


REFUSED = {  # challenges, auth, words
    "wrong-password": (['Basic realm="x"'], BASIC, "refuses user 'estuser'"),
    "no-credentials": (['Basic realm="x"'], {}, "user and password"),
    "bearer-unknown": (['Bearer realm="x"'], BASIC, "bearer token"),
    "wrong-token": (['Bearer realm="x"'], {"bearer": "t"}, "bearer token"),
    "no-challenge": ([], BASIC, "who we are"),
    "unknown-scheme": (["Negotiate"], BASIC, "who we are"),
    "auth-int-only": (['Digest realm="x", nonce="n", qop="auth-int"'], BASIC, "who we are"),
    "unknown-hash": (['Digest realm="x", nonce="n", algorithm=SHA3-512'], BASIC, "who we are"),
    "stale-for-ever": (['Digest realm="x", nonce="n", stale=true'], BASIC, "estuser"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_challenge_is_not_met(broker, case):
    challenges, auth, words = REFUSED[case]
    with BadEst(asks(*challenges, good=lambda a, r: False)) as server:
        result = run(enroll(server, auth=auth), broker)
        assert result["status"] == "auth" and words in result["message"], result
        assert server.ops().count("simpleenroll") <= 3
        assert "estpwd" not in str(result) and SECRET not in str(result)


# ---------------------------------------------------------------- redirects

def moved(server, op, code=302, to=None):
    """`op` redirects to `to`; there it works."""
    right = server.handlers[op]
    server.handlers["elsewhere"] = right
    server.handlers[op] = lambda r: reply(code, Location=to or "/x/elsewhere")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("form", ["path", "url", "relative", "network-path"])
def test_redirect_within_the_origin(broker, code, form):
    with BadEst() as server:
        moved(server, "cacerts", code, {
            "path": "/x/elsewhere", "url": server.url.upper().replace("HTTPS", "https") + "/elsewhere",
            "relative": "elsewhere", "network-path": server.url[6:] + "/elsewhere"}[form])
        assert run(enroll(server), broker)["status"] == "ok"


def test_redirect_elsewhere(broker):
    """Neither another port, nor another scheme, nor another name gets anything."""
    with BadEst() as server, BadEst() as other:
        for to in (other.url + "/elsewhere", "http://localhost:%d/x" % other.port,
                   "https://127.0.0.1:%d/x" % server.port, "https://localhost:%d@%s/" % (
                       server.port, other.url[8:]), "ftp://localhost/", "file:///etc/passwd"):
            server.handlers["simpleenroll"] = lambda r: reply(307, Location=to)
            result = run(enroll(server, auth=BASIC, follow_redirects=True), broker)
            assert result["status"] == "protocol", (to, result)
            server.handlers["cacerts"], right = (lambda r: reply(302, Location=to)), \
                server.handlers["cacerts"]
            assert run(enroll(server, auth=BASIC), broker)["status"] == "protocol"
            server.handlers["cacerts"] = right
        assert not other.requests


@pytest.mark.parametrize("location", [None, "", "\x01", "/a b", "https://", "https://localhost:0/",
                                      "//", "https://localhost:99999/", "/" + "a" * 5000])
def test_redirect_to_nowhere(broker, location):
    with BadEst({"cacerts": lambda r: reply(302, Location=location)}) as server:
        assert run(enroll(server), broker)["status"] == "protocol"


def test_redirect_loop(broker):
    with BadEst({"cacerts": lambda r: reply(302, Location="/cacerts")}) as server:
        result = run(enroll(server), broker)
        assert result["status"] == "protocol" and len(server.requests) == 4, result


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirected_post(broker, code):
    with BadEst() as server:
        moved(server, "simpleenroll", code)
        result = run(enroll(server), broker)
        assert result["status"] == "protocol" and "follow_redirects" in result["message"]
        assert run(enroll(server, follow_redirects=True), broker)["status"] == "ok"
        assert server.requests[-1].method == "POST" and server.requests[-1].csr


def test_post_answered_with_303(broker):
    with BadEst() as server:
        moved(server, "simpleenroll", 303)
        assert run(enroll(server, follow_redirects=True), broker)["status"] == "protocol"


# ---------------------------------------------------------------- CA certificates

def test_cacerts_are_sorted_out(broker):
    old = Cert("old root", ca=True, begins=-9, days=-1)
    stray = Cert("stray", OTHER_CA, ca=True)
    newer = Cert("EST root G2", ca=True, days=90)
    with BadEst({"cacerts": lambda r: certs(SUB_CA.der, old.der, stray.der, ROOT_CA.der,
                                            newer.der)}) as server:
        result = run({k: v for k, v in enroll(server, op="cacerts").items()
                      if k not in ("key", "subject", "sans", "eku")})
        assert [c.subject for c in chain(result, "cacerts_pem")] == \
            [newer.subject, ROOT_CA.subject, SUB_CA.subject], result
        assert result["cacerts_changed"] and "2 of the CA certificates" in result["warnings"][0]


def test_old_root_is_kept(broker):
    """A server that no longer sends the root by which it is known is still known tomorrow."""
    newer = Cert("EST root G2", ca=True, days=90)
    with BadEst({"cacerts": lambda r: certs(newer.der)}) as server:
        result = run(enroll(server, op="cacerts", key=None, subject=None, sans=None, eku=None))
        assert chain(result, "cacerts_pem") == [newer.cert, ROOT_CA.cert] and result["cacerts_changed"]
        again = run(enroll(server, trust={"mode": "pinned", "pem": result["cacerts_pem"]}), broker)
        assert again["status"] == "ok" and not again["cacerts_changed"], again


def test_cacerts_of_nobody(broker):
    with BadEst({"cacerts": lambda r: certs(Cert("stray", OTHER_CA, ca=True).der)}) as server:
        assert run(enroll(server), broker)["status"] == "tls"
