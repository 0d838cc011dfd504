# SPDX-License-Identifier: Apache-2.0
"""The whole path to keys in a PKCS#11 token: commands, broker, workers, provider, openssl."""
import os
import subprocess

import pytest

import p11lib
from keeperlib import BUILD, ROOT
from test_with import ENV, run

SOFTHSM = os.path.join(ROOT, "swtpm-ci", "with-softhsm")
HOLDFAST = os.path.join(ROOT, "swtpm-ci", "with-holdfast")

SCRIPT = """
cd "$HOLDFAST_DIR"
tool() { pkcs11-tool --module "$HOLDFAST_PKCS11_MODULE" --login --pin "$(cat "$HOLDFAST_PKCS11_PIN_FILE")" "$@"; }
must_fail() { if "$@"; then echo "this was to fail: $*"; exit 1; fi; }

for a in ec-p256 ec-p521 rsa-2048 ed25519; do
    holdfast key create "k-$a" --token hsm --algorithm "$a"
    openssl req -new -key "holdfast:k-$a" -subj "/CN=$a" -out req.pem
    openssl req -in req.pem -verify -noout
    openssl req -x509 -new -key "holdfast:k-$a" -subj "/CN=$a" -out "$a.pem"
    openssl verify -CAfile "$a.pem" "$a.pem"
done
echo text > text
openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -sign holdfast:k-rsa-2048 -out sig text
openssl x509 -in rsa-2048.pem -pubkey -noout > pub.pem
openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -verify pub.pem -signature sig text
openssl pkeyutl -sign -inkey holdfast:k-ed25519 -rawin -in text -out sig
openssl x509 -in ed25519.pem -pubkey -noout > pub.pem
openssl pkeyutl -verify -pubin -inkey pub.pem -rawin -in text -sigfile sig

holdfast key create edge-ca --token hsm --usage ca
openssl req -x509 -new -key holdfast:edge-ca -subj /CN=ca -days 90 -out ca.pem \\
    -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign
printf '%s\\n' basicConstraints=critical,CA:FALSE subjectAltName=DNS:x > ext
openssl x509 -req -in req.pem -CA ca.pem -CAkey holdfast:edge-ca -days 30 -extfile ext -out x.pem
openssl verify -CAfile ca.pem x.pem
must_fail openssl x509 -req -in req.pem -CA ca.pem -CAkey holdfast:edge-ca -days 3000 -extfile ext -out long.pem
must_fail holdfast sign edge-ca text

openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out soft.key 2>/dev/null ||
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out soft.key
holdfast key import soft soft.key --token hsm
openssl req -new -key holdfast:soft -subj /CN=soft -out soft.csr
openssl req -in soft.csr -verify -noout
openssl pkey -in soft.key -pubout | cmp - <(holdfast key public soft)

tool --keypairgen --key-type rsa:2048 --label theirs --id 0b > /dev/null
holdfast key import theirs 'pkcs11:token=edge;object=theirs' --token hsm
openssl req -new -key holdfast:theirs -subj /CN=theirs -out theirs.csr
must_fail holdfast key import again 'pkcs11:object=nothing' --token hsm
holdfast key delete theirs --yes

holdfast key rotate k-ec-p256
holdfast key delete k-rsa-2048 --yes
holdfast key show k-ec-p256
holdfast token list --json
tool --list-objects --type privkey
grep -F "$(cat "$HOLDFAST_PKCS11_PIN_FILE")" "$HOLDFAST_DIR/holdfastd.log" etc/holdfastd.json && exit 1
echo all done
"""


@pytest.mark.plain
@pytest.mark.parametrize("workers", [1, 3])
def test_the_whole_path(workers):
    p = subprocess.run([SOFTHSM, HOLDFAST, "bash", "-euo", "pipefail", "-c", SCRIPT], text=True,
                       env=dict(ENV, HOLDFAST_PKCS11_WORKERS=str(workers)), timeout=120,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert p.returncode == 0 and p.stdout.endswith("all done\n"), p.stdout
    listed = p.stdout.split("Using slot")[-1]
    assert "label:      theirs" in listed, "what others made was destroyed"
    assert "k-rsa-2048" not in listed and listed.count("label:      k-ec-p256") == 2
    assert '"workers": %d' % workers in p.stdout


def test_with_softhsm_leaves_nothing():
    p = run(SOFTHSM, "sh", "-c", "echo $SOFTHSM2_CONF; test -s $HOLDFAST_PKCS11_PIN_FILE && "
            "p11tool --provider $HOLDFAST_PKCS11_MODULE --list-token-urls; "
            "stat -c %a $HOLDFAST_PKCS11_PIN_FILE; exit 7", code=7)
    conf, *rest = p.stdout.split()
    assert any("token=edge" in line for line in rest) and "600" in rest
    assert not os.path.exists(os.path.dirname(conf))
    assert "usage: with-softhsm" in run(SOFTHSM, "--help").stdout
    run(SOFTHSM, code=2)


def test_with_holdfast_wants_all_of_a_token():
    p = run(HOLDFAST, "true", code=99, env={"HOLDFAST_PKCS11_MODULE": p11lib.SOFTHSM})
    assert "HOLDFAST_PKCS11_URI is not" in p.stderr
    assert os.path.exists(BUILD)
