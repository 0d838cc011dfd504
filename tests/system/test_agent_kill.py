# SPDX-License-Identifier: Apache-2.0
"""The agent and what it stands on, killed at every step of a renewal; and disks that fail."""
import errno
import os
import signal

import pytest
from cryptography.hazmat.primitives import hashes

import apilib
from agentlib import DAY, Device
from apilib import chain

PERIOD = 75 * DAY


def settled(device, before):
    """It has been renewed exactly once; certificate and key belong together; nothing is left over."""
    device.until(lambda: device.fingerprint() != before)
    device.until(lambda: device.credential("edge-ca")["fingerprint_sha256"] == device.fingerprint())
    device.until(lambda: device.credential("edge-ca")["last"]["result"] == "ok")
    device.check_pair()
    nothing_is_left(device)


def left_over(device):
    left = [n for n in os.listdir(os.path.join(device.dir, "agent"))
            if n not in ("edge-ca.json", "clock", "retired", "modules")]
    left += [n for n in os.listdir(device.certs) if not n.endswith(".pem")]
    for name, end in ("retired", ".pem"), ("modules", ".json"):
        where = os.path.join(device.dir, "agent", name)
        left += [n for n in os.listdir(where) if not n.endswith(end)] if os.path.isdir(where) else []
    return left


def nothing_is_left(device):
    """But for what is being written just now."""
    device.until(lambda: not left_over(device))


def heal(device, before):
    """Minutes go by, an hour at most: what failed here is tried again."""
    def done():
        entry = device.credential("edge-ca")
        return device.fingerprint() != before and entry["state"] == "ok" and \
            entry["last"]["result"] == "ok" and \
            entry["fingerprint_sha256"] == device.fingerprint()

    device.until(lambda: device.json("token", "list")["tokens"][0]["state"] == "ready")
    device.wake()
    for _ in range(40):
        device.until(lambda: done() or device.credential("edge-ca")["state"] == "failed")
        if done():
            return
        entry = device.credential("edge-ca")
        assert entry["next"] - device.now() < 4000, entry
        device.advance(max(entry["next"] - device.now(), 61) + 1)
        device.until(lambda: done() or device.credential("edge-ca")["last"] != entry["last"] or
                     device.credential("edge-ca")["next"] != entry["next"])
    raise AssertionError(device.log())


def works(device):
    """Whatever happened just now: the certificate's key is there and signs."""
    key = device.key_of()  # before the other, since it goes on meanwhile
    generations = device.generations("edge-ca")
    assert key in generations
    # at most one that belongs to nothing yet
    assert list(generations.values()).count("staged") <= 1


def test_agent_killed_at_every_step():
    with Device() as device:
        at, killed = 0, True
        while killed:
            at += 1
            before, renewals = device.fingerprint(), device.credential("edge-ca")["renewals"]
            device.fault(at)
            device.advance(PERIOD)
            device.until(lambda: device.agent.poll() is not None or (
                device.fingerprint() != before and
                device.credential("edge-ca")["fingerprint_sha256"] == device.fingerprint()))
            killed = device.steps() >= at
            device._wish(5, 0)
            if killed:
                assert device.agent.wait(20) == 1
                works(device)
                device.start_agent()
            settled(device, before)
            assert device.credential("edge-ca")["renewals"] == renewals + 1
            assert sorted(device.generations("edge-ca").values()) == ["current", "retiring"]
        assert at > 20, "what was counted was not the renewal"
        assert "out of memory" not in device.log() and not device.status()["bundle"]["error"]


@pytest.mark.parametrize("who", ["broker", "keeper"])
def test_others_killed_at_every_step(who):
    """The agent goes on, whatever it was doing; the broker comes back as systemd brings it back."""
    with Device(start=False) as device:
        device.agent_options = ["--unconfined"]  # else the agent may signal nobody
        device.apply("")
        device.start_broker()
        device.start_agent()
        at, last = 0, False
        while not last:
            at += 1
            before = device.fingerprint()
            device.fault(at, victim=device.broker.pid if who == "broker" else device.keeper_pid())
            device.advance(PERIOD)
            device.until(lambda: device.fingerprint() != before or device.broker.poll() is not None
                         or device.credential("edge-ca")["state"] == "failed")
            last = device.steps() < at
            device._wish(5, 0)
            if device.broker.poll() is None:
                device.end(device.broker)  # else its pauses between new keepers add up
            device.start_broker()
            works(device)
            heal(device, before)
            settled(device, before)
        assert at > 20


