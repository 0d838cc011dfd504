# SPDX-License-Identifier: Apache-2.0
"""OCSP and CMP with keys of holdfast, and GnuTLS as a peer that shares no code with OpenSSL: it
is strict about the salt of PSS (RFC 8446, section 4.2.3)."""
import re
import subprocess

import pytest

from provider_env import ORDERS, Openssl, fake, short_dir  # noqa: F401
from test_provider import CA_CONF
from test_provider_tls import certificate


@pytest.fixture(params=sorted(ORDERS))
def openssl(request, fake, tmp_path):  # noqa: F811
    fake.add_key("ec")
    fake.add_key("rsa", "rsa-2048")
    return Openssl(str(tmp_path), fake.path, request.param)


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_ocsp(openssl, key):
    certificate(openssl, key)
    openssl.file("ca.cnf", CA_CONF)
    openssl.file("index.txt", "")
    openssl.plain("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                  "-keyout", "x.key", "-subj", "/CN=x", "-out", "x.csr")
    openssl("ca", "-config", "ca.cnf", "-cert", f"{key}.pem", "-keyfile", f"holdfast:{key}",
            "-batch", "-notext", "-in", "x.csr", "-out", "x.pem")
    openssl.plain("ocsp", "-issuer", f"{key}.pem", "-cert", "x.pem", "-reqout", "request")
    openssl("ocsp", "-index", "index.txt", "-CA", f"{key}.pem", "-rsigner", f"{key}.pem", "-rkey",
            f"holdfast:{key}", "-reqin", "request", "-respout", "response")
    r = openssl.plain("ocsp", "-issuer", f"{key}.pem", "-cert", "x.pem", "-respin", "response",
                      "-CAfile", f"{key}.pem", "-no_nonce")
    assert "x.pem: good" in r.text and "Response verify OK" in r.text + r.errors


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_cmp(openssl, key):
    """A request whose proof of possession is signed by the key, to OpenSSL's own mock server."""
    certificate(openssl, key)
    openssl("cmp", "-cmd", "ir", "-use_mock_srv", "-srv_secret", "pass:x", "-secret", "pass:x",
            "-srv_ref", "r", "-ref", "r", "-rsp_cert", f"{key}.pem", "-newkey", f"holdfast:{key}",
            "-subject", "/CN=x", "-certout", "issued.pem", "-disable_confirm")
    assert openssl.read("issued.pem")


@pytest.mark.plain  # GnuTLS does not start with a sanitizer in it
@pytest.mark.parametrize("options", [[], ["-sigopt", "rsa_padding_mode:pss"]])
def test_gnutls_verifies_a_certificate(openssl, options):
    openssl("req", "-x509", "-new", "-key", "holdfast:rsa", *options, "-subj", "/CN=x", "-out",
            "x.pem")
    r = openssl.run("certtool", "--verify", "--load-ca-certificate", "x.pem", "--infile", "x.pem")
    assert r.code == 0, r.text + r.errors
    assert ("RSA-PSS" in r.text) == bool(options), r.text


@pytest.mark.plain
@pytest.mark.parametrize("version,how", [("TLS1.3", "RSA-PSS-RSAE"), ("TLS1.2", "RSA-PSS-RSAE"),
                                         ("TLS1.2", "RSA-SHA256")])
def test_gnutls_as_a_client(openssl, version, how):
    """Its priorities leave the server no other signature than the one that is tested."""
    certificate(openssl, "rsa")
    sign = "SIGN-RSA-PSS-RSAE-SHA256" if "PSS" in how else "SIGN-RSA-SHA256"
    s = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-cert",
                          "rsa.pem", "-key", "holdfast:rsa"], cwd=openssl.dir, env=openssl.environ,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        for line in s.stdout:
            port = re.search(rb"ACCEPT .*:(\d+)", line)
            if port:
                break
        r = openssl.run(
            "gnutls-cli", "--x509cafile", "rsa.pem", "--port", port.group(1).decode(), "--priority",
            f"NORMAL:-VERS-ALL:+VERS-{version}:-SIGN-ALL:+{sign}", "localhost", input=b"")
        assert r.code == 0, r.text + r.errors
        assert version in r.text and how.split("-SHA")[0] in r.text, r.text
    finally:
        s.kill()
        s.communicate()
