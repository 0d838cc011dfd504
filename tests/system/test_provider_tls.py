# SPDX-License-Identifier: Apache-2.0
"""TLS 1.2 and 1.3 with keys of holdfast on both sides, between two processes."""
import os
import subprocess
import time

import pytest

from provider_env import short_dir, stack_fixtures  # noqa: F401

KEYS = {"ec": ("ec-p256", "sign"), "ec384": ("ec-p384", "sign"), "rsa": ("rsa-2048", "sign"),
        "ed": ("ed25519", "sign")}
brokers, stack, broker, openssl = stack_fixtures(KEYS)


def certificate(openssl, key):
    openssl("req", "-x509", "-new", "-key", f"holdfast:{key}", "-subj", "/CN=localhost", "-out",
            f"{key}.pem")


def wait_for(path, process):
    deadline = time.monotonic() + 20
    while not os.path.exists(path):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def handshake(openssl, socket, version, server, client, server_env=None, client_env=None):
    """A mutual handshake; returns what the client has to say about it."""
    args = ["openssl", "s_server", "-unix", socket, "-unlink", "-naccept", "1", "-cert",
            f"{server[0]}.pem", "-key", server[1], "-CAfile", f"{client[0]}.pem", "-Verify", "1",
            "-verify_return_error", f"-{version}", "-brief"]
    s = subprocess.Popen(args, cwd=openssl.dir, env=dict(openssl.environ, **(server_env or {})),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_for(socket, s)
        r = openssl.run("openssl", "s_client", "-unix", socket, "-cert", f"{client[0]}.pem", "-key",
                        client[1], "-CAfile", f"{server[0]}.pem", "-verify_return_error",
                        f"-{version}", "-brief", input=b"Q\n", env=client_env)
        s.stdin.close()
        out, err = s.stdout.read(), s.stderr.read()
        assert s.wait(20) == 0, (out, err, r.errors)
    finally:
        s.kill()
        s.wait()
    assert r.code == 0, r.errors
    assert "Verification: OK" in r.errors, r.errors
    assert b"Peer certificate" in err, err
    return r.errors


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
@pytest.mark.parametrize("server,client", [("ec", "rsa"), ("rsa", "ec"), ("ec384", "ec"),
                                           ("ed", "ed")])
def test_mutual(openssl, short_dir, version, server, client):  # noqa: F811
    for key in {server, client}:
        certificate(openssl, key)
    said = handshake(openssl, f"{short_dir}/tls", version, (server, f"holdfast:{server}"),
                     (client, openssl.reference(client)))
    if server == "rsa" and version == "tls1_3":
        assert "RSA-PSS" in said


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
@pytest.mark.parametrize("ours", ["server", "client"])
def test_against_software(openssl, short_dir, version, ours):  # noqa: F811
    """The other side has never heard of holdfast."""
    certificate(openssl, "rsa")
    openssl.plain("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                  "-keyout", "soft.key", "-subj", "/CN=localhost", "-out", "soft.pem")
    ref = openssl.reference("rsa")
    plain = {"OPENSSL_CONF": "/etc/ssl/openssl.cnf"}
    if ours == "server":
        handshake(openssl, f"{short_dir}/tls", version, ("rsa", ref), ("soft", "soft.key"),
                  client_env=plain)
    else:
        handshake(openssl, f"{short_dir}/tls", version, ("soft", "soft.key"), ("rsa", ref),
                  server_env=plain)


def test_software_keys_with_us_around(openssl, short_dir):  # noqa: F811
    for algorithm, name in (("ec", "e"), ("rsa", "r")):
        opts = ["-pkeyopt", "ec_paramgen_curve:P-256"] if name == "e" else []
        openssl("req", "-x509", "-newkey", algorithm, *opts, "-nodes", "-keyout", f"{name}.key",
                "-subj", "/CN=localhost", "-out", f"{name}.pem")
    for version in ("tls1_2", "tls1_3"):
        handshake(openssl, f"{short_dir}/tls", version, ("e", "e.key"), ("r", "r.key"))


PYTHON_SSL = """
import ssl, sys
cert, key = sys.argv[1:3]
server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cert)
client = ssl.create_default_context(cafile=cert)
for c in server, client:
    c.load_cert_chain(cert, key)
server.verify_mode = ssl.CERT_REQUIRED
client.check_hostname = False
a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
s = server.wrap_bio(a, b, server_side=True)
c = client.wrap_bio(b, a)
done = set()
while len(done) < 2:
    for side in (c, s):
        try:
            side.do_handshake()
            done.add(side)
        except ssl.SSLWantReadError:
            pass
c.write(b"x")
assert s.read() == b"x" and s.getpeercert()
print(c.version())
"""


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_python_ssl_takes_a_reference_for_a_key_file(openssl, key):
    certificate(openssl, key)
    r = openssl.run("/usr/bin/python3", "-c", PYTHON_SSL, f"{key}.pem", openssl.reference(key))
    assert r.code == 0, r.errors
    assert "TLSv1.3" in r.text


def test_python_ssl_takes_a_bundle(openssl):
    """haproxy's way: certificate and key in one file, in either order."""
    certificate(openssl, "ec")
    ref = openssl.read(openssl.reference("ec"))
    for n, parts in enumerate(([openssl.read("ec.pem"), ref], [ref, openssl.read("ec.pem")])):
        bundle = openssl.file(f"bundle{n}.pem", b"".join(parts))
        r = openssl.run("/usr/bin/python3", "-c", PYTHON_SSL, bundle, bundle)
        assert r.code == 0, r.errors
