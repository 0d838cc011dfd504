/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/issue.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/rand.h>

#include "agent/keys.h"
#include "est/names.h"

#define DAY    86400
#define BACK_S 300 /* for clocks that are a little behind ours */
#define CN_MAX 64  /* RFC 5280, ub-common-name */

X509_NAME *hf_issue_subject(const struct hf_credential_conf *c, struct hf_err *e)
{
	X509_NAME *name = X509_NAME_new();
	char why[160];
	size_t i;

	for (i = 0; name && i < c->n_subject; i++) {
		const char *value = c->subject[i][1];

		if (X509_NAME_add_entry_by_txt(name, c->subject[i][0], MBSTRING_UTF8,
					       (const unsigned char *)value, -1, -1, 0) == 1)
			continue;
		(void)hf_fail(e, HF_ARGUMENT,
			      "certificate %s: %s = \"%.100s\" cannot be in a "
			      "subject: %s",
			      c->id, c->subject[i][0], value, hf_keys_why(why, sizeof(why)));
		X509_NAME_free(name);
		return NULL;
	}
	if (!name)
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
	return name;
}

enum hf_rc hf_issue_sans(const struct hf_credential_conf *c, GENERAL_NAMES **out, struct hf_err *e)
{
	const char *sans[HF_COUNT(c->sans)];
	size_t i;

	*out = NULL;
	for (i = 0; i < c->n_sans; i++)
		sans[i] = c->sans[i];
	if (!c->n_sans)
		return HF_OK;
	return hf_sans_read(sans, (unsigned)c->n_sans, out, e)
		       ? hf_within(e, "certificate %s", c->id)
		       : HF_OK;
}

static bool add(X509 *cert, int nid, int critical, void *value)
{
	return value && X509_add1_ext_i2d(cert, nid, value, critical, 0) == 1;
}

static bool add_constraints(X509 *cert, const struct hf_issue *i)
{
	BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
	bool ok = bc != NULL;

	if (ok && i->ca) {
		bc->ca = 0xff;
		if (i->pathlen >= 0) {
			bc->pathlen = ASN1_INTEGER_new();
			ok = bc->pathlen && ASN1_INTEGER_set_int64(bc->pathlen, i->pathlen);
		}
	}
	ok = ok && add(cert, NID_basic_constraints, 1, bc);
	BASIC_CONSTRAINTS_free(bc);
	return ok;
}

/* RFC 5280, section 4.2.1.3: bit 0 is digitalSignature, 2 keyEncipherment, 5 keyCertSign. */
static bool add_usage(X509 *cert, const struct hf_issue *i)
{
	ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
	bool ok = bits && ASN1_BIT_STRING_set_bit(bits, 0, 1);

	if (i->ca)
		ok = ok && ASN1_BIT_STRING_set_bit(bits, 5, 1);
	else if (EVP_PKEY_is_a(i->key, "RSA"))
		ok = ok && ASN1_BIT_STRING_set_bit(bits, 2, 1);
	ok = ok && add(cert, NID_key_usage, 1, bits);
	ASN1_BIT_STRING_free(bits);
	return ok;
}

static bool add_eku(X509 *cert, const struct hf_issue *i)
{
	EXTENDED_KEY_USAGE *list = sk_ASN1_OBJECT_new_null();
	bool ok = list != NULL;
	size_t n;

	for (n = 0; ok && n < i->n_eku; n++) {
		ASN1_OBJECT *oid = OBJ_txt2obj(i->eku[n], 0);

		ok = oid && sk_ASN1_OBJECT_push(list, oid) > 0;
		if (!ok)
			ASN1_OBJECT_free(oid);
	}
	ok = ok && (!i->n_eku || add(cert, NID_ext_key_usage, 0, list));
	sk_ASN1_OBJECT_pop_free(list, ASN1_OBJECT_free);
	return ok;
}

/* RFC 5280, section 4.2.1.2, method 1, but with SHA-256's first 20 octets (RFC 7093). */
static ASN1_OCTET_STRING *key_id(X509 *cert)
{
	const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(cert);
	ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
	unsigned char hash[32];

	if (id && bits &&
	    EVP_Q_digest(NULL, "SHA256", NULL, bits->data, (size_t)bits->length, hash, NULL) &&
	    ASN1_OCTET_STRING_set(id, hash, 20))
		return id;
	ASN1_OCTET_STRING_free(id);
	return NULL;
}

