# SPDX-License-Identifier: Apache-2.0
"""The whole daemon on PKCS#11 tokens: keys come, are adopted, and go."""

import contextlib
import glob
import hashlib
import json
import os
import re
import signal

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

import p11lib
from brokerlib import Broker
from keeperlib import DECRYPT, SIGN, check, pb, until
from test_pkcs11_use import make_pair, spki, wrapped

DIGEST = hashlib.sha256(b"x").digest()


class Key:
    def __init__(self, info):
        self.spki = info.spki


@pytest.fixture(name="hsm")
def fixture_hsm():
    t = p11lib.SoftHsm()
    yield t
    t.close()


def token(hsm, name="hsm", workers=2):
    return {"name": name, "type": "pkcs11", "module": hsm.module, "uri": hsm.uri,
            "pin": hsm.pin_file, "workers": workers, "timeout_ms": 10000,
            "environment": ["%s=%s" % item for item in hsm.env.items()], "keys": []}


def both_are_there(client):
    """SoftHSM's files are not to be written by a second program while a keeper begins."""
    until(lambda: client.call(token_list=pb.TokenList()).token_list.tokens[0].workers == 2)


@contextlib.contextmanager
def serving(hsm, **how):
    """A broker with this token, and a client of it."""
    broker = Broker(tokens=("none",))
    broker.settings.update(tokens=[dict(token(hsm), **how)], default_token="hsm")
    broker.configure()
    with broker:
        client = broker.client()
        yield broker, client
        client.close()


@pytest.fixture(name="rig")
def fixture_rig(hsm):
    with serving(hsm) as (broker, client):
        both_are_there(client)
        yield broker, client, hsm


def test_a_module_behind_an_allow_list(hsm):
    """SoftHSM needs files and nothing else: all that a keeper does goes on, seen from outside."""
    with serving(hsm, confine="local") as (broker, client):
        both_are_there(client)
        for name, algorithm, usage in (("a", "ec-p256", 1), ("r", "rsa-2048", 5), ("d", "ec-p256", 8)):
            assert client.create(name, algorithm, usage).status == pb.OK
        assert client.sign("a").status == client.sign("r", scheme="rsa-pss-sha256").status == pb.OK
        assert client.call(key_delete=pb.KeyDelete(name="a")).status == pb.OK
        # two filters more than the warden's: see hf_confine_load()
        def filters(pid):
            with open("/proc/%d/status" % pid) as f:
                return int(re.search(r"^Seccomp_filters:\s+(\d+)", f.read(), re.M).group(1))
        if "HOLDFAST_TEST_PRELOAD" not in os.environ:
            assert filters(broker.pid("holdfast-keeper")) == filters(broker.process.pid) + 2


def test_keys_are_created_used_rotated_and_deleted(rig):
    broker, client, hsm = rig
    for name in ("a", "b"):
        reply = client.create(name)
        assert reply.status == pb.OK, reply
    assert sorted(hsm.objects()) == ["a", "b"], "the token does not show the names"
    staged = client.call(key_stage=pb.KeyStage(name="a")).key
    assert client.call(key_current=pb.KeyCurrent(key=pb.KeyRef(
        name="a", spki_sha256=staged.spki_sha256))).status == pb.OK
    for _ in range(6):  # by either worker
        reply = client.sign("a", DIGEST)
        assert reply.status == pb.OK, reply
        check(Key(staged), "ecdsa-sha256", DIGEST, reply.signature.signature)
    with open(os.path.join(broker.dir, "state", "keys", "b", client.call(
            key_get=pb.KeyGet(key=pb.KeyRef(name="b"))).key.spki_sha256.hex() + ".pem")) as f:
        assert f.read().startswith("-----BEGIN PKCS#11 PROVIDER URI-----")
    assert client.call(key_delete=pb.KeyDelete(name="a")).status == pb.OK
    until(lambda: hsm.objects() == ["b"])
    assert hsm.objects("pubkey") == ["b"]


def test_an_object_that_cannot_be_destroyed_is_told():
    hsm = p11lib.ShimmedHsm()
    with serving(hsm, workers=1) as (broker, client):
        assert client.create("a").status == pb.OK
        hsm.fault(("C_DestroyObject", "rv", 0xe2, 0))  # write-protected
        assert client.call(key_delete=pb.KeyDelete(name="a")).status == pb.OK
        until(lambda: "key a: left behind in its token" in broker.text())
        assert "write-protected" in broker.text()
    hsm.close()


