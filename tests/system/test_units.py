# SPDX-License-Identifier: Apache-2.0
"""The systemd units: confined as the issue of confinement says, and about programs that exist."""
import glob
import json
import os
import re
import subprocess

import pytest

from keeperlib import BUILD, ROOT

DIST = os.path.join(BUILD, "dist")
SYSTEMD = os.path.join(ROOT, "dist", "systemd")
DAEMONS = ["holdfastd.service", "holdfast-agent.service"]
SERVICES = DAEMONS + ["holdfast-trust.service"]
# Why a service is not confined, in the words that the unit has as well.
EXEMPT = {"holdfast-hook@.service": "nobody but him knows what it is for"}
OTHERS = ["holdfastd.socket", "holdfastd-metrics.socket", "holdfast-agent-certd.socket",
          "holdfast-agent-workload.socket", "holdfast-hook@.path", "holdfast-trust.path"]
DROP_IN = os.path.join(SYSTEMD, "holdfastd-hsm.conf")
BINARIES = {"holdfastd.service": os.path.join(BUILD, "src", "broker", "holdfastd"),
            "holdfast-agent.service": os.path.join(BUILD, "src", "agent", "holdfast-agent")}


def text_of(name):
    """As it is installed: made from a template, or as it is in the sources."""
    path = os.path.join(DIST, name)
    with open(path if os.path.exists(path) else os.path.join(SYSTEMD, name)) as f:
        return f.read()


def stand(name, where):
    """The unit in a directory of its own, about a program that is there."""
    unit = where / name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text_of(name), flags=re.M))
    return str(unit)


def exposure(unit):
    p = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                        "--threshold=15", unit], capture_output=True, text=True)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", p.stdout)
    assert level and (p.returncode == 0) == (float(level[1]) <= 1.5), p.stdout + p.stderr
    return float(level[1]), p.stdout


def test_every_unit_is_looked_at():
    """A new service has a score or a reason, a new unit is among those that systemd reads."""
    units = {os.path.basename(p).removesuffix(".in") for p in glob.glob(SYSTEMD + "/*")}
    assert units == {*SERVICES, *EXEMPT, *OTHERS, os.path.basename(DROP_IN)}
    with open(os.path.join(ROOT, "docs", "THREAT-MODEL.md")) as f:
        threats = f.read()
    for name, reason in EXEMPT.items():
        said = re.sub(r"\n# ", " ", text_of(name))
        assert reason in said and f"`{name}`" in threats


@pytest.mark.parametrize("name", SERVICES)
def test_exposure(name, tmp_path):
    """systemd-analyze's own measure: 1.5 at most, where 10 is everything."""
    level, table = exposure(stand(name, tmp_path))
    assert level <= 1.5, table


def test_exposure_with_the_drop_in_for_hsms(tmp_path):
    """Loosened in all that it says, and no more than that."""
    unit = stand("holdfastd.service", tmp_path)
    before, _ = exposure(unit)
    (tmp_path / "holdfastd.service.d").mkdir()
    with open(DROP_IN) as f:
        (tmp_path / "holdfastd.service.d" / "hsm.conf").write_text(f.read())
    level, table = exposure(unit)
    assert before < level <= 1.5, table
    for what in "PrivateNetwork=", "RestrictAddressFamilies=~AF_(INET|INET6)", "IPAddressDeny=":
        assert re.search(r"✗ " + re.escape(what), table), table
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert "hsm.conf" not in p.stderr and "Unknown" not in p.stderr, p.stderr


def test_the_drop_in_for_hsms_is_installed_where_the_guide_says():
    with open(os.path.join(BUILD, "meson-info", "intro-installed.json")) as f:
        installed = json.load(f)
    assert installed[DROP_IN].endswith("/share/holdfast/holdfastd-hsm.conf")
    with open(os.path.join(ROOT, "dist", "debian", "holdfast.install")) as f:
        assert "usr/share/holdfast/holdfastd-hsm.conf\n" in f.readlines()
    with open(os.path.join(ROOT, "docs", "guides", "hsm-gateway.md")) as f:
        assert ("install -D -m 0644 /usr/share/holdfast/holdfastd-hsm.conf "
                "/etc/systemd/system/holdfastd.service.d/hsm.conf") in f.read()


