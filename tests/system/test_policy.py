# SPDX-License-Identifier: Apache-2.0
"""Who may do what: schemes, rates, and what `policy explain` says of it."""
import contextlib
import os
import random
import re
import signal
import time

import pytest

from brokerlib import RIGHTS, WithFakeKeeper
from clilib import Home, Running
from keeperlib import pb, until

ME = os.getuid()
MINE = {"uid": ME, "gid": -1, "socket": "main", "keys": ["*"], "rights": RIGHTS}


def grant(**more):
    return {**MINE, **more}


def test_schemes():
    rules = [grant(rights=["create", "public"]), grant(rights=["sign"], schemes=["ecdsa-sha256"]),
             grant(rights=["derive"], schemes=["rsa-*"])]
    with WithFakeKeeper(principals=rules) as b:
        c = b.client()
        c.create("k", usage=9)
        assert c.sign("k").status == pb.OK
        assert c.sign("k", b"d" * 48, "ecdsa-sha384").status == pb.NO_KEY
        assert c.sign("k", b"d" * 32, "").status == pb.ARGUMENT  # no scheme at all is nobody's
        r = c.call(derive=pb.Derive(key=pb.KeyRef(name="k"), scheme="ecdh", peer=b"\4" + bytes(64)))
        assert r.status == pb.NO_KEY and r.message == "no such key, or not yours"


def test_rate():
    """Twenty at once are saved up, then it is twenty a second; looking at keys is free."""
    with WithFakeKeeper(principals=[grant(rate=20)]) as b:
        c = b.client()
        c.create("k")
        since = time.monotonic()
        got = [c.sign("k").status for _ in range(60)]
        took = time.monotonic() - since
        done = got.count(pb.OK)
        assert set(got) == {pb.OK, pb.BUSY} and got[:19] == [pb.OK] * 19
        assert done <= 20 + 20 * took + 1, (done, took)
        assert c.call(key_get=pb.KeyGet(key=pb.KeyRef(name="k"))).status == pb.OK
        assert c.call(status_get=pb.StatusGet()).status_reply.busy == got.count(pb.BUSY)
        until(lambda: c.sign("k").status == pb.OK)


def test_rate_is_everybodys_own():
    """One user on two sockets is two peers; his many connections are one."""
    with WithFakeKeeper(principals=[grant(rate=5)]) as b:
        one, two = b.client(), b.client()
        one.create("k")
        got = [c.sign("k").status for c in (one, two) * 6]
        assert got.count(pb.OK) <= 6


def test_rate_outlives_the_connection():
    """Who connects anew for each operation has no more of them."""
    with WithFakeKeeper(principals=[grant(rate=5)]) as b:
        b.client().create("k")
        since, got = time.monotonic(), []
        while len(got) < 60:
            with contextlib.closing(b.client()) as c:
                got.append(c.sign("k").status)
        assert set(got) == {pb.OK, pb.BUSY}
        assert got.count(pb.OK) <= 5 + 5 * (time.monotonic() - since) + 1, got


def test_each_rule_has_a_rate_of_its_own():
    rules = [grant(rights=["create", "public"]), grant(keys=["a"], rights=["sign"], rate=1000),
             grant(keys=["b"], rights=["sign"], rate=1)]
    with WithFakeKeeper(principals=rules) as b:
        c = b.client()
        for key in "a", "b":
            assert c.create(key).status == pb.OK
        for _ in range(200):
            assert c.sign("a").status == pb.OK
        assert c.sign("b").status == pb.OK and c.sign("b").status == pb.BUSY
        assert c.sign("a").status == pb.OK


def test_rsa_keys_one_after_the_other():
    """They take minutes on some chips: one is made, one waits, a third is told so at once."""
    with WithFakeKeeper() as b:
        c = b.client()
        open(os.path.join(b.dir, "has-rsa"), "w").close()
        until(lambda: "rsa-2048" in c.call(
            token_list=pb.TokenList()).token_list.tokens[0].algorithms)
        b.mood("create:slow")
        many = [b.client() for _ in range(4)]
        for n, one in enumerate(many):
            one.send(key_create=pb.KeyCreate(name="k%d" % n, algorithm="rsa-2048", usage=1))
        got = [one.reply().status for one in many]
        assert got.count(pb.BUSY) == 2, got  # of the others the fake makes EC keys, whatever
        b.mood("")
        assert c.create("ec").status == pb.OK
        assert c.create("again", "rsa-2048").status != pb.BUSY


