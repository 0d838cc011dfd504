# SPDX-License-Identifier: Apache-2.0
"""The agent and a real EST server (Debian's libest): bootstrap, identities, Edge CA, ten years."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from agentlib import DAY, Device
from apilib import CERTD, request
from keeperlib import ROOT, until
from test_with import ENV

pytestmark = pytest.mark.plain  # libest does not run below AddressSanitizer

WITH_EST = os.path.join(ROOT, "swtpm-ci", "with-est")
TELL = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"

CONFIG = """
hostname = "gateway-1"
trust_bundle_cert = "file://%(trust)s"

[provisioning]
source = "dps"
global_endpoint = "https://global.azure-devices-provisioning.net"
id_scope = "0ab1234"

[provisioning.attestation]
method = "x509"
registration_id = "device-1"

[provisioning.attestation.identity_cert]
method = "est"
common_name = "device-1"
[provisioning.attestation.identity_cert.auto_renew]
rotate_key = true
threshold = "80%%"
retry = "4%%"

[cert_issuance.est]
trusted_certs = ["file://%(trust)s"]

[cert_issuance.est.auth]
bootstrap_identity_cert = "file://%(cert)s"
bootstrap_identity_pk = "file://%(key)s"

[cert_issuance.est.urls]
default = "%(url)s"