static bool add_key_ids(X509 *cert, const struct hf_issue *i)
{
	ASN1_OCTET_STRING *own = key_id(cert);
	const ASN1_OCTET_STRING *of = i->issuer ? X509_get0_subject_key_id(i->issuer) : own;
	AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
	bool ok = own && aki && add(cert, NID_subject_key_identifier, 0, own);

	if (ok && of) {
		aki->keyid = ASN1_OCTET_STRING_dup(of);
		ok = aki->keyid && add(cert, NID_authority_key_identifier, 0, aki);
	}
	AUTHORITY_KEYID_free(aki);
	ASN1_OCTET_STRING_free(own);
	return ok;
}

static bool add_serial(X509 *cert)
{
	unsigned char random[16];
	BIGNUM *n = NULL;
	bool ok = RAND_bytes(random, sizeof(random)) == 1;

	random[0] = (unsigned char)((random[0] & 0x7f) | 0x40); /* positive, of 16 octets */
	n = ok ? BN_bin2bn(random, sizeof(random), NULL) : NULL;
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	return ok;
}

/* Not after the issuer's end; HF_REFUSED if nothing is left of it. */
static enum hf_rc add_dates(X509 *cert, const struct hf_issue *i, struct hf_err *e)
{
	time_t from = (time_t)(i->now - BACK_S), to = (time_t)(i->now + i->days * DAY);
	int order = 1;

	if (i->issuer) {
		order = ASN1_TIME_cmp_time_t(X509_get0_notAfter(i->issuer), (time_t)i->now);
		if (order <= 0)
			return hf_fail(e, HF_REFUSED,
				       "the certificate of the issuer has ended; renew it first");
		/* And not before its beginning, where our clock allows. */
		if (ASN1_TIME_cmp_time_t(X509_get0_notBefore(i->issuer), from) > 0 &&
		    !X509_set1_notBefore(cert, X509_get0_notBefore(i->issuer)))
			return hf_fail(e, HF_NO_MEMORY, "out of memory");
	}
	if (ASN1_STRING_length(X509_get0_notBefore(cert)) == 0 &&
	    !ASN1_TIME_adj(X509_getm_notBefore(cert), from, 0, 0))
		return hf_fail(e, HF_ARGUMENT, "the clock has no date that a certificate can have");
	if (i->issuer && ASN1_TIME_cmp_time_t(X509_get0_notAfter(i->issuer), to) < 0)
		return X509_set1_notAfter(cert, X509_get0_notAfter(i->issuer))
			       ? HF_OK
			       : hf_fail(e, HF_NO_MEMORY, "out of memory");
	return ASN1_TIME_adj(X509_getm_notAfter(cert), to, 0, 0)
		       ? HF_OK
		       : hf_fail(e, HF_ARGUMENT, "no certificate can be valid for so long");
}

/* RSA and EC keys sign SHA-256 of it; Ed25519 has no digest. */
static const EVP_MD *digest_of(EVP_PKEY *key)
{
	char name[32] = "";

	/* 2: mandatory, and "UNDEF" means none. */
	if (EVP_PKEY_get_default_digest_name(key, name, sizeof(name)) == 2 &&
	    !strcmp(name, "UNDEF"))
		return NULL;
	return EVP_sha256();
}

X509 *hf_issue(const struct hf_issue *i, struct hf_err *e)
{
	EVP_PKEY *by = i->issuer ? i->issuer_key : i->key;
	X509 *cert = X509_new_ex(i->lib, NULL);
	enum hf_rc rc = HF_OK;
	char why[400];
	bool ok;

	ERR_clear_error();
	ok = cert && X509_set_version(cert, X509_VERSION_3) && add_serial(cert) &&
	     X509_set_subject_name(cert, i->subject) &&
	     X509_set_issuer_name(cert,
				  i->issuer ? X509_get_subject_name(i->issuer) : i->subject) &&
	     X509_set_pubkey(cert, i->key);
	if (ok)
		rc = add_dates(cert, i, e);
	ok = ok && !rc && add_constraints(cert, i) && add_usage(cert, i) && add_eku(cert, i) &&
	     add_key_ids(cert, i);
	/* RFC 5280, section 4.2.1.6: critical where there is no subject */
	if (ok && i->sans)
		ok = add(cert, NID_subject_alt_name, !X509_NAME_entry_count(i->subject), i->sans);
	if (ok && X509_sign(cert, by, digest_of(by)) > 0)
		return cert;
	if (!rc)
		(void)hf_fail(e, HF_FAILED, "cannot make the certificate: %s",
			      hf_keys_why(why, sizeof(why)));
	X509_free(cert);
	return NULL;
}
