# SPDX-License-Identifier: Apache-2.0
"""The short forms of tests/load/run; `meson test --suite soak` has the long ones."""
import json
import os
import subprocess
import sys

import pytest

from keeperlib import SESSION, fixture_keeper, fixture_proxy, fixture_tpm  # noqa: F401

LOAD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "load")
RUN = os.path.join(LOAD, "run")
sys.path.append(LOAD)
import clients  # noqa: E402
import measure  # noqa: E402

MEMORY = ["--any-memory"] if "HOLDFAST_TEST_PRELOAD" in os.environ else []


def load(tmp_path, *args):
    out = tmp_path / "out.json"
    p = subprocess.run([RUN, *args, "--json", str(out)], capture_output=True, text=True,
                       timeout=250)
    assert out.exists(), p.stderr
    return json.loads(out.read_text())


@pytest.mark.root
def test_a_crowd_with_hostile_users_in_it(tmp_path):
    got = load(tmp_path, "crowd", "--signatures", "1280", "--threads", "32", *MEMORY)
    assert got["done"] == got["wanted"] == 1280 and got["wrong"] == got["lost"] == 0, got
    assert got["leaked"] == [] and got["same_processes"] and got["holds"], got


def test_a_handle_that_is_left_is_seen(tpm, proxy, keeper):  # noqa: F811
    """What the crowd's count is worth: the keeper goes on, and one session is too many."""
    keeper.open(proxy)

    def take():
        return measure.look(proxy, keeper.process.pid, keeper.process.pid)
    before = take()
    assert proxy.command(SESSION)[6:10] == bytes(4)
    after = measure.settled(take, before, timeout=0)
    sessions = before["sessions"]
    assert measure.leaks(before, before, after, after) == [
        "sessions: %d, %d after it" % (sessions, sessions + 1)]
    keeper.ping()


def test_signatures_beside_a_session_that_is_saved_and_loaded():
    """A11: the short form of tests/load/sessions."""
    done = subprocess.run([os.path.join(LOAD, "sessions"), "--signatures", "1100"],
                          capture_output=True, text=True, timeout=250)
    assert done.returncode == 0 and "1100 signatures, all good" in done.stdout, done.stdout + done.stderr


def test_what_a_leak_is():
    at = dict(objects=2, sessions=1, broker_fds=9, keeper_fds=7, broker_kib=2000, keeper_kib=6000)
    assert measure.leaks(at, at, at, at) == []
    for k in measure.held(at):
        assert measure.leaks(at, at, at, at | {k: at[k] + 1}) != [], k
    assert measure.leaks(at, at, at | {"keeper_fds": 8}, at) != []
    assert measure.leaks(at, at, at | {"broker_fds": 80}, at) == []  # connections come and go
    assert measure.grown(at, at | {"keeper_kib": 6500}) == {"broker": 0, "keeper": 500}


@pytest.mark.root
@pytest.mark.parametrize("name", clients.MODES)
def test_one_kind_of_client(tmp_path, name):
    got = load(tmp_path, "mode", name, "--uid", "31100", "--count", "2", "--seconds", "2", *MEMORY)
    assert got["uids"] == [31100, 31101] and got["beside"] == 10 and got["holds"], got
    # It did come, and was told something; lists of keys are in no audit.
    assert got["operations"] > 500 if name == "no-read" else got["answers"], got


@pytest.mark.root
@pytest.mark.plain
@pytest.mark.parametrize("what", ["service", "broker"])
@pytest.mark.parametrize("how", [[], ["--activated"]], ids=["own-socket", "activated"])
def test_the_broker_is_killed_below_nginx(tmp_path, how, what):
    """No wrong signature, no failure while it is there; with socket activation none at all."""
    got = load(tmp_path, "restarts", "--kills", "10", "--what", what, *how)
    assert got["wrong"] == got["failed_outside"] == 0 and got["visits"] > 100, got
    assert got["holds"] and (not how or got["failed"] == 0), got


@pytest.mark.root
@pytest.mark.plain
def test_a_victim_beside_eight_floods(tmp_path):
    """The bound on time is measured by the soak test, where nothing else runs on the machine; here
    it has to be within ten times of it, and everybody served."""
    got = load(tmp_path, "victim", "--seconds", "8")
    assert got["signatures"] == 40 and got["rss_kib"] < 24 << 10
    assert got["p99_ms"] < 10 * got["bound_ms"], got
