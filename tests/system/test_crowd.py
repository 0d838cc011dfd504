# SPDX-License-Identifier: Apache-2.0
"""Many users at one broker with a token whose every command takes a known time."""
import contextlib
import os
import resource
import select
import signal
import sys
import time

import pytest

from brokerlib import Client, WithFakeKeeper
from keeperlib import pb, until
from test_limits import grant, open_to_all, peak_kib, user

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "load"))
import clients as loadclients  # noqa: E402

pytestmark = pytest.mark.root
VICTIM, FLOODS = 30000, range(30001, 30009)


def crowd(users, **settings):
    """A broker with a key k that each of these users may use."""
    b = WithFakeKeeper(**settings)
    b.settings["principals"] += [grant(uid) for uid in users]
    open_to_all(b)
    return b


def client_of(b, uid, **more):
    with user(uid):
        return Client(b.socket, **more)


def ask(c):
    c.send(timeout_ms=600000, sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="ecdsa-sha256",
                                           data=b"d" * 32))


def serve(floods, end, extra=()):
    """Has each flood ask again for every answer, till a time, or till @extra has an answer."""
    while (left := end - time.monotonic()) > 0:
        ready = select.select([c.sock for c in [*floods, *extra]], [], [], left)[0]
        if any(c.sock in ready for c in extra):
            return
        for f in floods:
            if f.sock in ready:
                f.reply()
                ask(f)
    assert not extra, "no answer"


def latencies(victim, floods, n, pause):
    out = []
    for _ in range(n):
        begin = time.monotonic()
        ask(victim)
        serve(floods, begin + 30, [victim])
        out.append(time.monotonic() - begin)
        assert victim.reply().status == pb.OK
        serve(floods, begin + pause)
    return sorted(out)


def test_who_asks_seldom_does_not_wait_for_a_round_of_the_floods():
    """The bound of the issue: 3 times his own p99 alone, and one command more; at 5 signatures a second,
    which is half of his share, a ninth of what a token with 10 ms for a command does."""
    with crowd([VICTIM, *FLOODS]) as b:
        assert b.client().create("k").status == pb.OK
        b.mood("sign:10ms")
        victim = client_of(b, VICTIM)
        quiet = latencies(victim, [], 100, 0.015)
        floods = [client_of(b, uid) for uid in FLOODS]
        for f in floods:
            for _ in range(16):
                ask(f)
        loud = latencies(victim, floods, 100, 0.2)
        p99 = [each[98] * 1000 for each in (quiet, loud)]
        assert p99[1] <= 3 * p99[0] + quiet[-1] * 1000, (p99, quiet[-1], loud[90:])


# ------------------------------------------------------------------- many that wait

