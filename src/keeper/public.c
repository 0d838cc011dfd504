/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/public.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static const char *const digest_names[] = { "SHA1", "SHA2-256", "SHA2-384", "SHA2-512" };

const EVP_MD *hf_digest(const char *name)
{
	static EVP_MD *fetched[HF_COUNT(digest_names)];
	size_t i;

	for (i = 0; i < HF_COUNT(digest_names); i++) {
		if (strcmp(name, digest_names[i]))
			continue;
		if (!fetched[i])
			fetched[i] = EVP_MD_fetch(NULL, name, NULL);
		return fetched[i];
	}
	return NULL;
}

enum hf_rc hf_hash(const char *name, struct hf_view in, uint8_t *out, struct hf_err *e)
{
	const EVP_MD *md = hf_digest(name);

	if (!md || !EVP_Digest(in.p ? in.p : (const uint8_t *)"", in.n, out, NULL, md, NULL))
		return hf_fail(e, HF_FAILED, "cannot compute %s", name);
	return HF_OK;
}

static bool family_of(const EVP_PKEY *pkey, enum hf_family *family)
{
	if (EVP_PKEY_is_a(pkey, "RSA"))
		*family = HF_FAMILY_RSA;
	else if (EVP_PKEY_is_a(pkey, "EC"))
		*family = HF_FAMILY_EC;
	else if (EVP_PKEY_is_a(pkey, "ED25519"))
		*family = HF_FAMILY_ED25519;
	else
		return false;
	return true;
}

/* The one encoding of it, so that its hash is its address. */
static bool canonical(const EVP_PKEY *pkey, struct hf_view spki)
{
	unsigned char *again = NULL;
	int n = i2d_PUBKEY(pkey, &again);
	bool ok = n > 0 && (size_t)n == spki.n && !memcmp(again, spki.p, spki.n);

	OPENSSL_free(again);
	return ok;
}

enum hf_rc hf_public_new(struct hf_public **out, struct hf_view spki, struct hf_err *e)
{
	const unsigned char *p = spki.p;
	struct hf_public *pub;
	EVP_PKEY *pkey;

	*out = NULL;
	pkey = spki.n && spki.n <= 8192 ? d2i_PUBKEY(NULL, &p, (long)spki.n) : NULL;
	if (!pkey || p != spki.p + spki.n || !canonical(pkey, spki)) {
		EVP_PKEY_free(pkey);
		return hf_fail(e, HF_CORRUPT, "the recorded public key is malformed");
	}
	pub = calloc(1, sizeof(*pub));
	if (!pub) {
		EVP_PKEY_free(pkey);
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	}
	pub->refs = 1;
	pub->pkey = pkey;
	pub->bits = (unsigned)EVP_PKEY_get_bits(pkey);
	if (!family_of(pkey, &pub->family))
		(void)hf_fail(e, HF_UNSUPPORTED, "keys of type %s are not supported",
			      EVP_PKEY_get0_type_name(pkey));
	else if (!hf_public_strong(pkey, e)) {
		*out = pub;
		return HF_OK;
	}
	hf_public_free(pub);
	return e ? e->rc : HF_REFUSED;
}

struct hf_public *hf_public_ref(struct hf_public *p)
{
	p->refs++;
	return p;
}

void hf_public_free(struct hf_public *p)
{
	if (!p || --p->refs)
		return;
	EVP_PKEY_CTX_free(p->verifier);
	EVP_PKEY_free(p->pkey);
	free(p);
}

static bool set_up(struct hf_public *p, const struct hf_scheme *scheme)
{
	const EVP_MD *md = scheme->hash ? hf_digest(scheme->hash) : NULL;

	p->scheme = NULL;
	if (!p->verifier)
		p->verifier = EVP_PKEY_CTX_new_from_pkey(NULL, p->pkey, NULL);
	if (!p->verifier || !md || EVP_PKEY_verify_init(p->verifier) <= 0)
		return false;
	if (scheme->pad == HF_PAD_PKCS1 &&
	    EVP_PKEY_CTX_set_rsa_padding(p->verifier, RSA_PKCS1_PADDING) <= 0)
		return false;
	if (scheme->pad == HF_PAD_PSS &&
	    EVP_PKEY_CTX_set_rsa_padding(p->verifier, RSA_PKCS1_PSS_PADDING) <= 0)
		return false;
	if (EVP_PKEY_CTX_set_signature_md(p->verifier, md) <= 0)
		return false;
	if (scheme->pad == HF_PAD_PSS &&
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(p->verifier, RSA_PSS_SALTLEN_DIGEST) <= 0)
		return false;
	p->scheme = scheme;
	return true;
}

