#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client of holdfast, complete: lists the keys, signs FILE with KEY, verifies the signature.

usage: protocol_client.py SOCKET KEY FILE      (KEY: an EC P-256 key; see docs/PROTOCOL.md)
Before: protoc -I src/wire --python_out DIR src/wire/holdfast.proto; PYTHONPATH=DIR
"""
import hashlib
import socket
import sys

import holdfast_pb2 as pb
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key


def call(s, number, **operation):
    s.send(pb.Request(id=number, **operation).SerializeToString())
    reply = pb.Reply.FromString(s.recv(65536))
    if reply.id != number or reply.status != pb.OK:
        sys.exit("%s: %s" % (pb.Status.Name(reply.status), reply.message))
    return reply


path, name, file = sys.argv[1:]
data = open(file, "rb").read()
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
    s.connect(path)
    call(s, 1, hello=pb.Hello(version=1, software="protocol_client.py"))
    for key in call(s, 2, key_list=pb.KeyList()).key_list.keys:
        print(key.name, key.algorithm, key.spki_sha256.hex())
    key = call(s, 3, key_get=pb.KeyGet(key=pb.KeyRef(name=name))).key
    signature = call(s, 4, sign=pb.Sign(
        key=pb.KeyRef(name=name, spki_sha256=key.spki_sha256), scheme="ecdsa-sha256",
        data=hashlib.sha256(data).digest())).signature.signature
load_der_public_key(key.spki).verify(signature, data, ec.ECDSA(hashes.SHA256()))
print("signed with", name, "and verified:", signature.hex())
