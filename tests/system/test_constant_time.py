# SPDX-License-Identifier: Apache-2.0
"""RSA's padding is looked at without a jump or an address that depends on it, as compiled."""
import os
import re
import subprocess

import pytest

from keeperlib import BUILD

TAINT = os.path.join(BUILD, "tests", "system", "taint")
pytestmark = pytest.mark.plain  # valgrind does not run what AddressSanitizer was built into


def reported(what):
    """The innermost functions of the program itself, one for each report."""
    p = subprocess.run(["valgrind", "-q", "--error-exitcode=9", "--read-inline-info=yes",
                        "--num-callers=8", TAINT, what],
                       stderr=subprocess.PIPE, text=True, timeout=120,
                       env={"OPENSSL_CONF": "/dev/null", "PATH": os.environ["PATH"]})
    assert p.returncode in (0, 9), p.stderr
    found = [re.search(r"(?:at|by) 0x\w+: (\w+) \((?:unpad|pss|public|taint)\.c:\d+\)", block).group(1)
             for block in re.split(r"==\d+== \n", p.stderr) if "uninitialised" in block]
    assert bool(found) == (p.returncode == 9), p.stderr
    return found


def test_the_test_can_fail():
    assert "naive" in reported("naive")


def test_tls_never_tells():
    assert reported("tls") == []


@pytest.mark.parametrize("what", ["pkcs1", "oaep"])
def test_only_the_result_tells(what):
    """take() says whether it was good, and how long the message is, when all has been looked at."""
    assert set(reported(what)) == {"take"}
