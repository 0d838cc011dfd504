# SPDX-License-Identifier: Apache-2.0
"""holdfast check: a device on which all is well, and what each check says when something is not."""
import copy
import json
import os
import re
import shutil
import socket
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import agentlib
import guides
from badest import ROOT_CA, BadEst
from clilib import CLI, ENV, Running
from estpki import DAY, NOW, Cert, oid, seq, tlv
from fakebroker import FakeBroker
from keeperlib import BUILD, until

ROOT = Cert("Plant Root", ca=True, days=3000)
SUB = Cert("Plant Issuing", ROOT, ca=True, days=2000)
OTHER = Cert("Other Root", ca=True)
SHIM = os.path.join(BUILD, "tests", "system", "libunsynced.so")
SKI = x509.Extension(x509.SubjectKeyIdentifier.oid, False, x509.SubjectKeyIdentifier(b"i" * 20))
SUB_SPKI = SUB.key.public_key().public_bytes(serialization.Encoding.DER,
                                             serialization.PublicFormat.SubjectPublicKeyInfo)
HOSTNAME = socket.gethostname()
KEYS = {"edge-ca": "ca", "local-ca": "ca", "device-id": "sign", "est-id": "sign", "web": "sign"}


def openssl_cnf(*names, properties=True):
    return ("openssl_conf = i\n[i]\nproviders = p\n" + ("alg_section = a\n[a]\ndefault_properties = "
            "?provider=default\n" if properties else "") + "[p]\n" +
            "".join("%s = %s_s\n" % (n, n) for n in names) +
            "".join("[%s_s]\nactivate = 1\n" % n for n in names))