[edge_ca]
method = "est"
common_name = "edge-ca-of-device-1"
[edge_ca.auto_renew]
rotate_key = true
threshold = "80%%"
retry = "4%%"
"""
IDS = ("est-id", "device-id", "edge-ca")


@contextlib.contextmanager
def est_server(mode="mtls", clock=None):
    """The environment that with-est gives; the server goes by @clock, as a Device does."""
    env = dict(ENV)
    if clock:
        env.update(LD_PRELOAD=clock.preload, HOLDFAST_TEST_CLOCK=clock.clock)
    p = subprocess.Popen([WITH_EST, "--mode", mode, "--host-network", "/usr/bin/python3", "-c", TELL],
                         env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(p.stdout.readline())
    finally:
        p.stdin.close()
        p.wait(20)
        p.stdout.close()


def issued(env):
    """How many certificates the server has issued."""
    index = os.path.join(os.path.dirname(env["HOLDFAST_EST_TRUST"]), "index.txt")
    until(lambda: os.path.exists(index))  # it is renamed twice for each certificate
    with open(index) as f:
        return len(f.readlines())


class Line:
    """The way to the server, which can be cut, or swallow everything."""

    def __init__(self, env):
        url = env["HOLDFAST_EST_URL"]
        self.to = int(url.split(":")[2].split("/")[0])
        self.mode, self.tried, self.socket = "open", 0, socket.create_server(("127.0.0.1", 0))
        self.env = dict(env, HOLDFAST_EST_URL=url.replace(
            ":%d/" % self.to, ":%d/" % self.socket.getsockname()[1]))
        threading.Thread(target=self.serve, daemon=True).start()
        self.held = []

    def serve(self):
        while True:
            try:
                client = self.socket.accept()[0]
            except OSError:
                return
            self.tried += 1
            if self.mode == "cut":
                client.close()
            elif self.mode == "hung":
                self.held.append(client)
            else:
                server = socket.create_connection(("127.0.0.1", self.to))
                for a, b in ((client, server), (server, client)):
                    threading.Thread(target=self.copy, args=(a, b), daemon=True).start()

    @staticmethod
    def copy(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
        with contextlib.suppress(OSError):
            b.shutdown(socket.SHUT_WR)


def config(env):
    return CONFIG % {"trust": env["HOLDFAST_EST_TRUST"], "url": env["HOLDFAST_EST_URL"],
                     "cert": env["HOLDFAST_EST_BOOTSTRAP_CERT"],
                     "key": env["HOLDFAST_EST_BOOTSTRAP_KEY"]}


def begin(device, env):
    device.apply(config(env))
    device.start_broker()
    device.apply(config(env))  # takes the bootstrap key in
    device.start_agent()
    for name in IDS:
        device.until(lambda: device.credential(name)["state"] == "ok", 60)


def test_from_bootstrap_to_everything():
    with Device(start=False) as device, est_server(clock=device) as env:
        begin(device, env)
        for name in IDS:
            device.check_pair(name)
        assert issued(env) == 3
        assert device.cert("device-id").subject.rfc4514_string() == "CN=device-1"
        # the EST identity, not the bootstrap one, is what the others were enrolled with
        log = device.log()
        assert "it waits for the EST identity est-id" in log
        first = min(log.index("certificate %s: a new one" % name) for name in IDS)
        assert first == log.index("certificate est-id: a new one")
        for name in IDS:
            assert device.cert(name).issuer.rfc4514_string() == "CN=EST root"


def no_key_is_left_over(device, name):
    """The current one, and perhaps the one before for its day of grace."""
    return sorted(device.generations(name).values()) in (["current"], ["current", "retiring"])


def test_ten_years():
    """Each certificate always fits its key, none ever ends, one renewal per period, no key is left."""
    with Device(start=False) as device, est_server(clock=device) as env:
        begin(device, env)
        start, renewals, quiet = device.now(), {name: 1 for name in IDS}, False
        while device.now() - start < 10 * 365 * DAY or not quiet:
            status = {c["id"]: c for c in device.status()["credentials"]}
            due = min(status[name]["next"] for name in IDS)
            assert device.now() < due < min(status[name]["not_after"] for name in IDS)
            before = {name: device.fingerprint(name) for name in IDS}
            device.advance(due - device.now() + 1)
            ready = [name for name in IDS if status[name]["next"] <= device.now()]
            for name in ready:
                device.until(lambda: device.fingerprint(name) != before[name] and
                             device.credential(name)["renewals"] == renewals[name] + 1, 60)
                renewals[name] += 1
            for name in IDS:
                device.check_pair(name)
                device.until(lambda: no_key_is_left_over(device, name))
                assert device.cert(name).not_valid_after.timestamp() > device.now()
                if name not in ready:
                    assert device.fingerprint(name) == before[name]
            # the next renewal of any is further away than the grace of them all
            now = {c["id"]: c for c in device.status()["credentials"]}
            quiet = min(now[name]["next"] for name in IDS) - device.now() > 1.2 * DAY
        # 90 days, renewed at 80 % and a little: 72 to 73 days
        assert all(48 <= n <= 53 for n in renewals.values()), renewals
        assert issued(env) == sum(renewals.values())
        # after a day of grace nothing is left of the keys before
        device.advance(1.1 * DAY)
        for name in IDS:
            device.until(lambda: list(device.generations(name).values()) == ["current"])
        assert issued(env) == sum(renewals.values())


def test_server_down_for_thirty_days():
    """It is asked at every retry interval, and when it is back all is renewed within one."""
    with Device(start=False) as device, est_server(clock=device) as env:
        line = Line(env)
        begin(device, line.env)
        fingerprints = {name: device.fingerprint(name) for name in IDS}
        line.mode = "cut"
        due = min(device.credential(name)["next"] for name in IDS)
        device.advance(due - device.now() + 1)
        back = device.now() + 30 * DAY
        attempts = 0
        while device.now() < back:
            device.until(lambda: all(device.credential(name)["state"] != "renewing" for name in IDS)
                         and any(device.credential(name)["attempts"] for name in IDS), 60)
            assert {name: device.fingerprint(name) for name in IDS} == fingerprints
            coming = [device.credential(name)["next"] for name in IDS]
            # nobody has given up, whatever went wrong and however often
            assert all(at < device.now() + 4 * DAY for at in coming), (coming, device.now())
            tried = sum(device.credential(name)["attempts"] for name in IDS)
            assert tried >= attempts
            attempts = tried
            device.advance(max(min(coming) - device.now(), 0) + 1)
            device.until(lambda: sum(device.credential(name)["attempts"] for name in IDS) > tried, 60)
        line.mode = "open"
        coming = [device.credential(name)["next"] for name in IDS]
        assert len(set(coming)) == 3, "they would all come at once"
        device.advance(max(coming) - device.now() + 1)
        for name in IDS:
            device.until(lambda: device.fingerprint(name) != fingerprints[name] and
                         device.credential(name)["state"] == "ok", 60)
            device.check_pair(name)
        assert issued(env) == 6


PASSWORD = """
[edge_ca]
auto_generated_edge_ca_expiry_days = 3650
[cert_issuance.est]
trusted_certs = ["file://%(HOLDFAST_EST_TRUST)s"]
[cert_issuance.est.auth]
username = "%(HOLDFAST_EST_USER)s"
password = "%(password)s"
[cert_issuance.est.urls]
default = "%(HOLDFAST_EST_URL)s"
[[credential]]
id = "web"
method = "est"
common_name = "web.example"
"""


def by_password(env):
    with open(env["HOLDFAST_EST_PASSWORD_FILE"]) as f:
        return PASSWORD % dict(env, password=f.read().strip())


def test_a_person_decides():
    """202: the agent waits as long as the server says, over a restart, and asks again for the same
    key: that of a renewal with a new one as well."""
    with Device(start=False) as device, est_server("manual", clock=device) as env:
        device.apply(by_password(env) + '[credential.renew]\nrotate_key = true\nretry = "4%"\n')
        device.start_broker()
        device.start_agent()
        for n, states in ((1, ["current"]), (2, ["current", "staged"])):
            device.until(lambda: device.credential("web")["state"] == "pending", 60)
            entry, keys = device.credential("web"), device.generations("web")
            assert entry["last"]["result"] == "pending" and entry["failures"] == 0
            assert 3600 <= entry["next"] - entry["last"]["at"] <= 3960
            assert sorted(keys.values()) == states
            device.stop_agent()
            device.start_agent()
            assert device.credential("web")["next"] == entry["next"] and issued(env) == n - 1
            device.advance(entry["next"] - device.now() + 1)
            device.until(lambda: device.credential("web")["state"] == "ok", 60)
            assert set(device.generations("web")) == set(keys)
            assert keys[device.check_pair("web")] == states[-1]
            assert issued(env) == n
            device.advance(75 * DAY)


def test_a_password_that_is_wrong():
    with Device(start=False) as device, est_server("basic", clock=device) as env:
        device.apply(by_password(env).replace('password = "', 'password = "not-'))
        device.start_broker()
        device.start_agent()
        device.until(lambda: device.credential("web")["state"] == "failed", 60)
        assert device.credential("web")["last"]["result"] == "auth"
        device.apply(by_password(env))  # the administrator corrects it
        device.wake()  # and need not wait for the next retry
        device.until(lambda: device.credential("web")["state"] == "ok", 60)
        assert "not-" not in device.log()


class Store:
    """The system's store of CA certificates as holdfast-est sees it: with the server's root in it."""

    def __init__(self, device, env):
        self.dir = os.path.join(device.dir, "store")
        os.mkdir(self.dir)
        name = subprocess.run(["openssl", "x509", "-in", env["HOLDFAST_EST_TRUST"], "-noout", "-hash"],
                              check=True, text=True, capture_output=True, env={"PATH": os.environ["PATH"]})
        shutil.copy(env["HOLDFAST_EST_TRUST"], os.path.join(self.dir, name.stdout.strip() + ".0"))
        script = os.path.join(device.dir, "est-with-store")
        with open(script, "w") as f:
            f.write("#!/bin/sh\nexec unshare -rm sh -c 'mount --bind %s /etc/ssl/certs && exec %s'\n" %
                    (self.dir, device.est))
        os.chmod(script, 0o700)
        device.est = script


@contextlib.contextmanager
def moved(env):
    """The server begins anew, with a certificate of the new root."""
    folder = os.path.dirname(env["HOLDFAST_EST_TRUST"])
    pid = next(int(p) for p in os.listdir("/proc") if p.isdigit() and is_server(p, folder))
    with open("/proc/%d/cmdline" % pid) as c, open("/proc/%d/environ" % pid) as e:
        args = c.read().split("\0")[:-1]
        around = dict(pair.split("=", 1) for pair in e.read().split("\0") if pair)
    subprocess.run(["openssl", "x509", "-req", "-in", "server.csr", "-CA", "new.pem", "-CAkey", "new.key",
                    "-days", "3650", "-set_serial", "77", "-extfile", "ca.cnf", "-extensions", "server",
                    "-out", "server.pem"], cwd=folder, check=True, capture_output=True,
                   env={"PATH": os.environ["PATH"], "OPENSSL_CONF": os.path.join(folder, "ca.cnf")})
    os.kill(pid, signal.SIGKILL)
    port = int(env["HOLDFAST_EST_URL"].split(":")[2].split("/")[0])
    until(lambda: not reachable(port))
    with open(os.path.join(folder, "estserver.log"), "ab") as log:
        p = subprocess.Popen(args, cwd=folder, env=around, stdout=log, stderr=log)
    try:
        until(lambda: reachable(port))
        yield
    finally:
        p.kill()
        p.wait()


def is_server(pid, folder):
    with contextlib.suppress(OSError), open("/proc/%s/comm" % pid) as f:
        return f.read().strip() == "estserver" and os.readlink("/proc/%s/cwd" % pid) == folder
    return False


def reachable(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("trust", ["pinned", "fingerprint", "system"])
def test_new_root(trust):
    """The server's CA has a new root: the old one vouches for it, and then it stands by itself."""
    files = 'trusted_certs = ["file://%(HOLDFAST_EST_TRUST)s"]\n'
    words = {"pinned": files, "fingerprint": 'fingerprint = "%(HOLDFAST_EST_FINGERPRINT)s"\n',
             "system": ""}
    with Device(start=False) as device, est_server("rollover", clock=device) as env:
        if trust == "system":
            Store(device, env)
        device.apply(by_password(env).replace(files % env, words[trust] % env))
        device.start_broker()
        device.start_agent()
        device.until(lambda: device.credential("web")["state"] == "ok", 60)
        with open(os.path.join(device.dir, "agent", "web.anchors.pem")) as f:
            assert f.read().count("BEGIN CERTIFICATE") >= 2
        before = device.fingerprint("web")
        # the system's store is its administrator's, who has not put the new root into it
        with contextlib.nullcontext() if trust == "system" else moved(env):
            device.advance(75 * DAY)
            device.until(lambda: device.fingerprint("web") != before, 60)
        assert device.cert("web").issuer.rfc4514_string() == "CN=EST root G2"


