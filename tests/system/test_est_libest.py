# SPDX-License-Identifier: Apache-2.0
"""Against a real EST server, Debian's libest, in all its modes; keys in a software TPM."""
import json
import os
import re
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from keeperlib import ROOT
from test_with import ENV, Session

CI = os.path.join(ROOT, "swtpm-ci")
EST, HOLDFAST = os.path.join(CI, "with-est"), os.path.join(CI, "with-holdfast")
SERVER = '--server "$HOLDFAST_EST_URL" --trust "$HOLDFAST_EST_TRUST"'
USER = '--user "$HOLDFAST_EST_USER" --password-file "$HOLDFAST_EST_PASSWORD_FILE"'
NAMES = "--subject CN=device-1 --san device-1.example --eku clientAuth"


class Done:
    def __init__(self, p):
        self.code, self.out, self.err = p.returncode, p.stdout, p.stderr

    @property
    def json(self):
        return json.loads(self.out)


def shell(mode, script, folder, code=0, env=None):
    """A script beside broker and server; `est` is holdfast est VERB with the server's options."""
    script = "set -eu; cd %s; est() { local verb=$1; shift; holdfast est $verb %s --json \"$@\"; }\n%s" % (
        folder, SERVER, script)
    # Python reads OPENSSL_CONF, and a provider with a sanitizer in it cannot be loaded by everybody
    both = [EST, "--mode", mode, HOLDFAST] if "HOLDFAST_TEST_PRELOAD" in os.environ else \
        [HOLDFAST, EST, "--mode", mode]
    p = subprocess.run([*both, "bash", "-c", script], capture_output=True,
                       text=True, timeout=120, stdin=subprocess.DEVNULL, env=dict(ENV, **(env or {})))
    assert p.returncode == code, (p.returncode, p.stdout, p.stderr)
    return Done(p)


def cert(folder, name):
    with open(os.path.join(folder, name), "rb") as f:
        return x509.load_pem_x509_certificate(f.read())


def spki(c):
    return c.public_key().public_bytes(serialization.Encoding.DER,
                                       serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.plain
@pytest.mark.parametrize("mode,auth,binding", [
    ("basic", USER, ""), ("digest", USER, ""),
    ("bearer", '--token-file "$HOLDFAST_EST_TOKEN_FILE"', ""), ("pop", USER, "tls-unique"),
])
def test_enroll(tmp_path, mode, auth, binding):
    done = shell(mode, 'holdfast key create dev >&2; est enroll %s --key dev %s --out dev.pem; '
                 'holdfast key public dev --out pub.pem' % (auth, NAMES), tmp_path)
    got = done.json
    assert (got["status"], got["binding"], got["tls"]) == ("ok", binding, "TLSv1.2"), got
    c = cert(tmp_path, "dev.pem")
    assert c.subject.rfc4514_string() == "CN=device-1"
    with open(tmp_path / "pub.pem", "rb") as f:
        assert f.read().strip() == c.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).strip()
    assert c.extensions.get_extension_for_class(x509.SubjectAlternativeName).value[0].value == \
        "device-1.example"


@pytest.mark.plain
@pytest.mark.parametrize("algorithm", ["ec-p384", "rsa-2048"])
def test_other_keys(tmp_path, algorithm):
    shell("pop", "holdfast key create dev --algorithm %s >&2; est enroll %s --key dev %s --out dev.pem"
          % (algorithm, USER, NAMES), tmp_path)
    assert cert(tmp_path, "dev.pem").subject.rfc4514_string() == "CN=device-1"


@pytest.mark.plain
@pytest.mark.parametrize("mode", ["basic", "digest", "pop"])
def test_wrong_password(tmp_path, mode):
    done = shell(mode, 'holdfast key create dev >&2; (umask 077; echo wrong >pw); '
                 'est enroll --user estuser --password-file pw --key dev %s' % NAMES, tmp_path, code=3)
    assert done.json["status"] == "auth" and "estuser" in done.json["error"]["message"]


