#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A keeper with software keys that misbehaves on request, for tests of the broker.

What it does is in the file `mood` of the directory that is its argument, read anew for every
request: "hang", "hang-once" (whoever reads it first), "die", "garbage", "wrong-id", "unavailable", "slow", "slower", "20ms", one of LIES, or nothing; with an
operation before it ("sign:die") for that operation only. One in a line; the first that fits counts.
"""

import hashlib
import os
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from keeperlib import pb  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: E402


def spki_of(key):
    return key.public_key().public_bytes(serialization.Encoding.DER,
                                         serialization.PublicFormat.SubjectPublicKeyInfo)


def create(reply):
    key = ec.generate_private_key(ec.SECP256R1())
    spki = spki_of(key)
    reply.created.spki = spki
    reply.created.spki_sha256 = hashlib.sha256(spki).digest()
    reply.created.blob = key.private_bytes(serialization.Encoding.PEM,
                                           serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption())


def sign(request, reply):
    key = serialization.load_pem_private_key(request.sign.key.blob, None)
    digest = hashlib.sha256(request.data).digest() if request.sign.message else request.data
    reply.signature.signature = key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    reply.signature.input_sha256 = hashlib.sha256(request.data).digest()
    if request.sign.key.usage == 2:
        issued = reply.signature.issued
        issued.kind = pb.Issued.CERTIFICATE
        issued.serial = request.data[:16]
        issued.spki_sha256 = hashlib.sha256(b"subject").digest()
        issued.not_after = 4000000000
        issued.subject = "CN=evil\"\n\x1b[31m"


def secret(scheme, data, reply):
    """Not secret at all."""
    size = {"ecdh": 32, "rsa-pkcs1-tls": 48}.get(scheme, 18)
    reply.secret.data = (b"secret of " + data[:8]).ljust(size, b".")
    reply.secret.input_sha256 = hashlib.sha256(data).digest()


ONE_KEY = ec.derive_private_key(1, ec.SECP256R1())


def import_key(request, reply):
    """The blob says which algorithm it turns out to be; "again": the key pair is always the same."""
    algorithm, _, how = request.data.decode().partition(" ")
    create(reply)
    if how == "again":
        reply.created.spki = spki_of(ONE_KEY)
        reply.created.spki_sha256 = hashlib.sha256(reply.created.spki).digest()
    reply.created.algorithm = algorithm
    reply.created.imported = how != "outside"
    reply.created.outside = how == "outside"


LIES = {
    "no-result": lambda r: r.ClearField(r.WhichOneof("result")),
    "other-result": lambda r: r.opened.SetInParent(),
    "long": lambda r: setattr(r.secret, "data", b"x" * 1024),
    "longer": lambda r: setattr(r.secret, "data", b"x" * 1025),
    "short": lambda r: setattr(r.secret, "data", r.secret.data[:-1]),
    "empty": lambda r: r.secret.ClearField("data"),
    "no-hash": lambda r: r.secret.ClearField("input_sha256"),
    "long-hash": lambda r: setattr(r.secret, "input_sha256", b"h" * 33),
    "unknown-status": lambda r: setattr(r, "status", 99),
    "no-public": lambda r: r.wrap.ClearField("public_key"),
    "other-type": lambda r: setattr(r.wrap, "type", "pkcs11"),
    "no-spki": lambda r: r.created.ClearField("spki"),
    "no-id": lambda r: r.created.ClearField("spki_sha256"),
    "no-blob": lambda r: r.created.ClearField("blob"),
    "no-algorithm": lambda r: r.created.ClearField("algorithm"),
}


def answer(sock, request, mood):
    reply = pb.KeeperReply(id=request.id)
    if mood == "hang-once":
        os.unlink(os.path.join(sys.argv[1], "mood"))
    if mood in ("hang", "hang-once"):
        time.sleep(3600)
    if mood == "die":
        os._exit(9)
    if mood == "garbage":
        sock.send(b"\xff" * 50)
        return
    if mood in ("slow", "slower"):
        time.sleep(0.4 if mood == "slow" else 1.6)
    if mood.endswith("ms"):
        time.sleep(int(mood[:-2]) / 1000)
    if mood == "wrong-id":
        reply.id += 12345
    op = request.WhichOneof("op")
    if mood == "unavailable":
        reply.status = pb.UNAVAILABLE
        reply.message = "no TPM at all"
    elif op in ("open", "ping", "provision"):
        reply.opened.description = "fake"
        reply.opened.algorithms.append("ec-p256")
        if os.path.exists(os.path.join(sys.argv[1], "has-rsa")):
            reply.opened.algorithms.append("rsa-2048")
        reply.opened.primary_name = b"\x00\x0b" + b"n" * 32
    elif op == "create":
        create(reply)
    elif op == "sign":
        sign(request, reply)
    elif op in ("decrypt", "derive"):
        secret(getattr(request, op).scheme, request.data, reply)
    elif op == "wrap":
        reply.wrap.type = "tpm2"
        reply.wrap.public_key = b"public"
    elif op == "import_key":
        import_key(request, reply)
    elif op == "destroy":
        with open(os.path.join(sys.argv[1], "destroyed"), "a") as f:
            f.write((request.destroy.key.spki_sha256 or request.destroy.object_id).hex() + "\n")
    if mood in LIES:
        LIES[mood](reply)
    sock.send(reply.SerializeToString())


def mood_of(directory, op):
    try:
        with open(os.path.join(directory, "mood")) as f:
            moods = [line.strip().rpartition(":") for line in f]
    except OSError:
        return ""
    return next((mood for only, _, mood in moods if only in ("", op)), "")


def main(directory):
    sock = socket.socket(fileno=3)
    while True:
        data = sock.recv(200000)
        if not data:
            return
        request = pb.KeeperRequest.FromString(data)
        answer(sock, request, mood_of(directory, request.WhichOneof("op")))


main(sys.argv[1])
