/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "keeper/der.h"
#include "keeper/pkcs11_error.h"
#include "keeper/pkcs11_login.h"
#include "keeper/pkcs11_public.h"
#include "keeper/pkcs11_template.h"
#include "keeper/pkcs11_uri.h"
#include "wire/packet.h"

static const struct hf_view pin = { (const uint8_t *)"1234", 4 };
static const struct hf_view other = { (const uint8_t *)"1235", 4 };

static void meanings(void **state)
{
	unsigned long rv;
	size_t named = 0;

	(void)state;
	for (rv = 1; rv < 0x1000; rv++) {
		const struct hf_p11_meaning *m = hf_p11_meaning(rv);

		assert_non_null(m);
		assert_int_not_equal(m->rc, HF_OK);
		assert_true(m->text[0]);
		named += m->rv == rv;
	}
	assert_true(named > 90);
	assert_int_equal(hf_p11_meaning(CKR_PIN_INCORRECT)->class, HF_P11_PIN);
	assert_int_equal(hf_p11_meaning(CKR_DEVICE_REMOVED)->class, HF_P11_RESTART);
	assert_int_equal(hf_p11_meaning(HF_P11_RV_LIED)->rc, HF_UNAVAILABLE);
	assert_int_equal(hf_p11_meaning(CKR_VENDOR_DEFINED + 7)->class, HF_P11_SESSION);
}

/* Every state of the record, with every flag that counts. */
static void when_to_try(void **state)
{
	static const CK_FLAGS flags[] = { 0, CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY,
					  CKF_USER_PIN_LOCKED };
	struct hf_p11_logins l[6];
	/* rows: never, trying once, trying 3 times, refused this, refused another, after success */
	static const bool want[6][4] = {
		{ true, true, false, false },	{ true, false, false, false },
		{ false, false, false, false }, { false, false, false, false },
		{ true, true, false, false },	{ true, true, false, false },
	};
	size_t i, j;

	(void)state;
	memset(l, 0, sizeof(l));
	hf_p11_logins_begin(&l[1]);
	for (i = 0; i < 3; i++)
		hf_p11_logins_begin(&l[2]);
	assert_int_equal(hf_p11_logins_refused(&l[3], pin, NULL), HF_OK);
	assert_int_equal(hf_p11_logins_refused(&l[4], other, NULL), HF_OK);
	for (i = 0; i < 6; i++)
		for (j = 0; j < 4; j++) {
			struct hf_err e = HF_ERR_INIT;
			enum hf_rc rc = hf_p11_logins_decide(&l[i], flags[j], pin, &e);

			if ((rc == HF_OK) != want[i][j])
				fail_msg("row %zu, flags %zu: %s", i, j, e.msg);
			assert_int_equal(rc, want[i][j] ? HF_OK : HF_LOCKOUT);
			assert_null(strstr(e.msg, "1234"));
		}
}

static void record_survives(void **state)
{
	struct hf_p11_logins l = { 0 }, back;
	char text[HF_P11_RECORD];
	size_t i;

	(void)state;
	for (i = 0; i < 120; i++)
		hf_p11_logins_begin(&l);
	hf_p11_logins_write(&l, text);
	hf_p11_logins_read(&back, text, sizeof(text));
	assert_int_equal(back.last, HF_P11_TRYING);
	assert_int_equal(back.unfinished, 99);
	assert_int_equal(hf_p11_logins_refused(&l, pin, NULL), HF_OK);
	hf_p11_logins_write(&l, text);
	hf_p11_logins_read(&back, text, sizeof(text));
	assert_memory_equal(&l, &back, sizeof(l));
	assert_int_equal(hf_p11_logins_decide(&back, 0, pin, NULL), HF_LOCKOUT);
	assert_int_equal(hf_p11_logins_decide(&back, 0, other, NULL), HF_OK);
	/* Cut short or damaged: none. A flipped bit may change the mark, never more. */
	for (i = 0; i < sizeof(text); i++) {
		hf_p11_logins_read(&back, text, i);
		assert_int_equal(back.last, HF_P11_NEVER);
	}
	for (i = 0; i < 8 * sizeof(text); i++) {
		text[i / 8] = (char)(text[i / 8] ^ (1 << (i % 8)));
		hf_p11_logins_read(&back, text, sizeof(text));
		assert_true(back.last <= HF_P11_REFUSED && back.unfinished <= 99);
		text[i / 8] = (char)(text[i / 8] ^ (1 << (i % 8)));
	}
}

