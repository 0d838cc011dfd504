# SPDX-License-Identifier: Apache-2.0
"""What the provider's tests share: a broker (fake, or the real one), configurations of
OpenSSL, and running its commands."""
import os
import shutil
import subprocess
import tempfile

import pytest

from fakebroker import ROOT, FakeBroker

BUILD = os.path.abspath(os.environ.get("HOLDFAST_BUILD", f"{ROOT}/build"))

# Orders of providers that have to work, as lines of an OpenSSL configuration.
ORDERS = {
    "dropin": f".include {ROOT}/dist/openssl-holdfast.cnf\n",
    "default-first": """
[openssl_init]
providers = p
[p]
default = d
holdfast = h
[d]
activate = 1
[h]
activate = 1
""",
    "ours-first": """
[openssl_init]
providers = p
alg_section = e
[e]
default_properties = ?provider=default
[p]
holdfast = h
default = d
[d]
activate = 1
[h]
activate = 1
""",
}


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def text(self):
        return self.out.decode(errors="replace")

    @property
    def errors(self):
        return self.err.decode(errors="replace")


class Openssl:
    """Runs commands in a directory of their own, with the provider active."""

    def __init__(self, directory, socket, order):
        self.dir, self.socket = directory, socket
        self.conf = self.file("openssl.cnf", ".include /etc/ssl/openssl.cnf\n" + ORDERS[order])
        # LC_ALL: texts of errno are compared
        self.environ = dict(os.environ, OPENSSL_CONF=self.conf, HOLDFAST_SOCKET=socket,
                            OPENSSL_MODULES=f"{BUILD}/provider", LC_ALL="C")
        # a provider with a sanitizer in it wants the sanitizer to be there before the program
        if os.environ.get("HOLDFAST_TEST_PRELOAD"):
            self.environ.update(LD_PRELOAD=os.environ["HOLDFAST_TEST_PRELOAD"],
                                ASAN_OPTIONS="detect_leaks=0:abort_on_error=1",
                                UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")

    def path(self, name):
        return os.path.join(self.dir, name)

    def file(self, name, content):
        mode = "wb" if isinstance(content, bytes) else "w"
        with open(self.path(name), mode) as f:
            f.write(content)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def run(self, *argv, input=None, timeout=60, env=None):
        return Result(subprocess.run(argv, cwd=self.dir, input=input, capture_output=True,
                                     timeout=timeout, env=dict(self.environ, **(env or {}))))

    def __call__(self, *args, **kwargs):
        """openssl ARGS…, which has to succeed, and to leave nothing on standard error that
        looks like an error."""
        r = self.run("openssl", *args, **kwargs)
        assert r.code == 0, f"openssl {' '.join(args)}: exit {r.code}\n{r.errors}"
        assert ":error:" not in r.errors, r.errors
        return r

    def fails(self, *args, **kwargs):
        r = self.run("openssl", *args, **kwargs)
        assert r.code != 0, f"openssl {' '.join(args)} was expected to fail: {r.text}"
        assert r.code > 0, f"openssl {' '.join(args)}: killed by signal {-r.code}"
        return r

    def plain(self, *args, **kwargs):
        """The same without our provider: what other people's OpenSSL thinks."""
        return self(*args, env={"OPENSSL_CONF": "/etc/ssl/openssl.cnf"}, **kwargs)

    def reference(self, key, uri=None):
        """A key reference file for a key."""
        name = f"{key}.key.pem"
        self("pkey", "-in", uri or f"holdfast:{key}", "-out", name)
        return name


@pytest.fixture
def short_dir():
    """Socket paths are short: pytest's own directories are not."""
    d = tempfile.mkdtemp(prefix="hf-")
    yield d
    shutil.rmtree(d)


@pytest.fixture
def fake(short_dir):
    b = FakeBroker(os.path.join(short_dir, "s"))
    b.start()
    yield b
    b.stop()


@pytest.fixture
def openssl(fake, tmp_path):
    return Openssl(str(tmp_path), fake.path, "dropin")
