# SPDX-License-Identifier: Apache-2.0
"""Certificates for the EST tests, right and wrong ones, and the messages that carry them."""
import base64
import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)
CMC_RA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


def name(cn):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])


def san(text):
    kind, value = text.split(":", 1)
    return {"DNS": lambda: x509.DNSName(value), "URI": lambda: x509.UniformResourceIdentifier(value),
            "IP": lambda: x509.IPAddress(ipaddress.ip_address(value))}[kind]()


def tlv(tag, value):
    n = len(value)
    length = bytes([n]) if n < 128 else bytes([0x82]) + n.to_bytes(2, "big")
    return bytes([tag]) + length + value


def with_sha1(cert, key):
    """The same, signed with ecdsa-with-SHA1, which later versions of the library do not make."""
    sha256, sha1 = bytes.fromhex("300a06082a8648ce3d040302"), bytes.fromhex("300906072a8648ce3d0401")
    inside = cert.tbs_certificate_bytes
    inside = inside[4:] if inside[1] & 0x7f == 2 else inside[3:]
    tbs = tlv(0x30, inside.replace(sha256, sha1, 1))
    signature = key.sign(tbs, ec.ECDSA(hashes.SHA1()))
    return x509.load_der_x509_certificate(tlv(0x30, tbs + sha1 + tlv(3, b"\0" + signature)))


class Cert:
    """A certificate with its key, and with an issuer or by itself."""

    def __init__(self, cn, issuer=None, ca=False, sans=(), eku=(), begins=-1, days=30, key=None,
                 public=None, subject=None, usage=None, digest=hashes.SHA256(), pathlen=None,
                 bc=True, exts=()):
        self.key = key or (None if public else ec.generate_private_key(ec.SECP256R1()))
        self.subject = subject or name(cn)
        by = issuer or self
        b = (x509.CertificateBuilder().subject_name(self.subject).issuer_name(by.subject)
             .public_key(public or self.key.public_key()).serial_number(x509.random_serial_number())
             .not_valid_before(NOW + begins * DAY).not_valid_after(NOW + days * DAY))
        if bc:
            b = b.add_extension(x509.BasicConstraints(ca, pathlen if ca else None), True)
        if usage or ca:
            b = b.add_extension(x509.KeyUsage(True, False, False, False, False,
                                              ca or usage == "sign", ca, False, False), True)
        if sans:
            b = b.add_extension(x509.SubjectAlternativeName([san(s) for s in sans]), False)
        if eku:
            b = b.add_extension(x509.ExtendedKeyUsage(eku), False)
        for ext in exts:
            b = b.add_extension(ext.value, ext.critical)
        sha1 = isinstance(digest, hashes.SHA1)
        self.cert = b.sign(by.key, hashes.SHA256() if sha1 else digest)
        if sha1:
            self.cert = with_sha1(self.cert, by.key)

    @property
    def der(self):
        return self.cert.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self):
        return self.cert.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def sha256(self):
        return self.cert.fingerprint(hashes.SHA256()).hex()

    @property
    def key_pem(self):
        return self.key.private_bytes(serialization.Encoding.PEM,
                                      serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()).decode()


def weak_key():
    return rsa.generate_private_key(65537, 1024)


# ---------------------------------------------------------------- DER by hand

def tlv(tag, *parts):
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    n = (len(body).bit_length() + 7) // 8
    return bytes([tag, 0x80 | n]) + len(body).to_bytes(n, "big") + body


def seq(*parts):
    return tlv(0x30, *parts)


def set_(*parts):
    return tlv(0x31, *parts)


def oid(text):
    arcs = [int(a) for a in text.split(".")]
    out = bytes([arcs[0] * 40 + arcs[1]])
    for arc in arcs[2:]:
        piece = [arc & 127]
        while arc > 127:
            arc >>= 7
            piece.append(arc & 127 | 128)
        out += bytes(reversed(piece))
    return tlv(6, out)


DATA, SIGNED, ENVELOPED = (oid("1.2.840.113549.1.7.%d" % n) for n in (1, 2, 3))
INTEGER_1, EMPTY_SET = bytes.fromhex("020101"), b"\x31\x00"


def pkcs7(*ders, content=b"", signers=EMPTY_SET, kind=SIGNED, crls=b"", digests=EMPTY_SET):
    """Certs-only, as RFC 5272 describes it; or something near it."""
    certs = tlv(0xA0, *ders) if ders else b""
    return seq(kind, tlv(0xA0, seq(INTEGER_1, digests, seq(DATA, content), certs, crls, signers)))


def ber(*ders):
    """The same with indefinite lengths, as BouncyCastle writes it."""
    end = b"\0\0"
    return (b"\x30\x80" + SIGNED + b"\xa0\x80" + b"\x30\x80" + INTEGER_1 + EMPTY_SET + b"\x30\x80" +
            DATA + end + b"\xa0\x80" + b"".join(ders) + end + EMPTY_SET + end + end + end)


def b64(der, width=64, newline=b"\n"):
    text = base64.b64encode(der)
    if not width:
        return text
    return newline.join(text[i:i + width] for i in range(0, len(text), width)) + newline