static bool verify_message(struct hf_public *p, struct hf_view message, struct hf_view sig)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, p->pkey) > 0 &&
		    EVP_DigestVerify(ctx, sig.p, sig.n, message.p ? message.p : (const uint8_t *)"",
				     message.n) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

enum hf_rc hf_public_verify(struct hf_public *p, const struct hf_scheme *scheme,
			    struct hf_view digest, struct hf_view sig, struct hf_err *e)
{
	if (scheme->family != p->family)
		return hf_fail(e, HF_ARGUMENT, "scheme %s is for another kind of key",
			       scheme->name);
	if (scheme->hash && p->scheme != scheme && !set_up(p, scheme))
		return hf_fail(e, HF_UNSUPPORTED, "cannot verify %s signatures", scheme->name);
	if (scheme->hash ? EVP_PKEY_verify(p->verifier, sig.p, sig.n, digest.p, digest.n) != 1
			 : !verify_message(p, digest, sig))
		return hf_fail(e, HF_FAILED,
			       "the token's signature does not verify; it was withheld. "
			       "If this repeats, the token is faulty");
	return HF_OK;
}

/*
 * CVE-2017-15361: the weak generator makes primes of the form k*M + 65537^a mod M, so
 * that the modulus is a power of 65537 modulo each small prime. A sound modulus passes
 * all of these by chance about once in 2^28.
 */
static bool roca(const BIGNUM *n)
{
	unsigned p, d, found = 0, power, residue;

	for (p = 3; p <= 167; p += 2) {
		for (d = 3; d * d <= p && p % d; d += 2)
			;
		if (d * d <= p)
			continue; /* not a prime */
		residue = (unsigned)BN_mod_word(n, p);
		power = 1;
		do {
			power = power * (65537u % p) % p;
			found = power == residue;
		} while (!found && power != 1);
		if (!found)
			return false;
	}
	return true;
}

static enum hf_rc rsa_strong(const EVP_PKEY *pkey, struct hf_err *e)
{
	BIGNUM *n = NULL, *exp = NULL;
	enum hf_rc rc = HF_OK;
	int bits;

	if (!EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) ||
	    !EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &exp)) {
		BN_free(n);
		return hf_fail(e, HF_REFUSED, "the RSA key cannot be read");
	}
	bits = BN_num_bits(n);
	if (bits < 2048 || bits > 8192)
		rc = hf_fail(e, HF_REFUSED,
			     "an RSA key of %d bits is not accepted; use 2048 to 8192", bits);
	else if (!BN_is_odd(n) || !BN_is_odd(exp) || BN_num_bits(exp) < 17 || BN_num_bits(exp) > 64)
		rc = hf_fail(e, HF_REFUSED,
			     "the RSA key's public exponent is not accepted; use 65537");
	else if (roca(n))
		rc = hf_fail(e, HF_REFUSED,
			     "the RSA key bears the mark of CVE-2017-15361 (ROCA): its "
			     "private half can be computed; make another one");
	BN_free(n);
	BN_free(exp);
	return rc;
}

enum hf_rc hf_public_strong(const EVP_PKEY *pkey, struct hf_err *e)
{
	static const char *const curves[] = { "prime256v1", "secp384r1", "secp521r1" };
	char group[64], form[32];
	size_t i;

	if (EVP_PKEY_is_a(pkey, "RSA") || EVP_PKEY_is_a(pkey, "RSA-PSS"))
		return rsa_strong(pkey, e);
	if (EVP_PKEY_is_a(pkey, "ED25519") || EVP_PKEY_is_a(pkey, "ED448"))
		return HF_OK;
	if (!EVP_PKEY_is_a(pkey, "EC"))
		return hf_fail(e, HF_REFUSED, "a key of this type is not accepted; use EC or RSA");
	/* Reading the point has checked that it lies on the curve. RFC 5480 2.2 has two forms. */
	if (!EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, form,
					    sizeof(form), NULL) ||
	    !strcmp(form, OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_HYBRID))
		return hf_fail(e, HF_REFUSED,
			       "the EC key's point is in hybrid form, which X.509 forbids");
	if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL))
		for (i = 0; i < HF_COUNT(curves); i++)
			if (!strcmp(group, curves[i]))
				return HF_OK;
	return hf_fail(e, HF_REFUSED,
		       "the EC key's curve is not accepted; use P-256, P-384 or P-521");
}
