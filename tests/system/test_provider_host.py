# SPDX-License-Identifier: Apache-2.0
"""The provider inside a program that forks, has threads, closes descriptors and exits."""
import os
import subprocess
import threading

import pytest

from provider_env import BUILD, fake, openssl, short_dir  # noqa: F401

HOST = f"{BUILD}/tests/system/provider-host"


@pytest.fixture
def host(fake, openssl):  # noqa: F811
    for name, algorithm in (("ec", "ec-p256"), ("rsa", "rsa-2048"), ("ed", "ed25519")):
        fake.add_key(name, algorithm)

    def run(command, uri="holdfast:ec", n=1, timeout=120):
        # what is alive at exit is no leak; everything else that a sanitizer finds is
        leaks = "0" if command == "live-exit" else "1"
        r = openssl.run(HOST, command, uri, str(n), timeout=timeout,
                        env={"ASAN_OPTIONS": f"detect_leaks={leaks}:abort_on_error=1"})
        assert r.code == 0, r.errors
        assert r.errors == ""
        return r
    return run


@pytest.mark.parametrize("key", ["ec", "rsa", "ed"])
@pytest.mark.parametrize("from_file", [False, True])
def test_key_semantics(host, openssl, key, from_file):  # noqa: F811
    host("semantics", openssl.reference(key) if from_file else f"holdfast:{key}")


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_contexts(host, fake, key):  # noqa: F811
    host("contexts", f"holdfast:{key}")
    assert fake.count("sign") == 2


def test_contexts_of_a_ca_key(host, fake):  # noqa: F811
    """The whole message travels; the broker here takes anything that is not a certificate."""
    fake.add_key("ca", "ec-p256", "ca")
    host("contexts", "holdfast:ca")


def test_one_request_per_signature_one_connection_per_process(host, fake):  # noqa: F811
    host("sign", n=50)
    assert fake.count("sign") == 50
    assert fake.count("key_get") == 1
    assert fake.connections == 1


def test_prefork(host, fake):  # noqa: F811
    host("prefork", n=32)
    # each child has a connection of its own, besides the parent's
    assert fake.connections == 32 + 1 + 32


def test_threads_share_one_connection(host, fake):  # noqa: F811
    host("threads", n=64)
    assert fake.count("sign") == 64 * 20
    assert fake.connections == 1


def test_threads_when_the_broker_is_slow_and_dies(host, fake):  # noqa: F811
    for fault in ("close", "busy", "delay:0.2", "unavailable", "wrong-id", "garbage"):
        fake.faults.extend([fault] + [None] * 60)
    host("threads", n=16)


@pytest.mark.skipif("HOLDFAST_TEST_PRELOAD" in os.environ, reason="the sanitizer's own allocator "
                    "is not safe over fork() in a program with threads (gcc 12)")
def test_fork_in_the_middle(host):
    host("midfork", n=50)


def test_unload(host):
    host("unload", n=50)


def test_exit_with_live_objects(host):
    host("live-exit")


def test_descriptors_closed_behind_our_back(host):
    host("closed-fds")


def test_no_standard_streams(host):
    host("no-stdio")


def test_nothing_is_inherited_over_exec(host):
    assert host("exec", n=1).text == host("exec", n=0).text


class Steps:
    """A process that signs when it is told to."""

    def __init__(self, openssl, uri):  # noqa: F811
        self.p = subprocess.Popen([HOST, "step", uri, "0"], env=openssl.environ, cwd=openssl.dir,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)

    def sign(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        return self.p.stdout.readline().strip()

    def end(self):
        self.p.stdin.close()
        errors = self.p.stderr.read()
        assert self.p.wait(30) == 0, errors
        return errors


def test_broker_restarts_between_signatures(host, fake, openssl):  # noqa: F811
    s = Steps(openssl, "holdfast:ec")
    for _ in range(5):
        assert s.sign() == "ok"
        fake.stop()
        fake.start()
    assert s.end() == ""


def test_broker_comes_back_late(host, fake, openssl):  # noqa: F811
    """The signature that is asked for while the broker is away waits for it."""
    s = Steps(openssl, "holdfast:ec")
    assert s.sign() == "ok"
    fake.stop()
    timer = threading.Timer(0.7, fake.start)
    timer.start()
    assert s.sign() == "ok"
    timer.join()
    assert s.end() == ""


def test_broker_stays_away(host, fake, openssl):  # noqa: F811
    s = Steps(openssl, "holdfast:ec")
    assert s.sign() == "ok"
    fake.stop()
    assert s.sign() == "failed"
    assert s.sign() == "failed"  # at once: the time to heal is over
    fake.start()
    assert s.sign() == "ok"
    errors = s.end()
    assert "key ec" in errors and fake.path in errors and "is holdfastd running?" in errors
