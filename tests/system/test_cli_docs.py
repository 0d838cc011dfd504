# SPDX-License-Identifier: Apache-2.0
"""Manual pages, completion and --help say what the command's own tables say: all, and no more."""
import os
import re
import subprocess
import sys

import pytest

from clilib import CLI, ENV, Home, Running
from keeperlib import BUILD, ROOT

sys.path.insert(0, os.path.join(ROOT, "docs", "man"))
import rows  # noqa: E402

COMPLETION = os.path.join(ROOT, "dist", "holdfast.bash")
PAGES = ["holdfast.1", "holdfast-config.5", "holdfastd.8", "holdfast-keeper.8", "holdfast-est.8"]
GLOBALS = {"json", "socket", "root", "help"}


def page(name):
    with open(os.path.join(ROOT, "docs", "man", name)) as f:
        return f.read()


@pytest.fixture(scope="module")
def home():
    h = Home()
    yield h
    h.close()


@pytest.fixture(scope="module")
def commands(home):
    return home.json("help")["commands"]


def title(command):
    return " ".join(filter(None, [command["noun"], command.get("verb")]))


def manual():
    """{command: its options} of holdfast(1)."""
    found = {}
    for part in re.split(r"^\.It Nm Cm ", page("holdfast.1"), flags=re.M)[1:]:
        name = re.split(r" (?:Ar|Op)\b|\n", part)[0].strip()
        part = part.split(".Sh ")[0]
        found[name] = set(re.findall(r"^\.It Fl -(\S+)", part, flags=re.M))
    return found


def test_manual_has_all_commands_and_options(commands):
    assert manual() == {title(c): {o["name"] for o in c["options"]} for c in commands}


def test_manual_has_the_global_options():
    head = page("holdfast.1").split(".Sh COMMANDS")[0]
    assert set(re.findall(r"^\.It Fl -(\S+)", head, flags=re.M)) == GLOBALS


def test_help_has_all(home, commands):
    overall = home.run("help").out
    for c in commands:
        assert re.search(rf"^  {title(c)} +.*{re.escape(c['doc'])}$", overall, flags=re.M), c
        own = home.run(*title(c).split(), "--help").out
        given = set(re.findall(r"^  --(\S+)", own, flags=re.M))
        assert given == {o["name"] for o in c["options"]} | GLOBALS, c
        for o in c["options"]:
            assert o["doc"] in own


def complete(line):
    """What bash offers for the last word of @line."""
    words = line.split(" ")
    script = (f'source "{COMPLETION}"; COMP_WORDS=({" ".join(map(repr, words))}); '
              f'COMP_CWORD={len(words) - 1}; _holdfast; printf "%s\\n" "${{COMPREPLY[@]}}"')
    p = subprocess.run(["bash", "-u", "-c", script], capture_output=True, text=True, check=True,
                       env={**ENV, "PATH": os.path.dirname(CLI) + ":" + ENV["PATH"]})
    assert not p.stderr, p.stderr
    return set(p.stdout.split())


def test_completion_has_all_commands(commands):
    nouns = {c["noun"] for c in commands}
    assert complete("holdfast ") == nouns
    for noun in nouns - {"help"}:
        verbs = {c["verb"] for c in commands if c["noun"] == noun and "verb" in c}
        if verbs:
            assert complete(f"holdfast {noun} ") == verbs
            assert complete(f"holdfast help {noun} ") == verbs
    assert complete("holdfast help ") == nouns - {"help"}
    assert complete("holdfast key re") == {"reference"}
    assert complete("holdfast --json key re") == {"reference"}


def test_completion_has_all_options(commands):
    for c in commands:
        got = complete(f"holdfast {title(c)} --")
        assert got == {"--" + o for o in {o["name"] for o in c["options"]} | GLOBALS}, c


def test_completion_has_all_algorithms_and_usages(home):
    err = home.run("key", "create", "x", "--algorithm", "nonesuch", code=2).err
    known = set(err.split("there are: ")[1].strip().split(", "))
    assert complete("holdfast key create x --algorithm ") == known - {"ed25519"}  # no TPM has it
    assert complete("holdfast key create x --usage c") == {"ca"}


def test_completion_offers_keys():
    r = Running()
    try:
        r.run("key", "create", "edge-ca", "--usage", "ca")
        schemes = r.json("key", "create", "web")["schemes"]
        where = f"--root {r.dir}"
        for verb in ("show", "public", "reference", "rotate", "delete", "issuer"):
            assert complete(f"holdfast {where} key {verb} ") == {"edge-ca", "web"}, verb
        assert complete(f"holdfast {where} sign w") == {"web"}
        assert complete(f"holdfast {where} key create x --token ") == {"tpm"}
        assert complete(f"holdfast {where} token provision ") == {"tpm"}
        assert complete(f"holdfast {where} key create ") == set()
        assert complete(f"holdfast {where} key show web ") == set()
        assert complete("holdfast key create x --scheme ") >= set(schemes)
    finally:
        r.close()


def test_completion_offers_certificates_and_checks():
    h = Home()
    try:
        h.run("config", "apply")
        for verb in ("show", "renew", "reset"):
            assert complete(f"holdfast --root {h.dir} cert {verb} ") == {"edge-ca"}
        assert complete(f"holdfast --root {h.dir} cert issue x --issuer e") == {"edge-ca"}
        assert complete("holdfast check --only software") == {"software-keys"}
    finally:
        h.close()


def test_configuration_manual_is_the_schema(home):
    text = page("holdfast-config.5")
    inside = text.split(rows.BEGIN + "\n")[1].split(rows.END)[0].rstrip("\n").split("\n")
    assert inside == rows.rows(home.json("config", "explain")), \
        "run docs/man/rows.py build/src/cli/holdfast --write"


def test_configuration_examples_are_good(home):
    """What the manual shows can be typed in."""
    text = page("holdfast-config.5").split(".Sh EXAMPLES")[1]
    examples = re.findall(r"\.Bd [^\n]*\n(.*?)\n\.Ed", text, flags=re.S)
    assert len(examples) == 3
    for example in examples:
        home.write(example.replace('"www-data"', '"root"'))
        home.run("config", "check")


def test_daemon_manual_has_all_options():
    out = subprocess.run([os.path.join(BUILD, "src", "broker", "holdfastd"), "--help"], env=ENV,
                         capture_output=True, text=True, check=True).stdout
    listed = page("holdfastd.8").split(".Sh SIGNALS")[0]
    assert set(re.findall(r"--([a-z-]+)", out)) | {"help"} == \
        set(re.findall(r"^\.It Fl -(\S+)", listed, flags=re.M))


@pytest.mark.parametrize("name", PAGES)
def test_manual_pages_are_sound(name):
    p = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", os.path.join(ROOT, "docs", "man", name)],
                       capture_output=True, text=True)
    assert p.returncode == 0, p.stdout
