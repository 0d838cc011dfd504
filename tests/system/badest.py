# SPDX-License-Identifier: Apache-2.0
"""An EST server that does as it is told: right in everything that a test does not say otherwise."""
import base64
import contextlib
import os
import socket
import ssl
import tempfile
import threading

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from estpki import CLIENT, SERVER, Cert, b64, pkcs7

ROOT_CA = Cert("EST root", ca=True)
SUB_CA = Cert("EST issuing CA", ROOT_CA, ca=True, pathlen=0)
OTHER_CA = Cert("another root", ca=True)
HOST = dict(sans=("DNS:localhost", "IP:127.0.0.1"), eku=(SERVER,))
SERVER_CERT = Cert("localhost", ROOT_CA, **HOST)


class Request:
    def __init__(self, method, path, headers, body, binding, peer=None):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.binding = binding  # tls-unique of the connection
        self.peer = peer and x509.load_der_x509_certificate(peer)  # None: showed no certificate
        self.op = path.rsplit("/", 1)[-1]

    @property
    def csr(self):
        return x509.load_der_x509_csr(base64.b64decode(self.body))


def reply(code=200, body=b"", type=None, reason="Whatever", **headers):
    """An answer; headers with _ for -."""
    lines = [b"HTTP/1.1 %d %s" % (code, reason.encode())]
    if type:
        headers["Content_Type"] = type
    headers.setdefault("Content_Length", len(body))
    for key, value in headers.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                lines.append(("%s: %s" % (key.replace("_", "-"), one)).encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def certs(*ders, type="application/pkcs7-mime; smime-type=certs-only", code=200, **more):
    return reply(code, b64(pkcs7(*ders)), type, **more)


def issue(request, issuer=SUB_CA, **other):
    """What a CA makes of a request: as asked, unless told otherwise."""
    csr, without = request.csr, other.pop("without", ())
    exts = [e for e in csr.extensions
            if e.oid not in (ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE)
            and e.oid not in without]
    args = dict(subject=csr.subject, public=csr.public_key(), exts=exts)
    for e in csr.extensions:
        if e.oid == ExtensionOID.BASIC_CONSTRAINTS and e.value.ca:
            args.update(ca=True, pathlen=e.value.path_length)
    args.update(other)
    return Cert("", issuer, **args)


class BadEst:
    """Serves on a port of its own until it is closed. `handlers`: {operation: Request -> bytes, or
    None to close}; `tls` changes the ssl.SSLContext; `raw` takes the bare socket instead."""

    def __init__(self, handlers=None, cert=SERVER_CERT, chain=(), tls=None, raw=None, clients=None):
        self.requests, self.failures = [], []
        self.handlers = {
            "cacerts": lambda r: certs(ROOT_CA.der, SUB_CA.der),
            "csrattrs": lambda r: reply(204),
            "simpleenroll": lambda r: certs(issue(r).der, SUB_CA.der),
            "simplereenroll": lambda r: certs(issue(r).der, SUB_CA.der),
        }
        self.handlers.update(handlers or {})
        self.raw, self.done = raw, threading.Event()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(cert.key_pem + cert.pem + "".join(c.pem for c in chain))
            f.flush()
            if cert.key.key_size == 1024 or tls == "weak":
                self.context.set_ciphers("DEFAULT:@SECLEVEL=0")
            self.context.load_cert_chain(f.name)
        if clients:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(cadata=clients.pem)
        if callable(tls):
            tls(self.context)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = "https://localhost:%d" % self.port
        self.threads = []
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self.serve, args=(connection,), daemon=True))
            self.threads[-1].start()

    def serve(self, connection):
        connection.settimeout(10)
        with contextlib.suppress(OSError, ssl.SSLError), connection:
            if self.raw:
                self.raw(self, connection)
                return
            try:
                with self.context.wrap_socket(connection, server_side=True) as s:
                    while self.one(s):
                        pass
            except Exception as e:  # a handler's own mistake has to be seen
                self.failures.append(e)
                raise

    def one(self, s):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = s.recv(4096)
            if not piece:
                return False
            head += piece
        head, body = head.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += s.recv(4096)
        binding = s.get_channel_binding("tls-unique") if s.version() == "TLSv1.2" else None
        request = Request(method, path, headers, body, binding, s.getpeercert(True))
        self.requests.append(request)
        answer = self.handlers.get(request.op, lambda r: reply(404))(request)
        if answer is None:
            return False
        if callable(answer):  # what no bytes can say
            answer(s)
            return False
        s.sendall(answer)
        if answer.startswith(b"HTTP/1.0"):
            with contextlib.suppress(OSError, ssl.SSLError):
                s.unwrap()  # the end of the body, and not of the cable
            return False
        return b"Connection: close" not in answer

    def ops(self):
        return [r.op for r in self.requests]

    def hang(self, _=None):
        """A handler that never answers."""
        def wait(_):
            self.done.wait(20)
        return wait

    def close(self):
        self.done.set()
        stop_listening(self.listener, self.acceptor)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def stop_listening(listener, thread):
    """Closed under a thread that is about to accept, it would accept from what has that descriptor next."""
    listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)
    listener.close()


def own(pem, folder, name):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(pem)
    return path


__all__ = ["BadEst", "CLIENT", "HOST", "OTHER_CA", "ROOT_CA", "SERVER_CERT", "SUB_CA", "certs",
           "issue", "own", "reply", "stop_listening"]
