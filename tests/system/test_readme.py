# SPDX-License-Identifier: Apache-2.0
"""The commands of README.md's tour, as written, one after the other."""
import os
import re
import subprocess

from keeperlib import BUILD, ROOT

import pytest


def tour():
    with open(os.path.join(ROOT, "README.md")) as f:
        part = f.read().split("## A tour of five minutes")[1].split("\n## ")[0]
    return [re.findall(r"^```sh\n(.*?)^```$", half, re.S | re.M)
            for half in part.split("with-holdfast --agent bash")]


def walk(blocks, folder, *options):
    """Runs them in one shell; what they said."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HOLDFAST_", "OPENSSL_"))}
    # "! command" has to fail; without the subshell bash -e would not notice if it did not.
    script = re.sub(r"^! (.*)$", r"if \1; then echo 'this was to fail'; exit 1; fi", "\n".join(blocks),
                    flags=re.M)
    p = subprocess.run([ROOT + "/swtpm-ci/with-holdfast", *options, "bash", "-euxo", "pipefail", "-c", script],
                       cwd=folder, env=dict(env, HOLDFAST_BUILD=BUILD), timeout=120,
                       capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, p.stdout + p.stderr
    return p.stdout + p.stderr


@pytest.mark.plain
def test_tour(tmp_path):
    first, second = tour()
    assert len(first) >= 5
    said = walk(first, tmp_path)
    for words in ("Verified OK", "web.pem: OK", "-extfile", "profile allows 90", "keyz", "keys", "retiring"):
        assert words in said, words
    said = walk(second, tmp_path, "--agent")
    for words in ("aziot-edge CA", "not for production", " 0 errors"):
        assert words in said, words


def test_every_command_that_is_named_exists():
    with open(os.path.join(ROOT, "README.md")) as f:
        text = f.read()
    for path in re.findall(r"(?:\./)?(swtpm-ci/[a-z-]+)", text):
        assert os.access(os.path.join(ROOT, path), os.X_OK), path
    for path in re.findall(r"docs/[A-Z-]+\.md", text):
        assert os.path.exists(os.path.join(ROOT, path)), path