@pytest.mark.parametrize("when", ["before", "meanwhile", "broken"])
def test_what_was_revoked_stays_so_when_the_broker_dies(when):
    """The warden starts the next one with what the file says then, or said when it was whole."""
    with WithFakeKeeper() as broker:
        c = broker.client()
        assert c.create("k").status == pb.OK and c.sign("k").status == pb.OK
        first = broker.pid("holdfastd")
        if when == "meanwhile":  # a reload that no broker hears
            os.kill(broker.process.pid, signal.SIGSTOP)
            os.kill(first, signal.SIGKILL)
        broker.settings["principals"][0].update(keys=["other"])
        broker.configure()
        broker.process.send_signal(signal.SIGHUP)
        if when != "meanwhile":
            until(lambda: "1 principals are in force" in broker.text())
            assert c.sign("k").status == pb.NO_KEY
        if when == "broken":
            with open(os.path.join(broker.dir, "etc", "holdfastd.json"), "w") as f:
                f.write("{")
        if when != "meanwhile":
            os.kill(first, signal.SIGKILL)
        os.kill(broker.process.pid, signal.SIGCONT)
        until(lambda: broker.children().get("holdfastd") not in (None, first))
        assert broker.client().sign("k").status == pb.NO_KEY
        assert ("loaded last stay in force" in broker.text()) == (when == "broken")


def test_who_administers_some_keys_learns_nothing_of_others():
    """Nor has he a say in what concerns all: the token, and what others may do."""
    with WithFakeKeeper(principals=[grant(), grant(keys=["web-*"], rights=["admin"])]) as b:
        c = b.client()
        assert c.create("edge-ca").status == c.create("web-1").status == pb.OK
        b.settings["principals"] = b.settings["principals"][1:]
        b.configure()
        b.process.send_signal(signal.SIGHUP)
        until(lambda: "1 principals are in force" in b.text())
        for name in "edge-ca", "none":
            assert c.sign(name).message == "no such key, or not yours"
        assert "key web-2: no such key" in c.sign("web-2").message
        assert "the right to sign" in c.sign("web-1").message
        assert c.call(token_provision=pb.TokenProvision()).status == pb.DENIED
        assert explain(c).status == pb.DENIED


def explain(client, uid=ME, name="k", right="sign", **more):
    return client.call(policy_explain=pb.PolicyExplain(uid=uid, name=name, right=right, **more))


def test_explain_over_the_wire():
    rules = [grant(), {"uid": 4711, "gid": -1, "socket": "", "keys": ["x", "web-*"],
                       "rights": ["sign", "public"], "schemes": ["ecdsa-*"], "rate": 7},
             {"uid": -1, "gid": 4242, "socket": "other", "keys": ["k?"], "rights": ["delete"]}]
    with WithFakeKeeper(principals=rules) as b:
        c = b.client()
        d = explain(c, 4711, "web-1").policy
        assert d.allowed and d.rule == 2 and d.pattern == "web-*" and d.rate == 7 and d.uid == 4711
        assert list(d.rights) == ["public", "sign"] and list(d.schemes) == ["ecdsa-*"]
        assert not explain(c, 4711, "web").policy.allowed
        assert not explain(c, 4711, "web-1", "ca").policy.allowed
        assert not explain(c, 4711, "web-1", scheme="rsa-pss-sha256").policy.allowed
        assert explain(c, 4711, "web-1", scheme="ecdsa-sha256").policy.allowed
        assert explain(c, 9, "k1", "delete", gids=[1, 4242], socket="other").policy.rule == 3
        assert not explain(c, 9, "k1", "delete", gids=[1, 4242]).policy.allowed
        assert not explain(c, 65534, "k1", "delete", gids=[4242], socket="other").policy.allowed
        assert explain(c, right="everything").status == pb.ARGUMENT


def test_explain_is_for_administrators():
    with WithFakeKeeper(principals=[grant(rights=["public", "sign"])]) as b:
        assert explain(b.client()).status == pb.DENIED


# An evaluator of the policy in another language, to compare the broker's with.

def fits(pattern, text):
    parts = {"*": ".*", "?": "."}
    return re.fullmatch("".join(parts.get(c) or re.escape(c) for c in pattern), text) is not None


def about(rule, uid, gids, socket):
    who = [rule["uid"] == uid if rule["uid"] != -1 else rule["gid"] != -1,
           rule["gid"] in set(gids) - {65534} if rule["gid"] != -1 else True,
           rule["socket"] in ("", socket), uid != 65534]
    return all(who)


def evaluate(rules, uid, gids, socket, key, right, scheme):
    """(number of the rule from 1, pattern), or None."""
    for number, rule in enumerate(rules, 1):
        patterns = [p for p in rule["keys"] if fits(p, key)]
        schemes = rule.get("schemes") or ["*"]
        if about(rule, uid, gids, socket) and right in rule["rights"] and patterns and \
                (not scheme or any(fits(s, scheme) for s in schemes)):
            return number, patterns[0]
    return None


