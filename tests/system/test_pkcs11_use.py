# SPDX-License-Identifier: Apache-2.0
"""Keys in PKCS#11 tokens: decrypt, agree, come from elsewhere, go."""

import hashlib
import os
import re
import struct

import pytest
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

import p11lib
from keeperlib import CA, DECRYPT, DERIVE, SIGN, Failed, check
from test_pkcs11 import digest, fixture_hsm, fixture_keeper  # noqa: F401

DER, SPKI = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
POINT = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
OAEP = {"rsa-oaep-sha1": hashes.SHA1, "rsa-oaep-sha256": hashes.SHA256,
        "rsa-oaep-sha384": hashes.SHA384, "rsa-oaep-sha512": hashes.SHA512}


def raw(public, block):
    """RSA without padding: what a token gets to see of a block of our own making."""
    n = public.public_numbers()
    size = (n.n.bit_length() + 7) // 8
    return pow(int.from_bytes(block.rjust(size, b"\0"), "big"), n.e, n.n).to_bytes(size, "big")


def block(size, message, first=b"\0\2"):
    return first + b"\x55" * (size - len(message) - 3) + b"\0" + message


@pytest.fixture(name="decrypter")
def fixture_decrypter(keeper):
    keeper.open()
    key = keeper.create("rsa-2048", DECRYPT)
    return keeper, key, load_der_public_key(key.spki)


def test_pkcs1(decrypter):
    keeper, key, public = decrypter
    for message in (b"", b"m", b"m" * 245):
        sealed = public.encrypt(message, padding.PKCS1v15())
        assert keeper.decrypt(key, "rsa-pkcs1", sealed) == message
    for bad in (block(256, b"m", b"\0\1"), block(256, b"m", b"\1\2"), b"\0\2" + b"\x55" * 254,
                b"\0\2" + b"\x55" * 7 + b"\0" + b"m" * 246, bytes(256)):
        with pytest.raises(Failed, match="not one of rsa-pkcs1 for this key"):
            keeper.decrypt(key, "rsa-pkcs1", raw(public, bad))


@pytest.mark.parametrize("scheme", OAEP)
def test_oaep(decrypter, scheme):
    keeper, key, public = decrypter
    h = OAEP[scheme]
    for label in (b"", b"a label"):
        for message in (b"", b"m" * 40, b"m" * (254 - 2 * h.digest_size)):
            pad = padding.OAEP(padding.MGF1(h()), h(), label or None)
            sealed = public.encrypt(message, pad)
            assert keeper.decrypt(key, scheme, sealed, label) == message
        with pytest.raises(Failed, match="not one of"):
            keeper.decrypt(key, scheme, sealed, b"another label")
    with pytest.raises(Failed, match="not one of"):
        keeper.decrypt(key, scheme, public.encrypt(b"m", padding.PKCS1v15()))


def test_tls_premaster_tells_nothing(decrypter):
    keeper, key, public = decrypter
    good = b"\3\3" + b"p" * 46
    assert keeper.decrypt(key, "rsa-pkcs1-tls", raw(public, block(256, good)),
                          versions=(0x303, 0)) == good
    assert keeper.decrypt(key, "rsa-pkcs1-tls", raw(public, block(256, good)),
                          versions=(0x301, 0x303)) == good
    bad = [(block(256, good), (0x302, 0)), (block(256, good, b"\0\1"), (0x303, 0)),
           (block(256, good, b"\1\2"), (0x303, 0)), (block(256, good[:47]), (0x303, 0)),
           (block(256, good + b"x"), (0x303, 0)), (b"\0\2" + b"\x55" * 254, (0x303, 0)),
           (b"\0\2" + b"\x55" * 5 + b"\0" + b"\x55" * 199 + b"\0" + good, (0x303, 0))]
    seen = set()
    for text, versions in bad:
        for _ in range(2):
            out = keeper.decrypt(key, "rsa-pkcs1-tls", raw(public, text), versions=versions)
            assert len(out) == 48 and out != good
            seen.add(out)
    assert len(seen) == 2 * len(bad)


def test_usage_is_kept_to(decrypter):
    keeper, key, public = decrypter
    with pytest.raises(Failed, match="not made for signing"):
        keeper.sign(key, "rsa-pkcs1-sha256", bytes(32))
    key.usage = SIGN | DECRYPT  # a broker's catalogue that was tampered with
    with pytest.raises(Failed, match="made for another use"):
        keeper.sign(key, "rsa-pkcs1-sha256", bytes(32))
    other = keeper.create("rsa-2048")
    other.usage = DECRYPT
    with pytest.raises(Failed, match="made for another use"):
        keeper.decrypt(other, "rsa-pkcs1", public.encrypt(b"m", padding.PKCS1v15()))
    for n in (0, 255, 257):
        with pytest.raises(Failed, match="%d bytes" % n):
            keeper.decrypt(key, "rsa-pkcs1", bytes(n))


