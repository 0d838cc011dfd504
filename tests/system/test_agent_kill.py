# SPDX-License-Identifier: Apache-2.0
"""The agent and what it stands on, killed at every step of a renewal; and disks that fail."""
import errno
import os
import signal

import pytest

from agentlib import DAY, Device

PERIOD = 75 * DAY


def settled(device, before):
    """It has been renewed exactly once; certificate and key belong together; nothing is left over."""
    device.until(lambda: device.fingerprint() != before)
    device.until(lambda: device.credential("edge-ca")["fingerprint_sha256"] == device.fingerprint())
    device.until(lambda: device.credential("edge-ca")["last"]["result"] == "ok")
    device.check_pair()
    left = [n for n in os.listdir(os.path.join(device.dir, "agent"))
            if n not in ("edge-ca.json", "clock", "retired", "modules")]
    assert not left, left


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
        assert all(n.endswith(".pem") for n in os.listdir(os.path.join(device.dir, "agent", "retired")))


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
            before = device.fingerprint()
            device.fault(at, error=getattr(errno, what))
            device.advance(PERIOD)
            device.until(lambda: device.steps() >= at or device.fingerprint() != before)
            device.until(lambda: device.log().count("the configuration was read again") >= 1)
            device.until(lambda: device.steps() < at or what_is_said(device))
            failed = device.steps() >= at
            device._wish(5, 0)
            works(device)
            heal(device, before)
            settled(device, before)
        assert at > 20


def what_is_said(device):
    return any(text in device.log() for text in ("No space left", "Read-only", "Input/output"))


def test_stop_is_clean_while_it_renews():
    with Device() as device:
        device.advance(PERIOD)
        assert device.end(device.agent, signal.SIGTERM) == 0
        device.start_agent()
        device.until(lambda: device.credential("edge-ca")["state"] == "ok")
        device.check_pair()
