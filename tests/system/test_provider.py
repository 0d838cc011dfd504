# SPDX-License-Identifier: Apache-2.0
"""Keys of holdfast in OpenSSL's own commands, with software keys behind a fake broker: in
every order of providers, and without a property query anywhere."""
import hashlib
import os
import re

import pytest

from provider_env import stack_fixtures

KEYS = {"ec": ("ec-p256", "sign"), "ec384": ("ec-p384", "sign"), "ec521": ("ec-p521", "sign"),
        "rsa": ("rsa-2048", "sign"), "rsa3072": ("rsa-3072", "sign"), "ed": ("ed25519", "sign"),
        "edge-ca": ("ec-p256", "ca"), "rsa-ca": ("rsa-2048", "ca"), "turning": ("ec-p256", "sign")}
SIGNERS = [name for name, (_, usage) in KEYS.items() if usage == "sign"]
brokers, stack, broker, openssl = stack_fixtures(KEYS)

EXT = """basicConstraints=CA:FALSE
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
subjectAltName=DNS:localhost
"""
CA_REQ = """
[req]
distinguished_name = dn
x509_extensions = ca
[dn]
[ca]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,digitalSignature,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""


def make_ca(openssl, key="edge-ca"):
    openssl.file("ca-req.cnf", CA_REQ)
    openssl("req", "-x509", "-new", "-config", "ca-req.cnf", "-key", f"holdfast:{key}", "-subj",
            f"/CN={key}", "-days", "30", "-out", f"{key}.pem")
    return f"{key}.pem"


def issue(openssl, key, ca="edge-ca"):
    """A certificate for a key, by a ca key."""
    openssl.file("ext.cnf", EXT)
    openssl("req", "-new", "-key", f"holdfast:{key}", "-subj", "/CN=localhost", "-out",
            f"{key}.csr")
    openssl("x509", "-req", "-in", f"{key}.csr", "-CA", f"{ca}.pem", "-CAkey", f"holdfast:{ca}",
            "-CAcreateserial", "-days", "10", "-extfile", "ext.cnf", "-out", f"{key}.pem")
    return f"{key}.pem"


def test_provider_is_listed(openssl):
    out = openssl("list", "-providers", "-verbose").text
    assert "holdfast: keys in a TPM or HSM" in out
    assert "status: active" in out


@pytest.mark.parametrize("key", SIGNERS)
def test_csr(openssl, key):
    openssl("req", "-new", "-key", f"holdfast:{key}", "-subj", "/CN=x", "-out", "csr.pem")
    r = openssl.plain("req", "-in", "csr.pem", "-verify", "-noout")
    assert "verify OK" in r.errors + r.text


@pytest.mark.parametrize("key", SIGNERS)
def test_self_signed_from_uri_and_reference(openssl, key):
    ref = openssl.reference(key)
    for source in (f"holdfast:{key}", ref):
        openssl("req", "-x509", "-new", "-key", source, "-subj", "/CN=x", "-out", "x.pem")
        openssl.plain("verify", "-x509_strict", "-CAfile", "x.pem", "x.pem")
        assert b"Version: 3" in openssl.plain("x509", "-in", "x.pem", "-noout", "-text").out


@pytest.mark.parametrize("md", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("key", ["ec", "ec384", "rsa"])
def test_csr_digests(openssl, key, md):
    openssl("req", "-new", "-key", f"holdfast:{key}", f"-{md}", "-subj", "/CN=x", "-out", "csr.pem")
    openssl.plain("req", "-in", "csr.pem", "-verify", "-noout")
    text = openssl.plain("req", "-in", "csr.pem", "-noout", "-text").text
    assert re.search(rf"Signature Algorithm: .*{md}", text, re.I)


@pytest.mark.parametrize("ca", ["edge-ca", "rsa-ca"])
@pytest.mark.parametrize("key", ["ec", "rsa", "ed"])
def test_issue(openssl, ca, key):
    make_ca(openssl, ca)
    issue(openssl, key, ca)
    openssl.plain("verify", "-x509_strict", "-CAfile", f"{ca}.pem", f"{key}.pem")


def test_ca_key_signs_from_reference_too(openssl):
    make_ca(openssl)
    ref = openssl.reference("edge-ca")
    openssl.file("ext.cnf", EXT)
    openssl("req", "-new", "-key", "holdfast:ec", "-subj", "/CN=x", "-out", "csr.pem")
    openssl("x509", "-req", "-in", "csr.pem", "-CA", "edge-ca.pem", "-CAkey", ref,
            "-CAcreateserial", "-days", "20", "-extfile", "ext.cnf", "-out", "x.pem")
    openssl.plain("verify", "-CAfile", "edge-ca.pem", "x.pem")


def test_refusal_of_a_version_1_certificate_names_extfile(openssl):
    make_ca(openssl)
    openssl("req", "-new", "-key", "holdfast:ec", "-subj", "/CN=x", "-out", "csr.pem")
    r = openssl.fails("x509", "-req", "-in", "csr.pem", "-CA", "edge-ca.pem", "-CAkey",
                      "holdfast:edge-ca", "-CAcreateserial", "-out", "x.pem")
    assert "-extfile" in r.errors and "edge-ca" in r.errors


CA_CONF = """
[ca]
default_ca = c
[c]
dir = .
database = index.txt
serial = serial
crlnumber = crlnumber
new_certs_dir = .
default_md = sha256
default_days = 10
default_crl_days = 10
policy = p
x509_extensions = x
rand_serial = yes
[p]
commonName = supplied
[x]
basicConstraints = CA:FALSE
"""


def test_openssl_ca_and_crl(openssl):
    make_ca(openssl)
    openssl.file("ca.cnf", CA_CONF)
    openssl.file("index.txt", "")
    openssl.file("crlnumber", "01\n")
    openssl("req", "-new", "-key", "holdfast:rsa", "-subj", "/CN=x", "-out", "csr.pem")
    args = ["-config", "ca.cnf", "-cert", "edge-ca.pem", "-keyfile", "holdfast:edge-ca", "-batch"]
    openssl("ca", *args, "-in", "csr.pem", "-out", "x.pem", "-notext")
    openssl.plain("verify", "-CAfile", "edge-ca.pem", "x.pem")
    openssl("ca", *args, "-revoke", "x.pem")
    openssl("ca", *args, "-gencrl", "-out", "crl.pem")
    r = openssl.plain("crl", "-in", "crl.pem", "-CAfile", "edge-ca.pem", "-noout")
    assert "verify OK" in r.errors + r.text


@pytest.mark.parametrize("md", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("key", ["ec", "ec521", "rsa"])
def test_dgst(openssl, key, md):
    openssl.file("data", os.urandom(200000))
    ref = openssl.reference(key)
    openssl("pkey", "-in", f"holdfast:{key}", "-pubout", "-out", "pub.pem")
    openssl("dgst", f"-{md}", "-sign", ref, "-out", "sig", "data")
    openssl.plain("dgst", f"-{md}", "-verify", "pub.pem", "-signature", "sig", "data")
    # by us as well: both halves of the key come from the reference
    openssl("dgst", f"-{md}", "-prverify", ref, "-signature", "sig", "data")
    openssl.file("data2", b"something else")
    r = openssl.fails("dgst", f"-{md}", "-prverify", ref, "-signature", "sig", "data2")
    assert "Verification failure" in r.text + r.errors


@pytest.mark.parametrize("salt", [None, "digest", "auto", "32", "-1"])
def test_dgst_pss(openssl, salt):
    openssl.file("data", b"data")
    opts = ["-sigopt", "rsa_padding_mode:pss"]
    if salt:
        opts += ["-sigopt", f"rsa_pss_saltlen:{salt}"]
    openssl("dgst", "-sha256", "-sign", openssl.reference("rsa"), *opts, "-out", "sig", "data")
    openssl("pkey", "-in", "holdfast:rsa", "-pubout", "-out", "pub.pem")
    # the verifier insists on a salt as long as the digest
    openssl.plain("dgst", "-sha256", "-verify", "pub.pem", "-sigopt", "rsa_padding_mode:pss",
                  "-sigopt", "rsa_pss_saltlen:32", "-signature", "sig", "data")


@pytest.mark.parametrize("opt", ["rsa_pss_saltlen:max", "rsa_pss_saltlen:20", "rsa_mgf1_md:sha512"])
def test_pss_that_cannot_be_honoured(openssl, opt):
    openssl.file("data", b"data")
    r = openssl.fails("dgst", "-sha256", "-sign", openssl.reference("rsa"), "-sigopt",
                      "rsa_padding_mode:pss", "-sigopt", opt, "-out", "sig", "data")
    assert "PSS" in r.errors and "rsa" in r.errors


def test_pss_csr_and_certificate(openssl):
    openssl("req", "-x509", "-new", "-key", "holdfast:rsa", "-subj", "/CN=x", "-sha384", "-sigopt",
            "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", "-out", "x.pem")
    openssl.plain("verify", "-CAfile", "x.pem", "x.pem")
    text = openssl.plain("x509", "-in", "x.pem", "-noout", "-text").text
    assert "rsassaPss" in text and re.search("Salt Length: 0x30", text)


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_unsupported_digest(openssl, key):
    openssl.file("data", b"data")
    r = openssl.fails("dgst", "-sha224", "-sign", openssl.reference(key), "-out", "sig", "data")
    assert "SHA256" in r.errors and key in r.errors


def test_sha1_is_for_old_peers(openssl):
    """RSA PKCS#1 alone has it; ECDSA and PSS do not."""
    openssl.file("data", b"data")
    openssl("pkey", "-in", "holdfast:rsa", "-pubout", "-out", "pub.pem")
    openssl("dgst", "-sha1", "-sign", "holdfast:rsa", "-out", "sig", "data")
    openssl.plain("dgst", "-sha1", "-verify", "pub.pem", "-signature", "sig", "data")
    for key, options in (("ec", []), ("rsa", ["-sigopt", "rsa_padding_mode:pss"])):
        openssl.fails("dgst", "-sha1", *options, "-sign", f"holdfast:{key}", "-out", "sig", "data")


