/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cipher.c: RSA decryption. Encryption is the business of the default provider. The padding is
 * taken off where the key is: for TLS in constant time, with a random premaster secret where
 * anything was wrong, so that no process ever holds what could be turned into an oracle.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "key.h"

#ifndef OSSL_ASYM_CIPHER_PARAM_IMPLICIT_REJECTION /* since 3.2 */
#define OSSL_ASYM_CIPHER_PARAM_IMPLICIT_REJECTION "implicit-rejection"
#endif

#define PREMASTER 48u
#define LABEL_MAX 512u

struct cipher {
	const struct hf_provider *provider;
	struct hf_key *key;    /* a reference of our own */
	EVP_PKEY_CTX *encrypt; /* of the default provider, while encrypting */
	int pad;	       /* RSA_*_PADDING */
	char md[32], mgf1[32]; /* of OAEP; mgf1 "": as md */
	uint8_t label[LABEL_MAX];
	size_t n_label;
	unsigned client_version, negotiated_version; /* of TLS */
};

static const struct {
	int pad;
	const char *text;
} pads[] = {
	{ RSA_PKCS1_PADDING, OSSL_PKEY_RSA_PAD_MODE_PKCSV15 },
	{ RSA_PKCS1_OAEP_PADDING, OSSL_PKEY_RSA_PAD_MODE_OAEP },
	{ RSA_PKCS1_WITH_TLS_PADDING, NULL },
};

static void *ac_newctx(void *provctx)
{
	struct cipher *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->provider = provctx;
	c->pad = RSA_PKCS1_PADDING;
	(void)hf_copy(c->md, sizeof(c->md), "SHA1"); /* as everywhere, RFC 8017 A.2.1 */
	return c;
}

static void ac_freectx(void *ctx)
{
	struct cipher *c = ctx;

	if (!c)
		return;
	hf_key_free(c->key);
	EVP_PKEY_CTX_free(c->encrypt);
	explicit_bzero(c, sizeof(*c));
	free(c);
}

static void *ac_dupctx(void *ctx)
{
	const struct cipher *c = ctx;
	struct cipher *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *c;
	copy->key = hf_key_up(c->key);
	copy->encrypt = c->encrypt ? EVP_PKEY_CTX_dup(c->encrypt) : NULL;
	if (!c->encrypt || copy->encrypt)
		return copy;
	ac_freectx(copy);
	return NULL;
}

/* ---- parameters */

static const OSSL_PARAM *ac_settable(void *ctx, void *provctx)
{
	static const OSSL_PARAM settable[] = {
		OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST_PROPS, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST_PROPS, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, NULL, 0),
		OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, NULL),
		OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, NULL),
		OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_IMPLICIT_REJECTION, NULL),
		OSSL_PARAM_END,
	};

	(void)ctx;
	(void)provctx;
	return settable;
}

static const OSSL_PARAM *ac_gettable(void *ctx, void *provctx)
{
	static const OSSL_PARAM gettable[] = {
		OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, NULL, 0),
		OSSL_PARAM_octet_ptr(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, NULL, 0),
		OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, NULL),
		OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, NULL),
		OSSL_PARAM_END,
	};

	(void)ctx;
	(void)provctx;
	return gettable;
}

/* OpenSSL's name of a digest, whatever it was called. "" if it is not known. */
static void canonical(const struct cipher *c, const OSSL_PARAM *p, char out[32])
{
	const char *name = NULL;
	EVP_MD *md = NULL;

	out[0] = '\0';
	if (OSSL_PARAM_get_utf8_string_ptr(p, &name) && name)
		md = EVP_MD_fetch(c->provider->libctx, name, NULL);
	if (md)
		(void)hf_copy(out, 32, EVP_MD_get0_name(md));
	EVP_MD_free(md);
}

static enum hf_rc set_pad(struct cipher *c, const OSSL_PARAM *p, struct hf_err *e)
{
	int pad = 0;
	size_t i;

