# SPDX-License-Identifier: Apache-2.0
"""Modules that lie, fail, hang and crash: SoftHSM behind p11shim.so."""

import os
import re
import signal
import statistics
import time

import pytest

import keeperlib
import p11lib
from brokerlib import Broker
from keeperlib import DECRYPT, DERIVE, ROOT, Failed, Swtpm, check, pb, until
from test_pkcs11 import digest

DIGEST = digest("ecdsa-sha256")
HUGE = (1 << 64) - 1


def table():
    """What pkcs11_error.c says, so that every row of it is tried: name -> (Status, class)."""
    with open(os.path.join(ROOT, "src", "keeper", "pkcs11_error.c")) as f:
        rows = re.findall(r"\{ (CKR_\w+), HF_(\w+), HF_P11_(\w+)", f.read())
    return {name: (status, kind) for name, status, kind in rows}


def values():
    """CKR_ name -> number, from the header that the keeper was built with."""
    with open("/usr/include/p11-kit-1/p11-kit/pkcs11.h") as f:
        rows = re.findall(r"#define\s+(CKR_\w+)\s+\((0x[0-9a-fA-F]+|\d+)UL\)", f.read())
    return {"CKR_OPERATION_CANCEL_FAILED": 0x202} | {  # not in the older headers
        name: int(number, 0) for name, number in rows if int(number, 0)}


TABLE, VALUES = table(), values()
RECOVERED = {"RETRY", "ROOM", "FORGET", "SESSION", "RESTART"}


@pytest.fixture(name="hsm")
def fixture_hsm():
    t = p11lib.ShimmedHsm()
    yield t
    t.close()


@pytest.fixture(name="rig")
def fixture_rig(hsm):
    k = p11lib.P11Keeper(hsm)
    k.open()
    yield k, hsm
    if k.sock.fileno() >= 0:
        k.close()


def good(keeper, key):
    check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)


def test_the_table_is_whole():
    assert set(TABLE) == set(VALUES), "a return value has no meaning, or a meaning no value"
    assert len(VALUES) > 90


@pytest.mark.parametrize("function", ["C_SignInit", "C_Sign"])
def test_every_return_value_once(rig, function):
    """What can be got over is; what cannot is said; either way the next request is served."""
    keeper, hsm = rig
    key = keeper.create("ec-p256")
    good(keeper, key)
    for name, number in VALUES.items():
        status, kind = TABLE[name]
        hsm.fault((function, "rv", number, 1))
        if kind in RECOVERED:
            good(keeper, key)
        else:
            with pytest.raises(Failed) as failed:
                keeper.sign(key, "ecdsa-sha256", DIGEST)
            assert failed.value.status == status, name
            assert "0x%x" % number in failed.value.message
        good(keeper, key)


@pytest.mark.parametrize("function,tried", [
    ("C_SignInit", 2), ("C_FindObjectsInit", 2), ("C_GetSlotList", 1), ("C_OpenSession", 1)])
def test_return_values_that_stay(rig, function, tried):
    """Repeated a bounded number of times, told, and forgotten when the token is well again."""
    keeper, hsm = rig
    key = keeper.create("ec-p256")
    for name in ("CKR_DEVICE_ERROR", "CKR_DEVICE_REMOVED", "CKR_TOKEN_NOT_PRESENT",
                 "CKR_GENERAL_ERROR", "CKR_SESSION_HANDLE_INVALID", "CKR_DEVICE_MEMORY",
                 "CKR_HOST_MEMORY"):
        hsm.fault(("C_Sign", "rv", VALUES["CKR_DEVICE_REMOVED"], 0), (function, "rv", VALUES[name], 0))
        before = hsm.calls(function)
        with pytest.raises(Failed):
            keeper.sign(key, "ecdsa-sha256", DIGEST)
        assert hsm.calls(function) - before <= 2 * tried + 1, name
        hsm.fault()
        good(keeper, key)


def test_vendors_return_values(rig):
    keeper, hsm = rig
    key = keeper.create("ec-p256")
    for number in (0x80000000, 0x80001234, 0xC0000001, HUGE):
        hsm.fault(("C_Sign", "rv", number, 0))
        with pytest.raises(Failed, match="something of its own|malformed"):
            keeper.sign(key, "ecdsa-sha256", DIGEST)
        hsm.fault()
        good(keeper, key)


