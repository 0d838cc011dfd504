/* SPDX-License-Identifier: Apache-2.0 */
/* What else a ca key is asked for: other algorithms, CRLs, requests, registrations, nonsense. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "cafixture.h"
#include "keeper/caext.h"

static void sign_pss(X509 *x, const EVP_MD *md, int salt)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p;

	assert_true(EVP_DigestSignInit(ctx, &p, md, NULL, ca_keys.rsa_ca) > 0);
	assert_true(EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING) > 0);
	assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(p, salt) > 0);
	assert_true(X509_sign_ctx(x, ctx) > 0);
	EVP_MD_CTX_free(ctx);
}

/* The algorithm that the certificate names is the one that will sign it. */
static void test_algorithms(void **state)
{
	static const struct {
		const char *inside; /* how it is made: hash, p: PSS, x: PSS with another salt */
		const char *scheme;
		bool ok;
	} cases[] = {
		{ "256", "rsa-pkcs1-sha256", true },   { "256", "rsa-pkcs1-sha384", false },
		{ "384", "rsa-pkcs1-sha384", true },   { "512", "rsa-pkcs1-sha512", true },
		{ "256", "rsa-pss-sha256", false },    { "p256", "rsa-pss-sha256", true },
		{ "p256", "rsa-pss-sha384", false },   { "p384", "rsa-pss-sha384", true },
		{ "p256", "rsa-pkcs1-sha256", false }, { "x256", "rsa-pss-sha256", false },
		{ "1", "rsa-pkcs1-sha256", false },    { "1", "rsa-pkcs1-sha1", false },
		{ "256", "rsa-pkcs1-sha1", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(cases); i++) {
		const char *digits = cases[i].inside + strspn(cases[i].inside, "px");
		char name[16];
		const EVP_MD *md;
		X509 *x = ca_new_leaf();
		struct hf_err e = HF_ERR_INIT;
		unsigned char *p = NULL;
		struct hf_view tbs;
		hf_Issued out;

		(void)snprintf(name, sizeof(name), "SHA%s", digits);
		md = EVP_get_digestbyname(name);
		if (cases[i].inside[0] == 'p')
			sign_pss(x, md, RSA_PSS_SALTLEN_DIGEST);
		else if (cases[i].inside[0] == 'x')
			sign_pss(x, md, 20);
		else
			assert_true(X509_sign(x, ca_keys.rsa_ca, md) > 0);
		tbs = ca_der_of(i2d_re_X509_tbs(x, &p), &p);
		if (ca_check_as(ca_keys.rsa_ca, cases[i].scheme, tbs, NULL, &out, &e) !=
		    (cases[i].ok ? HF_OK : HF_REFUSED))
			fail_msg("%s as %s: %s", cases[i].inside, cases[i].scheme, e.msg);
		if (!cases[i].ok)
			assert_non_null(strstr(e.msg, strstr(cases[i].scheme, "sha1")
							      ? "does not sign with SHA1"
							      : "algorithm named inside"));
		ca_release(tbs);
		X509_free(x);
	}
}

static struct hf_view crl_of(const char *issuer, int64_t from, int64_t to, const char *critical)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *a = ASN1_TIME_set(NULL, from), *b = to ? ASN1_TIME_set(NULL, to) : NULL;
	X509_NAME *name = X509_NAME_new();
	unsigned char *p = NULL;
	struct hf_view v;

	ca_add_name(name, NID_commonName, issuer);
	assert_true(X509_CRL_set_version(crl, 1) && X509_CRL_set_issuer_name(crl, name) &&
		    X509_CRL_set1_lastUpdate(crl, a) && (!b || X509_CRL_set1_nextUpdate(crl, b)));
	if (critical) {
		ASN1_OBJECT *obj = OBJ_txt2obj(critical, 1);
		ASN1_OCTET_STRING *data = ASN1_OCTET_STRING_new();
		X509_EXTENSION *ext;

		assert_true(ASN1_OCTET_STRING_set(data, (const unsigned char *)"\x30\x00", 2));
		ext = X509_EXTENSION_create_by_OBJ(NULL, obj, 1, data);
		assert_true(X509_CRL_add_ext(crl, ext, -1));
		X509_EXTENSION_free(ext);
		ASN1_OCTET_STRING_free(data);
		ASN1_OBJECT_free(obj);
	}
	assert_true(X509_CRL_sign(crl, ca_keys.own, EVP_sha256()) > 0);
	v = ca_der_of(i2d_re_X509_CRL_tbs(crl, &p), &p);
	X509_NAME_free(name);
	ASN1_TIME_free(a);
	ASN1_TIME_free(b);
	X509_CRL_free(crl);
	return v;
}

