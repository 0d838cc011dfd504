# SPDX-License-Identifier: Apache-2.0
"""A software TPM, a proxy that reads (and may change) what goes to it, and holdfast-keeper.

The keeper is spoken to as the broker does: protobuf on a SEQPACKET socketpair, its end
being descriptor 3. holdfast_pb2 is made by protoc from src/wire/holdfast.proto.
"""

import fcntl
import hashlib
import importlib
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.abspath(os.environ.get("HOLDFAST_BUILD", os.path.join(ROOT, "build")))
KEEPER = os.path.join(BUILD, "src", "keeper", "holdfast-keeper")
PRIMARY = 0x81000001

SIGN, CA, DECRYPT, DERIVE = 1, 2, 4, 8

# subprocess has a pipe of its own: it must not get a number that a keeper's descriptor has.
while os.open(os.devnull, os.O_RDONLY) < 8:
    pass

COMMANDS = {
    0x147: "ActivateCredential", 0x14A: "CertifyCreation", 0x14E: "NV_Read", 0x151: "PolicySecret",
    0x169: "NV_ReadPublic", 0x120: "EvictControl", 0x131: "CreatePrimary", 0x144: "Startup", 0x153: "Create",
    0x154: "ECDH_ZGen", 0x156: "Import",
    0x157: "Load", 0x159: "RSA_Decrypt", 0x15D: "Sign", 0x161: "ContextLoad",
    0x162: "ContextSave", 0x165: "FlushContext", 0x173: "ReadPublic",
    0x176: "StartAuthSession", 0x17A: "GetCapability", 0x18A: "TestParms",
}


def _protobuf():
    where = tempfile.mkdtemp(prefix="hf-pb.")
    wire = os.path.join(ROOT, "src", "wire")
    subprocess.run(["protoc", "-I", wire, "--python_out", where,
                    os.path.join(wire, "holdfast.proto")], check=True)
    sys.path.insert(0, where)
    try:
        return importlib.import_module("holdfast_pb2")
    finally:
        sys.path.remove(where)
        shutil.rmtree(where)


pb = _protobuf()


# TPM2_StartAuthSession with neither key nor object
SESSION = bytes.fromhex("80010000002b0000017640000007400000070010" + 16 * "5a" + "0000000010000b")


def until(what, timeout=20):
    """Waits for a condition that another process brings about; returns what held."""
    end = time.monotonic() + timeout
    while not (held := what()):
        assert time.monotonic() < end, "nothing happened in %d s" % timeout
        select.select([], [], [], 0.01)
    return held


class Asked:
    """What a TPM says of itself to who has a command() for raw bytes."""

    def handles(self, first):
        rsp = self.command(struct.pack(">HIIIII", 0x8001, 22, 0x17A, 1, first, 64))
        (count,) = struct.unpack(">I", rsp[15:19])
        return list(struct.unpack(">%dI" % count, rsp[19:19 + 4 * count]))

    def objects(self):
        return self.handles(0x80000000)

    def sessions(self):
        return self.handles(0x02000000) + self.handles(0x03000000)

    def lockout_counter(self):
        rsp = self.command(struct.pack(">HIIIII", 0x8001, 22, 0x17A, 6, 0x20E, 1))
        return struct.unpack(">I", rsp[23:27])[0]


