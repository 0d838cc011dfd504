# SPDX-License-Identifier: Apache-2.0
"""The broker among good and bad clients, and with a keeper that misbehaves."""

import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from brokerlib import HOLDFASTD, Broker, Client, WithFakeKeeper
from keeperlib import pb, until

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture
def broker():
    with WithFakeKeeper() as b:
        yield b


def mood(broker, text):
    broker.mood(text)


def verify(reply, spki, digest=b"d" * 32):
    assert reply.status == pb.OK, reply.message
    serialization.load_der_public_key(spki).verify(
        reply.signature.signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


# ------------------------------------------------------------------- operations

def test_life_of_a_key(broker):
    c = broker.client()
    one = c.create("device-id")
    assert one.status == pb.OK and list(one.key.schemes)[0] == "ecdsa-sha256"
    assert c.create("device-id").status == pb.EXISTS
    verify(c.sign("device-id"), one.key.spki)
    staged = c.call(key_stage=pb.KeyStage(name="device-id", transaction=b"t" * 16))
    again = c.call(key_stage=pb.KeyStage(name="device-id", transaction=b"t" * 16))
    assert staged.key.spki_sha256 == again.key.spki_sha256 != one.key.spki_sha256
    verify(c.sign("device-id"), one.key.spki)
    ref = pb.KeyRef(name="device-id", spki_sha256=staged.key.spki_sha256)
    verify(c.call(sign=pb.Sign(key=ref, scheme="ecdsa-sha256", data=b"d" * 32)), staged.key.spki)
    now = c.call(key_current=pb.KeyCurrent(key=ref, grace_s=3600))
    assert [g.state for g in now.key.generations] == [pb.Generation.RETIRING, pb.Generation.CURRENT]
    verify(c.sign("device-id"), staged.key.spki)
    old = pb.KeyRef(spki_sha256=one.key.spki_sha256)
    verify(c.call(sign=pb.Sign(key=old, scheme="ecdsa-sha256", data=b"d" * 32)), one.key.spki)
    assert c.call(key_retire=pb.KeyRetire(key=ref)).status == pb.REFUSED
    assert c.call(key_retire=pb.KeyRetire(key=old)).status == pb.OK
    assert c.call(key_get=pb.KeyGet(key=old)).status == pb.NO_KEY
    assert c.call(key_delete=pb.KeyDelete(name="device-id")).status == pb.OK
    assert c.sign("device-id").status == pb.NO_KEY
    assert os.listdir(os.path.join(broker.dir, "state", "keys")) == []


def test_retiring_generation_is_collected_in_time(broker):
    c = broker.client()
    old = c.create("k").key.spki_sha256
    new = c.call(key_stage=pb.KeyStage(name="k")).key.spki_sha256
    c.call(key_current=pb.KeyCurrent(key=pb.KeyRef(name="k", spki_sha256=new), grace_s=1))
    keys = os.path.join(broker.dir, "state", "keys", "k")
    until(lambda: not os.path.exists(os.path.join(keys, old.hex() + ".pem")))
    assert c.call(key_get=pb.KeyGet(key=pb.KeyRef(spki_sha256=old))).status == pb.NO_KEY
    assert c.call(key_get=pb.KeyGet(key=pb.KeyRef(name="k"))).key.spki_sha256 == new


def test_keys_survive_a_restart_and_lists_come_in_pages(broker):
    c = broker.client()
    names = ["k%03d" % i for i in range(70)]
    ids = {n: c.create(n).key.spki_sha256 for n in random.sample(names, len(names))}
    broker.stop()
    broker.start()
    c, seen = broker.client(), []
    while True:
        page = c.call(key_list=pb.KeyList(after=seen[-1].name if seen else "")).key_list
        seen += page.keys
        if not page.more:
            break
    assert [k.name for k in seen] == names
    assert {k.name: k.spki_sha256 for k in seen} == ids


@pytest.mark.parametrize("op, status, words", [
    (dict(key_create=pb.KeyCreate(name="x", algorithm="ec-p257", usage=1)), pb.ARGUMENT, "ec-p257"),
    (dict(key_create=pb.KeyCreate(name="x", algorithm="rsa-2048", usage=1)), pb.UNSUPPORTED, "has ec-p256"),
    (dict(key_create=pb.KeyCreate(name="../x", algorithm="ec-p256", usage=1)), pb.ARGUMENT, "letters"),
    (dict(key_create=pb.KeyCreate(name="x", algorithm="ec-p256", usage=3)), pb.ARGUMENT, "ca goes alone"),
    (dict(key_create=pb.KeyCreate(name="x", algorithm="ec-p256", usage=0)), pb.ARGUMENT, "usage"),
    (dict(key_create=pb.KeyCreate(name="x", algorithm="ec-p256", usage=1, token="hsm")), pb.ARGUMENT, "hsm"),
    (dict(key_get=pb.KeyGet(key=pb.KeyRef(name="nope"))), pb.NO_KEY, "nope"),
    (dict(key_get=pb.KeyGet(key=pb.KeyRef(spki_sha256=b"x" * 31))), pb.NO_KEY, "no such key"),
    (dict(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="ecdsa-sha256", data=b"d" * 31)), pb.ARGUMENT, "32 bytes"),
    (dict(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="rsa-pss-sha256", data=b"d" * 32)), pb.ARGUMENT, "rsa-pss-sha256"),
    (dict(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="md5", data=b"d" * 32)), pb.ARGUMENT, "md5"),
    (dict(sign=pb.Sign(key=pb.KeyRef(name="ca"), scheme="ecdsa-sha256", data=b"d" * 32)), pb.REFUSED, "never a digest"),
    (dict(key_current=pb.KeyCurrent(key=pb.KeyRef(name="k"))), pb.ARGUMENT, "fingerprint"),
    (dict(key_issuer=pb.KeyIssuer(key=pb.KeyRef(name="k"), certificate=b"x")), pb.REFUSED, "not a ca key"),
    (dict(), pb.UNSUPPORTED, "does not know"),
])
def test_bad_requests(broker, op, status, words):
    c = broker.client()
    c.create("k")
    c.create("ca", usage=2)
    got = c.call(**op)
    assert got.status == status and words in got.message
    verify(c.sign("k"), c.call(key_get=pb.KeyGet(key=pb.KeyRef(name="k"))).key.spki)


