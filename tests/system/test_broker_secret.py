# SPDX-License-Identifier: Apache-2.0
"""What the broker makes of decryption, agreement, import and export, whatever the keeper does."""
import hashlib
import os
import re

import pytest

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

import tpm2wrap
from brokerlib import Broker, WithFakeKeeper
from keeperlib import fixture_tpm, pb, until  # noqa: F401

POINT = b"\x04" + bytes(64)


@pytest.fixture(name="broker")
def fixture_broker():
    with WithFakeKeeper() as b:
        yield b


def audit(broker, op):
    until(lambda: 'op="%s"' % op in broker.text())
    return [line for line in broker.text().splitlines() if 'op="%s"' % op in line][-1]


def derive(client, name, peer=POINT, scheme="ecdh"):
    return client.call(derive=pb.Derive(key=pb.KeyRef(name=name), scheme=scheme, peer=peer))


def decrypt(client, name, data=bytes(256), scheme="rsa-pkcs1", **more):
    return client.call(decrypt=pb.Decrypt(key=pb.KeyRef(name=name), scheme=scheme, data=data, **more))


def test_derive(broker):
    c = broker.client()
    made = c.create("k", usage=8).key
    assert made.agreements == ["ecdh"] and not made.schemes and not made.ciphers
    reply = derive(c, "k")
    assert reply.status == pb.OK and reply.secret.data.startswith(b"secret of " + POINT[:8])
    assert len(reply.secret.data) == 32
    assert reply.secret.spki_sha256 == made.spki_sha256
    line = audit(broker, "derive")
    assert 'scheme="ecdh"' in line and "result=0" in line and re.search("input=[0-9a-f]{64}", line)
    assert "secret" not in broker.text()


@pytest.mark.parametrize("peer", [b"", POINT[:-1], POINT + b"x", b"\x02" + POINT[1:]])
def test_derive_wants_a_point(broker, peer):
    c = broker.client()
    c.create("k", usage=8)
    reply = derive(c, "k", peer)
    assert reply.status == pb.ARGUMENT and "65 bytes" in reply.message


def test_usage_and_scheme_have_to_fit(broker):
    c = broker.client()
    c.create("signs", usage=1)
    c.create("agrees", usage=8)
    assert derive(c, "signs").status == pb.REFUSED
    assert decrypt(c, "signs").status == pb.REFUSED
    assert c.sign("agrees").status == pb.REFUSED
    for scheme in ("rsa-pkcs1", "ecdsa-sha256", "nothing", ""):
        assert derive(c, "agrees", scheme=scheme).status == pb.ARGUMENT
    assert derive(c, "nobody").status == pb.NO_KEY


def import_key(c, name, blob=b"rsa-2048", usage=4, **more):
    return c.call(key_import=pb.KeyImport(name=name, usage=usage, format="tss2", blob=blob, **more))


def test_decrypt(broker):
    c = broker.client()
    made = import_key(c, "k").key
    assert made.algorithm == "rsa-2048" and list(made.ciphers)[0] == "rsa-pkcs1"
    assert made.generations[0].imported
    assert decrypt(c, "k").secret.data.startswith(b"secret of ")
    assert decrypt(c, "k", bytes(255)).status == pb.ARGUMENT
    assert decrypt(c, "k", label=b"x").status == pb.ARGUMENT
    assert decrypt(c, "k", scheme="rsa-oaep-sha256", label=b"x").status == pb.OK
    assert decrypt(c, "k", scheme="ecdh").status == pb.ARGUMENT
    assert 'op="decrypt"' in audit(broker, "decrypt")


@pytest.mark.parametrize("what", ["garbage", "wrong-id", "die", "unavailable", "longer", "long-hash"])
def test_keeper_misbehaves(broker, what):
    c = broker.client()
    c.create("k", usage=8)
    broker.mood("derive:" + what)
    assert derive(c, "k").status == pb.UNAVAILABLE
    broker.mood("")
    until(lambda: derive(c, "k").status == pb.OK)


