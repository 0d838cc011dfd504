/* SPDX-License-Identifier: Apache-2.0 */
/* Which CA certificates are believed, and certs-only messages with something wrong in them. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>

#include "est/cacerts.h"
#include "est/certs.h"
#include "est/pkcs7.h"

#define NOW 1800000000
#define DAY 86400

static EVP_PKEY *old_key, *new_key, *evil_key;
static X509 *old_root, *new_root, *new_with_old, *old_with_new, *evil_root, *evil_new, *expired;

static X509 *make(const char *cn, EVP_PKEY *key, const char *issuer, EVP_PKEY *by, bool ca,
		  long days)
{
	BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
	static long serial = 1;
	X509 *x = X509_new();

	assert_true(x && bc);
	bc->ca = ca ? 0xff : 0;
	assert_true(
		X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), serial++) &&
		ASN1_TIME_set(X509_getm_notBefore(x), NOW - 1000L * DAY) &&
		ASN1_TIME_set(X509_getm_notAfter(x), NOW + days * DAY) &&
		X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
					   (const unsigned char *)cn, -1, -1, 0) &&
		X509_NAME_add_entry_by_txt(X509_get_issuer_name(x), "CN", MBSTRING_ASC,
					   (const unsigned char *)issuer, -1, -1, 0) &&
		X509_set_pubkey(x, key) && X509_add1_ext_i2d(x, NID_basic_constraints, bc, 1, 0) &&
		X509_sign(x, by, EVP_sha256()) && X509_check_purpose(x, -1, 0));
	BASIC_CONSTRAINTS_free(bc);
	return x;
}

static int setup(void **state)
{
	(void)state;
	old_key = EVP_EC_gen("P-256");
	new_key = EVP_EC_gen("P-256");
	evil_key = EVP_EC_gen("P-256");
	old_root = make("root", old_key, "root", old_key, true, 100);
	new_root = make("root G2", new_key, "root G2", new_key, true, 4000);
	new_with_old = make("root G2", new_key, "root", old_key, true, 100);
	old_with_new = make("root", old_key, "root G2", new_key, true, 100);
	evil_root = make("root G2", evil_key, "root G2", evil_key, true, 9000);
	evil_new = make("root G2", evil_key, "root", evil_key, true, 9000); /* signed by itself */
	expired = make("gone", old_key, "gone", old_key, true, -1);
	return 0;
}

static int teardown(void **state)
{
	X509 *all[] = {
		old_root, new_root, new_with_old, old_with_new, evil_root, evil_new, expired
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(all); i++)
		X509_free(all[i]);
	EVP_PKEY_free(old_key);
	EVP_PKEY_free(new_key);
	EVP_PKEY_free(evil_key);
	return 0;
}

/* What comes out of @bundle (ends with NULL) when @known is trusted. */
static STACK_OF(X509) * choose(bool authentic, X509 *known, X509 **bundle, unsigned *dropped)
{
	STACK_OF(X509) *in = sk_X509_new_null(), *trusted = sk_X509_new_null(),
		       *out = sk_X509_new_null();

	assert_true(in && trusted && out);
	for (; *bundle; bundle++)
		assert_true(sk_X509_push(in, *bundle));
	if (known)
		assert_true(sk_X509_push(trusted, known));
	assert_true(hf_cacerts_choose(in, trusted, authentic, NOW, out, dropped));
	sk_X509_free(in);
	sk_X509_free(trusted);
	return out;
}

#define CHOOSE(authentic, known, ...)                                                              \
	choose(authentic, known, (X509 *[]){ __VA_ARGS__, NULL }, &dropped)

static void test_rollover_that_is_linked(void **state)
{
	unsigned dropped;
	STACK_OF(X509) *out =
		CHOOSE(false, old_root, old_root, old_with_new, new_with_old, new_root);

	(void)state;
	assert_int_equal(sk_X509_num(out), 4);
	assert_ptr_equal(sk_X509_value(out, 0), new_root); /* the newest first */
	assert_int_equal(dropped, 0);
	hf_certs_free(out);
}

