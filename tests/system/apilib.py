# SPDX-License-Identifier: Apache-2.0
"""A client of the agent's HTTP sockets, and certificate requests to send there."""
import ipaddress
import json
import os
import socket
import subprocess
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CERTD = "api-version=2020-09-01"
WORKLOAD = "api-version=2019-11-05"
MANUAL = """
[provisioning]
source = "manual"
iothub_hostname = "hub.example"
device_id = "dev1"
authentication = { method = "sas", device_id_pk = { value = "AAAA" } }
"""


class Answer:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.head = len(head) + 4
        self.code = int(first.split(" ")[1])
        self.headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        assert self.headers.get("content-length", "0") == str(len(self.body)), raw

    @property
    def json(self):
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def message(self):
        assert list(self.json) == ["message"]
        return self.json["message"]


def raw_request(path, data, timeout=30, half_close=False):
    """Everything that comes back for these bytes."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(path)
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        got = b""
        try:
            while piece := s.recv(65536):
                got += piece
        except ConnectionResetError:
            pass
        return got


def request(path, method, target, body=None, content_type="application/json", timeout=60):
    """As IoT Edge's clients do it: no Host, lower-case names."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    head = "%s %s HTTP/1.1\r\nconnection: close\r\n" % (method, target)
    if body is not None:
        head += "content-length: %d\r\n" % len(data)
        head += "content-type: %s\r\n" % content_type if content_type else ""
    return Answer(raw_request(path, head.encode() + b"\r\n" + data, timeout))


class Api:
    """The sockets of a device (agentlib.Device)."""

    def __init__(self, device):
        self.dir = os.path.join(device.dir, "run", "agent")

    def socket(self, name):
        return os.path.join(self.dir, name + ".sock")

    def certd(self, method, target, body=None, **how):
        if "?" not in target and target.startswith("/certificates"):
            target += "?" + CERTD
        return request(self.socket("certd"), method, target, body, **how)

    def workload(self, method, target, body=None, **how):
        return request(self.socket("workload"), method,
                       target + ("" if "?" in target else "?" + WORKLOAD), body, **how)

    def server(self, module, genid="1", cn="edgehub.local", **body):
        return self.workload("POST", "/modules/%s/genid/%s/certificate/server" % (
            quote(module, safe="$"), quote(genid, safe="")), dict(body, commonName=cn))

    def identity(self, module, **body):
        return self.workload("POST", "/modules/%s/certificate/identity" % quote(module, safe="$"),
                             body or None)


def new_key(key=None):
    return key or ec.generate_private_key(ec.SECP256R1())


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


def csr(key=None, cn="client", extensions=(), digest=None):
    """PEM of a request of `key`."""
    key = new_key(key)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else [])
    build = x509.CertificateSigningRequestBuilder().subject_name(name)
    for extension, critical in extensions:
        build = build.add_extension(extension, critical)
    return build.sign(key, digest or hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM).decode()


def sans(*names):
    out = []
    for name in names:
        try:
            out.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            out.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(out), False


def chain(text):
    end = "-----END CERTIFICATE-----\n"
    return [x509.load_pem_x509_certificate((part + end).encode())
            for part in text.split(end) if part.strip()]


def verify(text, directory, at=None, purpose=None):
    """openssl verify -x509_strict of a leaf and its chain, trusting the last of it."""
    certificates = chain(text)
    for name, part in (("leaf", certificates[:1]), ("rest", certificates[1:])):
        with open(os.path.join(directory, name), "wb") as f:
            for c in part:
                f.write(c.public_bytes(serialization.Encoding.PEM))
    rest = os.path.join(directory, "rest")
    extra = ["-attime", str(int(at))] if at else []
    extra += ["-purpose", purpose] if purpose else []
    p = subprocess.run(["openssl", "verify", "-x509_strict", "-check_ss_sig", "-partial_chain",
                        "-trusted", rest, *extra, os.path.join(directory, "leaf")],
                       capture_output=True, text=True)
    assert p.returncode == 0, (p.stdout, p.stderr)
    return certificates[0]


def config(keys="csr", more="", top="", algorithm="ec-p256"):
    return '%s\n%s\n[module]\nkeys = "%s"\nalgorithm = "%s"\n%s' % (
        top, MANUAL, keys, algorithm, more)


def create(api, name="aziot-edged/module/m:1:server", text=None, **body):
    return api.certd("POST", "/certificates", dict({
        "certId": name, "csr": text or csr(extensions=[sans("m.example", "192.0.2.1")]),
        "issuer": {"certId": "aziot-edged-ca", "privateKeyHandle": "sr=x&sig=y"}}, **body))
