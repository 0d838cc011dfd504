# SPDX-License-Identifier: Apache-2.0
"""The agent's HTTP API and those who mean it no good: large, slow, many, at random."""
import contextlib
import json
import os
import random
import socket
import struct
import subprocess
import threading
import time

import pytest

import apilib
from agentlib import Device
from apilib import Api, config, csr, raw_request
from keeperlib import BUILD


@pytest.fixture(scope="module")
def shared():
    with Device(config()) as d:
        yield d


@pytest.fixture
def api(shared):
    return Api(shared)


def test_too_large(api):
    head = b"POST /certificates?api-version=2020-09-01 HTTP/1.1\r\nconnection: close\r\n"
    answer = apilib.Answer(raw_request(api.socket("certd"),
                                       head + b"content-length: 65537\r\n\r\n"))
    assert answer.code == 413
    chunks = b"".join(b"1000\r\n" + b" " * 4096 + b"\r\n" for _ in range(40)) + b"0\r\n\r\n"
    raw = raw_request(api.socket("certd"), head + b"transfer-encoding: chunked\r\n\r\n" + chunks)
    assert raw.startswith(b"HTTP/1.1 413 ")
    raw = raw_request(api.socket("certd"), b"GET /metrics HTTP/1.1\r\nx: " + b"y" * 100000 +
                      b"\r\n\r\n")
    assert raw.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 4")) or raw == b""
    raw = raw_request(api.socket("certd"), b"GET /" + b"y" * 100000 + b" HTTP/1.1\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 4") or raw == b""
    assert api.certd("GET", "/metrics").code == 200


def test_slow_ones_are_cut_off_and_nobody_waits_for_them(api):
    """A byte a second does not make anybody less late."""
    starts, ends = time.monotonic(), {}

    def drip(name, data):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(api.socket("certd"))
            s.sendall(data)
            s.settimeout(0.5)
            got = b""
            while time.monotonic() - starts < 30:
                try:
                    s.sendall(b"x")
                    piece = s.recv(4096)
                    got += piece
                    if not piece:
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            ends[name] = (time.monotonic() - starts, got)

    post = b"POST /certificates?api-version=2020-09-01 HTTP/1.1\r\ncontent-length: 1000\r\n\r\n"
    threads = [threading.Thread(target=drip, args=a)
               for a in (("header", b"GET /metrics HTTP/1.1\r\nx: "), ("body", post))]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        began = time.monotonic()
        assert api.certd("GET", "/holdfast/v1/status").code == 200
        assert time.monotonic() - began < 2
    for t in threads:
        t.join()
    assert 4 < ends["header"][0] < 20 and 4 < ends["body"][0] < 20, ends
    assert ends["body"][1].startswith(b"HTTP/1.1 408 "), ends


def test_a_thousand_connections(shared, api):
    """Of one user: 32 are served, the next 32 are told so, the rest are hung up on."""
    crowd, codes = [], []
    try:
        for _ in range(1000):
            s = socket.socket(socket.AF_UNIX)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@qq", 20, 0))
            s.connect(api.socket("certd"))
            s.settimeout(20)
            crowd.append(s)
        for s in crowd:
            try:
                s.sendall(b"GET /metrics HTTP/1.1\r\nconnection: close\r\n\r\n")
                codes.append(s.recv(12)[9:])
            except OSError:
                codes.append(b"")
    finally:
        for s in crowd:
            s.close()
    assert set(codes) <= {b"200", b"429", b""} and codes.count(b"200") >= 32
    assert shared.agent.poll() is None
    shared.until(lambda: b"200" in raw_request(
        api.socket("certd"), b"GET /metrics HTTP/1.1\r\nconnection: close\r\n\r\n")[:15])
    assert len(os.listdir("/proc/%d/fd" % shared.worker())) < 60


def test_random_bytes(shared, api):
    rnd = random.Random(20)
    seeds = [b"POST /certificates?api-version=2020-09-01 HTTP/1.1\r\ncontent-length: 40\r\n\r\n" +
             b'{"certId": "x", "csr": "y", "issuer": 1}',
             b"GET /certificates/edge-ca?api-version=2020-09-01 HTTP/1.1\r\n\r\n"]
    for i in range(300):
        data = bytearray(rnd.choice(seeds)) if i % 3 else bytearray(rnd.randbytes(200))
        for _ in range(rnd.randrange(1, 6)):
            data[rnd.randrange(len(data))] = rnd.randrange(256)
        with contextlib.suppress(TimeoutError):  # it may be a request that goes on
            raw_request(api.socket(rnd.choice(["certd", "workload"])), bytes(data), timeout=1,
                        half_close=True)
    assert shared.agent.poll() is None and api.certd("GET", "/metrics").code == 200


def test_the_same_member_twice(api):
    body = ('{"certId": "twice", "certId": "edge-ca", "csr": %s, "issuer": {"certId": "edge-ca"}}'
            % json.dumps(csr())).encode()
    assert api.certd("POST", "/certificates", body).code == 400  # the last one counts: ours
    assert api.certd("GET", "/certificates/twice").code == 400


def test_a_second_agent_and_a_socket_that_was_left(shared):
    second = subprocess.run([os.path.join(BUILD, "src/agent/holdfast-agent"), "--root", shared.dir],
                            env=dict(shared.env), capture_output=True, text=True, timeout=30)
    assert second.returncode != 0 and "another holdfast-agent answers there" in second.stderr
    with Device(config()) as d:
        d.end(d.agent, 9)
        d.start_agent()
        assert Api(d).workload("GET", "/trust-bundle").code == 200
        d.stop_agent()
        os.mkdir(Api(d).socket("certd"))
        d.start_agent(ready=False)
        d.agent = None
        assert "is there and is no socket" in d.log()
        assert os.path.isdir(Api(d).socket("certd"))
