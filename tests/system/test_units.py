# SPDX-License-Identifier: Apache-2.0
"""The systemd units: confined as the issue of confinement says, and about programs that exist."""
import os
import re
import subprocess

import pytest

from keeperlib import BUILD

DIST = os.path.join(BUILD, "dist")
SERVICES = ["holdfastd.service", "holdfast-agent.service"]


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


@pytest.mark.parametrize("name", SERVICES)
def test_every_word_is_known_to_systemd(name, tmp_path):
    unit = tmp_path / name
    with open(os.path.join(DIST, name)) as f:
        unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", f.read(), flags=re.M))
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True,
                       text=True)
    # what it says of units that are not installed here is no matter
    wrong = [line for line in p.stderr.splitlines() if str(unit) in line or "Unknown" in line]
    assert not wrong, wrong
