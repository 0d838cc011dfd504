# SPDX-License-Identifier: Apache-2.0
"""Configurations of IoT Edge: what comes out is what the original makes of them.

tests/data/iot-edge has its files: the super-config that people write, and the files that it makes of
it for its daemons. The same certificates, keys, issuers and renewals have to be in agent.json.
"""
import glob
import os
import re
import subprocess
import tempfile
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


# ---------------------------------------------------------------- files that are there


@pytest.fixture(scope="module")
def pki():
    """Certificates of all kinds in a directory: cert(NAME, common name, extensions...)."""
    with tempfile.TemporaryDirectory(prefix="hf-pki.") as where:
        def cert(name, cn, *exts, days=9):
            more = [w for e in exts for w in ("-addext", e)]
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{where}/{name}.key",
                            "-out", f"{where}/{name}.pem", "-subj", f"/CN={cn}", "-days", str(days),
                            "-config", "/dev/stdin", *more], check=True, capture_output=True,
                           input=b"[req]\ndistinguished_name = d\n[d]\n")
            return f"file://{where}/{name}.pem"

        yield cert


CA = ("basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,digitalSignature")
LEAF = ("basicConstraints=critical,CA:FALSE",)


def problems(home, text):
    home.write(text)
    p = home.run("config", "check", code=None)
    return [line for line in p.err.split("\n") if line.startswith(("error", "warning"))]


def test_certificates_that_are_there_are_looked_at(home, pki):
    device = MANUAL + 'identity_pk = "holdfast:device-id"\nidentity_cert = "%s"\n'
    assert problems(home, device % pki("good", "my-device", *LEAF)) == []
    (line,) = problems(home, device % pki("other", "their-device", *LEAF))
    assert ':9: the common name in' in line and '"their-device"' in line and '"my-device"' in line
    (line,) = problems(home, device % "file:///nowhere.pem")
    assert line.startswith("warning") and "there is no file /nowhere.pem" in line
    with open(home.path("junk.pem"), "w") as f:
        f.write("hello\n")
    (line,) = problems(home, device % f"file://{home.dir}/junk.pem")
    assert line.startswith("error") and "junk.pem" in line


def test_edge_ca_of_files_is_looked_at(home, pki):
    edge = 'hostname = "gate-7"\n[edge_ca]\npk = "holdfast:edge-ca"\ncert = "%s"\n'
    assert problems(home, edge % pki("ca", "gate-7 edge CA", *CA)) == []
    (line,) = problems(home, edge % pki("host", "GATE-7", *CA))
    assert line.startswith("error") and 'is the hostname "gate-7"' in line
    (line,) = problems(home, edge % pki("leaf", "x", *LEAF))
    assert "is not the certificate of a CA" in line
    (line,) = problems(home, edge % pki("nosign", "x", CA[0], "keyUsage=critical,digitalSignature"))
    assert "without keyCertSign" in line


def test_what_else_is_missing(home):
    found = problems(home, EST + """[[credential]]
id = "web"
method = "est"
common_name = "x"
hook = { exec = ["/no/such/program"] }
[credential.est]
username = "u"
password_file = "/no/such/password"
""")
    assert len(found) == 3 and all(line.startswith("warning") for line in found)
    for text in ("est-id-ca.pem", "/no/such/program", "/no/such/password"):
        assert any(text in line for line in found), text


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


# ---------------------------------------------------------------- variations, as users write them

DPS = """
[provisioning]
source = "dps"
global_endpoint = "https://global.azure-devices-provisioning.net"
id_scope = "0ab1234C5D6"
[provisioning.attestation]
method = "x509"
registration_id = "my-device"
"""
MANUAL = """
[provisioning]
source = "manual"
iothub_hostname = "example.azure-devices.net"
device_id = "my-device"
[provisioning.authentication]
method = "x509"
"""
EST = """
[cert_issuance.est]
trusted_certs = ["file:///var/aziot/certs/est-id-ca.pem"]
[cert_issuance.est.auth]
bootstrap_identity_cert = "file:///var/aziot/certs/est-bootstrap-id.pem"
bootstrap_identity_pk = "file:///var/aziot/secrets/est-bootstrap-id.key.pem"
[cert_issuance.est.urls]
default = "https://example.org/.well-known/est"
"""
ISSUED = """[provisioning.attestation.identity_cert]
method = "est"
"""