def test_the_rule_for_the_device():
    """Installed, of words that udev knows, and for the group that the units and users have."""
    with open(os.path.join(BUILD, "meson-info", "intro-installed.json")) as f:
        places = {os.path.basename(k): v for k, v in json.load(f).items()}
    assert places["60-holdfast.rules"].endswith("udev/rules.d/60-holdfast.rules")
    with open(os.path.join(ROOT, "dist", "60-holdfast.rules")) as f:
        (rule,) = [line.strip() for line in f if not line.startswith("#")]
    words = dict(re.fullmatch(r'(\w+)(==|\+=|=)"([^"]+)"', w).group(1, 3) for w in rule.split(", "))
    assert words == {"SUBSYSTEM": "tpmrm", "KERNEL": "tpmrm[0-9]*", "TAG": "systemd", "GROUP": "tss",
                     "MODE": "0660"}
    with open(os.path.join(DIST, "holdfastd.service")) as f:
        unit = f.read()
    assert "SupplementaryGroups=tss\n" in unit and "DeviceAllow=/dev/tpmrm0 rw\n" in unit
    with open(os.path.join(DIST, "holdfast.sysusers")) as f:
        assert "m aziotks tss\n" in f.read()


def lines(name):
    with open(os.path.join(DIST, name)) as f:
        return f.read().splitlines()


@pytest.mark.parametrize("name", DAEMONS)
def test_a_service_that_died_comes_back_at_once_however_often(name):
    got = lines(name)
    assert "RestartSec=100ms" in got and "Restart=on-failure" in got
    unit = got[got.index("[Unit]"):got.index("[Service]")]
    assert "StartLimitIntervalSec=0" in unit


def test_the_limits_of_the_unit_let_the_configuration_have_its_own():
    """All connections that [limits] can allow; 8 tokens with 8 keepers, two of ours, and threads."""
    got = dict(line.split("=", 1) for line in lines("holdfastd.service") if "=" in line)
    soft, hard = map(int, got["LimitNOFILE"].split(":"))  # the broker raises its own
    assert soft == 1024 and hard >= 65536 + 256 and int(got["TasksMax"]) > 8 * 8 + 2


def test_sockets_of_the_configuration_can_be_made():
    """Where they are by default, by who runs as the keys' user and has the rest read-only."""
    assert "ReadWritePaths=-/run/holdfast" in lines("holdfastd.service")
    assert "d /run/holdfast 0755 aziotks aziotks -" in lines("holdfast.tmpfiles")


def test_the_audit_is_not_rate_limited():
    assert "LogRateLimitIntervalSec=0" in lines("holdfastd.service")


@pytest.mark.parametrize("name", SERVICES + list(EXEMPT) + OTHERS)
def test_every_word_is_known_to_systemd(name, tmp_path):
    for service in SERVICES + list(EXEMPT):  # which the others are for
        (tmp_path / service).write_text("[Service]\nExecStart=/bin/true\n")
    unit = stand(name, tmp_path)
    if "@" in name:  # one of it
        unit = unit.replace("@", "@web")
        os.link(tmp_path / name, unit)
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    # what it says of units that are not installed here is no matter
    wrong = [line for line in p.stderr.splitlines()
             if unit in line or str(tmp_path / name) in line or "Unknown" in line]
    assert not wrong, wrong


def never_again(name):
    (line,) = [x for x in lines(name) if x.startswith("RestartPreventExitStatus=")]
    return [int(code) for code in line.partition("=")[2].split()]


