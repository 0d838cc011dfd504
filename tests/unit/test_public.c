/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/pss.h"
#include "keeper/public.h"

static EVP_PKEY *rsa_from(BIGNUM *n, unsigned long exp)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *pkey = NULL;
	OSSL_PARAM *params;

	assert_true(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
		    OSSL_PARAM_BLD_push_ulong(bld, OSSL_PKEY_PARAM_RSA_E, exp));
	params = OSSL_PARAM_BLD_to_param(bld);
	assert_true(EVP_PKEY_fromdata_init(ctx) > 0 &&
		    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) > 0);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static enum hf_rc strong(EVP_PKEY *pkey, const char *word)
{
	struct hf_err e = HF_ERR_INIT;
	enum hf_rc rc = hf_public_strong(pkey, &e);

	if (rc && word && !strstr(e.msg, word))
		fail_msg("\"%s\" does not say %s", e.msg, word);
	EVP_PKEY_free(pkey);
	return rc;
}

/* An odd number of @bits bits, random but for its residue: 65537^@power modulo the primes up to 167. */
static BIGNUM *roca_modulus(int bits, int power)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *m = BN_new(), *g = BN_new(), *k = BN_new(), *n = BN_new();
	int p, d;

	BN_set_word(m, 2);
	for (p = 3; p <= 167; p += 2) {
		for (d = 3; d * d <= p && p % d; d += 2)
			;
		if (d * d > p)
			BN_mul_word(m, (BN_ULONG)p);
	}
	BN_set_word(g, 65537);
	BN_set_word(k, (BN_ULONG)power);
	assert_true(BN_mod_exp(g, g, k, m, ctx));
	assert_true(BN_rand(k, bits, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ANY));
	assert_true(BN_div(k, NULL, k, m, ctx) && BN_mul(n, k, m, ctx) && BN_add(n, n, g));
	BN_free(m);
	BN_free(g);
	BN_free(k);
	BN_CTX_free(ctx);
	return n;
}

static void test_roca(void **state)
{
	static const int powers[] = { 1, 5, 1000, 65521 };
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		BIGNUM *n = roca_modulus(2048, powers[i]);

		assert_int_equal(strong(rsa_from(n, 65537), "ROCA"), HF_REFUSED);
		BN_add_word(n, 2); /* no longer of that form */
		assert_int_equal(strong(rsa_from(n, 65537), NULL), HF_OK);
		BN_free(n);
	}
	for (i = 0; i < 10; i++) {
		BIGNUM *n = BN_new();

		assert_true(BN_rand(n, 2048, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD));
		assert_int_equal(strong(rsa_from(n, 65537), NULL), HF_OK);
		BN_free(n);
	}
}

static void test_strength(void **state)
{
	BIGNUM *n = BN_new();

	(void)state;
	assert_true(BN_rand(n, 2048, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD));
	assert_int_equal(strong(rsa_from(n, 3), "exponent"), HF_REFUSED);
	assert_int_equal(strong(rsa_from(n, 65536), "exponent"), HF_REFUSED);
	assert_int_equal(strong(rsa_from(n, 65539), NULL), HF_OK);
	BN_sub_word(n, 1);
	assert_int_equal(strong(rsa_from(n, 65537), "exponent"), HF_REFUSED);
	assert_true(BN_rand(n, 2047, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD));
	assert_int_equal(strong(rsa_from(n, 65537), "2047 bits"), HF_REFUSED);
	assert_true(BN_rand(n, 8200, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD));
	assert_int_equal(strong(rsa_from(n, 65537), "8200 bits"), HF_REFUSED);
	BN_free(n);
	assert_int_equal(strong(EVP_EC_gen("P-256"), NULL), HF_OK);
	assert_int_equal(strong(EVP_EC_gen("P-521"), NULL), HF_OK);
	assert_int_equal(strong(EVP_EC_gen("secp256k1"), "curve"), HF_REFUSED);
	assert_int_equal(strong(EVP_EC_gen("P-224"), "curve"), HF_REFUSED);
	assert_int_equal(strong(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL), HF_OK);
	assert_int_equal(strong(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), "type"), HF_REFUSED);
}

static struct hf_public *public_of(EVP_PKEY *pkey)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(pkey, &der);
	struct hf_public *pub;

	assert_true(n > 0);
	assert_int_equal(hf_public_new(&pub, (struct hf_view){ der, (size_t)n - 1 }, NULL), HF_CORRUPT);
	assert_null(pub);
	assert_int_equal(hf_public_new(&pub, (struct hf_view){ der, (size_t)n }, NULL), HF_OK);
	OPENSSL_free(der);
	return pub;
}