def test_what_a_ca_key_issues_is_journalled_first(broker):
    c = broker.client()
    c.create("ca", usage=2)
    tbs = b"serial-number-16" + b"first"
    assert c.sign("ca", tbs, message=True).status == pb.OK
    assert c.sign("ca", tbs, message=True).status == pb.OK
    refused = c.sign("ca", b"serial-number-16" + b"other", message=True)
    assert refused.status == pb.REFUSED and b"serial-number-16".hex() in refused.message
    assert not refused.signature.signature
    with open(os.path.join(broker.dir, "state", "journal", "ca")) as f:
        lines = f.read().splitlines()
    assert len(lines) == 1 and lines[0].startswith(b"serial-number-16".hex())
    assert all(" " <= ch < "\x7f" for ch in broker.text().replace("\n", ""))
    assert 'subject="CN=evil\\x22\\x0a' in broker.text().replace("\\x5c", "\\")


# ----------------------------------------------------------------------- policy

def test_default_is_deny_and_unknown_looks_like_forbidden(broker):
    broker.client().create("mine")
    broker.settings["principals"] = [{"uid": os.getuid(), "gid": -1, "socket": "", "keys": ["other-*"],
                                      "rights": ["public", "sign"]}]
    broker.configure()
    broker.process.send_signal(signal.SIGHUP)
    until(lambda: "1 principals are in force" in broker.text())
    c = broker.client()
    answers = [c.call(key_get=pb.KeyGet(key=pb.KeyRef(name=n))) for n in ("mine", "unknown")]
    answers += [c.sign("mine"), c.sign("unknown"), c.create("mine"), c.create("new")]
    assert {(a.status, a.message) for a in answers} == {(pb.NO_KEY, "no such key, or not yours")}
    assert not c.call(key_list=pb.KeyList()).key_list.keys


def test_broken_reload_keeps_the_old_policy(broker):
    c = broker.client()
    c.create("k")
    with open(os.path.join(broker.dir, "etc", "holdfastd.json"), "w") as f:
        f.write('{"version": 1, "state_dir"')
    broker.process.send_signal(signal.SIGHUP)
    until(lambda: "old settings stay in force" in broker.text())
    assert c.sign("k").status == pb.OK