def creds(home, text, code=0):
    home.write(text)
    return {c["id"]: c for c in home.json("config", "check", code=code)["agent"]["credentials"]}


def test_quickstart_lifetime_and_renewal_of_the_article(home):
    c = creds(home, """hostname = "my-device"
[edge_ca]
auto_generated_edge_ca_expiry_days = 180
[edge_ca.auto_renew]
rotate_key = true
threshold = "50%"
retry = "10%"
""")["edge-ca"]
    assert c["days"] == 180 and c["quickstart"] and c["method"] == "self_signed"
    assert c["renew"]["threshold"]["percent"] == 50 and c["renew"]["retry"]["percent"] == 10
    assert c["subject"] == [["CN", "aziot-edge CA my-device"]]


def test_auto_renew_alone(home):
    """The original refuses this, with a message about an untagged enum."""
    c = creds(home, '[edge_ca.auto_renew]\nrotate_key = true\nthreshold = "10d"\nretry = "1day"\n')["edge-ca"]
    assert c["quickstart"] and c["days"] == 90
    assert c["renew"]["threshold"] == {"percent": 0, "seconds": 864000}
    assert c["renew"]["retry"] == {"percent": 0, "seconds": 86400}


def test_renewal_can_be_disabled(home):
    c = creds(home, "[edge_ca.auto_renew]\nenabled = false\n")["edge-ca"]
    assert c["renew"]["enabled"] is False
    c = creds(home, DPS + ISSUED + "auto_renew = { enabled = false }\n" + EST +
              "[cert_issuance.est.identity_auto_renew]\nenabled = false\n")
    assert not c["device-id"]["renew"]["enabled"] and not c["est-id"]["renew"]["enabled"]


@pytest.mark.parametrize("text,want", [("80%", (80, 0)), ("4day", (0, 345600)), ("10d", (0, 864000)),
                                       ("12h", (0, 43200)), ("10min", (0, 600)), ("3days", (0, 259200))])
def test_spellings_of_the_threshold(home, text, want):
    c = creds(home, f'[edge_ca.auto_renew]\nthreshold = "{text}"\n')["edge-ca"]
    assert (c["renew"]["threshold"]["percent"], c["renew"]["threshold"]["seconds"]) == want


def test_device_identity_by_est_of_the_article(home):
    c = creds(home, DPS + ISSUED + """common_name = "my-device"
[provisioning.attestation.identity_cert.auto_renew]
rotate_key = true
threshold = "80%"
retry = "4%"
""" + EST + '[cert_issuance.est.identity_auto_renew]\nrotate_key = true\nthreshold = "90%"\nretry = "1%"\n')
    assert c["device-id"]["subject"] == [["CN", "my-device"]]
    assert c["device-id"]["est"]["url"] == "https://example.org/.well-known/est"
    assert c["device-id"]["est"]["identity"] == "est-id"
    assert c["est-id"]["renew"]["threshold"]["percent"] == 90
    assert c["est-id"]["eku"] == ["clientAuth"] and c["est-id"]["est"]["identity"] == "est-id"
    assert c["est-bootstrap-id"]["key"]["uri"].startswith("file:///var/aziot/secrets/")
    assert set(c) == {"device-id", "est-id", "est-bootstrap-id", "edge-ca"}


def test_common_name_comes_from_the_registration(home):
    """The original takes it from the other side only, and else fails when it is running."""
    c = creds(home, DPS + ISSUED + 'subject = { L = "AQ", ST = "Antarctica" }\n' + EST)["device-id"]
    assert c["subject"] == [["CN", "my-device"], ["L", "AQ"], ["ST", "Antarctica"]]
    c = creds(home, DPS.replace("registration_id", "#") + ISSUED + 'common_name = "my-device"\n' + EST)
    assert c["device-id"]["subject"] == [["CN", "my-device"]]


