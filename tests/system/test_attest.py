# SPDX-License-Identifier: Apache-2.0
"""holdfast key attest, key verify and token activate, as device and server use them."""
import base64
import hashlib
import json
import os
import re
import shutil

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (Encoding, NoEncryption, PrivateFormat,
                                                          load_pem_public_key)

import attestlib
import guides
from attestlib import Maker, Public, credential
from clilib import Home, Running
from keeperlib import Swtpm
from p11lib import SoftHsm

NONCE = bytes(range(16)).hex()
PARTS = ("spki", "statement", "signature", "creation_data", "key_public", "ak_public", "ek_public")


@pytest.fixture(name="run", scope="module")
def fixture_run():
    r = Running()
    r.run("key", "create", "device")
    yield r
    r.close()


@pytest.fixture(name="server")
def fixture_server():
    """Without a broker and without a TPM."""
    h = Home()
    yield h
    h.close()


def attest(run, key="device", nonce=NONCE):
    run.run("key", "attest", key, "--nonce", nonce, "--out", "a.json")
    return json.loads(run.read("a.json"))


def parts(doc):
    return {name: base64.b64decode(doc[name], validate=True) for name in PARTS}


def independent(doc, nonce=bytes.fromhex(NONCE)):
    p = parts(doc)
    key, ak, ek = (Public(p[n]) for n in ("key_public", "ak_public", "ek_public"))
    attestlib.verify(p["statement"], p["signature"], p["creation_data"], key, ak, nonce)
    assert attestlib.spki(key.key) == p["spki"]
    assert ek.policy.hex().startswith("837197674484b3f8") and ek.attributes == 0x300B2
    return key, ak, ek


def verify(server, doc, *options, code=0):
    server.write(doc if isinstance(doc, str) else json.dumps(doc), "doc.json")
    return server.run("--json", "key", "verify", "doc.json", *options, code=code)


def activate(run, doc, name=None, secret=b"a secret of 31 bytes, not more!", code=0, to=()):
    with open(run.path("credential"), "wb") as f:
        f.write(credential(base64.b64decode(doc["ek_public"]),
                           name or Public(base64.b64decode(doc["ak_public"])).name, secret))
    done = run.run("token", "activate", "credential", "--out", "secret", *to, code=code)
    if not code:
        assert run.read("secret") == secret
        assert os.stat(run.path("secret")).st_mode & 0o777 == 0o600
    return done


@pytest.mark.parametrize("algorithm,usage", [("ec-p256", "sign"), ("ec-p521", "derive"),
                                             ("rsa-2048", "decrypt"), ("ec-p256", "ca")])
def test_from_device_to_server(run, server, algorithm, usage):
    name = "k-%s-%s" % (algorithm, usage)
    run.run("key", "create", name, "--algorithm", algorithm, "--usage", usage)
    doc = attest(run, name)
    assert set(doc) == {"attestation", "name", "nonce", "ek_certificate", *PARTS}
    key, ak, ek = independent(doc)
    assert doc["name"] == name and doc["nonce"] == NONCE and doc["ek_certificate"] == ""
    pem = run.run("key", "public", name).raw
    assert attestlib.spki(load_pem_public_key(pem)) == base64.b64decode(doc["spki"])
    told = verify(server, doc, "--nonce", NONCE, "--ek-out", "ek.pub").json
    assert told == {"name": name, "sha256": run.json("key", "show", name)["sha256"],
                    "nonce": "verified", "ek_certificate": "none", "key_name": key.name.hex(),
                    "ak_name": ak.name.hex(), "ek_name": ek.name.hex()}
    assert server.read("ek.pub") == base64.b64decode(doc["ek_public"])
    activate(run, doc)


def test_standard_output_and_nonces(run, server):
    doc = run.run("key", "attest", "device").out
    independent(json.loads(doc), b"")
    assert json.loads(doc)["nonce"] == ""
    assert verify(server, doc).json["nonce"] == "not verified"
    assert set(run.json("key", "attest", "device")) == set(json.loads(doc))
    with open(run.path("nonce"), "wb") as f:
        f.write(bytes(32))
    run.run("key", "attest", "device", "--nonce-file", "nonce", "--out", "b.json")
    independent(json.loads(run.read("b.json")), bytes(32))
    assert verify(server, run.read("b.json").decode(), "--nonce", "00" * 32).json["nonce"] == \
        "verified"
    activate(run, json.loads(doc), secret=b"\x01\x02")
    assert run.run("token", "activate", "credential").out == "0102\n"
    assert run.json("token", "activate", "credential") == {"secret": "0102"}
    for nonce, says in (("00" * 7, "7 bytes"), ("00" * 33, "32 bytes"), ("0" * 17, "hex"),
                        ("xy" * 8, "hex")):
        for command in (["attest", "device"], ["verify", "b.json"]):
            assert says in run.run("key", *command, "--nonce", nonce, code=2).err
    with open(run.path("nonce"), "ab") as f:
        f.write(b"x")
    assert "more than 32 bytes" in run.run("key", "attest", "device", "--nonce-file", "nonce",
                                           code=2).err


