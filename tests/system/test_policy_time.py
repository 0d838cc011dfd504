# SPDX-License-Identifier: Apache-2.0
"""What the time of an answer tells: not whether a key that one may not use is there."""
import hashlib
import os
import random
import signal
import statistics
import time

import pytest

from brokerlib import RIGHTS, WithFakeKeeper
from keeperlib import pb, until

MINE = {"uid": os.getuid(), "gid": -1, "socket": "main", "keys": ["*"], "rights": RIGHTS}
SAMPLES = 6000


def ks(a, b):
    """Kolmogorov and Smirnov's: how far the two distributions are apart, at most 1."""
    i, j, most = 0, 0, 0
    a, b = sorted(a), sorted(b)
    for x in sorted(set(a + b)):
        while i < len(a) and a[i] <= x:
            i += 1
        while j < len(b) and b[j] <= x:
            j += 1
        most = max(most, abs(i / len(a) - j / len(b)))
    return most


def timed(c, packets):
    """ns of each packet's answer, SAMPLES of each, in an order that nobody could be in step with."""
    order, took = list(range(len(packets))) * SAMPLES, [[] for _ in packets]
    random.Random(1).shuffle(order)
    for n in order:
        since = time.perf_counter_ns()
        c.sock.send(packets[n])
        answer = c.sock.recv(70000)
        took[n].append(time.perf_counter_ns() - since)
        assert answer
    return took


def packet(op, ref):
    more = {"scheme": "ecdsa-sha256", "data": b"d" * 32} if op == "sign" else {}
    kind = {"sign": pb.Sign, "key_get": pb.KeyGet}[op]
    return pb.Request(id=9, **{op: kind(key=ref, **more)}).SerializeToString()


@pytest.fixture(scope="module", name="few_rights")
def fixture_few_rights():
    """Forty keys that are there; with rights on those of another name only. (broker, id of one)"""
    with WithFakeKeeper(principals=[MINE]) as b:
        c = b.client()
        for n in range(40):
            assert c.create("there-%02d" % n).status == pb.OK
        assert c.create("mine").status == pb.OK
        one = c.call(key_get=pb.KeyGet(key=pb.KeyRef(name="there-20"))).key.spki_sha256
        b.settings["principals"] = [{**MINE, "keys": ["mine"], "rights": ["public", "sign"]}]
        b.configure()
        b.process.send_signal(signal.SIGHUP)
        until(lambda: "1 principals are in force" in b.text())
        yield b, one


@pytest.mark.plain
@pytest.mark.parametrize("op", ["sign", "key_get"])
@pytest.mark.parametrize("by", ["name", "id"])
def test_time_does_not_tell_which_keys_there_are(few_rights, op, by):
    """The two have one answer and take one time: medians within 5 %, distributions within 0.15."""
    b, one = few_rights
    there, none = (pb.KeyRef(name=n) for n in ("there-20", "where-20"))
    if by == "id":
        there, none = (pb.KeyRef(spki_sha256=i) for i in (one, hashlib.sha256(b"no key").digest()))
    c = b.client()
    packets = [packet(op, there), packet(op, none)]
    answers = []
    for p in packets:
        c.sock.send(p)
        answers.append(c.reply())
    assert answers[0] == answers[1] and answers[0].status == pb.NO_KEY
    forbidden, unknown = timed(c, packets)
    assert .95 < statistics.median(forbidden) / statistics.median(unknown) < 1 / .95
    assert ks(forbidden, unknown) < .15


@pytest.mark.plain
def test_time_would_tell(few_rights):
    """What is measured with sees a line of the audit, which a success of key_get has not."""
    b, _ = few_rights
    c = b.client()
    mine, none = timed(c, [packet("key_get", pb.KeyRef(name=n)) for n in ("mine", "none")])
    assert ks(mine, none) > .15
