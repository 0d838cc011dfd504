# SPDX-License-Identifier: Apache-2.0
"""holdfast config check, apply, explain: no daemon is needed for any of it."""
import json
import os
import resource
import signal
import stat
import subprocess

import pytest

from clilib import CLI, ENV, Done, Home, warnings
from keeperlib import ROOT

with open(os.path.join(ROOT, "tests", "data", "config-full.toml")) as f:
    FULL = f.read()


@pytest.fixture
def home():
    h = Home('[[token]]\nname = "tpm"\ntcti = "swtpm:path=/x"\n')
    yield h
    h.close()


def written(home):
    return json.loads(home.read("etc/holdfastd.json"))


def test_misspelt_key(home):
    home.write("[limits]\n\nconections = 3\n")
    p = home.run("config", "check", code=2)
    assert f"{home.path('etc/config.toml')}:3: " in p.err
    assert "did you mean 'connections'" in p.err
    assert p.out == ""


def test_misspelt_key_as_json(home):
    home.write("[limits]\n\nconections = 3\nidle = 3\n")
    got = home.json("config", "check", code=2)
    assert got["error"]["code"] == "ARGUMENT" and got["error"]["exit"] == 2
    assert [(p["line"], p["severity"]) for p in got["problems"]] == [(3, "error"), (4, "error")]
    assert all(p["file"] == home.path("etc/config.toml") for p in got["problems"])


def test_everything_at_once_is_reported(home):
    home.write('hostnme = "x"\n[[token]]\ntimout = 1\n[edge_ca]\nmethod = "ets"\n')
    err = home.run("config", "check", code=2).err
    for text in (":1: ", "'hostname'", ":3: ", "'timeout'", ":5: ", '"est"', "has no 'name'"):
        assert text in err, text


def test_full_config_is_good(home):
    home.write(FULL)
    p = home.run("config", "check")
    assert "good" in p.out
    assert "[agent] belongs to another daemon: skipped" in p.err
    assert "error" not in p.err and not warnings(p.err)


def test_apply_writes_for_the_daemon_alone(home):
    p = home.run("config", "apply")
    assert "when it is restarted" in p.out
    path = home.path("etc/holdfastd.json")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    conf = written(home)
    assert conf["state_dir"] == home.path("state")
    assert conf["sockets"][0]["path"] == home.path("run/holdfast.sock")
    assert conf["tokens"][0]["timeout_ms"] == 1500


def test_apply_twice_changes_nothing(home):
    assert home.json("config", "apply")["changed"] is True
    before = os.stat(home.path("etc/holdfastd.json"))
    got = home.json("config", "apply")
    after = os.stat(home.path("etc/holdfastd.json"))
    assert got["changed"] is False
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_apply_tells_what_the_daemon_needs(home):
    """As the broker has it: tokens and sockets with a restart, the rest with SIGHUP."""
    def apply(text):
        home.write(text)
        return home.json("config", "apply")["needs"]

    token = '[[token]]\nname = "tpm"\ntcti = "swtpm:path=/x"\n'
    sock = f'[[socket]]\nname = "main"\npath = "{home.path("s")}"\n'
    assert apply(token) == "restart"  # there was nothing
    assert apply(token) == "nothing"
    assert apply(token + "[limits]\nconnections = 9\n") == "reload"
    assert "SIGHUP" not in home.run("config", "apply").out
    home.write(token)
    assert "SIGHUP" in home.run("config", "apply").out
    assert apply(token + '[[principal]]\nuid = 9\nkeys = ["*"]\n') == "reload"
    assert apply(token + '[[ca_profile]]\nkey = "*"\n') == "reload"
    assert apply(token + 'timeout = "5s"\n') == "restart"
    assert apply(token + 'timeout = "5s"\n' + sock) == "restart"
    home.write("damaged", "etc/holdfastd.json")
    assert apply(token) == "restart"


