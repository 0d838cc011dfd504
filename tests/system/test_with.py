# SPDX-License-Identifier: Apache-2.0
"""swtpm-ci/with-swtpm and with-holdfast: what the command gets, and that nothing stays behind."""
import contextlib
import os
import shlex
import signal
import subprocess

import pytest

from keeperlib import BUILD, ROOT, until

CI = os.path.join(ROOT, "swtpm-ci")
SWTPM, HOLDFAST = [os.path.join(CI, "with-swtpm")], [os.path.join(CI, "with-holdfast")]
NESTED = SWTPM + HOLDFAST
ENV = dict({k: v for k, v in os.environ.items() if not k.startswith(("HOLDFAST_", "OPENSSL_"))},
           HOLDFAST_BUILD=BUILD)


def run(*args, code=0, env=None):
    p = subprocess.run(args, env=dict(ENV, **(env or {})), stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=60)
    assert p.returncode == code, p.stdout + p.stderr
    return p


def processes():
    """{(pid, when it started): its parent} of all that are not zombies."""
    out = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % name) as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] not in "ZX":
            out[int(name), fields[19]] = int(fields[1])
    return out


def below(pid):
    """All processes below one, as processes() names them."""
    everybody, found, grown = processes(), set(), {pid}
    while grown:
        new = {who for who, parent in everybody.items() if parent in grown} - found
        found |= new
        grown = {who[0] for who in new}
    return found


class Session:
    """A with-* command around a script, which goes on when it is told to."""

    def __init__(self, command, folder, first="", last="exit 0"):
        told, self.gate = os.path.join(folder, "env"), os.path.join(folder, "gate")
        os.mkfifo(self.gate)
        # bash ignores an interrupt while a command of its own runs that survives it: `ready`, which
        # bash makes itself, says that there is none any more
        ready = told + ".ready"
        script = '%s env -0 >%s; : >%s; read -r line <%s; %s' % (
            first, *map(shlex.quote, (told, ready, self.gate)), last)
        self.p = subprocess.Popen([*command, "bash", "-c", script], env=ENV, start_new_session=True,
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until(lambda: os.path.exists(ready) or self.p.poll() is not None)
        assert os.path.exists(ready), self.p.stderr.read()
        with open(told) as f:
            self.env = dict(line.split("=", 1) for line in f.read().split("\0") if line)
        self.look()
        self.folders = [os.path.dirname(self.env["HOLDFAST_TCTI"].split("path=")[1])]
        if "HOLDFAST_DIR" in self.env:
            self.folders.append(self.env["HOLDFAST_DIR"])

    def look(self):
        self.below = below(self.p.pid)

    def go(self):
        """Lets the script go on; the exit status in the end."""
        with open(self.gate, "w") as f:
            f.write("go\n")
        return self.p.wait(30)

    def kill(self, pid, sig):
        os.kill(pid, sig)
        return self.p.wait(30)

    def pids(self, word):
        out = []
        for pid, _ in self.below:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                    open("/proc/%d/comm" % pid) as f:
                if f.read().startswith(word):
                    out.append(pid)
        return out

    def leaves_nothing(self):
        assert self.below and all(map(os.path.isabs, self.folders))
        until(lambda: not self.below & set(processes()))
        until(lambda: not any(map(os.path.exists, self.folders)))


@pytest.fixture
def session(tmp_path):
    made = []

    def make(*args, folder=tmp_path, **more):
        made.append(Session(*args, folder, **more))
        return made[-1]
    yield make
    for s in made:
        if s.p.poll() is None:  # the test has failed
            s.p.kill()
            s.p.wait()
        s.p.stderr.close()


def test_what_the_command_gets(session):
    s = session(NESTED)
    assert s.env["HOLDFAST_TCTI"].startswith("swtpm:path=/")
    assert os.path.isdir(s.env["HOLDFAST_SWTPM_STATE"])
    assert os.path.dirname(s.env["HOLDFAST_SWTPM_STATE"]) == s.folders[0]
    assert len(s.folders[1]) < 40, "UNIX socket paths are short"
    for name in ("etc", "certs", "secrets", "state"):
        assert os.path.isdir(os.path.join(s.env["HOLDFAST_DIR"], name))
    assert os.stat(os.path.join(s.env["HOLDFAST_DIR"], "secrets")).st_mode & 0o77 == 0
    assert os.path.exists(s.env["HOLDFAST_SOCKET"])
    assert os.path.exists(os.path.join(s.env["OPENSSL_MODULES"], "holdfast.so"))
    run("holdfast", "key", "create", "a", env=s.env)
    assert run("holdfast", "key", "list", "--names", env=s.env).stdout == "a\n"
    assert len(s.pids("swtpm")) == 1 and len(s.pids("holdfast-keeper")) == 1
    assert s.go() == 0
    s.leaves_nothing()


@pytest.mark.plain
def test_provider_is_active():
    p = run(*HOLDFAST, "openssl", "list", "-providers")
    assert "holdfast" in p.stdout and "default" in p.stdout


@pytest.mark.parametrize("command", [SWTPM, HOLDFAST, NESTED], ids=["swtpm", "holdfast", "nested"])
@pytest.mark.parametrize("script,code", [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137),
                                         ("kill -TERM $$", 143), ("no-such-command-anywhere", 127)])
def test_exit_status_is_the_commands(session, command, script, code):
    s = session(command, last=script)
    assert s.go() == code, s.p.stderr.read()
    s.leaves_nothing()