@pytest.mark.parametrize("scheme,lies", [
    ("ecdh", "no-result other-result long short empty no-hash unknown-status"),
    ("rsa-pkcs1-tls", "no-result long short empty no-hash"),
    ("rsa-oaep-sha512", "other-result long no-hash"),
    ("rsa-pkcs1", "long")])
def test_no_secret_of_an_impossible_size_leaves(broker, scheme, lies):
    """Of a keeper that was taken over; the broker has no more than the sizes to go by."""
    c = broker.client()
    if scheme == "ecdh":
        c.create("k", usage=8)
    else:
        import_key(c, "k")

    def use():
        return derive(c, "k") if scheme == "ecdh" else decrypt(c, "k", scheme=scheme)

    op = "derive" if scheme == "ecdh" else "decrypt"
    for lie in lies.split():
        broker.mood(op + ":" + lie)
        reply = use()
        assert reply.status not in (pb.OK, pb.NO_KEY) and not reply.HasField("secret"), lie
        assert "x" * 20 not in reply.message and "result=%d" % reply.status in audit(broker, op)
    broker.mood("")
    assert use().status == pb.OK


def test_lies_about_import(broker):
    c = broker.client()
    for lie in ("no-result", "other-result", "no-spki", "no-id", "no-blob", "no-algorithm"):
        broker.mood("import_key:" + lie)
        assert import_key(c, "k").status == pb.FAILED, lie
        assert c.call(key_get=pb.KeyGet(key=pb.KeyRef(name="k"))).status == pb.NO_KEY
    for lie in ("no-result", "other-result", "no-public", "other-type"):
        broker.mood("wrap:" + lie)
        reply = c.call(token_wrap=pb.TokenWrap())
        assert reply.status == pb.FAILED and not reply.HasField("wrap"), lie
    broker.mood("")
    reply = import_key(c, "k", b"ec-p256")  # for decrypt
    assert reply.status == pb.FAILED and "cannot have" in reply.message
    assert import_key(c, "k").status == pb.OK


def test_one_key_pair_has_one_name(broker):
    """Under a second name it would have a second usage: a ca key that signs anything."""
    c = broker.client()
    assert import_key(c, "ca", b"ec-p256 again", usage=2).status == pb.OK
    assert import_key(c, "other", b"ec-p256 again", usage=1).status == pb.EXISTS
    assert import_key(c, "ca", b"ec-p256 again", usage=0, stage=True).status == pb.EXISTS
    assert c.call(key_get=pb.KeyGet(key=pb.KeyRef(name="other"))).status == pb.NO_KEY
    assert len(c.call(key_get=pb.KeyGet(key=pb.KeyRef(name="ca"))).key.generations) == 1


def test_a_file_that_came_from_elsewhere_is_elsewhere(broker):
    c = broker.client()
    made = import_key(c, "k", b"ec-p256 outside", usage=2).key
    assert made.exported and not made.generations[0].imported
    assert not import_key(c, "soft", b"ec-p256", usage=2).key.exported


def test_rights():
    may = {"uid": os.getuid(), "gid": -1, "socket": "main", "keys": ["k*"],
           "rights": ["public", "create", "sign"]}
    with WithFakeKeeper(principals=[may]) as b:
        c = b.client()
        assert c.create("k", usage=8).status == pb.OK
        assert derive(c, "k").status == pb.NO_KEY
        assert import_key(c, "other").status == pb.NO_KEY
        assert import_key(c, "k", stage=True).status == pb.NO_KEY  # takes rotate
        assert c.call(key_export=pb.KeyExport(key=pb.KeyRef(name="k"))).status == pb.NO_KEY
        assert import_key(c, "k2").status == pb.OK
        assert c.call(token_wrap=pb.TokenWrap()).wrap.token == "tpm"


