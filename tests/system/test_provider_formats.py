# SPDX-License-Identifier: Apache-2.0
"""What the provider reads and writes: key references in bundles, TPM key files beside
tpm2-openssl, RSA-PSS keys, searches of the store; and what it tells about keys."""
import base64
import os
import re
import socket
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization

from fakebroker import Generation
from keeperlib import Swtpm
from provider_env import BUILD, ORDERS, Openssl, fake, short_dir  # noqa: F401
from realbroker import RealBroker
from test_provider_tls import handshake

HOST = f"{BUILD}/tests/system/provider-host"
KEYS = {"ec": "ec-p256", "ec384": "ec-p384", "ec521": "ec-p521", "rsa": "rsa-2048",
        "ed": "ed25519"}


@pytest.fixture
def broker(fake):  # noqa: F811
    for name, algorithm in KEYS.items():
        fake.add_key(name, algorithm)
    return fake


@pytest.fixture
def openssl(broker, tmp_path):
    return Openssl(str(tmp_path), broker.path, "dropin")


@pytest.fixture(params=sorted(ORDERS))
def anyhow(request, broker, tmp_path):
    """In every order of providers."""
    return Openssl(str(tmp_path), broker.path, request.param)


def signs(openssl, key, *options):
    """The key can be used, and what it signs is what the public half verifies."""
    openssl.file("data", "something")
    openssl("dgst", "-sha256", *options, "-sign", key, "-out", "sig", "data")
    openssl("pkey", "-in", key, "-pubout", "-out", "key.pub")
    openssl.plain("dgst", "-sha256", *options, "-verify", "key.pub", "-signature", "sig", "data")


@pytest.mark.parametrize("command,n", [("write", 1), ("params", 6), ("self-test", 1)])
@pytest.mark.parametrize("key", ["ec", "ec521", "rsa"])
def test_host(openssl, command, n, key):
    r = openssl.run(HOST, command, f"holdfast:{key}", str(n))
    assert r.code == 0 and r.errors == "", r.errors


def test_ed25519_has_no_digest(anyhow):
    """OpenSSL's own refuses one, too; what is signed must not be something else than was asked."""
    openssl = anyhow
    openssl.file("data", "something")
    openssl("req", "-x509", "-new", "-sha256", "-key", "holdfast:ed", "-subj", "/CN=x", "-out", "x.pem")
    openssl("pkey", "-in", "holdfast:ed", "-pubout", "-out", "ed.pub")
    sign = ["pkeyutl", "-sign", "-rawin", "-inkey", "holdfast:ed", "-in", "data", "-out", "sig"]
    openssl(*sign)
    openssl.plain("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "ed.pub", "-in", "data",
                  "-sigfile", "sig")
    for how in ([*sign, "-digest", "sha256"],
                ["pkeyutl", "-verify", "-rawin", "-digest", "sha256", "-inkey", "holdfast:ed",
                 "-in", "data", "-sigfile", "sig"]):
        r = openssl.fails(*how)
        # ours; from 3.5 on pkeyutl does not come as far as that
        assert "invalid digest" in r.errors or "not supported with ED25519" in r.errors, r.errors
    for md, why in ([], "no default digest"), (["-md", "sha512"], "invalid digest"):
        r = openssl.run("openssl", "cms", "-sign", "-signer", "x.pem", "-inkey", "holdfast:ed", *md,
                        "-in", "data", "-out", "cms")
        if r.code:
            assert why in r.errors, r.errors  # 3.0 cannot
        else:  # later: SHA-512 is of the attributes, and those are signed whole (RFC 8419)
            openssl.plain("cms", "-verify", "-in", "cms", "-CAfile", "x.pem", "-purpose", "any")


def test_md5_with_sha1(openssl):
    """Of TLS 1.0 and 1.1."""
    openssl.file("both", bytes(36))
    r = openssl.fails("pkeyutl", "-sign", "-inkey", "holdfast:rsa", "-in", "both", "-pkeyopt",
                      "digest:md5-sha1")
    assert "holdfast" in r.errors and "rsa" in r.errors and "MD5-SHA1" in r.errors.upper(), r.errors


