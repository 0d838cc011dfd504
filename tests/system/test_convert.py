# SPDX-License-Identifier: Apache-2.0
"""holdfast convert: what a PKI hands out, by its content; and files that want to do harm."""
import base64
import datetime
import os
import stat
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

import guides
from clilib import ENV, Home, Running

PASSWORD = b"a password"
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, OLD = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
PLAIN, LOCKED = serialization.NoEncryption(), serialization.BestAvailableEncryption(PASSWORD)
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0, tzinfo=None)


def name(cn):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, cn)])


def issue(cn, key, issuer=None, issuer_key=None, ca=False, start=NOW - DAY, end=NOW + 30 * DAY):
    return x509.CertificateBuilder().subject_name(name(cn)).issuer_name(
        issuer.subject if issuer else name(cn)).public_key(key.public_key()).serial_number(
            x509.random_serial_number()).not_valid_before(start).not_valid_after(
                end).add_extension(x509.BasicConstraints(ca, None), True).sign(
                    issuer_key or key, hashes.SHA256())


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


class Pki:
    def __init__(self):
        self.root_key, self.sub_key, self.key = new_key(), new_key(), new_key()
        self.root = issue("Plant Root", self.root_key, ca=True)
        self.sub = issue("Plant Issuing", self.sub_key, self.root, self.root_key, ca=True)
        self.leaf = issue("device-1", self.key, self.sub, self.sub_key)
        self.chain = [self.leaf, self.sub]

    def private(self, encoding=PEM, form=PKCS8, lock=PLAIN):
        return self.key.private_bytes(encoding, form, lock)


PKI = Pki()


def pem(*certs):
    return b"".join(c.public_bytes(PEM) for c in certs)


def p12(password=PASSWORD, key=None, certs=(PKI.root, PKI.sub), lock=None):
    return pkcs12.serialize_key_and_certificates(
        b"x", key or PKI.key, PKI.leaf, certs,
        lock or (serialization.BestAvailableEncryption(password) if password else PLAIN))


@pytest.fixture(scope="module", name="home")
def fixture_home():
    h = Home()
    yield h
    h.close()


@pytest.fixture(scope="module", name="run")
def fixture_run():
    r = Running()
    yield r
    r.close()


def put(home, data, file="in.bin"):
    with open(home.path(file), "wb") as f:
        f.write(data)
    return home.path(file)


def roles(shown):
    return {c["subject"]: c["role"] for c in shown["certificates"]}