@pytest.mark.parametrize("key,opts,ok", [
    ("ec", [], True), ("ec", ["-pkeyopt", "digest:sha256"], True),
    ("rsa", ["-pkeyopt", "digest:sha256"], True),
    ("rsa", ["-pkeyopt", "digest:sha256", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt",
             "rsa_pss_saltlen:digest"], True),
    ("rsa", ["-pkeyopt", "rsa_padding_mode:none"], False),
    ("rsa", [], False), ("ec", ["-pkeyopt", "digest:sha512"], False)])
def test_pkeyutl_digest(openssl, key, opts, ok):
    openssl.file("digest", hashlib.sha256(b"data").digest())
    args = ["pkeyutl", "-sign", "-inkey", f"holdfast:{key}", "-in", "digest", "-out", "sig", *opts]
    if not ok:
        openssl.fails(*args)
        return
    openssl(*args)
    openssl("pkey", "-in", f"holdfast:{key}", "-pubout", "-out", "pub.pem")
    openssl.plain("pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-in", "digest", "-sigfile",
                  "sig", *opts)
    openssl("pkeyutl", "-verify", "-inkey", f"holdfast:{key}", "-in", "digest", "-sigfile", "sig",
            *opts)


def test_pkeyutl_digest_info(openssl):
    """TLS 1.1-era programs bring the DigestInfo themselves."""
    prefix = bytes.fromhex("3031300d060960864801650304020105000420")
    openssl.file("info", prefix + hashlib.sha256(b"data").digest())
    openssl.file("data", b"data")
    openssl("pkeyutl", "-sign", "-inkey", "holdfast:rsa", "-in", "info", "-out", "sig")
    openssl("pkey", "-in", "holdfast:rsa", "-pubout", "-out", "pub.pem")
    openssl.plain("dgst", "-sha256", "-verify", "pub.pem", "-signature", "sig", "data")
    r = openssl("pkeyutl", "-verifyrecover", "-inkey", "holdfast:rsa", "-in", "sig")
    assert r.out == prefix + hashlib.sha256(b"data").digest()