	if (p->data_type != OSSL_PARAM_UTF8_STRING && !OSSL_PARAM_get_int(p, &pad))
		return hf_fail(e, HF_ARGUMENT, "malformed padding mode");
	for (i = 0; i < HF_COUNT(pads); i++)
		if (pads[i].pad == pad || (p->data_type == OSSL_PARAM_UTF8_STRING && p->data &&
					   pads[i].text && !strcmp(pads[i].text, p->data))) {
			c->pad = pads[i].pad;
			return HF_OK;
		}
	return hf_fail(
		e, HF_UNSUPPORTED,
		"key %s: a token decrypts with pkcs1 or oaep padding only; the bare operation "
		"would sign for whoever may decrypt",
		c->key ? c->key->ref.name : "");
}

static enum hf_rc set_digests(struct cipher *c, const OSSL_PARAM params[], struct hf_err *e)
{
	const OSSL_PARAM *p;

	if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST))) {
		canonical(c, p, c->md);
		if (!c->md[0])
			return hf_fail(e, HF_UNSUPPORTED, "unknown digest for OAEP");
	}
	if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST))) {
		canonical(c, p, c->mgf1);
		if (!c->mgf1[0])
			return hf_fail(e, HF_UNSUPPORTED, "unknown digest for MGF1");
	}
	return HF_OK;
}

static enum hf_rc set_rest(struct cipher *c, const OSSL_PARAM params[], struct hf_err *e)
{
	const OSSL_PARAM *p;
	unsigned implicit = 0;

	if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL))) {
		if (p->data_type != OSSL_PARAM_OCTET_STRING || p->data_size > LABEL_MAX)
			return hf_fail(e, HF_UNSUPPORTED, "an OAEP label has at most %u bytes",
				       LABEL_MAX);
		c->n_label = p->data ? p->data_size : 0;
		if (c->n_label)
			memcpy(c->label, p->data, c->n_label);
	}
	if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION)) &&
	    !OSSL_PARAM_get_uint(p, &c->client_version))
		return hf_fail(e, HF_ARGUMENT, "malformed TLS version");
	if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION)) &&
	    !OSSL_PARAM_get_uint(p, &c->negotiated_version))
		return hf_fail(e, HF_ARGUMENT, "malformed TLS version");
	if ((p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_IMPLICIT_REJECTION)) &&
	    (!OSSL_PARAM_get_uint(p, &implicit) || implicit))
		return hf_fail(e, HF_UNSUPPORTED,
			       "implicit rejection is not had: wrong padding is an error");
	return HF_OK;
}

static int ac_set_params(void *ctx, const OSSL_PARAM params[])
{
	struct hf_err e = HF_ERR_INIT;
	struct cipher *c = ctx;
	const OSSL_PARAM *p;

	if (!params || !params->key)
		return 1;
	if (c->encrypt)
		return EVP_PKEY_CTX_set_params(c->encrypt, params);
	p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_PAD_MODE);
	if ((p && set_pad(c, p, &e)) || set_digests(c, params, &e) || set_rest(c, params, &e))
		return HF_RAISE(c->provider, &e);
	return 1;
}

static int ac_get_params(void *ctx, OSSL_PARAM params[])
{
	const struct cipher *c = ctx;
	OSSL_PARAM *p;
	size_t i;

	if (c->encrypt)
		return EVP_PKEY_CTX_get_params(c->encrypt, params);
	if ((p = OSSL_PARAM_locate(params, OSSL_ASYM_CIPHER_PARAM_PAD_MODE))) {
		if (p->data_type != OSSL_PARAM_UTF8_STRING)
			return OSSL_PARAM_set_int(p, c->pad);
		for (i = 0; i < HF_COUNT(pads); i++)
			if (pads[i].pad == c->pad && pads[i].text &&
			    !OSSL_PARAM_set_utf8_string(p, pads[i].text))
				return 0;
	}
	if ((p = OSSL_PARAM_locate(params, OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST)) &&
	    !OSSL_PARAM_set_utf8_string(p, c->md))
		return 0;
	if ((p = OSSL_PARAM_locate(params, OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST)) &&
	    !OSSL_PARAM_set_utf8_string(p, c->mgf1[0] ? c->mgf1 : c->md))
		return 0;
	if ((p = OSSL_PARAM_locate(params, OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL)) &&
	    !OSSL_PARAM_set_octet_ptr(p, c->label, c->n_label))
		return 0;
	if ((p = OSSL_PARAM_locate(params, OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION)) &&
	    !OSSL_PARAM_set_uint(p, c->client_version))
		return 0;
	if ((p = OSSL_PARAM_locate(params, OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION)) &&
	    !OSSL_PARAM_set_uint(p, c->negotiated_version))
		return 0;
	return 1;
}

