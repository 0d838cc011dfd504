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
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/tpm2_public.h"

#define SIGN TPMA_OBJECT_SIGN_ENCRYPT

static void put_x(struct hf_tpm2_cmd *c, const uint8_t *p, size_t n, size_t skip)
{
	hf_tpm2_put2b(c, p + skip, n - skip);
}

/* A TPMT_PUBLIC as a TPM gives it: our template, with the key's numbers in place of none. */
static void area_of(struct hf_tpm2_cmd *c, const struct hf_algorithm *a, EVP_PKEY *pkey, bool strip)
{
	uint8_t point[200];
	size_t n, field, i, j;

	hf_tpm2_cmd_init(c, TPM2_CC_Create, 0, 0);
	hf_tpm2_template_key(c, a, SIGN);
	if (a->family == HF_FAMILY_RSA) {
		BIGNUM *bn = NULL;
		uint8_t modulus[512];

		c->n -= 2;
		assert_true(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &bn));
		hf_tpm2_put2b(c, modulus, (size_t)BN_bn2bin(bn, modulus));
		BN_free(bn);
		return;
	}
	c->n -= 4;
	assert_true(EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point,
						    sizeof(point), &n));
	field = (n - 1) / 2;
	for (i = 0; strip && !point[1 + i]; i++)
		;
	for (j = 0; strip && !point[1 + field + j]; j++)
		;
	put_x(c, point + 1, field, strip ? i : 0);
	put_x(c, point + 1 + field, field, strip ? j : 0);
}

static void check_key(const struct hf_algorithm *a, EVP_PKEY *pkey, bool strip)
{
	HF_AUTO_BUF spki = HF_BUF(4096);
	struct hf_tpm2_public p;
	struct hf_tpm2_cmd c;
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(pkey, &der);

	area_of(&c, a, pkey, strip);
	assert_false(c.bad);
	assert_int_equal(hf_tpm2_public_read((struct hf_view){ c.p, c.n }, &p, NULL), HF_OK);
	assert_true(hf_tpm2_is_key(&p, a, SIGN));
	assert_false(hf_tpm2_is_key(&p, a, SIGN | TPMA_OBJECT_DECRYPT));
	assert_false(hf_tpm2_is_primary(&p));
	assert_int_equal(hf_tpm2_public_spki(&p, &spki, NULL), HF_OK);
	assert_int_equal(spki.n, n);
	assert_memory_equal(spki.p, der, spki.n);
	OPENSSL_free(der);
}

static void test_spki(void **state)
{
	static const char *const names[] = { "ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072" };
	size_t i, k;

	(void)state;
	for (i = 0; i < HF_COUNT(names); i++) {
		const struct hf_algorithm *a = hf_algorithm_find(names[i]);

		/* Often enough that leading zeros occur: every 128th P-256 key, P-521 always. */
		for (k = 0; k < (a->family == HF_FAMILY_RSA ? 1 : a->bits == 256 ? 600 : 20); k++) {
			EVP_PKEY *pkey = a->family == HF_FAMILY_RSA ? EVP_RSA_gen(a->bits) :
								      EVP_EC_gen(a->group);

			check_key(a, pkey, false);
			check_key(a, pkey, true);
			EVP_PKEY_free(pkey);
		}
	}
}

static void test_bounds(void **state)
{
	const struct hf_algorithm *a = hf_algorithm_find("ec-p256");
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	struct hf_tpm2_public p;
	struct hf_tpm2_cmd c;
	size_t i;

	(void)state;
	area_of(&c, a, pkey, false);
	for (i = 0; i < c.n; i++) {
		uint8_t *cut = malloc(i + 1);

		memcpy(cut, c.p, i);
		assert_int_equal(hf_tpm2_public_read((struct hf_view){ cut, i }, &p, NULL), HF_CORRUPT);
		free(cut);
	}
	for (i = 0; i < c.n * 8; i++) {
		HF_AUTO_BUF spki = HF_BUF(4096);

		c.p[i / 8] ^= (uint8_t)(1u << (i % 8));
		/* A point that moved is off the curve. */
		if (!hf_tpm2_public_read((struct hf_view){ c.p, c.n }, &p, NULL) &&
		    !hf_tpm2_public_spki(&p, &spki, NULL) && i / 8 >= c.n - 64)
			fail_msg("bit %zu: taken as a key", i);
		c.p[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	EVP_PKEY_free(pkey);
}

static void test_primary(void **state)
{
	/* What ReadPublic gave for the primary that tpm2-openssl makes on the same TPM. */
	struct hf_tpm2_cmd c;
	struct hf_tpm2_public p;
	uint8_t xy[32] = { 1 };
	size_t attributes = 4, i;

	(void)state;
	hf_tpm2_cmd_init(&c, TPM2_CC_CreatePrimary, 0, 0);
	hf_tpm2_template_primary(&c);
	assert_int_equal(hf_tpm2_public_read((struct hf_view){ c.p, c.n }, &p, NULL), HF_OK);
	assert_false(hf_tpm2_is_primary(&p)); /* a template is no key */
	assert_int_equal(p.attributes, 0x00030472);
	c.n -= 4;
	hf_tpm2_put2b(&c, xy, 32);
	hf_tpm2_put2b(&c, xy, 32);
	assert_int_equal(hf_tpm2_public_read((struct hf_view){ c.p, c.n }, &p, NULL), HF_OK);
	assert_true(hf_tpm2_is_primary(&p));
	for (i = 0; i < 32; i++) { /* any other attribute makes another key of it */
		c.p[attributes + i / 8] ^= (uint8_t)(1u << (i % 8));
		assert_int_equal(hf_tpm2_public_read((struct hf_view){ c.p, c.n }, &p, NULL), HF_OK);
		assert_false(hf_tpm2_is_primary(&p));
		c.p[attributes + i / 8] ^= (uint8_t)(1u << (i % 8));
	}
}

static void test_commands(void **state)
{
	static const uint32_t never[] = { TPM2_CC_Clear, TPM2_CC_HierarchyChangeAuth, TPM2_CC_NV_Write,
					  TPM2_CC_DictionaryAttackLockReset, TPM2_CC_ClearControl,
					  TPM2_CC_Duplicate, TPM2_CC_Shutdown, 0 };
	struct hf_tpm2_cmd c;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(never); i++) {
		assert_null(hf_tpm2_command_find(never[i]));
		hf_tpm2_cmd_init(&c, never[i], 0, 0);
		assert_true(c.bad);
	}
	hf_tpm2_cmd_init(&c, TPM2_CC_Sign, 0x80000000, 0);
	for (i = 0; i < 100; i++)
		hf_tpm2_put(&c, (uint8_t[64]){ 0 }, 64);
	assert_true(c.bad); /* too long stays too long */
	assert_true(c.n <= sizeof(c.p));
}

static void test_cursor(void **state)
{
	static const uint8_t bytes[] = { 0, 3, 'a', 'b', 'c', 0xff, 0xff };
	struct hf_rd r = { bytes, sizeof(bytes), false };

	(void)state;
	assert_int_equal(hf_rd_2b(&r).n, 3);
	assert_int_equal(hf_rd_2b(&r).n, 0); /* announces 65535 */
	assert_true(r.bad);
	assert_int_equal(hf_rd8(&r), 0);
	assert_int_equal(hf_rd32(&r), 0);
	assert_false(hf_rd_end(&r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spki),	cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_primary), cmocka_unit_test(test_commands),
		cmocka_unit_test(test_cursor),
	};

	return cmocka_run_group_tests_name("tpm2_public", tests, NULL, NULL);
}