@pytest.mark.parametrize("action", ["abort", "hang"])
@pytest.mark.parametrize("function", ["C_GetAttributeValue", "C_SignInit"])
def test_nothing_is_left_of_a_key_over_which_the_keeper_died(function, action):
    """The token has made it by then. Who asked is told at once; what was made goes as soon as the token is back."""
    hsm = p11lib.ShimmedHsm()
    with serving(hsm, workers=1) as (broker, client):
        assert client.create("a").status == pb.OK
        before = set(glob.glob(hsm.dir + "/tokens/*/*.object"))
        hsm.fault((function, action, 0, 1))
        if action == "hang":  # before the deadline, which is minutes away for a key
            client.send(key_create=pb.KeyCreate(name="b", algorithm="ec-p256", usage=SIGN))
            until(hsm.used_up)
            os.kill(broker.pid("holdfast-keeper"), signal.SIGKILL)
            reply = client.reply()
        else:
            reply = client.create("b")
        assert reply.status == pb.UNAVAILABLE and "keeper died" in reply.message, reply
        until(lambda: set(glob.glob(hsm.dir + "/tokens/*/*.object")) == before)
        assert client.create("b").status == pb.OK
        assert client.sign("b").status == client.sign("a").status == pb.OK
        assert "left behind" not in broker.text()
    hsm.close()


def test_a_module_that_hangs_does_not_keep_the_next_broker_away():
    """The keepers of a broker that died have their time to end; the one that hangs is killed then."""
    hsm = p11lib.ShimmedHsm()
    with serving(hsm, workers=1) as (broker, client):
        assert client.create("a").status == pb.OK
        hsm.fault(("C_GenerateKeyPair", "hang", 0, 1))
        client.send(key_create=pb.KeyCreate(name="b", algorithm="ec-p256", usage=SIGN))
        until(hsm.used_up)
        os.kill(broker.pid("holdfastd"), signal.SIGKILL)
        client.close()

        def signs():
            with contextlib.suppress(OSError, AssertionError):
                again = broker.client()
                with contextlib.closing(again):
                    return again.sign("a").status == pb.OK
            return False

        until(signs)
    hsm.close()


def test_storage_that_was_away_for_a_moment(rig):
    """SoftHSM forgets what was in it, and says that it is there and empty, from then on. Either worker comes back."""
    broker, client, hsm = rig
    assert client.create("k").status == pb.OK
    for _ in range(4):
        assert client.sign("k").status == pb.OK
    os.rename(hsm.dir + "/tokens", hsm.dir + "/away")
    assert {client.sign("k").status for _ in range(4)} <= {pb.GONE, pb.UNAVAILABLE, pb.FAILED}
    os.rename(hsm.dir + "/away", hsm.dir + "/tokens")
    until(lambda: client.sign("k").status == pb.OK)
    both_are_there(client)
    clients = [broker.client() for _ in range(4)]
    for c in clients * 5:
        c.send(sign=pb.Sign(key=pb.KeyRef(name="k"), scheme="ecdsa-sha256", data=DIGEST))
    replies = [c.reply() for c in clients * 5]
    assert {r.status for r in replies} == {pb.OK}, replies
    for c in clients:
        c.close()


def test_why_a_token_could_not_be_opened_is_told(hsm):
    with serving(hsm, uri="pkcs11:slot-id=0x10") as (_, client):
        until(lambda: "RFC 7512" in client.call(token_list=pb.TokenList()).token_list.tokens[0].error)
        assert "RFC 7512" in client.create("k").message


def test_keys_of_others_are_imported_and_left_alone(rig):
    _, client, hsm = rig
    make_pair(hsm, "EC:prime256v1", "web server", "0102")
    reply = client.call(key_import=pb.KeyImport(name="web", usage=SIGN, format="uri",
                                                blob=b"pkcs11:object=web%20server"))
    assert reply.status == pb.OK and reply.key.algorithm == "ec-p256", reply
    check(Key(reply.key), "ecdsa-sha256", DIGEST, client.sign("web", DIGEST).signature.signature)
    assert client.call(key_import=pb.KeyImport(name="x", usage=DECRYPT, format="uri",
                                               blob=b"pkcs11:object=web%20server")).status == pb.ARGUMENT
    assert client.call(key_delete=pb.KeyDelete(name="web")).status == pb.OK
    client.create("last")  # behind the deletion
    make_pair(hsm, "EC:secp256k1", "odd curve", "0103")
    reply = client.call(key_import=pb.KeyImport(name="x", usage=SIGN, format="uri", blob=b"pkcs11:object=odd%20curve"))
    assert reply.status == pb.UNSUPPORTED and "none of P-256" in reply.message, reply
    assert sorted(hsm.objects()) == ["last", "odd curve", "web server"]


