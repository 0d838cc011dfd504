# SPDX-License-Identifier: Apache-2.0
"""A verifier of attestations that shares nothing with the project: python3-cryptography and the
structures of the TPM 2.0 Library, part 2; and credentials as a server makes them."""
import datetime
import hashlib
import os
import struct
import subprocess
import sys
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keeperlib import ROOT

sys.path.insert(0, os.path.join(ROOT, "swtpm-ci"))
from fixture import certify_swtpm  # noqa: E402, F401

FIXED_TPM, FIXED_PARENT, ORIGIN, RESTRICTED, DECRYPT, SIGN = (1 << n for n in (1, 4, 5, 16, 17, 18))
CURVES = {3: ec.SECP256R1, 4: ec.SECP384R1, 5: ec.SECP521R1}


def spki(key):
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        assert n <= len(self.data)
        head, self.data = self.data[:n], self.data[n:]
        return head

    def u16(self):
        return int.from_bytes(self.take(2), "big")

    def u32(self):
        return int.from_bytes(self.take(4), "big")

    def sized(self):
        return self.take(self.u16())

    def end(self):
        assert not self.data


class Public:
    """A TPM2B_PUBLIC."""

    def __init__(self, tpm2b):
        r = Reader(tpm2b)
        area = r.sized()
        r.end()
        r = Reader(area)
        kind, name_alg, self.attributes = r.u16(), r.u16(), r.u32()
        assert name_alg == 0x000B
        self.name = b"\0\x0b" + hashlib.sha256(area).digest()
        self.policy = r.sized()
        if r.u16() != 0x10:
            r.u32()
        self.scheme = r.u16()
        if self.scheme != 0x10:
            assert r.u16() == 0x000B
        if kind == 0x0001:
            bits, exponent = r.u16(), r.u32()
            n = int.from_bytes(r.sized(), "big")
            assert n.bit_length() == bits
            self.key = rsa.RSAPublicNumbers(exponent or 65537, n).public_key()
        else:
            assert kind == 0x0023
            curve = CURVES[r.u16()]()
            assert r.u16() == 0x10
            x, y = (int.from_bytes(r.sized(), "big") for _ in range(2))
            self.key = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
        r.end()


def verify(statement, signature, creation_data, key, ak, nonce):
    """Raises unless the TPM of `ak` has stated with `nonce` that it made `key`."""
    assert ak.attributes & (RESTRICTED | SIGN | FIXED_TPM | FIXED_PARENT | ORIGIN | DECRYPT) == \
        RESTRICTED | SIGN | FIXED_TPM | FIXED_PARENT | ORIGIN
    r = Reader(signature)
    assert (r.u16(), r.u16()) == (0x0018, 0x000B)
    pair = [int.from_bytes(r.sized(), "big") for _ in range(2)]
    r.end()
    ak.key.verify(utils.encode_dss_signature(*pair), statement, ec.ECDSA(hashes.SHA256()))
    r = Reader(statement)
    assert r.take(4) == b"\xffTCG" and r.u16() == 0x801A
    assert r.sized() == b"\0\x0b" + hashlib.sha256(b"\x40\0\0\x0b" + ak.name).digest()
    assert r.sized() == nonce
    r.take(17 + 8)
    assert r.sized() == key.name
    inner = Reader(creation_data)
    assert r.sized() == hashlib.sha256(inner.sized()).digest()
    inner.end()
    r.end()
    assert key.attributes & (FIXED_TPM | FIXED_PARENT | ORIGIN) == FIXED_TPM | FIXED_PARENT | ORIGIN


def credential(ek_public, ak_name, secret):
    """The file that tpm2_makecredential makes for a TPM, without a TPM."""
    with tempfile.TemporaryDirectory() as d:
        for name, data in ("ek", ek_public), ("secret", secret):
            with open(os.path.join(d, name), "wb") as f:
                f.write(data)
        subprocess.run(["tpm2_makecredential", "-Q", "-T", "none", "-u", "ek", "-s", "secret", "-n",
                        ak_name.hex(), "-o", "credential"], cwd=d, check=True,
                       stderr=subprocess.DEVNULL)
        with open(os.path.join(d, "credential"), "rb") as f:
            return f.read()


def halves(blob):
    """(TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET) of such a file."""
    r = Reader(blob)
    assert r.u32() == 0xBADCC0DE and r.u32() == 1
    out = []
    for _ in range(2):
        v = r.sized()
        out.append(struct.pack(">H", len(v)) + v)
    r.end()
    return out


def tools(tpm, *words, stdin=None):
    """tpm2-tools, while nobody else speaks to that software TPM."""
    env = dict(os.environ, TPM2TOOLS_TCTI=tpm.tcti)
    done = subprocess.run(words, env=env, check=True, input=stdin, stdout=subprocess.PIPE).stdout
    for handle in tpm.objects():  # they leave theirs
        tpm.command(struct.pack(">HIII", 0x8001, 14, 0x165, handle))
    return done


class Maker:
    """Who makes TPMs, and gives them certificates for their P-256 endorsement keys."""

    def __init__(self, name="TPM Maker CA"):
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), name
        self.certificate = self.issue(self.name, self.key.public_key(), True)
        self.pem = self.certificate.public_bytes(Encoding.PEM)

    def issue(self, name, key, ca=False):
        def dn(text):
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
        now = datetime.datetime.now(datetime.timezone.utc)
        b = x509.CertificateBuilder(
            dn(self.name), None, key, x509.random_serial_number(), now - datetime.timedelta(1),
            now + datetime.timedelta(30)).subject_name(dn(name) if ca else x509.Name([]))
        b = b.add_extension(x509.BasicConstraints(ca, None), True)
        if not ca:  # as TCG's profile has it
            b = b.add_extension(x509.SubjectAlternativeName([x509.DirectoryName(dn(name))]), True)
            b = b.add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.23.133.8.1")]),
                                False)
        return b.sign(self.key, hashes.SHA256())

    def certify(self, tpm, padding=b""):
        """The certificate, which from now on is in the TPM."""
        with tempfile.TemporaryDirectory() as d:
            pub = os.path.join(d, "ek.pub")
            tools(tpm, "tpm2_createek", "-Q", "-G", "ecc", "-c", os.path.join(d, "ek"), "-u", pub)
            with open(pub, "rb") as f:
                cert = self.issue("TPM 1", Public(f.read()).key)
        der = cert.public_bytes(Encoding.DER) + padding
        tools(tpm, "tpm2_nvdefine", "-Q", "-C", "o", "-s", str(len(der)), "-a",
              "ownerwrite|ownerread|authread", "0x1c0000a")
        tools(tpm, "tpm2_nvwrite", "-Q", "-C", "o", "-i", "-", "0x1c0000a", stdin=der)
        return cert