def test_token_is_removed_and_comes_back(rig):
    keeper, hsm = rig
    key = keeper.create("ec-p256")
    gone = VALUES["CKR_TOKEN_NOT_PRESENT"]
    hsm.fault(("C_Sign", "rv", VALUES["CKR_DEVICE_REMOVED"], 0), ("C_GetTokenInfo", "rv", gone, 0))
    for _ in range(2):
        with pytest.raises(Failed) as failed:
            keeper.sign(key, "ecdsa-sha256", DIGEST)
        assert failed.value.status == "UNAVAILABLE"
    with pytest.raises(Failed, match="fits the URI"):
        keeper.ping()
    hsm.fault()
    keeper.ping()
    good(keeper, key)


LIES = [("C_Sign", "len", n) for n in (0, 1, 63, 65, 1 << 20, 1 << 63, HUGE)] + \
    [("C_Sign", "flip", 0), ("C_Sign", "flip", 63)]


@pytest.mark.parametrize("function,action,number", LIES)
def test_signatures_that_are_none(rig, function, action, number):
    keeper, hsm = rig
    key = keeper.create("ec-p256")
    good(keeper, key)
    hsm.fault((function, action, number, 0))
    with pytest.raises(Failed, match="malformed|does not verify"):
        keeper.sign(key, "ecdsa-sha256", DIGEST)
    hsm.fault()
    good(keeper, key)


def test_rsa_signatures_that_are_none(rig):
    keeper, hsm = rig
    key = keeper.create("rsa-2048")
    for action, number in (("len", 0), ("len", 1), ("len", 257), ("len", HUGE), ("flip", 255)):
        hsm.fault(("C_Sign", action, number, 0))
        with pytest.raises(Failed, match="malformed|does not verify"):
            keeper.sign(key, "rsa-pkcs1-sha256", DIGEST)
    hsm.fault()
    check(key, "rsa-pkcs1-sha256", DIGEST, keeper.sign(key, "rsa-pkcs1-sha256", DIGEST).signature)


@pytest.mark.parametrize("function", ["C_GetSlotList", "C_GetMechanismList", "C_FindObjects",
                                      "C_GetAttributeValue"])
def test_counts_and_lengths_that_cannot_be(hsm, function):
    """From the first contact on; at worst an error, and never a word more than asked for."""
    keeper = p11lib.P11Keeper(hsm)
    keeper.open()
    key = keeper.create("ec-p256")
    agree = keeper.create("ec-p256", DERIVE)
    for number in (0, 1, 7, 300, 4096, 1 << 20, 1 << 32, 1 << 63, HUGE):
        hsm.fault((function, "len", number, 0))
        keeper.close()
        keeper = p11lib.P11Keeper(hsm)
        for what in (keeper.open, lambda: good(keeper, key), lambda: keeper.create("ec-p256"),
                     lambda: keeper.derive(agree, bytes(65)), keeper.wrap,
                     lambda: keeper.import_key("uri", b"pkcs11:object=holdfast")):
            try:
                what()
            except Failed:
                pass
        hsm.fault()
        keeper.ping()
        good(keeper, key)
    keeper.close()


def test_decryptions_that_are_none(rig):
    keeper, hsm = rig
    key = keeper.create("rsa-2048", DECRYPT)
    for number in (257, 1 << 20, 1 << 63, HUGE):
        hsm.fault(("C_Decrypt", "len", number, 0))
        with pytest.raises(Failed, match="malformed"):
            keeper.decrypt(key, "rsa-pkcs1", bytes(255) + b"\1")


@pytest.mark.parametrize("function", ["C_Sign", "C_GetAttributeValue"])
def test_writing_past_the_buffer_is_noticed(rig, function):
    keeper, hsm = rig
    hsm.fault((function, "over", 16, 0))
    with pytest.raises((AssertionError, ConnectionError)):
        keeper.create("ec-p256")
    keeper.process.wait(20)
    assert keeper.process.returncode == -signal.SIGABRT
    keeper.sock.close()
    keeper.process.stderr.close()


def test_function_lists_with_holes(hsm):
    keeper = p11lib.P11Keeper(hsm)
    for number in (8, 8 + 43 * 8, 8 + 18 * 8):  # C_Initialize, C_Sign, C_Login
        hsm.fault(("C_GetFunctionList", "len", number, 0))
        with pytest.raises(Failed):
            keeper.open()
    hsm.fault()
    keeper.open()
    keeper.close()