/* ---- decryption */

static int ac_init(struct cipher *c, void *key, const OSSL_PARAM params[])
{
	struct hf_err e = HF_ERR_INIT;

	EVP_PKEY_CTX_free(c->encrypt);
	c->encrypt = NULL;
	if (key) {
		hf_key_free(c->key);
		c->key = hf_key_up(key);
	}
	if (!c->key || !c->key->pub)
		(void)hf_fail(&e, HF_ARGUMENT, "there is no key");
	else if (c->key->family != HF_FAMILY_RSA || c->key->pss)
		(void)hf_fail(&e, HF_UNSUPPORTED, "key %s: only RSA keys encrypt and decrypt",
			      c->key->ref.name);
	else
		return ac_set_params(c, params);
	return HF_RAISE(c->provider, &e);
}

static int ac_decrypt_init(void *ctx, void *key, const OSSL_PARAM params[])
{
	return ac_init(ctx, key, params);
}

/* The name on the wire of what was asked for. */
static enum hf_rc scheme_of(const struct cipher *c, const char **scheme, struct hf_err *e)
{
	const struct hf_exchange *x;

	if (c->pad == RSA_PKCS1_PADDING || c->pad == RSA_PKCS1_WITH_TLS_PADDING) {
		*scheme = c->pad == RSA_PKCS1_PADDING ? "rsa-pkcs1" : "rsa-pkcs1-tls";
		if (c->pad == RSA_PKCS1_WITH_TLS_PADDING && !c->client_version)
			return hf_fail(e, HF_ARGUMENT, "TLS padding without the client's version");
		return HF_OK;
	}
	for (x = hf_exchanges; x->name; x++) {
		if (x->pad != HF_PAD_OAEP || strcmp(x->hash, c->md))
			continue;
		if (c->mgf1[0] && strcmp(c->mgf1, c->md))
			return hf_fail(e, HF_UNSUPPORTED,
				       "key %s: OAEP with MGF1 of another digest (%s) than its own "
				       "(%s)",
				       c->key->ref.name, c->mgf1, c->md);
		*scheme = x->name;
		return HF_OK;
	}
	return hf_fail(e, HF_UNSUPPORTED,
		       "key %s: OAEP with %s; SHA1, SHA256, SHA384 or SHA512 will do",
		       c->key->ref.name, c->md);
}

static enum hf_rc decrypt(const struct cipher *c, uint8_t *out, size_t size, size_t *n,
			  struct hf_view in, struct hf_err *e)
{
	struct hf_broker_secret what = {
		.data = in.p,
		.n = in.n,
		.label = c->label,
		.n_label = c->pad == RSA_PKCS1_OAEP_PADDING ? c->n_label : 0,
		.tls_client_version = c->client_version,
		.tls_negotiated_version = c->negotiated_version,
	};
	uint8_t plain[HF_SECRET_MAX];
	size_t got = 0;
	enum hf_rc rc = scheme_of(c, &what.scheme, e);