def test_url_of_one_certificate(home):
    for name in ("edge-ca", "aziot-edged-ca"):
        c = creds(home, DPS + ISSUED + EST + f'{name} = "https://example.org/.well-known/est/ca"\n'
                  '[edge_ca]\nmethod = "est"\n')
        assert c["edge-ca"]["est"]["url"] == "https://example.org/.well-known/est/ca"
        assert c["device-id"]["est"]["url"] == "https://example.org/.well-known/est"
    c = creds(home, DPS + ISSUED + EST.replace("default", "device-id"))
    assert c["est-id"]["est"]["url"] == "https://example.org/.well-known/est"


def test_auth_of_one_certificate_replaces_that_of_all(home):
    c = creds(home, DPS + ISSUED + EST + """[edge_ca]
method = "est"
identity_cert = "file:///var/aziot/certs/ca-id.pem"
identity_pk = "file:///var/aziot/secrets/ca-id.key.pem"
""")
    assert c["edge-ca"]["est"]["identity"] == "est-id-edge-ca" and not c["edge-ca"]["est"]["bootstrap"]
    assert c["est-id-edge-ca"]["method"] == "files"
    assert c["est-id-edge-ca"]["aliases"] == ["est-id-aziot-edged-ca"]
    assert c["device-id"]["est"]["identity"] == "est-id"


def test_local_ca(home):
    text = """[cert_issuance.local_ca]
cert = "file:///var/secrets/local-ca.pem"
pk = "file:///var/secrets/local-ca.key.pem"
[edge_ca]
method = "local_ca"
expiry_days = 60
"""
    c = creds(home, text)
    assert c["edge-ca"]["issuer"] == "local-ca" and c["edge-ca"]["days"] == 60
    assert c["local-ca"]["method"] == "files" and c["local-ca"]["key"]["usage"] == "ca"
    c = creds(home, """[cert_issuance.local_ca.cert]
method = "self_signed"
expiry_days = 3650
common_name = "my CA"
[edge_ca]
method = "local_ca"
""")
    assert c["local-ca"]["days"] == 3650 and c["local-ca"]["subject"] == [["CN", "my CA"]]
    assert c["edge-ca"]["days"] == 30  # as the original, where nothing is said
    profiles = {p["key"]: p for p in home.json("config", "check")["holdfastd"]["profiles"]}
    assert profiles["local-ca"]["max_days"] == 30 and profiles["local-ca"]["self_max_days"] == 3650
    assert profiles["local-ca"]["pathlen"] == 1 and profiles["edge-ca"]["max_days"] == 30


def test_preloaded_certificates_and_bundles(home):
    home.write("""trust_bundle_cert = "file:///var/aziot/certs/my%20root.pem"
[preloaded_keys]
web = "file:///var/secrets/web.key.pem"
alone = "file:///var/secrets/alone.key.pem"
[preloaded_certs]
web = "file:///var/secrets/web.pem"
root = "file:///var/secrets/root.pem"
both = ["web", "root"]
[moby_runtime.content_trust.ca_certs]
"registry.example.org:5000" = "file:///var/secrets/registry.pem"
""")
    agent = home.json("config", "check")["agent"]
    c = {x["id"]: x for x in agent["credentials"]}
    assert agent["bundle"]["user_file"] == "/var/aziot/certs/my root.pem"
    assert agent["bundles"] == [{"id": "both", "of": ["web", "root"]}]
    assert c["web"]["key"]["name"] == "web" and c["root"]["key"]["name"] == ""
    assert c["content-trust-registry.example.org-5000"]["file"] == "/var/secrets/registry.pem"


def test_edge_ca_in_a_token(home):
    home.write("""[edge_ca]
cert = "file:///var/aziot/certs/edge-ca.pem"
pk = "pkcs11:token=plant;object=edge%20ca?pin-value=hunter2"
[aziot_keys]
pkcs11_lib_path = "/usr/lib/libmypkcs11.so"
pkcs11_base_slot = "pkcs11:token=plant?pin-value=hunter2"
""")
    got = home.json("config", "check")
    assert got["holdfastd"]["tokens"][0]["keys"] == [{"name": "edge-ca", "uri": "pkcs11:object=edge%20ca",
                                                      "usage": "ca"}]
    assert "hunter2" not in str(got)
    c = creds(home, '[edge_ca]\ncert = "file:///var/c.pem"\npk = "holdfast:my-ca"\n')["edge-ca"]
    assert c["key"]["name"] == "my-ca" and c["key"]["usage"] == "ca"