def test_generations(run, server):
    run.run("key", "create", "turning")
    before = attest(run, "turning")
    run.run("key", "rotate", "turning")
    after = attest(run, "turning")
    assert before["spki"] != after["spki"]
    old = verify(server, before).json["sha256"]
    assert attest(run, "sha256:" + old)["spki"] == before["spki"]


def test_wrong_nonce(run, server):
    doc = attest(run)
    said = verify(server, doc, "--nonce", "ff" * 16, code=1)
    assert said.json["error"]["code"] == "FAILED" and "another nonce" in said.err
    # The file claims the wanted one, the statement does not.
    said = verify(server, dict(doc, nonce="ff" * 16), "--nonce", "ff" * 16, code=1)
    assert "another nonce" in said.err


def test_flipped_bits(run, server):
    doc = attest(run)
    independent(doc)
    for name, data in parts(doc).items():
        for i in range(0, len(data), 3):
            bad = bytearray(data)
            bad[i] ^= 1 << i % 8
            changed = dict(doc, **{name: base64.b64encode(bytes(bad)).decode()})
            if name == "ek_public":
                # Nothing vouches for it but its certificate, which is missing here, and activation.
                verify(server, changed, code=None)
            else:
                assert verify(server, changed, code=1).json["error"]["code"] in \
                    ("FAILED", "CORRUPT"), (name, i)
    assert verify(server, doc).json["name"] == "device"


def test_what_is_no_attestation(run, server):
    doc = attest(run)
    text = json.dumps(doc)
    bad = [text[:-1], text + "x", "[]", "{}", "", json.dumps(dict(doc, attestation="holdfast-2")),
           json.dumps(dict(doc, name="a\x1b[2Jb")), json.dumps(dict(doc, nonce="0")),
           json.dumps(dict(doc, ek_certificate="x")), json.dumps(dict(doc, x="y" * 70000)),
           json.dumps(dict(doc, statement=["x"])), json.dumps(dict(doc, spki="====")),
           json.dumps(dict(doc, spki="A" * 60000))]
    bad += [json.dumps({k: v for k, v in doc.items() if k != name}) for name in PARTS]
    for b in bad:
        assert verify(server, b, code=1).json["error"]["code"] == "CORRUPT", b[-100:]


def sized(data):
    return len(data).to_bytes(2, "big") + data


def forged_key(attributes, key):
    n = key.public_key().public_numbers()
    area = (b"\x00\x23\x00\x0b" + attributes.to_bytes(4, "big") + bytes(2) +
            b"\x00\x10\x00\x18\x00\x0b\x00\x03\x00\x10" + sized(n.x.to_bytes(32, "big")) +
            sized(n.y.to_bytes(32, "big")))
    return sized(area)


def test_attestation_key_of_software(run, server):
    """It can sign whatever it likes. As long as it says what it is, it is found out here; if it
    lies, activation does not find it in the TPM."""
    doc = attest(run)
    key = ec.generate_private_key(ec.SECP256R1())
    honest = Public(parts(doc)["ak_public"]).attributes

    def forged(attributes, about=parts(doc)["key_public"]):
        public = forged_key(attributes, key)
        signer = hashlib.sha256(b"\x40\0\0\x0b" + Public(public).name).digest()
        old = parts(doc)["statement"]
        statement = old[:10] + signer + old[42:-68] + Public(about).name + old[-34:]
        r, s = attestlib.utils.decode_dss_signature(
            key.sign(statement, ec.ECDSA(attestlib.hashes.SHA256())))
        new = {"statement": statement, "ak_public": public, "key_public": about, "signature":
               b"\x00\x18\x00\x0b" + sized(r.to_bytes(32, "big")) + sized(s.to_bytes(32, "big"))}
        return dict(doc, **{k: base64.b64encode(v).decode() for k, v in new.items()})

    for bit in (1 << 1, 1 << 4, 1 << 5, 1 << 16, 1 << 17, 1 << 18):
        assert "restricted signing key" in verify(server, forged(honest ^ bit), code=1).err
    for bit in (1 << 1, 1 << 4, 1 << 5):
        about = bytearray(parts(doc)["key_public"])
        about[6:10] = (int.from_bytes(about[6:10], "big") & ~bit).to_bytes(4, "big")
        assert "may leave it" in verify(server, forged(honest, bytes(about)), code=1).err
    lie = forged(honest)
    independent(lie)
    verify(server, lie)
    assert "other keys than those of this TPM" in activate(run, lie, code=3).err
    activate(run, doc)


