# SPDX-License-Identifier: Apache-2.0
"""A module in which anything fails at any time, by lot, for some hundred requests: SoftHSM behind
p11shim.so. A seed that fails does so again: the shim throws the same dice."""

import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

import p11lib
from keeperlib import DECRYPT, DERIVE, Failed, check
from test_pkcs11 import digest
from test_pkcs11_faults import fixture_hsm  # noqa: F401
from test_pkcs11_left import stored
from test_pkcs11_use import POINT, spki, wrapped

REQUESTS = 150


class Life:
    """Requests of all kinds to one keeper, and what has to hold after each, failed or not."""

    def __init__(self, hsm, seed):
        self.hsm, self.dice = hsm, random.Random(seed)
        self.keeper = p11lib.P11Keeper(hsm)
        self.keeper.open()
        self.soft = ec.generate_private_key(ec.SECP256R1())
        self.blob = wrapped(self.keeper, self.soft)
        self.sign, self.rsa = self.keeper.create("ec-p256"), self.keeper.create("rsa-2048")
        self.dh, self.opens = (self.keeper.create("ec-p256", DERIVE),
                               self.keeper.create("rsa-2048", DECRYPT))
        self.own = ec.generate_private_key(ec.SECP256R1())
        self.made, self.told, self.good, self.bad = [], 0, 0, 0
        self.kept = stored(hsm)

    def signs(self, key, scheme):
        check(key, scheme, digest(scheme), self.keeper.sign(key, scheme, digest(scheme)).signature)

    def decrypts(self):
        message = self.dice.randbytes(self.dice.randrange(1, 200))
        sealed = load_der_public_key(self.opens.spki).encrypt(message, padding.PKCS1v15())
        assert self.keeper.decrypt(self.opens, "rsa-pkcs1", sealed) == message

    def derives(self):
        assert self.keeper.derive(self.dh, self.own.public_key().public_bytes(*POINT)) == \
            self.own.exchange(ec.ECDH(), load_der_public_key(self.dh.spki))

    def creates(self):  # not ed25519: SoftHSM leaks the parameters of such keys
        self.made.append(self.keeper.create(self.dice.choice(["ec-p256", "ec-p384"])))

    def imports(self):
        self.made.append(self.keeper.import_key("kwp", self.blob, spki=spki(self.soft)))

    def destroys(self):
        if self.made:
            self.keeper.destroy(self.made[-1])
            self.made.pop()

    def one(self):
        what = self.dice.choice([
            lambda: self.signs(self.sign, "ecdsa-sha256"), lambda: self.signs(self.rsa, "rsa-pss-sha256"),
            lambda: self.signs(self.rsa, "rsa-pkcs1-sha256"), self.decrypts, self.derives,
            self.creates, self.imports, self.destroys, self.keeper.ping, self.keeper.wrap])
        refused = self.hsm.calls("C_Login!")
        try:
            what()
            self.good += 1
        except Failed as failed:
            assert failed.message and failed.status not in ("OK", "PROTOCOL"), failed
            self.bad += 1
            self.told += "may be left in the token" in failed.message
            if failed.status == "LOCKOUT":
                self.forgive()
                refused += 1
        assert self.hsm.calls("C_Login!") - refused <= 1, "a login that failed was repeated"

    def forgive(self):
        """What an administrator does when a PIN is refused that is right."""
        try:
            self.keeper.provision()
        except Failed:
            pass

    def end(self):
        """The trouble is over: everything works again, and nobody has been forgotten."""
        self.hsm.fault()
        self.forgive()
        for key in self.made:
            self.keeper.destroy(key)
        for what in (lambda: self.signs(self.sign, "ecdsa-sha256"),
                     lambda: self.signs(self.rsa, "rsa-pss-sha256"), self.decrypts, self.derives):
            what()
        left = stored(self.hsm)
        assert self.kept <= left, "a key has gone that nobody destroyed"
        # a pair each
        assert len(left - self.kept) <= 2 * self.told, "something is left that was not told"
        self.keeper.close()


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("one_in", [6, 40])
def test_anything_at_any_time(hsm, one_in, seed):
    life = Life(hsm, seed)
    hsm.fault(("any", "any", 0x9e3779b97f4a7c15 * seed & (1 << 64) - 1, one_in))
    for _ in range(REQUESTS):
        life.one()
    life.end()
    assert life.bad > 3 and life.good > (REQUESTS // 2 if one_in > 6 else 3), (life.good, life.bad)