def test_keys_preloaded_under_the_id_of_a_certificate(home):
    """As in the original, they are that certificate's."""
    home.write("""[preloaded_keys]
aziot-edged-ca = "pkcs11:token=plant;object=ca"
device-id = "file:///var/secrets/device-id.key.pem"
[aziot_keys]
pkcs11_lib_path = "/usr/lib/libmypkcs11.so"
pkcs11_base_slot = "pkcs11:token=plant"
""" + DPS + ISSUED + EST)
    got = home.json("config", "check")
    keys = {c["id"]: c["key"] for c in got["agent"]["credentials"]}
    assert keys["edge-ca"] == {"name": "aziot-edged-ca", "token": "", "algorithm": "ec-p256", "usage": "ca",
                               "uri": "pkcs11:token=plant;object=ca"}
    assert keys["device-id"]["uri"] == "file:///var/secrets/device-id.key.pem"
    assert got["holdfastd"]["tokens"][0]["keys"] == [{"name": "aziot-edged-ca", "uri": "pkcs11:object=ca",
                                                      "usage": "ca"}]
    c = creds(home, """[preloaded_certs]
aziot-edged-ca = "file:///var/secrets/ca.pem"
[preloaded_keys]
aziot-edged-ca = "file:///var/secrets/ca.key.pem"
""")
    assert list(c) == ["edge-ca"] and c["edge-ca"]["method"] == "files" and not c["edge-ca"]["quickstart"]
    assert c["edge-ca"]["key"]["uri"] == "file:///var/secrets/ca.key.pem"


def test_what_comes_out_is_shown(home):
    home.write(DPS + ISSUED + EST + """[edge_ca]
method = "local_ca"
expiry_days = 60
[edge_ca.auto_renew]
rotate_key = false
threshold = "12h"
window = "22:00-04:30"
[cert_issuance.local_ca]
cert = "file:///var/ca.pem"
pk = "holdfast:plant"
""")
    lines = [re.split(r"  +", line) for line in home.run("config", "check").out.split("\n")]
    assert ["edge-ca", "local-ca", "60", "12h before, same key, 22:00-04:30", "edge-ca",
            home.path("certs/edge-ca.pem")] in lines
    assert ["local-ca", "files", "-", "never", "plant", "/var/ca.pem"] in lines
    assert ["est-id", "https://example.org/.well-known/est", "-", "at 80%, new key", "est-id",
            home.path("certs/est-id.pem")] in lines


def test_module_keys(home):
    for text in ('module_keys = "returned"\n', '[module]\nkeys = "returned"\n'):
        home.write(text)
        assert home.json("config", "check")["agent"]["module"]["keys"] == "returned"


def test_connection_string(home):
    home.write('[provisioning]\nsource = "manual"\nconnection_string = '
               '"HostName=hub.example.org;DeviceId=dev-1;SharedAccessKey=MTIzNA=="\n')
    got = home.json("config", "check")["agent"]
    assert got["device"]["hub"] == "hub.example.org" and got["device"]["device_id"] == "dev-1"
    assert "MTIzNA" not in str(got)


def test_device_without_azure(home):
    """[[credential]] alone: no Edge CA, unless it is asked for."""
    web = """[[credential]]
id = "web"
issuer = "plant-ca"
common_name = "pump-7"
sans = ["DNS:pump-7.example.org", "IP:192.0.2.7"]
eku = ["serverAuth"]
days = 30
group = "root"
mode = "0640"
file = "/etc/ssl/web.pem"
reference = "/etc/ssl/web.key"
hook = { exec = ["/usr/bin/systemctl", "reload", "nginx"], user = "root", timeout = "10s" }
[credential.renew]
rotate_key = false
threshold = "5d"
retry = "12h"
window = "22:00-04:00"
[[credential]]
id = "plant-ca"
method = "self_signed"
ca = true
days = 3650
algorithm = "ec-p384"
subject = { CN = "plant CA", O = "Example" }
"""
    c = creds(home, web)
    assert set(c) == {"web", "plant-ca"}
    assert c["web"]["method"] == "local_ca" and c["web"]["issuer"] == "plant-ca"
    assert c["web"]["renew"] == {"enabled": True, "rotate_key": False, "threshold": {"percent": 0, "seconds": 432000},
                                 "retry": {"percent": 0, "seconds": 43200}, "window": {"from_min": 1320, "to_min": 240}}
    assert c["web"]["hook"] == {"exec": ["/usr/bin/systemctl", "reload", "nginx"], "user": "root", "timeout_s": 10}
    assert c["web"]["mode"] == 0o640 and c["web"]["reference"] == "/etc/ssl/web.key"
    assert c["plant-ca"]["key"] == {"name": "plant-ca", "token": "", "algorithm": "ec-p384", "usage": "ca", "uri": ""}
    got = home.json("config", "check")
    assert got["agent"]["module"]["issuer"] == ""
    assert [(p["key"], p["max_days"], p["self_max_days"]) for p in got["holdfastd"]["profiles"]] == [("plant-ca", 30, 3650)]
    assert "edge-ca" in creds(home, web + "[edge_ca]\nenabled = true\n")
    assert "edge-ca" not in creds(home, "[edge_ca]\nenabled = false\n")