# ---------------------------------------------------------------- PINs

COUNT_LOW, FINAL_TRY, LOCKED, KEYPAD = 1 << 16, 1 << 17, 1 << 18, 1 << 8


@pytest.mark.parametrize("flags,words", [
    (FINAL_TRY, "one more wrong PIN"), (COUNT_LOW | FINAL_TRY, "one more wrong PIN"),
    (LOCKED, "locked"), (KEYPAD, "keypad")])
def test_no_try_where_it_may_be_the_last(hsm, flags, words):
    hsm.fault(("C_GetTokenInfo", "flags", flags, 0))
    keeper = p11lib.P11Keeper(hsm)
    for what in (keeper.open, keeper.ping, keeper.provision):
        with pytest.raises(Failed, match=words):
            what()
    assert hsm.calls("C_Login") == 0
    hsm.fault()
    keeper.ping()
    assert hsm.calls("C_Login") == 1
    keeper.close()


def test_every_way_to_refuse_a_pin(hsm):
    for name in [n for n, (_, kind) in TABLE.items() if kind == "PIN"]:
        hsm.fault(("C_Login", "rv", VALUES[name], 0))
        before = hsm.calls("C_Login")
        for _ in range(3):
            keeper = p11lib.P11Keeper(hsm)
            for what in (keeper.open, keeper.ping):
                with pytest.raises(Failed) as failed:
                    what()
                assert failed.value.status == "LOCKOUT"
            keeper.close()
        assert hsm.calls("C_Login") - before == 1, name
        hsm.fault()
        keeper = p11lib.P11Keeper(hsm)
        with pytest.raises(Failed, match="before"):
            keeper.open()
        keeper.provision()
        keeper.close()


def test_interrupted_logins(hsm):
    """The power goes while the token thinks. It counted nothing: again, but not for ever."""
    hsm.fault(("C_Login", "abort", 0, 0))
    for i in range(5):
        keeper = p11lib.P11Keeper(hsm)
        with pytest.raises((AssertionError, ConnectionError) if i < 3 else Failed,
                           match=None if i < 3 else "3 attempts to log in were interrupted"):
            keeper.open()
        keeper.sock.close()
        keeper.errors()
        keeper.process.stderr.close()
    assert hsm.calls("C_Login") == 3
    hsm.fault()
    keeper = p11lib.P11Keeper(hsm)
    keeper.provision_after_open()
    keeper.close()


def test_interrupted_login_that_was_counted(hsm):
    hsm.fault(("C_Login", "abort", 0, 0))
    keeper = p11lib.P11Keeper(hsm)
    with pytest.raises((AssertionError, ConnectionError)):
        keeper.open()
    keeper.sock.close()
    keeper.errors()
    keeper.process.stderr.close()
    hsm.fault(("C_GetTokenInfo", "flags", COUNT_LOW, 0))
    keeper = p11lib.P11Keeper(hsm)
    with pytest.raises(Failed, match="has counted a wrong PIN since"):
        keeper.open()
    assert hsm.calls("C_Login") == 1
    keeper.provision()
    keeper.close()


@pytest.mark.parametrize("given", ["nothing", "pin", "record"])
def test_files_of_the_module_are_no_pin_and_no_record(hsm, given, tmp_path):
    """What is not handed over keeps its number, or a module's file would get it."""
    decoy = tmp_path / "decoy"
    decoy.write_text(p11lib.PIN + "\n")
    pin = os.open(hsm.pin_file, os.O_RDONLY)
    record = os.open(str(tmp_path / "record"), os.O_RDWR | os.O_CREAT)
    keeper = keeperlib.Keeper(env=dict(hsm.env, P11SHIM_DECOY=str(decoy)),
                              more={"nothing": {}, "pin": {4: pin}, "record": {5: record}}[given])
    r = pb.KeeperRequest()
    r.open.type, r.open.module, r.open.uri = "pkcs11", hsm.module, hsm.uri + "?pin-value=4711"
    with pytest.raises(Failed, match="wants a PIN, and there is none" if given != "pin"
                       else "no record of logins") as failed:
        keeper.call(r)
    assert "4711" not in failed.value.message
    assert hsm.calls("C_Login") == 0 and decoy.read_text() == p11lib.PIN + "\n"
    keeper.close()
    os.close(pin)
    os.close(record)


