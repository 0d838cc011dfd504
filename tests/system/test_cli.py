# SPDX-License-Identifier: Apache-2.0
"""The command holdfast: its command line, and its work with a real broker and TPM."""
import base64
import datetime
import hashlib
import os
import pty
import re
import signal
import subprocess

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from clilib import CLI, ENV, Home, Running
from keeperlib import until

# ---------------------------------------------------------------- the command line, without a broker


@pytest.fixture(scope="module")
def home():
    h = Home()
    yield h
    h.close()


@pytest.mark.parametrize("line,text", [
    ("", "no command given"),
    ("kye list", "did you mean 'key'"),
    ("key lst", "did you mean 'key list'"),
    ("key", "'key' of what"),
    ("frobnicate", "see 'holdfast help'"),
    ("key show", "missing arguments; usage: holdfast key show ID"),
    ("key show a b", "too many arguments"),
    ("key show a b c d e f g", "too many arguments"),
    ("key list --jsn", "did you mean '--json'"),
    ("key list --out x", "there is no option '--out'"),
    ("key list -x", "there is no option '-x'"),
    ("key create a --token", "--token needs a value"),
    ("key create a --token t --token u", "given twice"),
    ("key delete a --yes=1", "takes no value"),
    ("key create -- -a", "cannot be the name"),
    ("key create a/b", "cannot be the name"),
    ("key create sha256:" + "00" * 32, "needs a name"),
    ("key create a --algorithm ec-p257", "did you mean 'ec-p256'"),
    ("key create a --usage sign,ca", "or ca alone"),
    ("key show sha256:12", "64 hex digits"),
    ("key rotate a --grace 1month", "--grace 1month"),
    ("key delete a", "give --yes"),
    ("key issuer a /nonexistent", "/nonexistent"),
    ("help kye", "did you mean 'key'"),
    ("config explain timout", "did you mean 'timeout'"),
    ("status --root x --root y", "given twice"),
])
def test_bad_command_lines(home, line, text):
    code = 1 if "nonexistent" in line else 2
    p = home.run(*line.split(), code=code, root=False)
    assert text in p.err and p.err.startswith("holdfast: ") and p.out == ""
    got = home.json(*line.split(), code=code, root=False)
    assert got["error"]["exit"] == code and text in got["error"]["message"]


@pytest.mark.parametrize("line", ["key list", "status", "key show a", "sign a /dev/null --out x", "token list",
                                  "key delete a --yes", "key rotate a"])
def test_without_a_broker(home, line):
    p = home.run(*line.split(), code=4)
    assert "is holdfastd running" in p.err
    assert home.json(*line.split(), code=4)["error"]["code"] == "UNAVAILABLE"


def test_options_stand_anywhere(home):
    for line in ("--socket /x key list", "key --socket /x list", "key list --socket=/x"):
        assert "/x" in home.run(*line.split(), code=4, root=False).err


def test_socket_comes_from_the_environment(home):
    p = subprocess.run([CLI, "key", "list"], env={**ENV, "HOLDFAST_SOCKET": "/from/env"},
                       capture_output=True, text=True)
    assert p.returncode == 4 and "/from/env" in p.stderr


def test_help_and_version(home):
    assert "usage: holdfast key create ID" in home.run("key", "create", "--help").out
    assert "usage: holdfast key create ID" in home.run("help", "key", "create").out
    assert "key rotate" in home.run("key", "--help").out
    assert "key rotate" in home.run("--help", root=False).out
    version = home.json("version")
    assert re.fullmatch(r"\d+\.\d+\.\d+", version["version"]) and version["wire"] == 1
    assert home.run("version").out.startswith(f"holdfast {version['version']}")
    assert home.run("--version", root=False).out == home.run("version").out
    assert home.json("--version") == version
    assert home.run("key", "list", "--version", code=2).err


def test_output_that_cannot_be_written_is_an_error(home):
    for line in ("help", "--help", "key create --help", "version --json"):
        with open("/dev/full", "wb") as full:
            p = subprocess.run([CLI, *line.split()], stdout=full, stderr=subprocess.PIPE, env=ENV)
        assert p.returncode == 1 and b"standard output" in p.stderr, line


