# SPDX-License-Identifier: Apache-2.0
"""What people read when something is wrong, and what a lying broker achieves (nothing)."""
import base64
import os
import time

import pytest

from provider_env import fake, openssl, short_dir  # noqa: F401


@pytest.fixture
def keys(fake, openssl):  # noqa: F811
    fake.add_key("ec", "ec-p256")
    openssl.file("data", b"data")
    return openssl.reference("ec")


def sign(openssl, ref):  # noqa: F811
    return ["dgst", "-sha256", "-sign", ref, "-out", "sig", "data"]


def test_broker_is_not_running(fake, openssl, keys):  # noqa: F811
    fake.stop()
    began = time.monotonic()
    r = openssl.fails("pkey", "-in", "holdfast:ec", "-pubout")
    assert fake.path in r.errors and "is holdfastd running?" in r.errors
    assert "key ec" in r.errors
    # a reference loads, what needs no private key works, the first signature says what is wrong
    openssl("pkey", "-in", keys, "-pubout")
    r = openssl.fails(*sign(openssl, keys))
    assert fake.path in r.errors and "key ec" in r.errors and "holdfastd" in r.errors
    assert "the token or the broker is not available" in r.errors  # the reason's text
    assert time.monotonic() - began < 2
    # nobody else notices
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out", "soft.pem")
    openssl(*sign(openssl, "soft.pem"))


def test_unknown_key(openssl, keys):  # noqa: F811
    r = openssl.fails("pkey", "-in", "holdfast:nobody", "-pubout")
    assert "key nobody" in r.errors and "no such key, or not yours" in r.errors


def test_key_is_gone_when_its_reference_is_used(fake, openssl, keys):  # noqa: F811
    del fake.keys["ec"]
    r = openssl.fails(*sign(openssl, keys))
    assert "key ec: no such key, or not yours" in r.errors


@pytest.mark.parametrize("uri,says", [
    ("holdfast:no spaces", "not a name of a key"),
    ("holdfast:" + "x" * 64, "not a name of a key"),
    ("holdfast:../../etc/passwd", "not a name of a key"),
    ("holdfast:%2e%zz", "percent-encoded"),
    ("holdfast:ec%00x", "percent-encoded"),
    ("holdfast:ec?colour=red", "unknown parameter 'colour'"),
    ("holdfast:ec?cert=", "cert= needs a path"),
    ("holdfast:ec?cert=/a&cert=/b", "given twice"),
    ("holdfast:sha256:1234", "64 hex digits"),
    ("holdfast:sha256:" + "0" * 64, "no such key"),
    ("holdfast:ec?cert=/nowhere/cert.pem", "/nowhere/cert.pem"),
    ("holdfast:ec?cert=nowhere.pem", "nowhere.pem"),
    ("holdfast:ec?cert=/dev/zero", "not a regular file"),
    ("holdfast:ec?cert=data", "holds none"),
])
def test_uri(openssl, keys, uri, says):  # noqa: F811
    r = openssl.fails("pkey", "-in", uri, "-pubout")
    assert says in r.errors


def test_certificate_of_another_key(openssl, keys):  # noqa: F811
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", "k.pem", "-subj", "/CN=x", "-out", "x.pem")
    r = openssl.fails("pkey", "-in", f"holdfast:ec?cert={openssl.path('x.pem')}", "-pubout")
    assert "no such key" in r.errors and "x.pem" in r.errors


def test_damaged_reference(openssl, keys):  # noqa: F811
    text = openssl.read(keys).decode()
    der = base64.b64decode("".join(text.split("-----")[2].split()))
    damaged = {"cut": der[:-20], "more": der + b"\0", "empty": b"",
               "version": der.replace(b"\x02\x01\x01\x0c", b"\x02\x01\x02\x0c"),
               "name": der.replace(b"\x0c\x02ec", b"\x0c\x02/.")}
    for what, content in damaged.items():
        assert content != der
        openssl.file("bad.pem", "-----BEGIN HOLDFAST KEY REFERENCE-----\n" +
                     base64.encodebytes(content).decode() +
                     "-----END HOLDFAST KEY REFERENCE-----\n")
        r = openssl.fails("pkey", "-in", "bad.pem", "-pubout")
        assert what in ("empty",) or "key reference" in r.errors, (what, r.errors)
    openssl.file("bad.pem", text[:-40])
    openssl.fails("pkey", "-in", "bad.pem", "-pubout")


@pytest.mark.parametrize("faults", [
    ["close"], ["garbage"], ["unavailable"], ["busy"] * 5, ["delay:0.5"], ["wrong-id"],
    ["busy", "close", "busy"], ["busy", "unavailable", "busy"],
    ["last:BUSY"] * 3, ["last:DENIED"], ["last:OK"]])
def test_fault_that_heals(fake, openssl, keys, faults):  # noqa: F811
    """dgst asks key_get first: the fault is to meet the signature."""
    for meet in ("key_get", "sign"):
        fake.log.clear()
        fake.faults.clear()
        fake.faults.extend(faults if meet == "key_get" else [None] + faults)
        openssl(*sign(openssl, keys))
        assert not fake.faults


