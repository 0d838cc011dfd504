# SPDX-License-Identifier: Apache-2.0
"""What the agent waits for (a synchronised clock, a maintenance window), and whom it tells."""
import os
import re

import pytest

import guides
from agentlib import DAY, Device
from apilib import Api, config, csr
from keeperlib import BUILD

SHIM = os.path.join(BUILD, "tests", "system", "libunsynced.so")


def test_nothing_before_the_clock_is_synchronised():
    with Device(start=False) as d:
        synced = os.path.join(d.dir, "synced")
        d.apply("[certificates]\nwait_for_ntp = true\n")
        d.preload += " " + SHIM
        d.start_broker()
        d.start_agent(HOLDFAST_TEST_NTP=synced)
        assert "not synchronised yet" in d.log()
        assert not d.status()["clock"]["trusted"] and not os.path.exists(d.path("edge-ca.pem"))
        with open(synced, "w"):
            pass
        d.wake()
        d.until(lambda: os.path.exists(d.path("edge-ca.pem")))
        d.until(lambda: d.status()["clock"]["trusted"] and d.credential("edge-ca")["state"] == "ok")
        # Later it may go astray: what is there goes on, and nothing is renewed by such a clock.
        os.unlink(synced)
        before = d.fingerprint()
        d.advance(80 * DAY)
        d.until(lambda: not d.status()["clock"]["trusted"])
        assert d.fingerprint() == before
        with open(synced, "w"):
            pass
        d.wake()
        d.until(lambda: d.fingerprint() != before)


def test_the_kernel_may_be_asked():
    """The same without our own kernel: the agent's sandbox lets it ask."""
    with Device("[certificates]\nwait_for_ntp = true\n") as d:
        assert d.status()["clock"]["trusted"] in (True, False)
        assert d.agent.poll() is None


@pytest.mark.parametrize("window,zone", [("02:00-04:00", "UTC"), ("23:30-00:30", "UTC"),
                                         ("02:00-04:00", "<+0530>-5:30")])
def test_renewal_in_the_window_of_the_day(window, zone):
    """By the local time of the device, and over midnight."""
    begin, end = (60 * int(t[:2]) + int(t[3:]) for t in window.split("-"))
    offset = 330 * 60 if "0530" in zone else 0
    with Device(f'[certificates]\nrenew_window = "{window}"\n', env={"TZ": zone}) as d:
        at, before = d.credential("edge-ca")["next"], d.fingerprint()
        minute = (at + offset) % DAY // 60
        assert begin <= minute < end if begin < end else minute >= begin or minute < end
        assert 71 * DAY < at - d.now() < 75 * DAY
        d.advance(at - 120 - d.now())
        d.until(lambda: d.log().count("read again") == 1)
        assert d.fingerprint() == before
        d.advance(at + 5 - d.now())
        d.until(lambda: d.fingerprint() != before)


def test_the_hook_of_the_edge_ca_gets_the_modules(tmp_path):
    """The file with all whose certificates were issued again, as a program that restarts them
    would read it."""
    out, script = tmp_path / "out", tmp_path / "hook"
    script.write_text('#!/bin/sh\ncp "$HOLDFAST_MODULES" %s.new && mv %s.new %s\n' % (out, out, out))
    script.chmod(0o755)
    with Device(config(more='[edge_ca.hook]\nexec = ["%s"]\n' % script)) as d:
        api = Api(d)
        for n in range(3):
            assert api.server("m%d" % n, genid="g", csr=csr()).code == 201
        assert api.identity("m0", csr=csr()).code == 201
        if out.exists():
            out.unlink()
        assert api.certd("POST", "/holdfast/v1/credentials/edge-ca/renew").code == 200
        want = {"server m%d g" % n for n in range(3)} | {"identity m0 -"}
        d.until(lambda: out.exists() and set(out.read_text().splitlines()) == want)


STORE = r"""
printf '[certificates]\nsystem_store = true\n' >/etc/aziot/config.d/store.toml
holdfast config apply
holdfast-agent & agent=$!
until holdfast cert show edge-ca --json | grep -q '"state": *"ok"'; do kill -0 $agent; read -t 0.1 <> <(:) || :; done
until openssl verify -CApath /etc/ssl/certs /var/aziot/certs/edge-ca.pem; do kill -0 $agent; read -t 0.1 <> <(:) || :; done
kill $agent; wait $agent
ls /usr/local/share/ca-certificates /usr/local/share/ca-certificates/*
"""


@pytest.mark.plain
@pytest.mark.root
def test_the_bundle_goes_into_the_store_of_the_system():
    """Where the agent is root; else holdfast-trust.path does it."""
    done = guides.on_device(STORE)
    assert done.returncode == 0 and "edge-ca.pem: OK" in done.stdout, done.stdout
    assert re.search("holdfast", done.stdout.split("ls /usr/local")[1]), done.stdout