# ---------------------------------------------------------------- with a broker


@pytest.fixture(scope="module")
def live():
    r = Running('[[ca_profile]]\nkey = "*-ca"\nself_max_days = 100\npathlen = 1\n')
    yield r
    r.close()


def public(live, key):
    return serialization.load_pem_public_key(live.run("key", "public", key).raw)


def test_create_list_show(live):
    made = live.json("key", "create", "first")
    assert made["algorithm"] == "ec-p256" and made["usage"] == ["sign"] and made["token"] == "tpm"
    assert [g["state"] for g in made["generations"]] == ["current"]
    assert live.json("key", "show", "first") == made
    assert live.json("key", "show", "sha256:" + made["sha256"]) == made
    listed = {k["name"]: k for k in live.json("key", "list")["keys"]}
    assert listed["first"]["sha256"] == made["sha256"]
    assert made["sha256"] in live.run("key", "list").out
    assert "first" in live.run("key", "list", "--names").out.split()
    text = live.run("key", "show", "first").out
    assert made["sha256"] in text and "current" in text


def test_what_a_key_does_is_shown(live):
    live.run("key", "create", "opens", "--algorithm", "rsa-2048", "--usage", "decrypt")
    live.run("key", "create", "agrees", "--usage", "derive")
    text = live.run("key", "show", "opens").out
    assert "it decrypts with rsa-pkcs1,rsa-pkcs1-tls,rsa-oaep-sha1" in text and "agrees" not in text
    text = live.run("key", "show", "agrees").out
    assert "it agrees on secrets with ecdh\n" in text and "decrypts" not in text
    assert "outside" not in text and "imported was" not in text
    made = live.json("key", "show", "agrees")
    assert made["agreements"] == ["ecdh"] and made["ciphers"] == [] and made["exported"] is False


def test_create_twice(live):
    live.run("key", "create", "twice")
    assert "exists already" in live.run("key", "create", "twice", code=1).err
    assert live.json("key", "create", "twice", code=1)["error"]["code"] == "EXISTS"


def test_unknown_key_and_token(live):
    for words in (("key", "show", "nokey"), ("key", "public", "nokey"), ("key", "rotate", "nokey"),
                  ("key", "delete", "nokey", "--yes"), ("sign", "nokey", "/dev/null", "--out", "x")):
        p = live.run(*words, code=3)
        assert "nokey" in p.err
    assert "there is no token" in live.run("key", "create", "x", "--token", "nope", code=2).err
    assert "nope" in live.run("token", "provision", "nope", code=2).err


def test_many_keys_are_all_listed(live):
    """More than fit one reply."""
    names = [f"many-{n:03}" for n in range(70)]
    for name in names:
        live.run("key", "create", name)
    listed = [k["name"] for k in live.json("key", "list")["keys"]]
    assert [n for n in listed if n.startswith("many-")] == names and listed == sorted(listed)
    for name in names:
        live.run("key", "delete", name, "--yes")


def test_public(live):
    made = live.json("key", "create", "pub", "--algorithm", "rsa-2048")
    key = public(live, "pub")
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert hashlib.sha256(spki).hexdigest() == made["sha256"] and key.key_size == 2048
    live.run("key", "public", "pub", "--out", "pub.pem")
    assert live.read("pub.pem") == live.run("key", "public", "pub").raw
    assert live.json("key", "public", "pub")["public"] == live.run("key", "public", "pub").out
    live.run("key", "public", "pub", "--out", "/dev/null")
    assert not os.path.isfile("/dev/null")
    live.run("key", "public", "pub", "--out", "no/such/dir/x", code=1)


