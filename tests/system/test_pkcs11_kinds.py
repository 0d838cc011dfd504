# SPDX-License-Identifier: Apache-2.0
"""Tokens that can do less than SoftHSM, or want it said otherwise: SoftHSM behind p11shim.so."""
import contextlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

import p11lib
from keeperlib import DECRYPT, DERIVE, SIGN, Failed, check
from test_pkcs11 import digest
from test_pkcs11_faults import VALUES
from test_pkcs11_faults import fixture_hsm  # noqa: F401
from test_pkcs11_left import stored
from test_pkcs11_use import OAEP, POINT, block, raw, spki, wrapped

RSA_X_509, RSA_PSS, RSA_OAEP, ECDH = 3, 0xd, 9, 0x1050  # CKM_
SENSITIVE, EXTRACTABLE = 0x103, 0x162  # CKA_


@pytest.fixture(name="lacking")
def fixture_lacking(hsm):
    """A keeper on a token without these mechanisms."""
    keepers = []

    def start(*mechanisms, leaks=False):
        assert len(mechanisms) <= 1
        hsm.fault(*[("C_GetMechanismList", "hide", m, 0) for m in mechanisms])
        keepers.append(p11lib.P11Keeper(hsm, leaks=leaks))
        keepers[-1].open()
        return keepers[-1]

    yield start
    for keeper in keepers:
        keeper.close()


def test_a_token_that_unpads_by_itself(lacking):
    keeper = lacking(RSA_X_509)
    key = keeper.create("rsa-2048", DECRYPT)
    public = load_der_public_key(key.spki)
    for message in (b"", b"m", b"m" * 245):
        assert keeper.decrypt(key, "rsa-pkcs1", public.encrypt(message, padding.PKCS1v15())) == message
    sha1 = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    assert keeper.decrypt(key, "rsa-oaep-sha1", public.encrypt(b"m" * 40, sha1)) == b"m" * 40
    # SoftHSM has no other digest there, and no label: it says so, and nothing wrong comes out
    for scheme, label in (("rsa-oaep-sha256", b""), ("rsa-oaep-sha1", b"a label")):
        h = OAEP[scheme]()
        with pytest.raises(Failed):
            keeper.decrypt(key, scheme, public.encrypt(
                b"m", padding.OAEP(padding.MGF1(h), h, label or None)), label)
    # an error, or, from OpenSSL 3.2 on below SoftHSM, bytes that have nothing to do with the message
    for bad in (block(256, b"message", b"\0\1"), b"\0\2" + b"\x55" * 254):
        with contextlib.suppress(Failed):
            got = keeper.decrypt(key, "rsa-pkcs1", raw(public, bad))
            assert got != b"message" and b"\x55" * 8 not in got
    with pytest.raises(Failed, match="would tell by its time"):
        keeper.decrypt(key, "rsa-pkcs1-tls", raw(public, block(256, b"\3\3" + b"p" * 46)),
                       versions=(0x303, 0))
    assert keeper.decrypt(key, "rsa-pkcs1", public.encrypt(b"m", padding.PKCS1v15())) == b"m"


@pytest.mark.parametrize("name,status", [("CKR_ENCRYPTED_DATA_INVALID", "ARGUMENT"),
                                         ("CKR_DATA_INVALID", "ARGUMENT"),
                                         ("CKR_KEY_FUNCTION_NOT_PERMITTED", "UNSUPPORTED")])
def test_what_a_token_says_of_the_padding(hsm, lacking, name, status):
    keeper = lacking(RSA_X_509)
    key = keeper.create("rsa-2048", DECRYPT)
    hsm.fault(("C_Decrypt", "rv", VALUES[name], 0))
    with pytest.raises(Failed) as failed:
        keeper.decrypt(key, "rsa-pkcs1", bytes(255) + b"\1")
    assert failed.value.status == status
    assert ("not one of rsa-pkcs1" in failed.value.message) == (status == "ARGUMENT")


def test_pss_without_a_mechanism_for_it(lacking):
    """Padded by pss.c, signed with the bare operation."""
    keeper = lacking(RSA_PSS)
    key = keeper.create("rsa-2048", SIGN)
    for scheme in ("rsa-pss-sha256", "rsa-pss-sha384", "rsa-pss-sha512", "rsa-pkcs1-sha256"):
        check(key, scheme, digest(scheme), keeper.sign(key, scheme, digest(scheme)).signature)


def test_what_a_token_lacks_is_told(lacking):
    keeper = lacking(ECDH)
    with pytest.raises(Failed, match="CKM_ECDH1_DERIVE"):
        keeper.create("ec-p256", DERIVE)
    keeper = lacking(RSA_OAEP)
    with pytest.raises(Failed, match="CKM_RSA_PKCS_OAEP"):
        keeper.wrap()


def test_ed25519_by_its_name(hsm, lacking):
    keeper = lacking(leaks=True)  # SoftHSM leaks the parameters of each Ed25519 key
    hsm.fault(("C_GenerateKeyPair", "other", 0, 0))
    key = keeper.create("ed25519")
    load_der_public_key(key.spki).verify(
        keeper.sign(key, "ed25519", b"message", message=True).signature, b"message")
    assert hsm.calls("C_GenerateKeyPair") == 2
    with pytest.raises(Failed) as failed:  # of P-256 there is one form only
        keeper.create("ec-p256")
    assert failed.value.status == "UNSUPPORTED"


@pytest.mark.parametrize("algorithm,curve", [("ec-p256", ec.SECP256R1), ("ec-p384", ec.SECP384R1)])
def test_points_in_an_octet_string(hsm, lacking, algorithm, curve):
    keeper = lacking()
    hsm.fault(("C_DeriveKey", "other", 0, 0))
    key = keeper.create(algorithm, DERIVE)
    own = ec.generate_private_key(curve())
    before = hsm.calls("C_DeriveKey")
    assert keeper.derive(key, own.public_key().public_bytes(*POINT)) == own.exchange(
        ec.ECDH(), load_der_public_key(key.spki))
    assert hsm.calls("C_DeriveKey") == before + 2


@pytest.mark.parametrize("action,attribute", [("no", SENSITIVE), ("yes", EXTRACTABLE)])
def test_keys_that_could_be_read_are_refused(hsm, lacking, action, attribute):
    """Some tokens make what they like. Neither a new key nor one that came is left there."""
    keeper = lacking()
    soft = ec.generate_private_key(ec.SECP256R1())
    blob = wrapped(keeper, soft)
    before = stored(hsm)
    hsm.fault(("C_GetAttributeValue", action, attribute, 0))
    for make in (lambda: keeper.create("ec-p256"), lambda: keeper.create("rsa-2048", DECRYPT),
                 lambda: keeper.import_key("kwp", blob, spki=spki(soft))):
        with pytest.raises(Failed, match="can be read out of it"):
            make()
        assert stored(hsm) == before