SYSTEM = """
set -e
mount --make-rprivate /
cp /etc/passwd /etc/group /etc/ld.so.cache "$1"
for f in nsswitch.conf ld.so.conf; do test ! -e /etc/$f || cp /etc/$f "$1"; done
sed -i '/^aziot[kc]s:/d' "$1/passwd" "$1/group"
test -z "$2" || echo 'aziotks:x:64123:64124::/:/bin/false' >>"$1/passwd"
test -z "$2" || echo 'aziotks:x:64124:' >>"$1/group"
echo 'aziotcs:x:64125:64126::/:/bin/false' >>"$1/passwd"
echo 'aziotcs:x:64126:' >>"$1/group"
mkdir -p "$1/aziot" "$1/holdfast"
mount --bind "$1" /etc
mount --bind "$1/systemctl" /usr/bin/systemctl
mount -t tmpfs none /run
mkdir -p /run/systemd/system
shift 2
exec "$@"
"""
SYSTEMCTL = """#!/bin/sh
echo "$@" >>/etc/calls
echo noise
case $2 in
is-active) exit $(cat /etc/active) ;;
is-failed) exit $(cat /etc/failed) ;;
*) exit $(cat /etc/result) ;;
esac
"""


class System:
    """The system's own files and users, as far as `config apply` sees them: in a mount namespace."""

    def __init__(self, home, user=True):
        self.home, self.user = home, user
        os.makedirs(home.path("sys/aziot"))
        home.write(SYSTEMCTL, "sys/systemctl")
        os.chmod(home.path("sys/systemctl"), 0o755)
        self.write("")
        self.systemd(0, 0)

    def write(self, text):
        self.home.write(text, "sys/aziot/config.toml")

    def systemd(self, active, result, failed=1):
        self.home.write(str(failed), "sys/failed")
        self.home.write(str(active), "sys/active")
        self.home.write(str(result), "sys/result")

    def apply(self, *words, code=0):
        self.home.write("", "sys/calls")
        p = Done(subprocess.run(["unshare", "-m", "sh", "-c", SYSTEM, "sh", self.home.path("sys"),
                                 "yes" if self.user else "", CLI, "config", "apply", *words],
                                capture_output=True, env=ENV, timeout=60))
        assert p.code == code, (p.code, p.out, p.err)
        return p

    def calls(self):
        return self.home.read("sys/calls").decode().replace("--quiet ", "").splitlines()


@pytest.mark.root
def test_system_file_is_the_daemons_alone(home):
    system = System(home)
    got = system.apply("--json").json
    assert got["written"] == "/etc/holdfast/holdfastd.json" and got["daemon"] == "restarted"
    st = os.stat(home.path("sys/holdfast/holdfastd.json"))
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (64123, 64124, 0o600)
    assert json.loads(home.read("sys/holdfast/holdfastd.json"))["sockets"][0]["group"] == "aziotks"
    st = os.stat(home.path("sys/holdfast/agent.json"))
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (64125, 64126, 0o600)
    agent = json.loads(home.read("sys/holdfast/agent.json"))
    assert agent["sockets"][0]["group"] == "aziotcs" == agent["credentials"][0]["owner"]
    told = json.loads(home.read("sys/holdfast/holdfastd.json"))["principals"]
    assert [(p["uid"], p["keys"], p["rights"]) for p in told[1:]] == [
        (64125, ["edge-ca"], ["public", "ca", "create", "rotate"])]
    os.chown(home.path("sys/holdfast/holdfastd.json"), 0, 0)
    assert system.apply("--json").json["changed"] is True
    assert os.stat(home.path("sys/holdfast/holdfastd.json")).st_uid == 64123


@pytest.mark.root
def test_system_daemon_is_restarted_or_reloaded(home):
    system = System(home)
    system.apply()
    assert system.calls() == ["is-active holdfastd.service", "try-restart holdfastd.service",
                              "is-active holdfast-agent.service", "try-restart holdfast-agent.service"]
    system.write("[limits]\nconnections = 9\n")
    assert "told to reload" in system.apply().out
    assert system.calls()[1:] == ["try-reload-or-restart holdfastd.service",
                                  "is-active holdfast-agent.service",
                                  "try-reload-or-restart holdfast-agent.service"]
    system.write('[[token]]\nname = "other"\n')
    assert "restarted" in system.apply().out
    assert system.calls()[1:] == ["try-restart holdfastd.service", "is-active holdfast-agent.service",
                                  "try-reload-or-restart holdfast-agent.service"]