class Plant(Running):
    """A broker with a key for each credential; agent.json and status.json are written by the tests."""

    def __init__(self, est):
        super().__init__()
        self.est = est
        self.publics = {}
        for name, usage in KEYS.items():
            self.run("key", "create", name, "--usage", usage)
            self.run("key", "public", name, "--out", "pub")
            self.publics[name] = serialization.load_pem_public_key(self.read("pub"))
        with open(self.path("etc", "agent.json")) as f:
            self.made = json.load(f)
        for d, mode in (("certs", 0o755), ("secrets", 0o700), ("agent", 0o700), ("run/agent", 0o755)):
            os.makedirs(self.path(d), exist_ok=True)
            os.chmod(self.path(d), mode)

        shutil.copy("/bin/sleep", self.path("holdfast-agent"))  # by its name it is known
        self.agent_process = subprocess.Popen([self.path("holdfast-agent"), "infinity"])

    def close(self):
        self.agent_process.kill()
        self.agent_process.wait()
        super().close()

    def reset(self):
        self.run("config", "apply")
        for d in ("certs", "secrets", "keyd"):
            shutil.rmtree(self.path(d), ignore_errors=True)
        self.mkdir("certs", 0o755)
        self.mkdir("secrets", 0o700)
        self.agent = copy.deepcopy(self.made)
        self.agent["device"].update(device_id="dev-1", registration_id="reg-1")
        self.agent["bundle"].update(user_file=self.put("certs/root.pem", ROOT.pem))
        self.agent["credentials"] = [
            self.credential("edge-ca", "edge_ca", method="local_ca"),
            self.credential("device-id", "device_id", method="files"),
            self.credential("est-id", "est_id", method="est"),
            self.credential("local-ca", "local_ca", method="files"),
            self.credential("web", "other", method="files"),
        ]
        est = self.agent["credentials"][2]["est"]
        est.update(url=self.est.url, username="u", trust={
            "mode": "pinned", "files": [self.put("certs/est-ca.pem", ROOT_CA.pem)], "sha256": ""})
        self.issue("edge-ca", "my Edge CA", ca=True, pathlen=0, exts=[SKI])
        self.issue("local-ca", "my local CA", ca=True, exts=[SKI])
        self.issue("device-id", "dev-1")
        self.issue("est-id", "est-1")
        self.issue("web", "web.local")
        self.status = {"version": 1, "pid": self.agent_process.pid, "now": int(time.time()),
                       "clock": {"trusted": True, "floor": 0, "reason": ""},
                       "bundle": {"file": "", "certificates": 2, "error": ""},
                       "credentials": [self.state(c["id"]) for c in self.agent["credentials"]]}
        self.put("certs/trust-bundle.pem", ROOT.pem + self.certs["edge-ca"].pem)
        self.put("openssl.cnf", openssl_cnf("default", "holdfast"))
        self.env = {"OPENSSL_CONF": self.path("openssl.cnf"), "OPENSSL_MODULES": os.path.join(BUILD, "provider"),
                    "HOLDFAST_TEST_NTP": "yes",
                    "LD_PRELOAD": " ".join(filter(None, [os.environ.get("HOLDFAST_TEST_PRELOAD"), SHIM]))}

    def mkdir(self, name, mode):
        os.makedirs(self.path(name), exist_ok=True)
        os.chmod(self.path(name), mode)

    def put(self, name, text, mode=0o644):
        with open(self.path(name), "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(self.path(name), mode)
        return self.path(name)

    def credential(self, name, role, **more):
        c = copy.deepcopy(self.made["credentials"][0])
        c.update(id=name, role=role, aliases=[], file=self.path("certs", name + ".pem"), quickstart=False, **more)
        c["key"].update(name=name)
        return c

    def conf(self, name):
        return next(c for c in self.agent["credentials"] if c["id"] == name)

    def state(self, name):
        return {"id": name, "role": self.conf(name)["role"], "key": name, "state": "ok", "attempts": 0, "renewals": 0,
                "failures": 0, "not_after": int(time.time()) + 30 * 86400, "next": int(time.time()) + 86400,
                "last": {"at": 0, "result": "ok", "message": ""}}

    def status_of(self, name):
        return next(c for c in self.status["credentials"] if c["id"] == name)

    def issue(self, name, cn, issuer=SUB, chain=None, **more):
        cert = Cert(cn, issuer, public=more.pop("public", None) or self.publics[name], **more)
        self.certs = getattr(self, "certs", {})
        self.certs[name] = cert
        self.put(f"certs/{name}.pem", cert.pem + (SUB.pem if chain is None else "".join(c.pem for c in chain)))
        return cert

    def check(self, *words, code=None):
        self.put("etc/agent.json", json.dumps(self.agent), 0o600)
        self.put("run/agent/status.json", json.dumps(self.status))
        return self.json("check", *words, code=code, env=self.env)

    def one(self, check):
        """(result, all that it said) of one check."""
        [row] = self.check("--only", check)["checks"]
        assert row["id"] == check
        return row["result"], "\n".join(f["message"] for f in row["findings"])


@pytest.fixture(scope="module", name="est")
def fixture_est():
    with BadEst() as server:
        yield server


@pytest.fixture(scope="module", name="plant")
def fixture_plant(est):
    p = Plant(est)
    yield p
    p.close()


@pytest.fixture(name="dev")
def fixture_dev(plant):
    plant.reset()
    return plant


def test_all_is_well(dev):
    shown = dev.check()
    for row in shown["checks"]:
        # what the tests have written is not what config.toml says
        assert row["result"] == "ok" or row["id"] == "config-applied", row
    assert shown["error"] == shown["skipped"] == 0
    text = dev.run("check", code=0, env=dev.env).out
    assert "directories have the right owners" in text and "0 errors" in text


def test_list_is_what_is_run(dev):
    listed = [(c["id"], c["title"]) for c in dev.json("check", "--list")["checks"]]
    assert [(c["id"], c["title"]) for c in dev.check()["checks"]] == listed
    assert len({i for i, _ in listed}) == len(listed)
    assert {b[0] for b in BROKEN} | set(ELSEWHERE) == {i for i, _ in listed}
    assert "did you mean 'tokens'" in dev.run("check", "--only", "token", code=2).err


def test_exit_status(dev):
    dev.agent["module"]["keys"] = "returned"
    assert dev.check("--only", "module-keys", code=0)["warning"] == 1
    dev.check("--only", "module-keys", "--warnings-as-errors", code=1)
    dev.put("certs/edge-ca.pem", "")
    dev.check("--only", "edge-ca-certificate-expiry,module-keys", code=1)


# ---------------------------------------------------------------- what is broken

def rewrite(dev, name, **more):
    cns = {"edge-ca": "my Edge CA", "local-ca": "my local CA", "device-id": "dev-1", "est-id": "est-1", "web": "web.local"}
    args = dict(ca=name.endswith("-ca"), exts=[SKI] if name.endswith("-ca") else [])
    args.update(more)
    return dev.issue(name, args.pop("cn", cns[name]), **args)


def remove(dev, name):
    os.unlink(dev.path(name))


def config(text):
    def change(dev):
        before = dev.read("etc/config.toml").decode()
        dev.put("etc/config.d.tmp", before)
        os.makedirs(dev.path("etc/config.d"), exist_ok=True)
        dev.put("etc/config.d/x.toml", text)
    return change


def expired(name):
    return lambda d: rewrite(d, name, begins=-9, days=-1)


def soon(name):
    def change(d):
        rewrite(d, name, days=3)
        d.conf(name)["renew"]["enabled"] = False
    return change


def chmod(name, mode):
    return lambda d: os.chmod(d.path(name), mode)


def conf(name, path, value):
    def change(d):
        o = d.conf(name)
        for p in path.split(".")[:-1]:
            o = o[p]
        o[path.split(".")[-1]] = value
    return change


def agent(path, value):
    def change(d):
        o = d.agent
        for p in path.split(".")[:-1]:
            o = o[p]
        o[path.split(".")[-1]] = value
    return change


def state(name, **more):
    return lambda d: d.status_of(name).update(more)


def cnf(*names, **more):
    return lambda d: d.put("openssl.cnf", openssl_cnf(*names, **more))


def named(cn):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, cn)])


