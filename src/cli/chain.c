/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/chain.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "cli/certview.h"

/* Names and key identifiers first: a signature costs, and a file may have many certificates. */
static bool issued(X509 *issuer, X509 *cert)
{
	EVP_PKEY *key = X509_get0_pubkey(issuer);
	const ASN1_OCTET_STRING *want = X509_get0_authority_key_id(cert);
	const ASN1_OCTET_STRING *have = X509_get0_subject_key_id(issuer);
	bool yes;

	if (X509_NAME_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(cert)) || !key)
		return false;
	if (want && have && ASN1_OCTET_STRING_cmp(want, have))
		return false;
	yes = X509_verify(cert, key) == 1;
	ERR_clear_error();
	return yes;
}

/* Also of the time before basicConstraints. */
static bool is_ca(X509 *cert)
{
	return X509_check_ca(cert) != 0;
}

static bool in_path(const struct hf_chain *chain, int i)
{
	unsigned j;

	for (j = 0; j < chain->n; j++)
		if (chain->path[j] == i)
			return true;
	return false;
}

int hf_chain_issuer(STACK_OF(X509) * certs, int i)
{
	X509 *cert = sk_X509_value(certs, i);
	int j;

	if (hf_certview_is_own(cert))
		return i;
	for (j = 0; j < sk_X509_num(certs); j++)
		if (j != i && issued(sk_X509_value(certs, j), cert))
			return j;
	return -1;
}

static bool named_as_issuer(STACK_OF(X509) * certs, int i)
{
	const X509_NAME *name = X509_get_subject_name(sk_X509_value(certs, i));
	int j;

	for (j = 0; j < sk_X509_num(certs); j++)
		if (j != i && !X509_NAME_cmp(X509_get_issuer_name(sk_X509_value(certs, j)), name))
			return true;
	return false;
}

static int find_leaf(STACK_OF(X509) * certs, EVP_PKEY *const *keys, unsigned n_keys, bool *has_key)
{
	int i, ca = -1, n = sk_X509_num(certs);
	unsigned j;

	*has_key = false;
	for (j = 0; j < n_keys; j++)
		for (i = 0; i < n; i++)
			if (hf_certview_same_key(X509_get0_pubkey(sk_X509_value(certs, i)),
						 keys[j])) {
				*has_key = true;
				return i;
			}
	for (i = 0; i < n; i++) {
		X509 *cert = sk_X509_value(certs, i);

		if (!is_ca(cert))
			return i;
		if (ca < 0 && !named_as_issuer(certs, i) && !hf_certview_is_own(cert))
			ca = i;
	}
	return ca;
}

void hf_chain_find(STACK_OF(X509) * certs, EVP_PKEY *const *keys, unsigned n_keys,
		   struct hf_chain *out)
{
	int at, next;

	memset(out, 0, sizeof(*out));
	at = find_leaf(certs, keys, n_keys, &out->has_key);
	while (at >= 0 && out->n < HF_CHAIN_MAX) {
		out->path[out->n++] = at;
		next = hf_chain_issuer(certs, at);
		out->complete = next >= 0;
		if (next == at || next < 0 || in_path(out, next) ||
		    hf_certview_is_own(sk_X509_value(certs, next)))
			return;
		at = next;
	}
	out->complete = false;
}

static bool seen_before(STACK_OF(X509) * certs, int i)
{
	int j;

	for (j = 0; j < i; j++)
		if (!X509_cmp(sk_X509_value(certs, j), sk_X509_value(certs, i)))
			return true;
	return false;
}

enum hf_chain_role hf_chain_role(STACK_OF(X509) * certs, const struct hf_chain *chain, int i)
{
	X509 *cert = sk_X509_value(certs, i);

	if (chain->n && chain->path[0] == i && (chain->has_key || !is_ca(cert)))
		return HF_CHAIN_LEAF;
	if (in_path(chain, i))
		return HF_CHAIN_INTERMEDIATE;
	if (seen_before(certs, i))
		return HF_CHAIN_AGAIN;
	return is_ca(cert) && hf_certview_is_own(cert) ? HF_CHAIN_ROOT : HF_CHAIN_OTHER;
}

const char *hf_chain_role_text(enum hf_chain_role role)
{
	static const char *const texts[] = {
		[HF_CHAIN_LEAF] = "leaf",   [HF_CHAIN_INTERMEDIATE] = "intermediate",
		[HF_CHAIN_ROOT] = "root",   [HF_CHAIN_OTHER] = "other",
		[HF_CHAIN_AGAIN] = "again",
	};

	return texts[role];
}