def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as f:
        return sum(map(int, f.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.plain
def test_thirty_thousand_that_wait_cost_no_time_and_little_memory():
    """500 users with 64 requests each at a token that hangs. What others ask costs no walk over all
    of them, nor does it when a hundred leave at once."""
    users = range(41000, 41500)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    b = crowd([])
    b.settings["tokens"][0]["timeout_ms"] = 600000
    b.settings["principals"] += [{"uid": -1, "gid": 0, "socket": "main", "keys": ["*"],
                                  "rights": ["sign"]}]
    b.settings["limits"]["queue"] = 65536
    b.configure()
    with b:
        admin = b.client()
        assert admin.create("k").status == pb.OK
        b.mood("sign:hang")
        clients = [client_of(b, uid) for uid in users]
        for c in clients:
            for _ in range(64):
                ask(c)
        get = {"key_get": pb.KeyGet(key=pb.KeyRef(name="k"))}
        assert admin.call(**get).status == pb.OK
        pid = b.pid("holdfastd")
        assert peak_kib(pid) < 24 << 10
        before = cpu_s(pid)
        for _ in range(200):
            assert admin.call(**get).status == pb.OK
        each = (cpu_s(pid) - before) / 200
        assert each < 0.002, each  # 8 ms when each event looked at all of them
        for c in clients[:100]:
            c.close()
        before = cpu_s(pid)
        assert admin.call(**get).status == pb.OK
        assert cpu_s(pid) - before < 0.5


def test_the_queue_of_all_is_full_and_everybody_may_have_one():
    b = crowd([VICTIM, *FLOODS])
    b.settings["tokens"][0]["timeout_ms"] = 600000
    b.settings["limits"]["queue"] = 100
    b.configure()
    with b:
        assert b.client().create("k").status == pb.OK
        b.mood("sign:hang")
        floods = [client_of(b, uid) for uid in FLOODS[:2]]
        for f in floods:
            for _ in range(64):
                ask(f)
        for _ in range(28):  # of 128 a hundred are in
            ready = select.select([f.sock for f in floods], [], [], 20)[0]
            said = floods[floods[0].sock not in ready].reply()
            assert said.status == pb.BUSY and "of all users" in said.message
        victim = client_of(b, VICTIM)
        ask(victim)
        ask(victim)
        assert victim.reply().status == pb.BUSY  # the second; the first waits
        b.mood("")
        os.kill(b.pid("python3"), 9)  # what hung is answered, the rest is done
        assert victim.reply().status == pb.OK


# ------------------------------------------------------------------- one RSA key at a time

def answered(waiting):
    """The next reply to any of these clients, which is taken off the list."""
    ready = select.select([c.sock for c in waiting], [], [], 30)[0]
    return waiting.pop([c.sock for c in waiting].index(ready[0])).reply()


def test_one_rsa_key_of_a_user_is_made_at_a_time_however_many_keepers():
    b = WithFakeKeeper()
    b.settings["tokens"][0].update(type="pkcs11", module="/none", uri="pkcs11:token=none", pin="",
                                   workers=2, environment=[], keys=[])
    for member in "tcti", "primary_handle":
        del b.settings["tokens"][0][member]
    b.configure()
    open(os.path.join(b.dir, "has-rsa"), "w").close()
    with b:
        c = b.client()
        until(lambda: c.call(token_list=pb.TokenList()).token_list.tokens[0].workers == 2)
        assert c.create("k").status == pb.OK
        b.mood("create:slower")
        many = [b.client() for _ in range(3)]
        begin = time.monotonic()
        for n, one in enumerate(many):
            one.send(key_create=pb.KeyCreate(name="r%d" % n, algorithm="rsa-2048", usage=1))
        # Whose packet the broker sees last is turned away; the fake makes EC keys, whatever it is asked for.
        refused, first = answered(many), answered(many)
        assert c.sign("k").status == pb.OK
        second = answered(many)
        assert refused.status == pb.BUSY and pb.BUSY not in (first.status, second.status)
        assert time.monotonic() - begin > 3.1  # 1.6 s for each: not side by side


# ------------------------------------------------------------------- no is said at once

def busy_times(n, answer):
    """Milliseconds until each of @n refusals; @answer asks and gives the reply."""
    out = []
    while len(out) < n:
        begin = time.monotonic()
        r = answer()
        if r.status == pb.BUSY:
            out.append((time.monotonic() - begin) * 1000)
    return sorted(out)


def hang(c):
    c.send(timeout_ms=600000, derive=pb.Derive(key=pb.KeyRef(name="hung"), scheme="ecdh",
                                               peer=b"\4" + bytes(64)))


@pytest.mark.plain
def test_every_no_comes_within_50_ms_beside_a_crowd():
    """At the door, for the queue, the bytes and the rate of one user, while 8 others flood."""
    door, queue, many, often = range(30020, 30024)
    b = crowd([*FLOODS, door, queue, many], tokens=("tpm", "other"))
    for t in b.settings["tokens"]:
        t["timeout_ms"] = 600000
    b.settings["principals"].append(grant(often, rate=5))
    b.settings["limits"].update(connections_per_principal=16)
    b.configure()
    with b:
        admin = b.client()
        for key in "k", "loud":
            assert admin.create(key).status == pb.OK
        assert admin.create("hung", usage=9, token="other").status == pb.OK
        b.mood("derive:hang")  # the one of "other", and what stands behind it
        floods = [loadclients.start("flood", uid, b.socket) for uid in FLOODS]
        try:
            until(lambda: admin.call(status_get=pb.StatusGet()).status_reply.connections > 8)
            at_work = [client_of(b, door) for _ in range(16)]
            for c in at_work:
                hang(c)
            full, fat, fast = (client_of(b, uid) for uid in (queue, many, often))
            for _ in range(64):
                hang(full)

            def knock():
                with contextlib.closing(client_of(b, door, hello=False)) as c:
                    return c.reply()

            def queue_one():
                hang(full)
                return full.reply()

            def fill():
                fat.send(timeout_ms=600000, sign=pb.Sign(key=pb.KeyRef(name="hung"), message=True,
                                                         scheme="ecdsa-sha256", data=b"m" * 60000))
                return fat.reply()

            for _ in range(2 * 1024 * 1024 // 60000 - 1):
                fat.send(timeout_ms=600000, sign=pb.Sign(key=pb.KeyRef(name="hung"), message=True,
                                                         scheme="ecdsa-sha256", data=b"m" * 60000))
            fat.send(timeout_ms=600000, sign=pb.Sign(key=pb.KeyRef(name="hung"), message=True,
                                                     scheme="ecdsa-sha256", data=b"m" * 60000))
            for what, answer in (("door", knock), ("queue", queue_one), ("bytes", fill),
                                 ("rate", lambda: fast.sign("k"))):
                took = busy_times(100, answer)
                assert took[94] <= 50 and took[-1] <= 500, (what, took[90:])
        finally:
            loadclients.stop(floods)


# ------------------------------------------------------------------- the door

def test_users_without_any_right_hold_no_place():
    """Ten of them with 64 connections each would be all that there are. They are told why, at once."""
    with crowd([VICTIM]) as b:
        for uid in range(40000, 40010):
            for _ in range(64):
                with contextlib.closing(client_of(b, uid, hello=False)) as c:
                    said = c.reply()
                assert said.status == pb.DENIED and "any right on socket main" in said.message
        assert b.client().create("k").status == pb.OK
        assert client_of(b, VICTIM).sign("k").status == pb.OK


def test_who_loses_his_last_right_loses_his_place():
    """A connection of his that is open is closed when the policy changes; the next one tells him why.
    Who keeps a right keeps his."""
    with crowd([VICTIM, VICTIM + 1]) as b:
        assert b.client().create("k").status == pb.OK
        out, stays = client_of(b, VICTIM), client_of(b, VICTIM + 1)
        assert out.sign("k").status == stays.sign("k").status == pb.OK
        b.settings["principals"] = [p for p in b.settings["principals"] if p["uid"] != VICTIM]
        b.configure()
        b.process.send_signal(signal.SIGHUP)
        assert out.sock.recv(10) == b""
        assert stays.sign("k").status == pb.OK
        said = client_of(b, VICTIM, hello=False).reply()
        assert said.status == pb.DENIED and "any right on socket main" in said.message


def test_who_does_not_say_hello_is_shown_out():
    with crowd([]) as b:
        begin = time.monotonic()
        silent, other = Client(b.socket, hello=False), b.client()
        assert silent.sock.recv(10) == b""
        assert 1.5 < time.monotonic() - begin < 10
        assert other.call(status_get=pb.StatusGet()).status == pb.OK


def test_places_that_are_all_held_by_silent_or_deaf_ones_can_be_had():
    """A user who has fewer gets one of whoever has the most: one that says nothing, or that does not
    read; and root has one on main even while all others are at work."""
    holders = range(30050, 30058)
    b = crowd([VICTIM, *holders], tokens=("tpm", "other"))
    b.settings["limits"].update(connections=64, connections_per_principal=8)
    for t in b.settings["tokens"]:
        t["timeout_ms"] = 600000
    b.configure()
    with b:
        with contextlib.closing(b.client()) as admin:
            assert admin.create("k").status == pb.OK
            assert admin.create("hung", usage=9, token="other").status == pb.OK
        silent = [client_of(b, uid) for uid in holders for _ in range(8)]
        with contextlib.closing(until(lambda: welcome(b, VICTIM))) as c:
            assert c.sign("k").status == pb.OK
        for c in silent:
            c.close()
        b.mood("derive:hang")
        at_work = [until(lambda uid=uid: welcome(b, uid)) for uid in holders for _ in range(8)]
        for c in at_work:
            hang(c)
        assert until(lambda: not welcome(b, VICTIM))
        assert b.client().call(status_get=pb.StatusGet()).status_reply.connections == 65


def welcome(b, uid):
    """A client who was let in and greeted; None: he was turned away."""
    c = client_of(b, uid, hello=False)
    with contextlib.suppress(BrokenPipeError):
        c.send(hello=pb.Hello(version=1))
    try:
        said = c.reply()
    except ConnectionResetError:  # Linux says so once; what was said before is there all the same
        said = c.reply()
    if said.status == pb.OK:
        return c
    c.close()
    return None
