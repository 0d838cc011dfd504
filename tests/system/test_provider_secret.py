# SPDX-License-Identifier: Apache-2.0
"""Decryption, agreement and key generation through OpenSSL, in every order of providers."""
import os
import re
import subprocess

import pytest

from provider_env import short_dir, stack_fixtures  # noqa: F401
from realbroker import RealBroker
from test_provider_tls import certificate, wait_for

KEYS = {"rsa": ("rsa-2048", "sign,decrypt"), "ec": ("ec-p256", "sign,derive"),
        "ec384": ("ec-p384", "derive"), "signs": ("rsa-2048", "sign")}
brokers, stack, broker, openssl = stack_fixtures(KEYS)
PLAIN = b"forty bytes are a secret that is long.. "


def public(openssl, key):
    openssl("pkey", "-in", f"holdfast:{key}", "-pubout", "-out", f"{key}.pub")
    return f"{key}.pub"


@pytest.mark.parametrize("options", [
    [],
    ["rsa_padding_mode:oaep"],
    ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256"],
    ["rsa_padding_mode:oaep", "rsa_oaep_md:SHA2-384", "rsa_mgf1_md:sha384"],
    ["rsa_padding_mode:oaep", "rsa_oaep_md:sha512", "rsa_oaep_label:00ff10"],
])
@pytest.mark.parametrize("encrypts", ["software", "ours"])
def test_decrypt(openssl, options, encrypts):
    openssl.file("plain", PLAIN)
    opts = [w for o in options for w in ("-pkeyopt", o)]
    if encrypts == "software":
        openssl.plain("pkeyutl", "-encrypt", "-pubin", "-inkey", public(openssl, "rsa"), "-in",
                      "plain", "-out", "cipher", *opts)
    else:
        openssl("pkeyutl", "-encrypt", "-inkey", "holdfast:rsa", "-in", "plain", "-out", "cipher",
                *opts)
    for key in ("holdfast:rsa", openssl.reference("rsa")):
        assert openssl("pkeyutl", "-decrypt", "-inkey", key, "-in", "cipher", *opts).out == PLAIN


@pytest.mark.parametrize("options,says", [
    (["rsa_padding_mode:none"], "would sign"),
    (["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha1"], "MGF1 of another digest"),
    (["rsa_padding_mode:oaep", "rsa_oaep_md:sha224"], "SHA2-224"),
    (["rsa_padding_mode:oaep"], "does not decrypt"),
])
def test_decrypt_refuses(openssl, options, says):
    openssl.file("plain", PLAIN)
    openssl.plain("pkeyutl", "-encrypt", "-pubin", "-inkey", public(openssl, "rsa"), "-in", "plain",
                  "-out", "cipher")
    r = openssl.fails("pkeyutl", "-decrypt", "-inkey", "holdfast:rsa", "-in", "cipher",
                      *[w for o in options for w in ("-pkeyopt", o)])
    assert says in r.errors and r.out == b"", r.errors


def test_key_of_another_usage(stack, openssl):
    if stack[0].__class__.__name__ == "FakeBroker":
        return  # does not look at usages
    openssl.file("cipher", bytes(256))
    r = openssl.fails("pkeyutl", "-decrypt", "-inkey", "holdfast:signs", "-in", "cipher")
    assert "key signs" in r.errors and "not made to decrypt" in r.errors, r.errors