def test_reference(live):
    live.run("key", "create", "ref")
    text = live.run("key", "reference", "ref").out
    der = base64.b64decode("".join(text.split("-----")[2].split()))
    spki = public(live, "ref").public_bytes(serialization.Encoding.DER,
                                            serialization.PublicFormat.SubjectPublicKeyInfo)
    assert "BEGIN HOLDFAST KEY REFERENCE" in text and der.endswith(spki) and b"ref" in der
    live.run("key", "reference", "ref", "--cert", "certs/ref.pem", "--out", "ref.key.pem")
    text = live.read("ref.key.pem").decode()
    assert live.path("certs/ref.pem").encode() in base64.b64decode("".join(text.split("-----")[2].split()))
    assert os.stat(live.path("ref.key.pem")).st_mode & 0o777 == 0o644


def test_reference_to_a_certificate_of_another_key(live):
    live.run("key", "create", "ref2")
    other = ec.generate_private_key(ec.SECP256R1())
    with open(live.path("other.pem"), "wb") as f:
        f.write(certificate(other.public_key(), other).public_bytes(serialization.Encoding.PEM))
    p = live.run("key", "reference", "ref2", "--cert", "other.pem")
    assert "warning" in p.err and "not a certificate of the key ref2" in p.err


def test_rotate(live):
    old = live.json("key", "create", "turn")["sha256"]
    got = live.json("key", "rotate", "turn", "--grace", "1h")
    new = live.json("key", "show", "turn")["sha256"]
    assert got["old"]["sha256"] == old and got["new"]["sha256"] == new != old and got["grace_s"] == 3600
    states = {g["sha256"]: g for g in live.json("key", "show", "turn")["generations"]}
    assert states[old]["state"] == "retiring" and states[new]["state"] == "current"
    retires = datetime.datetime.fromisoformat(states[old]["retire_at"].replace("Z", "+00:00"))
    left = retires - datetime.datetime.now(datetime.timezone.utc)
    assert 3500 < left.total_seconds() <= 3600
    text = live.run("key", "rotate", "turn").out
    assert new in text and live.json("key", "show", "turn")["sha256"] in text and "86400" in text
    # A generation that retires still signs when it is asked for by its hash.
    with open(live.path("m"), "wb") as f:
        f.write(b"x")
    assert live.json("sign", "sha256:" + old, "m")["sha256"] == old


def test_delete(live):
    live.run("key", "create", "gone")
    assert "give --yes" in live.run("key", "delete", "gone", code=2).err
    live.run("key", "show", "gone")
    assert live.json("key", "delete", "gone", "--yes")["deleted"] == "gone"
    live.run("key", "show", "gone", code=3)