def test_imported_and_exported_keys(run):
    soft = ec.generate_private_key(ec.SECP256R1())
    run.write(soft.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
              "soft.pem")
    run.run("key", "import", "soft", "soft.pem")
    said = run.run("key", "attest", "soft", code=3).err
    assert "soft was imported" in said and "key rotate soft" in said
    run.run("key", "rotate", "soft")
    independent(attest(run, "soft"))
    run.run("key", "create", "out")
    independent(attest(run, "out"))
    run.run("key", "export", "out", "--out", "out.pem")
    assert "file of key out" in run.run("key", "attest", "out", code=3).err
    run.run("key", "delete", "out", "--yes")
    run.run("key", "import", "out", "out.pem")
    assert "file of key out" in run.run("key", "attest", "out", code=3).err


def test_damaged_records(run):
    for what, says in ((("creation_ticket", lambda h: h[:-2] + ("00" if h[-2:] != "00" else "ff")),
                        "make a new key"), (("creation_data", lambda h: ""), "make a new key"),
                       (("creation_ticket", lambda h: "zz"), "damaged")):
        name, change = what
        run.run("key", "create", "worn")
        record = run.path("state", "keys", "worn", run.json("key", "show", "worn")["sha256"] + ".json")
        with open(record) as f:
            v = json.load(f)
        v[name] = change(v[name])
        with open(record, "w") as f:
            json.dump(v, f)
        said = run.run("key", "attest", "worn", code=1).err
        assert "key worn" in said and says in said
        run.run("key", "delete", "worn", "--yes")


def test_who_may(tmp_path):
    """admin on the key; activation: admin on all of them."""
    uid = os.getuid()
    some = '[[principal]]\nuid = %d\nkeys = ["%s"]\nrights = [%s]\nsocket = "side"\n'
    main, side = str(tmp_path / "main.sock"), str(tmp_path / "side.sock")
    run = Running(f'[[socket]]\nname = "main"\npath = "{main}"\n'
                  f'[[socket]]\nname = "side"\npath = "{side}"\n' +
                  some % (uid, "mine*", '"public", "admin"') + some % (uid, "other", '"public"'),
                  grant='socket = "main"\n', socket=main)
    try:
        for name in "mine", "other":
            run.run("key", "create", name, "--socket", main)
        run.run("key", "attest", "mine", "--socket", side, "--out", "a.json")
        said = run.run("key", "attest", "other", "--socket", side, code=3).err
        assert "key other: no such key, or not yours" in said
        activate(run, json.loads(run.read("a.json")), to=["--socket", main])
        assert 'admin on "*"' in run.run("token", "activate", "credential", "--socket", side,
                                              code=3).err
        log = run.read("log").decode()
        assert re.search(r'op="key-attest" key="mine" generation=\w{64} input=\w{64} result=0', log)
        assert re.search(r'op="key-attest" key="other".* result=4', log)
        assert re.search(r'op="token-activate" token="\w+" input=\w{64} result=0', log)
        assert re.search(r'op="token-activate" result=5', log)
    finally:
        run.close()


def test_what_is_no_credential(run):
    doc = attest(run)
    activate(run, doc)
    whole = run.read("credential")
    for bad in (b"", whole[:-1], whole + b"\0", b"\0" + whole, whole[:8], whole[:5] + b"\x07" +
                whole[6:]):
        with open(run.path("bad"), "wb") as f:
            f.write(bad)
        assert "bad" in run.run("token", "activate", "bad", code=2).err
    assert "no token 'x'" in run.run("token", "activate", "credential", "--token", "x", code=2).err


def test_certificate_for_the_p256_key(server):
    tpm, maker, other = Swtpm(), Maker(), Maker("Somebody Else")
    cert = maker.certify(tpm, b"\xff" * 200)
    run = Running(tpm=tpm)
    try:
        run.run("key", "create", "device")
        doc = attest(run)
        _, _, ek = independent(doc)
        assert x509.load_pem_x509_certificate(doc["ek_certificate"].encode()) == cert
        assert attestlib.spki(cert.public_key()) == attestlib.spki(ek.key)
        server.write(maker.pem.decode(), "ca.pem")
        server.write(other.pem.decode(), "other.pem")
        assert verify(server, doc).json["ek_certificate"] == "not verified"
        assert verify(server, doc, "--trust", "ca.pem").json["ek_certificate"] == "verified"
        assert "not of a CA in other.pem" in verify(server, doc, "--trust", "other.pem", code=1).err
        assert "--trust" in verify(server, doc, "--trust", "none.pem", code=1).err
        assert "no certificate" in verify(server, dict(doc, ek_certificate=""), "--trust", "ca.pem",
                                          code=1).err
        # A certificate of the same maker, of another TPM.
        stolen = maker.issue("TPM 2", other.key.public_key()).public_bytes(Encoding.PEM).decode()
        assert "not that of the endorsement key" in verify(
            server, dict(doc, ek_certificate=stolen), "--trust", "ca.pem", code=1).err
        activate(run, doc)
    finally:
        run.close()