/* What is left on the disk says too little to guess with. */
static void record_keeps_the_secret(void **state)
{
	struct hf_p11_logins a = { 0 }, b = { 0 };
	char text[HF_P11_RECORD];

	(void)state;
	assert_int_equal(sizeof(a.mark), 2);
	assert_int_equal(hf_p11_logins_refused(&a, pin, NULL), HF_OK);
	assert_int_equal(hf_p11_logins_refused(&b, pin, NULL), HF_OK);
	assert_memory_not_equal(a.salt, b.salt, sizeof(a.salt));
	hf_p11_logins_write(&a, text);
	assert_null(memmem(text, sizeof(text), "1234", 4));
}

static void files(void **state)
{
	HF_AUTO_BUF pem = HF_BUF(8192);
	char uri[HF_P11_URI_MAX], text[HF_P11_URI_MAX + 8];
	size_t i;

	(void)state;
	assert_int_equal(hf_p11_file_encode("pkcs11:token=a;id=%01", &pem, NULL), HF_OK);
	assert_int_equal(hf_p11_file_decode(HF_VIEW_BUF(&pem), uri, NULL), HF_OK);
	assert_string_equal(uri, "pkcs11:token=a;id=%01");
	for (i = 0; i + 2 < pem.n; i++)
		assert_int_equal(hf_p11_file_decode((struct hf_view){ pem.p, i }, uri, NULL),
				 HF_CORRUPT);
	for (i = 0; i < 8 * pem.n; i++) {
		pem.p[i / 8] ^= (uint8_t)(1u << (i % 8));
		if (!hf_p11_file_decode(HF_VIEW_BUF(&pem), uri, NULL))
			assert_true(!strncmp(uri, "pkcs11:", 7) && strlen(uri) <= 21);
		pem.p[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	memset(text, 'x', sizeof(text));
	memcpy(text, "pkcs11:", 7);
	text[HF_P11_URI_MAX] = '\0';
	assert_int_equal(hf_p11_file_encode(text, &pem, NULL), HF_FAILED);
}

static EVP_PKEY *make(const char *type, const char *group)
{
	return !strcmp(type, "RSA") ? EVP_PKEY_Q_keygen(NULL, NULL, type, (size_t)2048)
	       : group		    ? EVP_PKEY_Q_keygen(NULL, NULL, type, group)
				    : EVP_PKEY_Q_keygen(NULL, NULL, type);
}

static void same_as_libcrypto(EVP_PKEY *pkey, const struct hf_buf *spki)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(pkey, &der);

	assert_int_equal(n, spki->n);
	assert_memory_equal(der, spki->p, spki->n);
	OPENSSL_free(der);
}

static void curves(void **state)
{
	static const char *const names[] = { "ec-p256", "ec-p384", "ec-p521" };
	uint8_t point[160];
	size_t i, round, n;

	(void)state;
	for (i = 0; i < 3; i++) {
		const struct hf_algorithm *a = hf_algorithm_find(names[i]);

		for (round = 0; round < 300; round++) { /* some points look like an OCTET STRING */
			HF_AUTO_BUF bare = HF_BUF(4096);
			HF_AUTO_BUF in = HF_BUF(4096);
			HF_AUTO_BUF der = HF_BUF(4096);
			EVP_PKEY *pkey = make("EC", a->group);

			assert_true(EVP_PKEY_get_octet_string_param(
				pkey, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point, sizeof(point), &n));
			assert_int_equal(hf_p11_ec_spki(hf_p11_ec_params(a),
							(struct hf_view){ point, n }, &bare, NULL),
					 HF_OK);
			same_as_libcrypto(pkey, &bare);
			hf_der_put(&der, HF_DER_OCTET_STRING, point, n);
			assert_int_equal(hf_p11_ec_spki(hf_p11_ec_params(a), HF_VIEW_BUF(&der), &in,
							NULL),
					 HF_OK);
			same_as_libcrypto(pkey, &in);
			EVP_PKEY_free(pkey);
			if (i && round > 20)
				break;
		}
		point[n - 1] ^= 1;
		{
			HF_AUTO_BUF off = HF_BUF(4096);

			assert_int_not_equal(hf_p11_ec_spki(hf_p11_ec_params(a),
							    (struct hf_view){ point, n }, &off, NULL),
					     HF_OK);
		}
	}
}

static void ed25519(void **state)
{
	const struct hf_algorithm *a = hf_algorithm_find("ed25519");
	HF_AUTO_BUF one = HF_BUF(256);
	HF_AUTO_BUF two = HF_BUF(256);
	HF_AUTO_BUF der = HF_BUF(256);
	EVP_PKEY *pkey = make("ED25519", NULL);
	uint8_t point[32];
	size_t n = sizeof(point);

	(void)state;
	assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, point, &n), 1);
	assert_int_equal(hf_p11_ec_spki(hf_p11_ec_params(a), (struct hf_view){ point, n }, &one, NULL),
			 HF_OK);
	same_as_libcrypto(pkey, &one);
	hf_der_put(&der, HF_DER_OCTET_STRING, point, n);
	assert_int_equal(hf_p11_ec_spki(hf_p11_ed25519_name(), HF_VIEW_BUF(&der), &two, NULL), HF_OK);
	same_as_libcrypto(pkey, &two);
	assert_int_equal(hf_p11_ec_spki(hf_p11_ec_params(a), (struct hf_view){ point, 31 }, &two, NULL),
			 HF_CORRUPT);
	assert_int_equal(hf_p11_ec_spki((struct hf_view){ point, 4 }, (struct hf_view){ point, 32 },
					&two, NULL),
			 HF_REFUSED);
	EVP_PKEY_free(pkey);
}

