# SPDX-License-Identifier: Apache-2.0
"""The keeper on PKCS#11 tokens: SoftHSM."""

import hashlib
import os

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

import keeperlib
import p11lib
from keeperlib import CA, DECRYPT, DERIVE, SIGN, Failed, check

SCHEMES = [
    ("ec-p256", ["ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512"]),
    ("ec-p384", ["ecdsa-sha256", "ecdsa-sha384"]),
    ("ec-p521", ["ecdsa-sha256", "ecdsa-sha512"]),
    ("rsa-2048", ["rsa-pkcs1-sha256", "rsa-pkcs1-sha384", "rsa-pkcs1-sha512", "rsa-pss-sha256",
                  "rsa-pss-sha384", "rsa-pss-sha512"]),
]


@pytest.fixture(name="hsm")
def fixture_hsm():
    t = p11lib.SoftHsm()
    yield t
    t.close()


@pytest.fixture(name="keeper")
def fixture_keeper(hsm):
    k = p11lib.P11Keeper(hsm)
    yield k
    if k.sock.fileno() >= 0:
        k.close()


def digest(scheme, data=b"x"):
    return hashlib.new(scheme.rsplit("-", 1)[1], data).digest()


def test_what_it_says_of_the_token(keeper):
    opened = keeper.open()
    assert "SoftHSM" in opened.description and "token edge" in opened.description
    assert list(opened.algorithms) == ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072",
                                       "rsa-4096", "ed25519"]


@pytest.mark.parametrize("algorithm,schemes", SCHEMES)
def test_signatures(keeper, algorithm, schemes):
    keeper.open()
    key = keeper.create(algorithm)
    for scheme in schemes:
        for data in (b"x", b"y"):
            check(key, scheme, digest(scheme, data),
                  keeper.sign(key, scheme, digest(scheme, data)).signature)


def test_ed25519_signs_messages_only(hsm):
    # SoftHSM 2.6.1 leaks the encoding of each Ed25519 key that it uses.
    keeper = p11lib.P11Keeper(hsm, leaks=True)
    keeper.open()
    key = keeper.create("ed25519")
    for message in (b"m", b"n" * 60000):
        sig = keeper.sign(key, "ed25519", message, message=True).signature
        load_der_public_key(key.spki).verify(sig, message)
    with pytest.raises(Failed, match="messages, not digests"):
        keeper.sign(key, "ed25519", bytes(32))
    with pytest.raises(Failed, match="this is an Ed25519 key"):
        keeper.sign(key, "ecdsa-sha256", bytes(32))
    keeper.close()


def test_keys_outlive_the_keeper(hsm, keeper):
    keeper.open()
    key = keeper.create("ec-p256")
    keeper.close()
    second = p11lib.P11Keeper(hsm)
    second.open()
    sig = second.sign(key, "ecdsa-sha256", digest("ecdsa-sha256")).signature
    check(key, "ecdsa-sha256", digest("ecdsa-sha256"), sig)
    second.close()


def test_objects_do_not_leave_the_token(hsm):
    """What another program sees of them, with the same PIN."""
    keeper = p11lib.P11Keeper(hsm, leaks=True)
    keeper.open()
    for algorithm in ("ec-p256", "rsa-2048", "ed25519"):
        keeper.create(algorithm)
    out = hsm.tool("pkcs11-tool", "--module", p11lib.SOFTHSM, "--login", "--pin", p11lib.PIN,
                   "--list-objects", "--type", "privkey").stdout
    assert out.count("Access:     sensitive, always sensitive, never extractable, local") == 3
    assert out.count("ID:") == 3 and "decrypt" not in out and "derive" not in out
    for line in out.splitlines():
        if "Usage:" in line:
            assert line.split(":")[1].strip() == "sign"
    keeper.close()


def test_usage(keeper):
    keeper.open()
    for algorithm, usage, words in (("ec-p256", DECRYPT, "for RSA"), ("rsa-2048", DERIVE, "for EC"),
                                    ("ec-p256", CA | SIGN, "beside"), ("ec-p256", 64, "unknown")):
        with pytest.raises(Failed, match=words):
            keeper.create(algorithm, usage)
    with pytest.raises(Failed, match="unknown algorithm"):
        keeper.create("ec-p192")


def test_key_that_is_gone_is_said_to_be(hsm, keeper):
    keeper.open()
    key = keeper.create("ec-p256")
    keeper.sign(key, "ecdsa-sha256", bytes(32))
    hsm.tool("pkcs11-tool", "--module", p11lib.SOFTHSM, "--login", "--pin", p11lib.PIN,
             "--delete-object", "--type", "privkey", "--label", "holdfast")
    with pytest.raises(Failed, match="does not have the key any more") as failed:
        keeper.sign(key, "ecdsa-sha256", bytes(32))
    assert failed.value.status == "GONE"


def next_keeper(keeper):
    """One that has seen no key yet."""
    keeper.close()
    keeper = p11lib.P11Keeper(keeper.token)
    keeper.open()
    return keeper


def test_another_keys_object_signs_nothing(keeper):
    """Two keys' files swapped: what one signs does not verify under the other's public key."""
    keeper.open()
    one, two = keeper.create("ec-p256"), keeper.create("ec-p256")
    one.blob, two.blob = two.blob, one.blob
    keeper = next_keeper(keeper)
    for key in (one, two):
        with pytest.raises(Failed, match="does not verify"):
            keeper.sign(key, "ecdsa-sha256", bytes(32))
    keeper.close()