class Swtpm(Asked):
    """A TPM of our own in a directory with a short path; `tcti` names it."""

    def __init__(self, directory=None):
        self.dir = directory or tempfile.mkdtemp(prefix="hf-tpm.", dir="/tmp")
        self.mine = directory is None
        self.path = os.path.join(self.dir, "tpm")
        self.tcti = "swtpm:path=" + self.path
        self.process = None
        self.start()

    def start(self):
        os.makedirs(os.path.join(self.dir, "state"), exist_ok=True)
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", "dir=" + os.path.join(self.dir, "state"),
             "--server", "type=unixio,path=" + self.path,
             "--ctrl", "type=unixio,path=" + self.path + ".ctrl",
             "--flags", "not-need-init,startup-clear"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: os.path.exists(self.path + ".ctrl") and self.listens())

    def listens(self):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.path)
            return True
        except OSError:
            return False  # it is bound before it listens

    def kill(self):
        self.process.kill()
        self.process.wait()
        for p in (self.path, self.path + ".ctrl"):
            if os.path.exists(p):
                os.unlink(p)

    def close(self):
        self.kill()
        if self.mine:
            shutil.rmtree(self.dir)

    def command(self, *words):
        """One raw command on a connection of its own; the TPM must be free."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path)
            s.sendall(b"".join(words))
            return s.recv(8192)


class Proxy(Asked):
    """Between keeper and TPM. `commands` lists (name, command, response); `change`, if set,
    is called with (name, command, response) and gives the response to pass on; `before`, if set, with
    each command before the TPM gets it. command() asks the TPM something between two commands of the
    keeper that came last."""

    def __init__(self, tpm):
        self.tpm = tpm
        self.dir = tempfile.mkdtemp(prefix="hf-px.", dir="/tmp")
        self.path = os.path.join(self.dir, "tpm")
        self.tcti = "swtpm:path=" + self.path
        self.commands = []
        self.change = self.before = None
        self.current = None
        self.connections = set()
        self.listeners, self.acceptors = [], []
        for suffix in ("", ".ctrl"):
            s = socket.socket(socket.AF_UNIX)
            s.bind(self.path + suffix)
            s.listen()
            self.listeners.append(s)
            self.acceptors.append(threading.Thread(target=self._accept, args=(s, suffix), daemon=True))
            self.acceptors[-1].start()

    def _accept(self, listener, suffix):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client, suffix), daemon=True).start()

    def _serve(self, client, suffix):
        server, turn = socket.socket(socket.AF_UNIX), threading.Lock()
        self.connections |= {client, server}
        try:
            server.connect(self.tpm.path + suffix)
            while True:
                request = self._read(client, suffix)
                if not request:
                    return
                if not suffix:
                    self.current = server, turn
                    if self.before:
                        self.before(request)
                with turn:
                    server.sendall(request)
                    response = self._read(server, suffix)
                if not response:
                    return
                if not suffix:
                    name = COMMANDS.get(struct.unpack(">I", request[6:10])[0], "?")
                    if self.change:
                        response = self.change(name, request, response)
                    self.commands.append((name, request, response))
                client.sendall(response)
        except OSError:
            pass
        finally:
            for s in (client, server):
                s.close()

    @staticmethod
    def _read(s, suffix):
        if suffix:
            return s.recv(8192)
        data = b""
        while len(data) < 10 or len(data) < struct.unpack(">I", data[2:6])[0]:
            more = s.recv(8192)
            if not more:
                return b""
            data += more
        return data

    def command(self, *words):
        server, turn = self.current
        with turn:
            server.sendall(b"".join(words))
            return self._read(server, "")

    def names(self):
        return [c[0] for c in self.commands]

    def close(self):
        for s in self.listeners + list(self.connections):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.acceptors:
            thread.join(20)  # or it would accept from what has its descriptor next
        for s in self.listeners + list(self.connections):
            s.close()
        shutil.rmtree(self.dir)


class Failed(Exception):
    def __init__(self, reply):
        super().__init__("%s: %s" % (pb.Status.Name(reply.status), reply.message))
        self.status = pb.Status.Name(reply.status)
        self.message = reply.message


class Key:
    def __init__(self, created, usage):
        self.blob, self.spki, self.spki_sha256 = created.blob, created.spki, created.spki_sha256
        self.usage = usage
        self.created = created

    def fill(self, key):
        key.blob, key.spki, key.spki_sha256 = self.blob, self.spki, self.spki_sha256
        key.usage = self.usage


class Keeper:
    def __init__(self, program=None, env=None, more=None):
        """`more`: {number: descriptor} that it gets beside its socket."""
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.last_id = 0
        given = {3: theirs.fileno()} | {n: fd for n, fd in (more or {}).items() if fd >= 0}

        def place():
            high = {n: fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for n, fd in given.items()}
            for n, fd in high.items():
                os.dup2(fd, n, inheritable=True)
                os.close(fd)

        self.process = subprocess.Popen(
            [program or KEEPER], env={"OPENSSL_CONF": "/dev/null"} | {
                k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")} | (env or {}),
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=tuple(given),
            preexec_fn=place)
        theirs.close()

    def send(self, request):
        self.last_id += 1
        request.id = self.last_id
        self.sock.send(request.SerializeToString())
        return request.id

    def receive(self, timeout=120):
        self.sock.settimeout(timeout)
        data = self.sock.recv(1 << 18)
        assert data, "the keeper ended: " + self.errors()
        reply = pb.KeeperReply()
        reply.ParseFromString(data)
        return reply

    def call(self, request, timeout=120):
        sent = self.send(request)
        reply = self.receive(timeout)
        assert reply.id == sent
        if reply.status:
            raise Failed(reply)
        return reply

    def open(self, tpm, name=b"", shared=False, handle=PRIMARY):
        r = pb.KeeperRequest()
        r.open.type, r.open.tcti, r.open.primary_handle = "tpm2", tpm.tcti, handle
        r.open.primary_name, r.open.shared = name, shared
        return self.call(r).opened

    def ping(self):
        r = pb.KeeperRequest()
        r.ping.SetInParent()
        return self.call(r).opened

    def provision(self):
        r = pb.KeeperRequest()
        r.provision.SetInParent()
        return self.call(r).opened

    def create(self, algorithm, usage=SIGN):
        r = pb.KeeperRequest()
        r.create.algorithm, r.create.usage = algorithm, usage
        return Key(self.call(r).created, usage)

    @staticmethod
    def sign_request(key, scheme, data, message=False, profile=None, issuer=None):
        r = pb.KeeperRequest()
        r.data = data
        key.fill(r.sign.key)
        r.sign.scheme, r.sign.message = scheme, message
        if profile is not None:
            r.sign.profile.CopyFrom(profile)
        if issuer:
            r.sign.issuer_subject, r.sign.issuer_not_after = issuer
        return r

    def sign(self, key, scheme, data, **more):
        reply = self.call(self.sign_request(key, scheme, data, **more)).signature
        assert reply.input_sha256 == hashlib.sha256(data).digest()
        return reply

    def attest(self, key, nonce=b"", **more):
        """`more` replaces what was recorded when the key was made."""
        r = pb.KeeperRequest()
        key.fill(r.attest.key)
        r.attest.nonce = nonce
        r.attest.creation_data = more.get("data", key.created.creation_data)
        r.attest.creation_ticket = more.get("ticket", key.created.creation_ticket)
        reply = self.call(r).attested
        assert reply.input_sha256 == hashlib.sha256(nonce).digest()
        return reply.attestation

    def activate(self, credential, seed):
        r = pb.KeeperRequest()
        r.activate.credential, r.activate.seed = credential, seed
        return self.call(r).secret.data

    def certificate(self, spki, der):
        r = pb.KeeperRequest()
        r.certificate.spki, r.certificate.certificate = spki, der
        return self.call(r).parsed

    def errors(self):
        self.process.wait(20)
        return self.process.stderr.read().decode()

    def close(self):
        """Ends it as the broker does, by closing the socket; says what it said."""
        self.sock.close()
        said = self.errors()
        self.process.stderr.close()
        assert self.process.returncode in (0, -signal.SIGKILL), said
        assert "runtime error" not in said and "Sanitizer" not in said, said
        return said


HASHES = {"sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}


def check(key, scheme, digest, signature):
    """Verifies with python3-cryptography; raises if it does not."""
    name = HASHES[scheme.rsplit("-", 1)[1]]()
    pre = utils.Prehashed(name)
    public = load_der_public_key(key.spki)
    if scheme.startswith("ecdsa"):
        public.verify(signature, digest, ec.ECDSA(pre))
    elif "pss" in scheme:
        pad = padding.PSS(padding.MGF1(name), name.digest_size)
        public.verify(signature, digest, pad, pre)
    else:
        public.verify(signature, digest, padding.PKCS1v15(), pre)


@pytest.fixture(name="tpm")
def fixture_tpm():
    t = Swtpm()
    yield t
    t.close()


@pytest.fixture(name="proxy")
def fixture_proxy(tpm):
    p = Proxy(tpm)
    yield p
    p.close()


@pytest.fixture(name="keeper")
def fixture_keeper():
    k = Keeper()
    yield k
    if k.sock.fileno() >= 0:
        k.close()


@pytest.fixture(name="rig")
def fixture_rig(tpm, proxy, keeper):
    """A keeper on a TPM, with its traffic in view."""
    keeper.open(proxy)
    yield keeper, proxy
    keeper.close()
    assert tpm.objects() == [] and tpm.sessions() == [], "something was left in the TPM"