@pytest.mark.root
def test_nobody_without_a_grant_gets_in(broker):
    """Another uid: connects (the socket is opened for it), and is told just that."""
    broker.client().create("k")
    for path in (broker.dir, os.path.dirname(broker.socket)):
        os.chmod(path, 0o755)
    os.chmod(broker.socket, 0o666)
    code = """
import os, sys
sys.path.insert(0, %r)
from brokerlib import Client, pb
for uid in (12345, 65534):
    pid = os.fork()
    if pid == 0:
        os.setgroups([]); os.setgid(uid); os.setuid(uid)
        os._exit(Client(%r, hello=False).reply().status)
    print(uid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""" % (HERE, broker.socket)
    out = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True)
    assert out.stdout.split() == ["12345", "5", "65534", "5"], out.stdout + out.stderr


# ---------------------------------------------------------------- hostile bytes

def closed(sock):
    try:
        return sock.recv(70000) == b""
    except ConnectionResetError:
        return True


def test_malformed_packets_get_an_answer_and_the_door(broker):
    rng = random.Random(1)
    good = pb.Request(id=1, hello=pb.Hello(version=1, software="x" * 40)).SerializeToString()
    packets = [b"\xff" * n for n in (1, 2, 100, 65535)] + [rng.randbytes(rng.randrange(1, 300)) for _ in range(200)]
    packets += [good[:n] for n in range(1, len(good))]
    packets += [bytes(good[:i] + bytes([good[i] ^ 1 << bit]) + good[i + 1:])
                for i in range(len(good)) for bit in range(8)]
    for packet in packets:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(20)
        s.connect(broker.socket)
        s.send(packet)
        reply = pb.Reply.FromString(s.recv(70000))
        assert reply.status in (pb.OK, pb.PROTOCOL, pb.UNSUPPORTED)
        s.close()
    assert broker.client().call(status_get=pb.StatusGet()).status == pb.OK


def test_too_long_and_too_early(broker):
    c = broker.client()
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400000)
    c.sock.send(b"x" * 100000)
    got = c.reply()
    assert got.status == pb.PROTOCOL and "65536" in got.message
    assert closed(c.sock)
    c = broker.client(hello=False)
    got = c.call(status_get=pb.StatusGet())
    assert got.status == pb.PROTOCOL and "hello" in got.message
    assert closed(c.sock)


def test_a_client_that_does_not_read_is_dropped_and_hurts_nobody(broker):
    bad, good = broker.client(), broker.client()
    good.create("k")
    bad.sock.settimeout(0.2)
    sent = 0
    try:
        while sent < 200000:
            bad.send(key_list=pb.KeyList())
            sent += 1
    except (TimeoutError, OSError):
        pass
    assert sent < 200000
    assert good.sign("k").status == pb.OK


def test_limits_are_answers(broker):
    broker.settings["limits"].update(connections_per_principal=2, queue_per_principal=3)
    broker.stop()
    broker.configure()
    broker.start()
    held = [broker.client() for _ in range(2)]
    held[0].create("k")
    mood(broker, "sign:slow")
    sign = dict(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="ecdsa-sha256", data=b"d" * 32))
    for c in held:
        c.send(**sign)
    extra = broker.client(hello=False)
    got = extra.reply()
    assert (got.id, got.status) == (0, pb.BUSY) and "of this user" in got.message
    assert closed(extra.sock)
    assert [c.reply().status for c in held] == [pb.OK] * 2
    for _ in range(8):
        held[1].send(**sign)
    got = [held[1].reply().status for _ in range(8)]
    assert got.count(pb.BUSY) == 5 and got[:5] == [pb.BUSY] * 5 and got.count(pb.OK) == 3
    held[0].close()
    until(lambda: held[1].call(status_get=pb.StatusGet()).status_reply.connections == 1)
    broker.client()


