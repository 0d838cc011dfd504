# SPDX-License-Identifier: Apache-2.0
"""holdfastd and its keeper on a software TPM, with the interface of FakeBroker."""
import collections
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from fakebroker import PACKET_MAX, USAGES, load_wire
from keeperlib import BUILD, KEEPER, Swtpm, until

RIGHTS = ["public", "sign", "ca", "decrypt", "derive", "create", "rotate", "delete", "admin"]


class Half:
    """What a test may know of a generation."""

    def __init__(self, spki):
        self.spki, self.hash = spki, hashlib.sha256(spki).digest()


class Generated:
    def __init__(self, name, spki):
        self.name, self.current = name, Half(spki)


class RealBroker:
    def __init__(self, profiles=()):
        self.pb = load_wire()
        self.dir = tempfile.mkdtemp(prefix="hf-")
        self.path = os.path.join(self.dir, "s")
        self.tpm = Swtpm()
        self.keys = {}
        self.faults = collections.deque()  # of no use here, for the fake's sake
        self.process = None
        self.conf = {
            "version": 1, "state_dir": self.dir + "/state", "default_token": "tpm",
            "tokens": [{"name": "tpm", "type": "tpm2", "tcti": self.tpm.tcti,
                        "primary_handle": 0x81000001,
                        "timeout_ms": 1500}],  # what `config apply` writes for swtpm
            "sockets": [{"name": "main", "path": self.path, "owner": "", "group": "",
                         "mode": 0o600}],
            "principals": [{"uid": os.getuid(), "gid": -1, "socket": "main", "keys": ["*"],
                            "rights": RIGHTS}],
            "profiles": [{"key": key, "max_days": 90, "self_max_days": 3650, "pathlen": 0,
                          "names": []} for key in profiles],
            "limits": {"connections": 512, "connections_per_principal": 64,
                       "queue_per_principal": 64, "idle_s": 0},  # those that are shipped
        }

    def start(self):
        with open(self.dir + "/holdfastd.json", "w") as f:
            json.dump(self.conf, f)
        os.makedirs(self.dir + "/state", exist_ok=True)
        self.log = open(self.dir + "/log", "ab")
        self.process = subprocess.Popen(
            [BUILD + "/src/broker/holdfastd", "--config", self.dir + "/holdfastd.json", "--keeper",
             KEEPER, "--log-level", "info"], stderr=self.log)
        until(lambda: self.listens() or self.process.poll() is not None)
        assert self.process.poll() is None, self.logged()
        return self

    def listens(self):
        """Not only that the socket's file is there: that of one that was killed is, too."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            return not s.connect_ex(self.path)

    def locked(self):
        """By a process that outlives the warden for a moment."""
        with open(self.path + ".lock") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def logged(self):
        with open(self.dir + "/log", errors="replace") as f:
            return f.read()

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        assert self.process.wait(20) == (0 if how == signal.SIGTERM else -how), self.logged()
        if how == signal.SIGKILL:
            until(lambda: not self.locked())
        self.log.close()

    def close(self):
        self.stop()
        self.tpm.close()
        shutil.rmtree(self.dir)

    def call(self, **op):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(60)
            s.connect(self.path)
            for n, fields in enumerate(({"hello": {"version": 1, "software": "tests"}}, op)):
                s.send(self.pb.Request(id=n + 1, **fields).SerializeToString())
                rep = self.pb.Reply.FromString(s.recv(PACKET_MAX))
                assert rep.status == 0, (op, rep.message)
        return rep

    def algorithms(self):
        """Of the token, once it is ready."""
        until(lambda: self.call(token_list={}).token_list.tokens[0].state == 1)
        return set(self.call(token_list={}).token_list.tokens[0].algorithms)

    def add_key(self, name, algorithm="ec-p256", usage="sign"):
        rep = self.call(key_create={"name": name, "algorithm": algorithm,
                                    "usage": sum(USAGES[u] for u in usage.split(","))})
        self.keys[name] = Generated(name, rep.key.spki)
        return self.keys[name]

    def rotate(self, name):
        """A further generation, current at once."""
        rep = self.call(key_stage={"name": name, "transaction": os.urandom(16)})
        self.call(key_current={"key": {"name": name, "spki_sha256": rep.key.spki_sha256},
                               "grace_s": 3600})
        self.keys[name] = Generated(name, rep.key.spki)