def no_usage(d):
    """A CA without keyUsage, as old PKIs make them."""
    b = x509.CertificateBuilder().subject_name(named("my Edge CA")).issuer_name(SUB.subject).public_key(
        d.publics["edge-ca"]).serial_number(7).not_valid_before(NOW - DAY).not_valid_after(
            NOW + 30 * DAY).add_extension(x509.BasicConstraints(True, None), False)
    d.put("certs/edge-ca.pem", b.sign(SUB.key, hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM) + SUB.pem.encode())


def software_key(name, mode=0o600):
    def change(d):
        os.makedirs(os.path.dirname(d.path(name)), exist_ok=True)
        d.put(name, OTHER.key_pem, mode)
    return change


def reference(name, harm):
    """A key reference that something happened to; its path."""
    def change(d):
        d.run("key", "reference", "web", "--out", d.path(name))
        return d.put(name, harm(d.read(name)))
    return change


def cut_off(text):
    return text[:-60]


def symlinked(d):
    os.rename(d.path("certs"), d.path("elsewhere"))
    os.symlink(d.path("elsewhere"), d.path("certs"))


# check, what is done, result, what it says
BROKEN = [
    ("config-well-formed", config("hostnane = 1\n"), "error", r"x.toml:1: .*hostnane"),
    ("config-applied", config('[[principal]]\nuid = 4711\nkeys = ["*"]\n'), "warning", "holdfastd.json.*config apply"),
    ("hostname", agent("device.hostname", "another"), "error", "not the name of this machine"),
    ("hostname", agent("device.hostname", HOSTNAME + ".under_score"), "warning", "RFC 1035"),
    ("module-keys", agent("module.keys", "returned"), "warning", "csr"),
    ("directories", chmod("certs", 0o777), "error", "certs belongs to uid .*777.*755"),
    ("directories", chmod("secrets", 0o755), "error", "secrets .* --fix"),
    ("directories", lambda d: shutil.rmtree(d.path("secrets")), "error", "there is no directory .*secrets"),
    ("directories", symlinked, "error", "is no directory"),
    ("certificate-files", chmod("certs/web.pem", 0o600), "warning", "web.pem .*600.*644"),
    ("certificate-files", chmod("certs/web.pem", 0o666), "error", "web.pem .*666"),
    ("certificate-files", conf("web", "mode", 0o640), "error", "web.pem .*644.* 640"),
    ("certificate-files", lambda d: own_place(d, 0o666), "error", "elsewhere.pem .*666"),
    ("certificate-files", lambda d: own_place(d, 0o644), "ok", "^$"),
    ("secret-files", lambda d: d.put("secrets/k", "x", 0o640), "warning", "secrets/k"),
    ("secret-files", lambda d: d.put("secrets/k", "x", 0o644), "error", "secrets/k"),
    ("secrets-private", lambda d: conf("est-id", "est.password_file", d.put("pw", "x"))(d), "error", "pw has .*chmod o="),
    ("secrets-private", config('[cert_issuance.est.auth]\nusername = "u"\npassword = "p"\n'), "error", "x.toml has a secret"),
    ("files-readable", conf("est-id", "est.trust.files", ["/nonexistent/ca.pem"]), "error", "no file /nonexistent/ca.pem"),
    ("files-readable", agent("bundle.user_file", "/nonexistent/r.pem"), "error", "trust_bundle_cert: there is no file"),
    ("identity-certificate-expiry", expired("device-id"), "error", r"device-id \(.*expired 2[45] hours ago"),
    ("identity-certificate-expiry", lambda d: rewrite(d, "device-id", begins=1), "error", "not valid yet"),
    ("identity-certificate-expiry", soon("device-id"), "warning", "expires in 3 days|expires in 2 days"),
    ("identity-certificate-expiry", lambda d: remove(d, "certs/device-id.pem"), "error", "No such file"),
    ("edge-ca-certificate-expiry", expired("edge-ca"), "error", "cert renew"),
    ("edge-ca-certificate-expiry", lambda d: remove(d, "certs/edge-ca.pem"), "warning", "not been issued yet"),
    ("edge-ca-certificate-expiry", lambda d: d.put("certs/edge-ca.pem", "-----BEGIN CERTIFICATE-----\nMII\n"),
     "error", "damaged"),
    ("est-identity-and-bootstrap-certificate-expiry", expired("est-id"), "error", "est-id"),
    ("local-ca-certificate-expiry", expired("local-ca"), "error", "local-ca"),
    ("other-certificate-expiry", expired("web"), "error", "web"),
    ("certs-preloaded", lambda d: remove(d, "certs/web.pem"), "error", "web: "),
    ("certs-preloaded", lambda d: d.put("certs/web.pem", ROOT.der), "error", "no certificate in PEM .*holdfast convert"),
    ("certs-preloaded", lambda d: conf("web", "file", d.conf("device-id")["file"])(d), "error", "are one file"),
    ("identity-names", lambda d: rewrite(d, "device-id", cn="someone"), "error", "CN 'someone'; Azure expects reg-1 or dev-1"),
    ("edge-ca-names", lambda d: rewrite(d, "edge-ca", cn=HOSTNAME.upper()), "error", "is the host name"),
    ("edge-ca-names", lambda d: rewrite(d, "edge-ca", cn="dev-1"), "error", "is the device id"),
    ("edge-ca-extensions", lambda d: rewrite(d, "edge-ca", ca=False), "error", "CA:TRUE"),
    ("edge-ca-extensions", no_usage, "error", "no keyUsage"),
    ("edge-ca-extensions", lambda d: rewrite(d, "edge-ca", exts=[]), "warning", "subjectKeyIdentifier"),
    ("edge-ca-extensions", lambda d: rewrite(d, "local-ca", ca=False), "error", "local-ca"),
    ("edge-ca-quickstart", conf("edge-ca", "quickstart", True), "warning", "not for production"),
    ("key-strength", lambda d: rewrite(d, "web", public=rsa.generate_private_key(65537, 1024).public_key()),
     "error", "weak"),
    ("key-strength", lambda d: d.put("certs/web.pem", certificate_for(SUB_SPKI, "1.2.840.10045.4.1")), "error", "sha1"),
    ("key-strength", lambda d: rewrite(d, "device-id", public=rsa.generate_private_key(65537, 2056).public_key()),
     "warning", "RSA 2056"),
    ("certificate-chains", lambda d: d.issue("web", "web.local", chain=[OTHER]), "error", "not followed by its issuer"),
    ("certificate-chains", lambda d: d.issue("web", "web.local", chain=[SUB, ROOT]), "warning", "root CA is in"),
    ("certificate-chains", lambda d: d.issue("web", "web.local", chain=[]), "warning", "Plant Issuing .*neither there"),
    ("certificate-chains", lambda d: d.put("certs/root.pem", OTHER.pem), "warning",
     "^edge-ca: the issuer CN=Plant Root [^\n]*$"),  # only what it issues has to lead to the bundle
    ("certificate-chains", lambda d: old_issuer(d), "error", "of its chain has expired"),
    ("trust-bundle", lambda d: agent("bundle.user_file", d.put("certs/root.pem", "nothing"))(d), "error", "no certificate"),
    ("trust-bundle", lambda d: d.put("certs/root.pem", Cert("Old", ca=True, begins=-9, days=-1).pem), "warning", "expired"),
    ("trust-bundle", lambda d: d.put("certs/root.pem", Cert("leaf").pem), "warning", "not the certificate of a CA"),
    ("trust-bundle", lambda d: d.put("certs/trust-bundle.pem", ROOT.pem), "warning", "lacks edge-ca"),
    ("trust-bundle", lambda d: d.status["bundle"].update(error="disk full"), "error", "disk full"),
    ("certs-match-private-keys", conf("web", "key.name", "nonesuch"), "error", "no key nonesuch"),
    ("certs-match-private-keys", conf("web", "key.name", "device-id"), "error", "not a certificate of the key"),
    ("certs-match-private-keys", lambda d: d.put("certs/web.pem", SUB.pem), "error", "not a certificate of the key"),
    ("est-server-https", conf("est-id", "est.url", "http://localhost/"), "error", "not https"),
    ("est-trust", lambda d: d.put("certs/est-ca.pem", "nothing"), "error", "est-id: .*est-ca.pem: there is no cert"),
    ("est-trust", lambda d: d.put("certs/est-ca.pem", Cert("Old", ca=True, begins=-9, days=-1).pem), "error",
     "CN=Old in .* has expired"),
    ("est-auth", conf("est-id", "est.username", ""), "error", "neither a user nor a certificate"),
    ("est-auth", lambda d: (conf("est-id", "est.username", "")(d), conf("est-id", "est.identity", "est-id")(d),
                            remove(d, "certs/est-id.pem")), "error", "no file of est-id"),
    ("est-server-reachable", conf("est-id", "est.url", "https://localhost:1"), "error", "localhost:1"),
    ("est-server-reachable", lambda d: d.put("certs/est-ca.pem", OTHER.pem), "error", "est-id: https"),
    ("agent-running", lambda d: d.status.update(pid=2 ** 22 + 1), "error", "does not run"),
    ("agent-running", lambda d: d.status.update(pid=os.getpid()), "error", "does not run"),
    ("renewals", state("web", state="failed", attempts=3, not_after=0, last={"message": "no route"}), "error", "no route"),
    ("renewals", state("web", state="failed", attempts=2, last={"message": "no route"}), "warning", "2 attempts"),
    ("renewals", state("web", state="expired"), "error", "expired"),
    ("renewals", state("web", state="held", last={"message": "1970"}), "warning", "waits for the clock: 1970"),
    ("renewals", lambda d: (state("web", state="held")(d), d.status["clock"].update(reason="it says 1970")), "warning",
     "waits for the clock: it says 1970"),
    ("renewals", state("web", method="files", state="failed", last={"message": "it has ended"}), "error",
     "cannot be used: it has ended"),
    ("modules", lambda d: d.status.update(modules={"certificates": 9, "failed": 2, "error": "no broker"}), "error",
     "2 of 9 certificates .* no broker"),
    ("renewals", state("web", clamped=True), "warning", "web: its renewal threshold is about as long"),
    ("hooks", state("web", hook={"due": True, "at": 1, "result": "exit status 3", "failures": 2}), "error",
     "web: .* failed 2 times: exit status 3.* again in a while"),
    ("edge-ca-certificate-expiry", lambda d: (state("edge-ca", renewals=1)(d), remove(d, "certs/edge-ca.pem")), "error",
     "there was one"),
    ("renewals", state("web", next=int(time.time()) - 8000), "warning", "2 hours ago"),
    ("renewals", lambda d: d.status["credentials"].pop(), "warning", "does not know of web"),
    ("key-references", reference("certs/web.key.pem", cut_off), "error",
     r"web\.key\.pem .*cut off.*unsupported.*holdfast key reference"),
    ("key-references", reference("certs/x.key.pem", lambda text: b""), "error", r"x\.key\.pem"),
    ("key-references", reference("certs/x.key.pem", lambda text: text.replace(b"-\nM", b"-\nN")), "error", r"x\.key\.pem"),
    ("key-references", lambda d: conf("web", "reference", reference("elsewhere.key.pem", cut_off)(d))(d), "error",
     r"elsewhere\.key\.pem"),
    ("software-keys", software_key("secrets/k.pem"), "warning", "in software"),
    ("software-keys", software_key("keyd/keys/x.key"), "warning", "keyd/keys/x.key"),
    ("software-keys", lambda d: conf("web", "key.uri", "file://" + d.put("named.pem", OTHER.key_pem))(d), "warning",
     "named.pem is a private key"),
    ("software-keys", lambda d: (config('[preloaded_keys]\nx = "file://%s"\n' % d.put("n2.pem", OTHER.key_pem))(d)),
     "warning", "n2.pem is a private key"),
    ("software-keys", lambda d: conf("web", "file", d.put("w.pem", d.certs["web"].pem + OTHER.key_pem))(d), "warning",
     "w.pem is a private key"),
    ("host-local-time", lambda d: d.env.update(HOLDFAST_TEST_NTP="no"), "warning", "not synchronised"),
    ("host-local-time", lambda d: d.status["clock"].update(trusted=False, reason="1970"), "error", "1970"),
    ("host-local-time", lambda d: rewrite(d, "web", begins=1), "error", "behind the certificate of web"),
    ("openssl-config", cnf("default"), "warning", "does not activate"),
    ("openssl-config", cnf("holdfast"), "error", "but not default"),
    ("openssl-config", cnf("holdfast", "default", properties=False), "error", "comes before default in .*openssl.cnf"),
    ("openssl-config", lambda d: remove(d, "openssl.cnf"), "warning", "cannot be read"),
    ("provider-loads", lambda d: d.env.update(OPENSSL_MODULES=d.dir), "error", "holdfast.so"),
]
# with tests of their own, below
ELSEWHERE = ["broker-running", "tokens", "key-orphans", "key-origins"]