def test_credential_by_est(home):
    c = creds(home, EST + """[[credential]]
id = "vpn"
method = "est"
common_name = "pump-7"
[[credential]]
id = "other"
method = "est"
common_name = "pump-7"
[credential.est]
url = "https://other.example.org/.well-known/est/x"
fingerprint = "00000000000000000000000000000000000000000000000000000000000000ab"
username = "u"
password_file = "/etc/secret"
client_chain = "leaf"
binding = "tls-unique"
follow_redirects = true
proxy = "http://proxy.example.org:3128"
[[credential]]
id = "third"
method = "est"
common_name = "pump-7"
[credential.est]
identity = "vpn"
""")
    assert c["vpn"]["est"]["bootstrap"] == "est-bootstrap-id"
    assert c["vpn"]["est"]["trust"] == {"mode": "pinned", "files": ["/var/aziot/certs/est-id-ca.pem"], "sha256": ""}
    other = c["other"]["est"]
    assert other["trust"] == {"mode": "fingerprint", "files": [], "sha256": "0" * 62 + "ab"}
    assert other["password_file"] == "/etc/secret" and other["password"] == "" and other["identity"] == ""
    assert (other["client_chain"], other["binding"], other["follow_redirects"]) == ("leaf", "tls-unique", True)
    assert other["proxy"] == "http://proxy.example.org:3128"
    assert c["third"]["est"]["identity"] == "vpn" and c["third"]["est"]["bootstrap"] == ""


def test_settings_of_the_agent(home):
    home.write("""[edge_ca]
[certificates]
wait_for_ntp = true
system_store = true
renew_window = "02:00-04:00"
certd_socket = "/run/aziot/certd.sock"
[module]
keys = "token"
days = 7
algorithm = "ec-p256"
[[principal]]
uid = 1000
certs = ["device-id", "aziot-edged/module/*"]
modules = ["edgeHub"]
""")
    got = home.json("config", "check")
    agent = got["agent"]
    assert agent["clock"]["wait_for_ntp"] and agent["bundle"]["system_store"]
    assert agent["credentials"][0]["renew"]["window"] == {"from_min": 120, "to_min": 240}
    assert agent["module"] == {"keys": "token", "days": 7, "algorithm": "ec-p256", "issuer": "edge-ca"}
    assert agent["sockets"][0]["path"] == "/run/aziot/certd.sock"
    assert agent["principals"] == [{"uid": 1000, "certs": ["device-id", "aziot-edged/module/*"], "modules": ["edgeHub"]}]
    assert got["holdfastd"]["profiles"][0]["max_days"] == 7
    assert len(got["holdfastd"]["principals"]) == (1 if os.getuid() == 0 else 3)


def test_secrets_stay_out_of_what_is_shown(home):
    home.write(EST.replace("bootstrap_identity_cert", "username = 'u'\npassword = 'geheim'\nbootstrap_identity_cert")
               + "[edge_ca]\nmethod = 'est'\n")
    p = home.run("config", "check", "--json")
    assert "geheim" not in p.out + p.err
    home.run("config", "apply")
    assert b"geheim" in home.read("etc/agent.json") and b"geheim" not in home.read("etc/holdfastd.json")
    assert os.stat(home.path("etc/agent.json")).st_mode & 0o777 == 0o600


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
