# SPDX-License-Identifier: Apache-2.0
"""holdfast-keeper when things go wrong: killed, reset, exchanged, lied to."""

import hashlib
import os
import random
import signal
import socket
import struct
import subprocess
import time

import pytest

from keeperlib import (Failed, Keeper, Swtpm, check,
                       fixture_keeper, fixture_proxy, fixture_rig, fixture_tpm)  # noqa: F401

DIGEST = hashlib.sha256(b"holdfast").digest()


def test_killed_and_replaced(tpm):
    keys = []
    for _ in range(4):
        k = Keeper()
        k.open(tpm)
        keys.append(k.create("ec-p256"))
        for key in keys:
            check(key, "ecdsa-sha256", DIGEST, k.sign(key, "ecdsa-sha256", DIGEST).signature)
        k.send(k.sign_request(keys[0], "ecdsa-sha256", DIGEST))
        os.kill(k.process.pid, signal.SIGKILL)
        k.close()
    assert 0 < len(tpm.objects()) <= 3  # what the last one left
    k = Keeper()
    k.open(tpm)
    check(keys[0], "ecdsa-sha256", DIGEST, k.sign(keys[0], "ecdsa-sha256", DIGEST).signature)
    k.close()
    assert tpm.objects() == [] and tpm.sessions() == []


def test_sigterm(tpm):
    k = Keeper()
    k.open(tpm)
    k.sign(k.create("ec-p256"), "ecdsa-sha256", DIGEST)
    k.process.send_signal(signal.SIGTERM)
    assert k.process.wait(10) == 0
    k.close()
    assert tpm.objects() == [] and tpm.sessions() == []


def test_tpm_goes_and_comes(tpm, keeper):
    name = keeper.open(tpm).primary_name
    key = keeper.create("ec-p256")
    keeper.sign(key, "ecdsa-sha256", DIGEST)
    for _ in range(3):
        tpm.kill()
        for _ in range(2):
            start = time.monotonic()
            with pytest.raises(Failed) as e:
                keeper.sign(key, "ecdsa-sha256", DIGEST)
            assert time.monotonic() - start < 2
            assert e.value.status == "UNAVAILABLE" and tpm.tcti in e.value.message
        tpm.start()
        check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)
        assert keeper.ping().primary_name == name
    keeper.close()
    assert tpm.lockout_counter() == 0, "a power cut must not count as an attack"


def test_tpm_not_there_at_start(tpm, keeper):
    tpm.kill()
    with pytest.raises(Failed) as e:
        keeper.open(tpm)
    assert e.value.status == "UNAVAILABLE" and tpm.path in e.value.message
    with pytest.raises(Failed) as e:
        keeper.ping()
    assert e.value.status == "UNAVAILABLE"
    with pytest.raises(Failed) as e:
        keeper.create("ec-p256")
    assert e.value.status == "UNAVAILABLE"
    tpm.start()
    keeper.ping()
    keeper.sign(keeper.create("ec-p256"), "ecdsa-sha256", DIGEST)


def test_tpm_held_by_another(tpm, keeper):
    """swtpm takes one connection at a time: nothing answers, and we say so soon."""
    other = Keeper()
    other.open(tpm)
    start = time.monotonic()
    with pytest.raises(Failed) as e:
        keeper.open(tpm)
    assert time.monotonic() - start < 2
    assert e.value.status == "TIMEOUT" and "another program" in e.value.message
    other.close()
    keeper.ping()


def test_tpm_hangs(tpm, keeper):
    keeper.open(tpm)
    key = keeper.create("ec-p256")
    tpm.process.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(Failed) as e:
        keeper.ping()
    assert e.value.status == "TIMEOUT" and "does not answer" in e.value.message
    assert time.monotonic() - start < 2
    tpm.process.send_signal(signal.SIGCONT)
    check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)