@pytest.mark.root
def test_system_daemon_that_fails_is_tried_again(home):
    system = System(home)
    system.systemd(0, 1)
    p = system.apply(code=1)
    assert "did not restart" in p.err and "is written" in p.err
    system.write("[limits]\nconnections = 9\n")
    assert "did not reload" in system.apply(code=1).err
    system.systemd(0, 0)
    got = system.apply("--json").json  # nothing to write, but the daemon has not had it
    assert got["changed"] is False and got["daemon"] == "reloaded"


@pytest.mark.root
def test_system_daemon_that_does_not_run(home):
    system = System(home)
    system.systemd(3, 1)
    p = system.apply()
    assert "does not run" in p.out
    assert system.calls() == ["is-active holdfastd.service", "is-failed holdfastd.service",
                              "is-active holdfast-agent.service", "is-failed holdfast-agent.service"]
    system.systemd(1, 0)  # systemctl itself is in trouble
    system.apply(code=1)


@pytest.mark.root
def test_system_daemon_that_has_failed_is_started(home):
    """systemd has given up on it: with a configuration that was broken, until now."""
    system = System(home)
    system.systemd(3, 0, failed=0)
    assert system.apply("--json").json["daemon"] == "restarted"
    assert system.calls()[:3] == ["is-active holdfastd.service", "is-failed holdfastd.service",
                                  "restart holdfastd.service"]
    system.systemd(3, 1, failed=0)
    assert "did not restart" in system.apply(code=1).err


@pytest.mark.root
def test_system_without_the_daemons_user(home):
    p = System(home, user=False).apply(code=1)
    assert "there is no user aziotks" in p.err and "systemd-sysusers" in p.err
    assert os.listdir(home.path("sys/holdfast")) == []


def test_apply_mends_the_mode(home):
    home.run("config", "apply")
    os.chmod(home.path("etc/holdfastd.json"), 0o644)
    assert home.json("config", "apply")["changed"] is True
    assert stat.S_IMODE(os.stat(home.path("etc/holdfastd.json")).st_mode) == 0o600


@pytest.mark.parametrize("bad", ["[limits]\nconections = 1\n", "= what", '[[principal]]\nuser = "nobody-at-all"\nkeys=[]\n',
                                 '[[principal]]\nuid = 1\nsocket = "other"\nkeys = []\n'])
def test_failed_apply_leaves_the_old_file(home, bad):
    home.run("config", "apply")
    old, inode = home.read("etc/holdfastd.json"), os.stat(home.path("etc/holdfastd.json")).st_ino
    home.write(bad)
    p = home.run("config", "apply", code=2)
    assert "nothing was changed" in p.err
    assert home.read("etc/holdfastd.json") == old
    assert os.stat(home.path("etc/holdfastd.json")).st_ino == inode
    assert sorted(os.listdir(home.path("etc"))) == ["agent.json", "config.toml", "holdfastd.json"]


def test_full_disk_leaves_the_old_file(home):
    """A write that fails half-way: the limit of file sizes stands for the full disk."""
    home.run("config", "apply")
    old = home.read("etc/holdfastd.json")
    home.write(FULL)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    p = home.run("config", "apply", code=1, preexec_fn=limit)
    assert "agent.json" in p.err
    assert home.read("etc/holdfastd.json") == old
    assert sorted(os.listdir(home.path("etc"))) == ["agent.json", "config.toml", "holdfastd.json"]


@pytest.mark.parametrize("first", [True, False])
def test_both_files_or_none(home, first):
    """The second file does not fit on the disk: the first is as it was, or not there."""
    if not first:
        home.run("config", "apply")
    before = {n: home.read("etc/" + n) for n in os.listdir(home.path("etc")) if n.endswith(".json")}
    home.write("[certificates]\nwait_for_ntp = true\n" +
               "".join(f'[[principal]]\nuid = {n}\nkeys = ["key-{n}"]\n' for n in range(1, 99)))

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))

    assert "holdfastd.json" in home.run("config", "apply", code=1, preexec_fn=limit).err
    assert {n: home.read("etc/" + n) for n in os.listdir(home.path("etc")) if n.endswith(".json")} == before
    home.run("config", "apply")