@pytest.mark.parametrize("algorithm,curve", [
    ("ec-p256", ec.SECP256R1), ("ec-p384", ec.SECP384R1), ("ec-p521", ec.SECP521R1)])
def test_ecdh(keeper, algorithm, curve):
    keeper.open()
    key = keeper.create(algorithm, DERIVE)
    for _ in range(8):
        own = ec.generate_private_key(curve())
        assert keeper.derive(key, own.public_key().public_bytes(*POINT)) == own.exchange(
            ec.ECDH(), load_der_public_key(key.spki))


def test_points_off_the_curve_are_refused(keeper):
    keeper.open()
    key = keeper.create("ec-p256", DERIVE)
    good = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*POINT)
    other = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*POINT)
    for bad in (good[:-1], good + b"x", good[:-1] + bytes([good[-1] ^ 1]), bytes(65), b"", b"\0",
                b"\2" + good[1:33], b"\6" + good[1:], other):
        with pytest.raises(Failed, match="not an uncompressed point"):
            keeper.derive(key, bad)


# ---------------------------------------------------------------- from elsewhere

def wrapped(keeper, private, form=serialization.PrivateFormat.PKCS8):
    public = load_der_public_key(keeper.wrap().public_key)
    aes = os.urandom(32)
    pkcs8 = private.private_bytes(DER, form, serialization.NoEncryption())
    return public.encrypt(aes, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)) + \
        keywrap.aes_key_wrap_with_padding(aes, pkcs8)


def spki(private):
    return private.public_key().public_bytes(DER, SPKI)


def test_software_keys_come_wrapped(hsm, keeper):
    keeper.open()
    for private, name, scheme in ((rsa.generate_private_key(65537, 2048), "rsa-2048", "rsa-pkcs1-sha256"),
                                  (ec.generate_private_key(ec.SECP384R1()), "ec-p384", "ecdsa-sha384")):
        key = keeper.import_key("kwp", wrapped(keeper, private), spki=spki(private), name=name)
        assert key.created.imported and key.created.algorithm == name and key.spki == spki(private)
        check(key, scheme, digest(scheme), keeper.sign(key, scheme, digest(scheme)).signature)
    out = hsm.tool("pkcs11-tool", "--module", p11lib.SOFTHSM, "--login", "--pin", p11lib.PIN,
                   "--list-objects", "--type", "privkey").stdout
    assert out.count("label:      rsa-2048") == 1 and out.count("label:      ec-p384") == 1
    assert "extractable\n" not in out.replace("never extractable", "")
    assert keeper.wrap().public_key == keeper.wrap().public_key
    assert len(re.findall(r"label: +holdfast-wrap", out)) == 1


def test_wrapped_keys_that_are_wrong(hsm, keeper):
    keeper.open()
    private, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    good = wrapped(keeper, private)
    before = sorted(hsm.objects())
    cases = [(good, spki(other), "does not verify"), (good[:-8], spki(private), ""),
             (good[:256], spki(private), "too short"), (b"", spki(private), "too short"),
             (bytes(len(good)), spki(private), ""), (good[:-1] + b"x", spki(private), ""),
             (good, b"", "malformed"), (good, spki(private)[:-1], "malformed")]
    for blob, public, words in cases:
        with pytest.raises(Failed, match=words):
            keeper.import_key("kwp", blob, spki=public)
        assert sorted(hsm.objects()) == before, "a key that was refused stays in the token"
    with pytest.raises(Failed, match="not tss2"):
        keeper.import_key("tss2", good)
    with pytest.raises(Failed, match="usage decrypt is for RSA"):
        keeper.import_key("kwp", good, DECRYPT, spki(private))


def test_the_same_key_twice(hsm, keeper):
    """The second object is what is tried, and destroying it leaves the first."""
    keeper.open()
    private = ec.generate_private_key(ec.SECP256R1())
    first = keeper.import_key("kwp", wrapped(keeper, private), spki=spki(private), name="first")
    with pytest.raises(Failed):  # it would not agree on anything: made for signatures
        keeper.derive(first, private.public_key().public_bytes(*POINT))
    second = keeper.import_key("kwp", wrapped(keeper, private), DERIVE, spki(private), "second")
    own = ec.generate_private_key(ec.SECP256R1())
    assert keeper.derive(second, own.public_key().public_bytes(*POINT)) == own.exchange(
        ec.ECDH(), private.public_key())
    keeper.destroy(second)
    check(first, "ecdsa-sha256", digest("ecdsa-sha256"),
          keeper.sign(first, "ecdsa-sha256", digest("ecdsa-sha256")).signature)
    assert "first" in hsm.objects() and "second" not in hsm.objects()


