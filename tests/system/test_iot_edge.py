# SPDX-License-Identifier: Apache-2.0
"""Configurations of IoT Edge: what comes out is what the original makes of them.

tests/data/iot-edge has its files: the super-config that people write, and the files that it makes of
it for its daemons. The same certificates, keys, issuers and renewals have to be in agent.json.
"""
import glob
import os
import re
import tomllib

import pytest

import guides
from clilib import Home, warnings
from keeperlib import ROOT

DATA = os.path.join(ROOT, "tests", "data", "iot-edge")
CASES = sorted(glob.glob(os.path.join(DATA, "*-apply", "*")))
# Keys that are no key pairs: identityd's and edged's own secrets, and the device's symmetric key.
NO_PAIRS = {"aziot_identityd_master_id", "iotedge_master_encryption_id"}


@pytest.fixture
def home():
    h = Home()
    yield h
    h.close()


def ours(name):
    """est-bootstrap-id-aziot-edged-ca -> est-bootstrap-id-edge-ca"""
    return name.replace("aziot-edged-ca", "edge-ca")


class Original:
    """What the original's daemons are told."""

    def __init__(self, case):
        self.daemon = {}
        for name in ("keyd", "certd", "identityd", "edged"):
            path = os.path.join(case, name + ".toml")
            self.daemon[name] = {}
            if os.path.exists(path):
                with open(path, "rb") as f:
                    self.daemon[name] = tomllib.load(f)

    def issued(self):
        return {ours(k): v for k, v in self.daemon["certd"].get("cert_issuance", {}).items()
                if k not in ("est", "local_ca") and not k.endswith("-temp")}

    def files(self):
        return {ours(k): v.removeprefix("file://")
                for k, v in self.daemon["certd"].get("preloaded_certs", {}).items()
                if isinstance(v, str) and k != "trust-bundle-user" and not k.startswith("est-server-ca-")}

    def trusted(self):
        certs = self.daemon["certd"]["preloaded_certs"]
        names = self.daemon["certd"].get("cert_issuance", {}).get("est", {}).get("trusted_certs", [])
        return [certs[n].removeprefix("file://") for n in names]

    def renewals(self):
        edge = self.daemon["edged"].get("edge_ca", {}).get("auto_renew")
        device = self.daemon["identityd"]["provisioning"].get("attestation", {}).get("identity_auto_renew")
        return {k: v for k, v in (("edge-ca", edge), ("device-id", device)) if v}

    def subjects(self):
        found = {}
        if "subject" in self.daemon["edged"].get("edge_ca", {}):
            found["edge-ca"] = self.daemon["edged"]["edge_ca"]["subject"]
        for name, how in self.issued().items():
            if "subject" in how:
                found[name] = how["subject"]
        return found

    def key_pairs(self):
        symmetric = self.daemon["identityd"]["provisioning"].get("authentication", {}).get("method") == "sas"
        keys = {k for p in self.daemon["keyd"]["principal"] for k in p["keys"]}
        keys |= set(self.daemon["keyd"].get("preloaded_keys", {}))
        return {ours(k) for k in keys - NO_PAIRS - ({"device-id"} if symmetric else set())
                if not k.endswith("-temp")}


def super_config(case):
    return next(p for n in ("super-config.toml", "config.toml")
                if os.path.exists(p := os.path.join(case, n)))


def made(home, path):
    return home.json("config", "check", "--config", path)


def renewal(text):
    n, unit = re.fullmatch(r"(\d+)(%|day|min)", text).groups()
    return {"percent": int(n) if unit == "%" else 0,
            "seconds": int(n) * {"%": 0, "day": 86400, "min": 60}[unit]}


