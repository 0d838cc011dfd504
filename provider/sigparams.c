/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigparams.c: parameters of signatures. What cannot be honoured is refused: a salt of
 * another length than was asked for makes a signature that others reject, much later.
 */
#include "signature.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "wire/scheme.h"

/* Words and numbers for the same thing: libcrypto passes either. */
struct word {
	int value;
	const char *text;
};

#define SALT_DIGEST	 (-1) /* RSA_PSS_SALTLEN_DIGEST */
#define SALT_AUTO	 (-2) /* signing: we choose, and choose the digest's length */
#define SALT_AUTO_DIGEST (-4) /* "auto-digestmax", since 3.1: the same */

static const struct word pads[] = {
	{ RSA_PKCS1_PADDING, OSSL_PKEY_RSA_PAD_MODE_PKCSV15 },
	{ RSA_PKCS1_PSS_PADDING, OSSL_PKEY_RSA_PAD_MODE_PSS },
	{ 0, NULL },
};

static const struct word salts[] = {
	{ SALT_DIGEST, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST },
	{ SALT_AUTO, OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO },
	{ SALT_AUTO_DIGEST, "auto-digestmax" },
	{ -3, OSSL_PKEY_RSA_PSS_SALT_LEN_MAX },
	{ 0, NULL },
};

static bool get_int_or_word(const OSSL_PARAM *p, const struct word *words, int *out)
{
	const struct word *w;
	char *end;
	long n;

	if (p->data_type != OSSL_PARAM_UTF8_STRING)
		return OSSL_PARAM_get_int(p, out);
	if (!p->data)
		return false;
	for (w = words; w->text; w++)
		if (!strcmp(p->data, w->text)) {
			*out = w->value;
			return true;
		}
	n = strtol(p->data, &end, 10);
	if (end == (char *)p->data || *end || n < SALT_AUTO_DIGEST || n > 65535)
		return false;
	*out = (int)n;
	return true;
}

static bool set_int_or_word(OSSL_PARAM *p, const struct word *words, int value)
{
	char number[16];

	if (p->data_type != OSSL_PARAM_UTF8_STRING)
		return OSSL_PARAM_set_int(p, value);
	for (; words->text; words++)
		if (words->value == value)
			return OSSL_PARAM_set_utf8_string(p, words->text);
	snprintf(number, sizeof(number), "%d", value);
	return OSSL_PARAM_set_utf8_string(p, number);
}

static enum hf_padding padding_of(const struct hf_sig *s)
{
	if (s->key->family != HF_FAMILY_RSA)
		return HF_PAD_NONE;
	return s->pad == RSA_PKCS1_PSS_PADDING ? HF_PAD_PSS : HF_PAD_PKCS1;
}

static bool same_digest(const struct hf_sig *s, const char *name, const EVP_MD *md)
{
	EVP_MD *named;
	bool same;

	if (EVP_MD_is_a(md, name))
		return true;
	/* Another of its names: the fetch knows them all. */
	named = EVP_MD_fetch(s->provider->libctx, name, NULL);
	same = named && EVP_MD_is_a(md, EVP_MD_get0_name(named));
	EVP_MD_free(named);
	return same;
}

static enum hf_rc check_pss(const struct hf_sig *s, const struct hf_scheme *scheme,
			    struct hf_err *e)
{
	if (s->mgf1[0] && s->md && !same_digest(s, s->mgf1, s->md))
		return hf_fail(e, HF_UNSUPPORTED,
			       "key %s: PSS with MGF1 of another digest (%s) than that of the "
			       "message (%s)",
			       s->key->ref.name, s->mgf1, scheme->tls_hash);
	if (s->salt == SALT_DIGEST || s->salt == SALT_AUTO || s->salt == SALT_AUTO_DIGEST ||
	    s->salt == (int)scheme->hash_len)
		return HF_OK;
	return hf_fail(e, HF_UNSUPPORTED,
		       "key %s: a token salts PSS with as many bytes as the digest has, %zu; "
		       "ask for rsa_pss_saltlen:digest",
		       s->key->ref.name, scheme->hash_len);
}

/*
 * An rsassaPss key may say which digest and how much salt it is for (RFC 4055, section 3.1). The
 * default provider knows the rules: what it would not verify is not signed.
 */
static enum hf_rc check_restrictions(const struct hf_sig *s, const struct hf_scheme *scheme,
				     struct hf_err *e)
{
	EVP_PKEY_CTX *ctx;
	bool ok;

	if (!s->key->pss)
		return HF_OK;
	ERR_set_mark();
	ctx = EVP_PKEY_CTX_new_from_pkey(s->provider->libctx, s->key->pub, NULL);
	ok = ctx && EVP_PKEY_verify_init(ctx) > 0 &&
	     EVP_PKEY_CTX_set_signature_md(ctx, s->md) > 0 &&
	     EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, s->md) > 0 &&
	     EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)scheme->hash_len) > 0;
	EVP_PKEY_CTX_free(ctx);
	ERR_pop_to_mark();
	return ok ? HF_OK
		  : hf_fail(e, HF_UNSUPPORTED,
			    "key %s: its public key says rsassaPss with other parameters than %s "
			    "and a salt of %zu bytes",
			    s->key->ref.name, scheme->tls_hash, scheme->hash_len);
}