@pytest.mark.parametrize("change,words", [
    (lambda b: b"", "not the PEM file"),
    (lambda b: b[:-40], "not the PEM file"),
    (lambda b: b.replace(b"PKCS#11 PROVIDER URI", b"TSS2 PRIVATE KEY"), "not the PEM file"),
    (lambda b: b.replace(b"MH8a", b"MH8b"), "not the PEM file"),
])
def test_damaged_files(keeper, change, words):
    keeper.open()
    key = keeper.create("ec-p256")
    key.blob = change(key.blob)
    keeper = next_keeper(keeper)
    with pytest.raises(Failed, match=words) as failed:
        keeper.sign(key, "ecdsa-sha256", bytes(32))
    assert failed.value.status == "CORRUPT"
    keeper.close()


@pytest.mark.parametrize("uri,words", [
    ("pkcs11:token=other", "none of the .* tokens"),
    ("pkcs11:slot-id=123456", "none of the .* tokens"),
    ("pkcs11:token=%zz", "is not one"),
    ("pkcs11:colour=red", "is not known"),
    ("file:/x", "is not one"),
])
def test_uris_that_name_no_token(keeper, uri, words):
    with pytest.raises(Failed, match=words):
        keeper.open(uri)


def test_modules_that_are_none(hsm, keeper):
    for path, words in (("/nonexistent.so", "cannot be loaded"), ("/etc/passwd", "cannot be loaded"),
                        (p11lib.module("libcrypto.so.3", "*/libcrypto.so.3"), "cannot be loaded")):
        hsm.module = path
        with pytest.raises(Failed, match=words) as failed:
            keeper.open()
        assert failed.value.status == "UNAVAILABLE"


# ---------------------------------------------------------------- PINs

def state(keeper):
    with open(keeper.logins) as f:
        return f.read(64).split()[2]


def test_wrong_pin_is_tried_once(hsm):
    hsm.write_pin("wrong-one")
    for i in range(4):
        k = p11lib.P11Keeper(hsm)
        with pytest.raises(Failed) as failed:
            k.open()
        assert failed.value.status == "LOCKOUT"
        assert ("the PIN is wrong" if i == 0 else "has refused this PIN before") \
            in failed.value.message
        assert state(k) == "r"
        with pytest.raises(Failed, match="before"):
            k.ping()
        k.close()
    assert "final try" not in hsm.tool("pkcs11-tool", "--module", p11lib.SOFTHSM, "-L").stdout


def test_another_pin_is_tried(hsm):
    hsm.write_pin("wrong-one")
    k = p11lib.P11Keeper(hsm)
    with pytest.raises(Failed, match="the PIN is wrong"):
        k.open()
    k.close()
    hsm.write_pin(p11lib.PIN)
    k = p11lib.P11Keeper(hsm)
    k.open()
    assert state(k) == "n"
    k.close()


def test_an_administrator_may_say_so(hsm):
    """The PIN was right all the time, and somebody has set the token to rights."""
    hsm.write_pin("wrong-one")
    k = p11lib.P11Keeper(hsm)
    with pytest.raises(Failed, match="the PIN is wrong"):
        k.open()
    hsm.tool("pkcs11-tool", "--module", p11lib.SOFTHSM, "--login", "--pin", p11lib.PIN,
             "--change-pin", "--new-pin", "wrong-one")
    with pytest.raises(Failed, match="before"):
        k.ping()
    k.provision()
    k.create("ec-p256")
    k.close()


def test_workers_share_one_attempt(hsm):
    hsm.write_pin("wrong-one")
    keepers = [p11lib.P11Keeper(hsm) for _ in range(4)]
    sent = []
    for k in keepers:
        r = keeperlib.pb.KeeperRequest()
        r.open.type, r.open.module, r.open.uri = "pkcs11", hsm.module, hsm.uri
        sent.append(k.send(r))
    said = [k.receive().message for k in keepers]
    assert len([m for m in said if "the PIN is wrong" in m]) == 1
    assert len([m for m in said if "before" in m]) == 3
    for k in keepers:
        k.close()


@pytest.mark.parametrize("pin,words", [
    ("", "empty"), ("1\n2", "more than one line"), ("1" * 256, "more than 255")])
def test_pin_files_that_are_none(hsm, pin, words):
    hsm.write_pin(pin)
    k = p11lib.P11Keeper(hsm)
    with pytest.raises(Failed, match=words):
        k.open()
    k.close()
    assert os.path.getsize(k.logins) == 0


def test_no_pin_at_all(hsm):
    hsm.pin_file = None
    k = p11lib.P11Keeper(hsm)
    with pytest.raises(Failed, match="pin_file or pin_credential"):
        k.open()
    k.close()


def test_damaged_record_is_none(hsm, tmp_path):
    for text in (b"garbage", b"\0" * 64, b"holdfast-login 1 x 00 0000000000000000 0000".ljust(64)):
        logins = tmp_path / "logins"
        logins.write_bytes(text)
        k = p11lib.P11Keeper(hsm, logins=str(logins))
        k.open()
        k.close()
