# SPDX-License-Identifier: Apache-2.0
"""docs/MATRIX.md says what happens."""
import os
import subprocess

import pytest

from keeperlib import BUILD, ROOT


@pytest.mark.plain
@pytest.mark.root
def test_the_page_is_what_happens():
    done = subprocess.run([ROOT + "/tests/matrix"], capture_output=True, text=True, timeout=250,
                          env=dict(os.environ, HOLDFAST_BUILD=BUILD), stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