@pytest.mark.plain
def test_password_that_everybody_may_read(tmp_path):
    done = shell("basic", 'holdfast key create dev >&2; echo estpwd >pw; chmod 644 pw; '
                 'est enroll --user estuser --password-file pw --key dev %s' % NAMES, tmp_path, code=3)
    assert "chmod o=" in done.err


# The identity that a factory would give: a key in the token, certified by the CA of the server.
BOOTSTRAP = """
holdfast key create boot >&2
openssl req -new -key holdfast:boot -subj /CN=factory-1 -out boot.csr
openssl x509 -req -in boot.csr -CA "$HOLDFAST_EST_CA_CERT" -CAkey "$HOLDFAST_EST_CA_KEY" \
    -days 30 -out boot.pem 2>/dev/null
"""


@pytest.mark.plain
def test_bootstrap_then_identity_then_everything_else(tmp_path):
    """Mutual TLS with keys in the token; the identity is renewed by itself, and rotated."""
    done = shell("mtls", BOOTSTRAP + """
for key in id edge; do holdfast key create $key >&2; done
est enroll --cert boot.pem --cert-key boot --key id --subject CN=device-1 --eku clientAuth --out id.pem
cp id.pem first.pem
est enroll --cert id.pem --cert-key id --key edge --subject CN=edge-1 --out edge.pem
est reenroll --cert id.pem --key id --out id.pem
cp id.pem renewed.pem
holdfast key rotate id >&2
est reenroll --cert id.pem --cert-key id --key id --out id.pem
est reenroll --cert id.pem --key id --out again.pem
""", tmp_path)
    assert done.out.count('"status": "ok"') == 5, done.out
    first, renewed, rotated, again = (cert(tmp_path, n + ".pem")
                                      for n in ("first", "renewed", "id", "again"))
    assert len({c.serial_number for c in (first, renewed, rotated, again)}) == 4
    assert spki(first) == spki(renewed) != spki(rotated) == spki(again)
    assert {c.subject for c in (first, renewed, rotated)} == {first.subject}


@pytest.mark.plain
def test_client_certificate_and_proof_of_possession(tmp_path):
    """Key in the token for TLS, another one for the request, which is bound to that connection."""
    done = shell("mtls-pop", BOOTSTRAP + """
holdfast key create id >&2
est enroll --cert boot.pem --cert-key boot --key id --subject CN=device-1 --eku clientAuth --out id.pem
""", tmp_path)
    assert (done.json["status"], done.json["binding"]) == ("ok", "tls-unique")
    done = shell("mtls-pop", BOOTSTRAP + """
holdfast key create id >&2
est enroll --cert boot.pem --cert-key boot --key id --subject CN=device-1 --binding none
""", tmp_path, code=3)
    assert done.json["status"] == "auth", done.out


@pytest.mark.plain
def test_identity_that_a_factory_has_handed_out(tmp_path):
    """Certificate and key as files; the key goes into the token and is used from there."""
    shell("mtls", """
holdfast key import boot "$HOLDFAST_EST_BOOTSTRAP_KEY" >&2
holdfast key create id >&2
est enroll --cert "$HOLDFAST_EST_BOOTSTRAP_CERT" --cert-key boot --key id --subject CN=device-1 --out id.pem
""", tmp_path)
    assert cert(tmp_path, "id.pem").subject.rfc4514_string() == "CN=device-1"


@pytest.mark.plain
def test_no_client_certificate(tmp_path):
    done = shell("mtls", "holdfast key create dev >&2; est enroll --key dev " + NAMES, tmp_path, code=3)
    assert done.json["status"] == "auth", done.out