static void test_root_without_a_link(void **state)
{
	unsigned dropped;
	STACK_OF(X509) *out = CHOOSE(false, old_root, old_root, new_root);

	(void)state;
	assert_int_equal(sk_X509_num(out), 1);
	assert_ptr_equal(sk_X509_value(out, 0), old_root);
	assert_int_equal(dropped, 1);
	hf_certs_free(out);
	/* the same from somebody whom our anchor vouches for */
	out = CHOOSE(true, old_root, old_root, new_root);
	assert_int_equal(sk_X509_num(out), 2);
	hf_certs_free(out);
}

static void test_links_that_are_none(void **state)
{
	unsigned dropped;
	STACK_OF(X509) * out;

	(void)state;
	/* of another key; not signed by ours; the other way round */
	out = CHOOSE(false, old_root, evil_root, new_with_old);
	assert_int_equal(sk_X509_num(out), 1);
	assert_ptr_equal(sk_X509_value(out, 0), new_with_old); /* that one we have issued */
	hf_certs_free(out);
	out = CHOOSE(false, old_root, evil_root, evil_new);
	assert_int_equal(sk_X509_num(out), 0);
	hf_certs_free(out);
	out = CHOOSE(false, old_root, new_root, old_with_new);
	assert_int_equal(sk_X509_num(out), 0);
	assert_int_equal(dropped, 2);
	hf_certs_free(out);
}

static void test_expired_roots(void **state)
{
	unsigned dropped;
	STACK_OF(X509) *out = CHOOSE(true, expired, expired, old_root);

	(void)state;
	assert_int_equal(sk_X509_num(out), 1);
	assert_ptr_equal(sk_X509_value(out, 0), old_root);
	hf_certs_free(out);
}

/* ---------------------------------------------------------------- certs-only */

static unsigned char *message(int *n)
{
	PKCS7 *p7 = PKCS7_new();
	unsigned char *der = NULL;

	assert_true(p7 && PKCS7_set_type(p7, NID_pkcs7_signed) &&
		    PKCS7_content_new(p7, NID_pkcs7_data) && PKCS7_set_detached(p7, 1) &&
		    PKCS7_add_certificate(p7, old_root) && PKCS7_add_certificate(p7, new_root));
	*n = i2d_PKCS7(p7, &der);
	assert_true(*n > 0);
	PKCS7_free(p7);
	return der;
}

static enum hf_rc read_p7(const uint8_t *p, size_t n, int *count)
{
	STACK_OF(X509) *out = sk_X509_new_null();
	struct hf_err e = HF_ERR_INIT;
	const char *odd;
	enum hf_rc rc = hf_est_pkcs7((struct hf_view){ p, n }, 64, out, &odd, &e);

	*count = sk_X509_num(out);
	hf_certs_free(out);
	return rc;
}

static void test_certs_only(void **state)
{
	unsigned char *der;
	int n, count;

	(void)state;
	der = message(&n);
	assert_int_equal(read_p7(der, (size_t)n, &count), HF_OK);
	assert_int_equal(count, 2);
	OPENSSL_free(der);
}

/* Every truncation is refused; a flipped bit never gives more certificates than there were. */
static void test_certs_only_damaged(void **state)
{
	unsigned char *der;
	uint8_t *copy;
	int n, count, i;

	(void)state;
	der = message(&n);
	for (i = 0; i < n; i++) {
		copy = malloc(i ? (size_t)i : 1);
		assert_non_null(copy);
		memcpy(copy, der, (size_t)i);
		assert_int_not_equal(read_p7(copy, (size_t)i, &count), HF_OK);
		free(copy);
	}
	for (i = 0; i < n; i++) { /* one bit of each byte; the fuzz target does more */
		der[i] ^= (unsigned char)(1 << i % 8);
		(void)read_p7(der, (size_t)n, &count);
		assert_in_range(count, 0, 2);
		der[i] ^= (unsigned char)(1 << i % 8);
	}
	OPENSSL_free(der);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rollover_that_is_linked),
		cmocka_unit_test(test_root_without_a_link),
		cmocka_unit_test(test_links_that_are_none),
		cmocka_unit_test(test_expired_roots),
		cmocka_unit_test(test_certs_only),
		cmocka_unit_test(test_certs_only_damaged),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