def test_drop_ins_merge_in_order(home):
    home.write("[limits]\nconnections = 1\nidle = '1s'\n[[principal]]\nuid = 5\nkeys = ['a']\n")
    home.write("[limits]\nconnections = 3\n[[principal]]\nuid = 7\nkeys = ['c']\n", "etc/config.d/20.toml")
    home.write("[limits]\nconnections = 2\n[[principal]]\nuid = 6\nkeys = ['b']\n", "etc/config.d/10.toml")
    home.write("nonsense", "etc/config.d/README")
    home.write("nonsense", "etc/config.d/.hidden.toml")
    got = home.json("config", "apply")
    conf = written(home)
    assert conf["limits"]["connections"] == 3 and conf["limits"]["idle_s"] == 1
    assert [p["uid"] for p in conf["principals"]][:4] == [0, 5, 6, 7]
    assert got["changed"]


def test_error_in_a_drop_in_names_it(home):
    home.write("\n\n[limts]\n", "etc/config.d/10.toml")
    err = home.run("config", "apply", code=2).err
    assert home.path("etc/config.d/10.toml") + ":3: " in err and "[limits]" in err


def test_value_that_a_drop_in_replaces_is_checked_too(home):
    home.write("[limits]\nconnections = 0\n")
    home.write("[limits]\nconnections = 5\n", "etc/config.d/10.toml")
    assert ":2: connections is 0" in home.run("config", "check", code=2).err


def test_no_file_means_defaults():
    home = Home()
    os.unlink(home.path("etc/config.toml"))
    p = home.run("config", "check")
    assert "default" in p.out and "there is no such file" in p.err
    home.run("config", "check", "--config", home.path("nope.toml"), code=1)
    home.close()


def test_another_file(home):
    home.write("[limits]\nconnections = 77\n", "other.toml")
    home.run("config", "apply", "--config", "other.toml")
    assert written(home)["limits"]["connections"] == 77


def test_check_shows_what_would_be_written(home):
    want = home.json("config", "check")["holdfastd"]
    assert not os.path.exists(home.path("etc/holdfastd.json"))
    home.run("config", "apply")
    assert written(home) == want


def test_relative_root_becomes_absolute(home):
    home.run("config", "apply", "--root", ".", root=False)
    assert written(home)["state_dir"].startswith("/")


def test_root_that_makes_the_socket_path_too_long():
    home = Home()
    deep = home.path("d" * 100)
    os.mkdir(deep)
    p = home.run("config", "apply", "--root", deep, root=False, code=2)
    assert "too long for a socket" in p.err
    home.close()


def test_binary_file_is_an_error_not_a_crash(home):
    with open(home.path("etc/config.toml"), "wb") as f:
        f.write(bytes(range(256)) * 8)
    assert "not TOML" in home.run("config", "check", code=2).err


def test_file_that_is_too_large(home):
    home.write("# " + "x" * (1 << 20) + "\n")
    assert "config.toml" in home.run("config", "check", code=1).err


def test_file_that_others_may_write(home):
    os.chmod(home.path("etc/config.toml"), 0o666)
    p = home.run("config", "apply")
    assert "warning: " + home.path("etc/config.toml") in p.err and "mode 0666" in p.err


@pytest.mark.parametrize("text,secret", [
    ('[cert_issuance.est.auth]\nusername = "u"\npassword = "geheim"\n', True),
    ('[provisioning]\nsource = "manual"\nconnection_string = "DeviceId=x"\n', True),
    ('[provisioning.authentication]\nmethod = "sas"\ndevice_id_pk = { value = "eA==" }\n', True),
    ('[preloaded_keys]\na = "pkcs11:token=t;object=o?pin-value=1"\n[aziot_keys]\npkcs11_lib_path = "/x.so"\n'
     'pkcs11_base_slot = "pkcs11:token=t"\n', True),
    ('[cert_issuance.est.auth]\nusername = "u"\npassword_file = "/x"\n', False)])
def test_secrets_in_a_file_that_others_may_read(home, text, secret):
    home.write(text)
    assert "there is a secret here" not in home.run("config", "check").err
    os.chmod(home.path("etc/config.toml"), 0o640)
    err = home.run("config", "check").err
    assert ("there is a secret here, and others may read the file (mode 0640)" in err) == secret
    assert "geheim" not in err