	if (!rc && in.n != (size_t)EVP_PKEY_get_size(c->key->pub))
		rc = hf_fail(e, HF_ARGUMENT, "key %s decrypts %d bytes at once, these are %zu",
			     c->key->ref.name, EVP_PKEY_get_size(c->key->pub), in.n);
	if (!rc)
		rc = hf_key_decrypt(c->key, &what, plain, &got, e);
	if (!rc && got > size)
		rc = hf_fail(e, HF_ARGUMENT, "the plaintext has %zu bytes, there is room for %zu",
			     got, size);
	if (!rc) {
		memcpy(out, plain, got);
		*n = got;
	}
	explicit_bzero(plain, sizeof(plain));
	return rc;
}

static int ac_decrypt(void *ctx, unsigned char *out, size_t *n, size_t size,
		      const unsigned char *in, size_t n_in)
{
	struct hf_err e = HF_ERR_INIT;
	struct cipher *c = ctx;

	if (!c->key || c->encrypt)
		return 0;
	if (!out) { /* what it may be at most; costs nothing */
		*n = c->pad == RSA_PKCS1_WITH_TLS_PADDING ? PREMASTER
							  : (size_t)EVP_PKEY_get_size(c->key->pub);
		return 1;
	}
	if (c->pad == RSA_PKCS1_WITH_TLS_PADDING && size < PREMASTER)
		(void)hf_fail(&e, HF_ARGUMENT, "no room for a premaster secret");
	else
		(void)decrypt(c, out, size, n, (struct hf_view){ in, n_in }, &e);
	return e.rc ? HF_RAISE(c->provider, &e) : 1;
}

/* ---- encryption: with the public half, by the default provider */

static int ac_encrypt_init(void *ctx, void *key, const OSSL_PARAM params[])
{
	struct cipher *c = ctx;

	if (!ac_init(c, key, NULL))
		return 0;
	c->encrypt = EVP_PKEY_CTX_new_from_pkey(c->provider->libctx, c->key->pub, NULL);
	return c->encrypt && EVP_PKEY_encrypt_init_ex(c->encrypt, params) > 0;
}

static int ac_encrypt(void *ctx, unsigned char *out, size_t *n, size_t size,
		      const unsigned char *in, size_t n_in)
{
	const struct cipher *c = ctx;

	if (!c->encrypt)
		return 0;
	*n = size;
	return EVP_PKEY_encrypt(c->encrypt, out, n, in, n_in) > 0;
}

static const OSSL_DISPATCH functions[] = {
	HF_FN(ASYM_CIPHER_NEWCTX, asym_cipher_newctx, ac_newctx),
	HF_FN(ASYM_CIPHER_FREECTX, asym_cipher_freectx, ac_freectx),
	HF_FN(ASYM_CIPHER_DUPCTX, asym_cipher_dupctx, ac_dupctx),
	HF_FN(ASYM_CIPHER_ENCRYPT_INIT, asym_cipher_encrypt_init, ac_encrypt_init),
	HF_FN(ASYM_CIPHER_ENCRYPT, asym_cipher_encrypt, ac_encrypt),
	HF_FN(ASYM_CIPHER_DECRYPT_INIT, asym_cipher_decrypt_init, ac_decrypt_init),
	HF_FN(ASYM_CIPHER_DECRYPT, asym_cipher_decrypt, ac_decrypt),
	HF_FN(ASYM_CIPHER_GET_CTX_PARAMS, asym_cipher_get_ctx_params, ac_get_params),
	HF_FN(ASYM_CIPHER_GETTABLE_CTX_PARAMS, asym_cipher_gettable_ctx_params, ac_gettable),
	HF_FN(ASYM_CIPHER_SET_CTX_PARAMS, asym_cipher_set_ctx_params, ac_set_params),
	HF_FN(ASYM_CIPHER_SETTABLE_CTX_PARAMS, asym_cipher_settable_ctx_params, ac_settable),
	HF_FN_END,
};

const OSSL_ALGORITHM hf_ciphers[] = {
	{ HF_OPERATION_NAME, HF_PROPERTIES, functions, "decryption in a token" },
	{ NULL, NULL, NULL, NULL },
};
