# SPDX-License-Identifier: Apache-2.0
"""PKCS#11 tokens in config.toml: ours and IoT Edge's words, mistakes, and what becomes of PINs."""

import json
import os
import stat
import subprocess

import pytest

import clilib
import p11lib
from brokerlib import Broker
from keeperlib import BUILD, pb, until
from test_pkcs11_use import make_pair

CLI = os.path.join(BUILD, "src", "cli", "holdfast")


class Root:
    def __init__(self, path):
        self.path = str(path)
        os.makedirs(self.file("etc"), exist_ok=True)

    def file(self, *names):
        return os.path.join(self.path, *names)

    def config(self, command, text):
        with open(self.file("etc", "config.toml"), "w") as f:
            f.write(text)
        return subprocess.run([CLI, "config", command, "--root", self.path], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, env=clilib.ENV)

    def apply(self, text):
        p = self.config("apply", text)
        assert p.returncode == 0, p.stderr
        assert "4711" not in p.stdout + p.stderr
        with open(self.file("etc", "holdfastd.json")) as f:
            text = f.read()
        assert "4711" not in text, "the PIN got into holdfastd.json"
        return json.loads(text)


@pytest.fixture(name="root")
def fixture_root(tmp_path):
    return Root(tmp_path)


OURS = """
[[token]]
name = "hsm"
type = "pkcs11"
module = "/usr/lib/m.so"
uri = "pkcs11:token=plant"
"""

EDGE = """
[aziot_keys]
pkcs11_lib_path = "/usr/lib/m.so"
pkcs11_base_slot = "pkcs11:slot-id=0?pin-value=4711"
"""


def test_our_words(root):
    made = root.apply(OURS + 'pin_file = "/etc/pin"\nworkers = 3\ntimeout = "2s"\n'
                      'environment = ["A=b", "C_D="]\nconfine = "local"\n')
    assert made["tokens"] == [{
        "name": "hsm", "type": "pkcs11", "module": "/usr/lib/m.so", "uri": "pkcs11:token=plant",
        "pin": "/etc/pin", "workers": 3, "environment": ["A=b", "C_D="], "confine": "local",
        "keys": [],
        "timeout_ms": 2000}]
    assert made["default_token"] == "hsm"
    made = root.apply(OURS + 'pin_credential = "hsm-pin"\n')
    assert made["tokens"][0]["pin"] == "credential:hsm-pin" and made["tokens"][0]["workers"] == 1
    assert root.apply(OURS)["tokens"][0]["pin"] == ""


def test_iot_edges_words_make_a_token(root):
    made = root.apply(EDGE)
    assert [t["name"] for t in made["tokens"]] == ["hsm"] and made["default_token"] == "hsm"
    assert made["tokens"][0]["uri"] == "pkcs11:slot-id=0"
    pin = root.file("etc", "hsm.pin")
    assert made["tokens"][0]["pin"] == pin
    with open(pin) as f:
        assert f.read() == "4711\n"
    assert stat.S_IMODE(os.stat(pin).st_mode) == 0o600


def test_a_changed_pin_is_a_restart(root):
    root.apply(EDGE)
    assert "as it was" in root.config("apply", EDGE).stdout
    p = root.config("apply", EDGE.replace("4711", "4712"))
    assert "restarted" in p.stdout and "4712" not in p.stdout
    with open(root.file("etc", "hsm.pin")) as f:
        assert f.read() == "4712\n"


def test_a_token_of_ours_takes_iot_edges_words(root):
    made = root.apply(EDGE + '[[token]]\nname = "tpm"\n[[token]]\nname = "safe"\ntype = "pkcs11"\n'
                      'workers = 2\nenvironment = ["X=/y"]\n')
    assert [(t["name"], t["type"]) for t in made["tokens"]] == [("tpm", "tpm2"), ("safe", "pkcs11")]
    assert made["tokens"][1]["workers"] == 2 and made["tokens"][1]["module"] == "/usr/lib/m.so"
    assert made["default_token"] == "tpm"


def test_beside_a_tpm_new_keys_are_in_the_base_slot(root):
    made = root.apply('[[token]]\nname = "tpm"\n' + EDGE)
    assert [t["name"] for t in made["tokens"]] == ["tpm", "hsm"] and made["default_token"] == "hsm"
    made = root.apply('[[token]]\nname = "tpm"\ndefault = true\n' + EDGE)
    assert made["default_token"] == "tpm"


def test_preloaded_keys_are_given_to_their_token(root):
    keys = ('[preloaded_keys]\ndevice-id = "pkcs11:slot-id=0;object=device%20id?pin-value=4711"\n'
            'aziot-edged-ca = "pkcs11:id=%01%02"\nx = "file:///x.pem"\n')
    made = root.apply(EDGE + keys)
    assert sorted(made["tokens"][0]["keys"], key=lambda k: -len(k["uri"])) == [
        {"name": "device-id", "uri": "pkcs11:object=device%20id", "usage": "sign"},
        {"name": "aziot-edged-ca", "uri": "pkcs11:id=%01%02", "usage": "ca"}]


