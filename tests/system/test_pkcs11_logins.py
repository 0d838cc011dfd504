# SPDX-License-Identifier: Apache-2.0
"""How often a token is told a PIN that it does not take: SoftHSM behind p11shim.so, which counts."""

import fcntl
import os
import threading

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

import p11lib
from keeperlib import DECRYPT, SIGN, Failed, check, until
from test_pkcs11_faults import COUNT_LOW, FINAL_TRY, LOCKED, TABLE, VALUES, good
from test_pkcs11_faults import fixture_hsm, fixture_rig  # noqa: F401
from test_pkcs11_use import block, make_pair, raw

VENDORS = {"vendor's 0x%x" % n: n for n in (0x80000000, 0x80000001, 0xC0000001, (1 << 64) - 1, 0x999)}
MAX_UNFINISHED = 3


def tries(hsm, keepers=2):
    """How often a token is told the PIN by daemons that start again and again; the last status."""
    before, status = hsm.calls("C_Login"), None
    for _ in range(keepers):
        keeper = p11lib.P11Keeper(hsm)
        for what in (keeper.open, keeper.ping):
            once = hsm.calls("C_Login")
            with pytest.raises(Failed) as failed:
                what()
            assert hsm.calls("C_Login") - once <= 1, "one request told the PIN twice"
            status = failed.value.status
        keeper.close()
    return hsm.calls("C_Login") - before, status


def forgiven(hsm):
    """The record is as new, and SoftHSM counts from the start."""
    hsm.fault()
    hsm.write_pin(p11lib.PIN)
    os.truncate(os.path.join(hsm.dir, "logins"), 0)
    keeper = p11lib.P11Keeper(hsm)
    keeper.open()
    keeper.close()


@pytest.mark.parametrize("how", ["rv", "after"])
def test_every_answer_to_a_login(hsm, how):
    """`after`: the PIN is wrong, the token counts, and the module tells it in words of its own.
    `rv`: the token counts nothing, so that there is more than one try, but not for ever."""
    for name, number in {**VALUES, **VENDORS}.items():
        hsm.write_pin("not-this" if how == "after" else p11lib.PIN)
        hsm.fault(("C_Login", how, number, 0))
        sent, status = tries(hsm)
        refused = how == "after" or name in VENDORS or TABLE[name][1] == "PIN"
        assert sent == (1 if refused else MAX_UNFINISHED), name
        assert status == "LOCKOUT", name
        forgiven(hsm)


@pytest.mark.parametrize("flag", [COUNT_LOW, FINAL_TRY, LOCKED])
def test_flags_that_come_with_the_failure(hsm, flag):
    """Whatever the words were: the token has counted. A new PIN is tried then."""
    error = VALUES["CKR_DEVICE_ERROR"]
    # the first questions are those that look for the token and decide
    hsm.fault(("C_GetTokenInfo", "flags", 0, 3), ("C_GetTokenInfo", "flags", flag, 1),
              ("C_Login", "rv", error, 1))
    keeper = p11lib.P11Keeper(hsm)
    with pytest.raises(Failed, match="may have counted a wrong PIN.*token provision") as failed:
        keeper.open()
    assert failed.value.status == "LOCKOUT" and hsm.used_up()
    hsm.fault()
    with pytest.raises(Failed, match="refused this PIN before"):
        keeper.ping()
    assert hsm.calls("C_Login") == 1
    keeper.provision()
    keeper.close()


def test_a_trouble_that_passes(hsm):
    """The device was not ready, twice. Nobody has to be asked."""
    hsm.fault(("C_Login", "rv", VALUES["CKR_DEVICE_ERROR"], 2))
    keeper = p11lib.P11Keeper(hsm)
    for _ in range(2):
        with pytest.raises(Failed) as failed:
            keeper.open()
        assert failed.value.status == "UNAVAILABLE"
    keeper.ping()
    good(keeper, keeper.create("ec-p256"))
    with open(os.path.join(hsm.dir, "logins")) as f:
        assert f.read().startswith("holdfast-login 1 n 00")
    keeper.close()


@pytest.mark.parametrize("name", ["CKR_DEVICE_ERROR", "CKR_FUNCTION_FAILED", "CKR_HOST_MEMORY",
                                  "CKR_USER_ANOTHER_ALREADY_LOGGED_IN"])
def test_login_is_lost_and_fails_once(rig, name):
    """Without it the keys cannot be seen. That is no reason to say that they are gone."""
    keeper, hsm = rig
    key = keeper.create("ec-p256")
    good(keeper, key)
    hsm.fault(("C_SignInit", "lost", 0, 1))
    good(keeper, key)
    hsm.fault(("C_SignInit", "lost", 0, 1), ("C_Login", "rv", VALUES[name], 1))
    with pytest.raises(Failed, match="log in") as failed:
        good(keeper, key)
    assert failed.value.status == TABLE[name][0] and "0x%x" % VALUES[name] in failed.value.message
    assert hsm.used_up()
    good(keeper, key)
    keeper.ping()


