# SPDX-License-Identifier: Apache-2.0
"""Tokens that hang, or are slow: who waits how long, and what he is told."""
import os
import time

import pytest

from brokerlib import WithFakeKeeper
from keeperlib import pb, until
from test_broker import verify


@pytest.fixture
def broker():
    with WithFakeKeeper() as b:
        yield b


def restart_with(broker, token):
    broker.stop()
    broker.settings["tokens"] = [token]
    broker.configure()
    broker.start()


def short_limit(broker, ms):
    restart_with(broker, broker.settings["tokens"][0] | {"timeout_ms": ms})


def test_hanging_often_makes_recovery_no_slower(broker):
    """The keeper is not to blame, so the next one does not come later and later."""
    broker.client().create("k")
    short_limit(broker, 500)
    c = broker.client()
    for _ in range(8):
        broker.mood("sign:hang")
        assert c.sign("k").status == pb.TIMEOUT
        broker.mood("")
        until(lambda: c.sign("k").status == pb.OK, 2.5)  # 3.2 s with the back-off


def test_what_stands_behind_slow_work_is_not_late(broker):
    """A limit is for the work of one request: a token that makes a key does not hang."""
    short_limit(broker, 1000)
    c, other = broker.client(), broker.client()
    spki = c.create("k").key.spki
    broker.mood("create:slower")
    c.send(key_create=pb.KeyCreate(name="slow", algorithm="ec-p256", usage=1))
    verify(other.sign("k"), spki)
    assert c.reply().status == pb.OK
    assert other.call(token_list=pb.TokenList()).token_list.tokens[0].restarts == 0


def test_who_waits_for_a_token_hears_what_one_finds(broker):
    """Not one after the other, and not that some keeper does not run."""
    short_limit(broker, 1000)
    clients = [broker.client() for _ in range(6)]
    clients[0].create("k")
    broker.mood("hang")
    sign = dict(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="ecdsa-sha256", data=b"d" * 32))
    start = time.monotonic()
    for c in clients:
        c.send(**sign)
    got = [c.reply() for c in clients]
    assert time.monotonic() - start < 2
    assert {g.status for g in got} == {pb.TIMEOUT}
    assert all("not answered for 1000 ms" in g.message for g in got), got
    broker.mood("unavailable")
    until(lambda: "no TPM at all" in clients[0].sign("k").message)


def test_one_worker_hangs_and_the_others_go_on(broker):
    restart_with(broker, {"name": "tpm", "type": "pkcs11", "module": "/none.so", "pin": "", "keys": [],
                          "uri": "pkcs11:token=x", "workers": 2, "environment": [], "timeout_ms": 3000})
    c, bad = broker.client(), broker.client()
    spki = c.create("k").key.spki
    until(lambda: c.call(token_list=pb.TokenList()).token_list.tokens[0].workers == 2)
    broker.mood("sign:hang-once")
    start = time.monotonic()
    bad.send(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="ecdsa-sha256", data=b"d" * 32))
    until(lambda: not os.path.exists(os.path.join(broker.dir, "mood")))
    for _ in range(20):
        verify(c.sign("k"), spki)
    assert time.monotonic() - start < 2.5
    assert bad.reply().status == pb.TIMEOUT
    verify(c.sign("k"), spki)


def test_a_token_is_provisioned_while_a_keeper_makes_a_key(broker):
    """All its keepers start anew. What one of them was making is destroyed then, and not sooner."""
    pin = os.path.join(broker.dir, "pin")
    with open(pin, "w") as f:
        f.write("1234\n")
    os.chmod(pin, 0o600)
    restart_with(broker, {"name": "tpm", "type": "pkcs11", "module": "/none.so", "uri": "pkcs11:", "pin": pin,
                          "workers": 2, "timeout_ms": 5000, "environment": [], "keys": []})
    maker, user = broker.client(), broker.client()
    assert user.create("k").status == pb.OK
    until(lambda: user.call(token_list=pb.TokenList()).token_list.tokens[0].workers == 2)
    broker.mood("ping:unavailable\ncreate:hang\nsign:unavailable\n")
    maker.send(key_create=pb.KeyCreate(name="b", algorithm="ec-p256", usage=1))
    until(lambda: "its other workers go on" in broker.text())  # the ping ahead of it
    assert user.sign("k").status == pb.UNAVAILABLE  # by the other one
    broker.mood("")
    assert user.call(token_provision=pb.TokenProvision(token="tpm")).status == pb.OK
    reply = maker.reply()
    assert reply.status == pb.UNAVAILABLE and "starts anew" in reply.message, reply

    def destroyed():
        path = os.path.join(broker.dir, "destroyed")
        return open(path).read().split() if os.path.exists(path) else []

    until(destroyed)
    assert user.sign("k").status == maker.create("b").status == pb.OK
    assert [len(line) for line in destroyed()] == [32], "its 16 bytes, once"
    text = broker.text()
    assert "the broker was killed" not in text and "Sanitizer" not in text, text