def old_issuer(d):
    old = Cert("Old Issuing", ROOT, ca=True, begins=-9, days=-1)
    d.issue("web", "web.local", issuer=old, chain=[old])


def own_place(d, mode):
    """A certificate that the agent keeps somewhere else."""
    conf("est-id", "file", d.put("elsewhere.pem", d.certs["est-id"].pem, mode))(d)


@pytest.mark.parametrize("check,broken,result,says", BROKEN, ids=["%s-%d" % (b[0], i) for i, b in enumerate(BROKEN)])
def test_broken(dev, check, broken, result, says):
    before = "warning" if check == "config-applied" else "ok"
    if check != "config-applied":
        assert dev.one(check) == (before, "")
    try:
        broken(dev)
        got, said = dev.one(check)
        assert got == result and re.search(says, said, re.S), (got, said)
    finally:
        shutil.rmtree(dev.path("etc/config.d"), ignore_errors=True)
        if os.path.islink(dev.path("certs")):
            os.unlink(dev.path("certs"))
            shutil.rmtree(dev.path("elsewhere"))


@pytest.mark.parametrize("names", [("default", "holdfast"), ("holdfast", "default"), ("legacy", "default", "holdfast")])
def test_openssl_orders_that_work(dev, names):
    cnf(*names)(dev)
    assert dev.one("openssl-config") == ("ok", "")