@pytest.mark.parametrize("what", ["ENOSPC", "EROFS", "EIO"])
def test_disk_fails_at_every_write(what):
    with Device() as device:
        at, failed = 0, True
        while failed:
            at += 1
            before, said = device.fingerprint(), len(device.log())
            device.fault(at, error=getattr(errno, what))
            device.advance(PERIOD)
            device.until(lambda: "the configuration was read again" in device.log()[said:])
            device.until(lambda: device.steps() >= at or device.fingerprint() != before)
            device.until(lambda: device.steps() < at or what_is_said(device.log()[said:]))
            failed = device.steps() >= at
            device._wish(5, 0)
            works(device)
            heal(device, before)
            settled(device, before)
        assert at > 20


def what_is_said(log):
    return any(text in log for text in ("No space left", "Read-only", "Input/output"))


def broker_of(device):
    """The broker proper, the warden's child."""
    for pid in device._children(device.broker.pid):
        with open("/proc/%d/comm" % pid) as f:
            if f.read().strip() == "holdfastd":
                return pid
    return 0


@pytest.mark.parametrize("error", [0, errno.ENOSPC, errno.EIO], ids=["killed", "ENOSPC", "EIO"])
def test_the_brokers_own_steps(error):
    """Where it makes, keeps and retires key pairs for a renewal; see what_is_kept for its disk."""
    with Device() as device:
        at, last = 0, False
        while not last:
            at += 1
            before, said = device.fingerprint(), len(device.log())
            device.until(lambda: broker_of(device))
            device._wish(5, 0)
            device._wish(1, 0, at, error, 0, broker_of(device))
            device.advance(PERIOD)
            device.until(lambda: device.fingerprint() != before or
                         device.credential("edge-ca")["state"] == "failed" or
                         "again in" in device.log()[said:])
            device._wish(5, 0)
            last = device.steps() < at
            if device.broker.poll() is None:
                device.end(device.broker)
            device.start_broker()
            works(device)
            heal(device, before)
            settled(device, before)
            assert sorted(device.generations("edge-ca").values()) == ["current", "retiring"]
            what_is_kept(device, error)
        assert at > 12


def what_is_kept(device, error):
    """Of each generation both files, and nothing else; a kill may leave what is set aside, never an error."""
    where = os.path.join(device.dir, "state", "keys", "edge-ca")
    names = {n for n in os.listdir(where) if n != "key.json"}
    assert {n.removesuffix(".pem") for n in names if n.endswith(".pem")} == \
        {n.removesuffix(".json") for n in names if n.endswith(".json")}, names
    aside = os.path.join(device.dir, "state", "set-aside")
    assert not error or not os.path.isdir(aside) or not os.listdir(aside), os.listdir(aside)


@pytest.mark.parametrize("who", ["agent", "broker", "keeper"])
def test_a_fresh_device_killed_at_every_step(who):
    """Making the first key and certificate: one key comes of it, and nobody has to help."""
    at, last = 0, False
    while not last:
        at += 1
        with Device(start=False) as device:
            device.agent_options = ["--unconfined"]
            device.apply("")
            device.start_broker()
            victim = {"agent": 0, "broker": device.broker.pid, "keeper": device.keeper_pid()}[who]
            device._wish(1, 0, at, 0, victim, -1)
            device.start_agent(ready=None)

            def ended():
                if device.agent.poll() is not None or device.broker.poll() is not None:
                    return True
                return device.agent.was_ready and device.credential("edge-ca")["state"] in ("ok", "failed", "missing")

            device.until(ended)
            device._wish(5, 0)
            last = device.steps() < at
            if device.agent.poll() is not None:
                device.agent.wait()
                device.start_agent()
            if device.broker.poll() is None:
                device.end(device.broker)
            device.start_broker()
            device.until(lambda: device.json("token", "list")["tokens"][0]["state"] == "ready")
            device.wake()
            for _ in range(10):
                entry = device.credential("edge-ca")
                if entry["state"] == "ok" and os.path.exists(device.path("edge-ca.pem")):
                    break
                said = len(device.log())
                device.advance(70)
                device.until(lambda: "read again" in device.log()[said:])
                device.until(lambda: device.credential("edge-ca")["state"] != "missing")
            device.until(lambda: device.credential("edge-ca")["state"] == "ok")
            device.check_pair()
            assert list(device.generations("edge-ca").values()) == ["current"]
            assert [k["name"] for k in device.json("key", "list")["keys"]] == ["edge-ca"]
            nothing_is_left(device)
    assert at > 10