@pytest.mark.parametrize("key,opts", [("ec", ["-digest", "sha256"]), ("ed", []),
                                      ("rsa", ["-digest", "sha256"])])
def test_pkeyutl_rawin(openssl, key, opts):
    openssl.file("data", b"data")
    openssl("pkeyutl", "-sign", "-inkey", f"holdfast:{key}", "-rawin", *opts, "-in", "data", "-out",
            "sig")
    openssl("pkey", "-in", f"holdfast:{key}", "-pubout", "-out", "pub.pem")
    openssl.plain("pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-rawin", *opts, "-in",
                  "data", "-sigfile", "sig")


@pytest.mark.parametrize("key,opts", [("ec", []), ("rsa", []),
                                      ("rsa", ["-keyopt", "rsa_padding_mode:pss"])])
def test_cms_sign(openssl, key, opts):
    make_ca(openssl)
    issue(openssl, key)
    openssl.file("data", b"data\n" * 1000)
    openssl("cms", "-sign", "-binary", "-nodetach", "-in", "data", "-signer", f"{key}.pem",
            "-inkey", f"holdfast:{key}", "-md", "sha256", *opts, "-outform", "PEM", "-out", "cms.pem")
    r = openssl.plain("cms", "-verify", "-inform", "PEM", "-in", "cms.pem", "-CAfile",
                      "edge-ca.pem", "-purpose", "any", "-binary")
    assert r.out == b"data\n" * 1000


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_smime_sign(openssl, key):
    make_ca(openssl)
    issue(openssl, key)
    openssl.file("data", b"data\n")
    openssl("smime", "-sign", "-in", "data", "-signer", f"{key}.pem", "-inkey", f"holdfast:{key}",
            "-md", "sha256", "-out", "mail")
    openssl.plain("smime", "-verify", "-in", "mail", "-CAfile", "edge-ca.pem", "-purpose", "any")


