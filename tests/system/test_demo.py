# SPDX-License-Identifier: Apache-2.0
"""swtpm-ci/demo and what it stands on. Setting up and building are left out: others do that here."""
import os
import re
import subprocess
import tempfile
import time

import pytest

from keeperlib import BUILD

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CI = os.path.join(ROOT, "swtpm-ci")
SEARCH = os.path.join(CI, "find-private-keys")
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("HOLDFAST_", "OPENSSL_"))}

# The openssl command cannot load a provider that was built with sanitizers.
needs_plain_build = pytest.mark.plain


def demo(**env):
    now = "%.6f" % time.time()
    with tempfile.NamedTemporaryFile(suffix=".toml") as config:
        subprocess.run([CI + "/demo", "--config"], stdout=config, check=True)
        return subprocess.run(
            [CI + "/with-swtpm", CI + "/with-holdfast", "--agent", "--config", config.name,
             CI + "/demo", "--inside"], timeout=120,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env=dict(ENV, HOLDFAST_BUILD=BUILD, DEMO_SINCE=now, DEMO_STARTED=now, **env))


def openssl_that_breaks(folder, what):
    """A PATH where `openssl WHAT` fails and every other one works."""
    real = subprocess.run(["which", "openssl"], capture_output=True, text=True, check=True)
    path = folder / "openssl"
    path.write_text('#!/bin/sh\ncase " $* " in *" %s "*) echo broken; exit 1;; esac\nexec %s "$@"\n'
                    % (what, real.stdout.strip()))
    path.chmod(0o755)
    return "%s:%s" % (folder, os.environ["PATH"])


@needs_plain_build
def test_demo():
    p = demo()
    assert p.returncode == 0, p.stdout + p.stderr
    for said in ("Edge CA: CN=aziot-edge CA demo-device", "the Edge CA is renewed", "-x509_strict: the chain holds", "mutual TLS 1.3",
                 "0 private keys in", "4 keys wrapped by a TPM"):
        assert said in p.stdout, p.stdout
    # what it promises for the second time, when nothing is to be installed or built
    assert float(re.search(r"^done in (\d+\.\d+) s", p.stdout, re.M)[1]) < 20, p.stdout


@needs_plain_build
@pytest.mark.parametrize("broken", ["req", "verify", "s_client", "x509", "genrsa"])
def test_demo_fails_loudly(tmp_path, broken):
    p = demo(PATH=openssl_that_breaks(tmp_path, broken))
    assert p.returncode == 1, p.stdout + p.stderr
    assert "demo: failed" in p.stderr


@needs_plain_build
def test_demo_finds_a_planted_key(tmp_path):
    """A key that somebody leaves in the demo's directory stops it."""
    path = openssl_that_breaks(tmp_path, "nothing")
    (tmp_path / "openssl").write_text((tmp_path / "openssl").read_text().replace(
        "exec", '[ "$HOLDFAST_DIR" ] && [ -d "$HOLDFAST_DIR/demo" ] && '
        '%s > "$HOLDFAST_DIR/demo/left.key" 2>/dev/null; exec' %
        "env -u OPENSSL_CONF /usr/bin/openssl genpkey -algorithm ED25519"))
    p = demo(PATH=path)
    assert p.returncode == 1 and "left.key: PRIVATE KEY (PEM)" in p.stderr, p.stdout + p.stderr


def search(*args):
    return subprocess.run([SEARCH, *args], capture_output=True, text=True, env=ENV, timeout=60)


def test_search_finds_keys(tmp_path):
    assert search(str(tmp_path)).returncode == 0
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
                    "-outform", "DER", "-out", str(tmp_path / "key")], check=True, env=ENV)
    p = search(str(tmp_path))
    assert p.returncode == 1 and p.stdout.startswith(f"{tmp_path}/key: SEC1 (DER)"), p.stdout
    p = search("--self-check", str(tmp_path / "key"))
    assert p.returncode == 1 and "found all" in p.stdout


def test_search_is_strict_about_its_input(tmp_path):
    assert search(str(tmp_path / "missing")).returncode == 2
    assert search().returncode == 2
    assert search("--nonsense").returncode == 2