@pytest.mark.parametrize("case", CASES, ids=os.path.basename)
def test_certificates_are_those_of_the_original(home, case):
    want, got = Original(case), made(home, super_config(case))["agent"]
    creds = {c["id"]: c for c in got["credentials"]}
    for name, how in want.issued().items():
        c = creds[name]
        assert c["method"] == how["method"], name
        assert c["est"]["url"] == how.get("url", "")
        assert c["est"]["username"] == how.get("username", "")
        assert bool(c["est"]["password"]) == ("password" in how)
        assert c["est"]["identity"] == ours(how.get("identity_cert", ""))
        assert c["est"]["bootstrap"] == ours(how.get("bootstrap_identity_cert", ""))
        if "expiry_days" in how:
            assert c["days"] == how["expiry_days"]
        if how["method"] == "est":
            assert c["est"]["trust"]["files"] == want.trusted()
    for name, path in want.files().items():
        assert (creds[name]["method"], creds[name]["file"]) == ("files", path)
    for name, subject in want.subjects().items():
        assert creds[name]["subject"] == sorted([k, v] for k, v in subject.items())
    # and no others, but the EST identities that certd makes by itself
    identities = {c["est"]["identity"] for c in creds.values()} - {""}
    edge = {"edge-ca"} if "iis-apply" in case else set()  # IoT Edge has one, the Identity Service none
    assert set(creds) - edge == set(want.issued()) | set(want.files()) | identities


@pytest.mark.parametrize("case", CASES, ids=os.path.basename)
def test_renewals_are_those_of_the_original(home, case):
    want, got = Original(case).renewals(), made(home, super_config(case))["agent"]
    for c in got["credentials"]:
        if c["id"] in want:
            assert c["renew"]["enabled"] is True
            assert c["renew"]["rotate_key"] is want[c["id"]]["rotate_key"]
            for word in ("threshold", "retry"):
                assert c["renew"][word] == renewal(want[c["id"]][word])
        elif c["role"] == "est_id" and c["method"] == "est":  # its default
            assert c["renew"]["enabled"] and c["renew"]["threshold"]["percent"] == 80
        else:
            assert c["quickstart"] or not c["renew"]["enabled"]


@pytest.mark.parametrize("case", CASES, ids=os.path.basename)
def test_keys_are_those_of_the_original(home, case):
    want, got = Original(case), made(home, super_config(case))
    keys = {c["key"]["name"]: c["key"] for c in got["agent"]["credentials"] if c["key"]["name"]}
    edge = {"edge-ca"} if "iis-apply" in case else set()
    assert set(keys) - edge == want.key_pairs()
    for name, uri in want.daemon["keyd"].get("preloaded_keys", {}).items():
        if ours(name) not in keys:
            continue
        if uri.startswith("file:"):
            assert keys[ours(name)]["uri"] == uri
        else:  # the broker adopts it; the PIN stays with the token
            (token,) = [t for t in got["holdfastd"]["tokens"] if t["type"] == "pkcs11"]
            (key,) = token["keys"]
            assert (key["name"], key["uri"]) == (name, "pkcs11:object=device-id")
            assert "1234" not in str(got["agent"])


@pytest.mark.parametrize("case", CASES, ids=os.path.basename)
def test_trust_bundle_and_device_are_those_of_the_original(home, case):
    want, got = Original(case), made(home, super_config(case))["agent"]
    user = want.daemon["certd"]["preloaded_certs"].get("trust-bundle-user", "")
    assert got["bundle"]["user_file"] == user.removeprefix("file://")
    provisioning = want.daemon["identityd"]["provisioning"]
    assert got["device"]["hub"] == provisioning.get("iothub_hostname", "")
    assert got["device"]["device_id"] == provisioning.get("device_id", "")
    if provisioning["source"] == "dps":
        assert got["device"]["registration_id"] == provisioning["attestation"]["registration_id"]["CN"]


@pytest.mark.parametrize("case", CASES, ids=os.path.basename)
def test_every_key_misspelt_is_an_error(home, case):
    with open(super_config(case)) as f:
        lines = f.read().split("\n")
    others = False
    for at, line in enumerate(lines):
        if line.startswith("["):
            others = re.match(r"\[(agent|connect|listen|watchdog|tpm)\b", line) is not None
        key = line.split(" = ")[0]
        free = at and lines[at - 1].startswith("[edge_ca.subject") or len(key) < 3
        if " = " not in line or others or free:
            continue
        home.write("\n".join(lines[:at] + [line.replace(key, key[:-1], 1)] + lines[at + 1:]))
        p = home.run("config", "check", code=2)
        assert f":{at + 1}: '{key[:-1]}' is not known" in p.err