def test_idle_connections_make_room(broker):
    """At a limit the one that was silent for the longest is closed; never one that is at work, has
    something to say, or has only just come."""
    broker.settings["limits"].update(connections_per_principal=4)
    broker.stop()
    broker.configure()
    broker.start()
    oldest, works, second, last = (broker.client() for _ in range(4))
    works.create("k")
    mood(broker, "sign:slow")
    works.send(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="ecdsa-sha256", data=b"d" * 32))
    for c in (oldest, second, last):
        assert c.call(status_get=pb.StatusGet()).status == pb.OK
    new = broker.client()
    assert oldest.sock.recv(10) == b""  # an end, not an error
    newer = broker.client()  # the other new one has asked nothing yet, and stays
    assert second.sock.recv(10) == b""
    for c in (new, last, newer):
        assert c.call(status_get=pb.StatusGet()).status_reply.connections == 4
    assert works.reply().status == pb.OK
    broker.client()
    assert works.sock.recv(10) == b""  # by now it was silent for the longest


def test_busy_comes_at_once(broker):
    """Within 50 ms, while the token hangs and the queue is full. Of 21 the one in the middle: others
    use this machine as well."""
    c = broker.client()
    c.create("k")
    mood(broker, "sign:hang")
    sign = dict(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="ecdsa-sha256", data=b"d" * 32))
    for _ in range(64):
        c.send(**sign)
    times = []
    for _ in range(21):
        begin = time.monotonic()
        assert c.call(**sign).status == pb.BUSY
        times.append(time.monotonic() - begin)
    assert sorted(times)[10] < 0.05, times


# ------------------------------------------------------------- keepers that fail

def test_keeper_dies_under_a_request(broker):
    c = broker.client()
    spki = c.create("k").key.spki
    mood(broker, "sign:die")
    got = c.sign("k")
    assert got.status == pb.UNAVAILABLE and "died" in got.message and "tpm" in got.message
    mood(broker, "")
    verify(c.sign("k"), spki)
    assert c.call(token_list=pb.TokenList()).token_list.tokens[0].restarts >= 1


def test_keeper_hangs(broker):
    c = broker.client()
    spki = c.create("k").key.spki
    first = broker.pid("sh") if "sh" in broker.children() else None
    mood(broker, "sign:hang")
    start = time.monotonic()
    got = c.sign("k")
    assert got.status == pb.TIMEOUT and "3000 ms" in got.message
    assert time.monotonic() - start < 6
    mood(broker, "")
    verify(c.sign("k"), spki)
    assert first is None or first not in broker.children().values()


@pytest.mark.parametrize("how", ["garbage", "wrong-id"])
def test_keeper_answers_nonsense(broker, how):
    c = broker.client()
    spki = c.create("k").key.spki
    mood(broker, "sign:" + how)
    got = c.sign("k")
    assert got.status == pb.UNAVAILABLE and not got.signature.signature
    mood(broker, "")
    verify(c.sign("k"), spki)


def test_request_limit_of_the_client(broker):
    c = broker.client()
    c.create("k")
    mood(broker, "sign:slow")
    start = time.monotonic()
    got = c.sign("k", timeout_ms=100)
    assert got.status == pb.TIMEOUT and time.monotonic() - start < 0.35
    assert c.sign("k").status == pb.OK


def test_work_of_a_client_that_left_is_dropped(broker):
    c = broker.client()
    c.create("k")
    mood(broker, "sign:slow")
    gone = broker.client()
    for _ in range(40):
        gone.send(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="ecdsa-sha256", data=b"d" * 32))
    gone.close()
    until(lambda: c.call(status_get=pb.StatusGet()).status_reply.connections == 1)
    start = time.monotonic()
    assert c.sign("k").status == pb.OK
    assert time.monotonic() - start < 4  # two were at the keeper, 38 are not waited for


def test_token_that_is_not_there(broker):
    c = broker.client()
    c.create("k")
    mood(broker, "unavailable")
    got = c.sign("k")
    assert got.status == pb.UNAVAILABLE and "no TPM at all" in got.message
    token = c.call(token_list=pb.TokenList()).token_list.tokens[0]
    assert token.state == pb.TokenInfo.UNAVAILABLE and "no TPM at all" in token.error
    mood(broker, "")
    token = c.call(token_list=pb.TokenList()).token_list.tokens[0]
    assert token.state == pb.TokenInfo.READY and token.error == ""


# -------------------------------------------------------- life of the processes