@pytest.mark.parametrize("answer,code", [(b"y\n", 0), (b"n\n", 1), (b"\n", 1), (b"yes!\n", 1), (b"\x04", 1)])
def test_delete_asks_on_a_terminal(live, answer, code):
    live.run("key", "create", "asked")
    outside, inside = pty.openpty()
    try:
        p = subprocess.Popen([CLI, "key", "delete", "asked", "--root", live.dir], stdin=inside,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
        os.write(outside, answer)
        _, err = p.communicate(timeout=30)
    finally:
        os.close(outside)
        os.close(inside)
    assert p.returncode == code and b"[y/N]" in err
    live.run("key", "show", "asked", code=3 if code == 0 else 0)
    if code:
        live.run("key", "delete", "asked", "--yes")


@pytest.mark.parametrize("algorithm,scheme,check", [
    ("ec-p256", None, ec.ECDSA(hashes.SHA256())),
    ("ec-p256", "ecdsa-sha512", ec.ECDSA(hashes.SHA512())),
    ("ec-p384", None, ec.ECDSA(hashes.SHA384())),
    ("rsa-2048", None, (padding.PKCS1v15(), hashes.SHA256())),
    ("rsa-2048", "rsa-pss-sha384", (padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())),
])
def test_sign(live, algorithm, scheme, check):
    name = "sig-" + algorithm
    if name not in live.run("key", "list", "--names").out.split():
        live.run("key", "create", name, "--algorithm", algorithm)
    data = os.urandom(100000)  # larger than a packet: it is the digest that travels
    with open(live.path("data"), "wb") as f:
        f.write(data)
    check = check if isinstance(check, tuple) else (check,)
    scheme = ["--scheme", scheme] if scheme else []
    live.run("sign", name, "data", "--out", "data.sig", *scheme)
    key = public(live, name)
    key.verify(live.read("data.sig"), data, *check)
    key.verify(live.run("sign", name, "-", stdin=data, *scheme).raw, data, *check)
    key.verify(base64.b64decode(live.json("sign", name, "data", *scheme)["signature"]), data, *check)
    with pytest.raises(InvalidSignature):
        key.verify(live.read("data.sig"), data[1:], *check)


def test_sign_with_a_wrong_scheme(live):
    live.run("key", "create", "wrong-scheme")
    p = live.run("sign", "wrong-scheme", "/dev/null", "--scheme", "ecdsa-sha265", "--out", "x", code=2)
    assert "did you mean 'ecdsa-sha256'" in p.err
    p = live.run("sign", "wrong-scheme", "/dev/null", "--scheme", "rsa-pss-sha256", "--out", "x", code=2)
    assert "has no scheme" in p.err
    assert not os.path.exists(live.path("x"))


def test_files_that_cannot_be_read_or_written(live):
    """The command line is right, so it is not wrong usage, whichever file it is."""
    live.run("key", "create", "no-file")
    assert "no-such-file" in live.run("sign", "no-file", "no-such-file", "--out", "x", code=1).err
    assert "no-dir/x" in live.run("sign", "no-file", "/dev/null", "--out", "no-dir/x", code=1).err
    assert "no-dir/x" in live.run("key", "public", "no-file", "--out", "no-dir/x", code=1).err
    assert "no-such-file" in live.run("key", "import", "y", "no-such-file", code=1).err
    assert not os.path.exists(live.path("x"))


def test_signature_is_not_poured_on_a_terminal(live):
    live.run("key", "create", "tty")
    outside, inside = pty.openpty()
    p = subprocess.run([CLI, "sign", "tty", "/dev/null", "--root", live.dir], stdout=inside,
                       stderr=subprocess.PIPE, env=ENV)
    os.close(inside)
    os.close(outside)
    assert p.returncode == 2 and b"--out FILE" in p.stderr


def certificate(subject_key, signer, days=30, ca=True):
    """Self-issued; signed by whatever @signer is, for its TBSCertificate."""
    now = datetime.datetime.utcnow()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge")])
    return (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(subject_key)
            .serial_number(x509.random_serial_number()).not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca, 0 if ca else None), True)
            .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key), False)
            .sign(signer, hashes.SHA256()))


def der(tag, body):
    n = len(body)
    length = bytes([n]) if n < 128 else bytes([0x82]) + n.to_bytes(2, "big")
    return bytes([tag]) + length + body


def test_ca_key_signs_certificates_only(live):
    live.run("key", "create", "my-ca", "--usage", "ca")
    key = public(live, "my-ca")
    p = live.run("sign", "my-ca", "-", stdin=b"anything", code=3)
    assert "ca key" in p.err
    assert live.json("sign", "my-ca", "-", stdin=b"anything", code=3)["error"]["code"] == "REFUSED"
    live.run("sign", "my-ca", "-", stdin=b"x" * 70000, code=2)
    tbs = certificate(key, ec.generate_private_key(ec.SECP256R1())).tbs_certificate_bytes
    signature = live.run("sign", "my-ca", "-", stdin=tbs).raw
    key.verify(signature, tbs, ec.ECDSA(hashes.SHA256()))
    ecdsa_sha256 = der(0x30, der(6, bytes.fromhex("2a8648ce3d040302")))
    with open(live.path("my-ca.der"), "wb") as f:
        f.write(der(0x30, tbs + ecdsa_sha256 + der(3, b"\0" + signature)))
    got = live.json("key", "issuer", "my-ca", "my-ca.der")
    assert got["issuer_not_after"].endswith("Z")
    assert got["issuer_not_after"] in live.run("key", "show", "my-ca").out
    long = certificate(key, ec.generate_private_key(ec.SECP256R1()), days=200).tbs_certificate_bytes
    live.run("sign", "my-ca", "-", stdin=long, code=3)


