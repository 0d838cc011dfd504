# SPDX-License-Identifier: Apache-2.0
"""What is left to who takes over a process of ours: tried from inside, and looked at from outside."""
import ctypes
import os
import re
import shutil
import subprocess

import pytest

from agentlib import Device
from brokerlib import KEEPER, WithFakeKeeper
from keeperlib import BUILD, until
from realbroker import RealBroker

TRY = BUILD + "/tests/system/confined"
pytestmark = pytest.mark.plain  # a sanitizer traces itself


def tries(*argv):
    """What came of each try. The first says which Landlock our code has found there."""
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


def landlock():
    """The version of the kernel's Landlock, by its own word and not by ours; 0: none."""
    create_ruleset, version = 444, 1
    return max(0, ctypes.CDLL(None).syscall(create_ruleset, None, ctypes.c_size_t(0), version))


def has(got, version=1):
    """Whether the kernel's Landlock is that new. If it is, what it keeps out is kept out, or the test
    fails: that our code has not found it, or not used it, is no excuse. One without it is left to seccomp."""
    assert int(got["landlock"]) == landlock()
    return landlock() >= version


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


USER = 30000
AS_USER = {"user": USER, "group": USER, "extra_groups": []}
# 16, 17: PTRACE_ATTACH, PTRACE_DETACH; 0x4206: PTRACE_SEIZE
LOOK = """import ctypes, os, sys
libc = ctypes.CDLL(None)
for pid in map(int, sys.argv[1:]):
    for name in 'mem', 'environ', 'maps', 'auxv', 'stack':
        for flags in os.O_RDONLY, os.O_RDWR:
            try:
                os.close(os.open(f'/proc/{pid}/{name}', flags)); print(pid, name)
            except OSError: pass
    try:
        os.listdir(f'/proc/{pid}/fd'); print(pid, 'fd')
    except OSError: pass
    for request in 0x4206, 16:
        if not libc.ptrace(request, pid, None, None):
            print(pid, 'ptrace'); os.waitpid(pid, 0x40000001) if request == 16 else None
            break
"""


def seen(*pids):
    """What another process of that user gets to see of them."""
    return subprocess.run(["/usr/bin/python3", "-c", LOOK, *map(str, pids)], text=True,
                          capture_output=True, check=True, **AS_USER).stdout


def yama():
    """Whether nobody may attach to who is no child of his, whatever that one says."""
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as f:
            return f.read().strip() != "0"
    except FileNotFoundError:
        return False


def debugged(pid):
    """What gdb says."""
    return subprocess.run(["gdb", "-nx", "-batch", "-p", str(pid), "-ex", "info registers"], text=True,
                          capture_output=True, timeout=60, cwd="/", **AS_USER)


def nobody_looks_inside(pids):
    """Undumpable: neither memory nor descriptors nor environment, nor a debugger; and the test sees
    what there is to see of a process that is like any other."""
    for pid in pids:
        assert status(pid)["Uid"].split() == [str(USER)] * 4
        # the kernel's mark of the undumpable; for a moment after exec nobody is
        until(lambda at=f"/proc/{pid}/mem": os.stat(at).st_uid == 0)
    assert seen(*pids) == ""
    gdb = shutil.which("gdb")
    for pid in pids if gdb else []:
        assert "not permitted" in debugged(pid).stderr
    other = subprocess.Popen(["sleep", "60"], **AS_USER)
    try:
        want = {"environ", "maps", "auxv", "fd"} | (set() if yama() else {"mem", "ptrace"})
        until(lambda: want <= set(seen(other.pid).split()))
        assert not gdb or yama() or "not permitted" not in debugged(other.pid).stderr
    finally:
        other.kill()
        other.wait()


@pytest.mark.root
def test_nobody_of_the_same_user_looks_into_broker_and_keeper():
    with WithFakeKeeper() as b:
        b.stop()
        b.settings["principals"][0]["uid"] = USER
        b.keeper = KEEPER
        b.configure()
        subprocess.run(["chown", "-R", str(USER), b.dir], check=True)
        b.process, ready = b.spawn(**AS_USER)
        assert ready, b.text()
        nobody_looks_inside([b.process.pid, b.pid("holdfastd"), b.pid("holdfast-keeper")])


@pytest.mark.root
def test_nobody_of_the_same_user_looks_into_the_agent():
    """Neither into its launcher nor into the agent proper."""
    with Device(start=False) as d:
        d.apply("")
        d.start_broker()
        subprocess.run(["chown", "-R", str(USER), d.dir], check=True)
        read, write = os.pipe()
        with open(os.path.join(d.dir, "agent.log"), "ab") as log:
            d.agent = subprocess.Popen(
                [BUILD + "/src/agent/holdfast-agent", "--root", d.dir, "--est", d.est, "--ready-fd",
                 str(write)], stderr=log, stdout=log, stdin=subprocess.DEVNULL, pass_fds=(write,),
                env=d.env, **AS_USER)
        os.close(write)
        with os.fdopen(read, "rb") as ready:
            assert ready.read(1) == b"\n", d.log()
        below = children(d.agent.pid)
        assert len(below) == 1
        nobody_looks_inside([d.agent.pid, *map(int, below)])