def test_command_that_cannot_be_run(tmp_path):
    assert "no-such-command" in run(*HOLDFAST, "no-such-command-anywhere", code=127).stderr
    (tmp_path / "data").write_text("no program")
    run(*HOLDFAST, str(tmp_path / "data"), code=126)


@pytest.mark.parametrize("command", [SWTPM, HOLDFAST, NESTED], ids=["swtpm", "holdfast", "nested"])
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_ends_everything(session, command, sig):
    s = session(command)
    assert s.kill(s.p.pid, sig) == (-sig if sig == signal.SIGKILL else 128 + sig)
    s.leaves_nothing()


def test_interrupt_from_the_terminal(session):
    """^C goes to all of the foreground at once."""
    s = session(NESTED)
    assert s.kill(-s.p.pid, signal.SIGINT) == 128 + signal.SIGINT
    s.leaves_nothing()


def test_the_command_may_live_through_an_interrupt(session):
    s = session(HOLDFAST, first="trap 'echo noted' INT;", last="exit 5")
    os.kill(s.p.pid, signal.SIGINT)
    assert s.go() == 5
    s.leaves_nothing()


def test_inner_one_is_killed(session):
    s = session(NESTED)
    with open("/proc/%d/task/%d/children" % (s.p.pid, s.p.pid)) as f:
        names = {}
        for pid in map(int, f.read().split()):
            with open("/proc/%d/cmdline" % pid) as cmdline:
                names[pid] = cmdline.read().split("\0")
    # the watcher of with-swtpm has its arguments, which name with-holdfast too
    (inner,) = [pid for pid, args in names.items() if HOLDFAST[0] in args and SWTPM[0] not in args]
    assert s.kill(inner, signal.SIGKILL) == 137
    s.leaves_nothing()


def test_daemons_that_die_early_are_no_trouble(session):
    s = session(NESTED)
    for pid in s.pids("swtpm") + s.pids("holdfast-keeper"):
        os.kill(pid, signal.SIGKILL)
    s.below |= below(s.p.pid)
    assert s.go() == 0
    s.leaves_nothing()


@pytest.mark.parametrize("left", ["sleep 120 &", "setsid sleep 120 &",
                                  "(trap '' TERM; exec setsid sleep 120) &"])
def test_what_the_command_left_running_is_ended(session, left):
    s = session(HOLDFAST, first=left, last="exit 3")
    until(lambda: s.pids("sleep") or s.look())
    assert s.go() == 3
    s.leaves_nothing()


def test_two_brokers_in_turn_on_one_tpm():
    script = ("%s sh -c 'echo $HOLDFAST_TCTI; holdfast key create a >/dev/null && "
              "holdfast --json token list'" % shlex.quote(HOLDFAST[0]))
    said = run(*SWTPM, "sh", "-ec", script + "; " + script).stdout.splitlines()
    assert len(said) >= 4
    tctis = [line for line in said if line.startswith("swtpm:")]
    assert len(tctis) == 2 and tctis[0] == tctis[1]


def test_side_by_side(session, tmp_path):
    """Nothing is shared: no port, no name."""
    folders = [tmp_path / n for n in "12"]
    for folder in folders:
        folder.mkdir()
    one, two = [session(HOLDFAST, folder=folder) for folder in folders]
    assert one.env["HOLDFAST_SOCKET"] != two.env["HOLDFAST_SOCKET"]
    run("holdfast", "key", "create", "a", env=one.env)
    assert run("holdfast", "key", "list", "--names", env=two.env).stdout == ""
    for s in (one, two):
        assert s.go() == 0
        s.leaves_nothing()


def test_own_configuration(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("[limits]\nconnections = 77\n")
    said = run(*HOLDFAST, "--config", str(config), "sh", "-c", 'cat "$HOLDFAST_DIR/etc/holdfastd.json"')
    assert '"connections":77' in said.stdout.replace(" ", "")


def test_bad_configuration_is_shown(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("[limits]\nconections = 77\n")
    said = run(*HOLDFAST, "--config", str(config), "true", code=99).stderr
    assert "conections" in said and "connections" in said


@pytest.mark.parametrize("args,code", [([], 2), (["--nonsense", "true"], 2), (["--config"], 2),
                                       (["--help"], 0)])
def test_usage(args, code):
    p = run(*HOLDFAST, *args, code=code)
    assert "usage: with-holdfast" in p.stdout + p.stderr


def test_without_a_build(tmp_path):
    said = run(*HOLDFAST, "true", code=99, env={"HOLDFAST_BUILD": str(tmp_path)}).stderr
    assert "not found" in said and "demo" in said


def test_without_swtpm():
    said = run(*SWTPM, "true", code=99, env={"PATH": "/nonexistent"}).stderr
    assert "swtpm" in said and "setup" in said


def test_agent():
    """with-holdfast --agent: what was due has been done when the command starts."""
    p = subprocess.run([os.path.join(ROOT, "swtpm-ci", "with-holdfast"), "--agent", "bash", "-c",
                        'openssl x509 -in "$HOLDFAST_DIR/certs/edge-ca.pem" -noout -subject; '
                        'cat "$HOLDFAST_DIR/run/agent/status.json"'], env=ENV, capture_output=True,
                       text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    assert "aziot-edge CA" in p.stdout and '"state":"ok"' in p.stdout.replace(" ", "")
