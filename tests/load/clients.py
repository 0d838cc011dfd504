# SPDX-License-Identifier: Apache-2.0
"""Clients of the broker, good and bad: each mode is a function that goes on until it is killed.

Whoever runs one has become another user before. The broker may say BUSY, close, or say nothing:
a bad client takes any of it and comes again."""
import array
import contextlib
import os
import signal
import socket
import time

from brokerlib import Client
from keeperlib import pb

DEPTH = 32  # requests under way of one flood
RATE = 5  # signatures a second of who behaves


def patient(path, seconds=60):
    """A client that comes in although others fill the queue of those who wait to be let in."""
    end = time.monotonic() + seconds
    while True:
        try:
            return Client(path, timeout=seconds)
        except BlockingIOError:  # connect() with a full queue, of a socket with a timeout
            assert time.monotonic() < end
            time.sleep(0.005)


def sign_request(key):
    return dict(sign=pb.Sign(key=pb.KeyRef(name=key), scheme="ecdsa-sha256", data=os.urandom(32)))


def well_behaved(path):
    """A few signatures a second, one after the other on one connection."""
    c, start, i = patient(path), time.monotonic(), 0
    while True:
        time.sleep(max(0, start + i / RATE - time.monotonic()))
        assert c.sign("loud", os.urandom(32)).status == pb.OK
        i += 1


def flood(path):
    """As many signatures as it can get, always with more of them waiting than it may have."""
    c = Client(path)
    while True:
        for _ in range(DEPTH):
            c.send(**sign_request("loud"))
        for _ in range(DEPTH):
            c.reply()


def half_open(path):
    """Connections that never say hello."""
    held = []
    while True:
        held.append(Client(path, hello=False))
        if len(held) > 200:
            held.clear()
        time.sleep(0.005)


def unread(path, ask):
    """Asks, and takes no answer, until the broker takes no more either."""
    with contextlib.closing(Client(path, timeout=0.2)) as c:
        while True:
            ask(c)


def no_read(path):
    unread(path, lambda c: c.send(key_list=pb.KeyList()))


def no_read_sign(path):
    """The same with signatures, for which the TPM has worked."""
    unread(path, lambda c: c.send(**sign_request("loud")))


def random_bytes(path):
    """Packets of any content, with a hello before some of them."""
    while True:
        with contextlib.closing(Client(path, hello=os.urandom(1)[0] & 1)) as c:
            with contextlib.suppress(OSError):
                for _ in range(4):
                    c.sock.send(os.urandom(1 + int.from_bytes(os.urandom(2), "big") % 65000))
            c.sock.settimeout(0.05)
            with contextlib.suppress(OSError):
                c.sock.recv(70000)


def fd_bomb(path):
    """Connections up to any limit, and descriptors sent along, which nobody has asked for."""
    held = []
    fds = array.array("i", [0] * 200)
    while True:
        c = Client(path, hello=False)
        with contextlib.suppress(OSError):
            c.sock.sendmsg([pb.Request(id=1, hello=pb.Hello(version=1)).SerializeToString()],
                           [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        held.append(c)
        if len(held) > 500:
            held.clear()


def kill_mid_operation(path):
    """A process that dies with its requests under way, again and again."""
    while True:
        child = os.fork()
        if not child:
            try:
                c = Client(path)
                for _ in range(8):
                    c.send(**sign_request("loud"))
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)


MODES = {"well-behaved": well_behaved, "flood": flood, "half-open": half_open, "no-read": no_read,
         "no-read-sign": no_read_sign, "random-bytes": random_bytes, "fd-bomb": fd_bomb,
         "kill": kill_mid_operation}


def start(mode, uid, path):
    """The process of a client in another user's name; it ends with ours."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    import ctypes
    import resource
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 2048))
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
        while os.getppid() == parent:
            with contextlib.suppress(OSError, AssertionError):
                MODES[mode](path)
            time.sleep(0.01)  # it was turned away
    finally:
        os._exit(1)


def stop(pids):
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