static void test_crls(void **state)
{
	static const struct {
		const char *issuer;
		int64_t from, to;
		const char *critical, *refusal;
	} cases[] = {
		{ "edge ca", NOW, NOW + DAYS(30), NULL, NULL },
		{ "edge ca", NOW, 0, NULL, NULL },
		{ "edge ca", NOW, NOW + DAYS(1), "2.5.29.28", NULL },
		{ "edge ca", NOW, NOW + DAYS(1), "1.3.6.1.4.1.99999.1", "critical" },
		{ "another ca", NOW, NOW + DAYS(30), NULL, "issuer named inside" },
		{ "edge ca", NOW + DAYS(1), NOW + DAYS(30), NULL, "future" },
		{ "edge ca", NOW, NOW - 5, NULL, "nextUpdate" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(cases); i++) {
		struct hf_view v =
			crl_of(cases[i].issuer, cases[i].from, cases[i].to, cases[i].critical);
		struct hf_err e = HF_ERR_INIT;
		hf_Issued out;
		enum hf_rc rc = ca_check(v, NULL, &out, &e);

		if (rc != (cases[i].refusal ? HF_REFUSED : HF_OK) ||
		    (cases[i].refusal && !strstr(e.msg, cases[i].refusal)))
			fail_msg("CRL %zu: %d, %s", i, rc, e.msg);
		if (!rc)
			assert_int_equal(out.kind, hf_Issued_Kind_CRL);
		assert_int_not_equal(ca_check_as(ca_keys.own, "ecdsa-sha384", v, NULL, &out, &e),
				     HF_OK);
		ca_release(v);
	}
}

static void test_requests(void **state)
{
	EVP_PKEY *keys[] = { ca_keys.own, ca_keys.other };
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		X509_REQ *req = X509_REQ_new();
		struct hf_err e = HF_ERR_INIT;
		unsigned char *p = NULL;
		struct hf_view v;
		hf_Issued out;

		assert_true(X509_REQ_set_version(req, 0) && X509_REQ_set_pubkey(req, keys[i]));
		ca_add_name(X509_REQ_get_subject_name(req), NID_commonName, "edge ca");
		assert_true(X509_REQ_sign(req, keys[i], EVP_sha256()) > 0);
		v = ca_der_of(i2d_re_X509_REQ_tbs(req, &p), &p);
		assert_int_equal(ca_check(v, NULL, &out, &e), i ? HF_REFUSED : HF_OK);
		if (i)
			assert_non_null(strstr(e.msg, "another key"));
		else
			assert_int_equal(out.kind, hf_Issued_Kind_REQUEST);
		ca_release(v);
		X509_REQ_free(req);
	}
}

static void test_nonsense(void **state)
{
	static const uint8_t tls13[130] = { 0x20, 0x20, 0x20 };
	static const uint8_t sequence[] = { 0x30, 0x00 }, digest[32] = { 0x30, 0x1e };
	const struct hf_view all[] = { { NULL, 0 },
				       { tls13, sizeof(tls13) },
				       { sequence, sizeof(sequence) },
				       { digest, sizeof(digest) } };
	struct hf_err e = HF_ERR_INIT;
	hf_Issued out;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(all); i++)
		assert_int_equal(ca_check(all[i], NULL, &out, &e), HF_REFUSED);
}

static void test_registration(void **state)
{
	X509 *self = ca_new_self(), *leaf = ca_new_leaf();
	unsigned char *der = NULL, *leaf_der = NULL, *spki = NULL, *other_spki = NULL;
	struct hf_view own_spki = ca_der_of(i2d_PUBKEY(ca_keys.own, &spki), &spki);
	struct hf_view another = ca_der_of(i2d_PUBKEY(ca_keys.other, &other_spki), &other_spki);
	struct hf_err e = HF_ERR_INIT;
	struct hf_view v, l;
	hf_KeeperParsed out;

	(void)state;
	assert_true(X509_sign(self, ca_keys.own, EVP_sha256()) &&
		    X509_sign(leaf, ca_keys.own, EVP_sha256()));
	v = ca_der_of(i2d_X509(self, &der), &der);
	l = ca_der_of(i2d_X509(leaf, &leaf_der), &leaf_der);
	assert_int_equal(hf_ca_certificate(own_spki, v, &out, &e), HF_OK);
	assert_int_equal(out.not_after, NOW + DAYS(90));
	assert_string_equal(out.subject, "CN=edge ca");
	assert_int_equal(out.subject_der.size, ca_issuer_name().n);
	assert_int_equal(hf_ca_certificate(another, v, &out, &e), HF_ARGUMENT);
	assert_int_equal(hf_ca_certificate(another, l, &out, &e), HF_ARGUMENT);
	assert_non_null(strstr(e.msg, "CA:TRUE"));
	v.n--;
	assert_int_equal(hf_ca_certificate(own_spki, v, &out, &e), HF_ARGUMENT);
	ca_release(own_spki);
	ca_release(another);
	ca_release(l);
	OPENSSL_free(der);
	X509_free(self);
	X509_free(leaf);
}

static void test_globs(void **state)
{
	(void)state;
	assert_true(hf_caext_glob("*", "", 0));
	assert_true(hf_caext_glob("a*c", "abbbc", 5));
	assert_true(hf_caext_glob("A?C", "abc", 3));
	assert_true(hf_caext_glob("*.example", "x.y.EXAMPLE", 11));
	assert_false(hf_caext_glob("*.example", "example", 7));
	assert_false(hf_caext_glob("a", "ab", 2));
	assert_false(hf_caext_glob("ab", "a", 1));
	assert_false(hf_caext_glob("", "a", 1));
	assert_true(hf_caext_glob("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaab", 26));
	assert_false(hf_caext_glob("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaa", 26));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_algorithms),   cmocka_unit_test(test_crls),
		cmocka_unit_test(test_requests),     cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_registration), cmocka_unit_test(test_globs),
	};

	return cmocka_run_group_tests_name("caothers", tests, ca_set_up, ca_tear_down);
}
