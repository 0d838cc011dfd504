# SPDX-License-Identifier: Apache-2.0
"""The agent's HTTP API: certd's and the workload API's shapes, module certificates, strangers."""
import json
import os
import socket
import ssl
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
from cryptography.x509.oid import NameOID

import apilib
from agentlib import DAY, Device, spki_of
from apilib import Api, chain, config, create, csr, new_key, sans, verify

NOBODY = 12345  # a uid that no table has


@pytest.fixture(scope="module")
def shared():
    with Device(config()) as d:
        yield d


@pytest.fixture
def api(shared):
    return Api(shared)


def extension(cert, kind):
    return cert.extensions.get_extension_for_class(kind)


def names_of(cert):
    return [str(n.value) for n in extension(cert, x509.SubjectAlternativeName).value]


def common_name(cert):
    return cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


def check_leaf(cert, use):
    constraints, usage = extension(cert, x509.BasicConstraints), extension(cert, x509.KeyUsage)
    assert constraints.critical and constraints.value == x509.BasicConstraints(False, None)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert list(extension(cert, x509.ExtendedKeyUsage).value) == use
    extension(cert, x509.SubjectKeyIdentifier)
    extension(cert, x509.AuthorityKeyIdentifier)
    assert cert.serial_number.bit_length() == 127 and cert.version is x509.Version.v3


# ---------------------------------------------------------------- modules

@pytest.mark.parametrize("module, cn, names", [
    ("$edgeHub", "gateway.example", ["gateway.example", "edgeHub"]),
    ("camera", "192.0.2.7", ["192.0.2.7", "camera"]),
    ("camera", "2001:db8::1", ["2001:db8::1", "camera"]),
    ("camera", "camera", ["camera"]),
    ("camera", "*.example", ["*.example", "camera"]),
])
def test_server_certificate(shared, api, module, cn, names):
    key = new_key()
    answer = api.server(module, cn=cn, csr=csr(key, "whatever"))
    assert answer.code == 201 and sorted(answer.json) == ["certificate", "expiration"]
    cert = verify(answer.json["certificate"], shared.dir, purpose="sslserver")
    check_leaf(cert, [EKU.SERVER_AUTH])
    assert names_of(cert) == names and common_name(cert) == cn
    assert spki_of(cert) == spki_of_key(key)
    assert answer.json["expiration"] == cert.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    life = cert.not_valid_after - cert.not_valid_before
    assert 30 * DAY <= life.total_seconds() <= 30 * DAY + 600  # 30 days, and five minutes back
    assert chain(answer.json["certificate"])[1] == shared.cert()
    # and again by GET
    again = api.workload("GET", "/modules/%s/genid/1/certificate/server" % module)
    assert again.code == 200 and again.json == answer.json


def spki_of_key(key):
    return key.public_key().public_bytes(serialization.Encoding.DER,
                                         serialization.PublicFormat.SubjectPublicKeyInfo)


def test_long_common_name_is_in_the_san(shared, api):
    long = ".".join(["a" * 60] * 3)
    cert = verify(api.server("camera", cn=long, csr=csr()).json["certificate"], shared.dir)
    assert names_of(cert) == [long, "camera"] and common_name(cert) == long[:64]
    answer = api.server("camera", cn="x" * 300, csr=csr())
    assert answer.code == 400 and "commonName" in answer.message


def test_identity_certificate(shared, api):
    answer = api.identity("$edgeHub", csr=csr(rsa.generate_private_key(65537, 2048)))
    assert answer.code == 201
    cert = verify(answer.json["certificate"], shared.dir, purpose="sslclient")
    check_leaf(cert, [EKU.CLIENT_AUTH])
    san = extension(cert, x509.SubjectAlternativeName).value
    assert list(san) == [x509.UniformResourceIdentifier(
        "azureiot://hub.example/devices/dev1/modules/$edgeHub")]
    assert common_name(cert) == "$edgeHub"
    assert extension(cert, x509.KeyUsage).value.key_encipherment  # an RSA key


