# SPDX-License-Identifier: Apache-2.0
"""Certificates that a PKI puts into files: what the agent makes of them, and of those who put them there."""
import os
import signal

import pytest
from cryptography.hazmat.primitives import serialization

from agentlib import DAY, Device
from apilib import MANUAL, Api, chain, config, csr, pem
from estpki import Cert

EDGE_CA = MANUAL + '[edge_ca]\ncert = "file://%s/ca.pem"\npk = "file://%s/ca.key"\n'


class Files(Device):
    """A device whose Edge CA comes in files, made by `ca`."""

    def __init__(self, more="", top=""):
        super().__init__(start=False)
        self.root = Cert("root", ca=True, days=900)
        self.config = top + EDGE_CA % (self.dir, self.dir) + more
        self.ca = self.bring("one")

    def begin(self):
        self.apply(self.config)
        self.start_broker()
        self.apply(self.config)
        self.start_agent()
        self.until(lambda: self.credential("edge-ca")["state"] == "ok")
        return Api(self)

    def put(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)
        return os.path.join(self.dir, name)

    def bring(self, cn, **more):
        ca = Cert(cn, self.root, ca=True, **more)
        self.put("ca.pem", ca.pem)
        self.put("ca.key", pem(ca.key))
        return ca


@pytest.fixture
def files():
    with Files() as d:
        yield d


def test_a_private_key_beside_a_certificate_stays_there(files):
    api = files.begin()
    files.put("ca.pem", files.ca.pem + pem(files.ca.key))
    files.wake()
    for name in "edge-ca", "aziot-edged-ca", "trust-bundle":
        answer = api.certd("GET", "/certificates/" + name)
        assert answer.code == 200 and b"PRIVATE" not in answer.body and b"CERTIFICATE" in answer.body
    assert b"PRIVATE" not in api.server("m", csr=csr()).body
    # nor does somebody else's stay who left it here
    put = api.certd("PUT", "/certificates/x", {"pem": files.ca.pem + pem(files.ca.key)})
    assert put.code == 201 and b"PRIVATE" not in put.body
    got = api.certd("GET", "/certificates/x").json["pem"]
    assert chain(got) == [files.ca.cert] and "PRIVATE" not in got
    # and it is said
    said = files.cli("check", "--offline", "--only", "software-keys", "--root", files.dir, code=1).stdout
    assert "ca.pem" in said
    assert "holds a private key" in files.apply(files.config, code=2).stderr


# ---------------------------------------------------------------- what follows a new one

def hook(tmp_path, more=""):
    """A program that notes what it is told, and its lines so far."""
    out, script = tmp_path / "out", tmp_path / "hook"
    script.write_text('#!/bin/sh\necho "$HOLDFAST_ID $HOLDFAST_OLD_FINGERPRINT/$HOLDFAST_NEW_FINGERPRINT" '
                      '$(cat "$HOLDFAST_MODULES" 2>/dev/null | tr "\\n" ,) >> %s\n%s\n' % (out, more))
    script.chmod(0o755)
    return script, lambda: out.read_text().splitlines() if out.exists() else []


def trusted(device):
    return chain(open(device.path("trust-bundle.pem")).read())


def look(device):
    """The minute after which files are looked at."""
    device.advance(61)


def test_a_new_pair_is_told_and_the_old_one_trusted_on(tmp_path):
    script, lines = hook(tmp_path)
    with Files('[edge_ca.hook]\nexec = ["%s"]\n' % script) as d:
        api = d.begin()
        d.until(lambda: len(lines()) == 1)
        first, old = d.credential("edge-ca")["fingerprint_sha256"], d.ca.cert
        assert lines() == ["edge-ca /" + first] and trusted(d) == [old]
        assert api.server("m", csr=csr()).code == 201
        new = d.bring("two").cert
        d.apply(d.config)
        look(d)
        d.until(lambda: len(lines()) == 2)
        second = d.credential("edge-ca")["fingerprint_sha256"]
        assert lines()[1] == "edge-ca %s/%s server m 1," % (first, second)
        assert set(trusted(d)) == {old, new}
        # the same while the agent does not run
        d.stop_agent()
        newest = d.bring("three").cert
        d.apply(d.config)
        d.start_agent()
        d.until(lambda: set(trusted(d)) == {old, new, newest})
        d.until(lambda: len(lines()) == 3)
        # and what does not fit is neither trusted nor told
        odd = Cert("odd", d.root, ca=True)
        d.put("ca.pem", odd.pem)
        look(d)
        d.until(lambda: d.credential("edge-ca")["state"] == "failed")
        assert len(lines()) == 3 and set(trusted(d)) >= {old, new, newest}