def test_import(broker):
    c = broker.client()
    wrap = c.call(token_wrap=pb.TokenWrap())
    assert wrap.wrap.public_key == b"public" and wrap.wrap.type == "tpm2"
    assert c.call(token_wrap=pb.TokenWrap(token="no")).status == pb.ARGUMENT
    c.create("k")
    assert import_key(c, "k").status == pb.EXISTS
    assert import_key(c, "other", usage=3).status == pb.ARGUMENT
    assert import_key(c, "other", b"ec-p999", usage=1).status == pb.FAILED
    assert import_key(c, "../other").status == pb.ARGUMENT
    reply = import_key(c, "k", b"rsa-2048", usage=0, stage=True)
    assert [(g.imported, g.algorithm) for g in reply.key.generations] == [(False, "ec-p256"),
                                                                          (True, "rsa-2048")]
    c.create("agrees", usage=8)
    reply = import_key(c, "agrees", b"rsa-2048", usage=0, stage=True)
    assert reply.status == pb.FAILED and "a usage it cannot have" in reply.message
    assert import_key(c, "nobody", stage=True).status == pb.NO_KEY


def test_export_marks_the_key_for_good(broker):
    c = broker.client()
    assert not c.create("k", usage=2).key.exported
    reply = c.call(key_export=pb.KeyExport(key=pb.KeyRef(name="k")))
    assert reply.key_file.format == "tss2" and b"PRIVATE KEY" in reply.key_file.blob
    assert 'op="key-export"' in audit(broker, "key-export")
    broker.stop()
    broker.start()
    assert broker.client().call(key_get=pb.KeyGet(key=pb.KeyRef(name="k"))).key.exported


def test_what_a_token_keeps_is_destroyed(broker):
    """Not for a TPM, all of whose key is in the file; a PKCS#11 token has objects."""
    c = broker.client()
    c.create("k")
    assert c.call(key_delete=pb.KeyDelete(name="k")).status == pb.OK
    assert c.create("l").status == pb.OK
    assert not os.path.exists(os.path.join(broker.dir, "destroyed"))


# ------------------------------------------------------------------- with a TPM

def public_of(reply):
    assert reply.status == pb.OK, reply.message
    return serialization.load_der_public_key(reply.key.spki)


def tss2(client, name, blob, usage, **more):
    return client.call(key_import=pb.KeyImport(name=name, usage=usage, format="tss2", blob=blob, **more))


def test_decryption_and_agreement_in_a_tpm(tpm):
    with Broker(tcti=tpm.tcti) as b:
        c = b.client()
        rsa = public_of(c.create("rsa", "rsa-2048", 4 | 1))
        agrees = public_of(c.create("ec", "ec-p384", 8))
        sealed = rsa.encrypt(b"the plaintext", padding.OAEP(padding.MGF1(hashes.SHA256()),
                                                            hashes.SHA256(), b"label"))
        for _ in range(3):
            assert decrypt(c, "rsa", sealed, "rsa-oaep-sha256",
                           label=b"label").secret.data == b"the plaintext"
        assert decrypt(c, "rsa", sealed, "rsa-oaep-sha256").status == pb.ARGUMENT
        peer = ec.generate_private_key(ec.SECP384R1())
        point = peer.public_key().public_bytes(serialization.Encoding.X962,
                                               serialization.PublicFormat.UncompressedPoint)
        assert derive(c, "ec", point).secret.data == peer.exchange(ec.ECDH(), agrees)
        reply = derive(c, "ec", point[:-1] + bytes([point[-1] ^ 1]))
        assert reply.status == pb.ARGUMENT and "no point of our curve" in reply.message
        tpm.kill()
        assert derive(c, "ec", point).status == pb.UNAVAILABLE
        tpm.start()
        until(lambda: derive(c, "ec", point).status == pb.OK)
        assert "the plaintext" not in b.text()


