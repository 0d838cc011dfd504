# SPDX-License-Identifier: Apache-2.0
"""The PKCS#11 module: as the standard has it, and as programs use it that know nothing of OpenSSL's
providers."""
import os
import re
import shutil
import signal
import subprocess
import tempfile

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

import p11lib
from brokerlib import Broker
from keeperlib import BUILD, ROOT, until
from provider_env import Openssl
from realbroker import RealBroker

MODULE = BUILD + "/src/p11/holdfast-pkcs11.so"
HOST = BUILD + "/tests/system/p11-host"
ENGINE = "pkcs11"
OTHER = 1  # a uid: daemon. The overflow uid (nobody) is refused by the broker


@pytest.fixture(scope="module", name="stack")
def fixture_stack():
    b = RealBroker(profiles=["edge-ca"]).start()
    b.algorithms()
    b.add_key("dev")
    b.add_key("rsa", "rsa-2048")
    b.add_key("edge-ca", usage="ca")
    b.add_key("mail", "rsa-2048", "sign,decrypt")
    b.add_key("agrees", "ec-p256", "derive")
    yield b
    b.close()


@pytest.fixture(name="openssl")
def fixture_openssl(stack, tmp_path):
    return Openssl(str(tmp_path), stack.path, "dropin")


@pytest.fixture(name="certs")
def fixture_certs(openssl, tmp_path):
    """A directory with a certificate of one of the keys, and other things."""
    d = tmp_path / "certs"
    d.mkdir()
    openssl("req", "-x509", "-new", "-key", "holdfast:rsa", "-subj", "/CN=rsa.local", "-days", "9",
            "-out", str(d / "rsa.pem"))
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout",
            str(d / "other.pem"), "-out", str(d / "foreign.pem"))
    (d / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    (d / "huge.pem").write_bytes(b"x" * 300000)
    return d


def run(openssl, *argv, code=0, **more):
    r = openssl.run(*argv, **more)
    assert r.code == code, f"{argv}: exit {r.code}\n{r.text}\n{r.errors}"
    return r


def ident(stack, name):
    return stack.keys[name].current.hash[:20].hex()


@pytest.mark.parametrize("what", [
    "abuse", "threads", "fork", "starts", "reload",
    # ASan's malloc() waits for ever in a child whose parent had threads in it
    pytest.param("forks", marks=pytest.mark.plain)])
def test_host(openssl, what):
    r = run(openssl, HOST, MODULE, what, "dev")
    assert r.text == "" and r.errors == ""


@pytest.fixture(scope="module", name="hsm_socket")
def fixture_hsm_socket():
    """A broker with a SoftHSM token, for what no TPM has."""
    hsm, broker = p11lib.SoftHsm(), Broker(tokens=("none",))
    broker.settings.update(default_token="hsm", tokens=[{
        "name": "hsm", "type": "pkcs11", "module": hsm.module, "uri": hsm.uri, "pin": hsm.pin_file,
        "workers": 1, "timeout_ms": 10000, "keys": [],
        "environment": ["%s=%s" % item for item in hsm.env.items()]}])
    broker.configure()
    with broker:
        client = broker.client()
        reply = client.create("ed", "ed25519")
        assert reply.status == 0, reply
        yield broker.socket, load_der_public_key(reply.key.spki)
        client.close()
    hsm.close()


def test_ed25519(openssl, hsm_socket):
    """Without parameters, or with such as say that it is plain Ed25519. All else was signed as that."""
    path, public = hsm_socket
    r = run(openssl, HOST, MODULE, "eddsa", "ed", env={"HOLDFAST_SOCKET": path})
    public.verify(r.out, b"lessage\0")
    openssl.file("message", b"of any length" * 100)
    run(openssl, "pkcs11-tool", "--module", MODULE, "--sign", "-m", "EDDSA", "--label", "ed",
        "-i", "message", "-o", "sig", env={"HOLDFAST_SOCKET": path})
    public.verify(openssl.read("sig"), openssl.read("message"))


def test_decryption_in_parts(openssl):
    openssl("pkey", "-in", "holdfast:mail", "-pubout", "-out", "pub.pem")
    openssl.plain("pkeyutl", "-encrypt", "-pubin", "-inkey", "pub.pem", "-in",
                  openssl.file("plain", b"in parts"), "-out", "cipher")
    assert run(openssl, HOST, MODULE, "decrypt", "mail", input=openssl.read("cipher")).out == b"in parts"


def test_derived_secrets_are_what_was_asked_for(openssl):
    run(openssl, HOST, MODULE, "derive", "agrees")


def test_broker_comes_back(tmp_path):
    b = RealBroker().start()
    try:
        b.algorithms()
        b.add_key("dev")
        openssl = Openssl(str(tmp_path), b.path, "dropin")
        p = subprocess.Popen([HOST, MODULE, "restart", "dev"], env=openssl.environ, text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def sign():
            p.stdin.write("\n")
            p.stdin.flush()
            return p.stdout.readline().strip()

        assert sign() == "0x0"
        for how in (signal.SIGTERM, signal.SIGKILL):
            b.process.send_signal(how)
            b.process.wait(20)
            b.start()
            assert sign() == "0x0"
        b.stop()
        assert sign() == "0x32"  # CKR_DEVICE_REMOVED
        b.start()
        until(lambda: sign() == "0x0")
        p.communicate()
        assert p.returncode == 0
    finally:
        b.close()


def test_nothing_listens(openssl):
    """No token then, no error, and no wait."""
    env = {"HOLDFAST_SOCKET": openssl.path("nobody")}
    r = run(openssl, "pkcs11-tool", "--module", MODULE, "-L", env=env)
    assert "token label" not in r.text, r.text
    env["HOLDFAST_PKCS11_LOG"] = "stderr"
    r = openssl.run("pkcs11-tool", "--module", MODULE, "-L", env=env)
    assert "nobody" in r.errors, "who asks is told which socket"


def test_pkcs11_tool_test(openssl):
    """OpenSC's own list of what a module has to do."""
    for login in ([], ["--login", "--pin", "0000"]):
        r = run(openssl, "pkcs11-tool", "--module", MODULE, *login, "--test")
        assert "RSA-PKCS: OK" in r.text.split("Decryption")[1], r.text
        assert "No errors" in r.text and "all 4 signature functions seem to work" in r.text, r.text


def test_objects(stack, openssl, certs):
    r = run(openssl, "pkcs11-tool", "--module", MODULE, "-O", env={"HOLDFAST_CERTS": str(certs)})
    for name in ("dev", "rsa", "edge-ca"):
        assert len(re.findall(r"label: +%s\n +ID: +%s" % (name, ident(stack, name)), r.text)) >= 1
    assert r.text.count("Private Key Object") == 5 and r.text.count("Public Key Object") == 5
    assert r.text.count("Certificate Object") == 1 and "CN=rsa.local" in r.text, r.text
    assert r.text.count("always sensitive, never extractable, local") == 5


def test_a_rotated_key_is_shown_with_its_certificate(stack, openssl, certs):
    """Until there is a new certificate, servers need the pair that there is: both can be used."""
    stack.add_key("turns")
    env = {"HOLDFAST_CERTS": str(certs)}
    openssl("req", "-x509", "-new", "-key", "holdfast:turns", "-subj", "/CN=turns", "-days", "9",
            "-out", str(certs / "turns.pem"))
    old = ident(stack, "turns")
    stack.rotate("turns")
    new = ident(stack, "turns")
    openssl.file("message", b"m")

    def shown():
        text = run(openssl, "pkcs11-tool", "--module", MODULE, "-O", "--type", "privkey", env=env).text
        return re.findall(r"label: +turns\n +ID: +(\w+)", text)

    assert shown() == [old, new], "the pair comes first"
    for which in (old, new):
        run(openssl, "pkcs11-tool", "--module", MODULE, "--sign", "-m", "ECDSA-SHA256", "--id", which,
            "-i", "message", "-o", which, "--signature-format", "openssl", env=env)
    openssl("x509", "-in", str(certs / "turns.pem"), "-pubkey", "-noout", "-out", "pub.pem")
    openssl.plain("dgst", "-sha256", "-verify", "pub.pem", "-signature", old, "message")
    os.unlink(certs / "turns.pem")
    assert shown() == [new]


def test_certificates_among_many_files(openssl, certs):
    """A directory of an agent with many modules: references, and files that are none of ours."""
    for i in range(600):
        (certs / f"k{i}.key.pem").write_text("-----BEGIN HOLDFAST KEY REFERENCE-----\n")
        (certs / f"x{i}.pem").write_text("nothing\n")
    for name in ("aa", "m", "zz"):
        shutil.copy(certs / "rsa.pem", certs / f"{name}.pem")
        os.unlink(certs / "rsa.pem")
        r = run(openssl, "pkcs11-tool", "--module", MODULE, "-O", "--type", "cert",
                env={"HOLDFAST_CERTS": str(certs)})
        assert r.text.count("Certificate Object") == 1, name
        os.rename(certs / f"{name}.pem", certs / "rsa.pem")


@pytest.mark.parametrize("key,mechanism,options", [
    ("dev", "ECDSA-SHA256", []),
    ("dev", "ECDSA-SHA384", []),
    ("rsa", "SHA256-RSA-PKCS", []),
    ("rsa", "SHA512-RSA-PKCS", []),
    ("rsa", "SHA256-RSA-PKCS-PSS", ["rsa_padding_mode:pss", "rsa_pss_saltlen:digest"]),
    ("rsa", "SHA384-RSA-PKCS-PSS", ["rsa_padding_mode:pss", "rsa_pss_saltlen:digest"]),
])
def test_signatures(stack, openssl, key, mechanism, options):
    openssl.file("message", b"of any length" * 1000)
    run(openssl, "pkcs11-tool", "--module", MODULE, "--sign", "-m", mechanism, "--id",
        ident(stack, key), "-i", "message", "-o", "sig", "--signature-format", "openssl")
    openssl("pkey", "-in", f"holdfast:{key}", "-pubout", "-out", "pub.pem")
    md = re.search("SHA(...)", mechanism).group(1)
    openssl.plain("dgst", f"-sha{md}", *[w for o in options for w in ("-sigopt", o)], "-verify",
                  "pub.pem", "-signature", "sig", "message")


@pytest.mark.parametrize("mechanism,more,options", [
    ("RSA-PKCS", [], []),
    ("RSA-PKCS-OAEP", ["--hash-algorithm", "SHA-1"], ["rsa_padding_mode:oaep"]),
    ("RSA-PKCS-OAEP", ["--hash-algorithm", "SHA256"],
     ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256"]),
])
def test_decrypt(stack, openssl, mechanism, more, options):
    openssl.file("plain", b"a secret of some length")
    openssl("pkey", "-in", "holdfast:mail", "-pubout", "-out", "pub.pem")
    openssl.plain("pkeyutl", "-encrypt", "-pubin", "-inkey", "pub.pem", "-in", "plain", "-out",
                  "cipher", *[w for o in options for w in ("-pkeyopt", o)])
    run(openssl, "pkcs11-tool", "--module", MODULE, "--decrypt", "-m", mechanism, *more, "--id",
        ident(stack, "mail"), "-i", "cipher", "-o", "out")
    assert openssl.read("out") == b"a secret of some length"
    openssl.file("cipher", bytes(256))
    assert openssl.run("pkcs11-tool", "--module", MODULE, "--decrypt", "-m", mechanism, *more,
                       "--id", ident(stack, "mail"), "-i", "cipher", "-o", "none").code


def test_derive(stack, openssl):
    openssl.plain("genpkey", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out", "peer.key")
    openssl.plain("pkey", "-in", "peer.key", "-pubout", "-outform", "DER", "-out", "peer.der")
    openssl("pkey", "-in", "holdfast:agrees", "-pubout", "-out", "ours.pem")
    theirs = openssl.plain("pkeyutl", "-derive", "-inkey", "peer.key", "-peerkey", "ours.pem").out
    run(openssl, "pkcs11-tool", "--module", MODULE, "--derive", "-m", "ECDH1-DERIVE", "--id",
        ident(stack, "agrees"), "-i", "peer.der", "-o", "secret")
    assert openssl.read("secret") == theirs


def test_ca_key_is_no_oracle(stack, openssl):
    openssl.file("digest", bytes(32))
    for mechanism, says in (("ECDSA", "never a digest"), ("ECDSA-SHA256", "none of them")):
        r = openssl.run("pkcs11-tool", "--module", MODULE, "--sign", "-m", mechanism, "--id",
                        ident(stack, "edge-ca"), "-i", "digest", "-o", "sig",
                        env={"HOLDFAST_PKCS11_LOG": "stderr"})
        assert r.code and "CKR_KEY_FUNCTION_NOT_PERMITTED" in r.errors and says in r.errors
        assert not os.path.exists(openssl.path("sig")) or not openssl.read("sig")


@pytest.mark.plain
def test_gnutls(stack, openssl, certs):
    """p11tool lists, certtool makes a request with the key, GnuTLS verifies it by itself."""
    url = "pkcs11:token=holdfast;object=rsa;type=private"
    env = {"HOLDFAST_CERTS": str(certs)}
    r = run(openssl, "p11tool", "--provider", MODULE, "--list-all", env=env)
    assert r.text.count("object=rsa;type=private") == 1 and "object=rsa;type=cert" in r.text
    openssl.file("t", "cn = test.local\nsigning_key\ntls_www_server\n")
    run(openssl, "certtool", "--provider", MODULE, "--generate-request", "--template", "t",
        "--load-privkey", url, "--load-pubkey", url.replace("private", "public"), "--outfile", "csr")
    openssl("req", "-in", "csr", "-verify", "-noout")
    assert stack.keys["rsa"].current.spki == openssl(
        "pkey", "-pubin", "-in", openssl.file("p", openssl("req", "-in", "csr", "-pubkey",
                                                           "-noout").text),
        "-outform", "DER").out


@pytest.fixture(name="engine")
def fixture_engine(openssl):
    """OpenSSL as a program has it that knows ENGINE and nothing later."""
    conf = openssl.file("engine.cnf", f"""openssl_conf = i
[i]
engines = e
[e]
pkcs11 = p
[p]
engine_id = pkcs11
MODULE_PATH = {MODULE}
init = 0
[req]
distinguished_name = n
[n]
""")

    def use(*args, **more):
        return run(openssl, "openssl", *args, env={"OPENSSL_CONF": conf}, **more)
    return use


@pytest.mark.plain
@pytest.mark.parametrize("key", ["dev", "rsa"])
def test_libp11_engine(openssl, engine, key):
    openssl.file("message", "something")
    engine("dgst", "-sha256", "-engine", ENGINE, "-keyform", "engine", "-sign",
           f"pkcs11:token=holdfast;object={key}", "-out", "sig", "message")
    openssl("pkey", "-in", f"holdfast:{key}", "-pubout", "-out", "pub.pem")
    openssl.plain("dgst", "-sha256", "-verify", "pub.pem", "-signature", "sig", "message")
    engine("req", "-new", "-engine", ENGINE, "-keyform", "engine", "-key",
           f"pkcs11:token=holdfast;object={key};type=private", "-subj", "/CN=old", "-out", "csr")
    openssl.plain("req", "-in", "csr", "-verify", "-noout")
    openssl.plain("req", "-in", "csr", "-pubkey", "-noout", "-out", "of-csr.pem")
    assert openssl.read("of-csr.pem") == openssl.read("pub.pem")


@pytest.mark.plain
@pytest.mark.parametrize("options", [
    [], ["rsa_padding_mode:oaep"], ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"]])
def test_libp11_engine_decrypts(openssl, engine, options):
    openssl("pkey", "-in", "holdfast:mail", "-pubout", "-out", "pub.pem")
    options = [w for o in options for w in ("-pkeyopt", o)]
    openssl.plain("pkeyutl", "-encrypt", "-pubin", "-inkey", "pub.pem", "-in",
                  openssl.file("plain", "a secret"), "-out", "cipher", *options)
    assert engine("pkeyutl", "-decrypt", "-engine", ENGINE, "-keyform", "engine", "-inkey",
                  "pkcs11:token=holdfast;object=mail;type=private", "-in", "cipher",
                  *options).text == "a secret"


@pytest.mark.plain
def test_libp11_engine_derives(openssl, engine):
    openssl.plain("genpkey", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out", "peer.key")
    openssl.plain("pkey", "-in", "peer.key", "-pubout", "-out", "peer.pem")
    openssl("pkey", "-in", "holdfast:agrees", "-pubout", "-out", "ours.pem")
    theirs = openssl.plain("pkeyutl", "-derive", "-inkey", "peer.key", "-peerkey", "ours.pem").out
    assert engine("pkeyutl", "-derive", "-engine", ENGINE, "-keyform", "engine", "-inkey",
                  "pkcs11:token=holdfast;object=agrees;type=private", "-peerkey", "peer.pem").out == theirs


class Public:
    """A broker that everybody may speak to, and a place where everybody finds the module. Root has
    every right, another user (daemon, as in Debian) those of `theirs`."""

    def __init__(self, theirs):
        self.dir = tempfile.mkdtemp(prefix="hf-pub.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.module = shutil.copy(MODULE, self.dir)
        self.broker = RealBroker()
        os.chmod(self.broker.dir, 0o755)
        self.broker.conf["sockets"][0]["mode"] = 0o666
        self.broker.conf["principals"] += [
            {"uid": OTHER, "gid": -1, "socket": "main", "keys": [key], "rights": rights}
            for key, rights in theirs.items()]
        self.broker.start()
        self.broker.algorithms()

    def run(self, uid, *argv, **env):
        env = dict(os.environ, HOLDFAST_SOCKET=self.broker.path, HOLDFAST_CERTS=self.dir,
                   OPENSSL_CONF="/dev/null", **env)
        if "HOLDFAST_TEST_PRELOAD" in env:
            env.update(LD_PRELOAD=env["HOLDFAST_TEST_PRELOAD"], ASAN_OPTIONS="detect_leaks=0")
        return subprocess.run(argv, user=uid, group=uid, extra_groups=[], cwd=self.dir, env=env,
                              text=True, capture_output=True, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.broker.close()
        shutil.rmtree(self.dir)


@pytest.mark.root
@pytest.mark.plain
def test_p11_kit_registration():
    """The .module file as it is installed, but for where the module is: p11-kit reads such of a
    user who is not root, and programs that ask p11-kit see the keys without being told of us."""
    with Public({"dev": ["public", "sign"]}) as here:
        here.broker.add_key("dev")
        with open(BUILD + "/src/p11/holdfast.module") as f:
            text = re.sub(r"^module: .*$", "module: " + here.module, f.read(), flags=re.M)
        assert here.module in text
        modules = os.path.join(here.dir, "pkcs11", "modules")
        os.makedirs(modules)
        for path, content in ((modules + "/holdfast.module", text),
                              (here.dir + "/pkcs11/pkcs11.conf", "user-config: merge\n")):
            with open(path, "w") as f:
                f.write(content)
        r = here.run(OTHER, "p11-kit", "list-modules", XDG_CONFIG_HOME=here.dir)
        assert re.search(r"^(module: )?holdfast\b", r.stdout, re.M) and "token: holdfast" in r.stdout, r
        r = here.run(OTHER, "p11tool", "--list-all", "pkcs11:token=holdfast", XDG_CONFIG_HOME=here.dir)
        assert "object=dev;type=private" in r.stdout, r
        r = here.run(OTHER, "p11tool", "--list-tokens", XDG_CONFIG_HOME="/nonexistent")
        assert "holdfast" not in r.stdout, "it is there without the file"


@pytest.mark.root
def test_every_user_has_his_own_keys():
    """The same module, the same token: what is in it, and what it does, is by who asks."""
    rights = {"shown": ["public"], "theirs": ["public", "sign"], "blind": ["sign"]}
    with Public(rights) as here:
        for name in ("mine", *rights):
            here.broker.add_key(name)
        with open(here.dir + "/message", "w") as f:
            f.write("m")

        def seen(uid):
            return set(re.findall(r"label: +(\w+)", here.run(
                uid, "pkcs11-tool", "--module", here.module, "-O", "--type", "privkey").stdout))

        def signs(uid, name):
            r = here.run(uid, "pkcs11-tool", "--module", here.module, "--sign", "-m", "ECDSA-SHA256",
                         "--id", ident(here.broker, name), "-i", "message", "-o", "/dev/null")
            assert r.returncode == 0 or "CKR_KEY_FUNCTION_NOT_PERMITTED" in r.stderr or \
                "not found" in r.stderr, r
            return r.returncode == 0

        assert seen(0) == {"mine", *rights}
        assert seen(OTHER) == {"shown", "theirs"}
        assert [signs(0, name) for name in ("mine", "theirs")] == [True, True]
        assert [signs(OTHER, name) for name in ("mine", "shown", "theirs", "blind")] == [
            False, False, True, False]


@pytest.mark.plain
def test_guide(tmp_path):
    """docs/guides/pkcs11-programs.md as written."""
    with open(ROOT + "/docs/guides/pkcs11-programs.md") as f:
        blocks = re.findall(r"^```sh\n(.*?)^```$", f.read(), re.S | re.M)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HOLDFAST_", "OPENSSL_"))}
    p = subprocess.run([ROOT + "/swtpm-ci/with-holdfast", "bash", "-euo", "pipefail", "-c",
                        "\n".join(blocks)], cwd=tmp_path, stdin=subprocess.DEVNULL, text=True,
                       env=dict(env, HOLDFAST_BUILD=BUILD, MODULE=MODULE), timeout=120,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert p.returncode == 0 and "Verified OK" in p.stdout, p.stdout
    assert re.search("^ecdsa-sha2-nistp256 .* device-id$", p.stdout, re.M), p.stdout


@pytest.mark.plain
def test_nss(stack, openssl, certs, tmp_path):
    """NSS (Firefox, Thunderbird, curl on some systems) finds certificate and key, and uses them."""
    openssl.plain("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ca", "-keyout",
                  "ca.key", "-days", "9", "-out", "ca.pem")
    openssl("req", "-new", "-key", "holdfast:mail", "-subj", "/CN=mail/emailAddress=m@x.test",
            "-out", "mail.csr")
    openssl.plain("x509", "-req", "-in", "mail.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "9",
                  "-extfile", openssl.file("ext", "keyUsage=digitalSignature,keyEncipherment\n"
                                           "extendedKeyUsage=emailProtection\n"),
                  "-out", str(certs / "mail.pem"))
    db = tmp_path / "nss"
    db.mkdir()
    env = {"HOLDFAST_CERTS": str(certs)}
    run(openssl, "certutil", "-N", "-d", f"sql:{db}", "--empty-password")
    run(openssl, "modutil", "-dbdir", f"sql:{db}", "-add", "holdfast", "-libfile", MODULE, "-force",
        env=env)
    r = run(openssl, "certutil", "-L", "-d", f"sql:{db}", "-h", "holdfast", env=env)
    assert "holdfast:rsa" in r.text, r.text
    r = run(openssl, "certutil", "-K", "-d", f"sql:{db}", "-h", "holdfast", env=env)
    full = ident(stack, "rsa")
    assert re.search(rf"rsa +{full} +", r.text), r.text
    # what it shows, it finds: a request, a signed mail, and a sealed one
    nss = ("-d", f"sql:{db}")
    run(openssl, "certutil", "-R", *nss, "-h", "holdfast", "-k", full, "-s", "CN=nss", "-a", "-o",
        "nss.csr", "-z", openssl.file("noise", os.urandom(2048)), env=env)
    openssl("req", "-in", "nss.csr", "-verify", "-noout", "-subject")
    assert stack.keys["rsa"].current.spki == openssl(
        "pkey", "-pubin", "-in", openssl.file("p", openssl("req", "-in", "nss.csr", "-pubkey",
                                                           "-noout").text), "-outform", "DER").out
    openssl.file("mail", "Hello\n")
    run(openssl, "certutil", "-A", *nss, "-n", "ca", "-t", "CT,C,C", "-i", "ca.pem")
    run(openssl, "cmsutil", "-S", *nss, "-N", "holdfast:mail", "-G", "-i", "mail", "-o", "signed",
        env=env)
    openssl.plain("cms", "-verify", "-inform", "DER", "-in", "signed", "-CAfile",
                  "ca.pem", "-out", "verified")
    assert b"Hello" in openssl.read("verified")
    openssl.plain("cms", "-encrypt", "-in", "mail", "-binary", "-outform", "DER", "-out", "sealed",
                  "-aes256", str(certs / "mail.pem"))
    assert run(openssl, "cmsutil", "-D", *nss, "-i", "sealed", env=env).out == b"Hello\n"


@pytest.mark.plain
@pytest.mark.parametrize("key", ["dev", "rsa"])
def test_openssh(stack, openssl, tmp_path, key):
    """A client logs in with a key in the TPM, to a real sshd on a socket pair."""
    run(openssl, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "hostkey")
    keys = run(openssl, "ssh-keygen", "-D", MODULE).text.splitlines()
    (mine,) = [k for k in keys if k.endswith(" " + key)]
    openssl.file("authorized", mine + "\n")
    os.chmod(openssl.path("authorized"), 0o600)
    openssl.file("known", "x " + " ".join(open(openssl.path("hostkey.pub")).read().split()[:2]))
    sshd = (f"{shutil.which('sshd') or '/usr/sbin/sshd'} -i -f /dev/null -h {tmp_path}/hostkey "
            f"-o StrictModes=no -o AuthorizedKeysFile={tmp_path}/authorized -o UsePAM=no "
            "-o PasswordAuthentication=no -o LogLevel=ERROR -o PermitRootLogin=yes")
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True) if os.getuid() == 0 else None
    r = run(openssl, "ssh", "-F", "/dev/null", "-o", f"PKCS11Provider={MODULE}", "-o",
            "IdentitiesOnly=no", "-o", "IdentityFile=none", "-o", "IdentityAgent=none", "-o",
            f"UserKnownHostsFile={tmp_path}/known", "-o", "BatchMode=yes", "-o",
            f"ProxyCommand={sshd}", "-o", "HostKeyAlias=x", "x", "echo", "in with", key)
    assert r.text == f"in with {key}\n"
