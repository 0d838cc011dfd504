# SPDX-License-Identifier: Apache-2.0
"""swtpm-ci/setup, with stand-ins for Debian's programs: what it asks for, what it says, what it leaves."""
import os
import re
import shutil
import subprocess

import pytest

from keeperlib import ROOT

TOOLS = ["bash", "sed", "tr", "env", "tee", "chmod", "rm", "dirname", "cat"]
STUBS = {
    # all is installed but what the file says
    "dpkg-query": 'shift 3; for p; do grep -qx "$p" missing || echo "$p installed"; done',
    "apt-get": 'echo "apt-get $*" >>calls; [ ! -e policy ] || echo policy >>calls; exit $(cat apt-fails)',
    "systemctl": 'echo "systemctl $*" >>calls',
    "id": "cat uid",
    "sudo": 'echo "sudo $*" >>calls; exec "$@"',
}


class Machine:
    def __init__(self, folder, missing=(), uid=0, without=(), apt_fails=0):
        self.dir = folder
        for name, text in (("missing", "\n".join(missing)), ("uid", uid), ("calls", ""),
                           ("apt-fails", apt_fails)):
            (folder / name).write_text("%s\n" % text if text != "" else "")
        for tool in TOOLS + ["grep"]:
            (folder / tool).symlink_to(shutil.which(tool))
        for name, code in STUBS.items():
            if name not in without:
                self.script(name, "#!/bin/bash\ncd %s\n%s\n" % (folder, code))
        shutil.copy(os.path.join(ROOT, "swtpm-ci", "setup"), folder / "setup")
        self.script("get-libest", "#!/bin/bash\necho get-libest >>%s/calls\n" % folder)

    def script(self, name, text):
        (self.dir / name).write_text(text)
        (self.dir / name).chmod(0o755)

    def setup(self, *words):
        self.p = subprocess.run(
            [str(self.dir / "setup"), *words], capture_output=True, text=True, timeout=60,
            env={"PATH": str(self.dir), "HOLDFAST_POLICY_RC_D": str(self.dir / "policy")})
        assert not (self.dir / "policy").exists(), "it left its policy behind"
        return self.p

    def calls(self):
        return (self.dir / "calls").read_text().splitlines()


def test_nothing_is_missing(tmp_path):
    m = Machine(tmp_path)
    p = m.setup("demo")
    assert (p.returncode, p.stdout, p.stderr, m.calls()) == (0, "", "", [])
    assert m.setup().returncode == 0 and m.calls() == ["get-libest"]


def test_what_is_missing_is_installed(tmp_path):
    m = Machine(tmp_path, missing=["swtpm", "nginx-light", "openssh-server"])
    p = m.setup()
    assert p.returncode == 0, p.stderr
    update, install, policy, *rest = m.calls()
    assert update.endswith(" update")
    assert install.endswith(" install swtpm nginx-light openssh-server") and policy == "policy"
    assert rest == ["systemctl disable nginx", "systemctl disable ssh", "get-libest"]
    assert "setup: installing swtpm nginx-light openssh-server" in p.stdout
    assert "not started" in p.stdout and "nginx is disabled" in p.stdout and "ssh is disabled" in p.stdout


def test_a_server_that_was_there_stays_as_it_is(tmp_path):
    m = Machine(tmp_path, missing=["socat"])
    assert m.setup().returncode == 0
    assert not [c for c in m.calls() if c.startswith("systemctl")]


def test_somebody_elses_policy_is_left_alone(tmp_path):
    m = Machine(tmp_path, missing=["socat"])
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    p = subprocess.run([str(tmp_path / "setup"), "all"], capture_output=True, text=True, timeout=60,
                       env={"PATH": str(tmp_path), "HOLDFAST_POLICY_RC_D": str(theirs)})
    assert p.returncode == 0 and theirs.read_text() == "theirs" and "not started" not in p.stdout


def test_with_sudo(tmp_path):
    m = Machine(tmp_path, missing=["swtpm"], uid=1000)
    p = m.setup("demo")
    assert p.returncode == 0, p.stderr
    assert [c for c in m.calls() if re.match("sudo env .* apt-get .* install swtpm$", c)]
    assert [c for c in m.calls() if c.startswith("sudo rm -f")]


def test_without_root_and_sudo(tmp_path):
    m = Machine(tmp_path, missing=["swtpm", "meson"], uid=1000, without=["sudo"])
    p = m.setup("demo")
    assert p.returncode == 1 and m.calls() == []
    assert "ask an administrator for: apt-get install meson swtpm" in p.stderr


def test_not_debian(tmp_path):
    p = Machine(tmp_path, without=["dpkg-query"]).setup()
    assert p.returncode == 1 and "not Debian" in p.stderr and "swtpm" in p.stderr


@pytest.mark.parametrize("words, code, says", [(["all"], 100, "installing swtpm"), (["nonsense"], 2, "")])
def test_failures_are_passed_on(tmp_path, words, code, says):
    p = Machine(tmp_path, missing=["swtpm"], apt_fails=100).setup(*words)
    assert p.returncode == code and says in p.stdout
    assert code != 2 or "usage: setup" in p.stderr