@pytest.mark.parametrize("key,curve", [("ec", "P-256"), ("ec384", "P-384")])
def test_derive(openssl, key, curve):
    openssl.plain("genpkey", "-algorithm", "EC", "-pkeyopt", f"group:{curve}", "-out", "peer.key")
    openssl.plain("pkey", "-in", "peer.key", "-pubout", "-out", "peer.pub")
    theirs = openssl.plain("pkeyutl", "-derive", "-inkey", "peer.key", "-peerkey",
                           public(openssl, key)).out
    assert openssl("pkeyutl", "-derive", "-inkey", f"holdfast:{key}", "-peerkey",
                   "peer.pub").out == theirs
    assert openssl("pkeyutl", "-derive", "-inkey", openssl.reference(key), "-peerkey",
                   "peer.pub").out == theirs
    openssl.plain("genpkey", "-algorithm", "EC", "-pkeyopt", "group:P-521", "-out", "other.key")
    openssl.plain("pkey", "-in", "other.key", "-pubout", "-out", "other.pub")
    openssl.fails("pkeyutl", "-derive", "-inkey", f"holdfast:{key}", "-peerkey", "other.pub")


@pytest.mark.parametrize("key", ["rsa", "ec"])
@pytest.mark.parametrize("options", [[], ["ecdh_kdf_md:sha256"]])
def test_cms(openssl, key, options):
    """Encrypted mail for a key in a token; the sender has never heard of holdfast."""
    if key == "rsa" and options:
        options = ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256"]
    certificate(openssl, key)
    openssl.file("plain", PLAIN)
    openssl.plain("cms", "-encrypt", "-binary", "-in", "plain", "-aes256", "-outform", "DER", "-out",
                  "m.cms", "-recip", f"{key}.pem", *[w for o in options for w in ("-keyopt", o)])
    assert openssl("cms", "-decrypt", "-inform", "DER", "-in", "m.cms", "-recip", f"{key}.pem",
                   "-inkey", f"holdfast:{key}").out == PLAIN


