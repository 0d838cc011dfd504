# SPDX-License-Identifier: Apache-2.0
# Completion of the command holdfast, for bash. Names of keys and tokens are those that the
# broker shows to the user; without a broker there are none.

_holdfast_commands() {
	case ${1-} in
	key) echo create list show public reference import export rotate delete attest verify issuer ;;
	cert) echo list show renew reset issue ;;
	token) echo list provision activate ;;
	policy) echo explain ;;
	trust) echo install ;;
	clock) echo accept ;;
	config) echo init check apply explain ;;
	est) echo cacerts csrattrs enroll reenroll ;;
	help) echo key sign est cert token policy config check convert trust clock status version ;;
	sign | check | convert | status | version) ;;
	*) echo key sign est cert token policy config check convert trust clock status version help ;;
	esac
}

_holdfast_options() {
	echo --json --socket --root --help
	case $1 in
	"key create") echo --token --algorithm --usage ;;
	"key list") echo --names ;;
	"key public" | "key export") echo --out ;;
	"key import") echo --token --usage --password-file ;;
	"key reference") echo --cert --out ;;
	"key rotate") echo --grace --algorithm ;;
	"key delete") echo --yes ;;
	"key attest") echo --nonce --nonce-file --out ;;
	"key verify") echo --nonce --nonce-file --trust --ek-out ;;
	"token activate") echo --token --out ;;
	"policy explain") echo --uid --user --key --right --via --scheme ;;
	"sign "*) echo --scheme --out ;;
	"est "*)
		echo --server --trust --fingerprint --system-trust --anchors --user --password-file --token-file --cert --cert-key --client-chain --proxy --follow-redirects --timeout \
			--out
		;;&
	"est enroll" | "est reenroll")
		echo --key --eku --ca --pathlen --tolerate --binding --ignore-csrattrs --cacerts-out
		;;&
	"est enroll") echo --subject --san ;;
	"est reenroll") echo --replace ;;
	"cert list") echo --modules ;;
	"cert renew") echo --rotate-key --same-key --no-wait --timeout ;;
	"cert reset") echo --yes --timeout ;;
	"cert issue") echo --csr --key --subject --san --eku --issuer --days --out ;;
	"check "*) echo --fix --offline --only --list --warnings-as-errors ;;
	"convert "*) echo --password-file --key --token --usage --out --trust-out ;;
	"config init") echo --template ;;
	"config check") echo --config ;;
	"config apply") echo --config --password-file ;;
	esac
}

# Names that the broker knows; $@ are the options that say which broker.
_holdfast_keys() {
	holdfast key list --names "$@" 2>/dev/null
}

_holdfast_tokens() {
	holdfast token list --json "$@" 2>/dev/null | sed -n 's/^      "name": "\(.*\)",$/\1/p'
}

_holdfast_certs() {
	holdfast cert list --json "$@" 2>/dev/null | sed -n 's/^      "id": "\(.*\)",$/\1/p'
}

_holdfast_checks() {
	holdfast check --list --json 2>/dev/null | sed -n 's/^      "id": "\(.*\)",$/\1/p'
}

# The words before the cursor without options; the options that name a broker in $where.
_holdfast_words() {
	local i
	words=() where=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket | --root)
			where+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}")
			((i++))
			;;
		--token | --algorithm | --usage | --out | --cert | --grace | --scheme | --config | --template) ((i++)) ;;
		--server | --trust | --fingerprint | --anchors | --user | --password-file | --token-file | \
			--cert-key | --client-chain | --proxy | --timeout | --key | --eku | --pathlen | \
			--tolerate | --binding | --cacerts-out | --subject | --san | --replace | --trust-out | --only | \
			--csr | --issuer | --days | --nonce | --nonce-file | --ek-out) ((i++)) ;;
		-*) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done
}

_holdfast() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local words where choices=

	_holdfast_words
	case $prev in
	--socket | --out | --cert | --config | --template | --trust | --anchors | --password-file | --token-file | \
		--cacerts-out | --replace | --trust-out | --csr | --nonce-file | --ek-out)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--root)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--token) choices=$(_holdfast_tokens "${where[@]}") ;;
	--algorithm) choices="ec-p256 ec-p384 ec-p521 rsa-2048 rsa-3072 rsa-4096" ;;
	--usage) choices="sign ca decrypt derive" ;;
	--key | --cert-key) choices=$(_holdfast_keys "${where[@]}") ;;
	--client-chain) choices="full leaf" ;;
	--binding) choices="auto tls-unique tls-exporter none" ;;
	--tolerate) choices="subject san eku" ;;
	--eku) choices="serverAuth clientAuth" ;;
	--issuer) choices=$(_holdfast_certs "${where[@]}") ;;
	--only) choices=$(_holdfast_checks) ;;
	--grace) choices="10min 1h 24h 7d" ;;
	--scheme)
		choices="ecdsa-sha256 ecdsa-sha384 ecdsa-sha512 rsa-pkcs1-sha1 rsa-pkcs1-sha256 rsa-pkcs1-sha384
			rsa-pkcs1-sha512 rsa-pss-sha256 rsa-pss-sha384 rsa-pss-sha512"
		;;
	*)
		case "$cur,${words[*]}" in
		-*) choices=$(_holdfast_options "${words[0]-} ${words[1]-}") ;;
		*,"key "*" "*" "*) ;;
		*,"key create "* | *,"key list "*) ;;
		*,"key issuer "?* | *,"key import "?* | *,"key verify" | *,"token activate")
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
			;;
		*,"key show" | *,"key public" | *,"key reference" | *,"key rotate" | *,"key delete" | \
			*,"key issuer" | *,"key export" | *,"key attest" | *,sign)
			choices=$(_holdfast_keys "${where[@]}")
			;;
		*,"sign "* | *,convert | *,"trust install")
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
			;;
		*,"est "*) ;;
		*,"cert show" | *,"cert renew" | *,"cert reset") choices=$(_holdfast_certs "${where[@]}") ;;
		*,"token provision") choices=$(_holdfast_tokens "${where[@]}") ;;
		*)
			if ((${#words[@]} == 0)); then
				choices=$(_holdfast_commands)
			elif ((${#words[@]} == 1)); then
				choices=$(_holdfast_commands "${words[0]}")
			elif [[ ${words[0]} == help && ${#words[@]} == 2 ]]; then
				choices=$(_holdfast_commands "${words[1]}")
			fi
			;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur")
}

complete -F _holdfast holdfast