static void rsa(void **state)
{
	static const uint8_t f4[] = { 1, 0, 1 }, three[] = { 3 };
	EVP_PKEY *pkey = make("RSA", NULL);
	HF_AUTO_BUF out = HF_BUF(4096);
	uint8_t modulus[1100] = { 0 };
	BIGNUM *n = NULL;

	(void)state;
	assert_true(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n));
	assert_int_equal(BN_bn2binpad(n, modulus, 257), 257); /* a leading zero is harmless */
	assert_int_equal(hf_p11_rsa_spki((struct hf_view){ modulus, 257 }, (struct hf_view){ f4, 3 },
					 &out, NULL),
			 HF_OK);
	same_as_libcrypto(pkey, &out);
	assert_int_equal(hf_p11_rsa_spki((struct hf_view){ modulus, 257 },
					 (struct hf_view){ three, 1 }, &out, NULL),
			 HF_REFUSED);
	assert_int_equal(hf_p11_rsa_spki((struct hf_view){ modulus + 1, 128 },
					 (struct hf_view){ f4, 3 }, &out, NULL),
			 HF_REFUSED);
	assert_int_equal(hf_p11_rsa_spki((struct hf_view){ modulus, sizeof(modulus) },
					 (struct hf_view){ f4, 3 }, &out, NULL),
			 HF_CORRUPT);
	assert_int_not_equal(hf_p11_rsa_spki((struct hf_view){ modulus, 0 },
					     (struct hf_view){ f4, 3 }, &out, NULL),
			     HF_OK);
	BN_free(n);
	EVP_PKEY_free(pkey);
}

/* Whatever the usage: it stays inside, and is good for nothing else. */
static void templates(void **state)
{
	static const uint8_t id[HF_P11_ID_SIZE] = "the broker's";
	struct hf_p11_names names;
	uint32_t usage;
	CK_ULONG i;

	(void)state;
	assert_true(hf_p11_names_make(&names, "a", (struct hf_view){ id, sizeof(id) }));
	assert_memory_equal(names.id, id, sizeof(id));
	assert_true(hf_p11_names_make(&names, "", (struct hf_view){ id, sizeof(id) - 1 }));
	assert_memory_not_equal(names.id, id, sizeof(id));
	assert_string_equal(names.label, "holdfast");
	for (usage = 1; usage < 16; usage++) {
		struct hf_p11_template t = { .n = 0 };
		unsigned seen = 0;

		hf_p11_add_private(&t, &names, usage, true);
		assert_true(t.n <= HF_COUNT(t.rows));
		for (i = 0; i < t.n; i++) {
			CK_BBOOL v = *(CK_BBOOL *)t.rows[i].pValue;

			switch (t.rows[i].type) {
			case CKA_SENSITIVE:
			case CKA_PRIVATE:
			case CKA_TOKEN:
				assert_int_equal(v, CK_TRUE);
				seen++;
				break;
			case CKA_EXTRACTABLE:
			case CKA_UNWRAP:
				assert_int_equal(v, CK_FALSE);
				seen++;
				break;
			case CKA_SIGN:
				assert_int_equal(v, (usage & (HF_USAGE_SIGN | HF_USAGE_CA)) != 0);
				break;
			case CKA_DECRYPT:
				assert_int_equal(v, (usage & HF_USAGE_DECRYPT) != 0);
				break;
			case CKA_DERIVE:
				assert_int_equal(v, (usage & HF_USAGE_DERIVE) != 0);
				break;
			default:
				break;
			}
		}
		assert_int_equal(seen, 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(meanings),
		cmocka_unit_test(when_to_try),
		cmocka_unit_test(record_survives),
		cmocka_unit_test(record_keeps_the_secret),
		cmocka_unit_test(files),
		cmocka_unit_test(curves),
		cmocka_unit_test(ed25519),
		cmocka_unit_test(rsa),
		cmocka_unit_test(templates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