@pytest.mark.parametrize("body, code, said", [
    ({}, 422, "commonName"), ({"commonName": 7}, 422, "commonName"),
    ({"commonName": ""}, 400, "empty"), ({"commonName": "a b"}, 400, "printable"),
    ({"commonName": "a\x00b"}, 422, "commonName"), ({"commonName": "a..b"}, 400, "neither"),
    ({"commonName": "a", "csr": "junk"}, 400, "no PEM"),
    ({"commonName": "a", "csr": 1}, 422, "csr"), ({"commonName": "a"}, 400, "send a certificate"),
    ({"commonName": "a", "csr": "x" * 20000}, 400, "larger"),
    (b"", 400, "missing request body"), (b"{", 422, "body"), (b"[]", 422, "object"),
    (b"{} {}", 422, "body"), (b"\x00", 422, "body"), (b"[" * 10000, 422, "body"),
])
def test_server_requests_that_are_refused(api, body, code, said):
    answer = api.workload("POST", "/modules/m/genid/1/certificate/server", body)
    assert answer.code == code and said in answer.message, answer.body


def bad_csrs():
    good = csr()
    lines = good.splitlines()
    middle = bytearray(lines[2].encode())
    middle[10] = ord("A") if middle[10] != ord("A") else ord("B")
    yield "weak", csr(rsa.generate_private_key(65537, 1024)), "no certificate for a key"
    yield "curve", csr(ec.generate_private_key(ec.SECP256K1())), "no certificate for a key"
    yield "changed", "\n".join([lines[0], lines[1], middle.decode(), *lines[3:], ""]), "csr"
    yield "cut", good[:150], "no PEM"


@pytest.mark.parametrize("request_", [pytest.param(c[1:], id=c[0]) for c in bad_csrs()])
def test_requests_with_bad_keys(api, request_):
    text, said = request_
    for answer in (api.server("m", csr=text),
                   api.certd("POST", "/certificates", {"certId": "x", "csr": text,
                                                       "issuer": {"certId": "edge-ca"}})):
        assert answer.code == 400 and said in answer.message, answer.body


def test_symmetric_keys_and_lists_of_modules_are_not_ours(api):
    for verb in ("sign", "encrypt", "decrypt"):
        answer = api.workload("POST", "/modules/m/genid/1/" + verb, {"data": "AAAA"})
        assert answer.code == 400 and "aziot-edged" in answer.message
    assert api.workload("GET", "/modules").code == 400


def test_trust_bundle(shared, api):
    answer = api.workload("GET", "/trust-bundle")
    assert answer.code == 200 and chain(answer.json["certificate"]) == [shared.cert()]
    assert api.workload("GET", "/manifest-trust-bundle").json == {"certificate": ""}
    for name in ("trust-bundle", "aziot-edged-trust-bundle"):
        assert api.certd("GET", "/certificates/" + name).json == {"pem": answer.json["certificate"]}


# ---------------------------------------------------------------- certd

def test_certificates(shared, api):
    answer = create(api)
    assert answer.code == 201 and list(answer.json) == ["pem"]
    cert = verify(answer.json["pem"], shared.dir)
    check_leaf(cert, [EKU.SERVER_AUTH, EKU.CLIENT_AUTH])
    assert names_of(cert) == ["m.example", "192.0.2.1"] and common_name(cert) == "client"
    at = "/certificates/aziot-edged%2Fmodule%2Fm:1:server"
    assert api.certd("GET", at).json == answer.json
    # Put replaces it, delete removes it, and twice is fine.
    other = create(api, "other").json
    put = api.certd("PUT", at, other)
    assert put.code == 201 and put.json == other and api.certd("GET", at).json == other
    for _ in range(2):
        gone = api.certd("DELETE", at)
        assert gone.code == 204 and not gone.body and "content-type" not in gone.headers
    assert api.certd("GET", at).code == 400
    # What is configured is read by its id and by IoT Edge's name for it.
    for name in ("edge-ca", "aziot-edged-ca"):
        assert chain(api.certd("GET", "/certificates/" + name).json["pem"])[0] == shared.cert()
        for answer in (create(api, name), api.certd("PUT", "/certificates/" + name, other),
                       api.certd("DELETE", "/certificates/" + name)):
            assert answer.code == 400 and "holdfast cert renew edge-ca" in answer.message


