# SPDX-License-Identifier: Apache-2.0
"""holdfast-agent: quickstart Edge CA, renewal with and without a new key, crashes, disks, clocks."""
import datetime
import os
import signal
import subprocess

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from agentlib import DAY, Device, spki_of


@pytest.fixture
def device(request):
    with Device(getattr(request, "param", "")) as d:
        yield d


def name_of(cert):
    return cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


def days_of(cert):
    return (cert.not_valid_after - cert.not_valid_before).total_seconds() / DAY


def test_quickstart(device):
    cert = device.cert()
    assert name_of(cert).startswith("aziot-edge CA ")
    assert 90 <= days_of(cert) < 90.1 and cert.version is x509.Version.v3
    begins = cert.not_valid_before.replace(tzinfo=datetime.timezone.utc).timestamp()
    assert device.now() - DAY < begins < device.now(), "back-dated a little, for clocks that are behind"
    constraints = cert.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value == x509.BasicConstraints(True, 0)
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.key_cert_sign and usage.value.digital_signature
    assert not usage.value.crl_sign and cert.serial_number.bit_length() == 127
    device.check_pair()
    entry = device.credential("edge-ca")
    assert entry["state"] == "ok" and entry["quickstart"] and entry["last"]["result"] == "ok"
    assert 71.9 * DAY < entry["next"] - device.now() < 73 * DAY
    assert "not for production" in device.log()
    p = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", device.path("edge-ca.pem"),
                        device.path("edge-ca.pem")], env=dict(device.env), capture_output=True)
    assert p.returncode == 0, p.stderr
    assert "HOLDFAST KEY REFERENCE" in open(device.path("edge-ca.key.pem")).read()
    for name, mode in (("edge-ca.pem", 0o644), ("edge-ca.key.pem", 0o644),
                       ("trust-bundle.pem", 0o644)):
        assert os.stat(device.path(name)).st_mode & 0o777 == mode


def renewed(device, before, name="edge-ca"):
    device.until(lambda: device.fingerprint(name) != before)
    device.until(lambda: device.credential(name)["fingerprint_sha256"] == device.fingerprint(name))


def test_renewal_with_a_new_key(device):
    before, old = device.fingerprint(), device.cert()
    device.advance(71 * DAY)
    device.until(lambda: "read again" in device.log())
    assert device.fingerprint() == before  # it is not time yet
    device.advance(3 * DAY)
    renewed(device, before)
    assert spki_of(device.cert()) != spki_of(old)
    assert device.cert().serial_number != old.serial_number
    device.check_pair()
    assert sorted(device.generations("edge-ca").values()) == ["current", "retiring"]
    assert set(device.bundle()) == {spki_of(old), spki_of(device.cert())}
    device.sleep(20 * DAY)  # the old one has ended now
    device.until(lambda: device.status()["bundle"]["certificates"] == 1)
    device.until(lambda: list(device.generations("edge-ca").values()) == ["current"])


def test_the_algorithm_of_the_next_key(device):
    """It is the old key's, whoever made that, until one is configured."""
    def algorithm():
        return device.json("key", "show", "web")["algorithm"]

    def renew():
        before = device.fingerprint("web")
        device.cli("cert", "renew", "web", "--rotate-key", "--root", device.dir)
        renewed(device, before, "web")
        device.check_pair("web")

    device.apply(WEB % "")
    device.cli("key", "create", "web", "--algorithm", "ec-p384")
    device.wake()
    device.until(lambda: os.path.exists(device.path("web.pem")))
    assert algorithm() == "ec-p384"
    renew()
    assert algorithm() == "ec-p384"
    device.apply(WEB % 'algorithm = "rsa-2048"\n')
    device.wake()
    renew()
    assert algorithm() == "rsa-2048" and device.cert("web").public_key().key_size == 2048
    device.apply(WEB % "")
    device.wake()
    renew()
    assert algorithm() == "rsa-2048"


WEB = """[[credential]]
id = "web"
method = "local_ca"
issuer = "edge-ca"
common_name = "web.local"
%s[edge_ca]
enabled = true
"""
SAME = '[edge_ca.auto_renew]\nrotate_key = false\nthreshold = "10d"\nretry = "1d"\n'


@pytest.mark.parametrize("device", [SAME], indirect=True)
def test_renewal_with_the_same_key(device):
    before, old = device.fingerprint(), device.cert()
    assert 79 * DAY < device.credential("edge-ca")["next"] - device.now() < 81 * DAY
    device.advance(82 * DAY)
    renewed(device, before)
    assert spki_of(device.cert()) == spki_of(old)
    assert list(device.generations("edge-ca").values()) == ["current"]


def test_a_changed_lifetime_is_reissued(device):
    before = device.fingerprint()
    device.apply("[edge_ca]\nauto_generated_edge_ca_expiry_days = 30\n")
    device.wake()
    renewed(device, before)
    assert 30 <= days_of(device.cert()) < 30.1


