# SPDX-License-Identifier: Apache-2.0
"""docs/guides/hsm-gateway.md as it is written, with SoftHSM2 and with tpm2-pkcs11."""
import glob
import os
import re

import pytest

import guides
from keeperlib import ROOT

NAME = "hsm-gateway.md"
OTHER = {"SoftHSM2": "a TPM behind tpm2-pkcs11", "a TPM behind tpm2-pkcs11": "SoftHSM2"}
SECOND_TPM = """
mkdir -m 700 /run/swtpm/second
swtpm socket --tpm2 --tpmstate dir=/run/swtpm/second --server type=unixio,path=/run/swtpm/tpm2 \
    --ctrl type=unixio,path=/run/swtpm/tpm2.ctrl --flags not-need-init,startup-clear </dev/null &
until [ -S /run/swtpm/tpm2 ] && [ -S /run/swtpm/tpm2.ctrl ]; do sleep 0.1; done
chmod 666 /run/swtpm/tpm2 /run/swtpm/tpm2.ctrl
export TCTI=swtpm:path=/run/swtpm/tpm2
"""


def script(kind):
    """The whole guide but for the section about the other token."""
    whole = guides.script(NAME)
    text = guides.text_of(NAME)
    section = text.split("## The token: " + OTHER[kind])[1].split("\n## ")[0]
    for mark, block in guides.FENCE.findall(section):
        assert mark == "sh" and guides.commands(block) in whole
        whole = whole.replace(guides.commands(block), "")
    return whole


@pytest.mark.plain
@pytest.mark.parametrize("kind,before", [("SoftHSM2", ""), ("a TPM behind tpm2-pkcs11", SECOND_TPM)],
                         ids=["softhsm", "tpm2-pkcs11"])
def test_guide(kind, before):
    done = guides.on_device(before + script(kind) + """: ---- the test
openssl verify -CAfile gateway-ca.pem gateway-id.pem
grep -rq "$(cat /etc/holdfast/hsm.pin)" /etc/holdfast/holdfastd.json && exit 1
holdfast key list --json
""")
    assert done.returncode == 0, done.stdout
    for words in ("gateway-id.pem: OK", "basicConstraints", "holdfast token provision", "plant-web",
                  "lockout", "token gateway"):
        assert words in done.stdout, words


def test_what_it_says_of_errors_is_what_is_said():
    """Each text of the table is in the sources, between what is filled in."""
    said = ""
    for where in ("keeper", "broker"):
        for path in glob.glob(os.path.join(ROOT, "src", where, "*.c")):
            with open(path) as f:
                said += re.sub(r'"\s*\n\s*"', "", f.read())
    for row in re.findall(r"^\| (`.*?) \|", guides.text_of(NAME), re.M):
        for text in re.findall(r"`([^`]+)`", row):
            for part in re.split(r"\.\.\.| \d+ |ed25519|No such.*", text):
                assert part.strip() in said, part
