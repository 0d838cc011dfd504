/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/tpm2_session.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#include "base/process.h"
#include "keeper/public.h"
#include "keeper/tpm2_link.h"

#define FIELD 32u /* bytes of a P-256 coordinate */
#define ATTRIBUTES                                                                                 \
	((uint8_t)(TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT))

static bool hmac(const uint8_t *key, struct hf_view a, struct hf_view b, struct hf_view c,
		 uint8_t last, uint8_t out[HF_TPM2_HASH])
{
	uint8_t text[3 * HF_TPM2_HASH + 64];
	unsigned n = 0;
	bool ok;

	if (a.n + b.n + c.n + 1 > sizeof(text))
		return false;
	memcpy(text, a.p, a.n);
	memcpy(text + a.n, b.p, b.n);
	memcpy(text + a.n + b.n, c.p, c.n);
	text[a.n + b.n + c.n] = last;
	ok = HMAC(hf_digest("SHA2-256"), key, HF_TPM2_HASH, text, a.n + b.n + c.n + 1, out, &n) &&
	     n == HF_TPM2_HASH;
	explicit_bzero(text, sizeof(text));
	return ok;
}

/*
 * KDFa (part 1, 11.4.10.2) for 256 bits, which is one round of HMAC: counter, label
 * with its NUL, two nonces, number of bits. hmac() appends the last byte of the latter.
 */
static bool kdfa(const uint8_t *key, const char label[4], const uint8_t *newer,
		 const uint8_t *older, uint8_t out[HF_TPM2_HASH])
{
	uint8_t head[8] = { 0, 0, 0, 1 }, tail[HF_TPM2_HASH + 3];

	memcpy(head + 4, label, 4);
	memcpy(tail, older, HF_TPM2_HASH);
	memcpy(tail + HF_TPM2_HASH, "\0\0\1", 3); /* 256, all but its last byte */
	return hmac(key, (struct hf_view){ head, sizeof(head) },
		    (struct hf_view){ newer, HF_TPM2_HASH }, (struct hf_view){ tail, sizeof(tail) },
		    0, out);
}

/* KDFe (part 1, 11.4.10.3) for 256 bits: one hash. */
static bool kdfe(const uint8_t *z, const uint8_t *party_u, const uint8_t *party_v,
		 uint8_t out[HF_TPM2_HASH])
{
	uint8_t text[4 + FIELD + 7 + 2 * FIELD] = { 0, 0, 0, 1 };
	bool ok;

	memcpy(text + 4, z, FIELD);
	memcpy(text + 4 + FIELD, "SECRET", 7);
	memcpy(text + 11 + FIELD, party_u, FIELD);
	memcpy(text + 11 + 2 * FIELD, party_v, FIELD);
	ok = !hf_hash("SHA2-256", (struct hf_view){ text, sizeof(text) }, out, NULL);
	explicit_bzero(text, sizeof(text));
	return ok;
}