def test_reset_behind_our_back(rig, tpm):
    """A TPM reset with the connection kept: nobody has started it, handles and contexts are
    void. The keeper starts it (it is the only owner) and nobody notices."""
    keeper, proxy = rig
    keys = [keeper.create("ec-p256") for _ in range(6)]
    for key in keys:
        keeper.sign(key, "ecdsa-sha256", DIGEST)
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(tpm.path + ".ctrl")
            s.sendall(struct.pack(">II", 2, 0))  # CMD_INIT
            assert s.recv(4) == b"\0\0\0\0"
        proxy.commands.clear()
        for key in keys:
            check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)
        assert "Startup" in proxy.names()
        keeper.create("ec-p256")


def test_wrong_tpm(tpm, keeper):
    name = keeper.open(tpm).primary_name
    key = keeper.create("ec-p256")
    keeper.close()
    other = Swtpm()
    try:
        k = Keeper()
        with pytest.raises(Failed) as e:
            k.open(other, name=name)
        assert e.value.status == "GONE" and "another TPM" in e.value.message
        for call in (lambda: k.sign(key, "ecdsa-sha256", DIGEST), lambda: k.create("ec-p256"), k.ping):
            with pytest.raises(Failed) as e:
                call()
            assert e.value.status == "GONE"
        # Unpinned it is a fine TPM, but not the one that made the key.
        assert k.open(other).primary_name != name
        with pytest.raises(Failed) as e:
            k.sign(key, "ecdsa-sha256", DIGEST)
        assert e.value.status == "GONE"
        k.close()
    finally:
        other.close()


def test_tpm_exchanged_while_running(tpm, keeper):
    keeper.open(tpm)
    key = keeper.create("ec-p256")
    tpm.kill()
    os.rename(os.path.join(tpm.dir, "state"), os.path.join(tpm.dir, "old"))
    tpm.start()
    for _ in range(2):
        with pytest.raises(Failed) as e:
            keeper.sign(key, "ecdsa-sha256", DIGEST)
        assert e.value.status == "GONE"
    tpm.kill()
    subprocess.run(["rm", "-rf", os.path.join(tpm.dir, "state")], check=True)
    os.rename(os.path.join(tpm.dir, "old"), os.path.join(tpm.dir, "state"))
    tpm.start()
    keeper.ping()
    check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)


def test_provision(tpm, keeper):
    name = keeper.open(tpm).primary_name
    key = keeper.create("ec-p256")
    told = keeper.provision()
    assert told.provisioned and told.primary_name == name
    assert keeper.provision().provisioned  # twice is fine
    keeper.close()
    assert tpm.handles(0x81000000) == [0x81000001]
    # From now on the owner's password is not needed.
    tool(tpm, "tpm2_changeauth", "-c", "owner", "secret")
    for pin in (name, b""):
        k = Keeper()
        told = k.open(tpm, name=pin)
        assert told.provisioned and told.primary_name == name
        check(key, "ecdsa-sha256", DIGEST, k.sign(key, "ecdsa-sha256", DIGEST).signature)
        k.create("rsa-2048")
        k.close()
    assert tpm.objects() == []


def test_owner_password_before_provisioning(tpm, keeper):
    tool(tpm, "tpm2_changeauth", "-c", "owner", "secret")
    with pytest.raises(Failed) as e:
        keeper.open(tpm)
    assert "owner password" in e.value.message and "tpm2_changeauth" in e.value.message
    assert tpm_lockout(tpm, keeper) == 0


def tpm_lockout(tpm, keeper):
    keeper.close()
    return tpm.lockout_counter()


def test_handle_taken(tpm, keeper):
    context = os.path.join(tpm.dir, "other.ctx")
    tool(tpm, "tpm2_createprimary", "-Q", "-C", "o", "-G", "rsa", "-c", context)
    tool(tpm, "tpm2_evictcontrol", "-Q", "-C", "o", "-c", context, "0x81000001")
    told = keeper.open(tpm)
    assert not told.provisioned
    keeper.sign(keeper.create("ec-p256"), "ecdsa-sha256", DIGEST)
    with pytest.raises(Failed) as e:
        keeper.provision()
    assert e.value.status == "EXISTS" and "0x81000001" in e.value.message