OTHER = """
[[credential]]
id = "web"
method = "self_signed"
common_name = "web.example"
days = 30
[[credential]]
id = "second"
method = "est"
common_name = "second.example"
[credential.est]
url = "%(HOLDFAST_EST_URL)s"
identity = "est-bootstrap-id"
"""


def test_a_server_that_hangs_delays_nothing_else():
    """The others are renewed, at a server that answers as well, and the API answers."""
    with Device(start=False) as device, est_server(clock=device) as env:
        line = Line(env)
        text = config(line.env) + OTHER % env
        device.apply(text)
        device.start_broker()
        device.apply(text)
        line.mode = "hung"
        device.start_agent()
        device.until(lambda: device.credential("est-id")["state"] == "renewing" and line.held)
        delays_nothing(device, "est-id", ("web", "second"))
        assert device.end(device.agent) == 0  # and it ends at once
        line.socket.close()


def delays_nothing(device, hung, others):
    """While `hung` waits for its server, within far less than it is given."""
    for name in others:
        device.until(lambda: device.credential(name)["state"] == "ok", 5)
    before = {name: device.fingerprint(name) for name in others}
    device.advance(80 * DAY)
    for name in others:
        device.until(lambda: device.fingerprint(name) != before[name], 5)
    api = os.path.join(device.dir, "run", "agent", "certd.sock")
    assert request(api, "GET", "/certificates/%s?%s" % (others[0], CERTD)).code == 200
    assert device.credential(hung)["state"] == "renewing"