def test_rotation_to_another_algorithm(tpm):
    """Each generation signs as what it is, also after a restart; a usage stays possible."""
    def told(c, name="k", **ref):
        key = c.call(key_get=pb.KeyGet(key=pb.KeyRef(name=name, **ref))).key
        return key.algorithm, "ecdsa-sha256" in key.schemes, "rsa-pss-sha256" in key.schemes

    def works(c):
        digest = hashlib.sha256(b"m").digest()
        ref = pb.KeyRef(name="k", spki_sha256=old.spki_sha256)
        assert told(c) == ("rsa-2048", False, True)
        assert told(c, spki_sha256=old.spki_sha256) == ("ec-p256", True, False)
        rsa = serialization.load_der_public_key(new.spki)
        rsa.verify(c.sign("k", digest, "rsa-pss-sha256").signature.signature, b"m",
                   padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        assert c.sign("k", digest).status == pb.ARGUMENT  # with ECDSA
        reply = c.call(sign=pb.Sign(key=ref, scheme="ecdsa-sha256", data=digest))
        serialization.load_der_public_key(old.spki).verify(reply.signature.signature, b"m",
                                                           ec.ECDSA(hashes.SHA256()))

    with Broker(tcti=tpm.tcti) as b:
        c = b.client()
        old = c.create("k").key
        new = c.call(key_stage=pb.KeyStage(name="k", algorithm="rsa-2048")).key
        assert [g.algorithm for g in new.generations] == ["ec-p256", "rsa-2048"]
        assert told(c) == ("ec-p256", True, False)
        ref = pb.KeyRef(name="k", spki_sha256=new.spki_sha256)
        assert c.call(key_current=pb.KeyCurrent(key=ref, grace_s=3600)).status == pb.OK
        works(c)
        b.stop()
        c = b.start().client()
        works(c)
        for algorithm, status in (("ec-p999", pb.ARGUMENT), ("ed25519", pb.UNSUPPORTED)):
            reply = c.call(key_stage=pb.KeyStage(name="k", algorithm=algorithm))
            assert reply.status == status, reply.message
        c.create("agrees", usage=8)
        reply = c.call(key_stage=pb.KeyStage(name="agrees", algorithm="rsa-2048"))
        assert reply.status == pb.ARGUMENT and "which no rsa-2048 key does" in reply.message


def test_export_and_import_in_a_tpm(tpm):
    """A backup comes back; what is there is not taken a second time, for whatever usage."""
    with Broker(tcti=tpm.tcti) as b:
        c = b.client()
        made = c.create("ca", usage=2).key
        file = c.call(key_export=pb.KeyExport(key=pb.KeyRef(name="ca"))).key_file.blob
        for name in ("ca", "other"):
            assert tss2(c, name, file, 1).status == pb.EXISTS
        assert c.call(key_delete=pb.KeyDelete(name="ca")).status == pb.OK
        again = tss2(c, "ca", file, 2).key
        assert again.spki == made.spki and again.exported and not again.generations[0].imported
        wrap = c.call(token_wrap=pb.TokenWrap()).wrap
        soft = tpm2wrap.random_key("ec-p256")
        blob = tpm2wrap.wrap(soft, wrap.public_key, handle=wrap.parent)
        new = tss2(c, "soft", blob, 1).key
        assert new.generations[0].imported and not new.exported
        signature = c.sign("soft", hashlib.sha256(b"m").digest()).signature.signature
        soft.public_key().verify(signature, b"m", ec.ECDSA(hashes.SHA256()))
        staged = tss2(c, "soft", tpm2wrap.wrap(tpm2wrap.random_key("ec-p256"), wrap.public_key), 0,
                      stage=True).key
        assert [(g.state, g.imported) for g in staged.generations] == [(0, True), (1, True)]
        other = tss2(c, "soft", tpm2wrap.wrap(tpm2wrap.random_key("ec-p384"), wrap.public_key), 0,
                     stage=True).key
        assert other.algorithm == "ec-p384" and other.generations[2].algorithm == "ec-p384"
        assert tss2(c, "bad", blob[:-1], 1).status == pb.CORRUPT
        # The same pair, wrapped for another use: refused, and the one that is there goes on.
        blob = tpm2wrap.wrap(soft, wrap.public_key, tpm2wrap.USER_WITH_AUTH | tpm2wrap.DECRYPT)
        assert tss2(c, "agrees", blob, 8).status == pb.EXISTS
        assert c.sign("soft").status == pb.OK
        b.stop()
        assert b.start().client().sign("soft").status == pb.OK
