# SPDX-License-Identifier: Apache-2.0
"""nginx with clients all the time, while the broker below it is killed again and again."""
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from brokerlib import Broker
from keeperlib import BUILD, ROOT, Swtpm, until

RATE = 50  # clients per second
CLIENTS = 10
APART = 0.3  # seconds from a broker that is ready to its end
PAUSE = 0.1  # seconds before it is started again, RestartSec= of systemd
NGINX = """
daemon off;
master_process on;
worker_processes 2;
%(user)spid %(dir)s/nginx.pid;
error_log %(dir)s/error.log info;
env OPENSSL_MODULES;
env HOLDFAST_SOCKET;
events { worker_connections 512; }
http {
	access_log off;
	ssl_session_cache off;
	ssl_session_tickets off;
	server {
		listen unix:%(dir)s/tls ssl;
		ssl_protocols TLSv1.2 TLSv1.3;
		ssl_certificate %(dir)s/web.pem;
		ssl_certificate_key %(dir)s/web.key.pem;
		location / { return 200 "hello"; }
	}
}
"""
# What systemd does: the socket is there all the time, the program gets it as descriptor 3.
ACTIVATE = 'exec 3<&"$1"; shift; LISTEN_FDS=1 LISTEN_FDNAMES=main LISTEN_PID=$$ exec "$@"'


class Activated(Broker):
    """Its socket belongs to somebody else, and outlives it."""

    def __init__(self, **settings):
        super().__init__(**settings)
        os.makedirs(os.path.dirname(self.socket))
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listening.bind(self.socket)
        self.listening.listen(128)

    def command(self, ready):
        assert ready != 3
        return (["/bin/bash", "-c", ACTIVATE, "bash", str(self.listening.fileno()),
                 *super().command(ready)[0]], [self.listening.fileno()])


def handshake(path, context):
    """One client: connects, checks the server's signature and certificate, asks, leaves."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(path)
        with context.wrap_socket(s, server_hostname="web.local") as t:
            t.sendall(b"GET / HTTP/1.1\r\nHost: web.local\r\nConnection: close\r\n\r\n")
            got = b""
            while piece := t.recv(4096):
                got += piece
            assert got.endswith(b"hello"), got


def visitor(n, path, cafile, begin, stop, results):
    """Comes RATE / CLIENTS times a second; (when, until when, what went wrong) of each visit."""
    context = ssl.create_default_context(cafile=cafile)
    context.maximum_version = ssl.TLSVersion.TLSv1_3 if n % 2 else ssl.TLSVersion.TLSv1_2
    i = 0
    while not stop.is_set():
        if stop.wait(max(0, begin + (i * CLIENTS + n) / RATE - time.monotonic())):
            return
        i += 1
        since, wrong = time.monotonic(), ""
        try:
            handshake(path, context)
        except (OSError, AssertionError) as e:  # ssl.SSLError is an OSError
            wrong = "%s: %s" % (type(e).__name__, e)
        results.append((since, time.monotonic(), wrong))


@contextlib.contextmanager
def nginx(directory, env):
    user = "user root;\n" if not os.getuid() else ""
    with open(os.path.join(directory, "nginx.conf"), "w") as f:
        f.write(NGINX % {"dir": directory, "user": user})
    with open(os.path.join(directory, "nginx.out"), "wb") as out:
        p = subprocess.Popen(["/usr/sbin/nginx", "-p", directory, "-c",
                              os.path.join(directory, "nginx.conf")], env=env, stdout=out,
                             stderr=out, stdin=subprocess.DEVNULL)
    try:
        until(lambda: os.path.exists(os.path.join(directory, "tls")) or p.poll() is not None)
        assert p.poll() is None, open(os.path.join(directory, "nginx.out")).read()
        yield p
    finally:
        p.send_signal(signal.SIGQUIT)
        p.wait(30)


def certify(directory, env):
    holdfast = os.path.join(BUILD, "src", "cli", "holdfast")
    for command in (["openssl", "req", "-x509", "-new", "-key", "holdfast:web", "-subj",
                     "/CN=web.local", "-addext", "subjectAltName=DNS:web.local", "-days", "2",
                     "-out", "web.pem"],
                    [holdfast, "key", "reference", "web", "--cert", "web.pem", "--out",
                     "web.key.pem"]):
        subprocess.run(command, env=env, check=True, cwd=directory, capture_output=True)


def kill_service(b):
    """SIGKILL to the warden, which takes all with it; started again as systemd does."""
    b.stop(signal.SIGKILL)
    time.sleep(PAUSE)
    b.start()


def kill_broker(b):
    """SIGKILL to the process that clients are connected to, which the warden replaces."""
    pid = b.pid("holdfastd")
    os.kill(pid, signal.SIGKILL)
    until(lambda: b.children().get("holdfastd", pid) != pid)


def serves(b):
    """Whether the broker is there, and its token."""
    try:
        with contextlib.closing(b.client()) as c:
            return c.call(token_list={}).token_list.tokens[0].state == 1
    except (OSError, AssertionError):  # it was the one that dies who let us in
        return False


KILLS = {"service": kill_service, "broker": kill_broker}


def kill_it(b, kill, kills):
    """When it was away, each time."""
    windows = []
    for _ in range(kills):
        time.sleep(APART)
        since = time.monotonic()
        kill(b)
        until(lambda: serves(b))
        windows.append((since, time.monotonic()))
    return windows


def away(windows, visit):
    """Whether the broker was away, or not yet back, at some time of a visit."""
    return any(since <= visit[1] and visit[0] <= back for since, back in windows)


def restarts(kills, activated, what):
    directory = tempfile.mkdtemp(prefix="hf-nginx.", dir="/tmp")
    with contextlib.closing(Swtpm()) as tpm, \
            (Activated if activated else Broker)(tcti=tpm.tcti) as b:
        assert b.client().create("web").status == 0
        with open(os.path.join(directory, "openssl.cnf"), "w") as f:
            f.write(".include /etc/ssl/openssl.cnf\n.include %s/dist/openssl-holdfast.cnf\n" % ROOT)
        env = dict(os.environ, OPENSSL_MODULES=os.path.join(BUILD, "provider"),
                   HOLDFAST_SOCKET=b.socket,
                   OPENSSL_CONF=os.path.join(directory, "openssl.cnf"))
        certify(directory, env)
        results, stop = [], threading.Event()
        with nginx(directory, env):
            begin = time.monotonic()
            visitors = [threading.Thread(target=visitor, args=(
                n, os.path.join(directory, "tls"), os.path.join(directory, "web.pem"), begin, stop,
                results)) for n in range(CLIENTS)]
            for v in visitors:
                v.start()
            try:
                windows = kill_it(b, KILLS[what], kills)
                time.sleep(APART)
            finally:
                stop.set()
                for v in visitors:
                    v.join()
        failed = [r for r in results if r[2]]
        out = {"what": what, "activated": activated, "kills": kills,
               "visits": len(results), "seconds": time.monotonic() - begin,
               "failed": len(failed), "failed_outside": sum(not away(windows, r) for r in failed),
               # How it shows at a client that a signature is not the certificate's key's.
               "wrong": sum("signature" in r[2].lower() for r in failed),
               "said": sorted({r[2] for r in failed})[:5],
               "away_ms": sorted((1000 * (y - x) for x, y in windows))[len(windows) // 2],
               "longest_visit_ms": 1000 * max(r[1] - r[0] for r in results)}
        out["holds"] = (not out["wrong"] and not out["failed_outside"]
                        and (not activated or not failed) and len(results) > kills)
    shutil.rmtree(directory)
    return out