@pytest.mark.plain
def test_a_person_decides(tmp_path):
    """202: the same request, the same key, later."""
    done = shell("manual", """
holdfast key create dev >&2
est enroll %s --key dev %s --out dev.pem && exit 9 || test $? = 4
for i in {1..200}; do
    if est enroll %s --key dev %s --out dev.pem >last; then cat last >&2; exit; fi
done
exit 8
""" % (USER, NAMES, USER, NAMES), tmp_path)
    pending = json.loads(done.out)
    assert (pending["status"], pending["retry_after_s"]) == ("pending", 3600)
    assert cert(tmp_path, "dev.pem").subject.rfc4514_string() == "CN=device-1"


@pytest.mark.plain
def test_new_root(tmp_path):
    """Old and new root, authenticated by the old one, which is all that was trusted."""
    done = shell("rollover", """
holdfast key create dev >&2
est enroll %s --key dev %s --out dev.pem --cacerts-out ca.pem
est cacerts --out again.pem --anchors ca.pem
cp "$HOLDFAST_EST_CA_CERT" new.pem
openssl verify -trusted new.pem -untrusted dev.pem dev.pem >&2
""" % (USER, NAMES), tmp_path)
    first, second = [json.loads(part + "}") for part in done.out.split("\n}\n")[:2]]
    assert first["cacerts_changed"] and not second["cacerts_changed"]
    with open(tmp_path / "ca.pem") as f:
        text = f.read()
    assert text.count("BEGIN") == 4 and cert(tmp_path, "ca.pem") == cert(tmp_path, "new.pem")


def test_fingerprint(tmp_path):
    shell("basic", 'holdfast est cacerts --server "$HOLDFAST_EST_URL" --fingerprint '
          '"$HOLDFAST_EST_FINGERPRINT" --out ca.pem >&2; cmp ca.pem "$HOLDFAST_EST_TRUST"', tmp_path)


@pytest.mark.plain
def test_wishes_of_the_server(tmp_path):
    """An EC key on P-384, which ours is not; or, by EST_CSR_ATTR, one on P-256."""
    done = shell("csrattrs", "holdfast key create dev >&2; est csrattrs", tmp_path)
    assert done.json["csrattrs"]["key"] == "EC secp384r1" and not done.json["warnings"]
    done = shell("csrattrs", "holdfast key create dev >&2; est enroll %s --key dev %s" % (USER, NAMES),
                 tmp_path, code=4)
    assert done.json["status"] == "key" and "P-256" in done.json["error"]["message"]
    shell("csrattrs", "holdfast key create dev --algorithm ec-p384 >&2; est enroll %s --key dev %s" %
          (USER, NAMES), tmp_path)
    shell("csrattrs", "holdfast key create dev >&2; est enroll %s --key dev %s" % (USER, NAMES), tmp_path,
          env={"EST_CSR_ATTR": "MBcwFQYHKoZIzj0CATEKBggqhkjOPQMBBw=="})


