#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the sections of holdfast-config(5), in mdoc, from what `holdfast config explain` says.

    docs/man/rows.py build/src/cli/holdfast

A test compares the manual page with this, so whoever changes the schema runs
    docs/man/rows.py build/src/cli/holdfast --write
"""
import json
import os
import subprocess
import sys

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "holdfast-config.5")
BEGIN, END = '.\\" rows from here on: docs/man/rows.py', '.\\" rows up to here'
TITLES = {"holdfastd": "Sections of holdfastd", "certificates": "Sections about certificates",
          "other": "Sections of others"}


def sentences(text):
    return text.replace(". ", ".\n").split("\n")


def row(key):
    about = key["value"]
    if key["required"]:
        about += "; required"
    elif "default" in key:
        about += f"; default {key['default']}"
    return [f".It Ic {key['name']}", about[0].upper() + about[1:] + ".", ".br", *sentences(key["doc"])]


def section(s):
    lines = [f".It Li {s['section']}" if s["path"] else ".It The top of the file", *sentences(s["doc"])]
    if s["keys"]:
        lines += [".Bl -tag -width indent"]
        for key in s["keys"]:
            lines += row(key)
        lines += [".El"]
    return lines


def rows(explained):
    lines = []
    for owner, title in TITLES.items():
        lines += [f".Ss {title}", ".Bl -tag -width indent"]
        for s in explained["sections"]:
            if s["owner"] == owner:
                lines += section(s)
        lines += [".El"]
    return lines


def main():
    out = subprocess.run([sys.argv[1], "config", "explain", "--json"], check=True, capture_output=True)
    lines = rows(json.loads(out.stdout))
    if "--write" not in sys.argv:
        print("\n".join(lines))
        return
    with open(PAGE) as f:
        page = f.read()
    head, rest = page.split(BEGIN + "\n")
    with open(PAGE, "w") as f:
        f.write(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