@pytest.mark.parametrize("key", ["ec", "rsa", "ed"])
def test_search(openssl, key):
    r = openssl.run(HOST, "search", key, "1")
    assert r.code == 0 and r.errors == "", r.errors


def test_certificates_of_a_uri(openssl, broker):
    """The whole chain of the file, in its order, whatever else is in it; or one in DER."""
    openssl("req", "-x509", "-new", "-key", "holdfast:ec", "-subj", "/CN=first", "-out", "a.pem")
    openssl("req", "-x509", "-new", "-key", "holdfast:rsa", "-subj", "/CN=second", "-out", "b.pem")
    openssl("req", "-new", "-key", "holdfast:ec", "-subj", "/CN=request", "-out", "r.pem")
    openssl("x509", "-in", "a.pem", "-outform", "DER", "-out", "a.der")
    openssl.file("chain.pem", b"words\n".join(openssl.read(n) for n in ("r.pem", "a.pem", "b.pem")))
    for name, subjects in (("chain.pem", ["first", "second"]), ("a.der", ["first"])):
        r = openssl("storeutl", "-certs", "-noout", "-text",
                    f"holdfast:ec?cert={openssl.path(name)}")
        assert re.findall(r"Subject: CN ?= ?(\w+)", r.text) == subjects and r.errors == "", r.text
        assert f"Total found: {len(subjects)}" in r.text
        assert "of 'ec'" in openssl("pkey", "-in", f"holdfast:ec?cert={openssl.path(name)}").text
    r = openssl.fails("storeutl", "-certs", f"holdfast:ec?cert={openssl.path('r.pem')}")
    assert "r.pem: no certificate in it" in r.errors, r.errors


def test_search_by_command(openssl, fake):  # noqa: F811
    assert "Total found: 1" in openssl("storeutl", "-keys", "-alias", "ec", "holdfast:").text
    print_of = fake.keys["rsa"].current.hash.hex()
    out = openssl("storeutl", "-keys", "-sha256", "-fingerprint", print_of, "holdfast:").text
    assert "Total found: 1" in out and "of 'rsa'" in out
    r = openssl.fails("storeutl", "-keys", "-sha1", "-fingerprint", "00" * 20, "holdfast:")
    assert "SHA256" in r.errors


def test_self_test_without_a_broker(openssl):
    r = openssl.run(HOST, "self-test", "-", "1", env={"HOLDFAST_SOCKET": "/nowhere/s"})
    assert r.code == 1 and "self-test" in r.errors and "/nowhere/s" in r.errors, r.errors


@pytest.mark.parametrize("n,key", enumerate(["ec", "rsa", "ed"]))
def test_messages_by_the_name_of_the_signature(openssl, n, key):
    r = openssl.run(HOST, "message", f"holdfast:{key}", str(n))
    assert r.code == 0 and r.errors == "", r.errors
    version = [int(n) for n in re.search(r"OpenSSL (\d+)\.(\d+)", openssl("version").text).groups()]
    assert r.text == ("signed\n" if version >= [3, 4] else "not before 3.4\n")


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_bundle(anyhow, key):
    """Certificate and reference in one file, either first; what is between them is text."""
    openssl = anyhow
    openssl("req", "-x509", "-new", "-key", f"holdfast:{key}", "-subj", "/CN=x", "-out", "x.pem")
    parts = [openssl.read("x.pem"), openssl.read(openssl.reference(key))]
    for n, bundle in enumerate((parts, parts[::-1], [parts[0], *parts])):
        name = f"bundle{n}.pem"
        openssl.file(name, b"some words\n".join(bundle))
        signs(openssl, name)
        openssl("req", "-new", "-key", name, "-subj", "/CN=y", "-out", "y.csr")
        openssl.plain("req", "-in", "y.csr", "-verify", "-noout")


# ---------------------------------------------------------------- TSS2 PRIVATE KEY

