# SPDX-License-Identifier: Apache-2.0
"""What is left to who takes over a process of ours: tried from inside, and looked at from outside."""
import os
import re
import subprocess

import pytest

from brokerlib import KEEPER, WithFakeKeeper
from keeperlib import BUILD, until
from realbroker import RealBroker

TRY = BUILD + "/tests/system/confined"
pytestmark = pytest.mark.plain  # a sanitizer traces itself


def tries(*argv):
    """What came of each try. The first says which Landlock there is: a kernel that says it has it and
    does not hold to it fails these tests, one that has none is left to seccomp."""
    p = subprocess.run([TRY, *argv], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    got = dict(line.split() for line in p.stdout.splitlines())
    assert len(got) == 36, p.stdout
    return got


def all_denied(got, names):
    wrong = [n for n in names if not got[n].startswith("denied")]
    assert not wrong, wrong


NEVER = ["ptrace", "mount", "device", "device-in-state", "bpf", "unshare", "chroot", "pidfd-getfd",
         "read-memory"]
SIGNALS = ["signal", "signal-all", "tgkill", "tkill", "sigqueue", "pidfd-signal", "limit", "priority",
           "affinity", "setown", "setown-ioctl", "async", "async-ioctl", "signal-by-socket"]
OURS = NEVER + SIGNALS + ["fork", "exec", "setuid", "netlink"]


def has(got, version=1):
    """Whether the kernel's Landlock is that new; the machine that builds releases says it has to."""
    have = int(got["landlock"])
    assert have >= version or not os.environ.get("HOLDFAST_NEEDS_LANDLOCK")
    return have >= version


def test_broker(tmp_path):
    state, etc, other = (tmp_path / d for d in ("state", "etc", "other"))
    for d in (state, etc, other):
        d.mkdir()
    got = tries("broker", str(state), str(etc / "holdfastd.json"), str(other))
    all_denied(got, OURS + ["inet", "unix", "abstract"])
    assert got["write-state"] == got["itself"] == "allowed"
    if has(got):
        all_denied(got, ["read-etc", "read-root", "write-outside"])
        assert not list(other.iterdir())


@pytest.mark.parametrize("tcti", ["swtpm:path=/tmp/nothing", "device:/dev/null", "device:/dev/none"])
def test_keeper(tmp_path, tcti):
    got = tries("keeper", tcti, str(tmp_path))
    all_denied(got, OURS + ["inet"])
    assert got["unix"] == got["itself"] == "allowed"
    if has(got):
        all_denied(got, ["read-root", "write-outside", "write-state"])
        assert not list(tmp_path.iterdir())
    if has(got, 6):
        assert got["abstract"] == "denied"


def test_keeper_of_a_simulator_on_a_port(tmp_path):
    assert tries("keeper", "mssim:host=localhost,port=2321", str(tmp_path))["inet"] == "allowed"


@pytest.mark.parametrize("how", ["local", "device", "network"])
def test_keeper_with_a_module_that_is_known(tmp_path, how):
    """`confine` of its [[token]]: an allow-list in place of the warden's deny-list."""
    got = tries("module", how, str(tmp_path))
    all_denied(got, OURS)
    assert got["inet"] == ("allowed" if how == "network" else "denied")
    assert got["unix"] == got["write-outside"] == got["itself"] == "allowed"


def test_keeper_with_a_module_that_nobody_knows(tmp_path):
    """It may do what modules do, make processes for one; but not signal those that it did not."""
    got = tries("module", "", str(tmp_path))
    all_denied(got, NEVER)
    assert got["fork"] == got["unix"] == got["itself"] == "allowed"
    if has(got, 6):
        all_denied(got, ["signal", "tgkill", "tkill", "sigqueue", "pidfd-signal", "signal-by-socket"])


def test_agent(tmp_path):
    """It reads anywhere, writes what is its own, and starts programs through its launcher only."""
    state, other = tmp_path / "state", tmp_path / "other"
    state.mkdir()
    other.mkdir()
    got = tries("agent", str(state), str(other))
    all_denied(got, OURS + ["inet"])
    assert got["write-state"] == got["unix"] == got["read-etc"] == got["itself"] == "allowed"
    if has(got):
        assert got["write-outside"] == "denied" and not list(other.iterdir())
    if has(got, 6):
        assert got["abstract"] == "denied"


def test_est(tmp_path):
    """TLS to anywhere, and files to read: nothing else of all this."""
    got = tries("est", str(tmp_path))
    all_denied(got, NEVER + SIGNALS + ["fork", "exec", "setuid", "write-outside"])
    assert got["inet"] == got["itself"] == "allowed"


def test_warden(tmp_path):
    """It starts keepers with modules of whoever made the HSM: what nobody needs is denied."""
    got = tries("warden", str(tmp_path))
    all_denied(got, NEVER)
    assert got["fork"] == got["unix"] == got["itself"] == "allowed"
    if has(got, 6):
        all_denied(got, ["signal", "tgkill", "signal-by-socket"])


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


@pytest.mark.root
def test_nobody_of_the_same_user_looks_inside():
    """Undumpable: neither memory nor descriptors nor environment, nor a debugger."""
    uid = 30000
    with WithFakeKeeper() as b:
        b.stop()
        b.settings["principals"][0]["uid"] = uid
        b.keeper = KEEPER
        b.configure()
        subprocess.run(["chown", "-R", str(uid), b.dir], check=True)
        b.process, ready = b.spawn(user=uid, group=uid, extra_groups=[])
        assert ready, b.text()
        pids = [b.process.pid, b.pid("holdfastd"), b.pid("holdfast-keeper")]
        look = ("import ctypes, sys\n"
                "libc = ctypes.CDLL(None)\n"
                "for pid in sys.argv[1:]:\n"
                "    for name in 'mem', 'environ', 'maps', 'auxv':\n"
                "        try:\n"
                "            open(f'/proc/{pid}/{name}', 'rb').read(1); print(pid, name)\n"
                "        except OSError: pass\n"
                "    if not libc.ptrace(16, int(pid), None, None): print(pid, 'ptrace')\n")

        def seen(*of):
            return subprocess.run(["/usr/bin/python3", "-c", look, *map(str, of)], text=True, user=uid,
                                  group=uid, extra_groups=[], capture_output=True, check=True).stdout
        assert seen(*pids) == ""
        other = subprocess.Popen(["sleep", "60"], user=uid, group=uid, extra_groups=[])
        try:
            assert "environ" in until(lambda: seen(other.pid))  # the test sees what there is to see
        finally:
            other.kill()
            other.wait()