def make_pair(hsm, kind, label, key_id, *more):
    hsm.tool("pkcs11-tool", "--module", p11lib.SOFTHSM, "--login", "--pin", p11lib.PIN,
             "--keypairgen", "--key-type", kind, "--label", label, "--id", key_id, *more)


def test_keys_of_others_are_adopted(hsm, keeper):
    make_pair(hsm, "EC:prime256v1", "the old key", "0102")
    make_pair(hsm, "rsa:2048", "web", "0103")
    make_pair(hsm, "rsa:2048", "web", "0104")
    keeper.open()
    key = keeper.import_key("uri", b"pkcs11:token=edge;object=the%20old%20key")
    assert key.created.algorithm == "ec-p256" and not key.created.imported
    check(key, "ecdsa-sha256", digest("ecdsa-sha256"),
          keeper.sign(key, "ecdsa-sha256", digest("ecdsa-sha256")).signature)
    key = keeper.import_key("uri", b"pkcs11:id=%01%03;type=private?pin-value=0000", SIGN | DECRYPT)
    public = load_der_public_key(key.spki)
    assert keeper.decrypt(key, "rsa-oaep-sha256", public.encrypt(
        b"m", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))) == b"m"
    for uri, words in ((b"pkcs11:object=web", "more than one"), (b"pkcs11:object=none", "has no private"),
                       (b"pkcs11:token=other;object=web;id=%01%03", "another token"),
                       (b"pkcs11:slot-id=77;id=%01%03", "another token"),
                       (b"pkcs11:token=edge", "neither object"), (b"file:/x", "no PKCS#11 URI"),
                       (b"pkcs11:object=web;id=%01%02", "has no private"), (b"", "no PKCS#11 URI"),
                       (b"pkcs11:object=" + b"x" * 4000, "no PKCS#11 URI")):
        with pytest.raises(Failed, match=words):
            keeper.import_key("uri", uri)


def test_private_key_without_a_public_one(hsm, keeper):
    for kind, label in (("rsa:2048", "lonely-rsa"), ("EC:prime256v1", "lonely-ec")):
        make_pair(hsm, kind, label, "0a" if "rsa" in label else "0b")
        hsm.tool("pkcs11-tool", "--module", p11lib.SOFTHSM, "--login", "--pin", p11lib.PIN,
                 "--delete-object", "--type", "pubkey", "--label", label)
    keeper.open()
    assert keeper.import_key("uri", b"pkcs11:object=lonely-rsa").created.algorithm == "rsa-2048"
    with pytest.raises(Failed, match="neither a public key nor a certificate"):
        keeper.import_key("uri", b"pkcs11:object=lonely-ec")


def test_a_public_key_that_is_not_its_own(hsm, keeper):
    """Somebody has put the wrong public key beside the private one."""
    make_pair(hsm, "EC:prime256v1", "a", "0a")
    make_pair(hsm, "EC:prime256v1", "b", "0b")
    for label, change in (("a", "0c"), ("b", "0a")):
        hsm.tool("pkcs11-tool", "--module", p11lib.SOFTHSM, "--login", "--pin", p11lib.PIN,
                 "--set-id", change, "--type", "pubkey", "--label", label)
    keeper.open()
    with pytest.raises(Failed, match="does not verify"):
        keeper.import_key("uri", b"pkcs11:object=a;id=%0a")


def test_destroyed_keys_leave_the_token(hsm, keeper):
    make_pair(hsm, "EC:prime256v1", "not-ours", "0a")
    keeper.open()
    keys = [keeper.create("ec-p256"), keeper.create("rsa-2048"),
            keeper.import_key("uri", b"pkcs11:object=not-ours")]
    assert len(hsm.objects()) == 3
    for key in keys + keys:
        keeper.destroy(key)
    assert hsm.objects() == ["not-ours"] and hsm.objects("pubkey") == ["not-ours"]
    with pytest.raises(Failed, match="any more"):
        keeper.sign(keys[0], "ecdsa-sha256", bytes(32))


def test_ca_keys_keep_their_profile(keeper):
    keeper.open()
    key = keeper.create("ec-p256", CA)
    with pytest.raises(Failed, match="ca key"):
        keeper.sign(key, "ecdsa-sha256", hashlib.sha256(b"x").digest())
    with pytest.raises(Failed, match="profile"):
        keeper.sign(key, "ecdsa-sha256", struct.pack(">Q", 0), message=True)
