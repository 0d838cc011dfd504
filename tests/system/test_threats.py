# SPDX-License-Identifier: Apache-2.0
"""What docs/THREAT-MODEL.md calls tested and no other test looks at."""
import os
import pwd
import re
import socket
import subprocess

import pytest

from brokerlib import Broker
from keeperlib import BUILD, pb, until

CLI = os.path.join(BUILD, "src", "cli", "holdfast")


@pytest.mark.root
def test_a_socket_that_somebody_else_serves_is_not_the_broker(tmp_path):
    """The kernel says who called listen(): here a user who is neither root, nor us, nor aziotks."""
    path = "/tmp/hf-false.%d" % os.getpid()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.setuid(pwd.getpwnam("nobody").pw_uid)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.bind(path)
            s.listen()
            os.write(write, b"x")
            peer, _ = s.accept()
            os._exit(1 if peer.recv(100) else 0)  # nothing may be said to it
    try:
        assert os.read(read, 1) == b"x"
        p = subprocess.run([CLI, "--socket", path, "key", "list"], capture_output=True, text=True)
        assert p.returncode == 3 and "this is not the holdfast broker" in p.stderr, p.stderr
        assert os.waitpid(child, 0)[1] == 0
    finally:
        os.unlink(path)


def test_a_client_cannot_write_lines_into_the_log():
    forged = 'x" result=0\nholdfastd: audit seq=1 uid=0 pid=1 key="edge-ca'
    with Broker() as b:
        c = b.client()
        for _ in range(3):
            assert c.call(key_get=pb.KeyGet(key=pb.KeyRef(name=forged))).status == pb.NO_KEY
        lines = [line for line in b.text().splitlines() if "audit" in line]
    assert len(lines) == 3
    assert [re.search(r"audit seq=(\d+) uid=(\d+) ", line).groups() for line in lines] == [
        (str(n), str(os.getuid())) for n in (1, 2, 3)]
    assert all(re.search(r" result=4 us=\d+$", line) for line in lines), lines


def test_a_flood_of_one_socket_does_not_close_another(tmp_path):
    """Limits are by user and socket: whoever fills his own leaves the others room."""
    second = str(tmp_path / "s")
    b = Broker(limits={"connections": 100, "connections_per_principal": 5, "queue_per_principal": 64,
                       "idle_s": 0})
    b.settings["sockets"].append({"name": "second", "path": second, "owner": "", "group": "",
                                  "mode": 0o600})
    b.settings["principals"].append(dict(b.settings["principals"][0], socket="second"))
    b.configure()
    with b, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(second)
        for n in (1, 2):
            mine = [b.client(hello=False) for _ in range(5)]  # at work: they have only just come
            late = b.client(hello=False)
            assert late.reply().status == pb.BUSY
            s.send(pb.Request(id=n, hello=pb.Hello(version=1)).SerializeToString())
            assert pb.Reply.FromString(s.recv(65536)).status == pb.OK
            for c in mine:
                c.close()
            until(lambda: b.client().call(status_get=pb.StatusGet()).status_reply.connections == 2)


def test_what_the_threat_model_names_is_there():
    """Each `test_x.py` and `test_x.py::name` of docs/THREAT-MODEL.md."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "..", "..", "docs", "THREAT-MODEL.md")) as f:
        named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", f.read())
    assert len(named) >= 6
    for name, test in named:
        with open(os.path.join(here, name)) as f:
            assert not test or "def %s(" % test in f.read(), (name, test)
