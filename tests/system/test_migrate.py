# SPDX-License-Identifier: Apache-2.0
"""docs/guides/migrate-from-*.md as they are written, on a device."""
import pytest

import guides

pytestmark = [pytest.mark.plain, pytest.mark.root]
TCTI = "export TCTI=swtpm:path=/run/swtpm/tpm\n"


def test_files():
    said = guides.run("migrate-from-files.md", """
test ! -e old.key && test ! -e old.p12
holdfast key show plant-old --json | grep '"imported": *true'
if holdfast key show plant --json | grep '"imported": *true'; then exit 1; fi
if holdfast key import plant /etc/plant/plant.csr; then exit 1; fi
openssl ecparam -genkey -name secp256k1 -noout -out odd.key
if holdfast key import odd odd.key; then exit 1; fi
openssl genpkey -algorithm EC -pkeyopt group:P-256 -provider default -propquery provider=default -out k.key
if holdfast key import plant k.key; then exit 1; fi
""")
    assert "plant.pem: OK" in said and "Verified OK" in said
    assert "was in software before" in said
    for words in ("no token has such keys", "there is a key"):
        assert words in guides.troubles("migrate-from-files.md") and words in said, said


def test_tpm2_openssl():
    done = guides.on_device(TCTI + guides.script("migrate-from-tpm2-openssl.md") + """: ---- the test
test ! -e old.key && test ! -e back.key
holdfast key show plant --json > shown
cat shown
grep '"exported": *true' shown
if grep '"imported": *true' shown; then exit 1; fi
""")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Verified OK") == 2
    assert "was in software before" not in done.stdout


@pytest.mark.parametrize("kind", ["EC:prime256v1", "rsa:2048"])
def test_tpm2_pkcs11(kind):
    name = "migrate-from-tpm2-pkcs11.md"
    script = guides.script(name).replace("--key-type EC:prime256v1", "--key-type " + kind)
    assert kind in script
    keep = "rm web.tss2"  # the file of the table's first row is made before the database goes
    assert script.count(keep) == 1
    script = script.replace(keep, """systemctl stop holdfastd.socket holdfastd.service
tpm2_ptool export --path $TPM2_PKCS11_STORE --label plant --key-label web --userpin 1234 --output-prefix locked
if tpm2_ptool export --path /etc/plant --label plant --key-label web --userpin 1234; then exit 1; fi
tpm2_flushcontext -t
systemctl start holdfastd.socket
if holdfast key import locked locked.pem; then exit 1; fi
""" + keep)
    done = guides.on_device(TCTI + script + """: ---- the test
test ! -e store && test ! -e web.tss2
systemctl stop holdfastd.socket holdfastd.service
systemctl start holdfastd.socket
openssl req -new -key plant-web.key.pem -subj /CN=again -out again.csr
holdfast key show plant-web --json
""")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("request self-signature verify OK") == 1
    shown = done.stdout[done.stdout.rindex("+ holdfast key show"):]
    assert '"imported":false' in shown.replace(" ", "") and '"exported":true' in shown.replace(" ", "")
    for words in guides.troubles(name):
        assert words in done.stdout, words