def test_killed_broker_comes_back_with_its_sockets(broker):
    broker.client().create("k")
    old = broker.pid("holdfastd")
    os.kill(old, signal.SIGKILL)
    c = broker.client()  # the socket was never away: this waits in its backlog
    assert c.sign("k").status == pb.OK
    assert broker.pid("holdfastd") != old


def processes_of(directory):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                if directory.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


@pytest.mark.parametrize("sig, files", [(signal.SIGTERM, []), (signal.SIGINT, [])])
def test_stops_without_a_trace(broker, sig, files):
    broker.client().create("k")
    assert broker.stop(sig) == 0
    assert os.listdir(os.path.dirname(broker.socket)) == files
    assert processes_of(broker.dir) == []


def test_children_do_not_outlive_a_killed_warden(broker):
    broker.client().create("k")
    broker.stop(signal.SIGKILL)
    until(lambda: processes_of(broker.dir) == [])
    broker.start()  # over the socket file that was left behind
    assert broker.client().sign("k").status == pb.OK


def refused(broker):
    process, ready = broker.spawn()
    code = process.wait(20)
    assert not ready
    return code


def test_second_broker_on_the_same_socket(broker):
    c = broker.client()
    c.create("k")
    assert refused(broker) == 1
    assert "served by another holdfastd" in broker.text()
    assert c.sign("k").status == pb.OK and broker.client().sign("k").status == pb.OK


@pytest.mark.parametrize("what, code, words", [
    ("link", 3, "{0} is a symbolic link; give the real path"),
    ("dangling", 3, "{0} is a symbolic link; give the real path"),
    ("file", 3, "{0} is in the way and is not a socket"),
    ("directory", 3, "{0} is in the way and is not a socket"),
    ("open-directory", 3, "{1} may be written")])
def test_socket_path_that_is_not_ours(broker, what, code, words):
    broker.stop()
    other = os.path.join(broker.dir, "other")
    if what == "link":
        open(other, "w").close()
        os.symlink(other, broker.socket)
    elif what == "dangling":
        os.symlink(other, broker.socket)
    elif what == "file":
        open(broker.socket, "w").close()
    elif what == "directory":
        os.mkdir(broker.socket)
    else:
        os.chmod(os.path.dirname(broker.socket), 0o777)
    before = os.lstat(broker.socket).st_mode if what != "open-directory" else None
    assert refused(broker) == code
    assert words.format(broker.socket, os.path.dirname(broker.socket)) in broker.text()
    if before:
        assert os.lstat(broker.socket).st_mode == before
    assert not os.path.exists(other) or what == "link"


@pytest.mark.parametrize("text, code, words", [
    (None, 2, "holdfast config apply"),
    ("{", 2, "not JSON"),
    ('{"version": 1, "statedir": "/x"}', 2, "statedir"),
])
def test_settings_that_cannot_be_used(broker, text, code, words):
    broker.stop()
    path = os.path.join(broker.dir, "etc", "holdfastd.json")
    os.unlink(path)
    if text is not None:
        with open(path, "w") as f:
            f.write(text)
    assert refused(broker) == code
    assert words in broker.text()


@pytest.mark.parametrize("what", ["writable", "link", "open-directory", pytest.param(
    "somebody-elses", marks=pytest.mark.root)])
def test_settings_that_others_could_write(broker, what):
    """They are the policy. At the start that ends it; at a reload the old ones stay in force."""
    path = os.path.join(broker.dir, "etc", "holdfastd.json")
    if what == "writable":
        os.chmod(path, 0o622)
    elif what == "link":
        os.rename(path, path + ".real")
        os.symlink(path + ".real", path)
    elif what == "open-directory":
        os.chmod(os.path.dirname(path), 0o777)
    else:
        os.chown(path, 12345, 12345)
    c = broker.client()
    broker.process.send_signal(signal.SIGHUP)
    until(lambda: "the old settings stay in force" in broker.text())
    assert c.call(key_list=pb.KeyList()).status == pb.OK
    broker.stop()
    assert refused(broker) == 3
    assert path in broker.text() or os.path.dirname(path) + " may be written" in broker.text()


