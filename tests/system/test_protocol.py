# SPDX-License-Identifier: Apache-2.0
"""docs/PROTOCOL.md: the client it points to works, and what it says is what the wire is."""
import os
import re
import subprocess

import pytest

from brokerlib import Broker
from keeperlib import ROOT, Swtpm, pb

CLIENT = os.path.join(ROOT, "tests", "protocol_client.py")
with open(os.path.join(ROOT, "docs", "PROTOCOL.md")) as text:
    DOC = text.read()


def section(title, level=2):
    return re.search(r"^%s %s\n(.*?)(?=^%s |\Z)" % ("#" * level, re.escape(title), "#{2,%d}" % level),
                     DOC, re.S | re.M).group(1)


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
            if line.startswith("| ")]


@pytest.fixture(scope="module")
def broker():
    tpm = Swtpm()
    try:
        with Broker(tcti=tpm.tcti) as b:
            yield b
    finally:
        tpm.close()


def run(tmp_path, *args):
    subprocess.run(["protoc", "-I", ROOT + "/src/wire", "--python_out", str(tmp_path),
                    ROOT + "/src/wire/holdfast.proto"], check=True)
    return subprocess.run(["/usr/bin/python3", CLIENT, *args], capture_output=True, text=True,
                          timeout=60, env=dict(os.environ, PYTHONPATH=str(tmp_path)))


def test_the_client(broker, tmp_path):
    client = broker.client()
    for name in ("one", "two"):
        assert client.create(name).status == pb.OK
    (tmp_path / "file").write_bytes(b"some bytes")
    p = run(tmp_path, broker.socket, "two", str(tmp_path / "file"))
    assert p.returncode == 0, p.stderr
    assert re.match(r"one ec-p256 [0-9a-f]{64}\ntwo ec-p256 [0-9a-f]{64}\nsigned with two and verified: 30",
                    p.stdout), p.stdout
    p = run(tmp_path, broker.socket, "three", str(tmp_path / "file"))
    assert p.returncode == 1 and p.stderr.startswith("NO_KEY: "), p.stderr


def test_the_client_is_short():
    with open(CLIENT) as f:
        assert len(f.readlines()) <= 40


def test_every_operation_has_the_same_headings():
    operations = [f.name for f in pb.Request.DESCRIPTOR.oneofs_by_name["op"].fields]
    assert re.findall(r"^### (\w+)$", section("Operations"), re.M) == operations
    for name in operations:
        heads = re.findall(r"^- (\w+):", section(name, 3), re.M)
        assert heads == ["Request", "Reply", "Right", "Errors"], name


def test_every_status_is_told():
    told = [row[0].split() for row in rows(section("Requests and replies")) if row[0] != "status"]
    assert [(name, int(number)) for number, name in told] == pb.Status.items()


def test_the_tables_are_those_of_the_code():
    with open(os.path.join(ROOT, "src", "wire", "mech.c")) as f:
        code = f.read()
    told = {row[0] for row in rows(section("Tables"))} - {"algorithm", "scheme"}
    assert told == set(re.findall(r'^\s*\{ "([a-z0-9-]+)", HF_FAMILY', code, re.M))


def test_the_limits_are_those_of_the_code():
    with open(os.path.join(ROOT, "src", "wire", "holdfast.options")) as f:
        bounds = dict(re.findall(r"^(\S+) max_(?:size|length):(\d+)", f.read(), re.M))
    told = {row[0]: row[1].split()[0] for row in rows(section("Limits"))}
    assert told["`data` of sign"] == str(defined("HF_DATA_MAX"))
    assert told["`certificate` of key_issuer"] == bounds["hf.KeyIssuer.certificate"]
    assert told["names"] == bounds["*.name"]
    assert told["packet"] == str(defined("HF_PACKET_MAX"))


def defined(name):
    with open(os.path.join(ROOT, "src", "wire", "packet.h")) as f:
        return int(re.search(r"define %s\s+(\d+)" % name, f.read()).group(1))


def test_the_example_bytes():
    found = re.findall(r"^(request|reply)\s+((?:[0-9a-f]{2}\s+)+)", DOC, re.M)
    packets = [(kind, bytes.fromhex(text)) for kind, text in found]
    assert len(packets) == 4
    assert pb.Request.FromString(packets[0][1]) == pb.Request(
        id=1, hello=pb.Hello(version=1, software="example"))
    assert pb.Reply.FromString(packets[1][1]).hello.packet_max == defined("HF_PACKET_MAX")
    assert pb.Request.FromString(packets[2][1]) == pb.Request(id=2, sign=pb.Sign(
        key=pb.KeyRef(name="device-id"), scheme="ecdsa-sha256", data=bytes(range(32))))
    assert pb.Reply.FromString(packets[3][1]).status == pb.NO_KEY


def test_a_conversation_as_described(broker):
    """Order, ids, what is answered and what is closed."""
    c = broker.client(hello=False)
    c.send(key_list=pb.KeyList())
    assert c.reply().status == pb.PROTOCOL
    assert c.sock.recv(10) == b""
    c = broker.client()
    assert c.create("conversation").status in (pb.OK, pb.EXISTS)
    assert c.create("conversation").status == pb.EXISTS
    ids = {c.send(sign=pb.Sign(key=pb.KeyRef(name="conversation"), scheme="ecdsa-sha256",
                               data=bytes(32))) for _ in range(8)}
    assert {c.reply().id for _ in ids} == ids
    assert c.call(sign=pb.Sign(key=pb.KeyRef(name="conversation"), scheme="ecdsa-sha256",
                               data=bytes(31))).status == pb.ARGUMENT
    c.sock.send(pb.Request(id=77).SerializeToString() + b"\xfa\x3e\x00")  # field 1007, of tomorrow
    reply = c.reply()
    assert (reply.id, reply.status) == (77, pb.UNSUPPORTED)
    stage = pb.KeyStage(name="conversation", transaction=b"t" * 16)
    assert c.call(key_stage=stage).key.spki_sha256 == c.call(key_stage=stage).key.spki_sha256
    for packet in (b"\xff" * 100, pb.Request(key_list=pb.KeyList()).SerializeToString()):
        c = broker.client()
        c.sock.send(packet)  # the second has no number
        reply = c.reply()
        assert (reply.id, reply.status) == (0, pb.PROTOCOL)
        assert c.sock.recv(10) == b""
    assert "0" in reply.message