def test_our_own_openssl_configuration(dev):
    dev.put("openssl.cnf", f".include /etc/ssl/openssl.cnf\n.include {guides.ROOT}/dist/openssl-holdfast.cnf\n")
    assert dev.one("openssl-config") == ("ok", "")


def test_est_server_that_wants_to_know_first(dev):
    """...who we are: it is there. And offline nobody asks."""
    from badest import reply
    with BadEst({"cacerts": lambda r: reply(401, WWW_Authenticate='Basic realm="x"')}) as server:
        conf("est-id", "est.url", server.url)(dev)
        assert dev.one("est-server-reachable") == ("ok", "")
        asked = len(server.requests)
        [row] = dev.check("--offline", "--only", "est-server-reachable")["checks"]
        assert row["result"] == "skipped" and len(server.requests) == asked


def test_est_server_that_hangs(dev):
    with BadEst() as server:
        server.handlers["cacerts"] = server.hang()
        conf("est-id", "est.url", server.url)(dev)
        started = time.monotonic()
        assert dev.one("est-server-reachable")[0] == "error"
        assert time.monotonic() - started < 20


# ---------------------------------------------------------------- --fix

def test_fix_makes_and_mends(dev):
    shutil.rmtree(dev.path("secrets"))
    os.chmod(dev.path("certs"), 0o777)
    os.chmod(dev.path("certs/web.pem"), 0o606)
    secret = dev.put("k", "x", 0o644)
    shown = dev.check("--fix", "--only", "directories,certificate-files", code=0)
    assert shown["error"] == 0
    fixed = [f["message"] for row in shown["checks"] for f in row["findings"] if f["result"] == "fixed"]
    assert len(fixed) == 3 and any("secrets is made" in f for f in fixed)
    for name, mode in (("certs", 0o755), ("secrets", 0o700), ("certs/web.pem", 0o644)):
        assert os.stat(dev.path(name)).st_mode & 0o7777 == mode, name
    shutil.move(secret, dev.path("secrets/k"))
    dev.check("--fix", "--only", "secret-files", code=0)
    assert os.stat(dev.path("secrets/k")).st_mode & 0o7777 == 0o600
    assert dev.check("--only", "directories,certificate-files,secret-files")["ok"] == 3