MISTAKES = [
    (OURS + 'pin_file = "/a"\npin_credential = "b"\n', "has two PINs"),
    (OURS.replace("plant", "plant?pin-value=4711") + 'pin_file = "/a"\n', "has two PINs"),
    (OURS + 'workers = 0\n', "workers"),
    (OURS + 'workers = 9\n', "from 1 to 8"),
    (OURS + 'tcti = "swtpm:path=/x"\n', "'tcti' is for tokens of type \"tpm2\""),
    (OURS + 'environment = ["x"]\n', "no NAME=VALUE"),
    (OURS + 'environment = ["1=x"]\n', "no NAME=VALUE"),
    (OURS + 'environment = ["OPENSSL_CONF=/x"]\n', "without OpenSSL"),
    (OURS.replace("plant", "plant;object=k"), "names an object"),
    (OURS.replace("token=plant", ""), "names no token"),
    (OURS.replace("pkcs11:", "pkcs12:"), "does not start with pkcs11:"),
    (OURS.replace("plant", "pl ant"), "a space is written %20"),
    (OURS.replace("/usr/lib/m.so", "m.so"), "absolute path"),
    (OURS.replace("/m.so", "/pkcs11/holdfast-pkcs11.so"), "own keys once more"),
    (OURS.replace("/m.so", "/p11-kit-proxy.so"), "own among them"),
    ('[[token]]\nname = "a"\ntype = "pkcs11"\nuri = "pkcs11:token=a"\n', "has no module"),
    ('[[token]]\nname = "a"\ntype = "pkcs11"\nmodule = "/m.so"\n', "is missing"),
    ('[[token]]\nname = "a"\nmodule = "/m.so"\n', "'module' is for tokens of type \"pkcs11\""),
    ('[[token]]\nname = "a"\ntype = "pkcs12"\n', "did you mean \"pkcs11\""),
    (OURS + EDGE, "is called \"hsm\" already"),
    (EDGE.replace("/usr/lib/m.so", "m.so"), "absolute path"),
    ('[aziot_keys]\npkcs11_lib_path = "/m.so"\n', "write pkcs11_base_slot"),
    ('[preloaded_keys]\nk = "pkcs11:token=a;object=k"\n', "token that is not configured"),
    (EDGE + '[preloaded_keys]\nk = "pkcs11:slot-id=1;object=k"\n', "token that is not configured"),
    (EDGE + '[preloaded_keys]\nk = "pkcs11:slot-id=0"\n', "neither object nor id"),
    (EDGE + '[preloaded_keys]\n"a b" = "pkcs11:object=k"\n', "name has other than"),
    (OURS + OURS.replace("hsm", "two") + '[preloaded_keys]\nk = "pkcs11:object=k"\n',
     "more than one"),
]


@pytest.mark.parametrize("text,words", MISTAKES)
def test_mistakes(root, text, words):
    p = root.config("check", text)
    assert p.returncode == 2 and words in p.stderr, p.stderr
    assert p.stderr.count(words) == 1, "said twice"
    assert "4711" not in p.stderr
    assert ":1" in p.stderr or "config.toml:" in p.stderr


def test_iot_edges_configuration_on_softhsm(root):
    """As a device has it that comes from IoT Edge with an HSM: key and PIN are where they were."""
    hsm = p11lib.SoftHsm()
    make_pair(hsm, "EC:prime256v1", "device id", "0a")
    made = root.apply(
        '[aziot_keys]\npkcs11_lib_path = "%s"\npkcs11_base_slot = "pkcs11:token=edge?pin-value=%s"\n'
        '[preloaded_keys]\ndevice-id = "pkcs11:token=edge;object=device%%20id?pin-value=%s"\n'
        '[[token]]\nname = "hsm"\ntype = "pkcs11"\nenvironment = ["SOFTHSM2_CONF=%s"]\n'
        '[[principal]]\nuid = %d\nkeys = ["*"]\nrights = ["public", "sign", "create"]\n'
        % (hsm.module, p11lib.PIN, p11lib.PIN, hsm.env["SOFTHSM2_CONF"], os.getuid()))
    with open(root.file("etc", "holdfastd.json")) as f:
        assert p11lib.PIN not in f.read()
    broker = Broker()
    broker.settings.update(tokens=made["tokens"], default_token=made["default_token"])
    broker.configure()
    with broker:
        client = broker.client()
        until(lambda: client.call(key_get=pb.KeyGet(key=pb.KeyRef(name="device-id"))).status == pb.OK)
        assert client.sign("device-id", bytes(32)).status == pb.OK
        assert client.create("new").status == pb.OK
        assert sorted(hsm.objects()) == ["device id", "new"]
        assert client.call(key_delete=pb.KeyDelete(name="device-id")).status == pb.OK
        assert "device id" in hsm.objects(), "a key that was there before was destroyed"
        assert broker.text().count("taken over, as it is in token hsm") == 1
        client.close()
    hsm.close()


def test_a_preloaded_key_that_is_not_there_is_told():
    hsm = p11lib.SoftHsm()
    broker = Broker()
    broker.settings.update(default_token="hsm", tokens=[{
        "name": "hsm", "type": "pkcs11", "module": hsm.module, "uri": hsm.uri, "pin": hsm.pin_file,
        "workers": 1, "timeout_ms": 10000, "keys": [
            {"name": "k", "uri": "pkcs11:object=none", "usage": "sign"}],
        "environment": ["%s=%s" % item for item in hsm.env.items()]}])
    broker.configure()
    with broker:
        until(lambda: "key k: not taken over from its token" in broker.text())
        client = broker.client()
        assert client.create("other").status == pb.OK
        client.close()
    hsm.close()