def dealt(rng):
    """Fourteen rules; mine, without which nobody could ask, is among them."""
    rules = []
    for _ in range(14):
        rule = {"uid": rng.choice([-1, 0, 1000, 4711, 65534]), "gid": rng.choice([-1, -1, 7, 65534]),
                "socket": rng.choice(["", "main", "other"]),
                "keys": rng.sample(["*", "edge-*", "x?", "edge-ca", "*-ca", "?*-?*"], rng.randint(1, 3)),
                "rights": rng.sample(RIGHTS, rng.randint(1, 5))}
        if rng.random() < .6:
            rule["schemes"] = rng.sample(["ecdsa-*", "rsa-pss-sha256", "ecd?", "*-sha256"], 2)
        if rng.random() < .3:
            rule["rate"] = rng.randint(1, 1000)
        rules.append(rule)
    rules.insert(rng.randrange(len(rules)), MINE)
    return rules


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_cell(seed):
    rules = dealt(random.Random(seed))
    cells = [(uid, gids, socket, key, right, scheme)
             for uid in (0, 1000, 4711, 65534) for gids in ([], [5, 7], [65534])
             for socket in ("main", "other") for key in ("edge-ca", "web-ca", "xy", "z")
             for right in RIGHTS for scheme in ("", "ecdsa-sha256", "rsa-pss-sha256", "ecdh")]
    seen = set()
    with WithFakeKeeper(principals=rules) as b:
        c = b.client()
        for cell in cells:
            uid, gids, socket, key, right, scheme = cell
            got = c.call(policy_explain=pb.PolicyExplain(
                uid=uid, gids=gids, socket=socket, name=key, right=right, scheme=scheme))
            assert got.status == pb.OK, got
            d, want = got.policy, evaluate(rules, *cell)
            seen.add(want)
            assert ((d.rule, d.pattern) if d.allowed else None) == want, cell
            rule = rules[want[0] - 1] if want else {"uid": 0, "gid": 0, "socket": "", "rights": []}
            assert (d.uid, d.gid, d.socket) == (rule["uid"], rule["gid"], rule["socket"])
            assert sorted(d.rights) == sorted(rule["rights"])
            assert list(d.schemes) == rule.get("schemes", []) and d.rate == rule.get("rate", 0)
    assert None in seen and len({rule for rule, _ in seen - {None}}) >= 5, seen


@pytest.fixture(scope="module", name="run")
def fixture_run():
    r = Running('[[principal]]\nuser = "daemon"\nkeys = ["web-*"]\nrights = ["sign"]\n'
                'schemes = ["ecdsa-*"]\nrate = 50\n')
    yield r
    r.close()


def test_command(run):
    out = run.run("policy", "explain", "--user", "daemon", "--key", "web-1", "--right", "sign").out
    assert out == ("allowed by rule 3: uid 1, socket any, keys web-*, rights sign, schemes ecdsa-*, "
                   "at most 50 a second\n"), out
    out = run.run("policy", "explain", "--uid", "1", "--key", "edge-ca", "--right", "ca").out
    assert out == ("denied: no [[principal]] gives uid 1 the right ca on key edge-ca, on socket main\n")
    told = run.json("policy", "explain", "--uid", "1", "--key", "web-1", "--right", "sign",
                    "--scheme", "rsa-pss-sha256")
    assert told["allowed"] is False and "rule" not in told
    told = run.json("policy", "explain", "--uid", "0", "--key", "any", "--right", "delete")
    assert told["allowed"] is True and told["rule"]["number"] in (1, 2)


@pytest.mark.parametrize("words,says", [
    (["--key", "k", "--right", "sign"], "--uid or --user"),
    (["--uid", "0", "--user", "root", "--key", "k", "--right", "sign"], "--uid or --user"),
    (["--uid", "root", "--key", "k", "--right", "sign"], "no user id"),
    (["--user", "no-such-user", "--key", "k", "--right", "sign"], "no such user"),
    (["--uid", "0", "--right", "sign"], "which right on which key"),
    (["--uid", "0", "--key", "k", "--right", "everything"], "no right 'everything'"),
])
def test_command_is_told_what_is_wrong(run, words, says):
    assert says in run.run("policy", "explain", *words, code=2).err


@pytest.mark.parametrize("rule,says", [
    ('schemes = ["ECDSA"]', "ECDSA"),
    ('schemes = [""]', "schemes"),
    ('schemes = "ecdsa-*"', "list"),
    ("rate = 0", "rate"),
    ('rate = "fast"', "rate"),
])
def test_configuration_that_makes_no_sense(rule, says):
    home = Home(f'[[principal]]\nuid = 1\nkeys = ["a"]\n{rule}\n')
    try:
        p = home.run("config", "check", code=2)
        assert says in p.out + p.err and "config.toml" in p.out + p.err
    finally:
        home.close()
