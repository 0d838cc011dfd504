# SPDX-License-Identifier: Apache-2.0
"""What the with-* commands share: a directory, daemons and a command, none of which is left behind.

Whatever ends first and however - the command, ^C, SIGTERM, kill -9 of this process - the daemons
die with it (PR_SET_PDEATHSIG), what the command left running is ended (this process is a
subreaper), and the directory goes (a watcher removes it when it sees this process gone).
"""

import contextlib
import ctypes
import glob
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LIBC = ctypes.CDLL(None)
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Failure(Exception):
    """Ends the command with a message and exit status 99: the fixture failed, not the command."""


def build_dir():
    return os.path.abspath(os.environ.get("HOLDFAST_BUILD", os.path.join(ROOT, "build")))


def _child(parent, sig):
    """In a child before exec: dies with its parent, hears the signals that the parent masked."""
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    LIBC.prctl(PR_SET_PDEATHSIG, int(sig))
    if os.getppid() != parent:
        os._exit(99)


def children():
    with open("/proc/self/task/%d/children" % os.getpid()) as f:
        return [int(pid) for pid in f.read().split()]


def end(pids, sig, seconds=8):
    """Signals and reaps children; those that are still there after `seconds`."""
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass
    until, left = time.monotonic() + seconds, list(pids)
    while left and time.monotonic() < until:
        for pid in list(left):
            try:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    left.remove(pid)
            except ChildProcessError:
                left.remove(pid)
        time.sleep(0.005 if left else 0)
    return left


class Fixture:
    """A context manager; `dir` is gone after it."""

    def __init__(self, prefix):
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, set(FORWARDED) | {signal.SIGCHLD})
        self.dir = tempfile.mkdtemp(prefix=prefix, dir="/tmp")
        self.daemons = []
        self.watcher = self._watch()

    def _watch(self):
        """(pid, pipe) of a process that removes the directory when the pipe closes unspoken."""
        read, write = os.pipe()
        pid = os.fork()
        if pid:
            os.close(read)
            return pid, write
        os.setsid()
        os.close(write)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        gone = os.read(read, 1) == b""
        for _ in range(50 if gone else 0):  # the daemons are dying at this moment
            shutil.rmtree(self.dir, ignore_errors=True)
            if not os.path.exists(self.dir):
                break
            time.sleep(0.1)
        os._exit(0)

    def daemon(self, args, ready, log, **more):
        """Starts a daemon; `ready` tells whether it is there. Its log is shown if it is not."""
        parent = os.getpid()
        with open(log, "ab") as out:
            process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       preexec_fn=lambda: _child(parent, signal.SIGTERM), **more)
        self.daemons.append(process)
        until = time.monotonic() + 20
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                with open(log, errors="replace") as text:
                    raise Failure("%s did not start:\n%s" % (args[0], text.read()))
            time.sleep(0.005)

    def run(self, args, env):
        """Runs the command in the foreground; its exit status, 128 + n for signal n."""
        parent = os.getpid()
        try:
            process = subprocess.Popen(args, env=env,
                                       preexec_fn=lambda: _child(parent, signal.SIGTERM))
        except OSError as e:
            print("%s: %s" % (args[0], e.strerror), file=sys.stderr)
            return 127 if isinstance(e, FileNotFoundError) else 126
        while process.poll() is None:
            info = signal.sigwaitinfo(set(FORWARDED) | {signal.SIGCHLD})
            if info.si_signo != signal.SIGCHLD and process.poll() is None:
                process.send_signal(info.si_signo)
        code = process.returncode
        return 128 - code if code < 0 else code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        mine = {d.pid for d in self.daemons} | {self.watcher[0]}
        while True:  # what the command left running, and what those leave in turn
            left = [pid for pid in children() if pid not in mine]
            if not left:
                break
            end(end(left, signal.SIGTERM, 2), signal.SIGKILL)
        for d in reversed(self.daemons):
            end(end([d.pid], signal.SIGTERM), signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)
        with contextlib.suppress(BrokenPipeError):  # somebody has killed the watcher
            os.write(self.watcher[1], b"x")
        os.close(self.watcher[1])