WHOLE = {"CN=device-1": "leaf", "CN=Plant Issuing": "intermediate", "CN=Plant Root": "root"}
# what it is: (content, format, has a key)
FORMS = {
    "pkcs12": (p12(), "PKCS#12", True),
    "pkcs12-empty": (p12(b""), "PKCS#12", True),
    "pem": (pem(PKI.root, PKI.leaf, PKI.sub), "PEM", False),
    "pem-text": (b"Bag Attributes\n  x: y\n" + pem(PKI.leaf) + b"junk\n" + pem(PKI.sub, PKI.root),
                 "PEM", False),
    "pem-crlf": (pem(PKI.leaf, PKI.sub, PKI.root).replace(b"\n", b"\r\n"), "PEM", False),
    "pem-key": (PKI.private() + pem(PKI.sub, PKI.leaf, PKI.root), "PEM", True),
    "pem-key-locked": (PKI.private(lock=LOCKED) + pem(PKI.sub, PKI.leaf, PKI.root), "PEM", True),
    "pem-key-old": (pem(PKI.leaf, PKI.sub, PKI.root) + PKI.private(form=OLD), "PEM", True),
    "pem-key-old-locked": (pem(PKI.leaf, PKI.sub, PKI.root) + PKI.private(form=OLD, lock=LOCKED), "PEM", True),
    "pkcs7-der": (pkcs7.serialize_certificates([PKI.root, PKI.sub, PKI.leaf], DER), "PKCS#7", False),
    "pkcs7-pem": (pkcs7.serialize_certificates([PKI.sub, PKI.leaf, PKI.root], PEM), "PEM", False),
    "pkcs7-base64": (base64.encodebytes(pkcs7.serialize_certificates([PKI.sub, PKI.leaf, PKI.root], DER)),
                     "PKCS#7", False),
    "der-several": (PKI.leaf.public_bytes(DER) + PKI.sub.public_bytes(DER) + PKI.root.public_bytes(DER),
                    "certificate in DER", False),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("file", ["x.cer", "x.pem"])  # the name says nothing
def test_forms(home, form, file):
    data, kind, key = FORMS[form]
    put(home, PASSWORD + b"\n", "pw")
    p = put(home, data, file)
    shown = home.json("convert", p, "--password-file", "pw", "--out", form + "/")
    assert shown["format"] == kind and roles(shown) == WHOLE
    assert len(shown["keys"]) == key
    if key:
        assert shown["keys"][0]["algorithm"] == "ec-p256"
        at = shown["keys"][0]["certificate"]
        assert shown["certificates"][at]["subject"] == "CN=device-1"
        assert any("--key ID" in n for n in shown["notes"])
    assert {os.path.basename(w["file"]): w["what"] for w in shown["written"]} == \
        {"x.pem": "chain", "x.root.pem": "root"}
    assert home.read(form + "/x.pem") == pem(PKI.leaf, PKI.sub)
    assert home.read(form + "/x.root.pem") == pem(PKI.root)
    for f in os.listdir(home.path(form)):
        assert b"PRIVATE KEY" not in home.read(f"{form}/{f}")
        assert stat.S_IMODE(os.stat(home.path(form, f)).st_mode) == 0o644
    text = home.run("convert", p, "--password-file", "pw").out
    assert "leaf" in text and "CN=Plant Issuing" in text and "PRIVATE KEY--" not in text


def test_single_things(home):
    der = put(home, PKI.root.public_bytes(DER), "ca.cer")
    shown = home.json("convert", der, "--out", "root.pem")
    assert roles(shown) == {"CN=Plant Root": "root"} and home.read("root.pem") == pem(PKI.root)
    assert any("trust_bundle_cert" in n for n in shown["notes"])
    request = x509.CertificateSigningRequestBuilder().subject_name(name("device-1")).sign(PKI.key, hashes.SHA256())
    for data in (request.public_bytes(PEM), request.public_bytes(DER)):
        shown = home.json("convert", put(home, data), "--out", "r.csr")
        assert shown["request"] == {"subject": "CN=device-1", "algorithm": "ec-p256", "signature": True}
        assert home.read("r.csr") == request.public_bytes(PEM)
    for data in (PKI.private(), PKI.private(DER), PKI.private(DER, OLD)):
        shown = home.json("convert", put(home, data))
        assert len(shown["keys"]) == 1 and not shown["certificates"]
        assert any("its certificate is another file" in n for n in shown["notes"])
    put(home, PASSWORD, "pw")
    shown = home.json("convert", put(home, PKI.private(DER, lock=LOCKED)), "--password-file", "pw")
    assert shown["format"] == "encrypted private key in DER" and len(shown["keys"]) == 1


@pytest.mark.parametrize("how,locked", [(["-nomac"], True), (["-nomac", "-certpbe", "NONE"], True),
                                        (["-nomac", "-certpbe", "NONE", "-keypbe", "NONE"], False),
                                        (["-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"], True),
                                        (["-descert", "-macalg", "sha512"], True)])
def test_pkcs12_of_openssl(home, how, locked):
    """With and without a MAC, and old ciphers."""
    put(home, PASSWORD, "pw")
    put(home, PKI.private() + pem(PKI.leaf, PKI.root, PKI.sub), "all.pem")
    subprocess.run(["openssl", "pkcs12", "-export", "-in", "all.pem", "-out", "o.p12", "-passout", "file:pw", *how],
                   cwd=home.dir, env={**ENV, "OPENSSL_CONF": "/dev/null"}, check=True)
    shown = home.json("convert", "o.p12", "--password-file", "pw", "--out", "o.pem")
    assert roles(shown) == WHOLE and len(shown["keys"]) == 1 and home.read("o.pem") == pem(*PKI.chain)
    p = home.run("convert", "o.p12", code=2 if locked else 0)
    assert not locked or "--password-file" in p.err


def test_what_is_missing_is_said(home):
    shown = home.json("convert", put(home, pem(PKI.leaf)))
    assert any("CN=Plant Issuing, which is not in the file" in n for n in shown["notes"])
    other = new_key().private_bytes(PEM, PKCS8, PLAIN)
    shown = home.json("convert", put(home, pem(*PKI.chain) + other))
    assert any("belongs to none of the certificates" in n for n in shown["notes"])
    old = issue("old", PKI.key, start=NOW - 9 * DAY, end=NOW - DAY)
    early = issue("early", PKI.key, start=NOW + DAY)
    shown = home.json("convert", put(home, pem(old)))
    assert any("CN=old has expired" in n for n in shown["notes"])
    shown = home.json("convert", put(home, pem(early)))
    assert any("CN=early is not valid yet" in n for n in shown["notes"])
    shown = home.json("convert", put(home, pem(PKI.leaf, PKI.sub, PKI.root, old)), "--out", "c.pem")
    assert any("1 certificate does not belong" in n for n in shown["notes"])
    assert any("--trust-out" in n for n in shown["notes"])
    assert home.read("c.pem") == pem(*PKI.chain)


def test_order_is_by_signature_not_by_name(home):
    """Two CAs of one name, as when a CA has rolled its key."""
    again = new_key()
    twin = issue("Plant Issuing", again, PKI.root, PKI.root_key, ca=True)
    shown = home.json("convert", put(home, pem(twin, PKI.root, PKI.sub, PKI.leaf, PKI.leaf)), "--out", "t.pem")
    assert home.read("t.pem") == pem(PKI.leaf, PKI.sub)
    assert [c["role"] for c in shown["certificates"]] == ["other", "root", "intermediate", "leaf", "again"]


def test_standard_output_is_the_chain_alone(home):
    p = home.run("convert", put(home, pem(PKI.root, PKI.sub, PKI.leaf)), "--out", "-", "--trust-out", "ta.pem")
    assert p.raw == pem(*PKI.chain) and home.read("ta.pem") == pem(PKI.root)
    home.run("convert", put(home, pem(PKI.leaf)), "--trust-out", "none.pem", code=2)


@pytest.mark.root
def test_owner_of_new_files_is_that_of_their_directory(home):
    os.makedirs(home.path("owned"))
    os.chown(home.path("owned"), 1234, 4321)
    home.run("convert", put(home, pem(*PKI.chain), "o.cer"), "--out", "owned")
    st = os.stat(home.path("owned", "o.pem"))
    assert (st.st_uid, st.st_gid) == (1234, 4321)


# ---------------------------------------------------------------- the key

def test_key_goes_into_the_token(run):
    put(run, PASSWORD, "pw")
    file = put(run, p12(), "device.pfx")
    words = ["convert", file, "--password-file", "pw", "--key", "device-id", "--out", "out/"]
    p = run.run("--json", *words)
    assert p.json["key"]["generations"][0]["imported"] and not p.json["key"]["was_there"]
    assert "was in software before" in p.err
    assert sorted(os.listdir(run.path("out"))) == ["device-id.key.pem", "device-id.pem", "device-id.root.pem"]
    assert b"HOLDFAST KEY REFERENCE" in run.read("out/device-id.key.pem")
    run.run("key", "public", "device-id", "--out", "pub")
    assert run.read("pub") == PKI.key.public_key().public_bytes(
        PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    put(run, b"text", "m")
    run.run("sign", "device-id", "m", "--out", "sig")
    PKI.leaf.public_key().verify(run.read("sig"), b"text", ec.ECDSA(hashes.SHA256()))
    # once more finds it there
    assert run.json(*words)["key"]["was_there"]
    # and another key of the name is not overwritten
    other = new_key()
    file = put(run, other.private_bytes(PEM, PKCS8, PLAIN))
    assert "is not the one of" in run.run("convert", file, "--key", "device-id", code=1).err


def test_key_of_a_ca(run):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    cert = issue("my Edge CA", key, PKI.sub, PKI.sub_key, ca=True)
    file = put(run, key.private_bytes(PEM, OLD, PLAIN) + pem(cert, PKI.sub))
    shown = run.json("convert", file, "--key", "edge-ca", "--out", "ca/")
    assert shown["key"]["usage"] == ["ca"] and shown["key"]["issuer_not_after"]
    assert run.read("ca/edge-ca.pem") == pem(cert, PKI.sub)


def test_key_of_this_tpm(run):
    """A TSS2 PRIVATE KEY, as tpm2-openssl makes them, with its certificate in the same file."""
    run.run("key", "create", "was")
    run.run("key", "public", "was", "--out", "pub")
    public = serialization.load_pem_public_key(run.read("pub"))
    run.run("key", "export", "was", "--out", "was.tss2")
    run.run("key", "delete", "was", "--yes")
    cert = x509.CertificateBuilder().subject_name(name("tss2")).issuer_name(PKI.sub.subject).public_key(
        public).serial_number(5).not_valid_before(NOW).not_valid_after(NOW + DAY).sign(PKI.sub_key, hashes.SHA256())
    for data in (pem(cert, PKI.sub) + run.read("was.tss2"), run.read("was.tss2"),
                 base64.b64decode(b"".join(line for line in run.read("was.tss2").split(b"\n") if b"-" not in line))):
        file = put(run, data)
        assert [k["algorithm"] for k in run.json("convert", file)["keys"]] == ["TSS2 PRIVATE KEY"]
        shown = run.json("convert", file, "--key", "is", "--out", "tss2/")
        assert shown["key"]["exported"] and not shown["key"]["generations"][0]["imported"]
        if len(shown["certificates"]) == 2:  # the reference follows the certificate
            assert b"tss2/is.pem" in base64.b64decode(b"".join(
                line for line in run.read("tss2/is.key.pem").split(b"\n")[2:] if b"-" not in line))
        assert "PRIVATE KEY--" not in "".join(run.read("tss2/" + f).decode() for f in os.listdir(run.path("tss2")))
        run.run("key", "delete", "is", "--yes")


def test_key_that_cannot_be_taken(run):
    assert "no private key" in run.run("convert", put(run, pem(PKI.leaf)), "--key", "x", code=2).err
    two = PKI.private() + new_key().private_bytes(PEM, PKCS8, PLAIN)
    assert "2 private keys" in run.run("convert", put(run, two), "--key", "x", code=2).err
    odd = ec.generate_private_key(ec.SECP256K1()).private_bytes(PEM, PKCS8, PLAIN)
    assert "no token has such keys" in run.run("convert", put(run, odd), "--key", "x", "--out", "n/", code=2).err
    assert not os.path.exists(run.path("n"))


# ---------------------------------------------------------------- what wants to do harm

def test_wrong_password(home):
    put(home, b"something else", "wrong")
    for data in (p12(), PKI.private(lock=LOCKED), PKI.private(DER, lock=LOCKED), PKI.private(form=OLD, lock=LOCKED)):
        file = put(home, data)
        assert "wrong password" in home.run("convert", file, "--password-file", "wrong", code=2).err
        assert "--password-file" in home.run("convert", file, code=2).err


@pytest.mark.parametrize("form", sorted(set(FORMS) - {"pem-text"}))
def test_cut_off(home, form):
    """At any place: an error, or (PEM, between its parts) what was there in full."""
    data = FORMS[form][0]
    put(home, PASSWORD, "pw")
    for n in list(range(0, len(data), max(1, len(data) // 23))) + [len(data) - 3]:
        file = put(home, data[:n])
        p = home.run("convert", file, "--password-file", "pw", code=None)
        assert p.code in (0, 1, 2) and (p.code == 0 or p.err.startswith("holdfast: ")), (n, p.code, p.err)
        if "PEM" not in FORMS[form][1] and form != "der-several":
            assert p.code, n


def test_damaged_octets(home):
    put(home, PASSWORD, "pw")
    for form in ("pkcs12", "pkcs7-der", "der-several"):
        data = FORMS[form][0]
        for i in range(0, len(data), len(data) // 40):
            bad = data[:i] + bytes([data[i] ^ 0x55]) + data[i + 1:]
            p = home.run("convert", put(home, bad), "--password-file", "pw", code=None)
            assert p.code in (0, 1, 2), (form, i, p.err)


def test_other_kinds(home):
    """Not ours to open, but what to do with it is said."""
    assert "keytool" in home.run("convert", put(home, b"\xfe\xed\xfe\xed" + b"x" * 99), code=2).err
    text = pem(PKI.leaf).decode().encode("utf-16")
    assert "UTF-16" in home.run("convert", put(home, text), code=2).err
    assert "OPENSSH PRIVATE KEY" in home.run("convert", put(home, PKI.key.private_bytes(
        PEM, serialization.PrivateFormat.OpenSSH, PLAIN)), code=2).err


def test_too_large(home):
    file = put(home, b"0" * (10 << 20))
    assert "larger than 1048576 bytes" in home.run("convert", file, code=1).err
    file = put(home, b"")
    assert "empty" in home.run("convert", file, code=2).err
    assert "not a regular file" in home.run("convert", "/dev/zero", code=1).err
    file = put(home, pem(PKI.leaf) * 300)
    assert "more than 256 certificates" in home.run("convert", file, code=2).err
    file = put(home, b"-----BEGIN X-----\n-----END X-----\n" * 600)
    assert home.run("convert", file, code=None).code in (1, 2)


def tlv(tag, content):
    n = len(content)
    return bytes([tag]) + (bytes([n]) if n < 128 else b"\x82" + n.to_bytes(2, "big") if n < 65536
                           else b"\x83" + n.to_bytes(3, "big")) + content


@pytest.mark.parametrize("tag", [0x30, 0x31, 0xa0, 0x24])
def test_deep_nesting(home, tag):
    data = b""
    for _ in range(10000):
        data = tlv(tag, data)
    assert home.run("convert", put(home, tlv(0x30, data)), code=None).code in (1, 2)
    # of indefinite length, and never ending
    file = put(home, (bytes([tag]) + b"\x80") * 100000)
    assert home.run("convert", file, code=None).code in (1, 2)
    # where PKCS#7 has its content
    inner = tlv(0x30, bytes.fromhex("06092a864886f70d010702") + tlv(0xa0, data))
    assert home.run("convert", put(home, inner), code=None).code in (1, 2)


def test_bags_in_bags(home):
    bag = b""
    for _ in range(20):
        bag = tlv(0x30, tlv(0x30, bytes.fromhex("060b2a864886f70d010c0a0106") + tlv(0xa0, bag or tlv(0x30, b""))))
    data = bytes.fromhex("06092a864886f70d010701")
    safes = tlv(0x30, tlv(0x30, data + tlv(0xa0, tlv(4, bag))))
    file = put(home, tlv(0x30, b"\x02\x01\x03" + tlv(0x30, data + tlv(0xa0, tlv(4, safes)))))
    assert home.run("convert", file, code=None).code in (1, 2)


def oid(text):
    first, second, *rest = map(int, text.split("."))
    out = bytes([40 * first + second])
    for n in rest:
        part = [n & 0x7f]
        while n > 127:
            n >>= 7
            part.insert(0, n & 0x7f | 0x80)
        out += bytes(part)
    return tlv(6, out)


def integer(n):
    return tlv(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def seq(*parts):
    return tlv(0x30, b"".join(parts))


DATA, SHA256 = oid("1.2.840.113549.1.7.1"), seq(oid("2.16.840.1.101.3.4.2.1"), b"\x05\0")
CIPHER = seq(oid("2.16.840.1.101.3.4.1.2"), tlv(4, b"v" * 16))


def hashed(rounds):
    """A PKCS#8 and two PKCS#12 whose password is hashed so often, and one with scrypt."""
    pbes2 = seq(oid("1.2.840.113549.1.5.13"), seq(
        seq(oid("1.2.840.113549.1.5.12"), seq(tlv(4, b"salt" * 4), integer(rounds))), CIPHER))
    scrypt = seq(oid("1.2.840.113549.1.5.13"), seq(
        seq(oid("1.3.6.1.4.1.11591.4.11"), seq(tlv(4, b"salt" * 4), integer(1024), integer(8), integer(rounds))),
        CIPHER))
    mac = seq(seq(SHA256, tlv(4, b"m" * 32)), tlv(4, b"salt" * 2), integer(rounds))
    bag = seq(oid("1.2.840.113549.1.12.10.1.2"), tlv(0xa0, seq(pbes2, tlv(4, b"c" * 64))))
    shrouded = seq(seq(DATA, tlv(0xa0, tlv(4, seq(bag)))))
    return [seq(pbes2, tlv(4, b"c" * 64)), seq(scrypt, tlv(4, b"c" * 64)),
            seq(integer(3), seq(DATA, tlv(0xa0, tlv(4, seq()))), mac),
            seq(integer(3), seq(DATA, tlv(0xa0, tlv(4, shrouded))))]


def test_endless_hashing(home):
    """2^31 rounds of the password's hash would take an hour."""
    put(home, PASSWORD, "pw")
    for data in hashed(0x7fffffff):
        started = time.monotonic()
        p = home.run("convert", put(home, data), "--password-file", "pw", code=2)
        assert "more than 20000000 times" in p.err or "scrypt" in p.err, p.err
        assert time.monotonic() - started < 10
    for data in hashed(50):
        p = home.run("convert", put(home, data), "--password-file", "pw", code=2)
        assert "wrong password" in p.err, p.err


def test_names_are_escaped(home):
    """A NUL, a terminal's escape, a line end, other alphabets: all of it visible and harmless."""
    evil = "good.example\0.evil\x1b[2J\nnote: all is well \u202e\u00e9"
    cert = issue(evil, PKI.key)
    for words in (["convert"], ["convert", "--json"]):
        p = home.run(*words, put(home, pem(cert)))
        for bad in (b"\0", b"\x1b", b"\nnote: all is well", "\u202e".encode()):
            assert bad not in p.raw, (bad, p.raw)
        assert "good.example\\00.evil" in p.out.replace("\\\\", "\\")
    block = b"-----BEGIN \x1b[2J-----\nAAAA\n-----END \x1b[2J-----\n"
    p = home.run("convert", put(home, block + pem(cert)), code=None)
    assert b"\x1b" not in p.raw and "\x1b" not in p.err


@pytest.mark.plain
@pytest.mark.root
def test_guide():
    said = guides.run("convert.md", """
test ! -e device.pfx
holdfast key show plant-device --json | grep '"imported": *true'
openssl pkcs12 -export -nokeys -in /var/aziot/certs/plant-device.pem -out locked.p12 -passout pass:other
echo wrong > wrong
if holdfast convert locked.p12 --password-file wrong; then exit 1; fi
openssl x509 -in /var/aziot/certs/plant-device.pem -out alone.pem
holdfast convert alone.pem
openssl genpkey -algorithm EC -pkeyopt group:P-256 -provider default -propquery provider=default -out k.key
cat k.key alone.pem > both.pem
holdfast convert both.pem
if holdfast convert k.key --key plant-device; then exit 1; fi
openssl ecparam -genkey -name secp256k1 -noout -out odd.key
if holdfast convert odd.key --key odd; then exit 1; fi
""")
    assert "plant-device.pem: OK" in said
    for words in guides.troubles("convert.md"):
        assert words in said, words
