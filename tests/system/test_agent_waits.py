# SPDX-License-Identifier: Apache-2.0
"""What the agent waits for (a synchronised clock, a maintenance window), and whom it tells."""
import concurrent.futures
import fcntl
import os
import re
import socket
import subprocess

import pytest

import guides
from agentlib import DAY, Device
from apilib import Api, config, csr
from keeperlib import BUILD

SHIM = os.path.join(BUILD, "tests", "system", "libunsynced.so")
CLOCK = os.path.join(BUILD, "tests", "system", "libclock.so")


def test_nothing_before_the_clock_is_synchronised():
    with Device(start=False) as d:
        synced = os.path.join(d.dir, "synced")
        d.apply("[certificates]\nwait_for_ntp = true\n")
        d.preload = d.preload.replace(CLOCK, SHIM + " " + CLOCK)  # a sanitizer has to be the first
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
    """The same by the system call: the agent's sandbox lets it ask, and does not let it set the clock."""
    with Device("[certificates]\nwait_for_ntp = true\n") as d:
        assert not d.status()["clock"]["trusted"]
        d.synchronised()
        d.wake()
        d.until(lambda: d.status()["clock"]["trusted"])
        with open("/proc/%d/status" % d.worker()) as f:
            caps = int(re.search(r"^CapEff:\s*(\w+)$", f.read(), re.M).group(1), 16)
        assert not caps & 1 << 25  # CAP_SYS_TIME


def test_where_the_kernel_must_not_be_asked():
    """As under the unit's ProtectClock: systemd-timesyncd's word counts."""
    with Device(start=False) as d:
        d.apply("[certificates]\nwait_for_ntp = true\n")
        d.synchronised(-1)
        d.start_broker()
        d.start_agent()
        assert not d.status()["clock"]["trusted"]
        with open(d.clock + ".timesync", "w"):
            pass
        d.wake()
        d.until(lambda: d.status()["clock"]["trusted"])


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


# Descriptors 3 and 4, as systemd hands them over.
ACTIVATE = 'exec 3<&"$1" 4<&"$2"; shift 2; LISTEN_FDS=2 LISTEN_FDNAMES=%s LISTEN_PID=$$ exec "$@"'


def activated(d, listening, names="certd:workload"):
    """The agent with sockets that are there before it, and after."""
    high = [fcntl.fcntl(s, fcntl.F_DUPFD, 20) for s in listening]
    with open(os.path.join(d.dir, "agent.log"), "ab") as log:
        p = subprocess.Popen(
            ["/bin/bash", "-c", ACTIVATE % names, "bash", *map(str, high),
             os.path.join(BUILD, "src/agent/holdfast-agent"), "--root", d.dir, "--est",
             os.path.join(BUILD, "src/est/holdfast-est")], pass_fds=high, stdout=log, stderr=log,
            env=dict(d.env, LD_PRELOAD=d.preload, HOLDFAST_TEST_CLOCK=d.clock))
    for fd in high:
        os.close(fd)
    return p


def test_sockets_that_systemd_keeps():
    """Who calls while the agent is away waits for it; it removes no socket that is not its own."""
    with Device(start=False) as d:
        d.apply(config())
        d.start_broker()
        api, listening = Api(d), []
        os.makedirs(api.dir)
        for name in "certd", "workload":
            listening.append(socket.socket(socket.AF_UNIX))
            listening[-1].bind(api.socket(name))
            listening[-1].listen(8)
        for _ in range(2):
            with concurrent.futures.ThreadPoolExecutor() as pool:
                waiting = pool.submit(api.server, "m", csr=csr())
                p = activated(d, listening)
                assert waiting.result(30).code in (201, 503)  # 503: no Edge CA yet
                d.until(lambda: api.server("m", csr=csr()).code == 201)
                assert api.certd("GET", "/certificates/edge-ca").code == 200
            p.terminate()
            assert p.wait(20) == 0, d.log()
            assert all(os.path.exists(api.socket(n)) for n in ("certd", "workload"))
        p = activated(d, listening, "certd:other")
        assert p.wait(20) == 2 and "neither certd nor workload" in d.log()
        for s in listening:
            s.close()


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
