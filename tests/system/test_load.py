# SPDX-License-Identifier: Apache-2.0
"""The short forms of tests/load/run; `meson test --suite soak` has the long ones."""
import json
import os
import subprocess

import pytest

RUN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "load", "run")
pytestmark = [pytest.mark.root, pytest.mark.plain]


def load(tmp_path, *args):
    out = tmp_path / "out.json"
    p = subprocess.run([RUN, *args, "--json", str(out)], capture_output=True, text=True, timeout=250)
    assert out.exists(), p.stderr
    return json.loads(out.read_text())


def test_a_crowd_with_hostile_users_in_it(tmp_path):
    got = load(tmp_path, "crowd", "--signatures", "1280", "--threads", "32")
    assert got["done"] == got["wanted"] == 1280 and got["wrong"] == got["lost"] == 0, got
    assert got["handles"] == 0 and got["same_processes"] and got["holds"], got


@pytest.mark.parametrize("how", [[], ["--activated"]], ids=["own-socket", "activated"])
def test_the_broker_is_killed_below_nginx(tmp_path, how):
    """No wrong signature, no failure while it is there; with socket activation none at all."""
    got = load(tmp_path, "restarts", "--kills", "10", *how)
    assert got["wrong"] == got["failed_outside"] == 0 and got["visits"] > 100, got
    assert got["holds"] and (not how or got["failed"] == 0), got


def test_a_victim_beside_eight_floods(tmp_path):
    """The bound on time is measured by the soak test, where nothing else runs on the machine; here
    it has to be within ten times of it, and everybody served."""
    got = load(tmp_path, "victim", "--seconds", "8")
    assert got["signatures"] == 40 and got["rss_kib"] < 24 << 10
    assert got["p99_ms"] < 10 * got["bound_ms"], got