def ca_constraints():
    return x509.BasicConstraints(True, None), True


def many(n):
    return sans(*["n%d.example" % i for i in range(n)])


@pytest.mark.parametrize("text, said", [
    (csr(extensions=[ca_constraints()]), "a CA"),
    (csr(extensions=[(x509.KeyUsage(True, False, False, False, False, True, False, False, False),
                      True)]), "a CA"),
    (csr(extensions=[(x509.ExtendedKeyUsage([EKU.CODE_SIGNING]), False)]), "a use"),
    (csr(extensions=[many(101)]), "subjectAltName"),
    (csr(extensions=[(x509.SubjectAlternativeName([x509.RegisteredID(x509.ObjectIdentifier(
        "1.2.3"))]), False)]), "subjectAltName"),
    (csr(cn=None), "names nobody"),
], ids=["ca", "keyCertSign", "codeSigning", "101 names", "registeredID", "nobody"])
def test_what_a_request_may_not_ask_for(api, text, said):
    answer = create(api, text=text)
    assert answer.code == 400 and said in answer.message, answer.body


def test_of_a_request_only_what_is_allowed_is_taken(shared, api):
    text = csr(cn="é" * 20, extensions=[
        (x509.ExtendedKeyUsage([EKU.CLIENT_AUTH]), True), sans("a.example"),
        (x509.NameConstraints([x509.DNSName("x")], None), True),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False)])
    cert = verify(create(api, text=text).json["pem"], shared.dir)
    check_leaf(cert, [EKU.CLIENT_AUTH])
    assert len(cert.extensions) == 6 and common_name(cert) == "é" * 20
    cert = verify(create(api, text=csr(cn=None, extensions=[sans("b.example")])).json["pem"],
                  shared.dir)
    assert extension(cert, x509.SubjectAlternativeName).critical  # there is no subject


@pytest.mark.parametrize("change, code, said", [
    ({"csr": None}, 422, "csr"), ({"issuer": None}, 400, "issuer is required"),
    ({"issuer": {"certId": "nothing"}}, 400, "no CA"), ({"issuer": {}}, 422, "certId"),
    ({"issuer": {"certId": 7}}, 422, "certId"), ({"certId": ""}, 400, "certId"),
    ({"certId": "a\nb"}, 400, "certId"), ({"certId": "x" * 254}, 400, "certId"),
    ({"certId": "a\x00b"}, 422, "certId"), ({"days": 0}, 422, "days"), ({"days": "9"}, 422, "days"),
])
def test_create_refuses(api, change, code, said):
    answer = create(api, **change)
    assert answer.code == code and said in answer.message, answer.body


def test_put_takes_certificates_alone(api):
    for pem in ("", "junk", apilib.pem(new_key())):
        assert api.certd("PUT", "/certificates/x", {"pem": pem}).code == 400


@pytest.mark.parametrize("name", ["..%2F..%2Fetc%2Fpasswd", "..", "%2e%2e%2f%2e%2e%2fedge-ca",
                                  "a%2Fb", "'\";$(id)", "%7B%7D"])
def test_an_id_is_never_a_path(shared, api, name):
    before = sorted(os.path.join(d, f) for d, _, files in os.walk(shared.dir) for f in files
                    if "/issued" not in d)
    assert api.certd("GET", "/certificates/" + name).code == 400
    assert api.certd("PUT", "/certificates/" + name, create(api, "source").json).code == 201
    assert api.certd("GET", "/certificates/" + name).code == 200
    assert api.certd("DELETE", "/certificates/" + name).code == 204
    after = sorted(os.path.join(d, f) for d, _, files in os.walk(shared.dir) for f in files
                   if "/issued" not in d)
    assert before == after


