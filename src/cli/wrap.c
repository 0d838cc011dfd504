/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/wrap.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "wire/mech.h"
#include "wire/packet.h"

#define HASH  32u /* SHA-256 */
#define FIELD 32u /* of P-256, the parent's curve */

/* TPM 2.0 Library, part 2: algorithms, curves and TPMA_OBJECT */
enum {
	ALG_RSA = 0x1,
	ALG_SHA256 = 0xb,
	ALG_NULL = 0x10,
	ALG_ECC = 0x23,
	USER_WITH_AUTH = 1 << 6,
	NODA = 1 << 10,
	DECRYPT = 1 << 17,
	SIGN = 1 << 18
};

static enum hf_rc no_memory(struct hf_err *e)
{
	return hf_fail(e, HF_NO_MEMORY, "out of memory, or OpenSSL failed");
}

static void put16(struct hf_buf *b, unsigned v)
{
	uint8_t p[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	hf_buf_add(b, p, 2);
}

static void put32(struct hf_buf *b, uint32_t v)
{
	put16(b, v >> 16);
	put16(b, v & 0xffff);
}

static void put2b(struct hf_buf *b, const void *p, size_t n)
{
	put16(b, (unsigned)n);
	hf_buf_add(b, p, n);
}

/* A number of the key as a TPM2B, as wide as @width, or as it is if that is 0. */
static bool put_number(struct hf_buf *b, const EVP_PKEY *pkey, const char *name, size_t width)
{
	uint8_t bytes[1024];
	BIGNUM *bn = NULL;
	bool ok = EVP_PKEY_get_bn_param(pkey, name, &bn);
	int n;

	if (ok && !width)
		width = (size_t)BN_num_bytes(bn);
	n = ok && width <= sizeof(bytes) ? BN_bn2binpad(bn, bytes, (int)width) : -1;
	if (n > 0)
		put2b(b, bytes, (size_t)n);
	explicit_bzero(bytes, sizeof(bytes));
	BN_clear_free(bn);
	return n > 0;
}

/* ---- the two halves of the key, as a TPM has them */

/* TPMT_PUBLIC: not fixed to this TPM, since it was not made in it. */
static bool put_public(struct hf_buf *b, const EVP_PKEY *pkey, unsigned usage)
{
	static const struct {
		int bits;
		unsigned id;
	} curves[] = { { 256, 3 }, { 384, 4 }, { 521, 5 } };
	bool rsa = EVP_PKEY_is_a(pkey, "RSA");
	size_t i, field = (size_t)(EVP_PKEY_get_bits(pkey) + 7) / 8;
	uint32_t attributes = USER_WITH_AUTH | NODA;

	if (usage & (HF_USAGE_SIGN | HF_USAGE_CA))
		attributes |= SIGN;
	if (usage & (HF_USAGE_DECRYPT | HF_USAGE_DERIVE))
		attributes |= DECRYPT;
	put16(b, rsa ? ALG_RSA : ALG_ECC);
	put16(b, ALG_SHA256);
	put32(b, attributes);
	put16(b, 0);	    /* no policy */
	put16(b, ALG_NULL); /* symmetric */
	put16(b, ALG_NULL); /* scheme */
	if (rsa) {
		put16(b, (unsigned)EVP_PKEY_get_bits(pkey));
		put32(b, 0); /* 65537 */
		return put_number(b, pkey, OSSL_PKEY_PARAM_RSA_N, 0);
	}
	for (i = 0; i < HF_COUNT(curves) && curves[i].bits != EVP_PKEY_get_bits(pkey); i++)
		;
	if (i == HF_COUNT(curves))
		return false;
	put16(b, curves[i].id);
	put16(b, ALG_NULL); /* kdf */
	return put_number(b, pkey, OSSL_PKEY_PARAM_EC_PUB_X, field) &&
	       put_number(b, pkey, OSSL_PKEY_PARAM_EC_PUB_Y, field);
}

/* TPM2B_SENSITIVE: no authorisation, no seed, one prime or the scalar. */
static bool put_sensitive(struct hf_buf *b, const EVP_PKEY *pkey)
{
	HF_AUTO_BUF s = HF_BUF(2048);
	bool rsa = EVP_PKEY_is_a(pkey, "RSA");
	size_t field = (size_t)(EVP_PKEY_get_bits(pkey) + 7) / 8;
	bool ok;

	put16(&s, rsa ? ALG_RSA : ALG_ECC);
	put16(&s, 0);
	put16(&s, 0);
	ok = rsa ? put_number(&s, pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, 0)
		 : put_number(&s, pkey, OSSL_PKEY_PARAM_PRIV_KEY, field);
	put2b(b, s.p, s.n);
	return ok && !s.bad;
}

/* ---- key derivation (part 1, 11.4.10) */

static bool sha256(OSSL_LIB_CTX *ctx, const struct hf_buf *in, uint8_t out[HASH])
{
	return !in->bad && EVP_Q_digest(ctx, "SHA256", NULL, in->p, in->n, out, NULL);
}

static bool mac(OSSL_LIB_CTX *ctx, const uint8_t *key, size_t n_key, const struct hf_buf *in,
		uint8_t out[HASH])
{
	size_t n = 0;

	return !in->bad &&
	       EVP_Q_mac(ctx, "HMAC", NULL, "SHA256", NULL, key, n_key, in->p, in->n, out, HASH,
			 &n) &&
	       n == HASH;
}

/* KDFa for at most 256 bits: one round. */
static bool kdfa(OSSL_LIB_CTX *ctx, const uint8_t seed[HASH], const char *label,
		 struct hf_view context, unsigned bits, uint8_t out[HASH])
{
	HF_AUTO_BUF text = HF_BUF(256);

	put32(&text, 1);
	hf_buf_add(&text, label, strlen(label) + 1);
	hf_buf_add(&text, context.p, context.n);
	put32(&text, bits);
	return mac(ctx, seed, HASH, &text, out);
}

static EVP_PKEY *parent_key(OSSL_LIB_CTX *ctx, const uint8_t point[1 + 2 * FIELD])
{
	EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_name(ctx, "EC", NULL);
	char group[] = "P-256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point,
						  1 + 2 * FIELD),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY *pkey = NULL;

	if (pctx && EVP_PKEY_fromdata_init(pctx) > 0)
		(void)EVP_PKEY_fromdata(pctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
	EVP_PKEY_CTX_free(pctx);
	return pkey;
}

/*
 * The unique part of a TPM2B_PUBLIC ends it: two coordinates with their sizes. Some TPMs leave
 * leading zeros out.
 */
static bool parent_point(struct hf_view pub, uint8_t point[1 + 2 * FIELD])
{
	/* TPM2B size, ECC, SHA-256, attributes, no policy, AES-128-CFB, no scheme, P-256, no kdf */
	static const uint8_t shape[] = { 0, 0x10, 0, 0x03, 0, 0x10 };
	size_t at = 12, n, i;

	if (pub.n < at + 12 || pub.p[2] != 0 || pub.p[3] != ALG_ECC || pub.p[10] || pub.p[11])
		return false;
	at += 6; /* symmetric: algorithm, bits, mode */
	if (memcmp(pub.p + at, shape, sizeof(shape)))
		return false;
	at += sizeof(shape);
	memset(point, 0, 1 + 2 * FIELD);
	point[0] = 4;
	for (i = 0; i < 2; i++) {
		if (at + 2 > pub.n)
			return false;
		n = (size_t)(pub.p[at] << 8 | pub.p[at + 1]);
		at += 2;
		if (!n || n > FIELD || at + n > pub.n)
			return false;
		memcpy(point + 1 + (i + 1) * FIELD - n, pub.p + at, n);
		at += n;
	}
	return at == pub.n;
}

/* A fresh seed and, in @secret, what lets the parent find it (part 1, C.6.1). */
static bool make_seed(OSSL_LIB_CTX *ctx, const uint8_t parent[1 + 2 * FIELD], uint8_t seed[HASH],
		      struct hf_buf *secret)
{
	EVP_PKEY *theirs = parent_key(ctx, parent),
		 *ours = EVP_PKEY_Q_keygen(ctx, NULL, "EC", "P-256");
	EVP_PKEY_CTX *pctx = ours ? EVP_PKEY_CTX_new_from_pkey(ctx, ours, NULL) : NULL;
	uint8_t point[1 + 2 * FIELD], z[FIELD];
	HF_AUTO_BUF text = HF_BUF(256);
	HF_AUTO_BUF both = HF_BUF(256);
	size_t n = sizeof(z), n_point = 0;
	bool ok;

	ok = theirs && pctx && EVP_PKEY_derive_init(pctx) > 0 &&
	     EVP_PKEY_derive_set_peer(pctx, theirs) > 0 && EVP_PKEY_derive(pctx, z, &n) > 0 &&
	     n == FIELD &&
	     EVP_PKEY_get_octet_string_param(ours, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
					     &n_point) &&
	     n_point == sizeof(point);
	if (ok) {
		put32(&text, 1); /* KDFe: one round */
		hf_buf_add(&text, z, sizeof(z));
		hf_buf_add(&text, "DUPLICATE", 10);
		hf_buf_add(&text, point + 1, FIELD);
		hf_buf_add(&text, parent + 1, FIELD);
		ok = sha256(ctx, &text, seed);
		put2b(&both, point + 1, FIELD);
		put2b(&both, point + 1 + FIELD, FIELD);
		put2b(secret, both.p, both.n);
	}
	explicit_bzero(z, sizeof(z));
	EVP_PKEY_CTX_free(pctx);
	EVP_PKEY_free(ours);
	EVP_PKEY_free(theirs);
	return ok && !secret->bad;
}

/* AES-128-CFB with a zero IV, in place: the key is used for this alone. */
static bool encrypt(OSSL_LIB_CTX *ctx, const uint8_t *key, struct hf_buf *b)
{
	static const uint8_t iv[16];
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(ctx, "AES-128-CFB", NULL);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0;
	bool ok = cipher && c && !b->bad && EVP_EncryptInit_ex2(c, cipher, key, iv, NULL) &&
		  EVP_EncryptUpdate(c, b->p, &n, b->p, (int)b->n) && (size_t)n == b->n;

	EVP_CIPHER_CTX_free(c);
	EVP_CIPHER_free(cipher);
	return ok;
}

/* TPM2B_PRIVATE: an HMAC over the encrypted TPM2B_SENSITIVE and the Name of the public half. */
static bool put_private(OSSL_LIB_CTX *ctx, const EVP_PKEY *pkey, const uint8_t seed[HASH],
			const struct hf_buf *public, struct hf_buf *out)
{
	HF_AUTO_BUF sensitive = HF_BUF(4096);
	HF_AUTO_BUF authentic = HF_BUF(4096);
	HF_AUTO_BUF whole = HF_BUF(4096);
	uint8_t name[2 + HASH] = { 0, ALG_SHA256 }, key[HASH], hmac[HASH];
	struct hf_view none = { NULL, 0 };
	bool ok;

	ok = sha256(ctx, public, name + 2) && put_sensitive(&sensitive, pkey) &&
	     kdfa(ctx, seed, "STORAGE", (struct hf_view){ name, sizeof(name) }, 128, key) &&
	     encrypt(ctx, key, &sensitive) && kdfa(ctx, seed, "INTEGRITY", none, 256, key);
	hf_buf_add(&authentic, sensitive.p, sensitive.n);
	hf_buf_add(&authentic, name, sizeof(name));
	ok = ok && mac(ctx, key, HASH, &authentic, hmac);
	put2b(&whole, hmac, sizeof(hmac));
	hf_buf_add(&whole, sensitive.p, sensitive.n);
	put2b(out, whole.p, whole.n);
	explicit_bzero(key, sizeof(key));
	return ok && !whole.bad && !out->bad;
}

/* ---- the file */

static void put_der(struct hf_buf *b, uint8_t tag, const void *p, size_t n)
{
	uint8_t head[4] = { tag, (uint8_t)n };
	size_t len = 2;

	if (n > 255) {
		head[1] = 0x82;
		head[2] = (uint8_t)(n >> 8);
		head[3] = (uint8_t)n;
		len = 4;
	} else if (n > 127) {
		head[1] = 0x81;
		head[2] = (uint8_t)n;
		len = 3;
	}
	hf_buf_add(b, head, len);
	hf_buf_add(b, p, n);
}

static void put_file(struct hf_buf *out, const struct hf_buf *secret, uint32_t handle,
		     const struct hf_buf *pub, const struct hf_buf *priv)
{
	static const uint8_t oid[] = { 0x67, 0x81, 0x05, 0x0a, 0x01, 0x04 }, yes[] = { 1, 1, 0xff };
	uint8_t parent[5] = { 0, (uint8_t)(handle >> 24), (uint8_t)(handle >> 16),
			      (uint8_t)(handle >> 8), (uint8_t)handle };
	size_t skip = parent[1] & 0x80 ? 0 : 1;
	HF_AUTO_BUF octets = HF_BUF(1024);
	HF_AUTO_BUF seq = HF_BUF(HF_WRAP_MAX);

	put_der(&seq, 0x06, oid, sizeof(oid));
	put_der(&seq, 0xa0, yes, sizeof(yes)); /* emptyAuth */
	put_der(&octets, 0x04, secret->p, secret->n);
	put_der(&seq, 0xa2, octets.p, octets.n);
	put_der(&seq, 0x02, parent + skip, sizeof(parent) - skip);
	put_der(&seq, 0x04, pub->p, pub->n);
	put_der(&seq, 0x04, priv->p, priv->n);
	put_der(out, 0x30, seq.p, seq.n);
	out->bad |= seq.bad || octets.bad;
}

enum hf_rc hf_wrap_tpm2(OSSL_LIB_CTX *ctx, const EVP_PKEY *pkey, unsigned usage,
			struct hf_view parent, uint32_t handle, struct hf_buf *out,
			struct hf_err *e)
{
	HF_AUTO_BUF public = HF_BUF(2048);
	HF_AUTO_BUF pub2b = HF_BUF(2048);
	HF_AUTO_BUF secret = HF_BUF(256);
	HF_AUTO_BUF private = HF_BUF(4096);
	uint8_t point[1 + 2 * FIELD], seed[HASH];
	bool ok;

	if (!parent_point(parent, point))
		return hf_fail(e, HF_UNSUPPORTED,
			       "the token's primary key is of a kind that this program does not "
			       "know; use programs of one version");
	if (!put_public(&public, pkey, usage))
		return hf_fail(e, HF_UNSUPPORTED, "a TPM does not take such a key");
	put2b(&pub2b, public.p, public.n);
	ok = make_seed(ctx, point, seed, &secret) &&
	     put_private(ctx, pkey, seed, &public, &private);
	explicit_bzero(seed, sizeof(seed));
	if (ok)
		put_file(out, &secret, handle, &pub2b, &private);
	return ok && !out->bad ? HF_OK : no_memory(e);
}

/* ---- PKCS#11 */

static bool oaep(OSSL_LIB_CTX *ctx, EVP_PKEY *to, const uint8_t key[32], struct hf_buf *out)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(ctx, to, NULL);
	uint8_t bytes[1024];
	size_t n = sizeof(bytes);
	bool ok = c && EVP_PKEY_encrypt_init(c) > 0 &&
		  EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) > 0 &&
		  EVP_PKEY_encrypt(c, bytes, &n, key, 32) > 0;

	if (ok)
		hf_buf_add(out, bytes, n);
	EVP_PKEY_CTX_free(c);
	return ok;
}

