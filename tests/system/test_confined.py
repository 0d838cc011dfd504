# SPDX-License-Identifier: Apache-2.0
"""What is left to who takes over a process of ours: tried from inside, and looked at from outside."""
import os
import re
import subprocess

import pytest

from brokerlib import WithFakeKeeper
from keeperlib import BUILD, until
from realbroker import RealBroker

TRY = BUILD + "/tests/system/confined"
pytestmark = pytest.mark.plain  # a sanitizer traces itself


def tries(*argv):
    p = subprocess.run([TRY, *argv], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    rows = [line.split() for line in p.stdout.splitlines()]
    assert len(rows) in (20, 21), p.stdout  # less one if the last, exec, succeeded
    return dict(rows)


NEVER = ["ptrace", "mount", "device", "device-in-state", "bpf", "unshare", "chroot"]


def test_broker(tmp_path):
    state, etc, other = (tmp_path / d for d in ("state", "etc", "other"))
    for d in (state, etc, other):
        d.mkdir()
    got = tries("broker", str(state), str(etc / "holdfastd.json"), str(other))
    for what in NEVER + ["inet", "unix", "netlink", "fork", "exec", "signal", "signal-all", "setuid"]:
        assert got[what] == "denied", what
    assert got["write-state"] == "allowed"
    if got["landlock"] == "yes":
        for what in ("read-etc", "read-root", "write-outside"):
            assert got[what] == "denied", what
        assert not list(other.iterdir())


@pytest.mark.parametrize("tcti", ["swtpm:path=/tmp/nothing", "device:/dev/null", "device:/dev/none"])
def test_keeper(tmp_path, tcti):
    got = tries("keeper", tcti, str(tmp_path))
    for what in NEVER + ["inet", "netlink", "fork", "exec", "signal", "signal-all", "setuid"]:
        assert got[what] == "denied", what
    assert got["unix"] == "allowed"
    if got["landlock"] == "yes":
        assert got["read-root"] == got["write-outside"] == got["write-state"] == "denied"
        assert not list(tmp_path.iterdir())


def test_keeper_of_a_simulator_on_a_port(tmp_path):
    assert tries("keeper", "mssim:host=localhost,port=2321", str(tmp_path))["inet"] == "allowed"


@pytest.mark.parametrize("how", ["local", "device", "network"])
def test_keeper_with_a_module_that_is_known(tmp_path, how):
    """`confine` of its [[token]]: an allow-list in place of the warden's deny-list."""
    got = tries("module", how, str(tmp_path))
    for what in NEVER + ["netlink", "fork", "exec", "signal", "signal-all", "setuid"]:
        assert got[what] == "denied", what
    assert got["inet"] == ("allowed" if how == "network" else "denied")
    assert got["unix"] == got["write-outside"] == "allowed"


def test_warden():
    """It starts keepers with modules of whoever made the HSM: what nobody needs is denied."""
    got = tries("warden")
    for what in NEVER:
        assert got[what] == "denied", what
    assert got["fork"] == got["unix"] == "allowed"


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(re.findall(r"^(\w+):\s+(.*)$", f.read(), re.M))


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return f.read().split()


def test_running_daemons_are_confined():
    b = RealBroker().start()
    try:
        b.algorithms()
        pids = [str(b.process.pid)] + children(b.process.pid)
        assert len(pids) == 3
        for pid in pids:
            until(lambda: status(pid)["Seccomp"] == "2")
            assert status(pid)["NoNewPrivs"] == "1"
            with open(f"/proc/{pid}/limits") as f:
                assert re.search(r"Max core file size +0 +0", f.read())
    finally:
        b.close()


def test_unconfined_for_debuggers(tmp_path):
    with WithFakeKeeper() as b:
        b.stop()
        p = subprocess.Popen([BUILD + "/src/broker/holdfastd", "--root", b.dir, "--keeper", b.keeper,
                              "--unconfined"], stderr=subprocess.DEVNULL)
        try:
            until(lambda: len(children(p.pid)) == 2)
            assert {status(pid)["Seccomp"] for pid in [p.pid] + children(p.pid)} == {"0"}
        finally:
            p.terminate()
            assert p.wait(20) == 0
