# SPDX-License-Identifier: Apache-2.0
"""holdfastd in a directory of its own, and a client that speaks the wire to it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from keeperlib import BUILD, pb, until

HOLDFASTD = os.path.join(BUILD, "src", "broker", "holdfastd")
KEEPER = os.path.join(BUILD, "src", "keeper", "holdfast-keeper")
RIGHTS = ["public", "sign", "ca", "decrypt", "derive", "create", "rotate", "delete", "admin"]


class Client:
    """One connection; call() sends one operation and returns the reply."""

    def __init__(self, path, hello=True, timeout=20):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.id = 0
        if hello:
            assert self.call(hello=pb.Hello(version=1, software="test")).status == pb.OK

    def send(self, **op):
        self.id += 1
        self.sock.send(pb.Request(id=self.id, **op).SerializeToString())
        return self.id

    def reply(self):
        data = self.sock.recv(70000)
        assert data, "the broker closed the connection"
        return pb.Reply.FromString(data)

    def call(self, **op):
        wanted = self.send(**op)
        got = self.reply()
        assert got.id == wanted
        return got

    def create(self, name, algorithm="ec-p256", usage=1, token=""):
        return self.call(key_create=pb.KeyCreate(name=name, algorithm=algorithm, usage=usage,
                                                 token=token))

    def sign(self, name, data=b"d" * 32, scheme="ecdsa-sha256", timeout_ms=0, **more):
        return self.call(timeout_ms=timeout_ms, sign=pb.Sign(
            key=pb.KeyRef(name=name), scheme=scheme, data=data, **more))

    def close(self):
        self.sock.close()


class Broker:
    """holdfastd --root in a fresh directory; `keeper` may be another program than ours."""

    def __init__(self, tcti="swtpm:path=/nonexistent", keeper=KEEPER, tokens=("tpm",), **settings):
        self.dir = tempfile.mkdtemp(prefix="hf-broker.", dir="/tmp")
        self.socket = os.path.join(self.dir, "run", "holdfast.sock")
        self.log = os.path.join(self.dir, "log")
        self.keeper = keeper
        self.process = None
        self.env = dict(os.environ)
        self.settings = {
            "version": 1, "state_dir": os.path.join(self.dir, "state"), "default_token": tokens[0],
            "tokens": [{"name": t, "type": "tpm2", "tcti": tcti, "primary_handle": 0x81000081,
                        "timeout_ms": 3000} for t in tokens],
            "sockets": [{"name": "main", "path": self.socket, "owner": "", "group": "",
                         "mode": 0o660}],
            "principals": [{"uid": os.getuid(), "gid": -1, "socket": "main", "keys": ["*"],
                            "rights": RIGHTS}],
            "profiles": [],
            "limits": {"connections": 512, "connections_per_principal": 64,
                       "queue_per_principal": 64, "idle_s": 0},
        }
        self.settings.update(settings)
        os.mkdir(os.path.join(self.dir, "etc"))
        self.configure()

    def configure(self):
        with open(os.path.join(self.dir, "etc", "holdfastd.json"), "w") as f:
            json.dump(self.settings, f)

    def command(self, ready):
        """Its arguments, and the descriptors that it gets beside `ready`."""
        return [HOLDFASTD, "--root", self.dir, "--keeper", self.keeper, "--log-level", "debug",
                "--ready-fd", str(ready)], []

    def spawn(self, **more):
        log = open(self.log, "ab")
        read, write = os.pipe()
        command, inherited = self.command(write)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   pass_fds=[write, *inherited], env=self.env, **more)
        log.close()
        os.close(write)
        ready = os.read(read, 1)
        os.close(read)
        return process, ready == b"\n"

    def start(self):
        self.process, ready = self.spawn()
        assert ready, self.text()
        return self

    def stop(self, sig=signal.SIGTERM):
        if self.process:
            self.process.send_signal(sig)
            code = self.process.wait(20)
            self.process = None
            return code
        return None

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def children(self):
        """name -> pid of the processes below the warden.

        A keeper that has just been forked is still called holdfastd: then nobody is.
        """
        named = []
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            for pid in f.read().split():
                try:
                    with open("/proc/%s/comm" % pid) as comm:
                        named.append((comm.read().strip(), int(pid)))
                except OSError:
                    pass
        names = [name for name, _ in named]
        return {name: pid for name, pid in named if name != "holdfastd" or names.count(name) == 1}

    def pid(self, name):
        return until(lambda: self.children().get(name))

    def client(self, **more):
        return Client(self.socket, **more)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        try:
            if self.process:
                self.process.kill()
                self.process.wait()
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)


class WithFakeKeeper(Broker):
    """The same with fakekeeper.py, which misbehaves on request."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.keeper = os.path.join(self.dir, "keeper")
        with open(self.keeper, "w") as f:
            f.write("#!/bin/sh\nexec /usr/bin/python3 %s %s\n" % (
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "fakekeeper.py"), self.dir))
        os.chmod(self.keeper, 0o755)

    def mood(self, text):
        path = os.path.join(self.dir, "mood")
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)