@pytest.mark.parametrize("name", ["a%00b", "a%0ab", "%zz", "%4", "%", "a%20b", "x" * 300, ""])
def test_ids_that_are_none(api, name):
    assert api.certd("GET", "/certificates/" + name).code == 400


# ---------------------------------------------------------------- rules of HTTP

def test_versions(api):
    for target, said in (("/certificates/x?", "api-version not specified"),
                         ("/certificates/x?api-version=", 'invalid api-version ""'),
                         ("/certificates/x?api-version=2018-06-28", "invalid api-version"),
                         ("/certificates/x?api-version=%00", "invalid api-version")):
        answer = api.certd("GET", target)
        assert answer.code == 400 and answer.message.startswith(said), answer.body
    for version in ("2018-06-28", "2019-01-30", "2019-10-22", "2019-11-05", "2020-07-07",
                    "2021-12-07", "2022-08-03"):
        assert api.workload("GET", "/trust-bundle?api-version=" + version).code == 200
    assert api.workload("GET", "/trust-bundle?api-version=2020-09-01").code == 400


def test_routes_and_types(api):
    for target in ("/", "/certificate", "/certificates/a/b", "/modules/m/certificate/identity",
                   "/holdfast/v1", "//certificates"):
        answer = api.certd("GET", target + "?" + apilib.CERTD)
        assert answer.code == 404 and answer.message == "not found", target
    for method in ("PATCH", "PUT", "POST", "OPTIONS", "X"):
        answer = api.certd(method, "/holdfast/v1/status")
        assert answer.code == 400 and answer.message == "method not allowed"
    assert api.workload("GET", "/certificates/edge-ca?" + apilib.CERTD).code == 404
    one = create(api, "x").json
    assert api.certd("PUT", "/certificates/x", one, content_type="text/plain").code == 415
    for kind, code in (("application/json; charset=utf-8", 201), (None, 201),
                       ("Application/JSON", 201)):
        assert api.certd("PUT", "/certificates/x", one, content_type=kind).code == code
    answer = api.certd("POST", "/certificates", {"certId": "x"}, content_type="text/plain")
    assert answer.code == 400 and answer.message == "missing request body"


def test_answers_fit_the_small_clients_of_iot_edge(api):
    """One write, less than 512 bytes of header, a length, the exact type (iot-edge.md 2.7)."""
    for answer in (api.certd("GET", "/certificates/edge-ca"), api.certd("GET", "/nothing"),
                   create(api, "x"), api.workload("GET", "/trust-bundle")):
        assert answer.head < 512 and len(answer.headers) <= 16
        assert answer.headers["content-type"] == "application/json"
        assert int(answer.headers["content-length"]) == len(answer.body)


def test_curl(shared, api):
    p = subprocess.run(["curl", "-sS", "--unix-socket", api.socket("workload"),
                        "http://localhost/trust-bundle?" + apilib.WORKLOAD],
                       capture_output=True, text=True, check=True)
    assert chain(json.loads(p.stdout)["certificate"]) == [shared.cert()]


# ---------------------------------------------------------------- ours

