# SPDX-License-Identifier: Apache-2.0
"""holdfastd and holdfast-agent on a software TPM, with a clock that a test can set."""
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from keeperlib import BUILD, KEEPER, Swtpm, until

HOLDFAST = os.path.join(BUILD, "src", "cli", "holdfast")
DAY = 86400
TOKEN = '[[token]]\nname = "tpm"\ntype = "tpm2"\ntcti = "%s"\n'
KEEPER_WITH_CLOCK = '#!/bin/sh\nexport LD_PRELOAD="%s" HOLDFAST_TEST_CLOCK="%s"\nexec "%s" "$@"\n'


def spki_of(certificate):
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class Device:
    """A directory with etc/config.toml, a broker and an agent. `config` is added to config.toml."""

    def __init__(self, config="", start=True, env=None):
        self.dir = tempfile.mkdtemp(prefix="hf-")
        self.tpm = Swtpm()
        self.clock = os.path.join(self.dir, "clock")
        self.certs = os.path.join(self.dir, "certs")
        self.sleep_s = 0
        self.set_clock(0)
        preload = [os.environ.get("HOLDFAST_TEST_PRELOAD", ""),
                   os.path.join(BUILD, "tests", "system", "libclock.so")]
        self.preload = " ".join(p for p in preload if p)
        self.keeper = os.path.join(self.dir, "keeper")
        with open(self.keeper, "w") as f:
            f.write(KEEPER_WITH_CLOCK % (self.preload, self.clock, KEEPER))
        os.chmod(self.keeper, 0o755)
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("HOLDFAST_", "OPENSSL_"))}
        self.env = dict(keep, OPENSSL_MODULES=os.path.join(BUILD, "provider"),
                        OPENSSL_CONF="/dev/null",
                        HOLDFAST_SOCKET=os.path.join(self.dir, "run", "holdfast.sock"))
        self.agent_env, self.agent_options = env or {}, []
        self.est = os.path.join(BUILD, "src", "est", "holdfast-est")
        self.broker = self.agent = None
        os.makedirs(os.path.join(self.dir, "etc"))
        if start:
            self.apply(config)
            self.start_broker()
            self.start_agent()

    # ---- configuration, programs

    def apply(self, config, code=0):
        with open(os.path.join(self.dir, "etc", "config.toml"), "w") as f:
            f.write(config + "\n" + TOKEN % self.tpm.tcti)
        return self.cli("config", "apply", "--root", self.dir, code=code)

    def cli(self, *args, code=0):
        p = subprocess.run([HOLDFAST, *args], env=self.env, capture_output=True, text=True,
                           timeout=120)
        assert code in (p.returncode, None), (args, p.returncode, p.stdout, p.stderr)
        return p

    def json(self, *args):
        return json.loads(self.cli(*args, "--json").stdout)

    def _daemon(self, args, name, **env):
        """Starts it and waits until it says that it is ready, or ends."""
        read, write = os.pipe()
        with open(os.path.join(self.dir, name + ".log"), "ab") as log:
            p = subprocess.Popen([*args, "--ready-fd", str(write)], stderr=log, stdout=log,
                                 stdin=subprocess.DEVNULL, pass_fds=(write,),
                                 env=dict(self.env, LD_PRELOAD=self.preload,
                                          HOLDFAST_TEST_CLOCK=self.clock, **env))
        os.close(write)
        p.was_ready = os.read(read, 1) == b"\n"
        os.close(read)
        return p

    def start_broker(self):
        os.makedirs(os.path.join(self.dir, "run"), exist_ok=True)
        os.makedirs(os.path.join(self.dir, "state"), exist_ok=True)
        self.broker = self._daemon([os.path.join(BUILD, "src/broker/holdfastd"), "--root",
                                    self.dir, "--keeper", self.keeper], "holdfastd")
        assert self.broker.was_ready, self.log("holdfastd")

    def start_agent(self, ready=True, **env):
        self.agent = self._daemon([os.path.join(BUILD, "src/agent/holdfast-agent"), "--root",
                                   self.dir, "--est", self.est,
                                   *self.agent_options], "agent", **dict(self.agent_env, **env))
        assert ready is None or self.agent.was_ready == ready, self.log()

    @staticmethod
    def end(process, sig=signal.SIGTERM):
        process.send_signal(sig)
        return process.wait(20)

    def stop_agent(self):
        code = self.end(self.agent)
        self.agent = None
        assert code == 0, self.log()

    def close(self):
        codes = [self.end(p) for p in (self.agent, self.broker) if p and p.poll() is None]
        logs = self.log() + self.log("holdfastd")
        self.tpm.close()
        shutil.rmtree(self.dir)
        assert codes == [0] * len(codes), (codes, logs)
        assert "Sanitizer" not in logs and "runtime error" not in logs, logs

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def log(self, name="agent"):
        try:
            with open(os.path.join(self.dir, name + ".log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    # ---- the clock

    def _wish(self, at, *values):
        """Into the struct of clock.c, at its field number `at`."""
        if not os.path.exists(self.clock):
            with open(self.clock, "wb") as f:
                f.write(bytes(64))
        with open(self.clock, "r+b") as f:
            f.seek(8 * at)
            f.write(struct.pack("=%dq" % len(values), *(int(v) for v in values)))

    def set_clock(self, offset):
        """Seconds ahead of the real one. Programs that map the file see it at once."""
        self.offset = offset
        self._wish(0, offset)

    def sleep(self, seconds):
        """As if it had been suspended for so long."""
        self._wish(6, self.sleep_s + seconds)
        self.sleep_s += seconds
        self.advance(seconds)

    def synchronised(self, yes=True):
        """What the kernel says of the clock."""
        self._wish(7, yes)

    def worker(self):
        """The process id of the agent proper, the launcher's child."""
        return self._children(self.agent.pid)[0]

    def fault(self, at, error=0, victim=0):
        """The agent's step number `at`, from now on: it is killed, or the disk fails with `error`,
        or `victim` is killed. 0: nothing happens any more."""
        self._wish(5, 0)
        self._wish(1, 0, at, error, victim, self.worker() if at else 0)

    def steps(self):
        """How many there were."""
        with open(self.clock, "rb") as f:
            return struct.unpack("=6q", f.read(48))[1]

    def now(self):
        return time.time() + self.offset

    def wake(self):
        """Makes the agent look at the clock and at its configuration."""
        self.agent.send_signal(signal.SIGHUP)

    def turn(self):
        """Waits until the agent's loop has come round: what it was at is done."""
        said = "the configuration was read again"
        count = self.log().count(said)
        self.wake()
        self.until(lambda: self.log().count(said) > count)

    def advance(self, seconds):
        self.set_clock(self.offset + seconds)
        self.wake()

    # ---- what there is

    def status(self):
        with open(os.path.join(self.dir, "run", "agent", "status.json")) as f:
            return json.load(f)

    def credential(self, name):
        return next(c for c in self.status()["credentials"] if c["id"] == name)

    def until(self, what, seconds=20):
        """Waits for it; the agent's log is shown if it does not come."""
        try:
            return until(what, seconds)
        except AssertionError:
            raise AssertionError(self.log() + self.log("holdfastd") + json.dumps(
                self.status()["credentials"]) + str(self.now())) from None

    def path(self, name):
        return os.path.join(self.certs, name)

    def cert(self, name="edge-ca"):
        with open(self.path(name + ".pem"), "rb") as f:
            return x509.load_pem_x509_certificate(f.read())

    def bundle(self):
        """Public keys of the trust bundle."""
        end = b"-----END CERTIFICATE-----\n"
        with open(self.path("trust-bundle.pem"), "rb") as f:
            return [spki_of(x509.load_pem_x509_certificate(part + end))
                    for part in f.read().split(end) if part.strip()]

    def fingerprint(self, name="edge-ca"):
        return self.cert(name).fingerprint(hashes.SHA256()).hex()

    def generations(self, key):
        return {g["sha256"]: g["state"] for g in self.json("key", "show", key)["generations"]}

    def key_of(self, name="edge-ca"):
        """SHA-256 of the certificate's SPKI."""
        return hashlib.sha256(spki_of(self.cert(name))).hexdigest()

    def keeper_pid(self):
        """Of the keeper that runs now; the warden's child that is not the broker."""
        for pid in self._children(self.broker.pid):
            with open("/proc/%d/comm" % pid) as f:
                if f.read().strip() == "holdfast-keeper":
                    return pid
        return 0

    @staticmethod
    def _children(pid):
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(p) for p in f.read().split()]

    def check_pair(self, name="edge-ca", key=None):
        """The certificate's key is the current one, and signs."""
        sha = self.key_of(name)
        assert self.generations(key or name)[sha] == "current"
        return sha
