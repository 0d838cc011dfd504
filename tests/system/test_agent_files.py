# SPDX-License-Identifier: Apache-2.0
"""Certificates that a PKI puts into files: what the agent makes of them, and of those who put them there."""
import os

import pytest

from agentlib import Device
from apilib import MANUAL, Api, chain, csr, pem
from estpki import Cert

EDGE_CA = MANUAL + '[edge_ca]\ncert = "file://%s/ca.pem"\npk = "file://%s/ca.key"\n'


class Files(Device):
    """A device whose Edge CA comes in files, made by `ca`."""

    def __init__(self, more="", top=""):
        super().__init__(start=False)
        self.root = Cert("root", ca=True, days=900)
        self.config = top + EDGE_CA % (self.dir, self.dir) + more
        self.ca = self.bring("one")

    def begin(self):
        self.apply(self.config)
        self.start_broker()
        self.apply(self.config)
        self.start_agent()
        self.until(lambda: self.credential("edge-ca")["state"] == "ok")
        return Api(self)

    def put(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)
        return os.path.join(self.dir, name)

    def bring(self, cn, **more):
        ca = Cert(cn, self.root, ca=True, **more)
        self.put("ca.pem", ca.pem)
        self.put("ca.key", pem(ca.key))
        return ca


@pytest.fixture
def files():
    with Files() as d:
        yield d


def test_a_private_key_beside_a_certificate_stays_there(files):
    api = files.begin()
    files.put("ca.pem", files.ca.pem + pem(files.ca.key))
    files.wake()
    for name in "edge-ca", "aziot-edged-ca", "trust-bundle":
        answer = api.certd("GET", "/certificates/" + name)
        assert answer.code == 200 and b"PRIVATE" not in answer.body and b"CERTIFICATE" in answer.body
    assert b"PRIVATE" not in api.server("m", csr=csr()).body
    # nor does somebody else's stay who left it here
    put = api.certd("PUT", "/certificates/x", {"pem": files.ca.pem + pem(files.ca.key)})
    assert put.code == 201 and b"PRIVATE" not in put.body
    got = api.certd("GET", "/certificates/x").json["pem"]
    assert chain(got) == [files.ca.cert] and "PRIVATE" not in got
    # and it is said
    said = files.cli("check", "--offline", "--only", "software-keys", "--root", files.dir, code=1).stdout
    assert "ca.pem" in said
    assert "holds a private key" in files.apply(files.config, code=2).stderr