def test_status_and_metrics(shared, api):
    status = api.certd("GET", "/holdfast/v1/status").json
    assert [c["id"] for c in status["credentials"]] == ["edge-ca"]
    assert api.server("metered", csr=csr()).code == 201
    answer = api.certd("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"
    lines = dict(line.rsplit(" ", 1) for line in answer.body.decode().splitlines()
                 if not line.startswith("#"))
    left = float(lines['holdfast_certificate_expiry_seconds{certificate="edge-ca"}'])
    assert 89 * DAY < left <= 90 * DAY
    assert lines["holdfast_clock_trusted"] == "1" and int(lines["holdfast_modules"]) >= 1
    assert int(lines["holdfast_module_certificates_issued_total"]) >= 1
    assert int(lines['holdfast_http_requests_total{code="2xx"}']) >= 2
    modules = api.certd("GET", "/holdfast/v1/modules").json["modules"]
    mine = next(m for m in modules if m["module"] == "metered")
    assert mine["kind"] == "server" and mine["generation"] == "1" and mine["key"] == ""


def test_cli(shared, api):
    out = os.path.join(shared.dir, "cli.pem")
    request_file = os.path.join(shared.dir, "cli.csr")
    with open(request_file, "w") as f:
        f.write(csr(cn="by-cli"))
    shared.cli("cert", "issue", "by-cli", "--csr", request_file, "--issuer", "edge-ca", "--out",
               out, "--root", shared.dir)
    with open(out) as f:
        assert common_name(verify(f.read(), shared.dir)) == "by-cli"


def test_renewal_by_hand():
    with Device(config()) as d:
        api, before = Api(d), d.cert()
        answer = api.certd("POST", "/holdfast/v1/credentials/aziot-edged-ca/renew",
                           {"rotate_key": False, "wait": True})
        assert answer.code == 200 and answer.json["id"] == "edge-ca", answer.body
        same = d.cert()
        assert same != before and spki_of(same) == spki_of(before)
        answer = api.certd("POST", "/holdfast/v1/credentials/edge-ca/renew")
        assert answer.code == 200 and spki_of(d.cert()) != spki_of(before)
        answer = api.certd("POST", "/holdfast/v1/credentials/edge-ca/reset", {"wait": True})
        assert answer.code == 200 and answer.json["state"] == "ok"
        for name, body, code in (("nothing", None, 404), ("edge-ca", {"rotate_key": 1}, 422)):
            target = "/holdfast/v1/credentials/%s/renew" % name
            assert api.certd("POST", target, body).code == code
        d.cli("cert", "renew", "edge-ca", "--root", d.dir)
        d.end(d.broker)
        answer = api.certd("POST", "/holdfast/v1/credentials/edge-ca/renew")
        assert answer.code == 503 and "broker" in answer.message, answer.body
        assert api.server("m", csr=csr()).code == 503
        d.start_broker()
        d.until(lambda: api.server("m", csr=csr()).code == 201)


def test_nothing_is_issued_by_an_untrusted_clock():
    with Device(config()) as d:
        api = Api(d)
        d.set_clock(-40 * 365 * DAY)
        d.wake()
        d.until(lambda: not d.status()["clock"]["trusted"])
        for answer in (api.server("m", csr=csr()), create(api),
                       api.certd("POST", "/holdfast/v1/credentials/edge-ca/renew")):
            assert answer.code == 503 and "clock" in answer.message
        assert api.certd("GET", "/certificates/edge-ca").code == 200
        assert b"holdfast_clock_trusted 0" in api.certd("GET", "/metrics").body


# ---------------------------------------------------------------- keys of modules

def test_returned_keys():
    with Device(config("returned", algorithm="rsa-2048")) as d:
        api = Api(d)
        answer = api.server("$edgeHub")
        assert answer.code == 201 and answer.json["privateKey"]["type"] == "key"
        text = answer.json["privateKey"]["bytes"]
        key = serialization.load_pem_private_key(text.encode(), None)
        cert = verify(answer.json["certificate"], d.dir)
        assert spki_of(cert) == spki_of_key(key) and key.key_size == 2048
        assert api.identity("$edgeHub").json["privateKey"]["bytes"] != text
        assert "no token protects it" in d.log()
        again = api.workload("GET", "/modules/$edgeHub/genid/1/certificate/server").json
        assert "privateKey" not in again
        lines = [line for line in text.splitlines() if "-----" not in line]
        files = subprocess.run(["grep", "-rlF", lines[3], d.dir], capture_output=True, text=True)
        assert files.stdout == "" and files.returncode == 1
        # A module that brings its own key may.
        assert "privateKey" not in api.server("other", csr=csr()).json


def test_keys_in_the_token():
    with Device(config("token", top='hostname = "dev1"')) as d:
        api = Api(d)
        answer = api.server("$edgeHub", cn="localhost")
        assert answer.code == 201, answer.body
        assert answer.json["privateKey"]["type"] == "ref"
        name = answer.json["privateKey"]["ref"].split("holdfast:")[1]
        cert = verify(answer.json["certificate"], d.dir)
        assert name.startswith("module-edgehub-")
        with open(d.path(name + ".pem")) as f:
            assert f.read() == answer.json["certificate"]
        again = api.server("$edgeHub", cn="localhost")
        assert again.json["privateKey"] == answer.json["privateKey"]
        assert spki_of(chain(again.json["certificate"])[0]) == spki_of(cert)
        # Another generation, another module, another kind: another key.
        refs = {api.server("$edgeHub", genid="2").json["privateKey"]["ref"],
                api.server("edgeHub").json["privateKey"]["ref"],
                api.identity("$edgeHub").json["privateKey"]["ref"]}
        assert len(refs) == 3 and "holdfast:" + name not in refs
        handshake(d, name)
        assert name in d.json("key", "list").__repr__()
        # The agent renews such a one by itself.
        d.advance(25 * DAY)
        d.until(lambda: open(d.path(name + ".pem")).read() != again.json["certificate"])
        with open(d.path(name + ".pem")) as f:
            again = f.read()
            assert spki_of(verify(again, d.dir, at=d.now())) == spki_of(cert)
        # Also if it has ended meanwhile: the key is here, and the program only reads files.
        d.stop_agent()
        d.set_clock(d.offset + 60 * DAY)
        d.start_agent()
        d.until(lambda: open(d.path(name + ".pem")).read() != again)
        with open(d.path(name + ".pem")) as f:
            assert spki_of(verify(f.read(), d.dir, at=d.now())) == spki_of(cert)


def test_a_module_that_is_gone():
    """What was kept for it goes: the record, the files, and the key from the token."""
    with Device(config("token", top='hostname = "dev1"')) as d:
        api, at = Api(d), "/modules/m/genid/1/certificate/server"
        names = [answer.json["privateKey"]["ref"].split(":")[1]
                 for answer in (api.server("m"), api.server("m", genid="2"), api.identity("m"))]
        d.end(d.broker)
        assert api.workload("DELETE", at).code == 503
        d.start_broker()
        assert api.workload("GET", at).code == 200
        assert api.workload("DELETE", at).code == 204
        assert api.workload("GET", at).code == 404 == api.workload("DELETE", at).code
        there = repr(d.json("key", "list"))
        assert [name in there for name in names] == [False, True, True]
        assert [os.path.exists(d.path(name + end)) for name in names
                for end in (".pem", ".key.pem")] == [False] * 2 + [True] * 4
        assert api.server("m").code == 201  # and comes again


OPENSSL_CNF = """openssl_conf = a
[a]
providers = b
alg_section = c
[b]
default = d
holdfast = d
[d]
activate = 1
[c]
default_properties = ?provider=default
"""


def handshake(d, name):
    """A TLS server whose key file is the reference beside the certificate."""
    conf = os.path.join(d.dir, "openssl.cnf")
    with open(conf, "w") as f:
        f.write(OPENSSL_CNF)
    server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert",
                               d.path(name + ".pem"), "-key", d.path(name + ".key.pem"),
                               "-naccept", "1"],
                              env=dict(d.env, OPENSSL_CONF=conf, ASAN_OPTIONS="detect_leaks=0",
                                       LD_PRELOAD=os.environ.get("HOLDFAST_TEST_PRELOAD", "")),
                              stdout=subprocess.PIPE, stdin=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in server.stdout:
            if line.startswith("ACCEPT"):
                break
        port = int(line.rsplit(":", 1)[1])
        context = ssl.create_default_context(cafile=d.path("trust-bundle.pem"))
        with socket.create_connection(("127.0.0.1", port), 20) as s, \
                context.wrap_socket(s, server_hostname="localhost") as tls:
            assert tls.getpeercert()["subject"] == ((("commonName", "localhost"),),)
    finally:
        server.communicate("Q\n", timeout=20)


