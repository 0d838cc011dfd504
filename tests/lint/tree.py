# SPDX-License-Identifier: Apache-2.0
"""What the lints share: which files there are."""

import os
import subprocess

ROOT = os.environ.get("HOLDFAST_LINT_ROOT") or os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def files():
    """Every file of the project, also one that is not committed yet. A tarball has no git."""
    listed = subprocess.run(["git", "-C", ROOT, "-c", "safe.directory=*", "ls-files", "-co",
                             "--exclude-standard"], capture_output=True, text=True)
    names = listed.stdout.split("\n") if listed.returncode == 0 else [
        os.path.relpath(os.path.join(d, n), ROOT) for d, dirs, names in os.walk(ROOT)
        for n in names if not os.path.relpath(d, ROOT).startswith("build")]
    return [os.path.join(ROOT, n) for n in names if n and os.path.isfile(os.path.join(ROOT, n))]


def sources(below=("src", "provider", "tests")):
    return [f for f in files() if f.endswith((".c", ".h", ".cc"))
            and os.path.relpath(f, ROOT).split("/")[0] in below]
