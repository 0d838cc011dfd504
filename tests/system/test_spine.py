# SPDX-License-Identifier: Apache-2.0
"""Promises about the whole path: a program, the provider, broker, keeper, and the TPM's traffic.
What one part promises by itself is tested with that part."""
import concurrent.futures
import glob
import os
import random
import shutil
import signal
import struct
import subprocess
import time

import pytest

from clilib import CLI
from keeperlib import BUILD, Proxy, until
from provider_env import Openssl
from realbroker import RealBroker

HOST = f"{BUILD}/tests/system/provider-host"
ROTATION = {"ContextSave", "FlushContext", "ContextLoad", "Sign"}


class Spine(RealBroker):
    """A broker whose TPM is behind a proxy."""

    def __init__(self):
        super().__init__()
        self.proxy = Proxy(self.tpm)
        self.conf["tokens"][0]["tcti"] = self.proxy.tcti
        self.start()
        self.algorithms()

    def close(self):
        """Nothing may be left in the TPM, and nothing that it answered may be an error."""
        self.stop()
        left = self.tpm.objects() + self.tpm.sessions()
        answers = [(name, struct.unpack(">I", response[6:10])[0])
                   for name, _, response in self.proxy.commands]
        self.proxy.close()
        self.start()  # for what RealBroker does in the end
        super().close()
        assert not left
        # asked for what a TPM may not have: its algorithms, the persistent primary
        assert not [a for a in answers if a[1] and a[0] not in ("TestParms", "ReadPublic")]


@pytest.fixture(name="spine")
def fixture_spine():
    s = Spine()
    yield s
    s.close()


@pytest.fixture(name="openssl")
def fixture_openssl(spine, tmp_path):
    return Openssl(str(tmp_path), spine.path, "dropin")


