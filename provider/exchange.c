/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.c: ECDH with a key in a token, and the X9.63 derivation that CMS wants of it
 * (RFC 5753), which is done here: the token gives the bare coordinate.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "key.h"

#define POINT_MAX 133u /* P-521 */
#define UKM_MAX	  4096u

struct exchange {
	const struct hf_provider *provider;
	struct hf_key *key; /* references of our own */
	struct hf_key *peer;
	bool kdf; /* X9.63 */
	char kdf_md[32];
	size_t kdf_n; /* bytes it shall give */
	struct hf_buf ukm;
};

static void *kx_newctx(void *provctx)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->provider = provctx;
	x->ukm.max = UKM_MAX;
	return x;
}

static void kx_freectx(void *ctx)
{
	struct exchange *x = ctx;

	if (!x)
		return;
	hf_key_free(x->key);
	hf_key_free(x->peer);
	hf_buf_finish(&x->ukm);
	free(x);
}

static void *kx_dupctx(void *ctx)
{
	const struct exchange *x = ctx;
	struct exchange *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *x;
	copy->ukm = (struct hf_buf)HF_BUF(UKM_MAX);
	hf_buf_add(&copy->ukm, x->ukm.p, x->ukm.n);
	copy->key = hf_key_up(x->key);
	copy->peer = hf_key_up(x->peer);
	if (!copy->ukm.bad)
		return copy;
	kx_freectx(copy);
	return NULL;
}

/* ---- parameters */

static const OSSL_PARAM *kx_settable(void *ctx, void *provctx)
{
	static const OSSL_PARAM settable[] = {
		OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
		OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST_PROPS, NULL, 0),
		OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
		OSSL_PARAM_octet_string(OSSL_EXCHANGE_PARAM_KDF_UKM, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)ctx;
	(void)provctx;
	return settable;
}

static enum hf_rc set_kdf(struct exchange *x, const OSSL_PARAM params[], struct hf_err *e)
{
	const OSSL_PARAM *p;
	const char *text = NULL;

	if ((p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_TYPE))) {
		if (!OSSL_PARAM_get_utf8_string_ptr(p, &text) || !text ||
		    (text[0] && strcasecmp(text, OSSL_KDF_NAME_X963KDF)))
			return hf_fail(e, HF_UNSUPPORTED, "key derivation: X963KDF or none");
		x->kdf = text[0];
	}
	if ((p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_DIGEST)) &&
	    (!OSSL_PARAM_get_utf8_string_ptr(p, &text) || !text ||
	     !hf_copy(x->kdf_md, sizeof(x->kdf_md), text)))
		return hf_fail(e, HF_ARGUMENT, "malformed digest of the key derivation");
	if ((p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_OUTLEN)) &&
	    !OSSL_PARAM_get_size_t(p, &x->kdf_n))
		return hf_fail(e, HF_ARGUMENT, "malformed length of the derived key");
	if ((p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_UKM))) {
		hf_buf_finish(&x->ukm);
		if (p->data_type == OSSL_PARAM_OCTET_STRING && p->data)
			hf_buf_add(&x->ukm, p->data, p->data_size);
		if (x->ukm.bad)
			return hf_fail(e, HF_ARGUMENT, "keying material of over %u bytes", UKM_MAX);
	}
	return HF_OK;
}

static int kx_set_params(void *ctx, const OSSL_PARAM params[])
{
	struct hf_err e = HF_ERR_INIT;
	struct exchange *x = ctx;
	const OSSL_PARAM *p;
	int mode;

	if (!params || !params->key)
		return 1;
	/* The curves have cofactor 1: with and without is the same. */
	p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE);
	if (p && (!OSSL_PARAM_get_int(p, &mode) || mode < -1 || mode > 1))
		(void)hf_fail(&e, HF_ARGUMENT, "malformed cofactor mode");
	else
		(void)set_kdf(x, params, &e);
	return e.rc ? HF_RAISE(x->provider, &e) : 1;
}

static const OSSL_PARAM *kx_gettable(void *ctx, void *provctx)
{
	static const OSSL_PARAM gettable[] = {
		OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
		OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
		OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
		OSSL_PARAM_DEFN(OSSL_EXCHANGE_PARAM_KDF_UKM, OSSL_PARAM_OCTET_PTR, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)ctx;
	(void)provctx;
	return gettable;
}

static int kx_get_params(void *ctx, OSSL_PARAM params[])
{
	const struct exchange *x = ctx;
	OSSL_PARAM *p;

	if ((p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE)) &&
	    !OSSL_PARAM_set_int(p, 0))
		return 0;
	if ((p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_TYPE)) &&
	    !OSSL_PARAM_set_utf8_string(p, x->kdf ? OSSL_KDF_NAME_X963KDF : ""))
		return 0;
	if ((p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_DIGEST)) &&
	    !OSSL_PARAM_set_utf8_string(p, x->kdf_md))
		return 0;
	if ((p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_OUTLEN)) &&
	    !OSSL_PARAM_set_size_t(p, x->kdf_n))
		return 0;
	if ((p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_UKM)) &&
	    !OSSL_PARAM_set_octet_ptr(p, x->ukm.p, x->ukm.n))
		return 0;
	return 1;
}

