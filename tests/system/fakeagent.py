# SPDX-License-Identifier: Apache-2.0
"""An agent's HTTP socket that answers as a test says."""
import contextlib
import json
import os
import socket
import threading


class FakeAgent:
    """`answer`: (method, path, body) -> (code, JSON or bytes), or bytes to be sent as they are."""

    def __init__(self, path, answer):
        self.requests, self.answer = [], answer
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(5)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), s:  # who has heard enough hangs up
                self.one(s)

    def one(self, s):
        s.settimeout(20)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = s.recv(65536)
            if not piece:
                return
            data += piece
        head, body = data.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        assert headers["connection"] == "close" and headers["host"]
        while len(body) < int(headers.get("content-length", 0)):
            body += s.recv(65536)
        method, path, version = first.split(" ")
        assert version == "HTTP/1.1"
        self.requests.append((method, path, json.loads(body) if body else None))
        got = self.answer(*self.requests[-1])
        if not isinstance(got, bytes):
            code, text = got
            text = text if isinstance(text, bytes) else json.dumps(text).encode()
            got = b"HTTP/1.1 %d Whatever\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
                code, len(text), text)
        s.sendall(got)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(20)
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