def test_the_same_key_and_a_later_certificate(files):
    files.begin()
    later = Cert("one", files.root, ca=True, days=60, key=files.ca.key)
    files.put("ca.pem", later.pem)
    look(files)
    files.until(lambda: set(trusted(files)) == {files.ca.cert, later.cert})


def test_the_users_bundle_is_followed(tmp_path):
    with Files() as d:
        mine = d.put("mine.pem", d.root.pem)
        d.config = 'trust_bundle_cert = "file://%s"\n' % mine + d.config
        d.begin()
        assert set(trusted(d)) == {d.root.cert, d.ca.cert}
        other = Cert("other root", ca=True)
        d.put("mine.pem", d.root.pem + other.pem)
        d.wake()
        d.until(lambda: set(trusted(d)) == {d.root.cert, other.cert, d.ca.cert})


def test_a_certificate_alone_has_a_hook(tmp_path):
    script, lines = hook(tmp_path)
    with Device(start=False) as d:
        path = os.path.join(d.dir, "alone.pem")
        open(path, "w").write(Cert("one", ca=True).pem)
        d.apply('[[credential]]\nid = "site"\nmethod = "files"\nfile = "%s"\n[credential.hook]\nexec = ["%s"]\n'
                % (path, script))
        d.start_broker()
        d.start_agent()
        d.until(lambda: len(lines()) == 1)
        open(path, "w").write(Cert("two", ca=True).pem)
        look(d)
        d.until(lambda: len(lines()) == 2)


def test_a_ca_in_trouble_issues_nothing(files):
    api = files.begin()
    old = Cert("other", ca=True)
    files.put("ca.pem", files.ca.pem + old.pem)
    look(files)
    files.until(lambda: files.credential("edge-ca")["state"] == "failed")
    answer = api.server("m", csr=csr())
    assert answer.code == 503 and "has not issued the one before" in answer.message
    files.put("ca.pem", files.ca.pem)
    assert api.server("m", csr=csr()).code == 201  # at once


def pair(device, certs, key, password=None):
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    device.put("ca.pem", "".join(c.pem for c in certs))
    device.put("ca.key", key.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                               how).decode())


@pytest.mark.parametrize("what, severity, says", [
    ("wrong key", "error", "is not the private key of the certificate"),
    ("root first", "error", "is not followed by its issuer"),
    ("unrelated", "error", "is not followed by its issuer"),
    ("no issuer", "warning", "neither there nor in trust_bundle_cert"),
    ("encrypted", "warning", "is encrypted"),
    ("no library", "warning", "there is no file /nowhere.so"),
    ("no key", "note", "there is no file /nowhere.key"),
    ("good", "", "")])
def test_config_check_sees_what_the_agent_would(files, what, severity, says):
    root, other, config_ = Cert("top", ca=True), Cert("other", ca=True), files.config
    sub = Cert("mine", root, ca=True)
    config_ = 'trust_bundle_cert = "file://%s"\n' % files.put("root.pem", root.pem) + config_
    certs = {"root first": [root, sub], "unrelated": [sub, other]}.get(what, [sub])
    pair(files, certs, other if what == "wrong key" else sub, b"x" if what == "encrypted" else None)
    if what == "no issuer":
        files.put("root.pem", other.pem)
    if what == "no library":
        config_ += '[[token]]\nname = "hsm"\ntype = "pkcs11"\nmodule = "/nowhere.so"\nuri = "pkcs11:token=x"\n'
    if what == "no key":
        config_ += '[preloaded_keys]\nx = "file:///nowhere.key"\n'
    with open(os.path.join(files.dir, "etc", "config.toml"), "w") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(config_ + "[[token]]\nname = \"tpm\"\ntype = \"tpm2\"\ntcti = \"%s\"\n" % files.tpm.tcti)
    said = files.cli("config", "check", "--root", files.dir, code=2 if severity == "error" else 0).stderr
    found = [line for line in said.splitlines() if says and says in line]
    assert not says or len(found) == 1 and found[0].startswith(severity), said
    assert what != "good" or "warning" not in said and "error" not in said, said
    if severity == "error":  # and nothing is taken into a token
        files.cli("config", "apply", "--root", files.dir, code=2)
        assert not os.path.exists(os.path.join(files.dir, "etc", "agent.json"))


