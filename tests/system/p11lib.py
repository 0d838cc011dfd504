# SPDX-License-Identifier: Apache-2.0
"""PKCS#11 tokens for tests: SoftHSM, and tpm2-pkcs11 over a software TPM."""

import glob
import os
import shutil
import subprocess
import tempfile

import pytest

import keeperlib
from keeperlib import pb

PIN, SO_PIN = "240118", "5791338"


def module(*names):
    """Debian keeps modules in the library directory of the machine."""
    for name in names:
        for path in sorted(glob.glob("/usr/lib/*/" + name) + glob.glob("/usr/lib/" + name)):
            return path
    raise AssertionError("no module %s; ./swtpm-ci/setup installs it" % names[0])


SOFTHSM = module("softhsm/libsofthsm2.so")
TPM2 = module("pkcs11/libtpm2_pkcs11.so", "libtpm2_pkcs11.so.1")


class SoftHsm:
    """A fresh token "edge" in a directory with a short path."""

    kind = "softhsm"
    uri = "pkcs11:token=edge"

    def __init__(self, path=SOFTHSM):
        self.dir = tempfile.mkdtemp(prefix="hf-p11.", dir="/tmp")
        self.module = path
        os.mkdir(os.path.join(self.dir, "tokens"))
        conf = os.path.join(self.dir, "softhsm2.conf")
        with open(conf, "w") as f:
            f.write("directories.tokendir = %s/tokens\nobjectstore.backend = file\n"
                    "log.level = ERROR\nslots.removable = false\n" % self.dir)
        self.env = {"SOFTHSM2_CONF": conf}
        self.tool("softhsm2-util", "--init-token", "--free", "--label", "edge", "--pin", PIN,
                  "--so-pin", SO_PIN)
        self.write_pin(PIN)

    def tool(self, *command, check=True, **more):
        return subprocess.run(command, env=dict(os.environ, **self.env), check=check,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)

    def write_pin(self, pin):
        """As people do: a new file over the old one."""
        self.pin_file = os.path.join(self.dir, "pin")
        with open(self.pin_file + ".new", "w") as f:
            os.chmod(self.pin_file + ".new", 0o600)
            f.write(pin + "\n")
        os.rename(self.pin_file + ".new", self.pin_file)

    def objects(self, kind="privkey"):
        out = self.tool("pkcs11-tool", "--module", SOFTHSM, "--login", "--pin", PIN,
                        "--list-objects", "--type", kind).stdout
        return [line.split("label:")[1].strip() for line in out.splitlines() if "label:" in line]

    def close(self):
        shutil.rmtree(self.dir)


class P11Keeper(keeperlib.Keeper):
    """A keeper with the descriptors that the warden gives it for such a token."""

    def __init__(self, token, logins=None, env=None, leaks=False):
        """`leaks`: the module is known to leak, so that LeakSanitizer is of no use."""
        env = dict(env or {})
        if leaks:
            env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        self.token = token
        self.logins = logins or os.path.join(token.dir, "logins")
        pin = os.open(token.pin_file, os.O_RDONLY) if token.pin_file else -1
        record = os.open(self.logins, os.O_RDWR | os.O_CREAT, 0o600)
        super().__init__(env=dict(token.env, TSS2_LOG="all+none", **env), more={4: pin, 5: record})
        for fd in (pin, record):
            if fd >= 0:
                os.close(fd)

    def open(self, uri=None):
        r = pb.KeeperRequest()
        r.open.type, r.open.module, r.open.uri = "pkcs11", self.token.module, uri or self.token.uri
        return self.call(r).opened

    def provision_after_open(self):
        """As the broker does it: the answer to the first question may be an error."""
        with pytest.raises(keeperlib.Failed):
            self.open()
        return self.provision()

    def decrypt(self, key, scheme, data, label=b"", versions=(0, 0)):
        r = pb.KeeperRequest()
        r.data = data
        key.fill(r.decrypt.key)
        r.decrypt.scheme, r.decrypt.label = scheme, label
        r.decrypt.tls_client_version, r.decrypt.tls_negotiated_version = versions
        return self.call(r).secret.data

    def derive(self, key, peer):
        r = pb.KeeperRequest()
        r.data = peer
        key.fill(r.derive.key)
        r.derive.scheme = "ecdh"
        return self.call(r).secret.data

    def wrap(self):
        r = pb.KeeperRequest()
        r.wrap.SetInParent()
        return self.call(r).wrap

    def import_key(self, form, blob, usage=keeperlib.SIGN, spki=b"", name="came"):
        r = pb.KeeperRequest()
        r.data = blob
        r.import_key.format, r.import_key.usage = form, usage
        r.import_key.spki, r.import_key.name = spki, name
        return keeperlib.Key(self.call(r).created, usage)

    def destroy(self, key):
        r = pb.KeeperRequest()
        key.fill(r.destroy.key)
        self.call(r)


class ShimmedHsm(SoftHsm):
    """SoftHSM behind p11shim.so: `fault` makes it lie, `calls` tells what it was asked."""

    def __init__(self):
        super().__init__()
        self.module = os.path.join(keeperlib.BUILD, "tests", "system", "p11shim.so")
        self.faults, self.log = os.path.join(self.dir, "faults"), os.path.join(self.dir, "calls")
        self.env.update(P11SHIM_MODULE=SOFTHSM, P11SHIM_FAULTS=self.faults, P11SHIM_LOG=self.log)

    def fault(self, *lines):
        """(function, action, number, times); times 0: always. Without any: none any more."""
        with open(self.faults + ".new", "w") as f:
            for function, action, number, times in lines:
                f.write("%s %s %x %x\n" % (function, action, number, times))
        os.rename(self.faults + ".new", self.faults)

    def used_up(self):
        """Was every fault that is not for always met?"""
        with open(self.faults) as f:
            return all(line.split()[3] in ("0", "f" * 16) for line in f)

    def calls(self, function):
        if not os.path.exists(self.log):
            return 0
        with open(self.log) as f:
            return f.read().split().count(function)


class Tpm2Pkcs11(SoftHsm):
    """tpm2-pkcs11 over a software TPM of its own, which serves one connection at a time."""

    kind = "tpm2-pkcs11"

    def __init__(self):  # pylint: disable=super-init-not-called
        self.tpm = keeperlib.Swtpm()
        self.dir = tempfile.mkdtemp(prefix="hf-p11.", dir="/tmp")
        self.module = TPM2
        self.env = {"TPM2_PKCS11_STORE": self.dir, "TPM2_PKCS11_TCTI": self.tpm.tcti,
                    "TSS2_LOG": "all+none"}
        # Not tpm2_ptool: it leaves objects in a TPM without a resource manager.
        self.tool("pkcs11-tool", "--module", TPM2, "--init-token", "--slot", "1", "--label", "edge",
                  "--so-pin", SO_PIN)
        self.tool("pkcs11-tool", "--module", TPM2, "--init-pin", "--slot", "1", "--login",
                  "--so-pin", SO_PIN, "--new-pin", PIN)
        self.write_pin(PIN)

    def close(self):
        super().close()
        self.tpm.close()
