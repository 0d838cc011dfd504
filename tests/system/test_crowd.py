# SPDX-License-Identifier: Apache-2.0
"""Many users at one broker with a token whose every command takes a known time."""
import select
import time

import pytest

from brokerlib import Client, WithFakeKeeper
from keeperlib import pb
from test_limits import grant, open_to_all, user

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


def serve(floods, until, extra=()):
    """Has each flood ask again for every answer, till a time, or till @extra has an answer."""
    while (left := until - time.monotonic()) > 0:
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
    """The bound of the issue: 3 times his own p99 alone, and one command more. He asks 3 times a second:
    5 would be all of his share, a ninth of what a token with 20 ms for a command does, if only the
    machine were alone."""
    with crowd([VICTIM, *FLOODS]) as b:
        assert b.client().create("k").status == pb.OK
        b.mood("sign:20ms")
        victim = client_of(b, VICTIM)
        quiet = latencies(victim, [], 40, 0.03)
        floods = [client_of(b, uid) for uid in FLOODS]
        for f in floods:
            for _ in range(16):
                ask(f)
        loud = latencies(victim, floods, 40, 0.33)
        p99 = [each[int(len(each) * .99)] * 1000 for each in (quiet, loud)]
        assert p99[1] <= 3 * p99[0] + quiet[-1] * 1000, (p99, loud)
