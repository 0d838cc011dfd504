/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signature.c: signing with the broker, verifying with the default provider.
 *
 * libcrypto asks for the size of a signature by calling with nowhere to put it, often with
 * the data already at hand. That must never become a request: it would sign twice.
 */
#include "signature.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "wire/scheme.h"

#define SIGNATURE_MAX 8192u

void *hf_sig_newctx(void *provctx, const char *propq)
{
	struct hf_sig *s = calloc(1, sizeof(*s));

	(void)propq; /* digests come from the default provider, whatever the host prefers */
	if (!s)
		return NULL;
	s->provider = provctx;
	s->message.max = HF_DATA_MAX;
	s->expected.max = SIGNATURE_MAX;
	return s;
}

static void forget_input(struct hf_sig *s)
{
	EVP_MD_CTX_free(s->hash);
	s->hash = NULL;
	hf_buf_finish(&s->message);
	s->begun = s->whole = false;
}

static void forget_verify(struct hf_sig *s)
{
	if (!s->verify_md) /* otherwise it owns the other */
		EVP_PKEY_CTX_free(s->verify);
	EVP_MD_CTX_free(s->verify_md);
	s->verify = NULL;
	s->verify_md = NULL;
	hf_buf_finish(&s->expected);
}

void hf_sig_freectx(void *ctx)
{
	struct hf_sig *s = ctx;

	if (!s)
		return;
	forget_input(s);
	forget_verify(s);
	EVP_MD_free(s->md);
	hf_key_free(s->key);
	free(s);
}

static bool dup_verify(struct hf_sig *to, const struct hf_sig *from)
{
	if (from->verify_md) {
		to->verify_md = EVP_MD_CTX_new();
		if (!to->verify_md || !EVP_MD_CTX_copy_ex(to->verify_md, from->verify_md))
			return false;
		to->verify = EVP_MD_CTX_get_pkey_ctx(to->verify_md);
	} else if (from->verify) {
		to->verify = EVP_PKEY_CTX_dup(from->verify);
	}
	return !from->verify || to->verify;
}

/* dgst and cms finish a copy of the context: without this they fail. */
void *hf_sig_dupctx(void *ctx)
{
	const struct hf_sig *from = ctx;
	struct hf_sig *to = calloc(1, sizeof(*to));

	if (!to)
		return NULL;
	*to = *from;
	to->hash = NULL;
	to->verify = NULL;
	to->verify_md = NULL;
	to->message = (struct hf_buf)HF_BUF(HF_DATA_MAX);
	to->expected = (struct hf_buf)HF_BUF(SIGNATURE_MAX);
	hf_buf_add(&to->expected, from->expected.p, from->expected.n);
	hf_key_up(to->key);
	if (to->md && !EVP_MD_up_ref(to->md))
		to->md = NULL;
	hf_buf_add(&to->message, from->message.p, from->message.n);
	to->message.bad |= from->message.bad;
	if (from->hash) {
		to->hash = EVP_MD_CTX_new();
		if (!to->hash || !EVP_MD_CTX_copy_ex(to->hash, from->hash))
			goto failed;
	}
	if (from->md && !to->md)
		goto failed;
	if (dup_verify(to, from))
		return to;
failed:
	hf_sig_freectx(to);
	return NULL;
}

/* Without a key it is a re-initialisation: the old one is kept. */
static bool take_key(struct hf_sig *s, void *keydata)
{
	struct hf_err e = HF_ERR_INIT;

	forget_input(s);
	forget_verify(s);
	s->by_message = false;
	if (!keydata)
		return s->key;
	hf_key_free(s->key);
	s->key = hf_key_up(keydata);
	EVP_MD_free(s->md);
	s->md = NULL;
	s->pad = s->key->pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
	s->salt = RSA_PSS_SALTLEN_AUTO;
	s->mgf1[0] = '\0';
	if (s->fixed && hf_sig_take_fixed(s, &e))
		return HF_RAISE(s->provider, &e);
	return s->key->pub;
}

int hf_sig_sign_init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
	return take_key(ctx, keydata) && hf_sig_set_params(ctx, params);
}

/* Ed25519 signs the message itself: with a digest, the program has something else in mind. */
static enum hf_rc take_digest(struct hf_sig *s, const char *md, struct hf_err *e)
{
	bool ed25519 = s->key->family == HF_FAMILY_ED25519;

	if (md && md[0])
		return ed25519 ? hf_fail(e, HF_UNSUPPORTED,
					 "key %s: invalid digest %s: Ed25519 signs the message, "
					 "not a digest of it; name none",
					 s->key->ref.name, md)
			       : hf_sig_set_digest(s, md, e);
	return ed25519 || s->md ? HF_OK : hf_sig_set_digest(s, "SHA256", e);
}

