/* SPDX-License-Identifier: Apache-2.0 */
#include "est/key.h"

#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/provider.h>
#include <openssl/store.h>

#include "base/log.h"

char *hf_key_errors(char *out, size_t size)
{
	const char *data = NULL, *text = NULL, *said;
	unsigned long code, first = 0;
	int flags = 0;

	/* The provider's text says most; it is in the data of its entry. */
	(void)hf_copy(out, size, "");
	while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags))) {
		said = flags & ERR_TXT_STRING && data && data[0] ? data : NULL;
		if (!first || (said && !text)) {
			const char *reason = ERR_reason_error_string(code);

			first = code;
			text = said;
			said = said ? said : reason ? reason : "libcrypto does not say why";
			hf_escape(out, size, said, strlen(said));
		}
	}
	if (!first)
		(void)hf_copy(out, size, "no reason given");
	return out;
}

enum hf_est_status hf_key_init(struct hf_est *x)
{
	char why[300];

	/* Default first, and preferred: provider/provider.h says why. */
	x->providers[0] = OSSL_PROVIDER_load(NULL, "default");
	if (!x->providers[0])
		return hf_est_fail(x, HF_EST_INTERNAL, "libcrypto has no default provider: %s",
				   hf_key_errors(why, sizeof(why)));
	if (!x->job->key[0] && !x->job->tls_key[0])
		return HF_EST_OK;
	if (EVP_set_default_properties(NULL, "?provider=default") == 1)
		x->providers[1] = OSSL_PROVIDER_load(NULL, "holdfast");
	if (!x->providers[1])
		return hf_est_fail(
			x, HF_EST_KEY,
			"cannot load holdfast.so, OpenSSL's provider of holdfast: %s; is "
			"it installed where libcrypto looks (or OPENSSL_MODULES says)?",
			hf_key_errors(why, sizeof(why)));
	return HF_EST_OK;
}

enum hf_est_status hf_key_load(struct hf_est *x, const char *uri, EVP_PKEY **key)
{
	OSSL_STORE_CTX *store;
	OSSL_STORE_INFO *info;
	char why[360], shown[160];

	*key = NULL;
	hf_escape(shown, sizeof(shown), uri, strlen(uri));
	if (strncmp(uri, "holdfast:", 9))
		return hf_est_fail(x, HF_EST_JOB,
				   "%s is no key of holdfast's: a key is holdfast:NAME or "
				   "holdfast:sha256:HEX",
				   shown);
	ERR_clear_error();
	store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
	if (store)
		(void)OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
	while (store && !*key && !OSSL_STORE_eof(store)) {
		info = OSSL_STORE_load(store);
		if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
			*key = OSSL_STORE_INFO_get1_PKEY(info);
		OSSL_STORE_INFO_free(info);
	}
	OSSL_STORE_close(store);
	if (!*key)
		return hf_est_fail(x, HF_EST_KEY, "key %s: %s", shown,
				   hf_key_errors(why, sizeof(why)));
	ERR_clear_error();
	return HF_EST_OK;
}

char *hf_key_kind(EVP_PKEY *key, char *out, size_t size)
{
	char group[40] = "";

	if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
					   NULL) == 1) {
		const char *nist = EC_curve_nid2nist(OBJ_txt2nid(group));

		(void)snprintf(out, size, "EC %s", nist ? nist : group);
	} else {
		(void)snprintf(out, size, "%s %d", EVP_PKEY_get0_type_name(key),
			       EVP_PKEY_get_bits(key));
	}
	ERR_clear_error();
	return out;
}

int hf_key_spki(EVP_PKEY *key, unsigned char **der)
{
	X509_PUBKEY *spki = NULL;
	int n = -1;

	*der = NULL;
	if (X509_PUBKEY_set(&spki, key))
		n = i2d_X509_PUBKEY(spki, der);
	X509_PUBKEY_free(spki);
	return n;
}

void hf_key_finish(struct hf_est *x)
{
	size_t i;

	for (i = HF_COUNT(x->providers); i--;)
		if (x->providers[i])
			(void)OSSL_PROVIDER_unload(x->providers[i]);
}