def test_explain(home):
    assert "timeout" in home.run("config", "explain", "token").out
    assert "10d" in home.run("config", "explain", "edge_ca.auto_renew.threshold").out
    assert "[[token]]" in home.run("config", "explain", "[[token]]").out
    assert "did you mean 'token.timeout'" in home.run("config", "explain", "token.timout", code=2).err
    keys = {k["key"]: k for s in home.json("config", "explain")["sections"] for k in s["keys"]}
    assert keys["token.tcti"]["default"] == "device:/dev/tpmrm0"
    assert keys["token.name"]["required"] is True




def explained(home):
    return home.json("config", "explain")["sections"]


def parents(sections, s):
    """Tables below a [[list]] of tables want an element of that before them."""
    above = s["path"].split(".")[0]
    lists = {x["path"] for x in sections if x["section"].startswith("[[")}
    return f"[[{above}]]\n" if above in lists and "." in s["path"] else "\n"


def nearest_mistakes(name):
    """The slips people make: a letter missing, twice, or exchanged with its neighbour."""
    middle = len(name) // 2
    for slip in (name[:middle] + name[middle + 1:], name[:middle] + name[middle] + name[middle:],
                 name[:middle - 1] + name[middle] + name[middle - 1] + name[middle + 1:]):
        if slip != name:
            yield slip


def test_every_key_misspelt_gives_line_and_name(home):
    """Out of the schema itself, so that no key that is added later is without it."""
    tried = 0
    sections = explained(home)
    for s in sections:
        names = {k["name"] for k in s["keys"]}
        if "*" in names or s["owner"] == "other":
            continue
        header = s["section"] if s["path"] else ""
        for name in sorted(n for n in names if len(n) > 3):
            for slip in nearest_mistakes(name):
                if slip in names:
                    continue
                home.write(f"{parents(sections, s)}{header}\n{slip} = 1\n")
                problems = home.json("config", "check", code=2)["problems"]
                (found,) = [p for p in problems if p["line"] == 3]
                assert f"'{slip}' is not known" in found["message"], (s["section"], slip)
                assert f"'{name}'" in found["message"], (s["section"], slip, found["message"])
                tried += 1
    assert tried > 150


def test_every_section_misspelt_gives_its_name(home):
    tried = 0
    sections = explained(home)
    for s in sections:
        if not s["path"]:
            continue
        parent, _, last = s["path"].rpartition(".")
        for slip in nearest_mistakes(last):
            path = f"{parent}.{slip}" if parent else slip
            home.write(parents(sections, s) + s["section"].replace(s["path"], path) + "\n")
            p = home.run("config", "check", code=2)
            assert s["path"] in p.err or f"'{last}'" in p.err, (path, p.err)
            tried += 1
    assert tried > 60


DEVICES = sorted(n for n in os.listdir(os.path.join(ROOT, "tests", "data")) if n.startswith("device-"))


@pytest.mark.parametrize("name", DEVICES)
def test_configurations_of_devices_are_taken(home, name):
    """With what IoT Edge's other daemons have in them, and no word of ours."""
    with open(os.path.join(ROOT, "tests", "data", name)) as f:
        text = f.read()
    home.write(text)
    p = home.run("config", "check")
    assert "error" not in p.err and not warnings(p.err)
    assert home.json("config", "apply")["changed"] is True
    # A slip anywhere is found: each key in turn, with a letter more.
    for at, line in enumerate(text.split("\n")):
        key = line.split(" = ")[0]
        if " = " not in line or not key.isidentifier() or "# free" in line:
            continue
        slipped = text.split("\n")
        slipped[at] = line.replace(key, key + "x", 1)
        home.write("\n".join(slipped))
        assert f":{at + 1}: '{key}x' is not known" in home.run("config", "check", code=2).err


def test_deep_keys_are_an_error_not_a_crash(home):
    for text in ("[" + "a." * 500000 + "a]\n", "agent." + "a." * 500000 + "a = 1\n"):
        home.write(text)
        assert ":1: a key has more than 32 parts" in home.run("config", "check", code=2).err


def test_sockets_without_main_are_warned_of(home):
    home.write(f'[[socket]]\nname = "side"\npath = "{home.path("s")}"\n')
    p = home.run("config", "apply")
    assert 'warning: ' in p.err and 'no [[socket]] is called "main"' in p.err