@pytest.mark.parametrize("words,code,said", [
    ("enroll --key dev", 2, "--server"),
    ("enroll --server https://localhost --key dev", 2, "--trust"),
    ("enroll --server http://localhost --system-trust --key dev --subject CN=a", 2, "https://"),
    ("enroll --server https://localhost --system-trust --subject CN=a", 2, "holdfast key create"),
    ("enroll --server https://localhost --system-trust --key dev", 2, "subject or a SAN"),
    ("enroll --server https://localhost --system-trust --key dev --subject =a", 2, "TYPE=VALUE"),
    ("enroll --server https://localhost --system-trust --key dev --subject CM=a", 2, "no attribute"),
    ("enroll --server https://localhost --system-trust --key dev --san 'DNS:a b'", 2, "subjectAltName"),
    ("enroll --server https://localhost --system-trust --key dev --san a --eku x", 2, "key usage"),
    ("enroll --server https://localhost --system-trust --key gone --san a", 4, "no such key"),
    ("enroll --server https://localhost --system-trust --key dev --san a --user u", 2, "password-file"),
    ("enroll --server https://localhost --system-trust --key dev --san a --binding x", 2, "binding"),
    ("reenroll --server https://localhost --system-trust --key dev", 2, "--replace"),
    ("cacerts --server https://localhost --fingerprint 12", 2, "64 hex"),
    ("cacerts --server https://u:p@localhost --system-trust", 2, "password"),
    ("cacerts --server https://localhost/cacerts --system-trust", 2, ".well-known/est"),
    ("cacerts --server https://localhost/.well-known/est/cacerts --system-trust", 2, "operation"),
    ("cacerts --server https://localhost --trust /dev/null", 1, "/dev/null"),
    ("enroll --server https://localhost --system-trust --key dev --san a --out /nowhere/a.pem", 1,
     "not asked"),
])
def test_what_a_person_may_get_wrong(wrong, words, code, said):
    wrong("holdfast est " + words, code, said)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """One broker for all of them: a shell that runs what it is told."""
    folder = tmp_path_factory.mktemp("wrong")
    p = subprocess.Popen([HOLDFAST, "bash", "-c", "holdfast key create dev >/dev/null; while read -r l; "
                          "do eval \"$l\" 2>&1; echo \"<$?>\"; done"], stdin=subprocess.PIPE, text=True,
                         stdout=subprocess.PIPE, env=ENV, cwd=folder)

    def ask(command, code, said):
        p.stdin.write(command + "\n")
        p.stdin.flush()
        text = ""
        while not text.endswith("<%d>\n" % code):
            line = p.stdout.readline()
            assert line, text
            assert not (line.startswith("<") and line != "<%d>\n" % code), text + line
            text += line
        assert said in text and "estpwd" not in text, text
    yield ask
    p.stdin.close()
    assert p.wait(20) == 0


@pytest.mark.plain
def test_guide(tmp_path):
    """docs/guides/est.md as written."""
    with open(os.path.join(ROOT, "docs", "guides", "est.md")) as f:
        blocks = re.findall(r"^```sh\n(.*?)^```$", f.read(), re.S | re.M)
    assert len(blocks) >= 5
    p = subprocess.run([HOLDFAST, EST, "bash", "-euxo", "pipefail", "-c", "\n".join(blocks)], cwd=tmp_path,
                       env=ENV, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, p.stdout + p.stderr
    assert cert(tmp_path, "gateway.pem").subject.rfc4514_string() == "CN=gateway-1"


# ---------------------------------------------------------------- with-est itself

@pytest.mark.plain
def test_with_est_leaves_nothing_behind(tmp_path):
    s = Session([HOLDFAST, EST], tmp_path)
    try:
        folder = os.path.dirname(s.env["HOLDFAST_EST_TRUST"])
        for name in ("URL", "TRUST", "USER", "PASSWORD_FILE", "BOOTSTRAP_CERT", "BOOTSTRAP_KEY"):
            assert s.env["HOLDFAST_EST_" + name]
        assert os.stat(s.env["HOLDFAST_EST_PASSWORD_FILE"]).st_mode & 0o77 == 0
        s.folders.append(folder)
        assert len(s.pids("estserver")) == 1
        assert s.go() == 0
        s.leaves_nothing()
    finally:
        if s.p.poll() is None:
            s.p.kill()
        s.p.stderr.close()


@pytest.mark.plain
def test_with_est_has_a_network_of_its_own(tmp_path):
    inside = shell("basic", "readlink /proc/self/ns/net", tmp_path).out.strip()
    assert inside.startswith("net:[") and inside != os.readlink("/proc/self/ns/net")


@pytest.mark.plain
@pytest.mark.parametrize("args,code", [(["--help"], 0), ([], 2), (["--mode", "x", "true"], 2),
                                       (["--bad", "true"], 2), (["true"], 0), (["sh", "-c", "exit 7"], 7)])
def test_with_est_exit_status(args, code):
    p = subprocess.run([EST, *args], capture_output=True, env=ENV, stdin=subprocess.DEVNULL, timeout=60)
    assert p.returncode == code, p.stderr
