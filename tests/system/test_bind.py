# SPDX-License-Identifier: Apache-2.0
"""docs/guides/bind.md as written where BIND takes keys of a provider; and that it does not before."""
import os
import re
import subprocess

import pytest

from keeperlib import BUILD, ROOT

GUIDE = ROOT + "/docs/guides/bind.md"
WRONG = """
try() { if dnssec-keyfromlabel "$@" example.org; then exit 1; fi; }
try -a ECDSAP256SHA256 -l holdfast:nosuch
try -a RSASHA256 -l holdfast:zsk
openssl pkey -in holdfast:nosuch -pubout -noout || true
"""


def version():
    said = subprocess.run(["dnssec-keyfromlabel", "-V"], capture_output=True, text=True, check=False)
    return tuple(int(n) for n in re.search(r"(\d+)\.(\d+)\.", said.stdout + said.stderr).groups())


def run(commands, directory):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HOLDFAST_", "OPENSSL_"))}
    return subprocess.run([ROOT + "/swtpm-ci/with-holdfast", "bash", "-euo", "pipefail", "-c", commands],
                          cwd=directory, stdin=subprocess.DEVNULL, text=True, timeout=120,
                          env=dict(env, HOLDFAST_BUILD=BUILD), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)


@pytest.mark.plain
def test_guide(tmp_path):
    with open(GUIDE) as f:
        text = f.read()
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.S | re.M))
    p = run(commands, tmp_path)
    if version() < (9, 20):
        assert p.returncode and "no engine" in p.stdout, p.stdout
        return
    assert p.returncode == 0 and "KSKs: 1 active" in p.stdout, p.stdout
    made = [f for f in os.listdir(tmp_path) if f.endswith(".private")]
    assert len(made) == 2
    for name in made:
        lines = [line.split(":")[0] for line in (tmp_path / name).read_text().splitlines()]
        assert "Label" in lines and "PrivateKey" not in lines
    p = run("holdfast key create zsk\n" + WRONG, tmp_path)
    assert p.returncode == 0, p.stdout
    for words in "crypto failure", "bad key type":
        assert words in p.stdout and f"| `{words}` |" in text, p.stdout
    assert "no such key, or not yours" in p.stdout
