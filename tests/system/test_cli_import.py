# SPDX-License-Identifier: Apache-2.0
"""holdfast key import and export: every kind of file, on a TPM; and what other tools make of it."""
import json
import os
import pty
import subprocess
import termios

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

import tpm2wrap
from clilib import CLI, ENV, Running
from keeperlib import until

PASSWORD = b"a password"
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, OLD = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
PLAIN, LOCKED = serialization.NoEncryption(), serialization.BestAvailableEncryption(PASSWORD)


@pytest.fixture(scope="module", name="run")
def fixture_run():
    r = Running()
    yield r
    r.close()


def spki(key):
    return key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def put(run, name, data):
    with open(run.path(name), "wb") as f:
        f.write(data)
    return run.path(name)


def signs(run, name, key):
    """The key in the token signs as the one in software would."""
    put(run, "m", b"something")
    run.run("sign", name, "m", "--out", "sig")
    if isinstance(key, rsa.RSAPrivateKey):
        scheme = json.loads(run.run("key", "show", name, "--json").out)["schemes"]
        assert "rsa-pss-sha256" in scheme
        run.run("sign", name, "m", "--scheme", "rsa-pss-sha256", "--out", "sig")
        key.public_key().verify(run.read("sig"), b"something", padding.PSS(
            padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    else:
        key.public_key().verify(run.read("sig"), b"something", ec.ECDSA(
            {256: hashes.SHA256, 384: hashes.SHA384, 521: hashes.SHA512}[key.key_size]()))


@pytest.mark.parametrize("algorithm", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072"])
@pytest.mark.parametrize("form", ["pkcs8", "pkcs8-locked", "old", "old-locked", "der", "der-old",
                                  "der-locked"])
def test_formats(run, algorithm, form, request):
    if form != "pkcs8" and algorithm not in ("ec-p256", "rsa-2048"):
        return  # a file is a file: the other sizes are about the wrapping
    key = tpm2wrap.random_key(algorithm)
    data = key.private_bytes(DER if "der" in form else PEM, OLD if "old" in form else PKCS8,
                             LOCKED if "locked" in form else PLAIN)
    name = f"{algorithm}-{form}"
    put(run, "pw", PASSWORD + b"\n")
    words = ["--password-file", run.path("pw")] if "locked" in form else []
    p = run.run("key", "import", name, put(run, "k", data), *words, "--json")
    told = p.json
    assert told["algorithm"] == algorithm and told["generations"][0]["imported"] is True
    assert "was in software before" in p.err and run.path("k") in p.err
    run.run("key", "public", name, "--out", "pub")
    assert serialization.load_pem_public_key(run.read("pub")).public_bytes(
        DER, serialization.PublicFormat.SubjectPublicKeyInfo) == spki(key)
    signs(run, name, key)


def pkcs12_of(key, password):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")])
    import datetime
    now = datetime.datetime(2026, 1, 1)
    cert = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(77).public_key(
        key.public_key()).not_valid_before(now).not_valid_after(
            now + datetime.timedelta(days=9)).sign(key, hashes.SHA256())
    return pkcs12.serialize_key_and_certificates(
        b"device", key, cert, None,
        serialization.BestAvailableEncryption(password) if password else PLAIN)


@pytest.mark.parametrize("password", [b"", PASSWORD])
def test_pkcs12(run, password):
    key = tpm2wrap.random_key("ec-p256")
    put(run, "pw", password)
    name = "p12-%d" % len(password)
    run.run("key", "import", name, put(run, "k.p12", pkcs12_of(key, password)),
            *(["--password-file", run.path("pw")] if password else []))
    signs(run, name, key)


def test_certificate_beside_the_key(run):
    """A bundle, as many programs want it."""
    key = tpm2wrap.random_key("ec-p256")
    cert = pkcs12.load_pkcs12(pkcs12_of(key, b""), None).cert.certificate.public_bytes(PEM)
    data = b"a comment\n" + cert + key.private_bytes(PEM, PKCS8, PLAIN)
    run.run("key", "import", "bundle", put(run, "k", data))
    signs(run, "bundle", key)


def test_password_on_the_terminal(run):
    """Asked for without an echo."""
    key = tpm2wrap.random_key("ec-p256")
    put(run, "k", key.private_bytes(PEM, PKCS8, LOCKED))
    master, slave = pty.openpty()
    p = subprocess.Popen([CLI, "key", "import", "asked", run.path("k"), "--root", run.dir],
                         stdin=slave, stdout=slave, stderr=slave, env=ENV, start_new_session=True,
                         preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0))
    os.close(slave)
    said = b""
    while b"Password of" not in said:
        said += os.read(master, 1000)
    until(lambda: not termios.tcgetattr(master)[3] & termios.ECHO)
    os.write(master, PASSWORD + b"\n")
    try:
        while True:
            said += os.read(master, 1000)
    except OSError:
        pass
    os.close(master)
    assert p.wait(30) == 0 and PASSWORD not in said, said
    signs(run, "asked", key)


@pytest.mark.parametrize("what,says", [
    ("locked", "is encrypted, and there is no password"),
    ("wrong", "wrong password, or damaged"),
    ("p12-wrong", "wrong password, or damaged"),
    ("two", "holds 2 private keys"),
    ("public", "is a public key"),
    ("certificate", "is a certificate"),
    ("reference", "only refers to a key"),
    ("empty", "no private key in it"),
    ("garbage", "no private key in it"),
    ("truncated", "no private key in it"),
    ("huge", "k:"),
    ("missing", "No such file"),
    ("rsa-1024", "no token has such keys"),
    ("secp256k1", "no token has such keys"),
    ("exponent-3", "no token has such keys"),
    ("ed25519", "a TPM does not take such a key"),
    ("tss2-truncated", "key file"),
])
def test_refused(run, what, says):
    key = tpm2wrap.random_key("ec-p256")
    pem = key.private_bytes(PEM, PKCS8, PLAIN)
    locked = key.private_bytes(PEM, PKCS8, LOCKED)
    put(run, "pw", b"another password")
    words = ["--password-file", run.path("pw")] if "wrong" in what else []
    if what == "reference":
        run.run("key", "create", "is-there")
        run.run("key", "reference", "is-there", "--out", "ref")
    data = {
        "locked": lambda: locked, "wrong": lambda: locked,
        "p12-wrong": lambda: pkcs12_of(key, PASSWORD), "two": lambda: pem + pem,
        "public": lambda: key.public_key().public_bytes(
            PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "certificate": lambda: pkcs12.load_pkcs12(
            pkcs12_of(key, b""), None).cert.certificate.public_bytes(PEM),
        "reference": lambda: run.read("ref"), "empty": lambda: b"",
        "garbage": lambda: os.urandom(999), "truncated": lambda: pem[:100],
        "huge": lambda: b"x" * 300000, "missing": lambda: b"",
        "rsa-1024": lambda: rsa.generate_private_key(65537, 1024).private_bytes(PEM, PKCS8, PLAIN),
        "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()).private_bytes(PEM, PKCS8, PLAIN),
        "exponent-3": lambda: rsa.generate_private_key(3, 2048).private_bytes(PEM, PKCS8, PLAIN),
        "ed25519": lambda: ed25519.Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, PLAIN),
        "tss2-truncated": lambda: b"-----BEGIN TSS2 PRIVATE KEY-----\nAAAA\n",
    }[what]()
    path = put(run, "k", data) if what != "missing" else run.path("nothing")
    args = [CLI, "key", "import", "refused", path, *words, "--root", run.dir]
    p = subprocess.run(args, capture_output=True, text=True, env=ENV, stdin=subprocess.DEVNULL,
                       timeout=60)
    assert p.returncode in (1, 2, 3) and says in p.stderr, (p.returncode, p.stderr)
    assert "refused" not in run.run("key", "list", "--names").out.split()
    secret = format(key.private_numbers().private_value, "064x")
    assert secret not in p.stderr + p.stdout


def test_a_pin_in_the_command_line_is_refused(run):
    p = subprocess.run([CLI, "key", "import", "th", "pkcs11:object=th?pin-value=98765", "--root", run.dir],
                       capture_output=True, text=True, env=ENV, stdin=subprocess.DEVNULL, timeout=60)
    assert p.returncode == 2 and "which others can see" in p.stderr and "98765" not in p.stderr, p.stderr


def test_a_label_that_looks_like_a_pin(run):
    p = subprocess.run([CLI, "key", "import", "th", "pkcs11:object=pin-pad", "--root", run.dir],
                       capture_output=True, text=True, env=ENV, stdin=subprocess.DEVNULL, timeout=60)
    assert p.returncode and "PIN" not in p.stderr, p.stderr


def test_only_the_wrapped_form_crosses_the_socket(run, tmp_path):
    """What the CLI sends is looked at by strace: no part of the secret is in it."""
    key = tpm2wrap.random_key("ec-p256")
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    path = put(run, "k", key.private_bytes(PEM, PKCS8, PLAIN))
    p = subprocess.run(["strace", "-f", "-e", "trace=sendto,sendmsg,write", "-s", "70000", "-xx",
                        "-o", str(tmp_path / "trace"), CLI, "key", "import", "traced", path, "--root",
                        run.dir], capture_output=True, text=True, timeout=60,
                       env={**ENV, "ASAN_OPTIONS": "detect_leaks=0"})
    assert p.returncode == 0, p.stderr
    sent = (tmp_path / "trace").read_text()
    assert "\\x67\\x81\\x05\\x0a\\x01\\x04" in sent, "the importable key was to be seen"
    assert "".join("\\x%02x" % b for b in secret[:8]) not in sent


def test_usages_of_imported_keys(run):
    key = tpm2wrap.random_key("rsa-2048")
    run.run("key", "import", "dec", put(run, "k", key.private_bytes(PEM, PKCS8, PLAIN)), "--usage",
            "decrypt")
    told = run.json("key", "show", "dec")
    assert told["schemes"] == [] and "rsa-oaep-sha256" in told["ciphers"]
    key = tpm2wrap.random_key("ec-p256")
    put(run, "k", key.private_bytes(PEM, PKCS8, PLAIN))
    assert "for EC it is derive" in run.run("key", "import", "x", "k", "--usage", "decrypt", code=2).err
    run.run("key", "import", "ca", "k", "--usage", "ca")
    assert run.json("key", "show", "ca")["usage"] == ["ca"]
    run.run("key", "import", "y", "k", "--usage", "sign,ca", code=2)
    assert "there is a key ca already" in run.run("key", "import", "ca", "k", code=1).err


def test_export_opens_elsewhere(run, tmp_path):
    """Debian's tpm2-openssl signs with the exported file; holdfast takes it back as made in hardware."""
    run.run("key", "create", "out")
    p = run.run("key", "export", "out", "--out", str(tmp_path / "key.pem"))
    assert "opens with this token alone" in p.out
    assert os.stat(tmp_path / "key.pem").st_mode & 0o777 == 0o600
    assert "TSS2 PRIVATE KEY" in run.json("key", "export", "out")["key_file"]
    assert run.json("key", "show", "out")["exported"] is True
    assert "outside of holdfast" in run.run("key", "show", "out").out
    run.run("key", "public", "out", "--out", str(tmp_path / "pub"))
    (tmp_path / "m").write_text("something")
    assert "in the catalogue already" in run.run("key", "import", "again", str(tmp_path / "key.pem"),
                                                 code=1).err
    run.run("key", "delete", "out", "--yes")
    p = run.run("key", "import", "again", str(tmp_path / "key.pem"), "--json")
    assert p.json["generations"][0]["imported"] is False and "software" not in p.err
    run.stop()  # the software TPM serves one at a time
    try:
        env = dict(os.environ, TPM2OPENSSL_TCTI=run.tpm.tcti, OPENSSL_CONF="/dev/null")
        subprocess.run(["openssl", "dgst", "-provider", "tpm2", "-provider", "default", "-propquery",
                        "?provider=tpm2", "-sha256", "-sign", "key.pem", "-out", "sig", "m"], env=env,
                       cwd=tmp_path, check=True, timeout=60)
        subprocess.run(["openssl", "dgst", "-sha256", "-verify", "pub", "-signature", "sig", "m"],
                       env=dict(os.environ, OPENSSL_CONF="/dev/null"), cwd=tmp_path, check=True,
                       timeout=60)
    finally:
        run.start()


TWICE = ec.generate_private_key(ec.SECP256R1())


def test_who_has_the_key_pair_already_is_said(run, tmp_path):
    """To whoever may see that one; whatever form the file has."""
    for name, kind in ("k.pem", serialization.Encoding.PEM), ("k.der", serialization.Encoding.DER):
        (tmp_path / name).write_bytes(TWICE.private_bytes(kind, serialization.PrivateFormat.PKCS8,
                                                          serialization.NoEncryption()))
    run.run("key", "import", "first", str(tmp_path / "k.pem"))
    for words in (["key", "import", "second", str(tmp_path / "k.pem")], ["key", "import", "second", str(tmp_path / "k.der")],
                  ["convert", str(tmp_path / "k.pem"), "--key", "second"],
                  ["convert", str(tmp_path / "k.der"), "--key", "second"]):
        said = run.run(*words, code=1).err
        assert "is in a token already, as the key first" in said, said
    run.run("key", "delete", "first", "--yes")
