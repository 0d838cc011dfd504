# SPDX-License-Identifier: Apache-2.0
"""tpm2-openssl active beside us, with a TPM of its own: its key files keep working, and a
`TSS2 PRIVATE KEY` is ours only where the broker knows its key."""
import pytest

import guides

pytestmark = [pytest.mark.plain, pytest.mark.root]

BESIDE = r"""
mkdir -m 700 /tmp/t2
swtpm socket --tpm2 --tpmstate dir=/tmp/t2 --server type=unixio,path=/tmp/t2/s --ctrl type=unixio,path=/tmp/t2/s.ctrl \
	--flags not-need-init,startup-clear &
until [ -S /tmp/t2/s ] && [ -S /tmp/t2/s.ctrl ]; do sleep 0.02; done
export TPM2OPENSSL_TCTI=swtpm:path=/tmp/t2/s
cat > /tmp/%(order)s.cnf <<'END'
.include /etc/ssl/openssl.cnf
[openssl_init]
providers = three
[three]
%(three)s
[d]
activate = 1
[h]
activate = 1
[t]
activate = 1
END
cd /tmp
openssl genpkey -provider tpm2 -provider default -propquery '?provider=tpm2' -algorithm EC -pkeyopt group:P-256 -out own.pem
grep 'BEGIN TSS2 PRIVATE KEY' own.pem
export OPENSSL_CONF=/tmp/%(order)s.cnf
openssl list -providers | grep -A1 tpm2
# tpm2-openssl 1.1 wants to be asked for, where default is listed before it; that has nothing to do with us.
ask=(-propquery '?provider=tpm2')
openssl pkey "${ask[@]}" -in own.pem -pubout -out own.pub
seen=$(journalctl -u holdfastd | grep -c 'op="sign"')
openssl dgst "${ask[@]}" -sha256 -sign own.pem -out own.sig /etc/passwd
OPENSSL_CONF=/dev/null openssl dgst -sha256 -verify own.pub -signature own.sig /etc/passwd
[ "$(journalctl -u holdfastd | grep -c 'op="sign"')" = "$seen" ]

for key in /var/aziot/certs/web.key.pem holdfast:web /var/lib/holdfast/keys/web/*.pem; do
	# No TPM for tpm2-openssl: what is signed now was signed by us.
	TPM2OPENSSL_TCTI=swtpm:path=/tmp/t2/none openssl dgst -sha256 -sign $key -out web.sig /etc/passwd
	OPENSSL_CONF=/dev/null openssl x509 -in /var/aziot/certs/web.pem -noout -pubkey > web.pub
	OPENSSL_CONF=/dev/null openssl dgst -sha256 -verify web.pub -signature web.sig /etc/passwd
	now=$(journalctl -u holdfastd | grep -c 'op="sign"'); [ $now -gt $seen ]; seen=$now
done
"""


@pytest.mark.parametrize("order", ["holdfast-then-tpm2", "tpm2-then-holdfast"])
def test_both_are_active(order):
    three = "default = d\nholdfast = h\ntpm2 = t" if order.startswith("hold") else "default = d\ntpm2 = t\nholdfast = h"
    said = guides.run("start.md", BESIDE % {"order": order, "three": three})
    assert said.count("Verified OK") == 4, said
