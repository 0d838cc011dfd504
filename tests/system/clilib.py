# SPDX-License-Identifier: Apache-2.0
"""The command holdfast, and a broker that was configured by it, on a TPM of its own."""
import json
import os
import shutil
import signal
import subprocess
import tempfile

from keeperlib import BUILD, KEEPER, Swtpm, until

CLI = os.path.join(BUILD, "src", "cli", "holdfast")
ENV = {k: v for k, v in os.environ.items() if not k.startswith("HOLDFAST_") and k != "OPENSSL_CONF"}
ALL = '["public", "sign", "ca", "decrypt", "derive", "create", "rotate", "delete", "admin"]'


class Done:
    def __init__(self, p):
        self.code, self.raw, self.err = p.returncode, p.stdout, p.stderr.decode()
        self.out = p.stdout.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.out)


class Home:
    """A --root with a configuration, and `run` to call the command there."""

    def __init__(self, config=""):
        self.dir = tempfile.mkdtemp(prefix="hf-cli.", dir="/tmp")
        self.write(config)

    def path(self, *name):
        return os.path.join(self.dir, *name)

    def write(self, text, name="etc/config.toml"):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write(text)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def run(self, *words, code=0, stdin=b"", root=True, env=(), **more):
        args = [CLI, *words] + (["--root", self.dir] if root else [])
        p = Done(subprocess.run(args, input=stdin, capture_output=True, timeout=60,
                                env={**ENV, **dict(env)}, cwd=self.dir, **more))
        assert "Sanitizer" not in p.err and "runtime error" not in p.err, p.err
        assert code is None or p.code == code, (words, p.code, p.out, p.err)
        return p

    def json(self, *words, code=0, **more):
        return self.run("--json", *words, code=code, **more).json

    def close(self):
        shutil.rmtree(self.dir)


def warnings(err):
    """Those that are not of files which a test has no use for."""
    return [line for line in err.split("\n") if line.startswith("warning: ") and
            "there is no file" not in line and "cannot be run" not in line]


class Running(Home):
    """...and with holdfastd running on what `config apply` made of it."""

    def __init__(self, config="", grant="", socket=None, token="", tpm=None):
        self.tpm = tpm or Swtpm()
        self.socket = socket
        super().__init__(f'[[token]]\nname = "tpm"\ntcti = "{self.tpm.tcti}"\n{token}'
                         f'[[principal]]\nuid = {os.getuid()}\nkeys = ["*"]\nrights = {ALL}\n{grant}' + config)
        self.run("config", "apply")
        self.daemon = None
        self.start()

    def start(self):
        with open(self.path("log"), "ab") as log:
            self.daemon = subprocess.Popen(
                [os.path.join(BUILD, "src", "broker", "holdfastd"), "--root", self.dir,
                 "--keeper", KEEPER], stderr=log, env=ENV)
        until(lambda: self.daemon.poll() is not None or self.ready())
        assert self.daemon.poll() is None, self.read("log")

    def ready(self):
        where = ["--socket", self.socket] if self.socket else ["--root", self.dir]
        p = subprocess.run([CLI, "token", "list", "--json", *where], capture_output=True, env=ENV)
        return p.returncode == 0 and json.loads(p.stdout)["tokens"][0]["state"] == "ready"

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        assert self.daemon.wait(20) == 0, self.read("log")

    def close(self):
        if self.daemon.poll() is None:
            self.stop()
        self.tpm.close()
        super().close()