def start_swtpm(fixture):
    """A fresh TPM in the fixture's directory; its TCTI and state directory."""
    state, path = os.path.join(fixture.dir, "tpmstate"), os.path.join(fixture.dir, "tpm")
    os.mkdir(state, 0o700)
    fixture.daemon(
        ["swtpm", "socket", "--tpm2", "--tpmstate", "dir=" + state,
         "--server", "type=unixio,path=" + path, "--ctrl", "type=unixio,path=" + path + ".ctrl",
         "--flags", "not-need-init,startup-clear"],
        lambda: os.path.exists(path) and os.path.exists(path + ".ctrl"),
        os.path.join(fixture.dir, "swtpm.log"))
    return "swtpm:path=" + path, state


def certify_swtpm(state, ca):
    """Gives a new TPM's state an endorsement key with a certificate, by a CA of our own in the
    directory `ca`; the PEM file of that CA. A software TPM has none otherwise."""
    for path in (state, ca):
        os.makedirs(path, 0o700, exist_ok=True)
    conf = {"localca.conf": "statedir = {0}\nsigningkey = {0}/key.pem\nissuercert = {0}/issuer.pem\n"
                            "certserial = {0}/serial\n",
            "options": "--platform-manufacturer holdfast\n--platform-version 1\n"
                       "--platform-model swtpm\n",
            "setup.conf": "create_certs_tool = /usr/bin/swtpm_localca\n"
                          "create_certs_tool_config = {0}/localca.conf\n"
                          "create_certs_tool_options = {0}/options\nactive_pcr_banks = sha256\n"}
    for name, text in conf.items():
        with open(os.path.join(ca, name), "w") as f:
            f.write(text.format(ca))
    done = subprocess.run(["swtpm_setup", "--tpm2", "--tpmstate", state, "--create-ek-cert",
                           "--config", os.path.join(ca, "setup.conf")], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Failure("the TPM gets no certificate:\n" + done.stdout + done.stderr)
    return os.path.join(ca, "issuer.pem")


def find_module(name):
    """A PKCS#11 module where Debian keeps it: in the library directory of the machine."""
    for path in sorted(glob.glob("/usr/lib/*/" + name) + glob.glob("/usr/lib/" + name)):
        return path
    raise Failure("there is no %s; ./swtpm-ci/setup installs it" % os.path.basename(name))


def make_softhsm(fixture, label="edge"):
    """A fresh SoftHSM token in the fixture's directory; what the environment says about it."""
    base = os.path.join(fixture.dir, "softhsm")
    os.makedirs(os.path.join(base, "tokens"), 0o700)
    conf, pin_file = os.path.join(base, "softhsm2.conf"), os.path.join(base, "pin")
    pin, so_pin = ("%08d" % secrets.randbelow(10**8) for _ in range(2))
    with open(conf, "w") as f:
        f.write("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n"
                % os.path.join(base, "tokens"))
    with open(os.open(pin_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(pin + "\n")
    env = dict(os.environ, SOFTHSM2_CONF=conf)
    # Both PINs in argv: softhsm2-util has no other way, and they are worth nothing.
    done = subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", label, "--pin",
                           pin, "--so-pin", so_pin], env=env, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Failure("the token cannot be made:\n" + done.stdout + done.stderr)
    return {"HOLDFAST_PKCS11_MODULE": find_module("softhsm/libsofthsm2.so"),
            "HOLDFAST_PKCS11_URI": "pkcs11:token=" + label,
            "HOLDFAST_PKCS11_PIN_FILE": pin_file, "SOFTHSM2_CONF": conf}


def main(body):
    """Runs body() as the whole program."""
    name = os.path.basename(sys.argv[0])
    try:
        sys.exit(body())
    except Failure as e:
        print("%s: %s" % (name, e), file=sys.stderr)
    except FileNotFoundError as e:
        print("%s: %s: not found; ./swtpm-ci/setup installs what is missing, './swtpm-ci/demo' "
              "builds holdfast" % (name, e.filename), file=sys.stderr)
    sys.exit(99)