# ---------------------------------------------------------------- the whole daemon

def token(hsm, name="hsm", workers=1, timeout_ms=1500):
    return {"name": name, "type": "pkcs11", "module": hsm.module, "uri": hsm.uri,
            "pin": hsm.pin_file or "", "workers": workers, "timeout_ms": timeout_ms,
            "environment": ["%s=%s" % item for item in hsm.env.items()], "keys": []}


@pytest.fixture(name="both")
def fixture_both(hsm):
    """A broker with a TPM and this token, two workers, and a key in each."""
    tpm = Swtpm()
    broker = Broker(tcti=tpm.tcti)
    broker.settings["tokens"].append(token(hsm, workers=2))
    broker.configure()
    with broker:
        client = broker.client()
        assert client.create("soft").status == pb.OK
        assert client.create("hard", token="hsm").status == pb.OK
        yield broker, client, hsm
        client.close()
    tpm.close()


def info(client, name="hsm"):
    return [t for t in client.call(token_list=pb.TokenList()).token_list.tokens if t.name == name][0]


def waits_while(client, seconds):
    """How long signatures of other tokens took: the TPM's, and a second SoftHSM's. The median, and the longest."""
    waits, end = [], time.monotonic() + seconds
    while (begin := time.monotonic()) < end:
        for key in ("soft", "calm"):
            assert client.sign(key, DIGEST).status == pb.OK
        waits.append(time.monotonic() - begin)
    return statistics.median(waits), max(waits)


@pytest.mark.parametrize("function,action", [("C_Sign", "hang"), ("C_Sign", "abort"), ("C_Decrypt", "hang"),
                                             ("C_GenerateKeyPair", "hang")])
def test_other_tokens_never_notice(both, function, action):
    broker, client, hsm = both
    calm = p11lib.SoftHsm()
    broker.settings["tokens"].append(token(calm, "calm"))
    broker.stop()
    broker.configure()
    broker.start()
    client = broker.client()
    assert client.create("calm", token="calm").status == pb.OK
    assert client.create("opens", "rsa-2048", DECRYPT, token="hsm").status == pb.OK
    until(lambda: info(client).workers == 2)
    calm_median, _ = waits_while(client, 0.5)
    ask = {"C_Sign": lambda n: {"sign": pb.Sign(key=pb.KeyRef(name="hard"), scheme="ecdsa-sha256",
                                                data=DIGEST)},
           "C_Decrypt": lambda n: {"decrypt": pb.Decrypt(key=pb.KeyRef(name="opens"), scheme="rsa-pkcs1",
                                                         data=bytes(255) + b"\1")},
           "C_GenerateKeyPair": lambda n: {"key_create": pb.KeyCreate(
               name="new%d" % n, algorithm="ec-p256", usage=1, token="hsm")}}[function]
    hsm.fault((function, action, 0, 0))
    slow = [broker.client() for _ in range(2)]
    for n, c in enumerate(slow):
        c.send(**ask(n))
    median, worst = waits_while(client, 2 if action == "hang" else 0.5)
    # Others use the machine: one may wait for the processor, but none for half of what a hung call has (1.5 s).
    assert worst < 0.75, "others waited %.3f s for this token" % worst
    assert median < 3 * calm_median + 0.02, "others took %.3f s, %.3f before" % (median, calm_median)
    hsm.fault()
    for c in slow:
        if function != "C_GenerateKeyPair":  # which may take three minutes
            reply = c.reply()
            assert reply.status in (pb.TIMEOUT, pb.UNAVAILABLE), reply
            assert "token hsm" in reply.message
        c.close()
    if function != "C_GenerateKeyPair":
        until(lambda: info(client).workers == 2)
        assert info(client).restarts >= 2
    assert info(client, "tpm").restarts == info(client, "calm").restarts == 0
    for _ in range(8 if function != "C_GenerateKeyPair" else 0):
        assert client.sign("hard", DIGEST).status == pb.OK
    client.close()
    calm.close()


def test_one_worker_hangs_and_the_other_serves(both):
    broker, client, hsm = both
    until(lambda: info(client).workers == 2)
    hsm.fault(("C_Sign", "hang", 0, 1))
    hung = broker.client()
    hung.send(sign=pb.Sign(key=pb.KeyRef(name="hard"), scheme="ecdsa-sha256", data=DIGEST))
    until(hsm.used_up)
    for _ in range(20):
        assert client.sign("hard", DIGEST).status == pb.OK
    assert hung.reply().status == pb.TIMEOUT
    hung.close()


