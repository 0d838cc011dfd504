# SPDX-License-Identifier: Apache-2.0
"""What the keeper has a TPM state about itself: with three slots, in front of a hostile TPM, and
leaving nothing behind."""
import hashlib
import struct

import pytest

import attestlib
from attestlib import Maker, Public, credential, halves, tools
from keeperlib import SIGN, DECRYPT, Failed, Keeper, Proxy, Swtpm, check

DIGEST = hashlib.sha256(b"some").digest()
NONCE = bytes(range(16))


@pytest.fixture(name="tpm")
def fixture_tpm():
    tpm = Swtpm()
    yield tpm
    tpm.close()


@pytest.fixture(name="rig")
def fixture_rig(tpm):
    proxy, keeper = Proxy(tpm), Keeper()
    keeper.open(proxy)
    yield keeper, proxy
    if keeper.process.poll() is None:
        keeper.close()
    proxy.close()
    assert tpm.objects() == [] and tpm.sessions() == []


def good(a, key, nonce=NONCE):
    attestlib.verify(a.statement, a.signature, a.creation_data, Public(a.key_public),
                     Public(a.ak_public), nonce)
    assert attestlib.spki(Public(a.key_public).key) == key.spki
    return a


def activated(keeper, a, secret=b"0123456789abcdef", name=None):
    return keeper.activate(*halves(credential(a.ek_public, name or Public(a.ak_public).name,
                                              secret)))


@pytest.mark.parametrize("algorithm,usage", [("ec-p256", SIGN), ("ec-p384", SIGN),
                                             ("rsa-2048", SIGN | DECRYPT)])
def test_statement_and_activation(rig, algorithm, usage):
    keeper, proxy = rig
    key = keeper.create(algorithm, usage)
    a = good(keeper.attest(key, NONCE), key)
    assert a.ek_certificate == b"" and Public(a.ek_public).attributes == 0x300B2
    assert activated(keeper, a) == b"0123456789abcdef"
    # Nobody on the bus reads it.
    assert not any(b"0123456789abcdef" in response for _, _, response in proxy.commands)
    again = keeper.attest(key, b"")
    assert (again.ak_public, again.ek_public) == (a.ak_public, a.ek_public)
    good(again, key, b"")


def no_overflow(proxy):
    """The TPM never had to say TPM_RC_OBJECT_MEMORY."""
    return not any(struct.unpack(">I", r[6:10])[0] & 0xFFF == 0x902 for _, _, r in proxy.commands)


def test_three_slots_suffice_where_the_session_is_to_be_begun(rig, tpm):
    keeper, _ = rig
    keys = [keeper.create("ec-p256") for _ in range(3)]
    a = keeper.attest(keys[0])
    keeper.close()
    proxy, again = Proxy(tpm), Keeper()
    again.open(proxy)
    for key in keys:
        again.sign(key, "ecdsa-sha256", DIGEST)
    assert activated(again, a) and no_overflow(proxy)
    assert "StartAuthSession" in proxy.names()
    again.close()
    proxy.close()


def test_three_slots_suffice_and_nothing_is_left(rig, tpm):
    keeper, proxy = rig
    keys = [keeper.create("ec-p256") for _ in range(5)]
    for _ in range(3):
        for key in keys:
            keeper.sign(key, "ecdsa-sha256", DIGEST)
            a = good(keeper.attest(key, NONCE), key)
            assert activated(keeper, a)
    assert no_overflow(proxy)
    for key in keys:
        check(key, "ecdsa-sha256", DIGEST, keeper.sign(key, "ecdsa-sha256", DIGEST).signature)
    # While it runs: each key and session that was made for this is gone, the kept session is one.
    made = sum(n in ("CreatePrimary", "Load", "ContextLoad", "StartAuthSession")
               for n, _, r in proxy.commands if r[6:10] == bytes(4))
    ended = sum(n in ("FlushContext", "ActivateCredential")
                for n, _, r in proxy.commands if r[6:10] == bytes(4))
    assert 1 <= made - ended <= 4  # three slots and the session
    keeper.close()


def test_persistent_primary(rig):
    keeper, _ = rig
    keeper.provision()
    keys = [keeper.create("ec-p256") for _ in range(3)]
    for key in keys:
        keeper.sign(key, "ecdsa-sha256", DIGEST)
        assert activated(keeper, good(keeper.attest(key, NONCE), key))


def refused(call, *status):
    with pytest.raises(Failed) as e:
        call()
    assert e.value.status in status, e.value
    return e.value.message


def test_evidence_that_is_damaged_or_of_another_key(rig):
    keeper, _ = rig
    key, other = keeper.create("ec-p256"), keeper.create("ec-p256")
    ticket = bytearray(key.created.creation_ticket)
    ticket[-1] ^= 1
    data = bytearray(key.created.creation_data)
    data[-1] ^= 1
    for more in ({"ticket": bytes(ticket)}, {"data": bytes(data)},
                 {"ticket": other.created.creation_ticket}):
        assert "make a new key" in refused(lambda m=more: keeper.attest(key, NONCE, **m), "GONE")
    for more in ({"ticket": b""}, {"data": b""}, {"data": key.created.creation_data[:-1]},
                 {"data": b"\0\0"}):
        assert "make a new key" in refused(lambda m=more: keeper.attest(key, NONCE, **m), "CORRUPT")
    refused(lambda: keeper.attest(key, NONCE, ticket=key.created.creation_ticket[:-3]),
            "FAILED", "GONE")
    good(keeper.attest(key, NONCE), key)


