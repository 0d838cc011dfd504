# SPDX-License-Identifier: Apache-2.0
"""What EST servers wish to see in a request (/csrattrs), and proof of possession."""
import base64
import ssl

import pytest
from cryptography import x509
from cryptography.x509.oid import AttributeOID

from badest import CLIENT, SUB_CA, BadEst, certs, issue, reply
from estlib import enroll, public, run
from estpki import Cert, b64, oid, seq, set_, tlv
from realbroker import RealBroker

BASIC = {"basic": {"username": "estuser", "password": "estpwd"}}


@pytest.fixture(scope="module")
def broker():
    b = RealBroker()
    b.start()
    b.algorithms()
    b.add_key("dev")
    b.add_key("dec", "rsa-2048", usage="decrypt")
    b.add_key("dh", usage="derive")
    yield b
    b.close()


EC, RSA, P384 = oid("1.2.840.10045.2.1"), oid("1.2.840.113549.1.1.1"), oid("1.3.132.0.34")
P256, P521 = oid("1.2.840.10045.3.1.7"), oid("1.3.132.0.35")
SHA256, SHA384, SHA512 = (oid("1.2.840.10045.4.3.%d" % n) for n in (2, 3, 4))
SHA1, MD5 = oid("1.2.840.10045.4.1"), oid("1.2.840.113549.1.1.4")
CHALLENGE, EXT_REQ = oid("1.2.840.113549.1.9.7"), oid("1.2.840.113549.1.9.14")
TEMPLATE, EXT_TEMPLATE = (oid("1.2.840.113549.1.9.16.2.%d" % n) for n in (61, 62))
CN, O, OU = oid("2.5.4.3"), oid("2.5.4.10"), oid("2.5.4.11")
SAN, MUST_STAPLE = oid("2.5.29.17"), oid("1.3.6.1.5.5.7.1.24")
BANK = seq(SAN, tlv(4, seq(tlv(0x82, b"bank.example"))))
STAPLE = seq(MUST_STAPLE, tlv(4, seq(b"\x02\x01\x05")))
V1 = b"\x02\x01\x00"


def wishes(*attrs):
    return {"csrattrs": lambda r: reply(200, b64(seq(*attrs)), "application/csrattrs")}


def template(*parts):
    return wishes(CHALLENGE, seq(TEMPLATE, set_(seq(V1, *parts))))


def rdn(type_, value=None):
    return set_(seq(type_, tlv(12, value) if value is not None else b""))


KEY_WISHES = {  # attributes, status
    "ec": ([seq(EC, set_())], "ok"), "p-256": ([seq(EC, set_(P256))], "ok"),
    "p-384": ([seq(EC, set_(P384))], "key"), "rsa": ([seq(RSA, set_())], "key"),
    "rsa-4096": ([seq(RSA, set_(b"\x02\x02\x10\x00"))], "key"),
    "several": ([seq(EC, set_(P384, P256))], "ok"), "several-kinds": ([seq(RSA, set_()), seq(EC, set_())], "ok"),
    "none-of-several": ([seq(EC, set_(P384, P521)), seq(RSA, set_())], "key"),
    "unknown-curve": ([seq(EC, set_(oid("1.2.3.4.5")))], "key"),
    "unknown-curve-too": ([seq(EC, set_(oid("1.2.3.4.5"), P256))], "ok"),
    "sha-384": ([SHA384], "ok"), "unknown": ([oid("1.3.6.1.1.1.1.22"), seq(oid("1.2.3.4"), set_())],
                                             "ok"),
}


@pytest.mark.parametrize("case", KEY_WISHES)
def test_wish_for_a_key(broker, case):
    attrs, status = KEY_WISHES[case]
    with BadEst(wishes(*attrs)) as server:
        result = run(enroll(server), broker)
        assert result["status"] == status, result
        if status == "key":
            assert "EC P-256" in result["message"] and "simpleenroll" not in server.ops()
        assert run(enroll(server, csrattrs="ignore"), broker)["status"] == "ok"


@pytest.mark.parametrize("key", ["dec", "dh"])
def test_key_that_may_not_sign(broker, key):
    """Its own request neither: nothing is sent."""
    with BadEst() as server:
        result = run(enroll(server, key="holdfast:" + key), broker)
        assert result["status"] == "key" and "holdfast:" + key in result["message"], result
        assert "simpleenroll" not in server.ops()