@pytest.mark.parametrize("where", ["C_GetFunctionList", "C_Initialize", "C_GetSlotList", "C_Login"])
def test_module_hangs_at_the_start(hsm, where):
    hsm.fault((where, "hang", 0, 1))
    broker = Broker(tokens=("none",))
    broker.settings["tokens"] = [token(hsm, timeout_ms=500)]
    broker.settings["default_token"] = "hsm"
    broker.configure()
    with broker:
        client = broker.client()
        until(lambda: info(client).state == pb.TokenInfo.READY)
        assert info(client).restarts == 1
        assert client.create("k").status == pb.OK
        client.close()


def test_wrong_pin_is_put_right(both):
    """As an administrator would: the message tells him what to do, and it helps."""
    broker, client, hsm = both
    hsm.write_pin("not-this")
    assert client.sign("hard", DIGEST).status == pb.OK, "who is logged in stays it"
    broker.stop()
    before = hsm.calls("C_Login")
    broker.start()
    client = broker.client()
    until(lambda: info(client).state == pb.TokenInfo.LOCKOUT)
    reply = client.sign("hard", DIGEST)
    assert reply.status == pb.LOCKOUT and "holdfast token provision" in reply.message
    for _ in range(3):
        broker.stop()
        broker.start()
        client = broker.client()
        until(lambda: info(client).state == pb.TokenInfo.LOCKOUT)
    assert hsm.calls("C_Login") - before == 1
    assert client.sign("soft", DIGEST).status == pb.OK
    hsm.write_pin(p11lib.PIN)
    reply = client.call(token_provision=pb.TokenProvision(token="hsm"))
    assert reply.status == pb.OK and reply.token.state == pb.TokenInfo.READY, reply
    assert client.sign("hard", DIGEST).status == pb.OK
    until(lambda: info(client).workers == 2)


def test_reload_takes_a_new_pin(both):
    broker, client, hsm = both
    hsm.write_pin("not-this")
    broker.stop()
    broker.start()
    client = broker.client()
    until(lambda: info(client).state == pb.TokenInfo.LOCKOUT)
    hsm.write_pin(p11lib.PIN)
    broker.process.send_signal(signal.SIGHUP)
    until(lambda: info(client).state == pb.TokenInfo.READY)
    assert client.sign("hard", DIGEST).status == pb.OK


@pytest.mark.parametrize("mode,words", [(0o644, "chmod 0600"), (0o660, "chmod 0600"), (None, "No such file")])
def test_pin_file_of_others(hsm, mode, words):
    if mode is None:
        os.unlink(hsm.pin_file)
    else:
        os.chmod(hsm.pin_file, mode)
    broker = Broker(tokens=("none",))
    broker.settings["tokens"] = [token(hsm)]
    broker.settings["default_token"] = "hsm"
    broker.configure()
    with broker:
        client = broker.client()
        until(lambda: words in broker.text())
        assert client.create("k").status == pb.UNAVAILABLE
        assert "PIN" in info(client).error
        client.close()
    assert hsm.calls("C_Login") == 0
    assert p11lib.PIN not in broker_text(broker)


def broker_text(broker):
    return "" if not os.path.exists(broker.log) else broker.text()


def test_pin_from_a_credential(hsm):
    credentials = os.path.join(hsm.dir, "credentials")
    os.mkdir(credentials)
    os.rename(hsm.pin_file, os.path.join(credentials, "hsm-pin"))
    hsm.pin_file = "credential:hsm-pin"
    broker = Broker(tokens=("none",))
    broker.settings["tokens"] = [token(hsm)]
    broker.settings["default_token"] = "hsm"
    broker.configure()
    with broker:
        client = broker.client()
        assert client.create("k").status == pb.UNAVAILABLE
        assert "LoadCredential=hsm-pin" in broker.text()
        broker.stop()
        broker.env["CREDENTIALS_DIRECTORY"] = credentials
        broker.start()
        client = broker.client()
        assert client.create("k").status == pb.OK
        for pid in broker.children().values():
            for file in ("cmdline", "environ"):
                with open("/proc/%d/%s" % (pid, file), "rb") as f:
                    assert p11lib.PIN.encode() not in f.read()
        client.close()
