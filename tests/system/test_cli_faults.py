# SPDX-License-Identifier: Apache-2.0
"""The command holdfast, when answers get lost or the broker goes away in between."""
import collections
import os
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from clilib import CLI, ENV, Home
from fakebroker import Fail, FakeBroker, Generation
from keeperlib import until


class Rotating(FakeBroker):
    """Can rotate keys as the real one does. The last generation is the current one."""

    def __init__(self, path):
        super().__init__(path)
        self.lose = collections.Counter()  # operation: how many of its answers get lost, once it is done
        self.fail = {}                     # operation: what it fails with
        self.made = {}                     # by transaction

    def _answer(self, c, packet):
        req = self.pb.Request.FromString(packet)
        op = req.WhichOneof("op")
        if not self.lose[op]:
            return super()._answer(c, packet)
        self.lose[op] -= 1
        self.log.append((op, ""))
        try:
            getattr(self, "op_" + op)(req, self.pb.Reply(id=req.id))
        except Fail:
            pass
        return False

    def tell(self, rep, name, generation):
        self.op_key_get(self.pb.Request(key_get={"key": {"name": name, "spki_sha256": generation.hash}}), rep)

    def op_key_get(self, req, rep):
        super().op_key_get(req, rep)
        rep.key.schemes.append("ecdsa-sha256")

    def op_key_stage(self, req, rep):
        key = self.keys[req.key_stage.name]
        transaction = bytes(req.key_stage.transaction)
        assert len(transaction) == 16
        if transaction not in self.made:
            self.made[transaction] = Generation(key.algorithm)
            key.generations.insert(0, self.made[transaction])
        self.tell(rep, key.name, self.made[transaction])

    def op_key_current(self, req, rep):
        if "key_current" in self.fail:
            raise self.fail["key_current"]
        key, generation = self.find(req.key_current.key)
        key.generations.remove(generation)
        key.generations.append(generation)
        self.tell(rep, key.name, generation)

    def op_key_retire(self, req, rep):
        key, generation = self.find(req.key_retire.key)
        if generation is key.current:
            raise Fail("REFUSED", "the current generation cannot retire")
        key.generations.remove(generation)


@pytest.fixture
def home():
    h = Home()
    os.mkdir(h.path("run"))
    h.broker = Rotating(h.path("run/holdfast.sock"))
    h.key = h.broker.add_key("a")
    h.broker.start()
    yield h
    h.broker.stop()
    h.close()


def rotated(home, old):
    """It went well: exactly one new generation, which is current and is what was printed."""
    got = home.json("key", "rotate", "a")
    assert got["old"]["sha256"] == old.hash.hex()
    assert [g.hash for g in home.key.generations] == [old.hash, bytes.fromhex(got["new"]["sha256"])]
    assert got["sha256"] == got["new"]["sha256"] and got["name"] == "a"


@pytest.mark.parametrize("lose,requests", [
    ({}, ["key_get", "key_stage", "key_current"]),
    ({"key_stage": 1}, ["key_get", "key_stage", "key_stage", "key_current"]),
    ({"key_current": 1}, ["key_get", "key_stage", "key_current", "key_current"]),
    ({"key_current": 2}, ["key_get", "key_stage", "key_current", "key_current", "key_retire", "key_get"]),
])
def test_rotation_survives_lost_answers(home, lose, requests):
    home.broker.lose.update(lose)
    rotated(home, home.key.current)
    assert [op for op, _ in home.broker.log] == requests


def test_rotation_that_fails_leaves_nothing_behind(home):
    old = home.key.current
    home.broker.fail["key_current"] = Fail("IO", "the disk is full")
    p = home.run("key", "rotate", "a", code=1)
    assert "the old key stays in use" in p.err and "disk is full" in p.err and "key a" in p.err
    assert home.key.generations == [old]
    del home.broker.fail["key_current"]
    rotated(home, old)


def test_rotation_of_unknown_outcome_says_so(home):
    home.broker.lose.update(key_current=2, key_retire=1)
    p = home.run("key", "rotate", "a", code=4)
    assert "not known" in p.err and "holdfast key show a" in p.err and "stays in use" not in p.err


def test_stage_whose_answers_are_all_lost(home):
    home.broker.lose.update(key_stage=2)
    old = home.key.current
    home.run("key", "rotate", "a", code=4)
    assert home.key.current is old and home.broker.count("key_current") == 0


@pytest.mark.parametrize("restart", [True, False])
def test_broker_that_restarts_while_the_input_is_read(home, restart):
    """As `[limits] idle` does as well, if the input is slow to come."""
    p = subprocess.Popen([CLI, "sign", "a", "-", "--root", home.dir], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
    until(lambda: home.broker.count("key_get") == 1)
    home.broker.stop()
    if restart:
        home.broker.start()
    out, err = p.communicate(b"hello", timeout=30)
    if restart:
        assert p.returncode == 0, err
        home.key.current.private.public_key().verify(out, b"hello", ec.ECDSA(hashes.SHA256()))
    else:
        assert p.returncode == 4 and b"is holdfastd running" in err


@pytest.mark.parametrize("fault,times,code", [("close", 2, 4), ("garbage", 1, 1), ("empty", 1, 1), ("busy", 1, 4),
                                              ("unavailable", 2, 4)])
def test_broker_that_misbehaves(home, fault, times, code):
    home.broker.faults.extend([fault] * times)
    p = home.run("key", "show", "a", code=code)
    assert "key a" in p.err
    assert not home.broker.faults
    home.run("key", "show", "a")


@pytest.mark.parametrize("fault", ["close", "unavailable"])
@pytest.mark.parametrize("words", [["sign", "a", "/dev/null"], ["key", "list"], ["key", "public", "a"]])
def test_what_gets_lost_is_asked_for_once_more(home, words, fault):
    """The keeper died, or the broker: the next one answers, and nobody is any the wiser."""
    home.run(*words)
    asked = len(home.broker.log)
    home.broker.log.clear()
    home.broker.faults.append(fault)
    home.run(*words)
    assert len(home.broker.log) == asked + 1


def test_what_makes_something_is_not_asked_for_twice(home):
    home.broker.faults.append("unavailable")
    home.run("key", "create", "b", code=4)
    assert home.broker.count("key_create") == 1 and "b" not in home.broker.keys