@pytest.mark.root
def test_fix_gives_files_to_their_owner(dev):
    os.chown(dev.path("certs"), 1234, 1234)
    os.chown(dev.path("certs/web.pem"), 1234, 1234)
    assert dev.check("--only", "directories,certificate-files", code=1)["error"] == 2
    dev.check("--fix", "--only", "directories,certificate-files", code=0)
    assert os.stat(dev.path("certs")).st_uid == os.stat(dev.path("certs/web.pem")).st_uid == os.getuid()


def test_fix_follows_no_link(dev):
    """Who may write the directory could otherwise have any file given to him."""
    victim = dev.put("victim", "x", 0o600)
    os.symlink(victim, dev.path("certs/a.pem"))
    os.link(victim, dev.path("certs/b.pem"))
    shown = dev.check("--fix", "--only", "certificate-files", code=1)
    assert os.stat(victim).st_mode & 0o7777 == 0o600
    assert "b.pem is not touched" in str(shown)


def test_fix_trusts_no_way_that_others_can_change(dev):
    """A certificate elsewhere is mended, unless somebody may exchange a directory above it."""
    own_place(dev, 0o666)
    dev.check("--fix", "--only", "certificate-files", code=0)
    assert os.stat(dev.path("elsewhere.pem")).st_mode & 0o7777 == 0o644
    dev.mkdir("open", 0o777)
    conf("est-id", "file", dev.put("open/e.pem", dev.certs["est-id"].pem, 0o666))(dev)
    dev.check("--fix", "--only", "certificate-files", code=1)
    assert os.stat(dev.path("open/e.pem")).st_mode & 0o7777 == 0o666


