# SPDX-License-Identifier: Apache-2.0
"""holdfast-keeper on a software TPM: keys, signatures, the cache, the commands it sends."""

import hashlib
import os
import random
import struct
import subprocess

import pytest

from keeperlib import (CA, DECRYPT, DERIVE, HASHES, KEEPER, SIGN, Failed, Keeper, Key, check, pb,
                       fixture_keeper, fixture_proxy, fixture_rig, fixture_tpm)  # noqa: F401

DIGEST = hashlib.sha256(b"holdfast").digest()


def schemes_of(algorithm):
    kinds = ("ecdsa",) if algorithm.startswith("ec") else ("rsa-pkcs1", "rsa-pss")
    return ["%s-%s" % (k, h) for k in kinds for h in HASHES]


@pytest.mark.parametrize("algorithm", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072"])
def test_every_scheme(rig, algorithm):
    keeper, _ = rig
    key = keeper.create(algorithm)
    assert hashlib.sha256(key.spki).digest() == key.spki_sha256
    assert key.created.creation_hash == hashlib.sha256(key.created.creation_data[2:]).digest()
    assert key.created.creation_ticket[:6] == bytes.fromhex("802140000001")
    for scheme in schemes_of(algorithm):
        data = os.urandom(1000)
        digest = hashlib.new(scheme.rsplit("-", 1)[1], data).digest()
        for _ in range(20 if algorithm == "ec-p521" else 3):  # leading zeros come and go
            check(key, scheme, digest, keeper.sign(key, scheme, digest).signature)
        check(key, scheme, digest, keeper.sign(key, scheme, data, message=True).signature)


def test_opened(rig):
    keeper, _ = rig
    told = keeper.ping()
    assert told.description.startswith("TPM 2.0, ")
    assert set(told.algorithms) >= {"ec-p256", "ec-p384", "rsa-2048"}
    assert "ed25519" not in told.algorithms
    assert len(told.primary_name) == 34 and told.primary_name[:2] == b"\x00\x0b"
    assert not told.provisioned


REFUSED = [
    # scheme, digest, status, a word of the message
    ("ecdsa-sha256", b"x" * 31, "ARGUMENT", "31 bytes"),
    ("ecdsa-sha256", b"x" * 33, "ARGUMENT", "33 bytes"),
    ("ecdsa-sha256", b"", "ARGUMENT", "0 bytes"),
    ("rsa-pss-sha256", b"x" * 32, "ARGUMENT", "this is an EC key"),
    ("ed25519", b"x" * 32, "ARGUMENT", "ed25519"),
    ("md5", b"x" * 16, "UNSUPPORTED", "md5"),
    ("", b"x" * 16, "UNSUPPORTED", "scheme"),
]


def test_refused(rig):
    keeper, proxy = rig
    key = keeper.create("ec-p256")
    keeper.sign(key, "ecdsa-sha256", DIGEST)
    for scheme, digest, status, word in REFUSED:
        proxy.commands.clear()
        with pytest.raises(Failed) as e:
            keeper.sign(key, scheme, digest)
        assert e.value.status == status and word in e.value.message
        assert proxy.names() == [], "the TPM was bothered with %s" % scheme
    for algorithm, usage, status in (("ed25519", SIGN, "UNSUPPORTED"), ("ec-p999", SIGN, "UNSUPPORTED"),
                                     ("rsa-4096", SIGN, "UNSUPPORTED"), ("ec-p256", 0, "ARGUMENT"),
                                     ("ec-p256", SIGN | CA, "ARGUMENT"), ("ec-p256", 16, "ARGUMENT"),
                                     ("ec-p256", DECRYPT, "ARGUMENT"), ("rsa-2048", DERIVE, "ARGUMENT")):
        with pytest.raises(Failed) as e:
            keeper.create(algorithm, usage)
        assert e.value.status == status, (algorithm, usage, e.value.message)
    other = keeper.create("ec-p256", DERIVE)
    with pytest.raises(Failed) as e:
        keeper.sign(other, "ecdsa-sha256", DIGEST)
    assert e.value.status == "DENIED"
    other.usage = SIGN  # the broker's record lies: the TPM's attributes say no
    with pytest.raises(Failed) as e:
        keeper.sign(other, "ecdsa-sha256", DIGEST)
    assert e.value.status == "ARGUMENT" and "not made for signing" in e.value.message


def test_damaged_key_files(rig):
    keeper, _ = rig
    a, b = keeper.create("ec-p256"), keeper.create("ec-p256")

    def status(key):
        with pytest.raises(Failed) as e:
            keeper.sign(key, "ecdsa-sha256", DIGEST)
        assert e.value.message
        return e.value.status

    mixed = Key(a.created, SIGN)
    mixed.blob = b.blob
    assert status(mixed) == "CORRUPT"
    mixed.blob = a.blob[:200]
    assert status(mixed) == "CORRUPT"
    mixed.blob = b""
    assert status(mixed) == "CORRUPT"
    lines = a.blob.decode().splitlines()
    broken = lines[-4]
    lines[-4] = broken[:10] + ("A" if broken[10] != "A" else "B") + broken[11:]
    mixed.blob = "\n".join(lines).encode()
    assert status(mixed) == "GONE"  # the TPM's integrity check
    mixed.blob, mixed.spki = a.blob, a.spki[:-1]
    assert status(mixed) == "CORRUPT"
    mixed.spki, mixed.spki_sha256 = a.spki, b"short"
    assert status(mixed) == "PROTOCOL"
    check(a, "ecdsa-sha256", DIGEST, keeper.sign(a, "ecdsa-sha256", DIGEST).signature)


# ---------------------------------------------------------------- the number of commands

def test_one_command_per_signature(rig):
    keeper, proxy = rig
    for algorithm, scheme in (("ec-p256", "ecdsa-sha256"), ("rsa-2048", "rsa-pss-sha256"),
                              ("rsa-2048", "rsa-pkcs1-sha256")):
        key = keeper.create(algorithm)
        keeper.sign(key, scheme, DIGEST)
        proxy.commands.clear()
        for _ in range(25):
            check(key, scheme, DIGEST, keeper.sign(key, scheme, DIGEST).signature)
        assert proxy.names() == ["Sign"] * 25


@pytest.mark.parametrize("provisioned", [False, True])
def test_twenty_keys_in_rotation(rig, provisioned):
    keeper, proxy = rig
    if provisioned:
        assert keeper.provision().provisioned
    keys = [keeper.create("ec-p256") for _ in range(19)] + [keeper.create("rsa-2048")]
    scheme = ["ecdsa-sha256"] * 19 + ["rsa-pss-sha256"]
    for turn in range(4):
        for key, s in zip(keys, scheme):
            proxy.commands.clear()
            check(key, s, DIGEST, keeper.sign(key, s, DIGEST).signature)
            if turn >= 2:
                assert proxy.names() == ["FlushContext", "ContextLoad", "Sign"]
            elif turn == 1:
                assert set(proxy.names()) <= {"ContextSave", "FlushContext", "ContextLoad", "Sign"}
                assert len(proxy.names()) <= 4


def test_behind_a_resource_manager(tpm, keeper):
    """What is not ours is not touched; without one, a predecessor's leftovers are flushed."""
    first = Keeper()
    first.open(tpm)
    first.sign(first.create("ec-p256"), "ecdsa-sha256", DIGEST)
    first.process.kill()
    first.close()
    left = tpm.objects()
    assert len(left) == 1
    keeper.open(tpm, shared=True)
    key = keeper.create("ec-p256")
    check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)
    keeper.close()
    assert tpm.objects() == left
    alone = Keeper()
    alone.open(tpm)
    alone.close()
    assert tpm.objects() == []