def test_what_waited_is_of_the_configuration_of_then(device):
    """A certificate that came, and that the disk took only after a change: it is replaced as well."""
    path = device.path("edge-ca.pem")
    os.rename(path, path + ".kept")
    os.mkdir(path)  # in its way
    device.cli("cert", "renew", "edge-ca", "--root", device.dir, code=None)
    device.until(lambda: os.path.exists(os.path.join(device.dir, "agent", "edge-ca.new.pem")))
    device.until(lambda: device.credential("edge-ca")["state"] == "failed")
    device.stop_agent()
    os.rmdir(path)
    os.rename(path + ".kept", path)
    device.apply("[edge_ca]\nauto_generated_edge_ca_expiry_days = 30\n")
    device.start_agent()
    device.until(lambda: days_of(device.cert()) < 30.1)
    assert "its configuration has changed" in device.log()
    assert not os.path.exists(os.path.join(device.dir, "agent", "edge-ca.new.pem"))


def test_a_broken_configuration_changes_nothing(device):
    before = device.fingerprint()
    with open(os.path.join(device.dir, "etc", "agent.json"), "w") as f:
        f.write('{"version": 1, "credential')
    device.wake()
    device.until(lambda: "the configuration of before is kept" in device.log())
    assert device.fingerprint() == before and device.agent.poll() is None
    device.stop_agent()
    device.start_agent(ready=False)
    assert device.agent.wait(20) == 2


def test_a_device_that_was_off_for_years(device):
    before = device.fingerprint()
    device.stop_agent()
    device.set_clock(3 * 365 * DAY)
    device.start_agent()
    renewed(device, before)
    device.check_pair()


def test_a_clock_of_1970(device):
    before = device.fingerprint()
    device.stop_agent()
    device.set_clock(-device.now())
    device.start_agent()
    status = device.status()
    assert not status["clock"]["trusted"] and "not to be trusted" in device.log()
    assert device.credential("edge-ca")["state"] == "held"
    device.set_clock(80 * DAY)
    device.wake()
    renewed(device, before)
    assert device.status()["clock"]["trusted"]


def test_a_clock_that_is_set_back_does_not_stop_it(device):
    before = device.fingerprint()
    device.advance(75 * DAY)
    renewed(device, before)
    device.advance(-74 * DAY)  # before the new certificate: surely wrong
    device.until(lambda: not device.status()["clock"]["trusted"])
    device.advance(75 * DAY)
    device.until(lambda: device.status()["clock"]["trusted"])
    device.check_pair()


def test_no_broker(device):
    """What cannot be done is said and tried again; it heals by itself."""
    before = device.fingerprint()
    device.end(device.broker)
    device.advance(75 * DAY)
    device.until(lambda: device.credential("edge-ca")["state"] == "failed")
    assert "broker" in device.credential("edge-ca")["last"]["message"] or \
        "holdfastd" in device.credential("edge-ca")["last"]["message"]
    assert device.fingerprint() == before
    assert device.credential("edge-ca")["next"] - device.now() < 4000
    device.start_broker()
    device.advance(4000)
    renewed(device, before)


def test_a_certificate_of_somebody_else_is_replaced(device):
    device.stop_agent()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x",
                    "-out", device.path("edge-ca.pem")], check=True, capture_output=True,
                   env=device.env)
    before = device.fingerprint()
    device.start_agent()
    renewed(device, before)
    device.check_pair()


def test_a_damaged_record_is_set_aside(device):
    device.stop_agent()
    path = os.path.join(device.dir, "agent", "edge-ca.json")
    with open(path, "w") as f:
        f.write('{"version":')
    before = device.fingerprint()
    device.start_agent()
    assert os.path.exists(path + ".damaged") and device.fingerprint() == before
    assert device.credential("edge-ca")["state"] == "ok"


def test_an_orphan_is_collected(device):
    from realbroker import load_wire
    pb = load_wire()
    import socket
    device.stop_agent()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(60)
        s.connect(os.path.join(device.dir, "run", "holdfast.sock"))
        for i, op in enumerate(({"hello": {"version": 1, "software": "t"}},
                                {"key_stage": {"name": "edge-ca", "transaction": b"t" * 16}})):
            s.send(pb.Request(id=i + 1, **op).SerializeToString())
            assert pb.Reply.FromString(s.recv(1 << 16)).status == 0
    assert "staged" in device.generations("edge-ca").values()
    device.start_agent()  # it may be somebody's who is just about to use it
    assert "staged" in device.generations("edge-ca").values()
    device.stop_agent()
    device.set_clock(3600)
    device.start_agent()
    device.until(lambda: list(device.generations("edge-ca").values()) == ["current"])


def test_sigkill_leaves_nothing_running(device):
    launcher = device.agent.pid
    with open("/proc/%d/task/%d/children" % (launcher, launcher)) as f:
        child = int(f.read().split()[0])
    device.agent.kill()
    device.agent.wait()
    device.until(lambda: not os.path.exists("/proc/%d" % child) or
                 open("/proc/%d/stat" % child).read().split()[2] == "Z")
    device.start_agent()
    device.check_pair()


HOOK = """
[[credential]]
id = "web"
method = "self_signed"
subject = { CN = "web.example" }
sans = ["DNS:web.example"]
days = 30
[credential.hook]
exec = ["%s", "an argument"]
"""