# ---------------------------------------------------------------- keys and tokens

def test_orphans_and_origins(dev):
    """A generation without a certificate is none at first; an imported key stays marked."""
    assert dev.one("key-orphans") == ("ok", "") and dev.one("key-origins") == ("ok", "")
    key = OTHER.key_pem
    dev.run("key", "import", "old", dev.put("old.key", key))
    try:
        got, said = dev.one("key-origins")
        assert got == "warning" and "key old was in software" in said
        dev.put("secrets/old.key", key, 0o600)
        got, said = dev.one("software-keys")
        assert got == "error" and "still has the private key of old" in said
        dev.put("certs/both.pem", key + OTHER.pem)
        assert "both.pem still has" in dev.one("software-keys")[1]
        dev.run("key", "export", "est-id", "--out", "exported")
        assert "file of key est-id" in dev.one("key-origins")[1]
    finally:
        dev.run("key", "delete", "old", "--yes")


def test_key_references_that_are_well(dev):
    """Alone, and behind a certificate; and a key file that is none of ours is for another check."""
    reference("certs/one.key.pem", lambda text: text)(dev)
    reference("certs/two.key.pem", lambda text: OTHER.pem.encode() + text)(dev)
    dev.put("certs/three.key.pem", OTHER.key_pem, 0o600)
    assert dev.one("key-references") == ("ok", "")


def test_rsa_pss_certificate(dev):
    """Its key is an RSA key to the broker."""
    dev.run("key", "create", "pss", "--algorithm", "rsa-2048")
    dev.run("key", "public", "pss", "--out", "pub")
    rsa_der = serialization.load_pem_public_key(dev.read("pub")).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    bits = rsa_der[rsa_der.index(b"\x03\x82\x01\x0f"):]
    spki = seq(seq(oid("1.2.840.113549.1.1.10")), bits)
    dev.agent["credentials"].append(dev.credential("pss", "other", method="files"))
    dev.status["credentials"].append(dev.state("pss"))
    dev.put("certs/pss.pem", certificate_for(spki))
    assert dev.one("certs-match-private-keys") == ("ok", "")
    dev.run("key", "delete", "pss", "--yes")


def certificate_for(spki, algorithm="1.2.840.10045.4.3.2"):
    """By hand, since the library makes none for RSASSA-PSS, nor with SHA-1."""
    name = seq(tlv(0x31, seq(oid("2.5.4.3"), tlv(0x0c, b"pss"))))
    alg = seq(oid(algorithm))
    dates = seq(tlv(0x17, b"250101000000Z"), tlv(0x17, b"350101000000Z"))
    tbs = seq(tlv(0xa0, b"\x02\x01\x02"), b"\x02\x01\x07", alg, SUB.cert.subject.public_bytes(), dates, name, spki)
    sig = SUB.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    der = seq(tbs, alg, tlv(3, b"\0" + sig))
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM) + SUB.pem.encode()


def test_rotated_key(dev):
    dev.run("key", "create", "rolls")
    dev.run("key", "public", "rolls", "--out", "pub")
    dev.agent["credentials"].append(dev.credential("rolls", "other", method="files"))
    dev.status["credentials"].append(dev.state("rolls"))
    dev.publics["rolls"] = serialization.load_pem_public_key(dev.read("pub"))
    dev.issue("rolls", "rolls")
    assert dev.one("certs-match-private-keys") == ("ok", "")
    dev.run("key", "rotate", "rolls")
    got, said = dev.one("certs-match-private-keys")
    assert got == "error" and "has been rotated" in said
    dev.run("key", "delete", "rolls", "--yes")