@pytest.mark.parametrize("key", ["ec", "rsa", "ed"])
def test_pkey_shows_public_parts_and_no_secret(openssl, broker, key):
    pub = openssl("pkey", "-in", f"holdfast:{key}", "-pubout").out
    assert pub == openssl("pkey", "-pubin", "-in", f"holdfast:{key}").out
    assert pub == openssl("pkey", "-in", openssl.reference(key), "-pubout").out
    der = openssl("pkey", "-in", f"holdfast:{key}", "-pubout", "-outform", "DER").out
    assert der == broker.keys[key].current.spki
    text = openssl("pkey", "-in", f"holdfast:{key}", "-noout", "-text").text
    assert f"Name: {key}" in text and broker.keys[key].current.hash.hex() in text
    out = openssl("pkey", "-in", f"holdfast:{key}", "-text").out
    assert b"HOLDFAST KEY REFERENCE" in out
    assert b"PRIVATE KEY" not in out
    openssl("pkey", "-in", f"holdfast:{key}", "-noout", "-check")


def test_private_key_leaves_in_no_form(openssl):
    for args in (["-outform", "DER"], ["-traditional"], ["-aes256", "-passout", "pass:x"]):
        r = openssl.fails("pkey", "-in", "holdfast:ec", *args)
        assert b"PRIVATE" not in r.out and len(r.out) < 100
    openssl("req", "-x509", "-new", "-key", "holdfast:ec", "-subj", "/CN=x", "-out", "x.pem")
    openssl.fails("pkcs12", "-export", "-in", "x.pem", "-inkey", "holdfast:ec", "-passout",
                  "pass:x", "-out", "x.p12")


