# SPDX-License-Identifier: Apache-2.0
"""From config.toml to certificates: what is configured is what the agent does."""
import datetime
import os
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agentlib import Device
from clilib import ALL
from keeperlib import until

CHAIN = """
[cert_issuance.local_ca.cert]
method = "self_signed"
expiry_days = 3650
[edge_ca]
method = "local_ca"
expiry_days = 60
[[credential]]
id = "web"
issuer = "edge-ca"
sans = ["DNS:pump-7.example.org"]
eku = ["serverAuth"]
days = 10
"""


def test_local_ca_issues_the_edge_ca():
    """Three levels, every key in the TPM, and each CA key signs no more than its profile says."""
    with Device(CHAIN) as d:
        until(lambda: all(os.path.exists(d.path(n + ".pem")) for n in ("local-ca", "edge-ca", "web")), 30)
        p = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile",
                            d.path("local-ca.pem"), "-untrusted", d.path("edge-ca.pem"), d.path("web.pem")],
                           capture_output=True, text=True)
        assert p.returncode == 0, p.stdout + p.stderr
        keys = {k["name"]: k for k in d.json("key", "list", "--root", d.dir)["keys"]}
        assert keys["local-ca"]["usage"] == ["ca"] == keys["edge-ca"]["usage"]
        assert keys["web"]["usage"] == ["sign"]


def test_certificates_without_a_key():
    """A root among the preloaded: watched, and nothing is asked of the broker."""
    with Device(start=False) as d:
        root = os.path.join(d.dir, "root.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-keyout", os.devnull, "-out", root, "-subj", "/CN=root", "-days", "9"],
                       check=True, capture_output=True)
        d.apply(f'[preloaded_certs]\nsite-root = "file://{root}"\n')
        d.start_broker()
        d.start_agent()
        until(lambda: d.credential("site-root")["state"] == "ok", 20)
        assert d.credential("site-root")["subject"] == "CN=root"
        os.unlink(root)
        d.wake()
        until(lambda: d.credential("site-root")["state"] != "ok", 20)


def test_files_of_a_pki_are_replaced_by_hand():
    """A new pair in the same files: config apply takes the key, the agent follows the certificate."""
    def make():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=vpn", "-days", "9"],
                       check=True, capture_output=True)

    with Device(start=False) as d:
        cert, key = os.path.join(d.dir, "vpn.pem"), os.path.join(d.dir, "vpn.key.pem")
        config = f'[[principal]]\nuid = {os.getuid()}\nkeys = ["vpn"]\nrights = {ALL}\n'
        config += f'[[credential]]\nid = "vpn"\nmethod = "files"\nfile = "{cert}"\nkey = "file://{key}"\n'
        make()
        d.apply(config)
        d.start_broker()
        d.apply(config)
        d.start_agent()
        until(lambda: d.credential("vpn")["state"] == "ok", 20)
        old = d.credential("vpn")["spki_sha256"]
        reference = d.path("vpn.key.pem")
        assert "HOLDFAST KEY REFERENCE" in open(reference).read()
        make()
        d.apply(config)
        d.wake()
        until(lambda: d.credential("vpn")["spki_sha256"] not in ("", old), 20)
        until(lambda: d.credential("vpn")["state"] == "ok", 20)
        env = dict(d.env, OPENSSL_CONF=os.path.join(d.dir, "openssl.cnf"),
                   LD_PRELOAD=os.environ.get("HOLDFAST_TEST_PRELOAD", ""))
        with open(env["OPENSSL_CONF"], "w") as f:
            f.write("openssl_conf = i\n[i]\nproviders = p\n[p]\ndefault = d\nholdfast = h\n[d]\nactivate = 1\n"
                    "[h]\nactivate = 1\n")
        public = subprocess.run(["openssl", "pkey", "-in", reference, "-pubout"], env=env, check=True,
                                capture_output=True).stdout
        shown = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-pubkey"], check=True,
                               capture_output=True).stdout
        assert public == shown


def pem(*certs):
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certs)


def test_what_is_wrong_with_a_file():
    """Each fault of a preloaded CA is said; what is right again is so at once."""
    root_key, other_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def make(name, public, issuer="root", key=root_key, start=-1, days=9, ca=True, sign=True):
        now = datetime.datetime.utcfromtimestamp(int(d.now()))
        cert = x509.CertificateBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), public,
            x509.random_serial_number(), now + datetime.timedelta(days=start),
            now + datetime.timedelta(days=days))
        cert = cert.add_extension(x509.BasicConstraints(ca, 0 if ca else None), True)
        if sign is not None:
            cert = cert.add_extension(x509.KeyUsage(True, False, False, False, False, sign, False,
                                                    False, False), True)
        return cert.sign(key, hashes.SHA256())

    def says(words, *certs):
        with open(file + ".new", "wb") as f:
            f.write(pem(*certs))
        os.rename(file + ".new", file)
        d.wake()
        d.until(lambda: words in d.credential("plant")["last"]["message"] if words else
                d.credential("plant")["state"] == "ok")

    with Device(start=False) as d:
        file = os.path.join(d.dir, "plant.pem")
        d.apply(f'[[principal]]\nuid = {os.getuid()}\nkeys = ["*"]\nrights = {ALL}\n'
                f'[[credential]]\nid = "plant"\nmethod = "files"\nca = true\nfile = "{file}"\n'
                'key = "holdfast:plant"\n')
        d.start_broker()
        d.cli("key", "create", "plant", "--usage", "ca")
        d.start_agent()
        public = serialization.load_pem_public_key(d.cli("key", "public", "plant").stdout.encode())
        root = make("root", root_key.public_key())
        good = make("plant", public)
        says("", good, root)
        says("not valid yet", make("plant", public, start=2))
        says("", good)
        says("it has ended", make("plant", public, start=-5, days=-1))
        says("not a CA's certificate", make("plant", public, ca=False, sign=False))
        says("not a CA's certificate", make("plant", public, sign=False))
        says("lacks keyCertSign", make("plant", public, sign=None))
        says("not for the key plant", make("plant", other_key.public_key()))
        says("has not issued the one before", good, make("root", other_key.public_key(), key=other_key))
        says("CN=root has ended", good, make("root", root_key.public_key(), start=-5, days=-1))
        says("", good, root)


@pytest.mark.root
@pytest.mark.parametrize("tests", ["test_agent_config.py", "test_agent.py"])
def test_with_the_rights_of_the_agent_alone(tests, tmp_path):
    """Root may do everything. Somebody else has what `config apply` grants the agent: the same
    tests have to pass."""
    p = subprocess.run(["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "/usr/bin/python3",
                        "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k",
                        "quickstart or new_key or same_key or orphan or local_ca or by_hand",
                        os.path.join(os.path.dirname(__file__), tests)],
                       env={k: v for k, v in os.environ.items() if k != "HOLDFAST_TEST_LEFT_OUT"} |
                       {"HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
                       capture_output=True, text=True, cwd="/", timeout=300)
    assert p.returncode == 0 and " passed" in p.stdout, p.stdout + p.stderr
    assert "skipped" not in p.stdout