static bool kwp(OSSL_LIB_CTX *ctx, const uint8_t key[32], const uint8_t *p, int n,
		struct hf_buf *out)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(ctx, "AES-256-WRAP-PAD", NULL);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t bytes[8192];
	int done = 0;
	bool ok;

	if (c)
		EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	ok = cipher && c && n + 16 <= (int)sizeof(bytes) &&
	     EVP_EncryptInit_ex2(c, cipher, key, NULL, NULL) &&
	     EVP_EncryptUpdate(c, bytes, &done, p, n);
	if (ok)
		hf_buf_add(out, bytes, (size_t)done);
	EVP_CIPHER_CTX_free(c);
	EVP_CIPHER_free(cipher);
	return ok;
}

enum hf_rc hf_wrap_kwp(OSSL_LIB_CTX *ctx, EVP_PKEY *pkey, struct hf_view wrapping_spki,
		       struct hf_buf *out, struct hf_err *e)
{
	const unsigned char *at = wrapping_spki.p;
	EVP_PKEY *to = d2i_PUBKEY_ex(NULL, &at, (long)wrapping_spki.n, ctx, NULL);
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
	unsigned char *der = NULL;
	int n = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
	uint8_t key[32];
	bool ok;

	ok = to && EVP_PKEY_is_a(to, "RSA") && EVP_PKEY_get_bits(to) >= 2048 && n > 0 &&
	     RAND_priv_bytes_ex(ctx, key, sizeof(key), 0) == 1 && oaep(ctx, to, key, out) &&
	     kwp(ctx, key, der, n, out);
	explicit_bzero(key, sizeof(key));
	OPENSSL_clear_free(der, n > 0 ? (size_t)n : 0);
	PKCS8_PRIV_KEY_INFO_free(info);
	EVP_PKEY_free(to);
	return ok && !out->bad
		       ? HF_OK
		       : hf_fail(e, HF_FAILED,
				 "the key could not be wrapped for the token's wrapping key");
}