class Signer:
    """A program with a key, which signs (and verifies by itself) when it is told to."""

    def __init__(self, openssl, uri):
        self.p = subprocess.Popen([HOST, "step", uri, "0"], env=openssl.environ, cwd=openssl.dir,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)

    def sign(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        return self.p.stdout.readline().strip() == "ok"

    def close(self):
        errors = self.p.communicate()[1]
        assert self.p.returncode == 0, errors
        return errors


def cli(spine, *words, code=0):
    p = subprocess.run([CLI, *words, "--socket", spine.path], capture_output=True, text=True,
                       timeout=60, stdin=subprocess.DEVNULL)
    assert p.returncode == code, p.stdout + p.stderr
    return p


@pytest.mark.parametrize("algorithm", ["ec-p256", "rsa-2048"])
def test_one_tpm_command_per_signature(spine, openssl, algorithm):
    spine.add_key("a", algorithm)
    signer = Signer(openssl, "holdfast:a")
    assert signer.sign()
    spine.proxy.commands.clear()
    for _ in range(20):
        assert signer.sign()
    assert spine.proxy.names() == ["Sign"] * 20
    assert signer.close() == ""


def test_twenty_keys_in_rotation(spine, openssl):
    names = ["k%d" % n for n in range(20)]
    for n, name in enumerate(names):
        spine.add_key(name, "rsa-2048" if n == 7 else "ec-p256")
    signers = [Signer(openssl, "holdfast:" + name) for name in names]
    for turn in range(4):
        for signer in signers:
            spine.proxy.commands.clear()
            assert signer.sign()
            seen = spine.proxy.names()
            if turn:
                assert seen.count("Sign") == 1 and set(seen) <= ROTATION and len(seen) <= 4, seen
    for signer in signers:
        assert signer.close() == ""


def two_hundred_keys(spine):
    """And a restart: they come from the disk."""
    names = ["k%d" % n for n in range(200)]
    for name in names:
        spine.add_key(name)
    spine.stop()
    spine.start()
    return names


def sign_with(spine, name):
    reply = spine.call(sign={"key": {"name": name}, "scheme": "ecdsa-sha256", "data": bytes(range(32))})
    assert reply.signature.spki_sha256 == spine.keys[name].current.hash


def test_two_hundred_keys_and_a_restart(spine, openssl):
    """Keys that came from the disk, in any order, on a TPM with three slots."""
    names = two_hundred_keys(spine)
    random.Random(3).shuffle(names)
    signers = {name: Signer(openssl, "holdfast:" + name) for name in names[:3]}
    for name in names:
        sign_with(spine, name)
        for signer in signers.values():
            assert signer.sign()
    for signer in signers.values():
        assert signer.close() == ""
    assert len(cli(spine, "key", "list", "--names").stdout.split()) == 200


@pytest.mark.root  # to look at the memory of a process that gives up being dumpable
@pytest.mark.plain
def test_the_broker_is_small_with_two_hundred_keys(spine):
    for name in two_hundred_keys(spine):
        sign_with(spine, name)
    warden = spine.process.pid
    with open("/proc/%d/task/%d/children" % (warden, warden)) as f:
        pids = [int(pid) for pid in f.read().split()]
    comms = {open("/proc/%d/comm" % pid).read().strip(): pid for pid in pids}
    with open("/proc/%d/smaps_rollup" % comms["holdfastd"]) as f:
        pss = next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    assert 100 < pss <= 3072, "%d KiB" % pss


@pytest.mark.parametrize("algorithm", ["ec-p256", "rsa-2048"])
def test_tpm2_openssl_opens_what_the_broker_keeps(spine, openssl, algorithm, tmp_path):
    spine.add_key("a", algorithm)
    openssl("pkey", "-in", "holdfast:a", "-pubout", "-out", "pub.pem")
    (file,) = glob.glob(spine.dir + "/state/keys/a/*.pem")
    spine.stop()  # the software TPM serves one connection at a time
    (tmp_path / "data").write_text("something to sign")
    env = dict(os.environ, TPM2OPENSSL_TCTI=spine.tpm.tcti, OPENSSL_CONF="/dev/null")
    subprocess.run(["openssl", "dgst", "-provider", "tpm2", "-provider", "default", "-propquery",
                    "?provider=tpm2", "-sha256", "-sign", file, "-out", "sig", "data"],
                   env=env, cwd=tmp_path, check=True, timeout=60)
    openssl.plain("dgst", "-sha256", "-verify", "pub.pem", "-signature", "sig", "data")
    spine.start()


def test_tpm_goes_and_comes(tmp_path):
    """Nobody waits, everybody is told, and the same broker goes on."""
    b = RealBroker().start()
    try:
        b.algorithms()
        b.add_key("a")
        openssl = Openssl(str(tmp_path), b.path, "dropin")
        signer = Signer(openssl, "holdfast:a")
        assert signer.sign()
        (tmp_path / "data").write_text("something to sign")
        broker = b.call(status_get={}).status_reply
        b.tpm.kill()
        for _ in range(2):
            since = time.monotonic()
            p = cli(b, "sign", "a", str(tmp_path / "data"), "--out", str(tmp_path / "sig"), code=4)
            assert time.monotonic() - since < 2, "it was not clear within two seconds"
            assert "key a" in p.stderr and "tpm" in p.stderr, p.stderr
        assert "tpm: " in cli(b, "status", code=4).stdout
        assert "unavailable" in cli(b, "token", "list").stdout
        since = time.monotonic()
        assert not signer.sign()
        assert time.monotonic() - since < 4, "the provider asks twice"
        b.tpm.start()
        until(signer.sign)
        cli(b, "sign", "a", str(tmp_path / "data"), "--out", str(tmp_path / "sig"))
        assert b.process.poll() is None
        assert b.call(status_get={}).status_reply.uptime_s >= broker.uptime_s
        assert "key a" in signer.close(), "the program was not told which key"
    finally:
        b.close()


def test_another_tpm(tmp_path):
    """The whole of it is said: what is wrong is long, and what to do about it stands at the end."""
    b = RealBroker().start()
    try:
        b.algorithms()
        b.add_key("a")
        b.stop()
        b.tpm.kill()
        shutil.rmtree(b.tpm.dir + "/state")
        b.tpm.start()
        b.start()
        for _ in range(2):
            p = cli(b, "sign", "a", "/dev/null", "--out", str(tmp_path / "sig"), code=1)
            assert "key a" in p.stderr and "another TPM" in p.stderr and "restart holdfastd" in p.stderr, p.stderr
        p = cli(b, "status", code=4)
        assert "wrong" in p.stdout and "restart holdfastd" in p.stdout
    finally:
        b.close()


def told_in_time(b, *words):
    """The command fails as it should, and the seconds until it has said so."""
    since = time.monotonic()
    p = cli(b, *words, code=4)
    assert "tpm" in p.stderr and "answer" in p.stderr, p.stderr
    return time.monotonic() - since


def stopped(b, words):
    """What six clients hear at once of a TPM that hangs; it goes on afterwards."""
    b.tpm.process.send_signal(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            return list(pool.map(lambda n: told_in_time(b, *words(n)), range(6)))
    finally:
        b.tpm.process.send_signal(signal.SIGCONT)


@pytest.fixture(name="hanging")
def fixture_hanging(tmp_path):
    b = RealBroker().start()
    b.algorithms()
    b.add_key("a")
    (tmp_path / "data").write_text("something to sign")
    yield b
    b.close()


def test_tpm_hangs(hanging, tmp_path):
    """However many wait, and however often it happens: each is told in time, none after the other."""
    sign = ["sign", "a", str(tmp_path / "data"), "--out", str(tmp_path / "sig")]
    for _ in range(3):
        assert max(stopped(hanging, lambda n: sign)) < 2
        assert max(stopped(hanging, lambda n: sign)) < 2, "the second time it is known"
        since = time.monotonic()
        cli(hanging, *sign)
        assert time.monotonic() - since < 1, "it is there again"
    assert hanging.process.poll() is None


def test_no_key_of_a_tpm_that_hangs(hanging):
    """The making of a key may take minutes. To hear that there will be none may not."""
    def create(n):
        return ["key", "create", "k%d" % n, "--algorithm", "rsa-2048" if n < 2 else "ec-p256"]
    assert max(stopped(hanging, create)) < 2
    assert max(stopped(hanging, create)) < 2, "the second time it is known"
    since = time.monotonic()
    cli(hanging, "key", "create", "k")
    assert time.monotonic() - since < 1, "it is there again"
    assert set(cli(hanging, "key", "list", "--names").stdout.split()) == {"a", "k"}


def test_broker_starts_on_a_tpm_that_hangs(hanging, tmp_path):
    sign = ["sign", "a", str(tmp_path / "data"), "--out", str(tmp_path / "sig")]
    hanging.stop()
    hanging.tpm.process.send_signal(signal.SIGSTOP)
    hanging.start()
    assert max(stopped(hanging, lambda n: sign)) < 2
    cli(hanging, *sign)


def test_truncated_key_file_harms_no_other(spine, openssl):
    spine.add_key("good")
    spine.add_key("bad")
    (file,) = glob.glob(spine.dir + "/state/keys/bad/*.pem")
    spine.stop()
    os.truncate(file, os.path.getsize(file) // 2)
    spine.start()
    r = openssl.fails("dgst", "-sha256", "-sign", "holdfast:bad", "-out", "sig", openssl.conf)
    assert "bad" in r.errors
    openssl("dgst", "-sha256", "-sign", "holdfast:good", "-out", "sig", openssl.conf)
    assert "bad" in cli(spine, "sign", "bad", openssl.conf, "--out", openssl.path("x"), code=1).stderr
    assert not os.path.exists(openssl.path("x"))


@pytest.mark.parametrize("words,code,says", [
    (["sign", "nobody", "/dev/null", "--out", "x"], 3, "nobody"),
    (["key", "create", "b", "--algorithm", "ec-p25"], 2, "ec-p256"),
    (["key", "create", "../b"], 2, "../b"),
    (["key", "create", "b", "--token", "other"], 2, "other"),
])
def test_bad_requests_say_what_is_wrong(spine, words, code, says):
    assert says in cli(spine, *words, code=code).stderr
    assert cli(spine, "key", "list", "--names").stdout == ""