/* ---- the exchange */

static int kx_init(void *ctx, void *key, const OSSL_PARAM params[])
{
	struct hf_err e = HF_ERR_INIT;
	struct exchange *x = ctx;

	hf_key_free(x->key);
	x->key = hf_key_up(key);
	if (!x->key || !x->key->pub || x->key->family != HF_FAMILY_EC) {
		(void)hf_fail(&e, HF_UNSUPPORTED, "only EC keys agree on secrets");
		return HF_RAISE(x->provider, &e);
	}
	return kx_set_params(x, params);
}

static int kx_set_peer(void *ctx, void *peer)
{
	struct hf_err e = HF_ERR_INIT;
	struct exchange *x = ctx;
	struct hf_key *k = peer;

	if (!x->key || !k || !k->pub || EVP_PKEY_parameters_eq(x->key->pub, k->pub) != 1) {
		(void)hf_fail(&e, HF_ARGUMENT, "the other's key is on another curve");
		return HF_RAISE(x->provider, &e);
	}
	hf_key_free(x->peer);
	x->peer = hf_key_up(k);
	return 1;
}

static enum hf_rc agree(const struct exchange *x, uint8_t *out, size_t *n, struct hf_err *e)
{
	uint8_t point[POINT_MAX];
	struct hf_broker_secret what = { .scheme = "ecdh", .data = point };

	if (!EVP_PKEY_get_octet_string_param(x->peer->pub, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
					     point, sizeof(point), &what.n))
		return hf_fail(e, HF_ARGUMENT, "the other's key has no point");
	return hf_key_derive(x->key, &what, out, n, e);
}

static enum hf_rc run_kdf(const struct exchange *x, uint8_t *secret, size_t n, uint8_t *out,
			  struct hf_err *e)
{
	EVP_KDF *kdf = EVP_KDF_fetch(x->provider->libctx, OSSL_KDF_NAME_X963KDF, NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						 (char *)(uintptr_t)x->kdf_md, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, n),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, x->ukm.p, x->ukm.n),
		OSSL_PARAM_construct_end(),
	};
	bool ok = ctx && EVP_KDF_derive(ctx, out, x->kdf_n, params) > 0;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? HF_OK : hf_fail(e, HF_FAILED, "X9.63 key derivation with %s failed", x->kdf_md);
}

static int kx_derive(void *ctx, unsigned char *out, size_t *n, size_t size)
{
	uint8_t secret[HF_SECRET_MAX];
	struct hf_err e = HF_ERR_INIT;
	struct exchange *x = ctx;
	size_t got = 0, field, want;

	if (!x->key)
		return 0;
	field = (size_t)(EVP_PKEY_get_bits(x->key->pub) + 7) / 8;
	want = x->kdf ? x->kdf_n : field;
	if (!out) { /* costs nothing */
		*n = want;
		return 1;
	}
	if (!x->peer)
		(void)hf_fail(&e, HF_ARGUMENT, "whom to agree with was not said");
	else if (size < want)
		(void)hf_fail(&e, HF_ARGUMENT, "the secret has %zu bytes, there is room for %zu",
			      want, size);
	else
		(void)agree(x, secret, &got, &e);
	if (!e.rc && got != field) /* SEC 1, 3.3.1: as wide as the field, with its zeros */
		(void)hf_fail(&e, HF_PROTOCOL, "key %s: a secret of %zu bytes, not %zu",
			      x->key->ref.name, got, field);
	else if (!e.rc && x->kdf)
		(void)run_kdf(x, secret, got, out, &e);
	else if (!e.rc)
		memcpy(out, secret, got);
	explicit_bzero(secret, sizeof(secret));
	*n = want;
	return e.rc ? HF_RAISE(x->provider, &e) : 1;
}

static const OSSL_DISPATCH functions[] = {
	HF_FN(KEYEXCH_NEWCTX, keyexch_newctx, kx_newctx),
	HF_FN(KEYEXCH_FREECTX, keyexch_freectx, kx_freectx),
	HF_FN(KEYEXCH_DUPCTX, keyexch_dupctx, kx_dupctx),
	HF_FN(KEYEXCH_INIT, keyexch_init, kx_init),
	HF_FN(KEYEXCH_SET_PEER, keyexch_set_peer, kx_set_peer),
	HF_FN(KEYEXCH_DERIVE, keyexch_derive, kx_derive),
	HF_FN(KEYEXCH_SET_CTX_PARAMS, keyexch_set_ctx_params, kx_set_params),
	HF_FN(KEYEXCH_SETTABLE_CTX_PARAMS, keyexch_settable_ctx_params, kx_settable),
	HF_FN(KEYEXCH_GET_CTX_PARAMS, keyexch_get_ctx_params, kx_get_params),
	HF_FN(KEYEXCH_GETTABLE_CTX_PARAMS, keyexch_gettable_ctx_params, kx_gettable),
	HF_FN_END,
};

const OSSL_ALGORITHM hf_keyexchs[] = {
	{ HF_OPERATION_NAME, HF_PROPERTIES, functions, "ECDH in a token" },
	{ NULL, NULL, NULL, NULL },
};
