# SPDX-License-Identifier: Apache-2.0
"""What a failed creation or import leaves in the token: SoftHSM behind p11shim.so."""

import glob
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from keeperlib import SIGN, Failed, pb
from test_pkcs11_faults import HUGE, TABLE, VALUES, good
from test_pkcs11_faults import fixture_hsm, fixture_rig  # noqa: F401
from test_pkcs11_use import spki, wrapped

MORE = {"unknown": 0x999, "vendor's": 0x80001234, "all ones": HUGE}


def stored(hsm):
    """The objects in the token: SoftHSM has a file for each."""
    return {os.path.basename(p) for p in glob.glob(hsm.dir + "/tokens/*/*.object")}


def attempt(what, name):
    """True: it worked."""
    try:
        what()
    except Failed as failed:
        assert failed.message, name
        return False
    return True


@pytest.mark.parametrize("how", ["rv", "after"])
@pytest.mark.parametrize("function", ["C_GenerateKeyPair", "C_UnwrapKey", "C_GetAttributeValue"])
def test_nothing_is_left_of_a_key_that_was_not_made(rig, function, how):
    """`after`: the token made it, and the answer was lost. It is made again, and once only."""
    keeper, hsm = rig
    soft = ec.generate_private_key(ec.SECP256R1())
    blob = wrapped(keeper, soft)
    make = {"C_UnwrapKey": lambda: keeper.import_key("kwp", blob, spki=spki(soft), name="came")}.get(
        function, lambda: keeper.create("ec-p256"))
    before, classes = stored(hsm), set()
    for name, number in {**VALUES, **MORE}.items():
        kind = TABLE.get(name)
        for times in (1,) if kind in classes else (1, 0):  # for ever: one of each class
            classes.add(kind)
            hsm.fault((function, how, number, times))
            made = []
            if attempt(lambda: made.append(make()), name):
                assert times == 1, "it never said that it worked"
                assert len(stored(hsm) - before) == 2, name
                good(keeper, made[0])
                hsm.fault()
                keeper.destroy(made[0])
            elif times == 1:
                assert TABLE.get(name, (0, "PIN"))[1] not in ("RETRY", "RESTART", "SESSION"), name
            hsm.fault()
            assert stored(hsm) == before, "%s, %d: something is left" % (name, times)
    keeper.destroy(make())


def test_what_cannot_be_cleared_up_is_told(rig):
    keeper, hsm = rig
    before = stored(hsm)
    hsm.fault(("C_GenerateKeyPair", "after", VALUES["CKR_FUNCTION_CANCELED"], 0),
              ("C_DestroyObject", "rv", VALUES["CKR_TOKEN_WRITE_PROTECTED"], 0))
    with pytest.raises(Failed, match="may be left in the token under the label"):
        keeper.create("ec-p256")
    assert len(stored(hsm) - before) == 2


@pytest.mark.parametrize("function", ["C_GenerateKeyPair", "C_UnwrapKey"])
def test_what_nobody_is_told_of_goes(rig, function):
    """The broker stops, or dies, before it has heard of the key that the token has made for it."""
    keeper, hsm = rig
    soft = ec.generate_private_key(ec.SECP256R1())
    before, r = stored(hsm), pb.KeeperRequest()
    if function == "C_UnwrapKey":
        r.data = wrapped(keeper, soft)
        before = stored(hsm)  # the wrapping key is there to stay
        r.import_key.format, r.import_key.usage, r.import_key.spki = "kwp", SIGN, spki(soft)
        r.import_key.object_id = os.urandom(16)
    else:
        r.create.algorithm, r.create.usage, r.create.object_id = "rsa-2048", SIGN, os.urandom(16)
    keeper.send(r)
    assert not keeper.close()
    assert hsm.calls(function) and hsm.calls("C_DestroyObject") >= 2
    assert stored(hsm) == before