def test_two_hundred_keys_in_any_order(rig):
    keeper, proxy = rig
    keys = [keeper.create("ec-p256") for _ in range(200)]
    rng = random.Random(2)
    for _ in range(600):
        key = rng.choice(keys)
        check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)
    for name, _, response in proxy.commands:
        (code,) = struct.unpack(">I", response[6:10])
        assert not code or name in ("TestParms", "ReadPublic"), "%s answered 0x%x" % (name, code)


def test_more_keys_than_are_remembered(rig):
    keeper, _ = rig
    keys = [keeper.create("ec-p256") for _ in range(300)]
    for key in keys + keys[::7]:
        check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)


def test_create_runs_in_a_salted_encrypted_session(rig):
    keeper, proxy = rig
    for _ in range(3):
        keeper.create("ec-p256")
    starts = [c for n, c, _ in proxy.commands if n == "StartAuthSession"]
    assert len(starts) == 1, "one session is kept"
    key, bind = struct.unpack(">II", starts[0][10:18])
    assert key != 0x40000007 and bind == 0x40000007
    nonce = struct.unpack(">H", starts[0][18:20])[0]
    assert struct.unpack(">H", starts[0][20 + nonce:22 + nonce])[0] >= 68, "it has a salt"
    creates = [c for n, c, _ in proxy.commands if n == "Create"]
    assert len(creates) == 3
    for c in creates:
        size, handle, nonce = struct.unpack(">IIH", c[14:24])
        assert handle >> 24 == 0x02 and nonce == 32 and size == 73
        assert c[24 + nonce] & 0x60 == 0x60, "decrypt and encrypt are set"
        hmac = c[25 + nonce:25 + nonce + 2 + 32]
        assert hmac[:2] == b"\x00\x20" and hmac[2:] != b"\0" * 32
        sensitive = c[18 + size:18 + size + 6]
        assert sensitive[:2] == b"\x00\x04" and sensitive[2:] != b"\0" * 4, "it is encrypted"
    # No password ever goes with a value in it.
    for _, c, _ in proxy.commands:
        if c[:2] == b"\x80\x02":
            at = c.find(bytes.fromhex("40000009"))
            assert at < 0 or c[at + 4:at + 9] == b"\0" * 5


