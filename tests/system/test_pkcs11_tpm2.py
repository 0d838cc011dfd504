# SPDX-License-Identifier: Apache-2.0
"""The keeper on tpm2-pkcs11 over swtpm: another module, with other habits than SoftHSM."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

import p11lib
from keeperlib import DECRYPT, DERIVE, Failed, check
from test_pkcs11 import digest, state

SCHEMES = [("ec-p256", ["ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512"]),
           ("ec-p384", ["ecdsa-sha256", "ecdsa-sha384"]),
           ("rsa-2048", ["rsa-pkcs1-sha256", "rsa-pkcs1-sha512", "rsa-pss-sha256", "rsa-pss-sha384"])]


@pytest.fixture(name="hsm")
def fixture_hsm():
    t = p11lib.Tpm2Pkcs11()
    yield t
    t.close()


@pytest.fixture(name="keeper")
def fixture_keeper(hsm):
    k = p11lib.P11Keeper(hsm, leaks=True)
    yield k
    if k.sock.fileno() >= 0:
        k.close()


def test_signatures(hsm, keeper):
    """Each comes from the next keeper, too; it signs RSA-PSS although it has no mechanism for it."""
    assert "token edge" in keeper.open().description
    keys = [(keeper.create(algorithm), schemes) for algorithm, schemes in SCHEMES]
    for _ in range(2):
        for key, schemes in keys:
            for scheme in schemes:
                check(key, scheme, digest(scheme),
                      keeper.sign(key, scheme, digest(scheme)).signature)
        keeper.close()
        keeper = p11lib.P11Keeper(hsm, leaks=True)
        keeper.open()
    keeper.close()


def test_more_keys_than_the_tpm_holds(keeper):
    """Every key that was used stays in the TPM until a logout, and three fill it."""
    keeper.open()
    keys = [keeper.create("ec-p256") for _ in range(7)]
    for key in keys + keys[::-1]:
        check(key, "ecdsa-sha256", digest("ecdsa-sha256"),
              keeper.sign(key, "ecdsa-sha256", digest("ecdsa-sha256")).signature)


def test_decrypt(keeper):
    keeper.open()
    key = keeper.create("rsa-2048", DECRYPT)
    public = load_der_public_key(key.spki)
    for h, scheme in ((hashes.SHA1, "rsa-oaep-sha1"), (hashes.SHA512, "rsa-oaep-sha512")):
        sealed = public.encrypt(b"m", padding.OAEP(padding.MGF1(h()), h(), b"l"))
        assert keeper.decrypt(key, scheme, sealed, b"l") == b"m"
    assert keeper.decrypt(key, "rsa-pkcs1", public.encrypt(b"m", padding.PKCS1v15())) == b"m"


def test_what_it_cannot(keeper):
    opened = keeper.open()
    assert "ed25519" not in opened.algorithms and "rsa-4096" not in opened.algorithms
    for what, words in ((lambda: keeper.create("ed25519"), "does not make ed25519"),
                        (lambda: keeper.create("rsa-4096"), "does not make rsa-4096"),
                        (lambda: keeper.create("ec-p256", DERIVE), "does not agree on keys"),
                        (keeper.wrap, "made elsewhere")):
        with pytest.raises(Failed, match=words) as failed:
            what()
        assert failed.value.status == "UNSUPPORTED"


def test_wrong_pin_is_tried_once(hsm):
    """The TPM counts as well: its own protection against guessing is not touched a second time."""
    hsm.write_pin("wrong-one")
    for i in range(3):
        k = p11lib.P11Keeper(hsm, leaks=True)
        with pytest.raises(Failed, match="the PIN is wrong" if i == 0 else "before") as failed:
            k.open()
        assert failed.value.status == "LOCKOUT" and state(k) == "r"
        k.close()
    hsm.write_pin(p11lib.PIN)
    k = p11lib.P11Keeper(hsm, leaks=True)
    k.open()
    k.close()
    assert hsm.tpm.lockout_counter() <= 1


def test_tpm_goes_and_comes_back(hsm, keeper):
    keeper.open()
    key = keeper.create("ec-p256")
    hsm.tpm.kill()
    with pytest.raises(Failed):
        keeper.sign(key, "ecdsa-sha256", digest("ecdsa-sha256"))
    hsm.tpm.start()
    check(key, "ecdsa-sha256", digest("ecdsa-sha256"),
          keeper.sign(key, "ecdsa-sha256", digest("ecdsa-sha256")).signature)