def test_fifty_modules_follow_the_edge_ca():
    with Device(config()) as d:
        api = Api(d)
        keys = {"m%d" % i: new_key() for i in range(50)}
        for name, key in keys.items():
            assert api.server(name, csr=csr(key)).code == 201
        before = d.cert()
        assert api.certd("POST", "/holdfast/v1/credentials/edge-ca/renew").code == 200
        d.until(lambda: "50 certificates of modules were issued again, 0 could" in d.log())
        after = d.cert()
        assert spki_of(after) != spki_of(before)
        for name, key in keys.items():
            got = api.workload("GET", "/modules/%s/genid/1/certificate/server" % name).json
            cert = verify(got["certificate"], d.dir)
            assert chain(got["certificate"])[1] == after and spki_of(cert) == spki_of_key(key)
        with open(os.path.join(api.dir, "modules")) as f:
            assert sorted(f.read().splitlines()) == sorted("server %s 1" % n for n in keys)
        # Each has a line of its own, and old and new CA are both trusted.
        log = d.log()
        assert all(log.count("module %s: server certificate" % n) == 2 for n in keys)
        assert set(d.bundle()) == {spki_of(before), spki_of(after)}
        listed = json.loads(d.cli("cert", "list", "--modules", "--json", "--root", d.dir).stdout)["modules"]
        assert {m["module"] for m in listed} == set(keys) and all(m["current"] for m in listed)
        assert "m49" in d.cli("cert", "list", "--modules", "--root", d.dir).stdout
        # Not a second time, and also not after a restart.
        d.stop_agent()
        d.start_agent()
        assert d.log().count("certificates of modules were issued again") == 1
        # Those that ended are forgotten.
        d.sleep(31 * DAY)
        d.until(lambda: api.certd("GET", "/holdfast/v1/modules").json["modules"] == [])