@pytest.mark.parametrize("client", ["good", "bad"])
def test_tls12_rsa_key_transport(openssl, short_dir, client):  # noqa: F811
    certificate(openssl, "rsa")
    socket = f"{short_dir}/tls"
    s = subprocess.Popen(["openssl", "s_server", "-unix", socket, "-unlink", "-naccept", "1",
                          "-cert", "rsa.pem", "-key", "holdfast:rsa", "-tls1_2", "-cipher",
                          "AES128-GCM-SHA256:@SECLEVEL=1", "-brief"], cwd=openssl.dir,
                         env=openssl.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    try:
        wait_for(socket, s)
        trust = "rsa.pem"
        r = openssl.run("openssl", "s_client", "-unix", socket, "-CAfile", trust, "-tls1_2",
                        "-cipher", "AES128-GCM-SHA256:@SECLEVEL=1" if client == "good" else
                        "AES256-GCM-SHA384:@SECLEVEL=1", "-brief", input=b"Q\n",
                        env={"OPENSSL_CONF": "/etc/ssl/openssl.cnf"})
        assert (r.code == 0) == (client == "good"), r.errors
        if client == "good":
            assert "AES128-GCM-SHA256" in r.errors and "Verification: OK" in r.errors, r.errors
    finally:
        s.kill()
        s.communicate()


# ------------------------------------------------------------------- genpkey

def generate(openssl, name, *options, algorithm="EC", out="made.key", **more):
    return openssl.run("openssl", "genpkey", "-propquery", "provider=holdfast", "-algorithm",
                       algorithm, *[w for o in options for w in ("-pkeyopt", o)],
                       *(["-pkeyopt", f"holdfast-key:{name}"] if name else []), "-out", out, **more)


@pytest.mark.parametrize("algorithm,options,makes", [
    ("EC", ["group:P-256"], "ec-p256"), ("EC", ["group:prime256v1"], "ec-p256"),
    ("EC", ["ec_paramgen_curve:P-384"], "ec-p384"), ("EC", ["group:P-521"], "ec-p521"),
    ("RSA", ["bits:2048"], "rsa-2048"), ("RSA", [], "rsa-2048"),
    ("RSA", ["rsa_keygen_bits:4096"], "rsa-4096"), ("ED25519", [], "ed25519"),
])
def test_genpkey(broker, openssl, algorithm, options, makes, request):
    if isinstance(broker, RealBroker) and makes not in broker.algorithms():
        r = generate(openssl, "not-had", *options, algorithm=algorithm)
        assert r.code and f"{makes}" in r.errors, r.errors
        return
    name = "made-" + re.sub(r"[^A-Za-z0-9-]", "-", request.node.name)
    r = generate(openssl, name, *options, algorithm=algorithm)
    assert r.code == 0, r.errors
    text = openssl.read("made.key").decode()
    assert "HOLDFAST KEY REFERENCE" in text and "PRIVATE KEY" not in text and name in text
    openssl.file("m", "something")
    openssl("pkeyutl", "-sign", "-rawin", "-inkey", "made.key", "-out", "sig", "-in", "m")
    openssl("pkey", "-in", "made.key", "-pubout", "-out", "pub")
    openssl.plain("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "pub", "-sigfile", "sig",
                  "-in", "m")
    again = generate(openssl, name, *options, algorithm=algorithm, out="again.key")
    assert again.code and "exists already" in again.errors
    assert not os.path.exists(openssl.path("again.key")) or not openssl.read("again.key")


@pytest.mark.parametrize("options,algorithm,says", [
    ([], "EC", "-pkeyopt holdfast-key:NAME"),
    (["holdfast-key:x"], "EC", "which curve"),
    (["group:secp256k1", "holdfast-key:x"], "EC", "secp256k1 is not had"),
    (["group:P-256", "holdfast-key:../x"], "EC", "letters"),
    (["group:P-256", "holdfast-key:x", "holdfast-usage:sign,ca"], "EC", "sign,ca"),
    (["bits:1024", "holdfast-key:x"], "RSA", "1024"),
    (["bits:2048", "primes:3", "holdfast-key:x"], "RSA", "two primes"),
    (["bits:2048", "rsa_keygen_pubexp:3", "holdfast-key:x"], "RSA", "65537"),
])
def test_genpkey_refuses(openssl, options, algorithm, says):
    r = generate(openssl, "", *options, algorithm=algorithm)
    assert r.code and says in r.errors, r.errors
    assert not os.path.exists(openssl.path("made.key")) or not openssl.read("made.key")


def test_genpkey_never_makes_a_software_key(openssl):
    """Whatever provider libcrypto picks: with holdfast-key there is a key in the token, or none."""
    r = openssl.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-pkeyopt",
                    "holdfast-key:never", "-out", "never.key")
    if r.code == 0:
        assert "HOLDFAST KEY REFERENCE" in openssl.read("never.key").decode()
    else:
        assert not os.path.exists(openssl.path("never.key")) or not openssl.read("never.key")
        assert "holdfast-key" in r.errors, r.errors  # docs/guides/openssl.md has the words after that


def test_genpkey_without_a_configuration(openssl):
    """As the provider's only friend: openssl genpkey -provider holdfast."""
    r = openssl.run("openssl", "genpkey", "-provider", "holdfast", "-algorithm", "EC", "-pkeyopt",
                    "group:P-256", "-pkeyopt", "holdfast-key:bare-" + os.path.basename(openssl.dir),
                    "-out", "bare.key", env={"OPENSSL_CONF": "/dev/null"})
    assert r.code == 0 and "HOLDFAST KEY REFERENCE" in openssl.read("bare.key").decode(), r.errors


def test_software_keys_are_left_alone(openssl):
    """Others' keys are made, used and written as ever."""
    for words in (["-algorithm", "EC", "-pkeyopt", "group:P-256"], ["-algorithm", "RSA"]):
        r = openssl.run("openssl", "genpkey", *words, "-propquery", "provider=default", "-out", "k")
        assert r.code == 0 and "PRIVATE KEY" in openssl.read("k").decode(), r.errors
        openssl("pkey", "-in", "k", "-pubout", "-out", "k.pub")
        openssl.file("m", "something")
        openssl("dgst", "-sha256", "-sign", "k", "-out", "sig", "m")
        openssl("dgst", "-sha256", "-verify", "k.pub", "-signature", "sig", "m")
