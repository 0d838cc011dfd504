# SPDX-License-Identifier: Apache-2.0
"""docs/guides/modules.md as it is written, by the agent's own user; then with keys in the token."""
import pytest

import guides

MORE = r"""
as() { setpriv --reuid "$1" --regid "$1" --clear-groups curl -sS -w ' %{http_code}\n' \
	--unix-socket /run/holdfast-agent/workload.sock -H content-type:application/json \
	--data '{"commonName": "camera"}' "$2"; }
test "$(stat -c '%U %a' /run/holdfast-agent/workload.sock)" = "aziotcs 666"
test "$(stat -c '%G %a' /run/holdfast-agent/certd.sock)" = "aziotcs 660"
as 65533 "$at"
as 65532 "$at"
ask -X PATCH "$at" || true
sed -i '1a module_keys = "token"' /etc/aziot/config.toml
holdfast config apply
systemctl restart holdfast-agent
until holdfast cert show edge-ca --json | grep -q '"state": *"ok"'; do sleep 0.2; done
as 65533 "$at" | tee answer.json
name=$(grep -o 'holdfast:[a-z0-9-]*' answer.json | cut -d: -f2)
openssl verify -x509_strict -purpose sslserver -CAfile /var/aziot/certs/trust-bundle.pem /var/aziot/certs/$name.pem
holdfast key show $name
test ! -e /var/aziot/secrets/$name.key.pem
"""


@pytest.mark.plain
@pytest.mark.root
def test_guide():
    said = guides.run("modules.md", MORE, 200)
    for words in (*guides.troubles("modules.md"), "user 65532 is not authorized",
                  '"type":"ref"', "chain2.pem: OK"):
        assert words in said, (words, said)