def test_login_is_lost_and_the_pin_is_wrong(rig):
    keeper, hsm = rig
    key = keeper.create("ec-p256")
    hsm.fault(("C_SignInit", "lost", 0, 1), ("C_Login", "rv", VALUES["CKR_PIN_INCORRECT"], 1))
    with pytest.raises(Failed, match="PIN is wrong"):
        good(keeper, key)
    for what in (keeper.ping, lambda: good(keeper, key)):
        with pytest.raises(Failed) as failed:
            what()
        assert failed.value.status == "LOCKOUT"
    keeper.provision()
    good(keeper, key)


@pytest.mark.parametrize("function,what", [
    ("C_GetSessionInfo", lambda keeper, key: keeper.ping()),
    ("C_SignInit", good),
    ("C_FindObjectsInit", lambda keeper, key: keeper.import_key("uri", b"pkcs11:object=holdfast")),
    ("C_FindObjectsInit", lambda keeper, key: keeper.destroy(key))])
def test_a_public_session_is_noticed(rig, function, what):
    """Somebody logged out behind our back. No key is seen then, and none is gone."""
    keeper, hsm = rig
    key = keeper.create("ec-p256")
    before = hsm.calls("C_Login")
    hsm.fault((function, "logout", 0, 1))
    what(keeper, key)
    assert hsm.used_up() and hsm.calls("C_Login") == before + 1
    good(keeper, keeper.create("ec-p256"))


def waits_for_a_lock(pid):
    with open("/proc/locks") as f:
        return any("-> FLOCK" in line and " %d " % pid in line for line in f)


def test_forgiving_waits_for_who_logs_in(hsm):
    """Else what another keeper writes of its attempt is lost, and a PIN that was counted is tried."""
    hsm.write_pin("not-this")
    keeper = p11lib.P11Keeper(hsm)
    with pytest.raises(Failed):
        keeper.open()
    answers = []

    def provision():
        try:
            answers.append(keeper.provision())
        except Failed as failed:
            answers.append(failed.status)

    with open(keeper.logins, "r+b", buffering=0) as record:
        refused = record.read()
        fcntl.flock(record, fcntl.LOCK_EX)
        asks = threading.Thread(target=provision)
        asks.start()
        until(lambda: waits_for_a_lock(keeper.process.pid))
        record.seek(0)
        assert record.read() == refused
        fcntl.flock(record, fcntl.LOCK_UN)
    asks.join()
    assert answers == ["LOCKOUT"] and hsm.calls("C_Login") == 2
    keeper.close()


def test_pin_each_time_at_the_final_try(rig):
    """A key that wants the PIN for each use: it is not risked, and other keys go on."""
    keeper, hsm = rig
    make_pair(hsm, "rsa:2048", "strict", "0a", "--always-auth")
    strict = keeper.import_key("uri", b"pkcs11:object=strict", SIGN | DECRYPT)
    other = keeper.create("ec-p256")
    scheme, sealed = "rsa-pkcs1-sha256", raw(load_der_public_key(strict.spki), block(256, b"m"))

    def use():
        check(strict, scheme, bytes(32), keeper.sign(strict, scheme, bytes(32)).signature)
        assert keeper.decrypt(strict, "rsa-pkcs1", sealed) == b"m"

    before = hsm.calls("C_Login")
    use()
    assert hsm.calls("C_Login") == before + 2
    hsm.fault(("C_GetTokenInfo", "flags", FINAL_TRY, 0))
    for what in (lambda: keeper.sign(strict, scheme, bytes(32)),
                 lambda: keeper.decrypt(strict, "rsa-pkcs1", sealed)):
        with pytest.raises(Failed, match="one more wrong PIN") as failed:
            what()
        assert failed.value.status == "LOCKOUT"
        good(keeper, other)
    assert hsm.calls("C_Login") == before + 2
    hsm.fault(("C_Login", "rv", VALUES["CKR_DEVICE_ERROR"], 1))
    with pytest.raises(Failed, match="log in"):
        keeper.decrypt(strict, "rsa-pkcs1", sealed)
    use()


def test_a_refused_pin_is_another_one_for_another_uri(hsm):
    """The configuration may name another token by now, whose PIN it is."""
    hsm.write_pin("not-this")
    assert tries(hsm) == (1, "LOCKOUT")
    hsm.uri += ";manufacturer=SoftHSM%20project"
    assert tries(hsm) == (1, "LOCKOUT")
    assert tries(hsm) == (0, "LOCKOUT")


def test_a_key_that_nobody_has_costs_no_login(rig):
    """Whoever may ask can name anything. While the token wants no more tries, the login that it has is kept."""
    keeper, hsm = rig
    key = keeper.create("ec-p256")
    hsm.fault(("C_GetTokenInfo", "flags", FINAL_TRY, 0))
    before = hsm.calls("C_Login"), hsm.calls("C_Initialize")
    for _ in range(2):
        with pytest.raises(Failed):
            keeper.import_key("uri", b"pkcs11:object=none", SIGN)
        good(keeper, key)
    gone = keeper.create("ec-p256")
    keeper.destroy(gone)
    with pytest.raises(Failed):
        keeper.sign(gone, "ecdsa-sha256", bytes(32))
    good(keeper, key)
    assert (hsm.calls("C_Login"), hsm.calls("C_Initialize")) == before