enum hf_rc hf_sig_scheme(const struct hf_sig *s, const struct hf_scheme **scheme, struct hf_err *e)
{
	enum hf_padding pad = padding_of(s);
	const struct hf_scheme *x;

	for (x = hf_schemes; x->name; x++)
		if (x->family == s->key->family && x->pad == pad &&
		    (x->hash ? s->md && EVP_MD_is_a(s->md, x->hash) : !s->md))
			break;
	*scheme = x->name ? x : NULL;
	if (!*scheme)
		return hf_fail(e, HF_UNSUPPORTED, "key %s: no signatures with digest %s; %s",
			       s->key->ref.name, s->md ? EVP_MD_get0_name(s->md) : "(none)",
			       s->key->family == HF_FAMILY_ED25519
				       ? "Ed25519 takes none"
				       : "SHA256, SHA384 or SHA512 will do");
	if (pad != HF_PAD_PSS)
		return HF_OK;
	return check_pss(s, x, e) ? e->rc : check_restrictions(s, x, e);
}

enum hf_rc hf_sig_take_fixed(struct hf_sig *s, struct hf_err *e)
{
	const struct hf_scheme *x = s->fixed;

	if (s->key->family != x->family || (s->key->pss && x->pad != HF_PAD_PSS))
		return hf_fail(e, HF_UNSUPPORTED, "key %s: no signatures of kind %s",
			       s->key->ref.name, x->name);
	return x->hash ? hf_sig_set_digest(s, x->hash, e) : HF_OK;
}

enum hf_rc hf_sig_set_digest(struct hf_sig *s, const char *name, struct hf_err *e)
{
	EVP_MD *md = EVP_MD_fetch(s->provider->libctx, name, NULL);

	if (!md)
		return hf_fail(e, HF_UNSUPPORTED, "digest '%.40s' is not known", name);
	EVP_MD_free(s->md);
	s->md = md;
	return HF_OK;
}

static enum hf_rc set_digest(struct hf_sig *s, const OSSL_PARAM *p, struct hf_err *e)
{
	const char *name = NULL;

	if (!OSSL_PARAM_get_utf8_string_ptr(p, &name) || !name)
		return hf_fail(e, HF_ARGUMENT, "the digest has to be a string");
	if (s->begun && s->md && !same_digest(s, name, s->md))
		return hf_fail(e, HF_ARGUMENT,
			       "the digest cannot change in the middle of a message");
	if (s->fixed && (!s->md || !same_digest(s, name, s->md)))
		return hf_fail(e, HF_ARGUMENT, "%s has a digest of its own", s->fixed->name);
	return s->begun ? HF_OK : hf_sig_set_digest(s, name, e);
}

static enum hf_rc set_pad(struct hf_sig *s, const OSSL_PARAM *p, struct hf_err *e)
{
	int pad;

	if (s->key->family != HF_FAMILY_RSA)
		return hf_fail(e, HF_ARGUMENT, "key %s has no padding: it is no RSA key",
			       s->key->ref.name);
	if (!get_int_or_word(p, pads, &pad) ||
	    (pad != RSA_PKCS1_PADDING && pad != RSA_PKCS1_PSS_PADDING))
		return hf_fail(e, HF_UNSUPPORTED,
			       "key %s signs with PKCS #1 v1.5 and PSS padding only",
			       s->key->ref.name);
	if (pad != s->pad && (s->fixed || s->key->pss))
		return hf_fail(e, HF_ARGUMENT, "key %s: this is %s, and nothing else",
			       s->key->ref.name, s->fixed ? s->fixed->name : "an RSA-PSS key");
	s->pad = pad;
	return HF_OK;
}

static enum hf_rc set_salt(struct hf_sig *s, const OSSL_PARAM *p, struct hf_err *e)
{
	if (s->pad != RSA_PKCS1_PSS_PADDING)
		return hf_fail(e, HF_ARGUMENT, "a salt goes with rsa_padding_mode:pss only");
	if (!get_int_or_word(p, salts, &s->salt) || s->salt < SALT_AUTO_DIGEST)
		return hf_fail(e, HF_ARGUMENT, "not a length of a PSS salt");
	return HF_OK;
}

static enum hf_rc set_mgf1(struct hf_sig *s, const OSSL_PARAM *p, struct hf_err *e)
{
	const char *name = NULL;

	if (s->pad != RSA_PKCS1_PSS_PADDING)
		return hf_fail(e, HF_ARGUMENT,
			       "an MGF1 digest goes with rsa_padding_mode:pss only");
	if (!OSSL_PARAM_get_utf8_string_ptr(p, &name) || !name ||
	    !hf_copy(s->mgf1, sizeof(s->mgf1), name))
		return hf_fail(e, HF_ARGUMENT, "not a name of a digest for MGF1");
	return HF_OK;
}