int hf_sig_digest_sign_init(void *ctx, const char *md, void *keydata, const OSSL_PARAM params[])
{
	struct hf_sig *s = ctx;
	const struct hf_scheme *scheme;
	struct hf_err e = HF_ERR_INIT;

	if (!take_key(s, keydata))
		return 0;
	if (take_digest(s, md, &e))
		return HF_RAISE(s->provider, &e);
	if (!hf_sig_set_params(s, params))
		return 0;
	/* libssl finds out by this which digests the key can do
	 * (EVP_PKEY_digestsign_supports_digest) */
	return hf_sig_scheme(s, &scheme, &e) ? HF_RAISE(s->provider, &e) : 1;
}

/* True if that was all: a question about the size, or an error (then *@ok is 0). */
static bool only_size(const struct hf_sig *s, const unsigned char *sig, size_t *siglen,
		      size_t sigsize, int *ok)
{
	size_t need = s->key ? (size_t)EVP_PKEY_get_size(s->key->pub) : 0;
	struct hf_err e = HF_ERR_INIT;

	*ok = need != 0;
	if (!sig || !need) {
		*siglen = need;
		return true;
	}
	if (sigsize < need) {
		(void)hf_fail(&e, HF_ARGUMENT, "room for %zu bytes of signature, %zu are needed",
			      sigsize, need);
		*ok = HF_RAISE(s->provider, &e);
		return true;
	}
	return false;
}

static enum hf_rc sign_with(struct hf_sig *s, const struct hf_scheme *scheme, bool message,
			    struct hf_view data, unsigned char *sig, size_t *siglen,
			    struct hf_err *e)
{
	return hf_key_sign(s->key, scheme, message, data, sig,
			   (size_t)EVP_PKEY_get_size(s->key->pub), siglen, e);
}

/* The scheme for a digest that somebody else has made, and the digest itself. */
static enum hf_rc scheme_of_digest(const struct hf_sig *s, struct hf_view *data,
				   const struct hf_scheme **scheme, struct hf_err *e)
{
	enum hf_family family = s->key->family;

	if (family == HF_FAMILY_ED25519)
		return hf_fail(e, HF_UNSUPPORTED, "key %s: Ed25519 signs messages, not digests",
			       s->key->ref.name);
	if (s->md) {
		if (hf_sig_scheme(s, scheme, e))
			return e->rc;
		if (data->n != (*scheme)->hash_len)
			return hf_fail(e, HF_ARGUMENT, "key %s: a %s digest has %zu bytes, not %zu",
				       s->key->ref.name, (*scheme)->tls_hash, (*scheme)->hash_len,
				       data->n);
		return HF_OK;
	}
	/* No digest was named. PKCS #1 input then has its name inside, ECDSA does not need one. */
	if (family == HF_FAMILY_EC)
		*scheme = hf_scheme_for(family, HF_PAD_NONE, data->n);
	else
		*scheme =
			s->pad == RSA_PKCS1_PADDING ? hf_scheme_of_digest_info(*data, data) : NULL;
	if (*scheme)
		return HF_OK;
	return hf_fail(
		e, HF_UNSUPPORTED, "key %s: %zu bytes are not %s of SHA256, SHA384 or SHA512%s",
		s->key->ref.name, data->n, family == HF_FAMILY_EC ? "a digest" : "a DigestInfo",
		family == HF_FAMILY_EC ? "" : "; name the digest (-pkeyopt digest:sha256)");
}

/* Whether the token wants the message and not its digest; a reference learns it here. */
static enum hf_rc learn_whole(struct hf_sig *s, struct hf_err *e)
{
	uint32_t usage = 0;

	if (s->key->remote && hf_key_usage(s->key, &usage, e))
		return e->rc;
	s->whole = s->key->family == HF_FAMILY_ED25519 || (usage & HF_USAGE_CA);
	return HF_OK;
}

static enum hf_rc begin(struct hf_sig *s, struct hf_err *e)
{
	const struct hf_scheme *scheme;

	if (hf_sig_scheme(s, &scheme, e) || learn_whole(s, e))
		return e->rc;
	if (!s->whole &&
	    (!(s->hash = EVP_MD_CTX_new()) || !EVP_DigestInit_ex2(s->hash, s->md, NULL)))
		return hf_fail(e, HF_NO_MEMORY, "no memory for a digest");
	s->begun = true;
	return HF_OK;
}