def der(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    if n < 0x80:
        return bytes([tag, n]) + body
    return bytes([tag, 0x82, n >> 8, n & 255]) + body


def sized(data):
    return len(data).to_bytes(2, "big") + data


def tpm_public(spki):
    key = serialization.load_der_public_key(spki)
    numbers = key.public_numbers()
    head = bytes.fromhex("000b") + bytes(4) + sized(b"")
    if hasattr(numbers, "n"):
        return sized(b"\0\x01" + head + bytes.fromhex("00100010") + key.key_size.to_bytes(2, "big") +
                     bytes(4) + sized(numbers.n.to_bytes(key.key_size // 8, "big")))
    curve = {256: 3, 384: 4, 521: 5}[key.curve.key_size]
    # as short as they are: a TPM may leave zeros out
    x, y = (v.to_bytes((v.bit_length() + 7) // 8, "big") for v in (numbers.x, numbers.y))
    return sized(b"\0\x23" + head + bytes.fromhex("00100018000b") + curve.to_bytes(2, "big") +
                 bytes.fromhex("0010") + sized(x) + sized(y))


OID = bytes.fromhex("06066781050a0103")
MINIMAL = [der(0xa0, b"\x01\x01\x01")]
FULL = [der(0xa0, b"\x01\x01\xff"), der(0xa4, der(0x0c, b"a description")),
        der(0xa5, b"\x01\x01\x00"), der(0xa6, der(4, b"name"))]
TOMORROW = [der(0xa0, b"\x01\x01\x00"), der(0xa7, der(0x30, b"\x02\x01\x07")), der(0x88, b"?"),
            b"\xbf\x2a\x02\x05\x00"]  # not without a password; [7], [8] IMPLICIT, [42]
PARENTS = {"owner": "020440000001", "positive": "02050081000001", "negative": "020481000001"}


def tss2(spki, options=(), parent="owner", oid=OID, more=b""):
    blob = der(0x30, oid, *options, bytes.fromhex(PARENTS[parent]), der(4, tpm_public(spki)),
               der(4, sized(b"private"))) + more
    return ("-----BEGIN TSS2 PRIVATE KEY-----\n" + base64.encodebytes(blob).decode() +
            "-----END TSS2 PRIVATE KEY-----\n"), blob


@pytest.mark.parametrize("key,options,parent", [
    ("ec", (), "owner"), ("ec384", MINIMAL, "positive"), ("ec521", FULL, "negative"),
    ("rsa", FULL, "owner"), ("ec", TOMORROW, "owner"), ("rsa", TOMORROW, "negative")])
def test_tpm_key_file_that_the_broker_knows(anyhow, fake, key, options, parent):  # noqa: F811
    openssl = anyhow
    pem, blob = tss2(fake.keys[key].current.spki, options, parent)
    openssl.file("k.pem", pem)
    openssl.file("k.der", blob)
    signs(openssl, "k.pem")
    assert fake.count("sign") == 1
    signs(openssl, "k.der")
    openssl("req", "-x509", "-new", "-key", "k.pem", "-subj", "/CN=x", "-out", "x.pem")
    openssl.file("bundle.pem", openssl.read("x.pem") + pem.encode())
    signs(openssl, "bundle.pem")
    # what is written is a key reference, which needs no such search
    assert f"of '{key}'" in openssl("pkey", "-in", "k.pem").text


@pytest.mark.parametrize("damage", ["unknown", "importable", "trailing", "cut", "policy", "empty",
                                    "base64", "no broker", "no public key", "other blocks"])
def test_tpm_key_file_that_is_left_alone(openssl, fake, damage):  # noqa: F811
    """Nobody else is there to open it: it is not opened, and not complained about by us."""
    spki = fake.keys["ec"].current.spki
    if damage in ("unknown", "other blocks"):
        spki = Generation("ec-p256").spki
    pem, blob = tss2(spki, oid=OID[:-1] + b"\x04" if damage == "importable" else OID,
                     more=b"\0" if damage == "trailing" else b"")
    if damage in ("cut", "empty", "no public key"):
        blob = {"cut": blob[:40], "empty": b"",
                "no public key": der(0x30, OID, bytes.fromhex(PARENTS["owner"]))}[damage]
        pem = ("-----BEGIN TSS2 PRIVATE KEY-----\n" + base64.encodebytes(blob).decode() +
               "-----END TSS2 PRIVATE KEY-----\n")
    if damage == "policy":
        pem = pem.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\n\n", 1)
    if damage == "base64":
        pem = pem.replace("A", "?", 3)
    if damage == "other blocks":
        pem = "".join(pem.replace("TSS2 PRIVATE KEY", label) for label in (
            "PKCS#11 PROVIDER URI", "TSS2 KEY BLOB", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY",
            "EC PRIVATE KEY", "CERTIFICATE", "SOMETHING ELSE"))
    if damage == "no broker":
        fake.stop()
    openssl.file("k.pem", pem)
    openssl.file("k.der", blob)
    in_der = damage in ("unknown", "importable", "cut", "empty", "no public key", "no broker")
    for name in ("k.pem", "k.der")[:1 + in_der]:
        r = openssl.fails("pkey", "-in", name, "-pubout")
        assert "holdfast" not in r.errors, r.errors
    assert fake.count("sign") == 0


def test_a_broker_that_hangs_is_not_waited_for(openssl, fake, short_dir):  # noqa: F811
    """A file of somebody else's: who has a broker that does not answer waits a second or two."""
    pem, _ = tss2(Generation("rsa-2048").spki)
    openssl.file("k.pem", pem)
    path = f"{short_dir}/hung"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(path)
        s.listen(8)
        began = time.monotonic()
        r = openssl.fails("pkey", "-in", "k.pem", "-pubout", env={"HOLDFAST_SOCKET": path})
        assert time.monotonic() - began < 4
        assert "holdfast" not in r.errors, r.errors


def test_the_broker_is_asked_by_one_decoder(openssl, fake):  # noqa: F811
    """Of a file in DER each type of key has one, and each is tried."""
    for key in ("ec", "rsa"):
        openssl.file("k.der", tss2(Generation(KEYS[key]).spki)[1])
        fake.log.clear()
        openssl.fails("pkey", "-in", "k.der", "-pubout")
        assert fake.count("key_get") <= 1, fake.log


TPM2_BESIDE = "\n[{section}]\ntpm2 = tpm2_beside\n[tpm2_beside]\nactivate = 1\n"


@pytest.fixture(scope="module")
def tpms():
    theirs = Swtpm()
    broker = RealBroker().start()
    broker.add_key("ours")
    yield broker, theirs
    broker.close()
    theirs.close()


@pytest.mark.plain  # tpm2-openssl leaks a little
@pytest.mark.parametrize("order", sorted(ORDERS))
def test_beside_tpm2_openssl(tpms, tmp_path, order):
    """It has a TPM of its own here. Its keys stay its own, ours ours, in files of one format."""
    broker, theirs = tpms
    openssl = Openssl(str(tmp_path), broker.path, order)
    section = "holdfast_providers" if order == "dropin" else "p"
    modules = subprocess.run(["openssl", "version", "-m"], capture_output=True, text=True,
                             check=True).stdout.split('"')[1]
    os.mkdir(openssl.path("modules"))
    os.symlink(f"{BUILD}/provider/holdfast.so", openssl.path("modules/holdfast.so"))
    os.symlink(f"{modules}/tpm2.so", openssl.path("modules/tpm2.so"))
    openssl.environ.update(OPENSSL_MODULES=openssl.path("modules"),
                           TPM2OPENSSL_TCTI=theirs.tcti)
    text = openssl.read("openssl.cnf").decode()
    openssl.file("openssl.cnf", text + TPM2_BESIDE.format(section=section))
    openssl("genpkey", "-propquery", "provider=tpm2", "-algorithm", "EC", "-pkeyopt", "group:P-256",
            "-out", "theirs.pem")
    assert b"TSS2 PRIVATE KEY" in openssl.read("theirs.pem")
    # 1.1.1 wants this query for whatever it shall sign: its keys can be exported, hollow
    query = ["-propquery", "?provider=tpm2"]
    openssl("req", "-new", "-subj", "/CN=x", *query, "-key", "theirs.pem", "-out", "x.csr")
    openssl.plain("req", "-in", "x.csr", "-verify", "-noout")
    openssl("pkey", "-pubout", "-in", "theirs.pem")
    openssl.fails("pkey", "-in", "theirs.pem", env={"TPM2OPENSSL_TCTI": "swtpm:path=/nowhere"})
    signs(openssl, openssl.reference("ours"))
    signs(openssl, "holdfast:ours")
    exported = broker.call(key_export={"key": {"name": "ours"}}).key_file
    assert exported.format == "tss2"
    # whoever is asked first opens it; without tpm2-openssl it is us
    alone = Openssl(str(tmp_path), broker.path, order)
    alone.file("ours.pem", exported.blob)
    signs(alone, "ours.pem")
    alone.file("theirs.pem", openssl.read("theirs.pem"))
    alone.fails("pkey", "-in", "theirs.pem")


# ------------------------------------------------------------------------ RSA-PSS

def generate_pss(openssl, name, *options):
    return openssl.run("openssl", "genpkey", "-propquery", "provider=holdfast", "-algorithm",
                       "RSA-PSS", "-pkeyopt", f"holdfast-key:{name}",
                       *[w for o in options for w in ("-pkeyopt", o)], "-out", f"{name}.key")


@pytest.mark.parametrize("options,digest", [
    ([], "sha512"), (["rsa_pss_keygen_md:sha384"], "sha384"),
    (["rsa_keygen_bits:3072", "rsa_pss_keygen_md:sha256", "rsa_pss_keygen_mgf1_md:sha256",
      "rsa_pss_keygen_saltlen:32"], "sha256")])
def test_rsa_pss_key(anyhow, short_dir, options, digest):  # noqa: F811
    openssl = anyhow
    r = generate_pss(openssl, "pss", *options)
    assert r.code == 0, r.errors
    openssl("pkey", "-in", "pss.key", "-pubout", "-out", "pss.pub")
    text = openssl.plain("pkey", "-pubin", "-in", "pss.pub", "-noout", "-text").text
    assert "PSS parameter restrictions" in text
    assert ("No PSS parameter restrictions" in text) == (not options), text
    openssl("req", "-x509", "-new", "-key", "pss.key", f"-{digest}", "-subj", "/CN=localhost",
            "-out", "pss.pem")
    openssl.plain("verify", "-x509_strict", "-CAfile", "pss.pem", "pss.pem")
    text = openssl.plain("x509", "-in", "pss.pem", "-noout", "-text").text
    assert "Public Key Algorithm: rsassaPss" in text and "Signature Algorithm: rsassaPss" in text
    openssl.file("data", "something")
    openssl("dgst", f"-{digest}", "-sign", "pss.key", "-out", "sig", "data")
    openssl.plain("dgst", f"-{digest}", "-verify", "pss.pub", "-signature", "sig", "data")
    # the certificate makes an RSA-PSS key of the same key in the token
    uri = f"holdfast:pss?cert={openssl.path('pss.pem')}"
    assert openssl("pkey", "-in", uri, "-pubout").out == openssl.read("pss.pub")
    for version in ("tls1_2", "tls1_3"):
        said = handshake(openssl, f"{short_dir}/{version}", version, ("pss", uri),
                         ("pss", "pss.key"))
        assert "RSA-PSS" in said, said
    # PKCS #1 and decryption are none of its business
    openssl.fails("dgst", f"-{digest}", "-sigopt", "rsa_padding_mode:pkcs1", "-sign", "pss.key",
                  "-out", "sig", "data")
    openssl.file("cipher", bytes(256))
    openssl.fails("pkeyutl", "-decrypt", "-inkey", "pss.key", "-in", "cipher")


def test_rsa_pss_key_keeps_its_restrictions(openssl):
    assert generate_pss(openssl, "pss", "rsa_pss_keygen_md:sha384").code == 0
    openssl.file("data", "something")
    r = openssl.fails("dgst", "-sha256", "-sign", "pss.key", "-out", "sig", "data")
    assert "rsassaPss" in r.errors and "pss" in r.errors, r.errors


@pytest.mark.parametrize("options", [
    ["rsa_pss_keygen_md:sha1"], ["rsa_pss_keygen_md:sha256", "rsa_pss_keygen_mgf1_md:sha512"],
    ["rsa_pss_keygen_saltlen:32"], ["rsa_pss_keygen_md:sha256", "rsa_pss_keygen_saltlen:33"]])
def test_rsa_pss_key_that_no_token_could_use(openssl, fake, options):  # noqa: F811
    r = generate_pss(openssl, "pss", *options)
    assert r.code and "restrictions" in r.errors, r.errors
    assert "pss" not in fake.keys  # found out before the token made a key


