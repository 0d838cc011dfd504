# SPDX-License-Identifier: Apache-2.0
"""Runs the guides of docs/guides as they are written, on a device of swtpm-ci/with-device.

In a guide a block is either commands, marked `sh` ("! command" has to fail), or the whole content
of a file, whose path is in its first line as a comment. Blocks with another mark and no path are
shown and not run. A guide's "Before this: [other.md](other.md)" is done before it.
"""
import os
import re
import shlex
import subprocess

from keeperlib import BUILD, ROOT

GUIDES = os.path.join(ROOT, "docs", "guides")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)


def text_of(name):
    with open(os.path.join(GUIDES, name)) as f:
        return f.read()


def commands(block):
    """Without the `if`, `bash -e` would not notice that "! command" succeeds."""
    return re.sub(r"^! (.*(?:\\\n.*)*)$", r"if \1; then echo 'this was to fail'; exit 1; fi", block,
                  flags=re.M)


def file_block(block):
    """Commands that write the file, or nothing if the block names none."""
    path = re.match(r"[#;] (/\S+)\n", block)
    if not path:
        return ""
    where = shlex.quote(path.group(1))
    return "mkdir -p $(dirname %s)\ncat > %s <<'END-OF-FILE'\n%sEND-OF-FILE\n" % (where, where, block)


def script(name, done=None):
    done = set() if done is None else done
    if name in done:
        return ""
    done.add(name)
    text = text_of(name)
    out = ""
    for other in re.findall(r"Before this:\s+\[[^]]+\]\((\w+\.md)\)", text):
        out += script(other, done)
    out += ": ---- %s\n" % name
    for kind, block in FENCE.findall(text):
        out += commands(block) if kind == "sh" else file_block(block)
    return out


def troubles(name):
    """What the guide's last table says that one sees, by what stands between backquotes."""
    table = text_of(name).split("## What goes wrong")[1]
    return [re.findall(r"`([^`]+)`", row.split("|")[1])[0]
            for row in re.findall(r"^\| `.*$", table, re.M)]


def on_device(commands_text, timeout=120, options=()):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HOLDFAST_", "OPENSSL_"))}
    return subprocess.run([ROOT + "/swtpm-ci/with-device", *options, "bash", "-euxo", "pipefail", "-c",
                           commands_text], env=dict(env, HOLDFAST_BUILD=BUILD), timeout=timeout,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, errors="replace")


def run(name, more="", timeout=120):
    """The guide, then `more` in the same shell; everything that was said."""
    done = on_device(script(name) + ": ---- the test\n" + more, timeout)
    assert done.returncode == 0, done.stdout
    return done.stdout
