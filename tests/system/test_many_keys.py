# SPDX-License-Identifier: Apache-2.0
"""A thousand keys on a TPM with three slots: found and loaded without it, used one command each."""
import collections
import random
import tempfile

import pytest

from keeperlib import Proxy
from provider_env import Openssl
from realbroker import RealBroker

pytestmark = pytest.mark.plain  # it is the same code a thousand times
KEYS = 1000


def test_a_thousand_keys():
    broker = RealBroker()
    proxy = Proxy(broker.tpm)
    broker.conf["tokens"][0]["tcti"] = proxy.tcti
    broker.start()
    try:
        for n in range(KEYS):
            broker.call(key_create={"name": f"many-{n:04}", "algorithm": "ec-p256", "usage": 1})
        with tempfile.TemporaryDirectory() as folder:
            use(broker, proxy, Openssl(folder, broker.path, "dropin"))
    finally:
        broker.close()
        proxy.close()


def use(broker, proxy, openssl):
    before = len(proxy.commands)
    listed = openssl("storeutl", "-keys", "holdfast:").text
    assert "Total found: %d" % KEYS in listed
    every = random.Random(1).sample(range(KEYS), 60)
    for n in every[:20]:
        openssl("pkey", "-in", f"holdfast:many-{n:04}", "-pubout", "-noout")
    # a key costs the TPM nothing until it is used
    assert len(proxy.commands) == before

    openssl.file("message", "m")
    for n in every:
        openssl("dgst", "-sha256", "-sign", f"holdfast:many-{n:04}", "-out", "sig", "message")
        openssl("pkey", "-in", f"holdfast:many-{n:04}", "-pubout", "-out", "pub.pem")
        openssl.plain("dgst", "-sha256", "-verify", "pub.pem", "-signature", "sig", "message")
    count = collections.Counter(name for name, _, _ in proxy.commands[before:])
    assert count["Sign"] == len(every)
    # each is loaded once, below a parent that comes back by its context (this TPM is not provisioned,
    # where it would be there already); one is saved to make room; nothing is made anew
    assert count["Load"] == len(every) and count["ContextLoad"] <= len(every), count
    assert count["ContextSave"] <= len(every) and count["FlushContext"] <= 2 * len(every), count
    assert sum(count.values()) == sum(count[name] for name in (
        "Load", "ContextLoad", "ContextSave", "FlushContext", "Sign")), count
