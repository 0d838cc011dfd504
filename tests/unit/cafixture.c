/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "cafixture.h"

struct ca_keys ca_keys;

struct hf_view ca_der_of(int n, unsigned char **p)
{
	assert_true(n > 0);
	return (struct hf_view){ *p, (size_t)n };
}

void ca_set_times(X509 *x, int64_t from, int64_t to)
{
	ASN1_TIME *a = ASN1_TIME_set(NULL, from), *b = ASN1_TIME_set(NULL, to);

	assert_true(X509_set1_notBefore(x, a) && X509_set1_notAfter(x, b));
	ASN1_TIME_free(a);
	ASN1_TIME_free(b);
}

void ca_set_serial(X509 *x, const char *hex)
{
	BIGNUM *bn = NULL;

	assert_true(BN_hex2bn(&bn, hex));
	assert_non_null(BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)));
	BN_free(bn);
}

void ca_add_name(X509_NAME *name, int nid, const char *value)
{
	assert_true(X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8,
					       (const unsigned char *)value, -1, -1, 0));
}

void ca_set_ext(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	int at = X509_get_ext_by_NID(x, nid, -1);

	if (at >= 0)
		X509_EXTENSION_free(X509_delete_ext(x, at));
	if (!value)
		return;
	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	assert_true(X509_add_ext(x, ext, -1));
	X509_EXTENSION_free(ext);
}

void ca_add_raw(X509 *x, const char *oid, int critical, const char *value, int n)
{
	ASN1_OBJECT *obj = OBJ_txt2obj(oid, 1);
	ASN1_OCTET_STRING *data = ASN1_OCTET_STRING_new();
	X509_EXTENSION *ext;

	assert_true(ASN1_OCTET_STRING_set(data, (const unsigned char *)value, n));
	ext = X509_EXTENSION_create_by_OBJ(NULL, obj, critical, data);
	assert_true(X509_add_ext(x, ext, -1));
	X509_EXTENSION_free(ext);
	ASN1_OCTET_STRING_free(data);
	ASN1_OBJECT_free(obj);
}

X509 *ca_new_leaf(void)
{
	X509 *x = X509_new();

	assert_true(X509_set_version(x, 2) && X509_set_pubkey(x, ca_keys.other));
	ca_set_serial(x, "4142434445464748494a4b4c4d4e4f50");
	ca_add_name(X509_get_subject_name(x), NID_commonName, "module-1");
	ca_add_name(X509_get_issuer_name(x), NID_commonName, "edge ca");
	ca_set_times(x, NOW - 60, NOW + DAYS(30));
	ca_set_ext(x, NID_basic_constraints, "critical,CA:FALSE");
	ca_set_ext(x, NID_key_usage, "critical,digitalSignature,keyEncipherment");
	ca_set_ext(x, NID_ext_key_usage, "serverAuth");
	ca_set_ext(x, NID_subject_alt_name, "DNS:module-1.example,IP:10.0.0.1");
	return x;
}

X509 *ca_new_self(void)
{
	X509 *x = X509_new();

	assert_true(X509_set_version(x, 2) && X509_set_pubkey(x, ca_keys.own));
	ca_set_serial(x, "4142434445464748494a4b4c4d4e4f51");
	ca_add_name(X509_get_subject_name(x), NID_commonName, "edge ca");
	ca_add_name(X509_get_issuer_name(x), NID_commonName, "edge ca");
	ca_set_times(x, NOW - 60, NOW + DAYS(90));
	ca_set_ext(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	ca_set_ext(x, NID_key_usage, "critical,digitalSignature,keyCertSign");
	return x;
}

struct hf_view ca_issuer_name(void)
{
	static unsigned char *p;
	static int n;

	if (!p) {
		X509_NAME *name = X509_NAME_new();

		ca_add_name(name, NID_commonName, "edge ca");
		n = i2d_X509_NAME(name, &p);
		X509_NAME_free(name);
	}
	return (struct hf_view){ p, (size_t)n };
}

enum hf_rc ca_check_as(EVP_PKEY *signer, const char *scheme, struct hf_view data, const char *glob,
			   hf_Issued *out, struct hf_err *e)
{
	hf_CaProfile profile = { .max_days = 90, .self_max_days = 3650, .pathlen = 0 };
	unsigned char *spki = NULL;
	int n = i2d_PUBKEY(signer, &spki);
	struct hf_ca_input in = { .data = data, .scheme = hf_scheme_find(scheme),
				  .spki = { spki, (size_t)n }, .profile = &profile,
				  .issuer_not_after = NOW + DAYS(60),
				  .issuer_subject = ca_issuer_name(), .now = NOW };
	enum hf_rc rc;

	if (glob) {
		profile.names_count = 1;
		(void)hf_copy(profile.names[0], sizeof(profile.names[0]), glob);
	}
	rc = hf_ca_check(&in, out, e);
	OPENSSL_free(spki);
	return rc;
}

enum hf_rc ca_check(struct hf_view data, const char *glob, hf_Issued *out, struct hf_err *e)
{
	return ca_check_as(ca_keys.own, "ecdsa-sha256", data, glob, out, e);
}

struct hf_view ca_tbs_of(X509 *x, EVP_PKEY *signer, const EVP_MD *md)
{
	unsigned char *p = NULL;

	assert_true(X509_sign(x, signer, md) > 0); /* for the algorithm inside */
	return ca_der_of(i2d_re_X509_tbs(x, &p), &p);
}

void ca_release(struct hf_view v)
{
	OPENSSL_free((void *)(uintptr_t)v.p);
}

int ca_set_up(void **state)
{
	struct ca_keys *k = &ca_keys;

	(void)state;
	k->own = EVP_EC_gen("P-256");
	k->other = EVP_EC_gen("P-256");
	k->p224 = EVP_EC_gen("P-224");
	k->rsa_ca = EVP_RSA_gen(2048);
	k->rsa1024 = EVP_RSA_gen(1024);
	k->rsa2048 = EVP_RSA_gen(2048);
	k->ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return !(k->own && k->other && k->p224 && k->rsa_ca && k->rsa1024 && k->rsa2048 && k->ed25519);
}

int ca_tear_down(void **state)
{
	struct ca_keys *k = &ca_keys;
	EVP_PKEY *all[] = { k->own, k->other, k->rsa_ca, k->rsa1024, k->rsa2048, k->p224, k->ed25519 };
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(all); i++)
		EVP_PKEY_free(all[i]);
	OPENSSL_free((void *)(uintptr_t)ca_issuer_name().p);
	return 0;
}