static EVP_PKEY *point_key(const uint8_t *x, const uint8_t *y)
{
	uint8_t point[1 + 2 * FIELD] = { 4 };
	char group[] = "P-256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *pkey = NULL;

	memcpy(point + 1, x, FIELD);
	memcpy(point + 1 + FIELD, y, FIELD);
	if (ctx && EVP_PKEY_fromdata_init(ctx) > 0)
		(void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

/* ECDH of a new key with the TPM's: @secret is our public point, @salt what both sides know. */
static bool make_salt(const uint8_t *x, const uint8_t *y, uint8_t point[1 + 2 * FIELD],
		      uint8_t salt[HF_TPM2_HASH])
{
	EVP_PKEY *theirs = point_key(x, y), *ours = EVP_EC_gen("P-256");
	EVP_PKEY_CTX *ctx = ours ? EVP_PKEY_CTX_new_from_pkey(NULL, ours, NULL) : NULL;
	uint8_t z[FIELD];
	size_t n = sizeof(z), point_n = 0;
	bool ok;

	ok = theirs && ctx && EVP_PKEY_derive_init(ctx) > 0 &&
	     EVP_PKEY_derive_set_peer(ctx, theirs) > 0 && EVP_PKEY_derive(ctx, z, &n) > 0 &&
	     n == FIELD &&
	     EVP_PKEY_get_octet_string_param(ours, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * FIELD,
					     &point_n) &&
	     point_n == 1 + 2 * FIELD && point[0] == 4 && kdfe(z, point + 1, x, salt);
	explicit_bzero(z, sizeof(z));
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(ours);
	EVP_PKEY_free(theirs);
	return ok;
}

uint32_t hf_tpm2_session_start(struct hf_tpm2_session *s, struct hf_tpm2_link *link,
			       uint32_t handle, const uint8_t *name, const uint8_t *x,
			       const uint8_t *y)
{
	uint8_t point[1 + 2 * FIELD], salt[HF_TPM2_HASH];
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;
	struct hf_view nonce;
	uint32_t rc;

	hf_tpm2_session_forget(s);
	if (!make_salt(x, y, point, salt) || RAND_bytes(s->nonce_caller, HF_TPM2_HASH) != 1)
		return TPM2_RC_ECC_POINT;
	hf_tpm2_cmd_init(&c, TPM2_CC_StartAuthSession, handle, TPM2_RH_NULL);
	hf_tpm2_put2b(&c, s->nonce_caller, HF_TPM2_HASH);
	hf_tpm2_put16(&c, 2 * (2 + FIELD)); /* TPM2B_ENCRYPTED_SECRET with a TPMS_ECC_POINT */
	hf_tpm2_put2b(&c, point + 1, FIELD);
	hf_tpm2_put2b(&c, point + 1 + FIELD, FIELD);
	hf_tpm2_put8(&c, TPM2_SE_HMAC);
	hf_tpm2_put16(&c, TPM2_ALG_AES);
	hf_tpm2_put16(&c, 128);
	hf_tpm2_put16(&c, TPM2_ALG_CFB);
	hf_tpm2_put16(&c, TPM2_ALG_SHA256);
	rc = hf_tpm2_call(link, &c, &rsp, NULL);
	nonce = hf_rd_2b(&rsp.params);
	if (!rc && (!hf_rd_end(&rsp.params) || nonce.n != HF_TPM2_HASH ||
		    rsp.handle >> 24 != TPM2_HT_HMAC_SESSION))
		rc = TSS2_TCTI_RC_MALFORMED_RESPONSE;
	if (!rc) {
		memcpy(s->nonce_tpm, nonce.p, HF_TPM2_HASH);
		memcpy(s->name, name, HF_TPM2_NAME);
		s->handle = rsp.handle;
		s->used_at = hf_now_ms();
		/* Bound to nothing, so the key of the KDF is the salt alone. */
		if (!kdfa(salt, "ATH", s->nonce_tpm, s->nonce_caller, s->key))
			rc = TPM2_RC_AUTH_CONTEXT;
	}
	explicit_bzero(salt, sizeof(salt));
	if (rc)
		hf_tpm2_session_forget(s);
	return rc;
}

/* AES-128-CFB over the contents of a TPM2B at the head of @p, key and IV from KDFa "CFB". */
static bool crypt_first(struct hf_tpm2_session *s, const uint8_t *newer, const uint8_t *older,
			uint8_t *p, size_t n, int encrypt)
{
	static EVP_CIPHER *cipher;
	uint8_t both[HF_TPM2_HASH];
	EVP_CIPHER_CTX *ctx;
	size_t size = n >= 2 ? (size_t)(p[0] << 8 | p[1]) : 0;
	int done = 0;
	bool ok;

	if (n < 2 || size > n - 2 || !kdfa(s->key, "CFB", newer, older, both))
		return false;
	if (!cipher)
		cipher = EVP_CIPHER_fetch(NULL, "AES-128-CFB", NULL);
	ctx = EVP_CIPHER_CTX_new();
	ok = cipher && ctx && EVP_CipherInit_ex2(ctx, cipher, both, both + 16, encrypt, NULL) &&
	     EVP_CipherUpdate(ctx, p + 2, &done, p + 2, (int)size) && (size_t)done == size;
	EVP_CIPHER_CTX_free(ctx);
	explicit_bzero(both, sizeof(both));
	return ok;
}

/* cpHash (part 1, 18.7): the command, the Names of its objects, its parameters. */
static bool command_hash(const struct hf_tpm2_session *s, const struct hf_tpm2_cmd *c,
			 uint8_t hash[HF_TPM2_HASH])
{
	uint8_t text[4 + 2 * HF_TPM2_NAME + sizeof(c->p)];
	size_t n = 4 + HF_TPM2_NAME;

	if (c->info->handles != (c->name1 ? 2 : 1))
		return false;
	hf_be32(text, c->info->code);
	memcpy(text + 4, s->name, HF_TPM2_NAME);
	if (c->name1) {
		memcpy(text + n, c->name1, HF_TPM2_NAME);
		n += HF_TPM2_NAME;
	}
	memcpy(text + n, c->p, c->n);
	return !hf_hash("SHA2-256", (struct hf_view){ text, n + c->n }, hash, NULL);
}

/* No nonce, no HMAC, and not to be continued: the TPM ends it with the command. */
static unsigned put_policy(uint8_t *area, uint32_t handle)
{
	memset(area, 0, HF_TPM2_AUTH_TWO);
	hf_be32(area, handle);
	return HF_TPM2_AUTH_TWO;
}

bool hf_tpm2_session_command(struct hf_tpm2_session *s, struct hf_tpm2_cmd *c, uint8_t *area,
			     unsigned *area_n)
{
	uint8_t hash[HF_TPM2_HASH], mac[HF_TPM2_HASH], nonces[2 * HF_TPM2_HASH];
	unsigned n = HF_TPM2_AUTH_ONE;

	if (RAND_bytes(s->nonce_caller, HF_TPM2_HASH) != 1 ||
	    !crypt_first(s, s->nonce_caller, s->nonce_tpm, c->p, c->n, 1))
		return false;
	memcpy(nonces, s->nonce_caller, HF_TPM2_HASH);
	memcpy(nonces + HF_TPM2_HASH, s->nonce_tpm, HF_TPM2_HASH);
	if (!command_hash(s, c, hash) || !hmac(s->key, (struct hf_view){ hash, sizeof(hash) },
					       (struct hf_view){ nonces, sizeof(nonces) },
					       (struct hf_view){ nonces, 0 }, ATTRIBUTES, mac))
		return false;
	hf_be32(area + 4, s->handle);
	hf_be16(area + 8, HF_TPM2_HASH);
	memcpy(area + 10, s->nonce_caller, HF_TPM2_HASH);
	area[10 + HF_TPM2_HASH] = ATTRIBUTES;
	hf_be16(area + 11 + HF_TPM2_HASH, HF_TPM2_HASH);
	memcpy(area + 13 + HF_TPM2_HASH, mac, HF_TPM2_HASH);
	if (c->name1)
		n += put_policy(area + 4 + n, c->policy1);
	hf_be32(area, n);
	*area_n = 4 + n;
	s->used_at = hf_now_ms();
	return true;
}

bool hf_tpm2_session_response(struct hf_tpm2_session *s, const struct hf_tpm2_command_info *info,
			      struct hf_view params, struct hf_rd area)
{
	struct hf_view nonce = hf_rd_2b(&area);
	uint8_t attributes = hf_rd8(&area), text[8 + HF_TPM2_BUFFER], hash[HF_TPM2_HASH];
	struct hf_view theirs = hf_rd_2b(&area);
	uint8_t mac[HF_TPM2_HASH], nonces[2 * HF_TPM2_HASH];

	if (info->auths > 1) { /* the policy session's, which says nothing */
		(void)hf_rd_2b(&area);
		(void)hf_rd8(&area);
		(void)hf_rd_2b(&area);
	}
	if (!hf_rd_end(&area) || nonce.n != HF_TPM2_HASH || theirs.n != HF_TPM2_HASH ||
	    attributes != ATTRIBUTES || params.n > HF_TPM2_BUFFER)
		return false;
	hf_be32(text, 0);
	hf_be32(text + 4, info->code);
	memcpy(text + 8, params.p, params.n);
	memcpy(nonces, nonce.p, HF_TPM2_HASH);
	memcpy(nonces + HF_TPM2_HASH, s->nonce_caller, HF_TPM2_HASH);
	if (hf_hash("SHA2-256", (struct hf_view){ text, 8 + params.n }, hash, NULL) ||
	    !hmac(s->key, (struct hf_view){ hash, sizeof(hash) },
		  (struct hf_view){ nonces, sizeof(nonces) }, (struct hf_view){ nonces, 0 },
		  attributes, mac) ||
	    !hf_mem_equal(mac, theirs.p, HF_TPM2_HASH))
		return false;
	memcpy(s->nonce_tpm, nonce.p, HF_TPM2_HASH);
	/* The bytes are the link's own buffer: params is a view into it. */
	return crypt_first(s, s->nonce_tpm, s->nonce_caller, (uint8_t *)(uintptr_t)params.p,
			   params.n, 0);
}

uint32_t hf_tpm2_session_policy(struct hf_tpm2_link *link, uint32_t *handle)
{
	uint8_t nonce[HF_TPM2_HASH];
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;
	uint32_t rc;

	*handle = 0;
	if (RAND_bytes(nonce, sizeof(nonce)) != 1)
		return TPM2_RC_AUTH_CONTEXT;
	hf_tpm2_cmd_init(&c, TPM2_CC_StartAuthSession, TPM2_RH_NULL, TPM2_RH_NULL);
	hf_tpm2_put2b(&c, nonce, sizeof(nonce));
	hf_tpm2_put2b(&c, NULL, 0); /* encryptedSalt */
	hf_tpm2_put8(&c, TPM2_SE_POLICY);
	hf_tpm2_put16(&c, TPM2_ALG_NULL);
	hf_tpm2_put16(&c, TPM2_ALG_SHA256);
	rc = hf_tpm2_call(link, &c, &rsp, NULL);
	(void)hf_rd_2b(&rsp.params);
	if (!rc && (!hf_rd_end(&rsp.params) || rsp.handle >> 24 != TPM2_HT_POLICY_SESSION))
		rc = TSS2_TCTI_RC_MALFORMED_RESPONSE;
	*handle = rc ? 0 : rsp.handle;
	return rc;
}

void hf_tpm2_session_forget(struct hf_tpm2_session *s)
{
	explicit_bzero(s, sizeof(*s));
}