int hf_sig_digest_sign_update(void *ctx, const unsigned char *data, size_t n)
{
	struct hf_sig *s = ctx;
	struct hf_err e = HF_ERR_INIT;

	if (!s->key || (!s->begun && begin(s, &e))) {
		forget_input(s);
		return HF_RAISE(s->provider, &e);
	}
	if (!s->whole)
		return EVP_DigestUpdate(s->hash, data, n);
	hf_buf_add(&s->message, data, n);
	if (!s->message.bad)
		return 1;
	(void)hf_fail(&e, HF_ARGUMENT, "key %s signs messages whole, of at most %u bytes",
		      s->key->ref.name, HF_DATA_MAX);
	return HF_RAISE(s->provider, &e);
}

int hf_sig_digest_sign_final(void *ctx, unsigned char *sig, size_t *siglen, size_t sigsize)
{
	struct hf_sig *s = ctx;
	const struct hf_scheme *scheme;
	struct hf_err e = HF_ERR_INIT;
	uint8_t digest[EVP_MAX_MD_SIZE];
	struct hf_view data = HF_VIEW_BUF(&s->message);
	unsigned n = 0;
	int ok;

	if (only_size(s, sig, siglen, sigsize, &ok))
		return ok;
	if (hf_sig_scheme(s, &scheme, &e) || (!s->begun && begin(s, &e)))
		return HF_RAISE(s->provider, &e);
	if (!s->whole) {
		if (!EVP_DigestFinal_ex(s->hash, digest, &n))
			return 0;
		data = (struct hf_view){ digest, n };
	}
	if (s->message.bad)
		return 0;
	if (sign_with(s, scheme, s->whole, data, sig, siglen, &e))
		return HF_RAISE(s->provider, &e);
	return 1;
}

/* The common way (req, x509, TLS): one call, one packet each way. */
static int sig_digest_sign(void *ctx, unsigned char *sig, size_t *siglen, size_t sigsize,
			   const unsigned char *tbs, size_t tbslen)
{
	struct hf_sig *s = ctx;
	struct hf_view data = { tbs, tbslen };
	const struct hf_scheme *scheme;
	struct hf_err e = HF_ERR_INIT;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	int ok;

	if (only_size(s, sig, siglen, sigsize, &ok))
		return ok;
	if (hf_sig_scheme(s, &scheme, &e) || learn_whole(s, &e))
		return HF_RAISE(s->provider, &e);
	if (!s->whole) {
		if (!EVP_Digest(tbs, tbslen, digest, &n, s->md, NULL))
			return 0;
		data = (struct hf_view){ digest, n };
	}
	if (sign_with(s, scheme, s->whole, data, sig, siglen, &e))
		return HF_RAISE(s->provider, &e);
	return 1;
}

int hf_sig_sign(void *ctx, unsigned char *sig, size_t *siglen, size_t sigsize,
		const unsigned char *tbs, size_t tbslen)
{
	struct hf_sig *s = ctx;
	struct hf_view data = { tbs, tbslen };
	const struct hf_scheme *scheme = NULL;
	struct hf_err e = HF_ERR_INIT;
	int ok;

	if (s->by_message)
		return sig_digest_sign(ctx, sig, siglen, sigsize, tbs, tbslen);
	if (only_size(s, sig, siglen, sigsize, &ok))
		return ok;
	if (scheme_of_digest(s, &data, &scheme, &e) ||
	    sign_with(s, scheme, false, data, sig, siglen, &e))
		return HF_RAISE(s->provider, &e);
	return 1;
}

static EVP_PKEY_CTX *public_ctx(struct hf_sig *s, void *keydata)
{
	if (!take_key(s, keydata))
		return NULL;
	s->verify = EVP_PKEY_CTX_new_from_pkey(s->provider->libctx, s->key->pub, NULL);
	return s->verify;
}

int hf_sig_verify_init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
	EVP_PKEY_CTX *p = public_ctx(ctx, keydata);
	const struct hf_sig *s = ctx;

	return p && EVP_PKEY_verify_init(p) > 0 &&
	       (!s->fixed || !s->md || EVP_PKEY_CTX_set_signature_md(p, s->md) > 0) &&
	       hf_sig_set_params(ctx, params);
}

static int sig_recover_init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
	EVP_PKEY_CTX *p = public_ctx(ctx, keydata);

	return p && EVP_PKEY_verify_recover_init_ex(p, params) > 0;
}

static int sig_recover(void *ctx, unsigned char *out, size_t *outlen, size_t outsize,
		       const unsigned char *sig, size_t siglen)
{
	const struct hf_sig *s = ctx;

	*outlen = outsize;
	return EVP_PKEY_verify_recover(s->verify, out, outlen, sig, siglen) == 1;
}

