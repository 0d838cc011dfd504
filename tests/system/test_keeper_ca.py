# SPDX-License-Identifier: Apache-2.0
"""What a ca key signs. tests/unit/test_caprofile.c has the corpus; this is the way through."""

import datetime
import hashlib
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keeperlib import (CA, SIGN, Failed, check, pb,
                       fixture_keeper, fixture_proxy, fixture_rig, fixture_tpm)  # noqa: F401

NOW = datetime.datetime.utcnow().replace(microsecond=0)
THROWAWAY = ec.generate_private_key(ec.SECP256R1())


def profile(**more):
    return pb.CaProfile(**{"max_days": 90, "self_max_days": 3650, "pathlen": 0, **more})


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(ca):
    return x509.KeyUsage(True, False, False, False, False, ca, False, False, False)


def certificate(public, subject, issuer, ca, days=90):
    """A certificate whose TBS part the ca key is to sign; its signature is a placeholder."""
    return x509.CertificateBuilder(
    ).subject_name(name(subject)).issuer_name(name(issuer)).public_key(public).serial_number(
        x509.random_serial_number()).not_valid_before(NOW - datetime.timedelta(minutes=1)
    ).not_valid_after(NOW + datetime.timedelta(days=days)
    ).add_extension(x509.BasicConstraints(ca, 0 if ca else None), True
    ).add_extension(usage(ca), True).sign(THROWAWAY, hashes.SHA256())