def test_stop_is_clean_while_it_renews():
    with Device() as device:
        device.advance(PERIOD)
        assert device.end(device.agent, signal.SIGTERM) == 0
        device.start_agent()
        device.until(lambda: device.credential("edge-ca")["state"] == "ok")
        device.check_pair()


def test_a_renewal_by_hand_waits_for_the_disk():
    """It is refused now, and done when there is room."""
    with Device() as device:
        before = device.fingerprint()
        device.fault(1, error=errno.ENOSPC)
        answer = apilib.Api(device).certd("POST", "/holdfast/v1/credentials/edge-ca/renew")
        assert answer.code == 503 and b"No space left" in answer.body
        device._wish(5, 0)
        assert device.fingerprint() == before
        device.advance(120)
        device.until(lambda: device.fingerprint() != before)
        settled(device, before)


# ---------------------------------------------------------------- modules

def follows(device, name, ca):
    """A module's files are what is on record: a certificate of that Edge CA, and its key's reference."""
    found = chain(open(device.path(name + ".pem")).read())
    return found[1].fingerprint(hashes.SHA256()).hex() == ca and os.path.exists(device.path(name + ".key.pem"))


@pytest.mark.parametrize("error", [0, errno.EIO], ids=["killed", "EIO"])
def test_modules_with_keys_in_the_token(error):
    """At every step of a renewal of the Edge CA and what follows it, for the files of modules, too."""
    with Device(apilib.config("token")) as device:
        api = apilib.Api(device)
        names = [api.server(m).json["privateKey"]["ref"].removeprefix("holdfast:") for m in ("a", "b")]
        at, last = 0, False
        while not last:
            at += 1
            before = device.fingerprint()

            def done():
                ca = device.fingerprint()
                return ca != before and all(follows(device, n, ca) for n in names)

            device.fault(at, error=error)
            device.advance(PERIOD)
            device.until(lambda: done() or (device.steps() >= at if error else device.agent.poll() is not None))
            device._wish(5, 0)
            last = device.steps() < at
            if not last and not error:
                device.agent.wait(20)
                device.start_agent()

            def whole():
                entry = device.credential("edge-ca")
                return done() and entry["state"] == "ok" and \
                    entry["fingerprint_sha256"] == device.fingerprint()

            for _ in range(20):
                if whole():
                    break
                said = len(device.log())
                device.advance(61)
                device.until(lambda: whole() or "the configuration was read again" in device.log()[said:])
            device.until(whole)
            for name in names:
                assert device.key_of(name) in device.generations(name)
            nothing_is_left(device)
        assert at > 60


@pytest.mark.parametrize("suffix", [".pem", ".key.pem"])
def test_a_file_of_a_module_that_somebody_removed(suffix):
    with Device(apilib.config("token")) as device:
        name = apilib.Api(device).server("m").json["privateKey"]["ref"].removeprefix("holdfast:")
        before = open(device.path(name + suffix)).read()
        os.unlink(device.path(name + suffix))
        device.advance(61)
        device.until(lambda: os.path.exists(device.path(name + suffix)))
        assert open(device.path(name + suffix)).read() == before
        device.until(lambda: "written again" in device.log())