int hf_sig_digest_verify_init(void *ctx, const char *md, void *keydata, const OSSL_PARAM params[])
{
	struct hf_sig *s = ctx;

	if (!take_key(s, keydata))
		return 0;
	s->verify_md = EVP_MD_CTX_new();
	if (!s->verify_md ||
	    EVP_DigestVerifyInit_ex(s->verify_md, &s->verify, md && md[0] ? md : NULL,
				    s->provider->libctx, NULL, s->key->pub, params) <= 0) {
		forget_verify(s);
		return 0;
	}
	return 1;
}

int hf_sig_digest_verify_update(void *ctx, const unsigned char *data, size_t n)
{
	const struct hf_sig *s = ctx;

	return s->verify_md && EVP_DigestVerifyUpdate(s->verify_md, data, n);
}

int hf_sig_digest_verify_final(void *ctx, const unsigned char *sig, size_t siglen)
{
	const struct hf_sig *s = ctx;

	return s->verify_md && EVP_DigestVerifyFinal(s->verify_md, sig, siglen) == 1;
}

static int sig_digest_verify(void *ctx, const unsigned char *sig, size_t siglen,
			     const unsigned char *tbs, size_t tbslen)
{
	const struct hf_sig *s = ctx;

	return s->verify_md && EVP_DigestVerify(s->verify_md, sig, siglen, tbs, tbslen) == 1;
}

int hf_sig_verify(void *ctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs,
		  size_t tbslen)
{
	const struct hf_sig *s = ctx;

	if (s->by_message)
		return sig_digest_verify(ctx, sig, siglen, tbs, tbslen);
	return s->verify && EVP_PKEY_verify(s->verify, sig, siglen, tbs, tbslen) == 1;
}

const OSSL_DISPATCH hf_sig_functions[] = {
	HF_FN(SIGNATURE_NEWCTX, signature_newctx, hf_sig_newctx),
	HF_FN(SIGNATURE_FREECTX, signature_freectx, hf_sig_freectx),
	HF_FN(SIGNATURE_DUPCTX, signature_dupctx, hf_sig_dupctx),
	HF_FN(SIGNATURE_SIGN_INIT, signature_sign_init, hf_sig_sign_init),
	HF_FN(SIGNATURE_SIGN, signature_sign, hf_sig_sign),
	HF_FN(SIGNATURE_VERIFY_INIT, signature_verify_init, hf_sig_verify_init),
	HF_FN(SIGNATURE_VERIFY, signature_verify, hf_sig_verify),
	HF_FN(SIGNATURE_VERIFY_RECOVER_INIT, signature_verify_recover_init, sig_recover_init),
	HF_FN(SIGNATURE_VERIFY_RECOVER, signature_verify_recover, sig_recover),
	HF_FN(SIGNATURE_DIGEST_SIGN_INIT, signature_digest_sign_init, hf_sig_digest_sign_init),
	HF_FN(SIGNATURE_DIGEST_SIGN_UPDATE, signature_digest_sign_update,
	      hf_sig_digest_sign_update),
	HF_FN(SIGNATURE_DIGEST_SIGN_FINAL, signature_digest_sign_final, hf_sig_digest_sign_final),
	HF_FN(SIGNATURE_DIGEST_SIGN, signature_digest_sign, sig_digest_sign),
	HF_FN(SIGNATURE_DIGEST_VERIFY_INIT, signature_digest_verify_init,
	      hf_sig_digest_verify_init),
	HF_FN(SIGNATURE_DIGEST_VERIFY_UPDATE, signature_digest_verify_update,
	      hf_sig_digest_verify_update),
	HF_FN(SIGNATURE_DIGEST_VERIFY_FINAL, signature_digest_verify_final,
	      hf_sig_digest_verify_final),
	HF_FN(SIGNATURE_DIGEST_VERIFY, signature_digest_verify, sig_digest_verify),
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
	HF_SIG_MESSAGE_FN,
#endif
	HF_FN(SIGNATURE_SETTABLE_CTX_PARAMS, signature_settable_ctx_params, hf_sig_settable),
	HF_FN(SIGNATURE_SET_CTX_PARAMS, signature_set_ctx_params, hf_sig_set_params),
	HF_FN(SIGNATURE_GETTABLE_CTX_PARAMS, signature_gettable_ctx_params, hf_sig_gettable),
	HF_FN(SIGNATURE_GET_CTX_PARAMS, signature_get_ctx_params, hf_sig_get_params),
	HF_FN_END,
};