@pytest.mark.parametrize("wish,used,said", [
    ([SHA384], "sha384", False), ([SHA512, SHA384], "sha512", False), ([SHA384, SHA256], "sha256", False),
    ([SHA1], "sha256", True), ([MD5], "sha256", True), ([SHA1, SHA384], "sha384", False)])
def test_wish_for_a_digest(broker, wish, used, said):
    """One that is strong enough; a wish for SHA-1 does not weaken a request."""
    with BadEst(wishes(*wish)) as server:
        result = run(enroll(server), broker)
        assert result["status"] == "ok" and bool(result["warnings"]) == said, result
        assert asked(server).signature_hash_algorithm.name == used


def asked(server):
    return server.requests[-1].csr


def test_wish_for_extensions(broker):
    with BadEst(wishes(seq(EXT_REQ, set_(seq(STAPLE))))) as server:
        result = run(enroll(server), broker)
        assert result["status"] == "ok" and result["csrattrs"]["extensions"] == ["tlsfeature"], result
        assert asked(server).extensions.get_extension_for_class(x509.TLSFeature)


def test_wish_for_another_value(broker):
    """What was asked for here is not overruled by a server: least of all CA:TRUE."""
    ca = seq(oid("2.5.29.19"), tlv(4, seq(b"\x01\x01\xff")))
    with BadEst(wishes(seq(EXT_REQ, set_(seq(ca, BANK))))) as server:
        result = run(enroll(server), broker)
        assert result["status"] == "ok" and "subjectAltName" in result["warnings"][0], result
        names = asked(server).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(names) == [x509.DNSName("device-1.example")]
        assert not [e for e in asked(server).extensions
                    if e.oid == x509.ExtensionOID.BASIC_CONSTRAINTS]


@pytest.mark.parametrize("parts,subject,status", [
    ([seq(rdn(CN))], "CN=device-1", "ok"),
    ([seq(rdn(O, b"Example"), rdn(CN))], "CN=device-1,O=Example", "ok"),
    ([seq(rdn(O), rdn(CN))], "", "job"),
    ([seq(rdn(CN)), tlv(0xA0, seq(EC, P256))], "CN=device-1", "ok"),
    ([seq(rdn(CN)), tlv(0xA0, seq(EC, P384))], "", "key"),
    ([tlv(0xA0, seq(RSA, b"\x05\0"), tlv(3, b"\0", seq(tlv(2, b"\0" + b"\xff" * 512),
                                                         b"\x02\x01\x03")))], "", "key"),
    ([tlv(0xA1, seq(EXT_TEMPLATE, set_(seq(STAPLE, seq(SAN)))))], "CN=device-1", "ok"),
    ([b"\x30\x05junk!"], "", "protocol"),
    ([seq()], "CN=device-1", "ok"),  # no subject is no wish for one
    ([seq(rdn(CN, b"device-1"))], "CN=device-1", "ok"),
])
def test_template(broker, parts, subject, status):
    """RFC 9908: only the template counts, also where challengePassword stands beside it."""
    with BadEst(template(*parts)) as server:
        result = run(enroll(server), broker)
        assert result["status"] == status, result
        if status == "ok":
            assert not result["binding"] and result["csrattrs"]["template"]
            found = {a.rfc4514_attribute_name: a.value for a in asked(server).subject}
            assert found == dict(p.split("=") for p in subject.split(","))


SUBJECT = "CN=device-1,OU=a,OU=b"


@pytest.mark.parametrize("parts,sent,tolerated", [
    ([rdn(CN, b"bank"), rdn(OU), rdn(OU)], "", "CN=bank,OU=a,OU=b"),
    ([rdn(CN), rdn(OU, b"c"), rdn(OU)], "", "CN=device-1,OU=c,OU=a"),
    ([rdn(CN), rdn(OU)], "", "CN=device-1,OU=a"),
    ([rdn(O, b"bank")], "", "O=bank"),
    ([rdn(CN), rdn(OU), rdn(OU)], SUBJECT, SUBJECT),
    ([rdn(CN), rdn(OU, b"b"), rdn(OU)], "CN=device-1,OU=b,OU=a", "CN=device-1,OU=b,OU=a"),
    ([rdn(O, b"Example"), rdn(CN), rdn(OU), rdn(OU)], "O=Example," + SUBJECT, "O=Example," + SUBJECT),
])
def test_template_of_a_subject(broker, parts, sent, tolerated):
    """It fills in; it does not make this device another one, unless that is tolerated."""
    def subject():
        return ",".join("%s=%s" % (a.rfc4514_attribute_name, a.value) for a in asked(server).subject)
    with BadEst(template(seq(*parts))) as server:
        result = run(enroll(server, subject=SUBJECT), broker)
        assert result["status"] == ("ok" if sent else "job"), result
        if sent:
            assert subject() == sent
        else:
            assert "simpleenroll" not in server.ops() and "tolerate" in result["message"], result
        result = run(enroll(server, subject=SUBJECT, tolerate=["subject"]), broker)
        assert result["status"] == "ok" and subject() == tolerated, result


