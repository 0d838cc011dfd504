# SPDX-License-Identifier: Apache-2.0
"""What the provider's tests share: a broker (fake, or the real one), configurations of
OpenSSL, and running its commands."""
import os
import shutil
import subprocess
import tempfile

import pytest

from fakebroker import ROOT, FakeBroker
from realbroker import RealBroker

BUILD = os.path.abspath(os.environ.get("HOLDFAST_BUILD", f"{ROOT}/build"))

# An environment of a program that loads the provider by itself, into a context of its own.
UNCONFIGURED = {"OPENSSL_CONF": "/etc/ssl/openssl.cnf"}

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


# The same tests run on software keys in every order of providers, and on a TPM in the one
# that we ship.
STACKS = [("fake", order) for order in sorted(ORDERS)] + [("tpm", "dropin")]


class Brokers:
    """Makes each kind of broker once, with keys in it."""

    def __init__(self, keys):
        self.keys, self.made = keys, {}
        self.dir = tempfile.mkdtemp(prefix="hf-")

    def get(self, kind):
        if kind not in self.made:
            if kind == "fake":
                b = FakeBroker(os.path.join(self.dir, "s")).start()
                can = None
            else:
                b = RealBroker(name for name, (_, usage) in self.keys.items() if usage == "ca")
                b.start()
                can = b.algorithms()
            self.made[kind] = b
            for name, (algorithm, usage) in self.keys.items():
                if can is None or algorithm in can:
                    b.add_key(name, algorithm, usage)
        return self.made[kind]

    def close(self):
        for b in self.made.values():
            b.close()
        shutil.rmtree(self.dir)


def stack_fixtures(keys):
    """Fixtures `brokers`, `broker` and `openssl` for a module."""
    @pytest.fixture(scope="module")
    def brokers():
        b = Brokers(keys)
        yield b
        b.close()

    @pytest.fixture(params=STACKS, ids="-".join)
    def stack(request, brokers, tmp_path):
        kind, order = request.param
        broker = brokers.get(kind)
        # a test that is about a key which this token cannot have
        for name in ("key", "server", "client", "ca"):
            value = getattr(request.node, "callspec").params.get(name)
            if value in keys and value not in broker.keys:
                pytest.skip(f"no {keys[value][0]} in this token")
        return broker, Openssl(str(tmp_path), broker.path, order)

    @pytest.fixture
    def broker(stack):
        return stack[0]

    @pytest.fixture
    def openssl(stack):
        return stack[1]
    return brokers, stack, broker, openssl


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
