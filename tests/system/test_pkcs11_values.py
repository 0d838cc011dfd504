# SPDX-License-Identifier: Apache-2.0
"""Every return value of PKCS#11 at every function that the keeper calls: SoftHSM behind p11shim.so."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

import p11lib
from keeperlib import DECRYPT, DERIVE
from test_pkcs11_faults import VALUES, good
from test_pkcs11_faults import fixture_hsm, fixture_rig  # noqa: F401
from test_pkcs11_left import MORE, attempt
from test_pkcs11_use import POINT, spki, wrapped

RESTART, SESSION, FORGET = "CKR_DEVICE_REMOVED", "CKR_SESSION_HANDLE_INVALID", "CKR_KEY_HANDLE_INVALID"
AHEAD = {  # what has to fail before, so that the function is called at all
    **dict.fromkeys(("C_Initialize", "C_Finalize", "C_GetInfo", "C_GetSlotList", "C_GetSlotInfo",
                     "C_GetTokenInfo", "C_GetMechanismList"), RESTART),
    **dict.fromkeys(("C_OpenSession", "C_CloseSession", "C_GetSessionInfo"), SESSION),
    **dict.fromkeys(("C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal",
                     "C_GetAttributeValue"), FORGET)}
OTHERS = ("C_DecryptInit", "C_Decrypt", "C_DeriveKey", "C_DestroyObject", "C_CreateObject",
          "C_GetMechanismInfo")
ELSEWHERE = ("C_Login",  # test_pkcs11_logins.py
             "C_SignInit", "C_Sign",  # test_pkcs11_faults.py
             "C_GenerateKeyPair", "C_UnwrapKey",  # test_pkcs11_left.py
             "C_Logout", "C_GetFunctionList")  # nothing follows from its answer; not a value


def test_no_function_is_forgotten():
    with open(os.path.join(p11lib.keeperlib.ROOT, "tests", "system", "p11shim.c")) as f:
        shimmed = {line.strip()[4:-2] for line in f if line.startswith("\tPUT(")}
    assert shimmed <= set(AHEAD) | set(OTHERS) | set(ELSEWHERE)
    assert len(shimmed) > 20


class Uses:
    """One of each thing that a keeper is asked for, with keys that are there."""

    def __init__(self, keeper):
        self.keeper = keeper
        self.ec, self.rsa, self.dh = (keeper.create("ec-p256"), keeper.create("rsa-2048", DECRYPT),
                                      keeper.create("ec-p256", DERIVE))
        self.sealed = load_der_public_key(self.rsa.spki).encrypt(b"m", padding.PKCS1v15())
        own = ec.generate_private_key(ec.SECP256R1())
        self.point = own.public_key().public_bytes(*POINT)
        self.secret = own.exchange(ec.ECDH(), load_der_public_key(self.dh.spki))

    def sign(self):
        good(self.keeper, self.ec)

    def decrypt(self):
        assert self.keeper.decrypt(self.rsa, "rsa-pkcs1", self.sealed) == b"m"

    def derive(self):
        assert self.keeper.derive(self.dh, self.point) == self.secret

    def all(self):
        self.sign()
        self.decrypt()
        self.derive()


@pytest.mark.parametrize("function", sorted(AHEAD) + sorted(OTHERS))
def test_once(rig, function):
    """Whatever one call says, the next request is served."""
    keeper, hsm = rig
    uses = Uses(keeper)
    soft = ec.generate_private_key(ec.SECP256R1())
    blob = wrapped(keeper, soft)
    what = {"C_DecryptInit": uses.decrypt, "C_Decrypt": uses.decrypt, "C_DeriveKey": uses.derive,
            "C_DestroyObject": uses.derive,
            "C_GetMechanismInfo": lambda: keeper.destroy(keeper.create("ec-p256")),
            "C_CreateObject": lambda: keeper.destroy(keeper.import_key("kwp", blob, spki=spki(soft))),
            }.get(function, uses.sign)
    for name, number in {**VALUES, **MORE}.items():
        ahead = [("C_Sign", "rv", VALUES[AHEAD[function]], 1)] if function in AHEAD else []
        hsm.fault((function, "rv", number, 1), *ahead)
        before = hsm.calls(function)
        attempt(what, name)
        assert hsm.calls(function) > before, "it was not called"
        hsm.fault()
        what()
    uses.all()
    keeper.ping()
