/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS#12 (RFC 7292), bag by bag: PKCS12_parse() gives one key and hashes the password as often
 * as the file likes.
 */
#include <string.h>

#include <openssl/err.h>
#include <openssl/pkcs12.h>

#include "cli/bundle.h"

#define NESTING_MAX 4u

/* libcrypto distinguishes no password from an empty one, as files do. */
struct opener {
	char word[HF_PASSWORD_MAX + 1];
	const char *p;
	int n;
};

static enum hf_rc take_bags(struct hf_bundle *b, const struct opener *o,
			    const STACK_OF(PKCS12_SAFEBAG) * bags, unsigned depth,
			    struct hf_err *e);

static enum hf_rc take_key(struct hf_bundle *b, const PKCS8_PRIV_KEY_INFO *info, struct hf_err *e)
{
	EVP_PKEY *key = info ? EVP_PKCS82PKEY_ex(info, b->soft.ctx, NULL) : NULL;

	if (!key)
		return hf_fail(e, HF_CORRUPT,
			       "%s: a private key of it is damaged, or of a kind "
			       "that is not known",
			       b->path);
	return hf_bundle_take_key(b, key, e);
}

static enum hf_rc take_shrouded(struct hf_bundle *b, const struct opener *o,
				const PKCS12_SAFEBAG *bag, struct hf_err *e)
{
	const X509_SIG *sig = PKCS12_SAFEBAG_get0_pkcs8(bag);
	PKCS8_PRIV_KEY_INFO *info;
	const X509_ALGOR *alg;
	enum hf_rc rc;

	if (!sig)
		return HF_OK;
	X509_SIG_get0(sig, &alg, NULL);
	if (hf_bundle_rounds(b, alg, e))
		return e->rc;
	info = PKCS12_decrypt_skey_ex(bag, o->p, o->n, b->soft.ctx, NULL);
	rc = info ? take_key(b, info, e) : hf_bundle_locked(b, e);
	PKCS8_PRIV_KEY_INFO_free(info);
	return rc;
}

static enum hf_rc take_bag(struct hf_bundle *b, const struct opener *o, PKCS12_SAFEBAG *bag,
			   unsigned depth, struct hf_err *e)
{
	X509 *cert;

	switch (PKCS12_SAFEBAG_get_nid(bag)) {
	case NID_keyBag:
		return take_key(b, PKCS12_SAFEBAG_get0_p8inf(bag), e);
	case NID_pkcs8ShroudedKeyBag:
		return take_shrouded(b, o, bag, e);
	case NID_certBag:
		if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
			return HF_OK;
		cert = PKCS12_SAFEBAG_get1_cert(bag);
		return cert ? hf_bundle_take_cert(b, cert, e)
			    : hf_fail(e, HF_CORRUPT, "%s: a certificate of it is damaged", b->path);
	case NID_crlBag:
		b->crls++;
		return HF_OK;
	case NID_safeContentsBag:
		return take_bags(b, o, PKCS12_SAFEBAG_get0_safes(bag), depth + 1, e);
	default:
		return HF_OK;
	}
}

static enum hf_rc take_bags(struct hf_bundle *b, const struct opener *o,
			    const STACK_OF(PKCS12_SAFEBAG) * bags, unsigned depth, struct hf_err *e)
{
	enum hf_rc rc = HF_OK;
	int i;

	if (depth > NESTING_MAX)
		return hf_fail(e, HF_ARGUMENT, "%s: bags in bags, more than %u deep", b->path,
			       NESTING_MAX);
	for (i = 0; !rc && i < sk_PKCS12_SAFEBAG_num(bags); i++)
		rc = take_bag(b, o, sk_PKCS12_SAFEBAG_value(bags, i), depth, e);
	return rc;
}

