# SPDX-License-Identifier: Apache-2.0
"""RSA key transport of TLS 1.2 on a TPM tells nobody how a premaster secret was padded (RFC 5246,
section 7.4.7.1): whatever is sent, the server goes on to the same alert at the same place. The
time it takes is the keeper's (src/keeper/unpad.c); here it is not measured."""
import os
import socket
import subprocess

import pytest
from cryptography import x509

from provider_env import Openssl, short_dir  # noqa: F401
from realbroker import RealBroker
from test_provider_tls import certificate, wait_for

CIPHER = b"\x00\x9c"  # TLS_RSA_WITH_AES_128_GCM_SHA256
BAD_RECORD_MAC = 20


@pytest.fixture(scope="module")
def tpm():
    b = RealBroker().start()
    b.add_key("rsa", "rsa-2048", "sign,decrypt")
    yield b
    b.close()


def sized(n, data):
    return len(data).to_bytes(n, "big") + data


def record(kind, data):
    return bytes([kind]) + b"\x03\x03" + sized(2, data)


def handshake_message(kind, data):
    return record(22, bytes([kind]) + sized(3, data))


CLIENT_HELLO = handshake_message(1, b"\x03\x03" + bytes(32) + sized(1, b"") + sized(2, CIPHER) +
                                 sized(1, b"\x00") + sized(2, b"\x00\x0d" + sized(2, sized(
                                     2, b"\x04\x01\x08\x04"))))


class Server:
    def __init__(self, s):
        self.s, self.buffered = s, b""

    def take(self, n):
        while len(self.buffered) < n:
            more = self.s.recv(16384)
            assert more, "closed"
            self.buffered += more
        out, self.buffered = self.buffered[:n], self.buffered[n:]
        return out

    def record(self):
        head = self.take(5)
        return head[0], self.take(int.from_bytes(head[3:], "big"))

    def until_hello_done(self):
        seen = b""
        while not seen.endswith(b"\x0e\x00\x00\x00"):
            kind, data = self.record()
            assert kind == 22, (kind, data)
            seen += data


def answer(path, key, block):
    """The alert that a premaster secret with this padding ends in."""
    number = int.from_bytes(block, "big")
    cipher = pow(number, key.e, key.n).to_bytes(256, "big")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(path)
        s.sendall(CLIENT_HELLO)
        server = Server(s)
        server.until_hello_done()
        s.sendall(handshake_message(16, sized(2, cipher)) + record(20, b"\x01") +
                  record(22, os.urandom(40)))
        kind, data = server.record()
        return kind, data


def padded(secret, head=b"\x00\x02", fill=None):
    fill = b"\x55" * (256 - 3 - len(secret)) if fill is None else fill
    return head + fill + b"\x00" + secret


SECRET = b"\x03\x03" + b"\x07" * 46
BLOCKS = {
    "good": padded(SECRET),
    "other version": padded(b"\x03\x02" + SECRET[2:]),
    "version 2": padded(b"\x02\x00" + SECRET[2:]),
    "short": padded(SECRET[:47]),
    "long": padded(SECRET + b"\x07"),
    "empty": padded(b""),
    "no end": b"\x00\x02" + b"\x55" * 254,
    "early end": b"\x00\x02\x55\x55\x00" + b"\x55" * 202 + b"\x00" + SECRET,
    "block type 1": padded(SECRET, b"\x00\x01"),
    "block type 0": padded(SECRET, b"\x00\x00"),
    "first byte": padded(SECRET, b"\x01\x02"),
    "zero": bytes(256),
}


def test_every_padding_ends_in_the_same_alert(tpm, tmp_path, short_dir):  # noqa: F811
    openssl = Openssl(str(tmp_path), tpm.path, "dropin")
    certificate(openssl, "rsa")
    key = x509.load_pem_x509_certificate(openssl.read("rsa.pem")).public_key().public_numbers()
    path = f"{short_dir}/tls"
    s = subprocess.Popen(
        ["openssl", "s_server", "-unix", path, "-unlink", "-cert", "rsa.pem", "-key",
         "holdfast:rsa", "-tls1_2", "-cipher", "AES128-GCM-SHA256:@SECLEVEL=1", "-quiet"],
        cwd=openssl.dir, env=openssl.environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=open(openssl.path("log"), "wb"))
    try:
        wait_for(path, s)
        before = tpm.call(status_get={}).status_reply.operations
        answers = {name: answer(path, key, block) for name, block in BLOCKS.items()}
    finally:
        s.kill()
        s.wait()
    assert set(answers.values()) == {(21, bytes([2, BAD_RECORD_MAC]))}, answers
    # and each of them was asked of the TPM
    assert tpm.call(status_get={}).status_reply.operations >= before + len(BLOCKS)
    assert b"holdfast" not in openssl.read("log")  # nothing of ours on the error queue either
