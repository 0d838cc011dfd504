# SPDX-License-Identifier: Apache-2.0
"""What the provider leaves behind in its host: memory, threads, signals, descriptors; and what
ThreadSanitizer and valgrind say. AddressSanitizer has a build of its own, for all tests."""
import os

import pytest

from provider_env import BUILD, UNCONFIGURED, Openssl, fake, openssl, short_dir  # noqa: F401

HOST = f"{BUILD}/tests/system/provider-host"
TSAN = f"{BUILD}/tests/system/provider-host-tsan"


@pytest.fixture(autouse=True)
def keys(fake):  # noqa: F811
    fake.add_key("ec")
    fake.add_key("kx", "ec-p256", "sign,derive")
    fake.add_key("rsa", "rsa-2048", "sign,decrypt")


def run(openssl, *argv, **env):  # noqa: F811
    r = openssl.run(*argv, timeout=200, env=env)
    assert r.code == 0, r.errors[-6000:]
    return r


def test_nothing_is_left_in_the_process(openssl):  # noqa: F811
    run(openssl, HOST, "footprint", "holdfast:ec", "3", **UNCONFIGURED)


@pytest.mark.plain
@pytest.mark.parametrize("command,n,key", [
    ("threads", 64, "ec"), ("prefork", 4, "ec"), ("contexts", 1, "ec"), ("secret", 16, "rsa"),
    ("secret", 16, "kx")])
def test_thread_sanitizer(openssl, command, n, key):  # noqa: F811
    if not os.path.islink(openssl.path("holdfast.so")):
        os.symlink(f"{BUILD}/tests/system/holdfast-tsan.so", openssl.path("holdfast.so"))
    r = run(openssl, TSAN, command, f"holdfast:{key}", str(n), OPENSSL_MODULES=openssl.dir,
            TSAN_OPTIONS="halt_on_error=0:exitcode=66:ignore_noninstrumented_modules=1")
    assert "ThreadSanitizer" not in r.errors, r.errors[:6000]


@pytest.mark.plain
def test_thread_sanitizer_with_a_broker_that_fails(openssl, fake):  # noqa: F811
    for fault in ("close", "busy", "unavailable", "wrong-id", "garbage"):
        fake.faults.extend([fault] + [None] * 60)
    test_thread_sanitizer(openssl, "threads", 16, "ec")


@pytest.mark.plain
@pytest.mark.parametrize("command,uri,n", [
    ("contexts", "holdfast:rsa", 1), ("secret", "holdfast:rsa", 2), ("secret", "holdfast:kx", 2),
    ("message", "holdfast:ec", 0), ("search", "ec", 1), ("semantics", "holdfast:ec", 1), ("unload", "holdfast:ec", 3),
    ("write", "holdfast:rsa", 1), ("live-exit", "holdfast:ec", 1)])
def test_valgrind(openssl, command, uri, n):  # noqa: F811
    # what is alive at exit is no leak there
    leaks = [] if command == "live-exit" else ["--leak-check=full",
                                               "--errors-for-leak-kinds=definite,indirect"]
    run(openssl, "valgrind", "-q", "--error-exitcode=99", *leaks, HOST, command, uri, str(n),
        **(UNCONFIGURED if command == "unload" else {}))
