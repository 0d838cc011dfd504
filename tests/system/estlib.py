# SPDX-License-Identifier: Apache-2.0
"""Running holdfast-est on a job, with keys in a real broker on a software TPM."""
import json
import os
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from badest import CLIENT, ROOT_CA
from estpki import Cert
from keeperlib import BUILD

EST = os.path.join(BUILD, "src", "est", "holdfast-est")
CODES = {"ok": 0, "pending": 4, "busy": 4, "network": 4, "tls": 1, "auth": 3, "refused": 1,
         "server": 4, "protocol": 1, "answer": 1, "key": 4, "job": 2, "internal": 1}

def environment(broker, **more):
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HOLDFAST_", "OPENSSL_"))}
    return dict(keep, OPENSSL_MODULES=os.path.join(BUILD, "provider"),
                **({"HOLDFAST_SOCKET": broker.path} if broker else {}), **more)

def run(job, broker=None, around=(), **more):
    """The result, which has to agree with the exit status. @around: a command that runs it."""
    text = job if isinstance(job, bytes) else json.dumps(job).encode()
    p = subprocess.run([*around, EST], input=text, capture_output=True, timeout=60,
                       env=environment(broker, **more))
    assert p.stdout, p.stderr.decode()
    result = json.loads(p.stdout)

    assert p.returncode == CODES[result["status"]], (p.returncode, result, p.stderr.decode())
    assert "runtime error" not in p.stderr.decode() and "Sanitizer" not in p.stderr.decode()
    return result

def enroll(server, **changes):
    job = {"version": 1, "op": "enroll", "url": server.url if server else "",
           "trust": {"mode": "pinned", "pem": ROOT_CA.pem}, "key": "holdfast:dev",
           "subject": "CN=device-1", "sans": ["DNS:device-1.example"], "eku": ["clientAuth"],
           "timeout_ms": 20000}
    job.update(changes)
    return {k: v for k, v in job.items() if v is not None}

def public(broker, name):
    return serialization.load_der_public_key(broker.keys[name].current.spki)

def client_cert(broker, issuer=ROOT_CA, key="cl", **more):
    return Cert("factory-1", issuer, public=public(broker, key), eku=(CLIENT,), **more)

def leaf(result):
    return x509.load_pem_x509_certificate(result["certificates_pem"].encode())

def chain(result, member="certificates_pem"):
    end = "-----END CERTIFICATE-----\n"
    return [x509.load_pem_x509_certificate((p + end).encode())
            for p in result[member].split(end) if p.strip()]