def test_only_listed_commands(rig):
    keeper, proxy = rig
    keeper.provision()
    keeper.sign(keeper.create("rsa-2048"), "rsa-pss-sha256", DIGEST)
    assert "?" not in proxy.names()


def test_tpm_with_other_pss_salt(tpm, proxy, keeper):
    """Its own PSS does not verify: keys get the raw operation, padding is done here."""
    def spoil(name, command, response):
        if name == "Sign" and b"\x00\x16\x00\x0b" in command[-16:] and len(response) > 100:
            return response[:-9] + bytes([response[-9] ^ 1]) + response[-8:]  # before the auth area
        return response

    proxy.change = spoil
    keeper.open(proxy)
    key = keeper.create("rsa-2048")
    proxy.commands.clear()
    for scheme in schemes_of("rsa-2048"):
        digest = hashlib.new(scheme.rsplit("-", 1)[1], b"x").digest()
        check(key, scheme, digest, keeper.sign(key, scheme, digest).signature)
    assert proxy.names().count("RSA_Decrypt") == 3
    # The next keeper knows from the key.
    second = Keeper()
    keeper.close()
    second.open(proxy)
    check(key, "rsa-pss-sha256", DIGEST, second.sign(key, "rsa-pss-sha256", DIGEST).signature)
    second.close()


def test_requests_overlap(rig):
    """The next Sign is sent before the answer to the one before is out; order is kept."""
    keeper, proxy = rig
    keys = [keeper.create("ec-p256"), keeper.create("ec-p256")]
    for key in keys:
        keeper.sign(key, "ecdsa-sha256", DIGEST)
    sent, got = [], []
    for i in range(100):
        sent.append(keeper.send(keeper.sign_request(keys[i % 2], "ecdsa-sha256", DIGEST)))
        if i:
            got.append(keeper.receive())
        if i % 10 == 9:  # errors keep their place
            sent.append(keeper.send(keeper.sign_request(keys[0], "ecdsa-sha256", b"short")))
            got.append(keeper.receive())
    got.append(keeper.receive())
    assert [r.id for r in got] == sent
    assert sum(r.status != 0 for r in got) == 10


# ---------------------------------------------------------------- others read our files

def test_tpm2_openssl_signs_with_the_file(tpm, keeper, tmp_path):
    keeper.open(tpm)
    keys = {a: keeper.create(a) for a in ("ec-p256", "rsa-2048")}
    keeper.close()
    env = dict(os.environ, TPM2OPENSSL_TCTI=tpm.tcti, OPENSSL_CONF="/dev/null")
    data = tmp_path / "data"
    data.write_bytes(b"something to sign")
    for algorithm, key in keys.items():
        file = tmp_path / (algorithm + ".pem")
        file.write_bytes(key.blob)
        out = tmp_path / "sig"
        subprocess.run(["openssl", "dgst", "-provider", "tpm2", "-provider", "default", "-propquery",
                        "?provider=tpm2", "-sha256", "-sign", str(file), "-out", str(out), str(data)],
                       env=env, check=True, timeout=60)
        scheme = "ecdsa-sha256" if algorithm[0] == "e" else "rsa-pkcs1-sha256"
        check(key, scheme, hashlib.sha256(b"something to sign").digest(), out.read_bytes())


# ---------------------------------------------------------------- the wire

def test_malformed_packets(rig):
    keeper, _ = rig
    for packet in (b"\xff" * 40, b"\x08", b"\x92\x01\x05abc", b"\x00" * 90000):
        keeper.sock.send(packet)
        reply = keeper.receive()
        assert reply.status != 0 and reply.message
    keeper.sign(keeper.create("ec-p256"), "ecdsa-sha256", DIGEST)


def test_before_open(keeper):
    for call in (keeper.ping, keeper.provision, lambda: keeper.create("ec-p256")):
        with pytest.raises(Failed) as e:
            call()
        assert e.value.status == "UNAVAILABLE"
    with pytest.raises(Failed) as e:
        r = pb.KeeperRequest()
        r.open.type = "pkcs12"
        keeper.call(r)
    assert e.value.status == "UNSUPPORTED"


def test_by_hand(tmp_path):
    done = subprocess.run([KEEPER], stderr=subprocess.PIPE, close_fds=True, timeout=10)
    assert done.returncode == 2 and b"holdfastd" in done.stderr
    done = subprocess.run([KEEPER, "--version"], stdout=subprocess.PIPE, timeout=10)
    assert done.returncode == 0 and done.stdout.startswith(b"holdfast-keeper ")


def test_opens_no_file_and_has_one_thread(rig):
    keeper, _ = rig
    pid = keeper.process.pid
    keeper.sign(keeper.create("ec-p256"), "ecdsa-sha256", DIGEST)
    assert os.listdir("/proc/%d/task" % pid) == [str(pid)]
    kinds = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]
    assert all(k.startswith(("socket:", "pipe:", "/dev/null", "/tmp/#")) for k in kinds), kinds