@pytest.mark.parametrize("faults,says", [
    (["close", "close"], "closed the connection"),
    (["unavailable", "unavailable"], "the keeper of token 'tpm' went away"),
    (["garbage", "garbage"], "not a reply"),
    (["close", "garbage"], "not a reply"),
    (["last:PROTOCOL", "last:PROTOCOL"], "this is the end"),
    (["last:DENIED", "last:DENIED"], "this is the end"),
    (["last:OK", "last:OK"], "a request of no number"),
    (["empty"], "something else than it was asked"),
    (["wrong-key"], "another generation"),
    (["long"], "at most"),
])
def test_fault_that_stays(fake, openssl, keys, faults, says):  # noqa: F811
    fake.log.clear()
    fake.faults.extend([None] + faults)
    r = openssl.fails(*sign(openssl, keys))
    assert says in r.errors and "key ec" in r.errors
    assert fake.count("sign") == len(faults)  # repeated once, not more


def test_secret_is_as_wide_as_the_field(fake, openssl, keys):  # noqa: F811
    """Bare, and where it goes through the X9.63 derivation of CMS."""
    fake.add_key("kx", "ec-p256", "sign,derive")
    openssl("req", "-x509", "-new", "-key", "holdfast:kx", "-subj", "/CN=x", "-out", "x.pem")
    openssl.plain("cms", "-encrypt", "-aes256", "-in", "data", "-out", "x.cms", "x.pem")
    openssl.plain("genpkey", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out", "peer.key")
    openssl.plain("pkey", "-in", "peer.key", "-pubout", "-out", "peer.pub")
    for how in (["pkeyutl", "-derive", "-inkey", "holdfast:kx", "-peerkey", "peer.pub"],
                ["cms", "-decrypt", "-in", "x.cms", "-inkey", "holdfast:kx", "-recip", "x.pem"]):
        openssl(*how)
        fake.faults.extend([None, "short"])
        r = openssl.fails(*how)
        assert "key kx: a secret of 31 bytes, not 32" in r.errors, r.errors
        assert not fake.faults


def test_broker_is_busy_for_ever(fake, openssl, keys):  # noqa: F811
    fake.faults.extend(["busy"] * 1000)
    began = time.monotonic()
    r = openssl.fails(*sign(openssl, keys))
    assert 4 < time.monotonic() - began < 9
    assert "too much at once" in r.errors
    fake.faults.clear()


def test_connections_of_all_others_are_at_work(fake, openssl, keys):  # noqa: F811
    """Who is not let in is told why, and tells it after a while."""
    fake.door = "BUSY"
    r = openssl.fails(*sign(openssl, keys))
    assert "too many of you" in r.errors and "ec" in r.errors
    fake.door = "DENIED"
    began = time.monotonic()
    r = openssl.fails(*sign(openssl, keys))
    assert "too many of you" in r.errors and time.monotonic() - began < 2
    fake.door = None
    openssl(*sign(openssl, keys))


def test_broker_does_not_answer(fake, openssl, keys):  # noqa: F811
    fake.faults.extend(["silent"] * 4)
    began = time.monotonic()
    r = openssl.fails(*sign(openssl, keys))
    assert time.monotonic() - began < 20
    assert "no answer in time" in r.errors and fake.path in r.errors


def test_message_for_a_ca_key_is_too_long(fake, openssl, keys):  # noqa: F811
    fake.add_key("ca", "ec-p256", "ca")
    openssl.file("data", os.urandom(64513))
    r = openssl.fails(*sign(openssl, openssl.reference("ca")))
    assert "64512" in r.errors and "ca" in r.errors
    openssl.file("data", b"\x30" + os.urandom(64511))
    openssl(*sign(openssl, openssl.reference("ca")))


def test_ca_key_refuses_digests(fake, openssl, keys):  # noqa: F811
    fake.add_key("ca", "ec-p256", "ca")
    openssl.file("digest", os.urandom(32))
    r = openssl.fails("pkeyutl", "-sign", "-inkey", "holdfast:ca", "-in", "digest", "-out", "sig")
    assert "not digests" in r.errors and "ca" in r.errors


def test_not_a_socket(fake, openssl, keys):  # noqa: F811
    for path in ("/dev/null", "/nowhere/s", "/" + "x" * 200):
        r = openssl.fails(*sign(openssl, keys), env={"HOLDFAST_SOCKET": path})
        assert path[:50] in r.errors


def test_socket_from_the_configuration(fake, openssl, keys):  # noqa: F811
    conf = openssl.read("openssl.cnf").decode()
    conf += f"\n[holdfast_holdfast]\nsocket = {fake.path}\n"
    openssl.file("openssl.cnf", conf)
    openssl(*sign(openssl, keys), env={"HOLDFAST_SOCKET": ""})
    r = openssl.fails(*sign(openssl, keys), env={"HOLDFAST_SOCKET": "/nowhere"})
    assert "/nowhere" in r.errors