def put_signature(tbs, algorithm, signature):
    def tlv(tag, body):
        n = len(body)
        head = bytes([n]) if n < 128 else bytes([0x80 + (n.bit_length() + 7) // 8]) + n.to_bytes(
            (n.bit_length() + 7) // 8, "big")
        return bytes([tag]) + head + body
    return tlv(0x30, tbs + algorithm + tlv(3, b"\0" + signature))


ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def public_of(key):
    return serialization.load_der_public_key(key.spki)


def sign(keeper, key, tbs, scheme="ecdsa-sha256", message=True, issuer=None, **more):
    return keeper.sign(key, scheme, tbs, message=message, profile=profile(**more), issuer=issuer)


def self_sign(keeper, key, **more):
    tbs = certificate(public_of(key), "edge ca", "edge ca", True).tbs_certificate_bytes
    return tbs, sign(keeper, key, tbs, **more)


def test_chain(rig, tmp_path):
    keeper, _ = rig
    key = keeper.create("ec-p256", CA)
    tbs, signed = self_sign(keeper, key)
    assert signed.issued.kind == pb.Issued.SELF
    assert signed.issued.subject == "CN=edge ca"
    assert signed.issued.spki_sha256 == key.spki_sha256
    assert signed.issued.subject_der == name("edge ca").public_bytes()
    ca = put_signature(tbs, ECDSA_SHA256, signed.signature)
    parsed = keeper.certificate(key.spki, ca)
    assert parsed.subject == "CN=edge ca" and parsed.subject_der == signed.issued.subject_der
    assert parsed.not_after == signed.issued.not_after
    issuer = (parsed.subject_der, parsed.not_after)

    module = ec.generate_private_key(ec.SECP384R1()).public_key()
    leaf = certificate(module, "module-1", "edge ca", False, 30)
    signed = sign(keeper, key, leaf.tbs_certificate_bytes, issuer=issuer, names=["module-*"])
    assert signed.issued.kind == pb.Issued.CERTIFICATE
    assert int.from_bytes(signed.issued.serial, "big") == leaf.serial_number
    files = []
    for file, der in (("ca", ca), ("leaf", put_signature(leaf.tbs_certificate_bytes, ECDSA_SHA256,
                                                         signed.signature))):
        files.append(tmp_path / (file + ".pem"))
        files[-1].write_bytes(x509.load_der_x509_certificate(der).public_bytes(
            serialization.Encoding.PEM))
    subprocess.run(["openssl", "verify", "-CAfile", str(files[0]), str(files[1])], check=True)

    late = certificate(module, "module-1", "edge ca", False, 89)
    for refused, word, more in (
            (leaf, "common name", {"names": ["edge-*"], "issuer": issuer}),
            (leaf, "allows 29", {"max_days": 29, "issuer": issuer}),
            (certificate(module, "module-1", "other ca", False, 30), "issuer named", {"issuer": issuer}),
            (certificate(module, "module-1", "edge ca", True, 30), "CA:FALSE", {"issuer": issuer}),
            (late, "renew the issuer", {"issuer": (issuer[0], issuer[1] - 40 * 86400)})):
        with pytest.raises(Failed) as e:
            sign(keeper, key, refused.tbs_certificate_bytes, **more)
        assert e.value.status == "REFUSED" and word in e.value.message, e.value


def test_no_oracle(rig):
    """No digest, no other bytes, no other scheme inside than outside; the TPM is not asked."""
    keeper, proxy = rig
    key = keeper.create("ec-p256", CA)
    tbs, _ = self_sign(keeper, key)
    proxy.commands.clear()
    digest = hashlib.sha256(tbs).digest()
    for data, more in ((digest, {"message": False}), (digest, {}), (b"", {}), (tbs[:-1], {}),
                       (tbs + b"\0", {}), (b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + digest, {}),
                       (tbs, {"scheme": "ecdsa-sha384"})):
        with pytest.raises(Failed) as e:
            sign(keeper, key, data, **more)
        assert e.value.status == "REFUSED", e.value
    with pytest.raises(Failed) as e:
        keeper.sign(key, "ecdsa-sha256", tbs, message=True)
    assert e.value.status == "REFUSED" and "no profile" in e.value.message
    key.usage = CA | SIGN
    with pytest.raises(Failed) as e:
        keeper.sign(key, "ecdsa-sha256", digest)
    assert e.value.status == "REFUSED"
    assert proxy.names() == []


def test_request_and_crl(rig):
    keeper, _ = rig
    key = keeper.create("ec-p384", CA)
    # openssl makes both: python3-cryptography does not give the inner part of a CSR to be signed
    csr = x509.CertificateSigningRequestBuilder().subject_name(name("edge ca")).sign(
        THROWAWAY, hashes.SHA256())
    with pytest.raises(Failed) as e:
        sign(keeper, key, csr.tbs_certrequest_bytes)
    assert "another key" in e.value.message
    throwaway = THROWAWAY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    own = keeper.create("ec-p256", CA)  # of the same length as the throwaway's
    inner = csr.tbs_certrequest_bytes.replace(throwaway, own.spki)
    signed = sign(keeper, own, inner)
    assert signed.issued.kind == pb.Issued.REQUEST and signed.issued.spki_sha256 == own.spki_sha256
    made = x509.load_der_x509_csr(put_signature(inner, ECDSA_SHA256, signed.signature))
    assert made.is_signature_valid

    crl = x509.CertificateRevocationListBuilder().issuer_name(name("edge ca")).last_update(
        NOW).next_update(NOW + datetime.timedelta(days=7)).sign(THROWAWAY, hashes.SHA256())
    signed = sign(keeper, own, crl.tbs_certlist_bytes)
    assert signed.issued.kind == pb.Issued.CRL
    done = x509.load_der_x509_crl(put_signature(crl.tbs_certlist_bytes, ECDSA_SHA256, signed.signature))
    assert done.is_signature_valid(public_of(own))


def test_registration_refuses(rig):
    keeper, _ = rig
    key, other = keeper.create("ec-p256", CA), keeper.create("ec-p256", CA)
    tbs, signed = self_sign(keeper, key)
    der = put_signature(tbs, ECDSA_SHA256, signed.signature)
    for spki, certificate_der in ((other.spki, der), (key.spki, der[:-1]), (key.spki, der + b"\0"),
                                  (key.spki, b"")):
        with pytest.raises(Failed) as e:
            keeper.certificate(spki, certificate_der)
        assert e.value.status == "ARGUMENT"


def test_ca_signatures_verify(rig):
    keeper, _ = rig
    key = keeper.create("ec-p256", CA)
    for _ in range(5):
        tbs, signed = self_sign(keeper, key)
        check(key, "ecdsa-sha256", hashlib.sha256(tbs).digest(), signed.signature)