def test_killed_between_the_edge_ca_and_its_modules():
    with Device(config()) as d:
        api, key = Api(d), new_key()
        assert api.server("m", csr=csr(key)).code == 201
        record = os.path.join(d.dir, "agent", "modules")
        d.stop_agent()
        # As if it had been killed after the commit: the record is of a CA that is no more.
        name = os.path.join(record, os.listdir(record)[0])
        with open(name) as f:
            old = json.load(f)
        with open(name, "w") as f:
            json.dump(dict(old, issuer="0" * 64), f)
        d.start_agent()
        d.until(lambda: "1 certificates of modules were issued again" in d.log())
        with open(name) as f:
            assert json.load(f)["serial"] != old["serial"]
        # A damaged one is set aside, and a full directory is no end.
        d.stop_agent()
        with open(name, "w") as f:
            f.write("{")
        d.start_agent()
        assert os.path.exists(name + ".damaged") and "it is now" in d.log()
        assert api.server("m", csr=csr(key)).code == 201


def test_certificates_of_clients_are_told_of_a_new_edge_ca():
    """In the list and in the log, once; a kill between the two makes nothing shorter."""
    with Device(config()) as d:
        api = Api(d)
        for name in "aziot-edged/module/m:1:server", "other":
            assert create(api, name).code == 201
        assert api.certd("PUT", "/certificates/left", create(api, "gone").json).code == 201
        assert api.certd("DELETE", "/certificates/gone").code == 204
        assert api.certd("POST", "/holdfast/v1/credentials/edge-ca/renew").code == 200
        d.until(lambda: os.path.exists(os.path.join(api.dir, "modules")))
        with open(os.path.join(api.dir, "modules")) as f:
            assert sorted(f.read().splitlines()) == ["certificate aziot-edged/module/m:1:server -", "certificate other -"]
        d.stop_agent()
        d.start_agent()
        assert d.log().count("should ask for another") == 2
        # Those that end are forgotten, and the others are there.
        assert create(api, "short", days=2).code == 201
        d.sleep(3 * DAY)
        d.until(lambda: api.certd("GET", "/certificates/short").code == 400)
        assert api.certd("GET", "/certificates/other").code == 200