static void test_spki_bounds(void **state)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	struct hf_public *pub;
	unsigned char *der = NULL;
	uint8_t longer[200];
	int got = i2d_PUBKEY(pkey, &der);
	size_t n = got > 0 ? (size_t)got : 0, i;

	(void)state;
	assert_true(n > 0 && n < sizeof(longer));
	for (i = 0; i < n; i++) {
		uint8_t *cut = malloc(i + 1);

		memcpy(cut, der, i);
		assert_int_not_equal(hf_public_new(&pub, (struct hf_view){ cut, i }, NULL), HF_OK);
		free(cut);
	}
	memcpy(longer, der, n);
	longer[n] = 0;
	assert_int_equal(hf_public_new(&pub, (struct hf_view){ longer, n + 1 }, NULL), HF_CORRUPT);
	for (i = 0; i < n * 8; i++) { /* among them points off the curve */
		der[i / 8] ^= (unsigned char)(1u << (i % 8));
		if (!hf_public_new(&pub, (struct hf_view){ der, n }, NULL))
			fail_msg("bit %zu: taken as a key", i);
		assert_null(pub);
		der[i / 8] ^= (unsigned char)(1u << (i % 8));
	}
	OPENSSL_free(der);
	EVP_PKEY_free(pkey);
}

/* One context verifies many signatures, of changing schemes. */
static void test_verify(void **state)
{
	static const char *const names[] = { "rsa-pkcs1-sha256", "rsa-pss-sha256", "rsa-pss-sha512",
					     "rsa-pkcs1-sha384" };
	EVP_PKEY *pkey = EVP_RSA_gen(2048);
	struct hf_public *pub = public_of(pkey);
	size_t i, n;

	(void)state;
	for (i = 0; i < 40; i++) {
		const struct hf_scheme *s = hf_scheme_find(names[i % 4]);
		EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
		uint8_t digest[64], sig[256];
		struct hf_view d = { digest, s->hash_len }, v = { sig, sizeof(sig) };

		memset(digest, (int)i, sizeof(digest));
		n = sizeof(sig);
		assert_true(EVP_PKEY_sign_init(ctx) > 0);
		if (s->pad == HF_PAD_PSS)
			assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0);
		assert_true(EVP_PKEY_CTX_set_signature_md(ctx, hf_digest(s->hash)) > 0);
		if (s->pad == HF_PAD_PSS)
			assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, i < 20 ? -1 : 20) > 0);
		assert_true(EVP_PKEY_sign(ctx, sig, &n, digest, s->hash_len) > 0);
		/* A salt of another length is refused: nobody expects it. */
		assert_int_equal(hf_public_verify(pub, s, d, v, NULL),
				 i < 20 || s->pad != HF_PAD_PSS ? HF_OK : HF_FAILED);
		sig[200] ^= 1;
		assert_int_equal(hf_public_verify(pub, s, d, v, NULL), HF_FAILED);
		sig[200] ^= 1;
		digest[0] ^= 1;
		assert_int_equal(hf_public_verify(pub, s, d, v, NULL), HF_FAILED);
		EVP_PKEY_CTX_free(ctx);
	}
	assert_int_equal(hf_public_verify(pub, hf_scheme_find("ecdsa-sha256"), (struct hf_view){ NULL, 0 },
					  (struct hf_view){ NULL, 0 }, NULL), HF_ARGUMENT);
	hf_public_free(hf_public_ref(pub));
	hf_public_free(pub);
	hf_public_free(NULL);
	EVP_PKEY_free(pkey);
}

/* Our EMSA-PSS, "signed" with the plain private operation, is a signature to libcrypto. */
static void test_pss(void **state)
{
	static const char *const names[] = { "rsa-pss-sha256", "rsa-pss-sha384", "rsa-pss-sha512" };
	EVP_PKEY *pkey = EVP_RSA_gen(2048);
	struct hf_public *pub = public_of(pkey);
	size_t i;

	(void)state;
	for (i = 0; i < 30; i++) {
		const struct hf_scheme *s = hf_scheme_find(names[i % 3]);
		EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
		uint8_t digest[64] = { (uint8_t)i }, em[256], sig[256];
		size_t n = sizeof(sig);

		assert_true(hf_pss_encode(em, sizeof(em), 2048, s, digest));
		assert_true(EVP_PKEY_decrypt_init(ctx) > 0 &&
			    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) > 0 &&
			    EVP_PKEY_decrypt(ctx, sig, &n, em, sizeof(em)) > 0);
		assert_int_equal(hf_public_verify(pub, s, (struct hf_view){ digest, s->hash_len },
						  (struct hf_view){ sig, n }, NULL), HF_OK);
		EVP_PKEY_CTX_free(ctx);
	}
	assert_false(hf_pss_encode((uint8_t[100]){ 0 }, 100, 800, hf_scheme_find("rsa-pss-sha512"),
				   (uint8_t[64]){ 0 }));
	hf_public_free(pub);
	EVP_PKEY_free(pkey);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roca),   cmocka_unit_test(test_strength),
		cmocka_unit_test(test_verify), cmocka_unit_test(test_spki_bounds),
		cmocka_unit_test(test_pss),
	};

	return cmocka_run_group_tests_name("public", tests, NULL, NULL);
}