def test_credentials_for_others(rig):
    keeper, _ = rig
    key = keeper.create("ec-p256")
    a = keeper.attest(key)
    # For the key itself instead of the attestation key; for another TPM; damaged.
    said = refused(lambda: activated(keeper, a, name=Public(a.key_public).name), "REFUSED")
    assert "other keys than those of this TPM" in said
    other_tpm, other = Swtpm(), Keeper()
    other.open(other_tpm)
    theirs = other.attest(other.create("ec-p256"))
    assert theirs.ak_public != a.ak_public
    refused(lambda: activated(keeper, theirs), "REFUSED")
    other.close()
    other_tpm.close()
    blob, seed = halves(credential(a.ek_public, Public(a.ak_public).name, b"secret"))
    for i in range(2, len(blob), 5):
        bad = blob[:i] + bytes([blob[i] ^ 1]) + blob[i + 1:]
        refused(lambda b=bad: keeper.activate(b, seed), "REFUSED")
    for bad in (b"", b"\0", b"\0\0", blob[:-1], blob + b"\0"):
        refused(lambda b=bad: keeper.activate(b, seed), "ARGUMENT")
        refused(lambda b=bad: keeper.activate(blob, b), "ARGUMENT")
    assert keeper.activate(blob, seed) == b"secret"


def test_endorsement_password(tpm, rig):
    keeper, proxy = rig
    key = keeper.create("ec-p256")
    a = keeper.attest(key)
    keeper.close()
    tools(tpm, "tpm2_changeauth", "-c", "endorsement", "secret")
    k = Keeper()
    k.open(tpm)
    for call in (lambda: k.attest(key), lambda: activated(k, a)):
        said = refused(call, "REFUSED")
        assert "endorsement hierarchy has a password" in said and "tpm2_changeauth" in said
    check(key, "ecdsa-sha256", DIGEST, k.sign(key, "ecdsa-sha256", DIGEST).signature)
    k.close()
    assert tpm.lockout_counter() == 0


def test_true_statements_of_something_else(rig):
    """On the bus somebody answers with what the TPM has said before."""
    keeper, proxy = rig
    key, other = keeper.create("ec-p256"), keeper.create("ec-p256")
    for old in (lambda: keeper.attest(key, b"another nonce"), lambda: keeper.attest(other, NONCE)):
        proxy.commands.clear()
        old()
        (said,) = [r for n, _, r in proxy.commands if n == "CertifyCreation"]
        proxy.change = lambda n, _, r, said=said: said if n == "CertifyCreation" else r
        assert "does not verify" in refused(lambda: keeper.attest(key, NONCE), "FAILED")
        proxy.change = None
    good(keeper.attest(key, NONCE), key)


NEW = ("CertifyCreation", "NV_ReadPublic", "NV_Read", "PolicySecret", "ActivateCredential")


def test_hostile_replies(tpm):
    """Cut off, flipped, longer: there is an error, or what comes is as good as without; and the
    next one works."""
    der = Maker().certify(tpm, b"\xff" * 300).public_bytes(attestlib.Encoding.DER)
    proxy, keeper = Proxy(tpm), Keeper()
    keeper.open(proxy)
    key = keeper.create("ec-p256")
    a = good(keeper.attest(key, NONCE), key)
    assert a.ek_certificate == der
    blob = halves(credential(a.ek_public, Public(a.ak_public).name, b"secret"))
    state = {}

    def change(name, _, response):
        if name != state["name"] or state["done"]:
            return response
        state["done"] = True
        r = state["how"](response)
        return r[:2] + struct.pack(">I", len(r)) + r[6:]

    def flip(at):
        return lambda r: r[:at % len(r)] + bytes([r[at % len(r)] ^ 0x41]) + r[at % len(r) + 1:]

    hows = [lambda r: r[:10], lambda r: r[:-1], lambda r: r + b"\0", lambda r: r + bytes(200),
            lambda r: r[:len(r) // 2]] + [flip(i) for i in (6, 11, 14, 15, 20, 25, 40, 60, 100, 150)]
    proxy.change = change
    for name in NEW:
        for how in hows:
            state.update(name=name, how=how, done=False)
            try:
                answer = keeper.attest(key, NONCE)
                good(answer, key)
            except Failed as e:
                assert e.status in ("FAILED", "UNAVAILABLE", "REFUSED", "GONE", "BUSY"), e
            try:
                assert keeper.activate(*blob) == b"secret"
            except Failed as e:
                assert e.status in ("FAILED", "UNAVAILABLE", "REFUSED", "GONE", "BUSY"), e
            assert state["done"]
    proxy.change = None
    assert good(keeper.attest(key, NONCE), key).ek_certificate == der
    assert keeper.activate(*blob) == b"secret"
    keeper.close()
    proxy.close()
    assert tpm.objects() == [] and tpm.sessions() == []
