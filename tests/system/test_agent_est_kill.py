# SPDX-License-Identifier: Apache-2.0
"""The agent killed at every step of enrolments at a real EST server; the others are in
test_agent_est_others.py."""
import os

import pytest

from agentlib import DAY, Device
from test_agent_est import est_server, issued

pytestmark = pytest.mark.plain  # libest does not run below AddressSanitizer

CONFIG = """
[cert_issuance.est]
trusted_certs = ["file://%(HOLDFAST_EST_TRUST)s"]
[cert_issuance.est.auth]
identity_cert = "file://%(HOLDFAST_EST_BOOTSTRAP_CERT)s"
identity_pk = "file://%(HOLDFAST_EST_BOOTSTRAP_KEY)s"
[cert_issuance.est.urls]
default = "%(HOLDFAST_EST_URL)s"
[[credential]]
id = "web"
method = "est"
common_name = "web.example"
[credential.renew]
rotate_key = %(rotate)s
threshold = "60day"
retry = "4%%"
[edge_ca]
auto_generated_edge_ca_expiry_days = 36500
"""
PERIOD = 32 * DAY
WHATS = ("first", "enrol", "renew", "rotate")  # first: the key has to be made as well


@pytest.fixture
def site(what):
    with Device(start=False) as device, est_server(clock=device) as env:
        text = CONFIG % dict(env, rotate="false" if what == "renew" else "true")
        device.agent_options = ["--unconfined"]  # else the agent may signal nobody
        device.apply(text)
        device.start_broker()
        device.apply(text)
        device.start_agent()
        device.until(lambda: device.credential("web")["state"] == "ok", 60)
        yield device, env


def begin(device, what, at, victim):
    """Makes a certificate due, and the fault."""
    if what in ("renew", "rotate"):
        device.fault(at, victim=victim)
        device.advance(PERIOD)
        return
    device.stop_agent()
    if what == "first":
        device.cli("key", "delete", "web", "--yes")
    os.unlink(device.path("web.pem"))
    os.unlink(os.path.join(device.dir, "agent", "web.json"))
    device._wish(1, 0, at, 0, victim, -1)  # of whatever agent comes next
    device.start_agent(ready=None)


def present(device):
    return os.path.exists(device.path("web.pem"))


def fingerprint(device):
    return device.fingerprint("web") if present(device) else ""


def killed_at_every_step(site, what, who):
    device, env = site
    at, last, lost_ones = 0, False, 0
    while not last:
        at += 1
        before, count = fingerprint(device), issued(env)
        old = what in ("renew", "rotate")
        renewals = device.credential("web")["renewals"] if old else 0
        victim = {"agent": 0, "broker": device.broker.pid, "keeper": device.keeper_pid()}[who]
        begin(device, what, at, victim)
        device.until(lambda: device.agent.poll() is not None or device.broker.poll() is not None or
                     (fingerprint(device) not in ("", before) and
                      device.credential("web")["fingerprint_sha256"] == fingerprint(device)) or
                     device.credential("web")["state"] == "failed", 60)
        last = device.steps() < at
        device._wish(5, 0)
        if who != "agent":
            if device.broker.poll() is None:
                device.end(device.broker)
            device.start_broker()
        # whatever happened: what is there has its key, and nobody has more than one key too many
        if present(device):
            key = device.key_of("web")
            generations = device.generations("web")
            assert key in generations
            assert list(generations.values()).count("staged") <= 1
        # issued, and nobody wrote it down before the agent died
        lost = issued(env) - count if device.agent.poll() is not None else 0
        if os.path.exists(os.path.join(device.dir, "agent", "web.new.pem")) or \
                fingerprint(device) not in ("", before):
            lost = 0
        lost_ones += lost
        if device.agent.poll() is not None:
            device.start_agent()
        heal(device, before)
        device.check_pair("web")
        assert issued(env) - count == 1 + lost
        if old:
            assert device.credential("web")["renewals"] == renewals + 1
        assert "staged" not in device.generations("web").values()
    assert at > 15
    # the four steps that write it down, and what the server does while its asker is dying
    assert lost_ones <= 6, "the answer is written down too late"


def heal(device, before):
    """Hours go by until it is done."""
    def done():
        return fingerprint(device) not in ("", before) and \
            device.credential("web")["fingerprint_sha256"] == fingerprint(device)

    device.until(lambda: device.json("token", "list")["tokens"][0]["state"] == "ready")
    device.wake()
    for _ in range(20):
        device.until(lambda: done() or device.credential("web")["state"] == "failed", 60)
        if done():
            device.advance(61)  # what could not be looked at is looked at again
            device.until(lambda: device.credential("web")["state"] == "ok")
            return
        entry = device.credential("web")
        device.advance(max(entry["next"] - device.now(), 0) + 1)
        device.until(lambda: done() or device.credential("web")["attempts"] != entry["attempts"], 60)
    raise AssertionError(device.log())


@pytest.mark.parametrize("what", WHATS)
def test_agent_killed_at_every_step(site, what):
    killed_at_every_step(site, what, "agent")
