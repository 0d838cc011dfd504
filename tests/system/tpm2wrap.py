# SPDX-License-Identifier: Apache-2.0
"""A software key as TPM2_Import takes it (TPM 2.0 Library, part 1, 23.3), written from the
specification with python3-cryptography alone, so that what the CLI does has a second opinion."""
import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ECC, RSA, SHA256, NULL = 0x23, 1, 0xb, 0x10
CURVES = {"secp256r1": 3, "secp384r1": 4, "secp521r1": 5}
USER_WITH_AUTH, NODA, DECRYPT, SIGN = 1 << 6, 1 << 10, 1 << 17, 1 << 18


def two_b(data):
    return struct.pack(">H", len(data)) + data


def number(n, size=None):
    return two_b(n.to_bytes(size or (n.bit_length() + 7) // 8, "big"))


def kdfa(key, label, u, v, bits):
    out, i = b"", 0
    while len(out) * 8 < bits:
        i += 1
        out += hmac.new(key, struct.pack(">I", i) + label + b"\0" + u + v + struct.pack(">I", bits),
                        hashlib.sha256).digest()
    return out[:bits // 8]


def public_of(key, attributes):
    """TPMT_PUBLIC and TPMT_SENSITIVE."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        public = struct.pack(">HHIHHHHI", RSA, SHA256, attributes, 0, NULL, NULL, key.key_size, 0)
        public += number(numbers.public_numbers.n)
        return public, struct.pack(">HHH", RSA, 0, 0) + number(numbers.p)
    numbers, size = key.private_numbers(), (key.key_size + 7) // 8
    public = struct.pack(">HHIHHHHH", ECC, SHA256, attributes, 0, NULL, NULL,
                         CURVES[key.curve.name], NULL)
    public += number(numbers.public_numbers.x, size) + number(numbers.public_numbers.y, size)
    return public, struct.pack(">HHH", ECC, 0, 0) + number(numbers.private_value, size)


def seed_for(parent):
    """A seed and its TPM2B_ENCRYPTED_SECRET, for a TPM2B_PUBLIC of a P-256 storage key."""
    x, y = parent[-66:-34], parent[-32:]
    theirs = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"),
                                           ec.SECP256R1()).public_key()
    ours = ec.generate_private_key(ec.SECP256R1())
    mine = ours.public_key().public_numbers()
    mx, my = mine.x.to_bytes(32, "big"), mine.y.to_bytes(32, "big")
    z = ours.exchange(ec.ECDH(), theirs)
    seed = hashlib.sha256(struct.pack(">I", 1) + z + b"DUPLICATE\0" + mx + x).digest()
    return seed, two_b(two_b(mx) + two_b(my))


def der(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    head = bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else b"\x82" + struct.pack(">H", n)
    return bytes([tag]) + head + body


def key_file(public, private, handle=0x40000001, options=(der(0xa0, b"\1\1\xff"),), importable=False):
    """A TSS2 PRIVATE KEY in DER; @public and @private are TPM2Bs."""
    return der(0x30, bytes.fromhex("06066781050a010" + "34"[importable]), *options,
               der(2, handle.to_bytes(5, "big").lstrip(b"\0") if handle < 1 << 31 else
                   handle.to_bytes(5, "big")), der(4, public), der(4, private))


def wrap(key, parent, attributes=USER_WITH_AUTH | NODA | SIGN, damage=None, handle=0x40000001,
         password=b"", more=()):
    """An importable TSS2 PRIVATE KEY in DER. @parent: TPM2B_PUBLIC."""
    public, sensitive = public_of(key, attributes)
    sensitive = sensitive[:2] + two_b(password) + sensitive[4:]
    name = struct.pack(">H", SHA256) + hashlib.sha256(public).digest()
    seed, secret = seed_for(parent)
    encrypted = Cipher(algorithms.AES(kdfa(seed, b"STORAGE", name, b"", 128)),
                       modes.CFB(bytes(16))).encryptor().update(two_b(sensitive))
    integrity = hmac.new(kdfa(seed, b"INTEGRITY", b"", b"", 256), encrypted + name,
                         hashlib.sha256).digest()
    private = bytearray(two_b(integrity) + encrypted)
    if damage is not None:
        private[damage] ^= 1
    return key_file(two_b(public), two_b(bytes(private)), handle,
                    (der(0xa0, b"\1\1\xff"), der(0xa2, der(4, secret)), *more), True)


def random_key(algorithm):
    if algorithm.startswith("rsa"):
        return rsa.generate_private_key(65537, int(algorithm[4:]))
    return ec.generate_private_key({"ec-p256": ec.SECP256R1, "ec-p384": ec.SECP384R1,
                                    "ec-p521": ec.SECP521R1}[algorithm]())
