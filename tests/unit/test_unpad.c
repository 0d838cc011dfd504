/* SPDX-License-Identifier: Apache-2.0 */
/* What an RSA decryption leaves: every way in which the padding can be wrong, and the right one. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/err.h"
#include "keeper/unpad.h"

#define N 256u

/* As the others say it. */
static enum hf_rc pkcs1(const uint8_t *em, size_t len, uint8_t *out, size_t *n)
{
	return hf_unpad_pkcs1(em, len, out, n) ? HF_OK : HF_ARGUMENT;
}

/* 00 02, padding, 00, and a message of @n bytes. */
static void good(uint8_t em[N], size_t n)
{
	memset(em, 0x55, N);
	em[0] = 0;
	em[1] = 2;
	em[N - n - 1] = 0;
	memset(em + N - n, 'm', n);
}

static void test_pkcs1(void **state)
{
	uint8_t em[N], out[N];
	size_t n, i;

	(void)state;
	for (i = 0; i <= N - 11; i++) {
		good(em, i);
		assert_int_equal(pkcs1(em, N, out, &n), HF_OK);
		assert_int_equal(n, i);
		assert_memory_equal(out, em + N - i, i);
	}
	for (i = N - 10; i <= N - 3; i++) { /* less than eight bytes of padding */
		good(em, i);
		assert_int_equal(pkcs1(em, N, out, &n), HF_ARGUMENT);
	}
	for (i = 0; i < 2; i++) {
		for (n = 1; n < 256; n++) {
			good(em, 5);
			em[i] ^= (uint8_t)n;
			assert_int_equal(pkcs1(em, N, out, &(size_t){ 0 }), HF_ARGUMENT);
		}
	}
	memset(em + 2, 1, N - 2); /* no zero at all */
	em[0] = 0, em[1] = 2;
	assert_int_equal(pkcs1(em, N, out, &n), HF_ARGUMENT);
	assert_int_equal(pkcs1(em, 10, out, &n), HF_ARGUMENT);
	assert_int_equal(pkcs1(em, 0, out, &n), HF_ARGUMENT);
}

static bool tls(const uint8_t em[N], unsigned version, unsigned other)
{
	static const uint8_t random[HF_TLS_PREMASTER] = "random";
	uint8_t out[HF_TLS_PREMASTER];

	hf_unpad_tls(em, N, version, other, random, out);
	if (!memcmp(out, em + N - sizeof(out), sizeof(out)))
		return true;
	assert_memory_equal(out, random, sizeof(out));
	return false;
}

static void premaster(uint8_t em[N])
{
	good(em, HF_TLS_PREMASTER);
	em[N - 48] = 3;
	em[N - 47] = 3;
}

static void test_tls(void **state)
{
	uint8_t em[N];
	size_t i;

	(void)state;
	premaster(em);
	assert_true(tls(em, 0x0303, 0));
	assert_true(tls(em, 0x0301, 0x0303));
	assert_false(tls(em, 0x0301, 0));
	assert_false(tls(em, 0x0301, 0x0302));
	assert_false(tls(em, 0, 0));
	for (i = 0; i < N - 46; i++) { /* anything but the secret's own 46 bytes */
		premaster(em);
		em[i] ^= i >= 2 && i < N - 49 ? 0x55 : 1;
		assert_false(tls(em, 0x0303, 0));
	}
	premaster(em);
	em[N - 1] ^= 1;
	assert_true(tls(em, 0x0303, 0));
	em[N - 48] = em[N - 47] = 0; /* version 0 is not "any" */
	assert_false(tls(em, 0x0303, 0));
	hf_unpad_tls(em, 58, 0x0303, 0, em + 100, em + 150); /* too short for a premaster */
	assert_memory_equal(em + 150, em + 100, HF_TLS_PREMASTER);
}

/* EM as libcrypto makes it: encrypted with OAEP, decrypted raw. */
static void oaep(EVP_PKEY *key, const char *md, const char *label, size_t n, uint8_t em[N])
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
	uint8_t cipher[N], plain[N];
	size_t len = N;

	memset(plain, 'm', n);
	assert_true(EVP_PKEY_encrypt_init(c) > 0 &&
		    EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) > 0 &&
		    EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_get_digestbyname(md)) > 0);
	if (label[0])
		assert_true(EVP_PKEY_CTX_set0_rsa_oaep_label(c, OPENSSL_strdup(label),
							     (int)strlen(label)) > 0);
	assert_true(EVP_PKEY_encrypt(c, cipher, &len, plain, n) > 0);
	EVP_PKEY_CTX_free(c);
	c = EVP_PKEY_CTX_new(key, NULL);
	len = N;
	assert_true(EVP_PKEY_decrypt_init(c) > 0 &&
		    EVP_PKEY_CTX_set_rsa_padding(c, RSA_NO_PADDING) > 0 &&
		    EVP_PKEY_decrypt(c, em, &len, cipher, N) > 0);
	assert_int_equal(len, N);
	EVP_PKEY_CTX_free(c);
}

static enum hf_rc unpad(const char *scheme, const uint8_t em[N], const char *label, size_t *n)
{
	uint8_t out[N], want[N];
	enum hf_rc rc;

	memset(want, 'm', sizeof(want));
	rc = hf_unpad_oaep(em, N, hf_exchange_find(scheme),
			   (struct hf_view){ (const uint8_t *)label, strlen(label) }, out, n)
		     ? HF_OK
		     : HF_ARGUMENT;
	if (!rc)
		assert_memory_equal(out, want, *n);
	return rc;
}

static void test_oaep(void **state)
{
	static const struct {
		const char *md, *scheme;
		size_t most;
	} cases[] = { { "SHA1", "rsa-oaep-sha1", N - 42 },
		      { "SHA256", "rsa-oaep-sha256", N - 66 },
		      { "SHA512", "rsa-oaep-sha512", N - 130 } };
	EVP_PKEY *key = EVP_RSA_gen(2048);
	uint8_t em[N], bad[N];
	size_t i, j, n = 0;

	(void)state;
	for (i = 0; i < HF_COUNT(cases); i++) {
		for (j = 0; j <= cases[i].most; j += cases[i].most) {
			oaep(key, cases[i].md, "a label", j, em);
			assert_int_equal(unpad(cases[i].scheme, em, "a label", &n), HF_OK);
			assert_int_equal(n, j);
		}
		assert_int_equal(unpad(cases[i].scheme, em, "a labek", &n), HF_ARGUMENT);
		assert_int_equal(unpad(cases[i].scheme, em, "", &n), HF_ARGUMENT);
		assert_int_equal(unpad("rsa-oaep-sha384", em, "a label", &n), HF_ARGUMENT);
		oaep(key, cases[i].md, "", 20, em);
		assert_int_equal(unpad(cases[i].scheme, em, "", &n), HF_OK);
		for (j = 0; j < N - 20; j++) { /* any bit but those of the message breaks it */
			memcpy(bad, em, N);
			bad[j] ^= (uint8_t)(1u << j % 8);
			assert_int_equal(unpad(cases[i].scheme, bad, "", &n), HF_ARGUMENT);
		}
	}
	assert_false(hf_unpad_oaep(em, 65, hf_exchange_find("rsa-oaep-sha256"),
				   (struct hf_view){ NULL, 0 }, bad, &n));
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_pkcs1),
					    cmocka_unit_test(test_tls),
					    cmocka_unit_test(test_oaep) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