static bool get_digest(const struct hf_sig *s, OSSL_PARAM *p)
{
	return OSSL_PARAM_set_utf8_string(p, s->md ? EVP_MD_get0_name(s->md) : "");
}

static bool get_pad(const struct hf_sig *s, OSSL_PARAM *p)
{
	return set_int_or_word(p, pads, s->pad);
}

/* What the salt is going to be, whatever word was used to ask for it. */
static bool get_salt(const struct hf_sig *s, OSSL_PARAM *p)
{
	return set_int_or_word(p, salts, s->salt >= 0 ? s->salt : SALT_DIGEST);
}

static bool get_mgf1(const struct hf_sig *s, OSSL_PARAM *p)
{
	return s->mgf1[0] ? OSSL_PARAM_set_utf8_string(p, s->mgf1) : get_digest(s, p);
}

static bool get_algorithm_id(const struct hf_sig *s, OSSL_PARAM *p)
{
	const struct hf_scheme *scheme;
	struct hf_err e = HF_ERR_INIT;
	struct hf_view id;

	if (hf_sig_scheme(s, &scheme, &e))
		return HF_RAISE(s->provider, &e);
	id = hf_scheme_algorithm_id(scheme);
	return OSSL_PARAM_set_octet_string(p, id.p, id.n);
}

/* Order matters: the padding comes before what depends on it. */
#define SIG_SETTABLE(X)                                                                            \
	X(OSSL_SIGNATURE_PARAM_DIGEST, OSSL_PARAM_UTF8_STRING, get_digest, set_digest)             \
	X(OSSL_SIGNATURE_PARAM_PAD_MODE, OSSL_PARAM_UTF8_STRING, get_pad, set_pad)                 \
	X(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, OSSL_PARAM_UTF8_STRING, get_salt, set_salt)            \
	X(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, OSSL_PARAM_UTF8_STRING, get_mgf1, set_mgf1)
#define SIG_PARAMS(X)                                                                              \
	SIG_SETTABLE(X)                                                                            \
	X(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, OSSL_PARAM_OCTET_STRING, get_algorithm_id, NULL)

#define ROW(name, type, get, set) { (name), (get), (set) },
static const struct {
	const char *name;
	bool (*get)(const struct hf_sig *s, OSSL_PARAM *p);
	enum hf_rc (*set)(struct hf_sig *s, const OSSL_PARAM *p, struct hf_err *e);
} rows[] = { SIG_PARAMS(ROW) };

#define DESCRIBE(name, type, get, set) OSSL_PARAM_DEFN(name, type, NULL, 0),
static const OSSL_PARAM settable[] = { SIG_SETTABLE(DESCRIBE)
#ifdef OSSL_SIGNATURE_PARAM_SIGNATURE
					       OSSL_PARAM_octet_string(
						       OSSL_SIGNATURE_PARAM_SIGNATURE, NULL, 0),
#endif
				       OSSL_PARAM_END };
static const OSSL_PARAM gettable[] = { SIG_PARAMS(DESCRIBE) OSSL_PARAM_END };

const OSSL_PARAM *hf_sig_settable(void *ctx, void *provctx)
{
	(void)ctx;
	(void)provctx;
	return settable;
}

const OSSL_PARAM *hf_sig_gettable(void *ctx, void *provctx)
{
	(void)ctx;
	(void)provctx;
	return gettable;
}

/* The signature comes as a parameter where the message comes in pieces. */
static void take_expected(struct hf_sig *s, const OSSL_PARAM params[])
{
#ifdef OSSL_SIGNATURE_PARAM_SIGNATURE
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_SIGNATURE);

	if (!p || p->data_type != OSSL_PARAM_OCTET_STRING || !p->data)
		return;
	hf_buf_finish(&s->expected);
	hf_buf_add(&s->expected, p->data, p->data_size);
#else
	(void)s;
	(void)params;
#endif
}

int hf_sig_set_params(void *ctx, const OSSL_PARAM params[])
{
	struct hf_sig *s = ctx;
	struct hf_err e = HF_ERR_INIT;
	const OSSL_PARAM *p;
	size_t i;

	if (!params || !params->key)
		return 1;
	take_expected(s, params);
	if (s->verify && !s->fixed)
		return EVP_PKEY_CTX_set_params(s->verify, params);
	for (i = 0; i < HF_COUNT(rows); i++) {
		p = rows[i].set ? OSSL_PARAM_locate_const(params, rows[i].name) : NULL;
		if (p && rows[i].set(s, p, &e))
			return HF_RAISE(s->provider, &e);
	}
	return 1;
}

int hf_sig_get_params(void *ctx, OSSL_PARAM params[])
{
	struct hf_sig *s = ctx;
	OSSL_PARAM *p;
	size_t i;

	if (!params)
		return 1;
	if (s->verify)
		return EVP_PKEY_CTX_get_params(s->verify, params);
	for (i = 0; i < HF_COUNT(rows); i++) {
		p = OSSL_PARAM_locate(params, rows[i].name);
		if (p && !rows[i].get(s, p))
			return 0;
	}
	return 1;
}