def test_issuer_certificate_of_another_key(live):
    live.run("key", "create", "other-ca", "--usage", "ca")
    signer = ec.generate_private_key(ec.SECP256R1())
    with open(live.path("foreign.pem"), "wb") as f:
        f.write(certificate(signer.public_key(), signer).public_bytes(serialization.Encoding.PEM))
    assert "other-ca" in live.run("key", "issuer", "other-ca", "foreign.pem", code=2).err
    assert "no certificate in it" in live.run("key", "issuer", "other-ca", "etc/config.toml", code=2).err


def test_token_and_status(live):
    (token,) = live.json("token", "list")["tokens"]
    assert token["name"] == "tpm" and token["state"] == "ready" and "ec-p256" in token["algorithms"]
    assert live.json("token", "provision")["tokens"][0]["provisioned"] is True
    assert live.json("token", "provision", "tpm")["tokens"][0]["provisioned"] is True
    status = live.json("status")
    assert status["keys"] == len(live.json("key", "list")["keys"]) and status["tokens"][0]["name"] == "tpm"
    assert status["busy"] == status["lines_lost"] == 0
    (token,) = status["tokens"]
    assert (token["queued"], token["restarts"]) == (0, 0) and token["commands"] > 10
    assert token["lockout_counter"] == 0
    text = live.run("status").out
    for words in ("ready", "0 too many", "QUEUED", "RESTARTS", "LOCKOUT"):
        assert words in text, text


def test_reload_takes_the_new_configuration():
    """On a socket beside main, where root has no more than what is granted."""
    home = Home()
    side = home.path("side.sock")
    r = Running(f'[[socket]]\nname = "main"\npath = "{home.path("main.sock")}"\n'
                f'[[socket]]\nname = "side"\npath = "{side}"\n', grant='socket = "side"\n',
                socket=side)
    try:
        r.run("key", "create", "a", "--socket", side)
        r.run("sign", "a", "/dev/null", "--out", "x", "--socket", side)
        r.write(r.read("etc/config.toml").decode().replace('"sign", ', ""))
        r.run("config", "apply")
        r.daemon.send_signal(signal.SIGHUP)
        until(lambda: subprocess.run([CLI, "sign", "a", "/dev/null", "--socket", side, "--out", "/dev/null"],
                                     env=ENV, capture_output=True).returncode == 3)
        r.run("key", "show", "a", "--socket", side)
    finally:
        r.close()
        home.close()


def test_long_work_shows_progress_on_a_terminal():
    """The TPM is stopped for as long as it takes to see it."""
    r = Running(token='timeout = "60s"\n')
    outside, inside = pty.openpty()
    try:
        r.tpm.process.send_signal(signal.SIGSTOP)
        p = subprocess.Popen([CLI, "key", "create", "slow", "--root", r.dir], stderr=inside,
                             stdout=subprocess.PIPE, env=ENV)
        seen = b""
        while b" 2 s" not in seen:
            seen += os.read(outside, 100)
        assert b"\rthe token is making the key... 1 s" in seen
        r.tpm.process.send_signal(signal.SIGCONT)
        out, _ = p.communicate(timeout=60)
        assert p.returncode == 0 and b"slow" in out
    finally:
        r.tpm.process.send_signal(signal.SIGCONT)
        os.close(outside)
        os.close(inside)
        r.close()


def test_tpm_that_is_gone():
    r = Running()
    try:
        r.run("key", "create", "a")
        r.tpm.kill()
        p = r.run("sign", "a", "/dev/null", "--out", "x", code=4)
        assert "tpm" in p.err
        p = r.run("key", "create", "b", code=4)
        assert r.run("key", "list", "--names").out.split() == ["a"]
        r.tpm.start()
        until(r.ready)
        r.run("sign", "a", "/dev/null", "--out", "x")
    finally:
        r.close()