@pytest.mark.parametrize("name", ["iotedge-config.template.toml", "iis-config.template.toml"])
def test_templates_as_they_are(home, name):
    """All comments: nothing is configured."""
    got = made(home, os.path.join(DATA, name))
    assert [c["id"] for c in got["agent"]["credentials"]] == ["edge-ca"]
    assert got["agent"]["credentials"][0]["quickstart"] is True


TEMPLATE = os.path.join(ROOT, "dist", "config.toml.template")


def examples():
    """Each block of lines that a # stands directly in front of."""
    with open(TEMPLATE) as f:
        text = f.read()
    for block in text.split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith("#") and not lines[0].startswith("# "):
            yield "\n".join(line.removeprefix("#") for line in lines)


EXAMPLES = list(examples())


def test_our_template_as_it_is(home):
    assert [c["id"] for c in made(home, TEMPLATE)["agent"]["credentials"]] == ["edge-ca"]


@pytest.mark.parametrize("block", EXAMPLES, ids=[b.split("\n")[0] for b in EXAMPLES])
def test_examples_of_our_template(home, block):
    """Every one of them, with a way to the EST server where it needs one."""
    if 'method = "est"' in block and "est.urls" not in block:
        block += "\n" + next(b for b in EXAMPLES if b.startswith("[cert_issuance.est]"))
    if 'user = "www-data"' in block:
        block = block.replace("www-data", "root")
    home.write(block)
    p = home.run("config", "check")
    assert not warnings(p.err)


def test_init_writes_the_template_once(home):
    os.unlink(home.path("etc/config.toml"))
    p = home.run("config", "init", "--template", TEMPLATE)
    assert home.path("etc/config.toml") in p.out
    with open(TEMPLATE, "rb") as f:
        assert home.read("etc/config.toml") == f.read()
    assert os.stat(home.path("etc/config.toml")).st_mode & 0o777 == 0o600
    home.write("hostname = 'x'\n")
    p = home.run("config", "init", "--template", TEMPLATE, code=1)
    assert "is there already, and stays as it is" in p.err
    assert home.read("etc/config.toml") == b"hostname = 'x'\n"
    assert "template" in home.run("config", "init", "--template", home.path("none"), code=1).err


YAML = "provisioning:\n  source: 'manual'\n  device_connection_string: 'x'\nhostname: 'gate'\n"


def test_configuration_of_iot_edge_1_1(home):
    want = "'iotedge config import' makes"
    home.write(YAML, "config.yaml")
    assert want in home.run("config", "check", "--config", home.path("config.yaml"), code=2).err
    home.write("# copied\n" + YAML)
    assert want in home.run("config", "apply", code=2).err
    os.unlink(home.path("etc/config.toml"))
    home.write(YAML, "etc/config.yaml")
    p = home.run("config", "apply", code=2)
    assert want in p.err and home.path("etc/config.yaml") in p.err
    assert want.replace("makes", "") in home.run("config", "init", "--template", TEMPLATE).err
    home.run("config", "check")


# ---------------------------------------------------------------- the guide


@pytest.mark.plain
@pytest.mark.root
def test_guide():
    said = guides.run("iot-edge.md", r"""
set +x
edit() { sed -i "$1" /etc/aziot/config.toml; ! holdfast config apply; cp /root/config.toml /etc/aziot; }
cp /etc/aziot/config.toml /root
edit 's/^trust_bundle_cert/trust_bundle_crt/'
edit 's/identity_cert = .*/identity_cert = { method = "est" }/'
sed -i 's/^cert = .*/method = "self_signed"\ncommon_name = "my-device"/; s/^pk = .*//' /etc/aziot/config.toml
if holdfast config apply; then exit 1; fi
cp /root/config.toml /etc/aziot
sed -i 's/edge-ca-1.key/none/; s/^device_id.*/device_id = "other"/' /etc/aziot/config.toml
if holdfast config check; then exit 1; fi
printf '[preloaded_keys]\nx = "file:///none.pem"\n' > /etc/aziot/config.d/x.toml
cp /root/config.toml /etc/aziot
holdfast config apply
ls /var/aziot/secrets
""")
    for words in (*guides.troubles("iot-edge.md"), "Delete that file", "belongs to another daemon",
                  "the device is called", "edge-ca-1.pem: OK"):
        assert words in said, (words, said)