def test_staged_generation_and_set_aside(plant):
    """Found by its age; and what the broker has set aside."""
    plant.reset()
    record = stage(plant, "web")
    assert plant.one("key-orphans") == ("ok", "")
    plant.stop()
    with open(record) as f:
        text = json.load(f)
    text["created"] = int(time.time()) - 86400
    with open(record, "w") as f:
        json.dump(text, f)
    with open(plant.path("state/keys/web/" + "0" * 64 + ".pem"), "w") as f:
        f.write("half a key")
    plant.start()
    got, said = plant.one("key-orphans")
    assert got == "warning" and "key web has a generation" in said and "set aside" in said
    plant.status_of("web").update(state="pending")
    assert "key web" not in plant.one("key-orphans")[1]


def stage(plant, name):
    from brokerlib import Client, pb
    client = Client(plant.path("run/holdfast.sock"))
    rep = client.call(key_stage=pb.KeyStage(name=name, transaction=os.urandom(16)))
    client.close()
    assert rep.status == pb.OK
    return plant.path("state/keys", name, rep.key.spki_sha256.hex() + ".json")


def test_token_and_broker_that_have_gone(plant):
    plant.reset()
    assert plant.one("tokens") == ("ok", "") and plant.one("broker-running") == ("ok", "")
    plant.tpm.kill() if hasattr(plant.tpm, "kill") else plant.tpm.process.kill()
    until(lambda: plant.json("token", "list")["tokens"][0]["state"] != "ready")
    got, said = plant.one("tokens")
    assert got == "error" and "token tpm is not available" in said
    plant.daemon.kill()
    plant.daemon.wait()
    got, said = plant.one("broker-running")
    assert got == "error" and "cannot be reached" in said
    assert plant.one("tokens")[0] == "skipped" and plant.one("certs-match-private-keys")[0] == "skipped"
    shown = plant.check(code=1)
    assert shown["error"] >= 1 and shown["skipped"] >= 4


# ---------------------------------------------------------------- whole

def test_a_real_agent():
    """On a fresh device only its being one is to be complained about."""
    with agentlib.Device() as d:
        d.until(lambda: d.credential("edge-ca")["state"] == "ok")
        p = d.cli("check", "--root", d.dir, "--fix", "--json", code=0)
        told = {c["id"]: c["result"] for c in json.loads(p.stdout)["checks"]}
        bad = {k for k, v in told.items() if v in ("warning", "error")}
        assert bad - {"host-local-time"} == {"edge-ca-quickstart", "openssl-config"}, p.stdout
        for check in ("renewals", "agent-running", "trust-bundle", "certs-match-private-keys", "edge-ca-names"):
            assert told[check] == "ok", p.stdout


@pytest.mark.plain
@pytest.mark.root
def test_guide():
    said = guides.run("check.md", """
holdfast check --offline || true
if runuser -u nobody -- holdfast check; then exit 1; fi
printf '[[principal]]\\nuid = 4711\\nkeys = ["*"]\\n' > /etc/aziot/config.d/new.toml
holdfast check --only config-applied
holdfast config apply
holdfast check --only config-applied | grep -q ^ok
""")
    assert "has to be run as root" in said
    for words in guides.troubles("check.md"):
        assert words in said or words in ("is not synchronised", "not for production"), (words, said)


TOKENS = [  # state, how often its keeper was restarted, what check makes of it
    ("STARTING", 0, "warning", "still starting"),
    ("READY", 0, "ok", "^$"),
    ("READY", 7, "warning", "restarted 7 times"),
    ("UNAVAILABLE", 0, "error", "not available: out of order"),
    ("WRONG", 0, "error", "another one than before"),
    ("LOCKOUT", 0, "error", "locked out: out of order"),
]


@pytest.mark.parametrize("state,restarts,result,says", TOKENS)
def test_tokens(tmp_path, state, restarts, result, says):
    class Broker(FakeBroker):
        def op_status_get(self, _, rep):
            rep.status_reply.software = "fake"

        def op_token_list(self, _, rep):
            rep.token_list.tokens.add(name="tpm", type="tpm2", restarts=restarts, error="out of order",
                                      state=getattr(self.pb.TokenInfo, state))

    os.makedirs(tmp_path / "run")
    broker = Broker(str(tmp_path / "run" / "holdfast.sock")).start()
    try:
        p = subprocess.run([CLI, "check", "--root", tmp_path, "--only", "tokens", "--json"], env=ENV,
                           capture_output=True, text=True)
        [row] = json.loads(p.stdout)["checks"]
        assert row["result"] == result, row
        assert re.search(says, "\n".join(f["message"] for f in row["findings"])), row
    finally:
        broker.stop()