def test_ed25519_through_the_broker(rig):
    _, client, _ = rig
    info = client.create("ed", "ed25519").key
    assert list(info.schemes) == ["ed25519"]
    reply = client.sign("ed", b"message", "ed25519", message=True)
    load_der_public_key(info.spki).verify(reply.signature.signature, b"message")
    reply = client.sign("ed", b"", "ed25519", message=True)  # RFC 8032 has it as its first example
    load_der_public_key(info.spki).verify(reply.signature.signature, b"")
    reply = client.sign("ed", b"", "ed25519")
    assert reply.status == pb.ARGUMENT and "messages" in reply.message


def test_workers_are_processes(rig):
    broker, client, _ = rig
    tokens = client.call(token_list=pb.TokenList()).token_list.tokens
    until(lambda: client.call(token_list=pb.TokenList()).token_list.tokens[0].workers == 2)
    assert tokens[0].type == "pkcs11"
    with open("/proc/%d/task/%d/children" % (broker.process.pid, broker.process.pid)) as f:
        names = []
        for pid in f.read().split():
            with open("/proc/%s/comm" % pid) as comm:
                names.append(comm.read().strip())
            if names[-1] == "holdfast-keeper":
                fds = {os.readlink("/proc/%s/fd/%s" % (pid, n))
                       for n in os.listdir("/proc/%s/fd" % pid) if int(n) in (4, 5)}
                assert fds == {broker_file(broker), os.path.realpath(p11lib_pin(rig))}
    assert names.count("holdfast-keeper") == 2


def broker_file(broker):
    return os.path.join(broker.dir, "state", "tokens", "hsm.login")


def p11lib_pin(rig):
    return rig[2].pin_file


def test_damaged_catalogue_entry_is_set_aside(rig):
    broker, client, _ = rig
    assert client.create("a").status == pb.OK
    broker.stop()
    path = os.path.join(broker.dir, "state", "keys", "a", "key.json")
    with open(path) as f:
        record = json.load(f)
    record["token"] = "another"
    with open(path, "w") as f:
        json.dump(record, f)
    broker.start()
    client = broker.client()
    reply = client.sign("a", DIGEST)
    assert reply.status == pb.UNAVAILABLE and "another" in reply.message
    client.close()


class Told:
    """What test_pkcs11_use.wrapped() wants of a keeper."""

    def __init__(self, client):
        self.client = client

    def wrap(self):
        return self.client.call(token_wrap=pb.TokenWrap()).wrap


def test_nothing_is_left_of_a_key_that_is_not_recorded(hsm):
    """Refused by the catalogue, or made for somebody who did not wait."""
    with serving(hsm, workers=1) as (broker, client):
        soft = ec.generate_private_key(ec.SECP256R1())
        more = {"usage": SIGN, "format": "kwp", "blob": wrapped(Told(client), soft),
                "spki": spki(soft)}
        assert client.call(key_import=pb.KeyImport(name="soft", **more)).status == pb.OK
        before = hsm.objects()
        reply = client.call(key_import=pb.KeyImport(name="again", **more))
        assert reply.status == pb.EXISTS, reply
        assert client.sign("soft", DIGEST).status == pb.OK  # behind the destruction
        assert hsm.objects() == before
        impatient = broker.client()
        impatient.send(key_create=pb.KeyCreate(name="lost", algorithm="rsa-2048", usage=SIGN))
        impatient.close()
        assert client.create("kept").status == pb.OK
        assert client.sign("kept", DIGEST).status == pb.OK
        assert sorted(hsm.objects()) == sorted(before + ["kept"])
        assert client.call(key_get=pb.KeyGet(key=pb.KeyRef(name="lost"))).status == pb.NO_KEY