def test_a_full_store_of_certificates_goes_on():
    with Device(config()) as d:
        api = Api(d)
        assert create(api, "first", days=2).code == 201
        pem = create(api, "long", days=20).json
        for n in range(1022):
            assert api.certd("PUT", "/certificates/x%d" % n, pem).code == 201
        assert api.certd("GET", "/certificates/first").code == 200
        # Nobody's has ended: the one that ends first makes room.
        assert create(api, "new", days=20).code == 201
        assert api.certd("GET", "/certificates/first").code == 400
        assert api.certd("GET", "/certificates/long").code == 200
        assert 'certificate "first", which ends first, is forgotten' in d.log()


# ---------------------------------------------------------------- who

def as_user(uid, path, method, target, body=None):
    """The same request from a process of another user."""
    code = ("import os, sys, json; os.setgroups([]); os.setgid(%d); os.setuid(%d); "
            "sys.path.insert(0, %r); import apilib; "
            "a = apilib.request(*json.loads(sys.stdin.read())); print(a.code, a.body.decode())"
            % (uid, uid, os.path.dirname(__file__)))
    p = subprocess.run([sys.executable, "-c", code], input=json.dumps([path, method, target, body]),
                       capture_output=True, text=True, check=True)
    number, _, text = p.stdout.partition(" ")
    return int(number), text


@pytest.mark.root
def test_other_users():
    principal = '[[principal]]\nuid = %d\ncerts = ["mine/*"]\nmodules = ["cam*"]\n' % (NOBODY + 1)
    with Device(config(more=principal)) as d:
        api = Api(d)
        os.chmod(d.dir, 0o755)
        for directory, _, _ in os.walk(os.path.join(d.dir, "run")):
            os.chmod(directory, 0o755)
        for name in ("certd", "workload"):
            os.chmod(api.socket(name), 0o666)
        certd, workload = api.socket("certd"), api.socket("workload")
        issuer = {"certId": "edge-ca", "privateKeyHandle": "x"}
        server = "/modules/%s/genid/1/certificate/server?" + apilib.WORKLOAD
        body = {"commonName": "a", "csr": csr()}
        rows = [  # target, body; who may: anybody, the principal, nobody but root
            (certd, "GET", "/certificates/edge-ca?" + apilib.CERTD, None, 200, 200),
            (certd, "GET", "/metrics", None, 200, 200),
            (certd, "POST", "/certificates?" + apilib.CERTD,
             {"certId": "mine/a", "csr": csr(), "issuer": issuer}, 401, 201),
            (certd, "POST", "/certificates?" + apilib.CERTD,
             {"certId": "other", "csr": csr(), "issuer": issuer}, 401, 401),
            (certd, "POST", "/holdfast/v1/certificates",
             {"id": "other", "csr": csr(), "issuer": "edge-ca"}, 401, 401),
            (certd, "DELETE", "/certificates/mine%2Fa?" + apilib.CERTD, None, 401, 204),
            (certd, "PUT", "/certificates/other?" + apilib.CERTD, {"pem": "x"}, 401, 401),
            (certd, "POST", "/holdfast/v1/credentials/edge-ca/renew", None, 401, 401),
            (certd, "POST", "/holdfast/v1/credentials/edge-ca/reset", None, 401, 401),
            (certd, "GET", "/holdfast/v1/modules", None, 401, 401),
            (workload, "POST", server % "camera", body, 403, 201),
            (workload, "POST", server % "other", body, 403, 403),
            (workload, "GET", server % "camera", None, 403, 200),
            (workload, "POST", "/modules/other/certificate/identity?" + apilib.WORKLOAD, body, 403,
             403),
            (workload, "GET", "/trust-bundle?" + apilib.WORKLOAD, None, 200, 200),
        ]
        before = d.cert()
        for socket_, method, target, what, anybody, principal_ in rows:
            for uid, code in ((NOBODY, anybody), (NOBODY + 1, principal_), (65534, anybody)):
                got, text = as_user(uid, socket_, method, target, what)
                assert got == code, (method, target, uid, got, text)
                if code in (401, 403):
                    assert "user %d is not authorized" % uid in text
        assert d.cert() == before
        assert "user %d is not authorized" % NOBODY in d.log()
