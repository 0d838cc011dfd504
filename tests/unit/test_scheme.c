/* SPDX-License-Identifier: Apache-2.0 */
/* The hand-written DER is compared with what libcrypto makes of the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "wire/scheme.h"

static EVP_PKEY *software_key(enum hf_family family)
{
	switch (family) {
	case HF_FAMILY_RSA:
		return EVP_RSA_gen(2048);
	case HF_FAMILY_EC:
		return EVP_EC_gen("P-256");
	case HF_FAMILY_ED25519:
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	}
	return NULL;
}

/* The AlgorithmIdentifier that libcrypto puts into a request signed under @s. */
static int openssl_id(const struct hf_scheme *s, unsigned char **der)
{
	EVP_PKEY *key = software_key(s->family);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	X509_REQ *req = X509_REQ_new();
	EVP_PKEY_CTX *pctx = NULL;
	const X509_ALGOR *alg;
	int n;

	assert_int_equal(EVP_DigestSignInit_ex(ctx, &pctx, s->hash, NULL, NULL, key, NULL), 1);
	if (s->pad == HF_PAD_PSS) {
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, 6), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, -1), 1);
	}
	assert_int_equal(X509_REQ_set_pubkey(req, key), 1);
	assert_true(X509_REQ_sign_ctx(req, ctx) > 0);
	X509_REQ_get0_signature(req, NULL, &alg);
	n = i2d_X509_ALGOR((X509_ALGOR *)(uintptr_t)alg, der);
	X509_REQ_free(req);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return n;
}

static void algorithm_ids(void **state)
{
	const struct hf_scheme *s;

	(void)state;
	for (s = hf_schemes; s->name; s++) {
		struct hf_view id = hf_scheme_algorithm_id(s);
		unsigned char *der = NULL;
		int n = openssl_id(s, &der);

		assert_int_equal(id.n, n);
		assert_memory_equal(id.p, der, id.n);
		OPENSSL_free(der);
	}
}

static void digest_infos(void **state)
{
	const struct hf_scheme *s;

	(void)state;
	for (s = hf_schemes; s->name; s++) {
		unsigned char *der = NULL, digest[64] = { 42 };
		struct hf_view found;
		X509_SIG *info;
		X509_ALGOR *alg;
		ASN1_OCTET_STRING *value;
		int n;

		if (s->pad != HF_PAD_PKCS1)
			continue;
		info = X509_SIG_new();
		X509_SIG_getm(info, &alg, &value);
		X509_ALGOR_set0(alg, OBJ_txt2obj(s->tls_hash, 0), V_ASN1_NULL, NULL);
		ASN1_OCTET_STRING_set(value, digest, (int)s->hash_len);
		n = i2d_X509_SIG(info, &der);
		assert_true(n > 0);
		assert_ptr_equal(
			hf_scheme_of_digest_info((struct hf_view){ der, (size_t)n }, &found), s);
		assert_int_equal(found.n, s->hash_len);
		assert_memory_equal(found.p, digest, found.n);
		assert_null(
			hf_scheme_of_digest_info((struct hf_view){ der, (size_t)n - 1 }, &found));
		der[n - (int)s->hash_len - 1] ^= 1;
		assert_null(hf_scheme_of_digest_info((struct hf_view){ der, (size_t)n }, &found));
		OPENSSL_free(der);
		X509_SIG_free(info);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(algorithm_ids),
		cmocka_unit_test(digest_infos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