BROKEN = {"not there": None, "empty": "", "no JSON": "{", "of another kind": "[]",
          "unknown": '{"version": 1, "colour": "red"}'}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("name", DAEMONS)
def test_a_broken_configuration_is_tried_once(name, what, tmp_path):
    """systemd would start it ten times a second, for ever."""
    path = tmp_path / "config.json"
    if BROKEN[what] is not None:
        path.write_text(BROKEN[what])
        path.chmod(0o600)
    p = subprocess.run([BINARIES[name], "--config", str(path)], capture_output=True, text=True,
                       timeout=60)
    assert p.returncode == 2 and 2 in never_again(name), (p.returncode, p.stderr)
    assert str(path) in p.stderr, p.stderr


@pytest.mark.parametrize("name", DAEMONS)
def test_wrong_options_are_tried_once(name):
    p = subprocess.run([BINARIES[name], "--colour"], capture_output=True, timeout=60)
    assert p.returncode == 2 and 2 in never_again(name)


def test_a_configuration_that_others_may_write_is_tried_once(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{}")
    path.chmod(0o666)
    p = subprocess.run([BINARIES["holdfastd.service"], "--config", str(path)], capture_output=True,
                       text=True, timeout=60)
    assert p.returncode == 3 and 3 in never_again("holdfastd.service"), (p.returncode, p.stderr)


@pytest.mark.parametrize("name", DAEMONS)
def test_what_may_pass_is_tried_again(name):
    """1 is a failure, 4 that something is not there yet; a signal is no exit status."""
    assert not {0, 1, 4} & set(never_again(name))


# What the unit takes away of files, capabilities and networks; system calls are systemd's to filter.
CONFINED = """
set -e
mount --make-rprivate /
mount --bind "$1/ssl" /etc/ssl
mount -t tmpfs none /usr/local/share
mkdir /usr/local/share/ca-certificates
mount --bind "$1/local" /usr/local/share/ca-certificates
for hook in /var/lib/ca-certificates-java /var/lib/dpkg; do
    test -e $hook || continue
    cp -a $hook "$1"
    mount --bind "$1/${hook##*/}" $hook
done
mount --bind /tmp /tmp
mount -o remount,bind,ro /
if touch /etc/written 2>/dev/null; then exit 9; fi
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$2" trust install "$1/bundle.pem"
"""


@pytest.mark.root
def test_the_trust_bundle_gets_into_the_store_so_confined(tmp_path):
    unit = lines("holdfast-trust.service")
    assert {"ProtectSystem=strict", "ReadWritePaths=/etc/ssl", "CapabilityBoundingSet=", "PrivateTmp=yes",
            "ReadWritePaths=-/usr/local/share/ca-certificates", "PrivateNetwork=yes",
            "ReadWritePaths=-/var/lib/ca-certificates-java -/var/lib/dpkg -/var/log/dpkg.log"} <= set(unit)
    subprocess.run(["cp", "-a", "/etc/ssl", str(tmp_path / "ssl")], check=True)
    (tmp_path / "local").mkdir()
    bundle = tmp_path / "bundle.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", "/dev/null", "-out", str(bundle), "-subj", "/CN=of a test",
                    "-days", "2"], check=True, capture_output=True)
    p = subprocess.run(["unshare", "-mn", "sh", "-c", CONFINED, "sh", str(tmp_path),
                        os.path.join(BUILD, "src", "cli", "holdfast")], capture_output=True, text=True,
                       timeout=300)
    assert p.returncode == 0 and "1 new" in p.stdout, p.stdout + p.stderr
    assert "exited with code" not in p.stderr, p.stderr  # a hook
    (made,) = os.listdir(tmp_path / "local")
    assert (tmp_path / "ssl" / "certs" / made.replace(".crt", ".pem")).is_symlink()
    assert bundle.read_text().strip() in (tmp_path / "ssl/certs/ca-certificates.crt").read_text()