def test_hook(tmp_path):
    out, script = tmp_path / "out", tmp_path / "hook"
    script.write_text('#!/bin/sh\n{ echo "$1"; env; } > %s.new && mv %s.new %s\n' % (out, out, out))
    script.chmod(0o755)
    with Device(HOOK % script) as d:
        d.until(out.exists)
        lines = out.read_text().splitlines()
        assert lines[0] == "an argument"
        env = dict(line.split("=", 1) for line in lines[1:])
        assert env["HOLDFAST_ID"] == "web" and env["HOLDFAST_CERT"] == d.path("web.pem")
        assert env["HOLDFAST_NEW_FINGERPRINT"] == d.fingerprint("web")
        assert env["HOLDFAST_OLD_FINGERPRINT"] == "" and "HOLDFAST_SOCKET" not in env
        before = d.fingerprint("web")
        out.unlink()
        d.advance(25 * DAY)
        renewed(d, before, "web")
        d.until(out.exists)
        assert "HOLDFAST_OLD_FINGERPRINT=" + before in out.read_text().splitlines()
        d.until(lambda: "hook of web: done" in d.log())


def test_hook_after_a_crash_between_the_file_and_the_record(tmp_path):
    """It is told what there was before: the same one twice would tell it to do nothing."""
    out, script = tmp_path / "out", tmp_path / "hook"
    script.write_text('#!/bin/sh\necho $HOLDFAST_OLD_FINGERPRINT $HOLDFAST_NEW_FINGERPRINT >> %s\n' % out)
    script.chmod(0o755)
    with Device(HOOK % script) as d:
        d.until(lambda: "hook of web: done" in d.log())
        before, path, waiting = d.fingerprint("web"), d.path("web.pem"), os.path.join(d.dir, "agent", "web.new.pem")
        os.rename(path, path + ".kept")
        os.mkdir(path)  # in its way
        d.cli("cert", "renew", "web", "--root", d.dir, code=None)
        d.until(lambda: os.path.exists(waiting) and d.credential("web")["state"] == "failed")
        d.stop_agent()
        os.rmdir(path)
        os.unlink(path + ".kept")
        with open(waiting) as f, open(path, "w") as to:
            to.write(f.read())
        d.start_agent()
        d.until(lambda: d.log().count("hook of web: done") == 2)
        assert out.read_text().splitlines()[1].split() == [before, d.fingerprint("web")] != [before] * 2


def test_a_renewal_while_the_hook_runs(tmp_path):
    """It runs again, for the newer certificate."""
    out, gate, script = tmp_path / "out", tmp_path / "gate", tmp_path / "hook"
    os.mkfifo(gate)
    script.write_text('#!/bin/sh\necho $HOLDFAST_NEW_FINGERPRINT >> %s\nread line < %s\n' % (out, gate))
    script.chmod(0o755)
    with Device(HOOK % script) as d:
        d.until(out.exists)
        first = d.fingerprint("web")
        d.advance(25 * DAY)
        renewed(d, first, "web")
        for n in range(2):
            d.until(lambda: out.read_text().count("\n") == n + 1)
            with open(gate, "w") as f:  # waits for the hook that reads it
                f.write("\n")
            d.until(lambda: d.log().count("hook of web: done") == n + 1)
        assert out.read_text().split() == [first, d.fingerprint("web")]


def test_hook_that_hangs(tmp_path):
    script = tmp_path / "hook"
    script.write_text("#!/bin/sh\nsleep 1000\n")
    script.chmod(0o755)
    with Device(HOOK % script + 'timeout = "1s"\n') as d:
        d.until(lambda: "killed after 1 s" in d.log())
        assert d.credential("web")["state"] == "ok"


def test_trust_install(device):
    """The operating system's store follows the bundle: what was there and is not any more goes."""
    store = os.path.join(device.dir, "certs", "system-store")
    first = device.json("trust", "install", "--root", device.dir)
    assert (first["certificates"], first["added"], first["removed"]) == (1, 1, 0)
    with open(os.path.join(store, "other.crt"), "w") as f:
        f.write("of somebody else\n")
    before = device.fingerprint()
    device.advance(75 * DAY)
    renewed(device, before)
    device.until(lambda: len(device.bundle()) == 2)
    second = device.json("trust", "install", "--root", device.dir)
    assert (second["certificates"], second["added"], second["removed"]) == (2, 1, 0)
    device.sleep(20 * DAY)
    device.until(lambda: len(device.bundle()) == 1)
    third = device.json("trust", "install", "--root", device.dir)
    assert (third["certificates"], third["added"], third["removed"]) == (1, 0, 1)
    assert sorted(os.listdir(store))[0].startswith("holdfast-") and "other.crt" in os.listdir(store)
    with open(os.path.join(device.dir, "empty"), "w") as f:
        f.write("nothing\n")
    p = device.cli("trust", "install", f.name, "--root", device.dir, code=2)
    assert "nothing was changed" in p.stderr and len(os.listdir(store)) == 2