def test_the_bundle_of_manifests_is_what_is_configured():
    with Files() as d:
        signer = Cert("manifests", ca=True)
        d.config = 'manifest_trust_bundle_cert = "file://%s"\n' % d.put("m.pem", signer.pem) + d.config
        api = d.begin()
        assert chain(api.workload("GET", "/manifest-trust-bundle").json["certificate"]) == [signer.cert]


# ---------------------------------------------------------------- hooks

QUICK = '[edge_ca.hook]\nexec = ["%s"]\n'


def test_a_hook_that_was_cut_off_hears_of_the_modules_again(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script, lines = hook(tmp_path, "read line < %s" % gate)

    def go_on():
        with open(gate, "w") as f:
            f.write("\n")

    with Device(config(more=QUICK % script)) as d:
        api = Api(d)
        d.until(lambda: len(lines()) == 1)
        go_on()
        d.until(lambda: "hook of edge-ca: done" in d.log())
        for name in "a", "b":
            assert api.server(name, csr=csr()).code == 201
        assert api.certd("POST", "/holdfast/v1/credentials/edge-ca/renew").code == 200
        d.until(lambda: len(lines()) == 2)
        d.end(d.agent, signal.SIGKILL)
        os.unlink(os.path.join(d.dir, "run", "agent", "modules"))  # as a reboot does
        d.start_agent()
        d.until(lambda: len(lines()) == 3)
        assert lines()[1] == lines()[2] and sorted(lines()[2].split(" ", 2)[2].split(",")[:2]) == [
            "server a 1", "server b 1"]
        go_on()
        d.until(lambda: d.log().count("hook of edge-ca: done") == 2)
        # Done is done: the next one is told of its own modules alone.
        assert not os.path.exists(os.path.join(d.dir, "agent", "reissued"))


def test_a_hook_that_fails_is_seen_and_runs_again(tmp_path):
    script, lines = hook(tmp_path, "exit 3")
    with Device(config(more=QUICK % script)) as d:
        for n in range(1, 7):
            d.until(lambda: len(lines()) == n and d.credential("edge-ca")["hook"]["failures"] == n)
            assert d.credential("edge-ca")["state"] == "ok"
            d.advance(60 * 2 ** (n - 1) + 1)
        told = d.credential("edge-ca")["hook"]
        assert told["result"] == "exit status 3" and not told["due"]
        check = d.cli("check", "--offline", "--only", "hooks", "--root", d.dir, code=1).stdout
        assert "failed 6 times: exit status 3" in check and "edge-ca" in check
        assert "its hook failed: exit status 3" in d.cli("status", "--root", d.dir, code=None).stdout
        metrics = Api(d).certd("GET", "/metrics").body.decode()
        assert 'holdfast_certificate_hook_failures{certificate="edge-ca"} 6' in metrics
        # Six times are enough, until somebody sees to it.
        said = len(d.log())
        d.advance(DAY)
        d.until(lambda: "read again" in d.log()[said:])
        assert len(lines()) == 6
        script, more = hook(tmp_path, "exit 0")
        d.apply(config(more=QUICK % script + 'timeout = "20s"\n'))
        d.wake()
        d.until(lambda: d.credential("edge-ca")["hook"]["result"] == "ok")
        assert d.credential("edge-ca")["hook"]["failures"] == 0 and len(lines()) == 7


# ---------------------------------------------------------------- files that are gone

@pytest.mark.parametrize("name", ["edge-ca.pem", "edge-ca.key.pem"])
def test_a_file_that_somebody_removed(name):
    with Device() as d:
        before = open(d.path(name)).read()
        os.unlink(d.path(name))
        d.advance(61)
        d.until(lambda: os.path.exists(d.path(name)))
        assert open(d.path(name)).read() == before and d.credential("edge-ca")["renewals"] == 1
        d.until(lambda: "holdfast cert reset edge-ca" in d.log())
        # Without an agent it is an error, since there was one.
        d.stop_agent()
        os.unlink(d.path(name))
        if name == "edge-ca.pem":
            said = d.cli("check", "--offline", "--only", "edge-ca-certificate-expiry", "--root", d.dir, code=1)
            assert "there was one" in said.stdout