@pytest.mark.parametrize("tolerate", [None, ["san"]])
def test_wish_for_a_name_where_there_is_none(broker, tolerate):
    """A subjectAltName that nobody asked for is not sent, unless that is tolerated."""
    with BadEst(wishes(seq(EXT_REQ, set_(seq(BANK))))) as server:
        result = run(enroll(server, sans=None, tolerate=tolerate), broker)
        names = [e for e in asked(server).extensions if e.oid == x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME]
        assert result["status"] == "ok" and len(names) == bool(tolerate), result
        assert bool(result["warnings"]) != bool(tolerate)


def test_wish_for_a_name_in_a_renewal(broker):
    """RFC 7030, section 4.2.2: the names of the certificate that is replaced, which has no SAN."""
    old = Cert("device-1", SUB_CA, public=public(broker, "dev"), eku=(CLIENT,))
    with BadEst(wishes(seq(EXT_REQ, set_(seq(BANK))))) as server:
        result = run(enroll(server, op="reenroll", subject=None, sans=None, eku=None,
                            replace_pem=old.pem, tolerate=["san"]), broker)
        assert result["status"] == "ok" and "subjectAltName" in result["warnings"][0], result
        assert [e.oid for e in asked(server).extensions] == [x509.ExtensionOID.EXTENDED_KEY_USAGE]


# ---------------------------------------------------------------- channel binding

def bound(r):
    attr = [a for a in r.csr.attributes if a.oid == AttributeOID.CHALLENGE_PASSWORD]
    return base64.b64decode(attr[0].value) if attr else None


def demanding(r):
    return certs(issue(r).der, SUB_CA.der) if r.binding and bound(r) == r.binding else reply(
        401, b"Proof of Possession Mismatch", "text/plain")


def tls12(context):
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def test_tls_unique(broker):
    with BadEst(dict(wishes(CHALLENGE), simpleenroll=demanding), tls=tls12) as server:
        result = run(enroll(server), broker)
        assert (result["status"], result["binding"]) == ("ok", "tls-unique"), result


@pytest.mark.parametrize("auth", [{}, BASIC])
def test_tls_unique_on_a_new_connection(broker, auth):
    """The server closes after each answer, as libest does: the request is signed anew for each."""
    def handler(r):
        if auth and "authorization" not in r.headers:
            return reply(401, WWW_Authenticate='Basic realm="x"', Connection="close")
        return demanding(r)
    csrattrs = wishes(CHALLENGE)["csrattrs"]
    with BadEst({"simpleenroll": handler, "csrattrs": lambda r: csrattrs(r).replace(
            b"HTTP/1.1", b"HTTP/1.0", 1)}, tls=tls12) as server:
        result = run(enroll(server, auth=auth), broker)
        assert result["status"] == "ok", result


def test_server_that_knows_tls_unique_only(broker):
    """Over TLS 1.3 it refuses the exporter's value; over 1.2 it gets what it knows."""
    with BadEst(dict(wishes(CHALLENGE), simpleenroll=demanding)) as server:
        result = run(enroll(server), broker)
        assert (result["status"], result["binding"], result["tls"]) == ("ok", "tls-unique", "TLSv1.2")
        assert server.ops().count("simpleenroll") == 2


@pytest.mark.parametrize("binding,size,version", [
    ("tls-exporter", 32, "TLSv1.3"), ("tls-unique", 12, "TLSv1.2"), ("none", None, "TLSv1.3"),
    ("auto", None, "TLSv1.3")])
def test_binding_unasked(broker, binding, size, version):
    with BadEst() as server:
        result = run(enroll(server, binding=binding), broker)
        assert (result["status"], result["tls"]) == ("ok", version)
        value = bound(server.requests[-1])
        assert (value and len(value)) == size


def test_no_extended_master_secret(broker):
    def without(context):
        tls12(context)
        context.options |= 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET
        assert isinstance(context, ssl.SSLContext)
    with BadEst(dict(wishes(CHALLENGE), simpleenroll=demanding), tls=without) as server:
        result = run(enroll(server), broker)
        assert result["status"] == "tls" and "extended master secret" in result["message"], result