static enum hf_rc take_safe(struct hf_bundle *b, const struct opener *o, PKCS7 *p7,
			    struct hf_err *e)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
	int type = OBJ_obj2nid(p7->type);
	enum hf_rc rc;

	if (type == NID_pkcs7_data) {
		bags = PKCS12_unpack_p7data(p7);
	} else if (type == NID_pkcs7_encrypted) {
		if (p7->d.encrypted && p7->d.encrypted->enc_data &&
		    hf_bundle_rounds(b, p7->d.encrypted->enc_data->algorithm, e))
			return e->rc;
		bags = PKCS12_unpack_p7encdata(p7, o->p, o->n);
		if (!bags)
			return hf_bundle_locked(b, e);
	}
	if (!bags)
		return hf_fail(e, HF_CORRUPT,
			       "%s: a part of it is damaged, or encrypted for somebody's key",
			       b->path);
	rc = take_bags(b, o, bags, 0, e);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	return rc;
}

static enum hf_rc count_mac(struct hf_bundle *b, const PKCS12 *p12, struct hf_err *e)
{
	const ASN1_INTEGER *rounds = NULL;
	const X509_ALGOR *alg = NULL;
	enum hf_rc rc = HF_OK;
	unsigned i;

	PKCS12_get0_mac(NULL, &alg, NULL, &rounds, p12);
	for (i = 0; !rc && i < 3; i++) { /* as often as it may be tried */
		rc = rounds ? hf_bundle_count(b, rounds, e) : HF_OK;
		if (!rc && alg && OBJ_obj2nid(alg->algorithm) == NID_pbmac1)
			rc = hf_bundle_rounds(b, alg, e);
	}
	return rc;
}

static bool has_shrouded(PKCS7 *p7)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = PKCS12_unpack_p7data(p7);
	bool found = false;
	int i;

	for (i = 0; i < sk_PKCS12_SAFEBAG_num(bags); i++)
		found = found || PKCS12_SAFEBAG_get_nid(sk_PKCS12_SAFEBAG_value(bags, i)) ==
					 NID_pkcs8ShroudedKeyBag;
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	return found;
}

/* Is anything in it encrypted with a password? */
static bool is_locked(const PKCS12 *p12)
{
	STACK_OF(PKCS7) *safes = PKCS12_unpack_authsafes(p12);
	bool found = false;
	int i;

	for (i = 0; !found && i < sk_PKCS7_num(safes); i++) {
		PKCS7 *p7 = sk_PKCS7_value(safes, i);
		int type = OBJ_obj2nid(p7->type);

		found = type == NID_pkcs7_encrypted || (type == NID_pkcs7_data && has_shrouded(p7));
	}
	sk_PKCS7_pop_free(safes, PKCS7_free);
	return found;
}

/* Without a MAC only decryption shows whether the password is right. */
static enum hf_rc find_password(struct hf_bundle *b, PKCS12 *p12, struct opener *o,
				struct hf_err *e)
{
	bool mac = PKCS12_mac_present(p12);

	o->p = NULL;
	o->n = 0;
	if (mac && count_mac(b, p12, e))
		return e->rc;
	if (mac ? PKCS12_verify_mac(p12, NULL, 0) : !is_locked(p12))
		return HF_OK;
	o->p = o->word;
	if (mac && PKCS12_verify_mac(p12, "", 0))
		return HF_OK;
	o->n = hf_password_get(o->word, HF_PASSWORD_MAX, 0, &b->password);
	if (o->n < 0 || (mac && !PKCS12_verify_mac(p12, o->word, o->n)))
		return hf_bundle_locked(b, e);
	o->word[o->n] = '\0';
	return HF_OK;
}

enum hf_rc hf_bundle_pkcs12(struct hf_bundle *b, PKCS12 *p12, struct hf_err *e)
{
	struct opener o = { .word = "" };
	STACK_OF(PKCS7) *safes = NULL;
	enum hf_rc rc = find_password(b, p12, &o, e);
	int i;

	if (!rc)
		safes = PKCS12_unpack_authsafes(p12);
	if (!rc && !safes)
		rc = hf_fail(e, HF_CORRUPT, "%s: PKCS#12 that is damaged", b->path);
	for (i = 0; !rc && i < sk_PKCS7_num(safes); i++)
		rc = take_safe(b, &o, sk_PKCS7_value(safes, i), e);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	PKCS12_free(p12);
	explicit_bzero(&o, sizeof(o));
	return rc;
}
