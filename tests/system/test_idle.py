# SPDX-License-Identifier: Apache-2.0
"""An active provider whose broker is stopped is not noticed by programs that do not use it (A15)."""
import json
import os
import subprocess

import pytest

from keeperlib import BUILD, ROOT


@pytest.mark.plain
@pytest.mark.root
def test_nobody_notices(tmp_path):
    """What each program says and how it ends is compared by the command itself. The bound on time
    is generous, since other tests run meanwhile: it is there to find waiting, not microseconds;
    `tests/bench/idle` measures those."""
    out = tmp_path / "idle.json"
    done = subprocess.run([ROOT + "/tests/bench/idle", "--rounds", "3", "--json", str(out)],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=200,
                          env=dict(os.environ, HOLDFAST_BUILD=BUILD))
    assert done.returncode == 0, done.stdout + done.stderr
    ratios = json.loads(out.read_text())
    assert {"openssl dgst", "curl https", "ssh, sshd", "git over ssh", "apt update",
            "python ssl"} <= set(ratios)
    slow = {name: r for name, r in ratios.items() if min(r["best"], r["ratio"]) > 2}
    assert not slow, done.stdout
