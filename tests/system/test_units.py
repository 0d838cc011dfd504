# SPDX-License-Identifier: Apache-2.0
"""The systemd units: confined as the issue of confinement says, and about programs that exist."""
import json
import os
import re
import subprocess

import pytest

from keeperlib import BUILD, ROOT

DIST = os.path.join(BUILD, "dist")
SERVICES = ["holdfastd.service", "holdfast-agent.service"]
SOCKETS = ["holdfastd.socket", "holdfast-agent-certd.socket", "holdfast-agent-workload.socket"]


@pytest.mark.parametrize("name", SERVICES)
def test_exposure(name, tmp_path):
    """systemd-analyze's own measure: 1.5 at most, where 10 is everything."""
    with open(os.path.join(DIST, name)) as f:
        text = f.read()
    unit = tmp_path / name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M))
    p = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                        "--threshold=15", str(unit)], capture_output=True, text=True)
    assert p.returncode == 0, p.stdout + p.stderr
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", p.stdout)
    assert level and float(level[1]) <= 1.5, p.stdout


def test_the_rule_for_the_device():
    """Installed, of words that udev knows, and for the group that the units and users have."""
    with open(os.path.join(BUILD, "meson-info", "intro-installed.json")) as f:
        places = {os.path.basename(k): v for k, v in json.load(f).items()}
    assert places["60-holdfast.rules"].endswith("udev/rules.d/60-holdfast.rules")
    with open(os.path.join(ROOT, "dist", "60-holdfast.rules")) as f:
        (rule,) = [line.strip() for line in f if not line.startswith("#")]
    words = dict(re.fullmatch(r'(\w+)(==|\+=|=)"([^"]+)"', w).group(1, 3) for w in rule.split(", "))
    assert words == {"SUBSYSTEM": "tpmrm", "KERNEL": "tpmrm[0-9]*", "TAG": "systemd", "GROUP": "tss",
                     "MODE": "0660"}
    with open(os.path.join(DIST, "holdfastd.service")) as f:
        unit = f.read()
    assert "SupplementaryGroups=tss\n" in unit and "DeviceAllow=/dev/tpmrm0 rw\n" in unit
    with open(os.path.join(DIST, "holdfast.sysusers")) as f:
        assert "m aziotks tss\n" in f.read()


def lines(name):
    with open(os.path.join(DIST, name)) as f:
        return f.read().splitlines()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_died_comes_back_at_once_however_often(name):
    got = lines(name)
    assert "RestartSec=100ms" in got and "Restart=on-failure" in got
    unit = got[got.index("[Unit]"):got.index("[Service]")]
    assert "StartLimitIntervalSec=0" in unit


def test_the_limits_of_the_unit_let_the_configuration_have_its_own():
    """All connections that [limits] can allow; 8 tokens with 8 keepers, two of ours, and threads."""
    got = dict(line.split("=", 1) for line in lines("holdfastd.service") if "=" in line)
    assert int(got["LimitNOFILE"]) > 65536 and int(got["TasksMax"]) > 8 * 8 + 2


def test_sockets_of_the_configuration_can_be_made():
    """Where they are by default, by who runs as the keys' user and has the rest read-only."""
    assert "ReadWritePaths=-/run/holdfast" in lines("holdfastd.service")
    assert "d /run/holdfast 0755 aziotks aziotks -" in lines("holdfast.tmpfiles")


def test_the_audit_is_not_rate_limited():
    assert "LogRateLimitIntervalSec=0" in lines("holdfastd.service")


@pytest.mark.parametrize("name", SERVICES + SOCKETS)
def test_every_word_is_known_to_systemd(name, tmp_path):
    unit = tmp_path / name
    for service in SERVICES:  # which the sockets are for
        (tmp_path / service).write_text("[Service]\nExecStart=/bin/true\n")
    with open(os.path.join(DIST, name)) as f:
        unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", f.read(), flags=re.M))
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True,
                       text=True)
    # what it says of units that are not installed here is no matter
    wrong = [line for line in p.stderr.splitlines() if str(unit) in line or "Unknown" in line]
    assert not wrong, wrong