@pytest.mark.root
def test_a_namespace_that_shows_clients_as_one_is_refused(broker):
    """With a map of only some uids everybody else is 65534: no policy could tell them apart."""
    broker.stop()
    p = subprocess.run(["unshare", "--user", "--map-root-user", HOLDFASTD, "--root", broker.dir],
                       capture_output=True, text=True, timeout=20)
    assert p.returncode == 3 and "could not be told apart" in p.stderr, p.stderr


def test_damaged_key_file_is_set_aside_and_said(broker):
    c = broker.client()
    c.create("good")
    c.create("bad")
    broker.stop()
    with open(os.path.join(broker.dir, "state", "keys", "bad", "key.json"), "w") as f:
        f.write("{")
    broker.start()
    c = broker.client()
    assert c.sign("good").status == pb.OK
    assert c.sign("bad").status == pb.NO_KEY
    assert c.call(status_get=pb.StatusGet()).status_reply.set_aside == 1
    assert len(os.listdir(os.path.join(broker.dir, "state", "set-aside"))) == 1


# ------------------------------------------------------------------- resources

def test_links_no_crypto():
    libraries = subprocess.run(["ldd", HOLDFASTD], capture_output=True, text=True, check=True).stdout
    for bad in ("crypt", "ssl", "tss2", "p11", "pkcs11", "systemd"):
        assert bad not in libraries
    assert "stdc++" not in libraries or "libasan" in libraries  # a sanitizer brings its own


def status_field(pid, name):
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith(name + ":"):
                return int(line.split()[1])


def sleeping(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rpartition(")")[2].split()[0] == "S"


def test_one_thread_and_no_wakeups(broker):
    """For longer than any period that the broker has: what it looks after every so often."""
    c = broker.client()
    c.create("k")
    assert c.sign("k").status == pb.OK
    pids = [broker.process.pid, broker.pid("holdfastd")]
    for pid in pids:
        assert len(os.listdir("/proc/%d/task" % pid)) == 1
    until(lambda: all(sleeping(p) for p in pids))
    before = [status_field(p, "voluntary_ctxt_switches") for p in pids]
    end = time.monotonic() + 10
    until(lambda: time.monotonic() > end)
    assert [status_field(p, "voluntary_ctxt_switches") for p in pids] == before


@pytest.mark.root  # to see the descriptors of a process that gives up being dumpable
def test_descriptors_do_not_leak(broker):
    c = broker.client()
    c.create("k")
    fds = "/proc/%d/fd" % broker.pid("holdfastd")
    before = len(os.listdir(fds))
    for _ in range(300):
        other = broker.client()
        other.send(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="ecdsa-sha256", data=b"d" * 32))
        other.close()
    until(lambda: len(os.listdir(fds)) == before)
    assert c.sign("k").status == pb.OK


def test_many_clients_at_once(broker):
    spki = broker.client().create("k").key.spki
    wrong = []

    def work():
        c = broker.client()
        for i in range(25):
            digest = os.urandom(32)
            try:
                verify(c.sign("k", digest), spki, digest)
            except Exception as e:  # noqa: BLE001 - whatever it is, it is wrong
                wrong.append(e)
    threads = [threading.Thread(target=work) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_systemd_hands_over_the_socket_and_is_told(broker):
    """As systemd does it: the socket is descriptor 3, LISTEN_* say so, NOTIFY_SOCKET listens."""
    broker.stop()
    notify_path = os.path.join(broker.dir, "notify")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.settimeout(20)
    notify.bind(notify_path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(broker.socket)
    listener.listen(64)
    code = ("import os, sys; os.dup2(int(sys.argv[1]), 3); "
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='main', "
            "NOTIFY_SOCKET=sys.argv[2]); os.execv(sys.argv[3], sys.argv[3:])")
    log = open(broker.log, "ab")
    broker.process = subprocess.Popen(
        ["/usr/bin/python3", "-c", code, str(listener.fileno()), notify_path, HOLDFASTD, "--root",
         broker.dir, "--keeper", broker.keeper], pass_fds=[listener.fileno()], stderr=log)
    log.close()
    listener.close()
    assert notify.recv(100) == b"READY=1"
    c = broker.client()
    assert c.create("k").status == pb.OK and c.sign("k").status == pb.OK
    assert broker.stop() == 0
    assert notify.recv(100) == b"STOPPING=1"
    assert os.path.exists(broker.socket)  # it is systemd's, not ours to remove