def tool(tpm, *words):
    env = dict(os.environ, TPM2TOOLS_TCTI=tpm.tcti)
    subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL)
    for handle in tpm.objects():  # tools leave theirs
        tpm.command(struct.pack(">HIII", 0x8001, 14, 0x165, handle))


def test_lockout_is_told_not_repeated(rig):
    keeper, proxy = rig
    key = keeper.create("ec-p256")
    keeper.sign(key, "ecdsa-sha256", DIGEST)
    proxy.change = lambda name, _, r: struct.pack(">HII", 0x8001, 10, 0x921) if name == "Sign" else r
    proxy.commands.clear()
    with pytest.raises(Failed) as e:
        keeper.sign(key, "ecdsa-sha256", DIGEST)
    assert e.value.status == "LOCKOUT" and "1000 s" in e.value.message
    assert proxy.names().count("Sign") == 1
    proxy.change = None
    keeper.sign(key, "ecdsa-sha256", DIGEST)


@pytest.mark.parametrize("code", [0x922, 0x908, 0x90A, 0x902, 0x910, 0x918, 0x18B])
def test_passing_errors_are_not_seen(rig, code):
    keeper, proxy = rig
    key = keeper.create("ec-p256")
    keeper.sign(key, "ecdsa-sha256", DIGEST)
    for command in ("Sign", "Create", "Load"):
        once = []

        def fail(name, _, response):
            if name == command and not once:
                once.append(name)
                return struct.pack(">HII", 0x8001, 10, code)
            return response

        proxy.change = fail
        made = keeper.create("ec-p256")
        for k in (key, made):
            check(k, "ecdsa-sha256", DIGEST, keeper.sign(k, "ecdsa-sha256", DIGEST).signature)
        assert once == [command]
    proxy.change = None


@pytest.mark.parametrize("command", ["Create", "Sign"])
def test_one_flipped_bit_on_the_bus(rig, command):
    """No bit of an answer can be changed unnoticed: a session sees to that, or verification."""
    keeper, proxy = rig
    key = keeper.create("ec-p256")
    keeper.sign(key, "ecdsa-sha256", DIGEST)
    rng = random.Random(3)
    flipped = []

    def flip(name, _, response):
        if name != command or flipped:
            return response
        bit = rng.randrange(10 * 8, len(response) * 8)
        flipped.append(bit)
        changed = bytearray(response)
        changed[bit // 8] ^= 1 << (bit % 8)
        return bytes(changed)

    proxy.change = flip
    refused = 0
    for _ in range(40):
        flipped.clear()
        try:
            if command == "Create":
                made = keeper.create("ec-p256")
            else:
                check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)
                continue  # what was flipped did not matter, or it was asked again
            check(made, "ecdsa-sha256", DIGEST, keeper.sign(made, "ecdsa-sha256", DIGEST).signature)
        except Failed as e:
            refused += 1
            assert e.status in ("FAILED", "UNAVAILABLE"), e
    assert refused > 10
    proxy.change = None
    check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)


def test_nonsense_from_the_tpm(rig):
    """Truncated, inflated, replaced answers: an error each time, and it goes on."""
    keeper, proxy = rig
    key = keeper.create("ec-p256")
    rng = random.Random(5)

    def spoil(_, __, response):
        kind = rng.randrange(6)
        if kind == 0:
            body = response[10:rng.randrange(10, len(response) + 1)]
            return response[:2] + struct.pack(">I", 10 + len(body)) + response[6:10] + body
        if kind == 1 and len(response) > 16:
            at = rng.randrange(10, len(response) - 2)
            return response[:at] + b"\xff\xff" + response[at + 2:]
        if kind == 2:
            return struct.pack(">HII", 0x8001, 10, rng.choice(
                [0x101, 0x902, 0x922, 0x910, 0x18B, 0x1DF, 0x9A2, 0x12F, 0x84, 0xFFFFFFFF]))
        return response

    proxy.change = spoil
    good = 0
    for _ in range(60):
        try:
            check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)
            good += 1
        except Failed as e:
            assert e.message
    proxy.change = None
    assert good < 60
    # A foreign Name may have been taken for another TPM: ping looks again.
    keeper.ping()
    check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)