def test_certificate_of_swtpm_setup(server, tmp_path):
    """An RSA one: then the endorsement key is the RSA one, too."""
    tpm = Swtpm()
    tpm.kill()
    shutil.rmtree(os.path.join(tpm.dir, "state"))
    ca = attestlib.certify_swtpm(os.path.join(tpm.dir, "state"), str(tmp_path / "ca"))
    tpm.start()
    run = Running(tpm=tpm)
    try:
        run.run("key", "create", "device")
        doc = attest(run)
        _, _, ek = independent(doc)
        assert ek.key.key_size == 2048
        assert verify(server, doc, "--trust", ca).json["ek_certificate"] == "verified"
        activate(run, doc)
    finally:
        run.close()


def test_tokens_that_cannot(tmp_path):
    hsm = SoftHsm()
    run = Running('[[token]]\nname = "hsm"\ntype = "pkcs11"\nmodule = "%s"\nuri = "%s"\npin_file = "%s"\n'
                  'environment = ["SOFTHSM2_CONF=%s"]\n' % (hsm.module, hsm.uri, hsm.pin_file,
                                                            hsm.env["SOFTHSM2_CONF"]))
    try:
        run.run("key", "create", "there", "--token", "hsm")
        said = run.run("key", "attest", "there", code=2)
        assert "token does not attest keys" in said.err and "key there" in said.err
        run.run("key", "create", "here")
        activate(run, attest(run, "here"))
        assert "token does not activate credentials" in run.run(
            "token", "activate", "credential", "--token", "hsm", code=2).err
    finally:
        run.close()
        hsm.close()


def test_nothing_is_left_in_the_tpm():
    run = Running()
    try:
        for i in range(5):
            run.run("key", "create", "k%d" % i)
        for _ in range(2):
            for i in range(5):
                doc = attest(run, "k%d" % i)
                activate(run, doc)
                run.run("sign", "k%d" % i, "a.json", "--out", "sig")
        run.stop()
        assert run.tpm.objects() == [] and run.tpm.sessions() == []
        assert run.tpm.lockout_counter() == 0
    finally:
        run.close()


TROUBLE = r"""
set +x
fails() { # WORDS COMMAND...: it fails, and says so
	local words=$1; shift
	if said=$("$@" 2>&1); then echo "this was to fail: $*"; exit 1; fi
	case $said in *"$words"*) echo "seen: $words" ;; *) echo "--- not seen: $words in: $said"; exit 1 ;; esac
}
openssl genpkey -algorithm EC -pkeyopt group:P-256 -out soft.pem
holdfast key import soft soft.pem
fails 'was imported' holdfast key attest soft
holdfast key create out && holdfast key export out --out out.pem
fails 'outside of holdfast' holdfast key attest out
fails 'another nonce' holdfast key verify attestation.json --nonce "$(openssl rand -hex 16)"
fails 'is not of a CA in' holdfast key verify attestation.json --trust /var/aziot/certs/device-id.pem
jq '.ek_certificate = ""' attestation.json > bare.json
fails 'has no certificate' holdfast key verify bare.json --trust tpm-ca.pem
tpm2_makecredential -Q -T none -u server/ek.pub -s server/secret -n "$(jq -r .key_name server/verified.json)" -o false
fails 'other keys than those of this TPM' holdfast token activate false
systemctl stop holdfastd.service
TPM2TOOLS_TCTI=swtpm:path=/run/swtpm/tpm tpm2_changeauth -c endorsement secret
systemctl start holdfastd.service
fails 'endorsement hierarchy has a password' holdfast key attest device-id
"""


@pytest.mark.plain
@pytest.mark.root
def test_guide():
    """docs/guides/attestation.md, as written, and each row of its table."""
    done = guides.on_device("mkdir attest; cp /run/swtpm/ca/issuer.pem attest/tpm-ca.pem\n" +
                            guides.script("attestation.md") + ": ---- the test\n" + TROUBLE,
                            options=["--ek-certificate"])
    assert done.returncode == 0, done.stdout
    assert '"ek_certificate": "verified"' in done.stdout
    for words in guides.troubles("attestation.md"):
        assert "seen: " + words in done.stdout or words == "does not attest keys", words
