# SPDX-License-Identifier: Apache-2.0
"""config apply and private keys in files: they go into the token once, and are never deleted."""
import os
import subprocess

import pytest

from clilib import Home, Running

CERT = """[edge_ca]
cert = "file://{dir}/secrets/ca.pem"
pk = "file://{dir}/secrets/ca.key.pem"
[[credential]]
id = "web"
method = "files"
file = "{dir}/secrets/web.pem"
key = "file://{dir}/secrets/web.key.pem"
"""


def openssl(home, *words):
    subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=home.path("secrets"),
                   env={"PATH": os.environ["PATH"]})


def make_pair(home, name, *more):
    openssl(home, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}.key.pem", "-out", f"{name}.pem", "-subj", f"/CN=test {name}", *more)


@pytest.fixture
def pairs():
    h = Running()
    os.mkdir(h.path("secrets"))
    base = h.read("etc/config.toml").decode()
    h.write(base + CERT.format(dir=h.dir))
    make_pair(h, "ca", "-addext", "keyUsage=critical,keyCertSign,digitalSignature")
    make_pair(h, "web")
    yield h
    h.close()


def states(home, code=0):
    return {k["name"]: k["state"] for k in home.json("config", "apply", code=code)["keys"]}


def spki(home, name):
    p = subprocess.run(["openssl", "pkey", "-in", home.path("secrets", name + ".key.pem"), "-pubout"],
                       check=True, capture_output=True)
    return p.stdout.decode()


def test_life_of_a_key_that_comes_as_a_file(pairs):
    """Taken once, said each time while the file is there, and a further one is a further generation."""
    p = pairs.run("config", "apply")
    assert "Delete that file" in p.err and pairs.path("secrets/web.key.pem") in p.err
    assert os.path.exists(pairs.path("secrets/web.key.pem"))
    assert pairs.run("key", "public", "web").out == spki(pairs, "web")
    ca = pairs.json("key", "show", "edge-ca")
    assert ca["usage"] == ["ca"] and ca["issuer_not_after"]
    assert states(pairs) == {"web": "there", "edge-ca": "there"}
    p = pairs.run("config", "apply")
    assert "is not needed any more: delete it" in p.err and "warning" not in p.err
    # the PKI sends a new pair: the certificate decides
    make_pair(pairs, "web")
    os.unlink(pairs.path("secrets/web.pem"))
    assert states(pairs)["web"] == "renewed"
    shown = pairs.json("key", "show", "web")
    assert sorted(g["state"] for g in shown["generations"]) == ["current", "staged"]
    assert states(pairs)["web"] == "there"
    make_pair(pairs, "ca")
    assert states(pairs) == {"web": "there", "edge-ca": "renewed"}
    shown = pairs.json("key", "show", "edge-ca")
    assert sorted(g["state"] for g in shown["generations"]) == ["current", "retiring"]
    assert pairs.run("key", "public", "edge-ca").out == spki(pairs, "ca")
    # and the files go, as we said
    for name in ("web", "ca"):
        os.unlink(pairs.path("secrets", name + ".key.pem"))
    assert states(pairs) == {"web": "there", "edge-ca": "there"}
    assert "delete" not in pairs.run("config", "apply").err


def test_key_that_is_nowhere(pairs):
    text = pairs.read("etc/config.toml").decode()
    pairs.write(text.replace('id = "web"', 'id = "other"').replace("web.key.pem", "none.pem"))
    p = pairs.run("config", "apply")
    assert "warning: the key other of" in p.err and "there is no such file" in p.err
    pairs.write(text)


def test_file_that_holds_no_key(pairs):
    text = pairs.read("etc/config.toml").decode()
    pairs.write(text.replace('id = "web"', 'id = "other"').replace("web.key.pem", "odd.pem"))
    with open(pairs.path("secrets/odd.pem"), "w") as f:
        f.write("hello\n")
    p = pairs.run("config", "apply", code=2)
    assert "the configuration is in place, but" in p.err and "odd.pem" in p.err
    pairs.write(text)


def test_encrypted_key(pairs):
    path = pairs.path("secrets", "web.key.pem")
    os.rename(path, path + ".plain")
    openssl(pairs, "pkey", "-in", path + ".plain", "-aes256", "-passout", "pass:geheim", "-out", path)
    p = pairs.run("config", "apply", code=None)
    assert p.code and "password" in p.err and "geheim" not in p.err
    pairs.write("geheim\n", "secrets/password")
    p = pairs.run("config", "apply", "--password-file", pairs.path("secrets/password"), "--json")
    assert {k["name"]: k["state"] for k in p.json["keys"]} == {"web": "imported", "edge-ca": "there"}


def test_symmetric_key_among_the_preloaded(pairs):
    """IoT Edge keeps such keys, too; they are none of ours."""
    text = pairs.read("etc/config.toml").decode()
    with open(pairs.path("secrets/sas"), "wb") as f:
        f.write(bytes(range(32)))
    pairs.write(text + f'[preloaded_keys]\nsas = "file://{pairs.dir}/secrets/sas"\n')
    assert states(pairs)["sas"] == "skipped"
    assert "the key sas of" in pairs.run("config", "apply").err
    pairs.write(text)


def test_key_that_is_in_the_token_by_name(pairs):
    text = pairs.read("etc/config.toml").decode()
    pairs.write(text.replace(f"file://{pairs.dir}/secrets/web.key.pem", "holdfast:mine"))
    assert "web" not in states(pairs) and "mine" not in states(pairs)
    pairs.write(text)


def test_without_a_broker_it_is_left_for_later():
    home = Home()
    os.mkdir(home.path("secrets"))
    make_pair(home, "ca")
    make_pair(home, "web")
    home.write(CERT.format(dir=home.dir))
    p = home.run("config", "apply")
    assert "repeat 'holdfast config apply'" in p.err and os.path.exists(home.path("etc/agent.json"))
    assert set(states(home).values()) == {"waiting"}
    home.close()
