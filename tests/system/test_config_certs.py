# SPDX-License-Identifier: Apache-2.0
"""What users write about certificates, and what comes out: config.toml to agent.json."""
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from clilib import Home


@pytest.fixture
def home():
    h = Home()
    yield h
    h.close()


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


def test_a_threshold_that_the_agent_would_not_take(home):
    text = '[edge_ca]\n[edge_ca.auto_renew]\nthreshold = "%s"\nretry = "1day"\nrotate_key = true\n'
    home.write(text % "80day")
    assert "threshold" not in home.run("config", "check").err
    home.write(text % "89day")
    assert "leaves edge-ca less than a tenth of its 90 days" in home.run("config", "check").err
    home.write(text % "90day")
    assert "is not shorter than the 90 days" in home.run("config", "check", code=2).err


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
    assert keys["edge-ca"] == {"name": "aziot-edged-ca", "token": "", "algorithm": "", "usage": "ca",
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


@pytest.mark.parametrize("text,want", [
    ("C=DE,O=Example,CN=x", [["C", "DE"], ["O", "Example"], ["CN", "x"]]),
    ("O=Example\\\\, Inc, CN=a=b", [["O", "Example, Inc"], ["CN", "a=b"]]),
    ("CN=a,OU=1,OU=2,", [["CN", "a"], ["OU", "1"], ["OU", "2"]]),
    ("CN=" + 70 * "x", [["CN", 64 * "x"]])])
def test_subject_in_the_order_of_the_certificate(home, text, want):
    c = creds(home, f'[[credential]]\nid = "web"\nmethod = "self_signed"\nsubject = "{text}"\n')
    assert c["web"]["subject"] == want


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
csrattrs = "ignore"
tolerate = ["subject", "eku", "subject", "eku"]
cacerts_file = "/etc/ssl/est-ca.pem"
proxy = "http://proxy.example.org:3128"
[[credential]]
id = "third"
method = "est"
common_name = "pump-7"
[credential.est]
identity = "vpn"
[[credential]]
id = "fourth"
method = "est"
common_name = "pump-7"
[credential.est]
token_file = "/etc/token"
[[credential]]
id = "fifth"
method = "est"
common_name = "pump-7"
[credential.est]
username = ""
password = "x"
""")
    assert c["vpn"]["est"]["bootstrap"] == "est-bootstrap-id"
    assert c["vpn"]["est"]["trust"] == {"mode": "pinned", "files": ["/var/aziot/certs/est-id-ca.pem"], "sha256": ""}
    other = c["other"]["est"]
    assert other["trust"] == {"mode": "fingerprint", "files": [], "sha256": "0" * 62 + "ab"}
    assert other["password_file"] == "/etc/secret" and other["password"] == "" and other["identity"] == ""
    assert (other["client_chain"], other["binding"], other["follow_redirects"]) == ("leaf", "tls-unique", True)
    assert other["proxy"] == "http://proxy.example.org:3128"
    assert (other["csrattrs"], other["tolerate"]) == ("ignore", ["subject", "eku"])
    assert other["cacerts_file"] == "/etc/ssl/est-ca.pem" and other["token_file"] == ""
    vpn, token = c["vpn"]["est"], c["fourth"]["est"]
    assert (vpn["csrattrs"], vpn["tolerate"], vpn["cacerts_file"]) == ("auto", [], "")
    # an auth of its own, like a password; so nothing of [cert_issuance.est.auth]
    assert (token["token_file"], token["username"], token["identity"]) == ("/etc/token", "", "")
    assert (c["fifth"]["est"]["username"], c["fifth"]["est"]["password"]) == ("", "(not shown)")
    assert c["third"]["est"]["identity"] == "vpn" and c["third"]["est"]["bootstrap"] == ""


def test_a_secret_of_all_for_another_server(home):
    """It is said; one that is for there, and the same host under another path, are none."""
    text = """[cert_issuance.est.auth]
username = "u"
%s = "/etc/secret"
[cert_issuance.est.urls]
default = "https://example.org/.well-known/est"
[[credential]]
id = "vpn"
method = "est"
common_name = "pump-7"
[credential.est]
url = "https://%s/.well-known/est/x"
"""
    def said(host, more="", kind="password_file"):
        return [line for line in problems(home, text % (kind, host) + more) if "there is no file" not in line]

    for host in "other.example.org", "example.org:8443", "example.org.other":
        (line,) = said(host)
        assert line.startswith("warning") and host in line and "[cert_issuance.est.auth]" in line
    assert said("Example.org") == []
    assert said("other.example.org", 'username = "o"\npassword_file = "/etc/other"\n') == []
    only_token = text.replace('username = "u"\n', "") % ("token_file", "other.example.org")
    assert any("other.example.org" in line for line in problems(home, only_token))


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
    both = pki("both", "my-device", *LEAF).removeprefix("file://")
    with open(both, "a") as f, open(both.replace(".pem", ".key")) as key:
        f.write(key.read())
    (line,) = problems(home, device % f"file://{both}")
    assert line.startswith("error") and "holds a private key" in line and "holdfast convert" in line
    # somebody's CA, of which the certificates alone are taken, is not to stop anything
    for text in f'trust_bundle_cert = "file://{both}"\n', f'[preloaded_certs]\nsite = "file://{both}"\n':
        (line,) = problems(home, text)
        assert line.startswith("warning") and "holds a private key" in line


def test_edge_ca_of_files_is_looked_at(home, pki):
    edge = 'hostname = "gate-7"\n[edge_ca]\npk = "holdfast:edge-ca"\ncert = "%s"\n'
    assert problems(home, edge % pki("ca", "gate-7 edge CA", *CA)) == []
    (line,) = problems(home, edge % pki("host", "GATE-7", *CA))
    assert line.startswith("error") and 'is the hostname "gate-7"' in line
    (line,) = problems(home, edge % pki("leaf", "x", *LEAF))
    assert "is not the certificate of a CA" in line
    (line,) = problems(home, edge % pki("nosign", "x", CA[0], "keyUsage=critical,digitalSignature"))
    assert "without keyCertSign" in line


def test_threshold_beyond_what_the_server_issues(home, pki):
    """How long its certificates are valid is known when there is one."""
    text = EST + '[edge_ca]\nmethod = "est"\n[edge_ca.auto_renew]\nthreshold = "%s"\n'
    os.makedirs(home.path("certs"))
    shutil.copy(pki("issued", "x", *CA).removeprefix("file://"), home.path("certs/edge-ca.pem"))
    assert not [line for line in problems(home, text % "8d") if "threshold" in line]
    (line,) = [line for line in problems(home, text % "12960min") if "threshold" in line]  # all nine days
    assert "less than a tenth" in line
    (line,) = [line for line in problems(home, text % "10d") if "threshold" in line]
    assert line.startswith("warning") and "the 216 hours" in line and "half of them" in line


def test_what_else_is_missing(home):
    found = problems(home, EST + """[[credential]]
id = "web"
method = "est"
common_name = "x"
hook = { exec = ["/no/such/program"] }
[credential.est]
username = "u"
password_file = "/no/such/password"
[[credential]]
id = "vpn"
method = "est"
common_name = "x"
[credential.est]
token_file = "/no/such/token"
""")
    assert len(found) == 4 and all(line.startswith("warning") for line in found)
    for text in ("est-id-ca.pem", "/no/such/program", "/no/such/password", "/no/such/token"):
        assert any(text in line for line in found), text