def test_store(openssl, broker):
    out = openssl("storeutl", "holdfast:").text
    for name in broker.keys:
        assert f"holdfast:{name}\n" in out
    assert "Total found: %d" % len(broker.keys) in out
    assert "1: Pkey" not in openssl("storeutl", "-keys", "holdfast:ec").text
    openssl("storeutl", "-keys", "HOLDFAST:ec")
    # who does not say what he wants gets the pair; one who wants the key or the public key, that one
    for want, kinds in (((), ["Pkey", "Public key"]), (("-keys",), ["Pkey"])):
        said = openssl("storeutl", "-noout", *want, "holdfast:ec").text
        assert re.findall(r"^\d: (.*)$", said, re.M) == kinds, said
    assert "Certificate" not in openssl("storeutl", "-certs", "holdfast:ec").text
    hash_uri = "holdfast:sha256:" + broker.keys["ec"].current.hash.hex()
    assert b"KEY REFERENCE" in openssl("pkey", "-in", hash_uri).out


def test_certificate_picks_the_generation(openssl, broker):
    openssl("req", "-x509", "-new", "-key", "holdfast:turning", "-subj", "/CN=1", "-out", "1.pem")
    old = openssl("pkey", "-in", "holdfast:turning", "-pubout").out
    broker.rotate("turning")
    new = openssl("pkey", "-in", "holdfast:turning", "-pubout").out
    assert old != new
    cert = openssl.path("1.pem")
    uri = f"holdfast:turning?cert={cert.replace('/', '%2F')}"
    assert openssl("pkey", "-in", uri, "-pubout").out == old
    assert openssl("pkey", "-in", "holdfast:turning?cert=1.pem", "-pubout").out == old
    # certificates of the store are that file's
    assert "CERTIFICATE" in openssl("storeutl", "-certs", f"holdfast:turning?cert={cert}").text
    ref = openssl.reference("turning", uri)
    openssl.file("data", b"data")
    for expected in (old, new):
        assert openssl("pkey", "-in", ref, "-pubout").out == expected
        openssl("dgst", "-sha256", "-sign", ref, "-out", "sig", "data")
        openssl.file("pub.pem", expected)
        openssl.plain("dgst", "-sha256", "-verify", "pub.pem", "-signature", "sig", "data")
        # the rename of the certificate is the commit
        openssl("req", "-x509", "-new", "-key", "holdfast:turning", "-subj", "/CN=2", "-out",
                "2.pem")
        os.replace(openssl.path("2.pem"), cert)
    os.unlink(cert)
    assert openssl("pkey", "-in", ref, "-pubout").out == old  # the key that is embedded
    openssl.file("1.pem", "not a certificate")
    assert openssl("pkey", "-in", ref, "-pubout").out == old


def test_other_peoples_keys_are_left_alone(openssl):
    """Everything but our keys works as if we were not there."""
    for args in (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                 ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
                 ["-algorithm", "ED25519"]):
        openssl("genpkey", *args, "-out", "k.pem")
        openssl("req", "-x509", "-new", "-key", "k.pem", "-subj", "/CN=x", "-out", "x.pem")
        openssl("verify", "-CAfile", "x.pem", "x.pem")
        openssl("pkey", "-in", "k.pem", "-aes256", "-passout", "pass:x", "-out", "e.pem")
        openssl("pkey", "-in", "e.pem", "-passin", "pass:x", "-noout")
        openssl("pkey", "-in", "k.pem", "-outform", "DER", "-out", "k.der")
        openssl("pkey", "-in", "k.der", "-inform", "DER", "-noout")
