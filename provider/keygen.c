/* SPDX-License-Identifier: Apache-2.0 */
#include "keygen.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <openssl/params.h>

struct keygen {
	const struct hf_provider *provider;
	enum hf_family family;
	hf_KeyCreate what;
	unsigned bits;	/* of RSA */
	char group[64]; /* of EC */
	bool key;	/* not only parameters */
	bool pss;	/* of RSA: for PSS only, and within */
	char md[32], mgf1[32];
	int salt; /* at least; -1: not said */
};

void *hf_keygen_new(void *provctx, enum hf_family family, bool pss, int selection,
		    const OSSL_PARAM params[])
{
	struct keygen *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->provider = provctx;
	g->family = family;
	g->pss = pss;
	g->salt = -1;
	g->key = selection & OSSL_KEYMGMT_SELECT_KEYPAIR;
	g->what.usage = HF_USAGE_SIGN;
	g->bits = 2048;
	if (hf_keygen_set_params(g, params))
		return g;
	free(g);
	return NULL;
}

void hf_keygen_free(void *gen)
{
	free(gen);
}

const OSSL_PARAM *hf_keygen_settable(void *gen, void *provctx)
{
	static const OSSL_PARAM settable[] = {
		OSSL_PARAM_utf8_string(HF_KEYGEN_KEY, NULL, 0),
		OSSL_PARAM_utf8_string(HF_KEYGEN_TOKEN, NULL, 0),
		OSSL_PARAM_utf8_string(HF_KEYGEN_USAGE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),
		OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_BITS, NULL),
		OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_PRIMES, NULL),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, NULL, 0),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, NULL),
		OSSL_PARAM_END,
	};

	(void)gen;
	(void)provctx;
	return settable;
}

/* An unset @p is fine; a text that is too long is not. */
static bool take_text(const OSSL_PARAM *p, char *out, size_t size)
{
	const char *text = NULL;

	return !p || (OSSL_PARAM_get_utf8_string_ptr(p, &text) && text && hf_copy(out, size, text));
}

static enum hf_rc take_names(struct keygen *g, const OSSL_PARAM params[], struct hf_err *e)
{
	char usage[64] = "";
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, HF_KEYGEN_USAGE);

	if (!take_text(OSSL_PARAM_locate_const(params, HF_KEYGEN_KEY), g->what.name,
		       sizeof(g->what.name)) ||
	    (g->what.name[0] && !hf_key_name_ok(g->what.name)))
		return hf_fail(e, HF_ARGUMENT,
			       HF_KEYGEN_KEY ": 1 to 63 letters, digits, dots, underscores and "
					     "hyphens, the first one a letter or digit");
	if (!take_text(OSSL_PARAM_locate_const(params, HF_KEYGEN_TOKEN), g->what.token,
		       sizeof(g->what.token)))
		return hf_fail(e, HF_ARGUMENT, HF_KEYGEN_TOKEN ": no token has such a long name");
	if (!p)
		return HF_OK;
	if (take_text(p, usage, sizeof(usage)))
		g->what.usage = hf_usage_parse(usage);
	return g->what.usage && usage[0]
		       ? HF_OK
		       : hf_fail(e, HF_ARGUMENT,
				 HF_KEYGEN_USAGE ": sign, decrypt, derive, or ca alone; not '%s'",
				 usage);
}

static enum hf_rc take_rsa(struct keygen *g, const OSSL_PARAM params[], struct hf_err *e)
{
	const OSSL_PARAM *bits = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_BITS);
	const OSSL_PARAM *primes = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_PRIMES);
	const OSSL_PARAM *exponent = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_E);
	BIGNUM *e65537 = NULL;
	size_t n = 2;
	bool ok = true;

	if ((bits && !OSSL_PARAM_get_uint(bits, &g->bits)) ||
	    (primes && (!OSSL_PARAM_get_size_t(primes, &n) || n != 2)))
		return hf_fail(e, HF_ARGUMENT, "RSA keys of a token have two primes");
	if (exponent)
		ok = OSSL_PARAM_get_BN(exponent, &e65537) && BN_is_word(e65537, 65537);
	BN_free(e65537);
	return ok ? HF_OK
		  : hf_fail(e, HF_UNSUPPORTED, "RSA keys of a token have the exponent 65537");
}

static enum hf_rc take_pss(struct keygen *g, const OSSL_PARAM params[], struct hf_err *e)
{
	const OSSL_PARAM *salt = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_PSS_SALTLEN);

	if (!take_text(OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_DIGEST), g->md,
		       sizeof(g->md)) ||
	    !take_text(OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_MGF1_DIGEST), g->mgf1,
		       sizeof(g->mgf1)) ||
	    (salt && (!OSSL_PARAM_get_int(salt, &g->salt) || g->salt < 0)))
		return hf_fail(e, HF_ARGUMENT, "not a digest or length of salt to restrict PSS to");
	if (!g->pss && (g->md[0] || g->mgf1[0] || g->salt >= 0))
		return hf_fail(e, HF_ARGUMENT, "restrictions of PSS are for -algorithm RSA-PSS");
	return HF_OK;
}

int hf_keygen_set_params(void *gen, const OSSL_PARAM params[])
{
	struct hf_err e = HF_ERR_INIT;
	struct keygen *g = gen;

	if (!params)
		return 1;
	if (!take_names(g, params, &e) && !take_rsa(g, params, &e) && !take_pss(g, params, &e) &&
	    !take_text(OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME), g->group,
		       sizeof(g->group)))
		(void)hf_fail(&e, HF_UNSUPPORTED, "unknown group");
	return e.rc ? HF_RAISE(g->provider, &e) : 1;
}

int hf_keygen_set_template(void *gen, void *key)
{
	const struct hf_key *k = key;
	struct keygen *g = gen;
	size_t n = 0;

	return k && k->pub &&
	       EVP_PKEY_get_utf8_string_param(k->pub, OSSL_PKEY_PARAM_GROUP_NAME, g->group,
					      sizeof(g->group), &n);
}

/* A curve has several names: P-256, prime256v1, secp256r1. */
static int curve_nid(const char *name)
{
	int nid = EC_curve_nist2nid(name);

	return nid != NID_undef ? nid : OBJ_txt2nid(name);
}

static const struct hf_algorithm *algorithm_of(const struct keygen *g)
{
	const struct hf_algorithm *a;

	for (a = hf_algorithms; a->name; a++) {
		if (a->family != g->family)
			continue;
		if (a->family == HF_FAMILY_ED25519 ||
		    (a->family == HF_FAMILY_RSA && a->bits == g->bits) ||
		    (a->family == HF_FAMILY_EC && g->group[0] &&
		     curve_nid(a->group) == curve_nid(g->group)))
			return a;
	}
	return NULL;
}

/* What can be used of it has to be sure before the token makes a key that nobody can use. */
static enum hf_rc check_pss(const struct keygen *g, struct hf_err *e)
{
	const struct hf_scheme *x;
	EVP_MD *md, *mgf1;
	bool ok = false;

	if (!g->pss || (!g->md[0] && !g->mgf1[0] && g->salt < 0))
		return HF_OK;
	md = EVP_MD_fetch(g->provider->libctx, g->md, NULL);
	mgf1 = EVP_MD_fetch(g->provider->libctx, g->mgf1[0] ? g->mgf1 : g->md, NULL);
	for (x = hf_schemes; md && mgf1 && x->name; x++)
		ok |= x->pad == HF_PAD_PSS && EVP_MD_is_a(md, x->hash) &&
		      EVP_MD_is_a(mgf1, x->hash) && g->salt <= (int)x->hash_len;
	EVP_MD_free(md);
	EVP_MD_free(mgf1);
	return ok ? HF_OK
		  : hf_fail(e, HF_UNSUPPORTED,
			    "key %s: a token does PSS with SHA256, SHA384 or SHA512, MGF1 of the "
			    "same digest, and a salt of its length; not within these restrictions",
			    g->what.name);
}

static enum hf_rc restrict_to_pss(const struct keygen *g, struct hf_key *key, struct hf_err *e)
{
	const char *mgf1 = g->mgf1[0] ? g->mgf1 : g->md;
	EVP_MD *md = g->md[0] ? EVP_MD_fetch(g->provider->libctx, g->md, NULL) : NULL;
	int salt = g->salt;
	OSSL_PARAM params[4], *p = params;

	/* As much as there is going to be: some verifiers take the least for the exact number. */
	if (salt < 0 && md)
		salt = EVP_MD_get_size(md);
	EVP_MD_free(md);
	if (g->md[0]) {
		*p++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST,
							(char *)(uintptr_t)g->md, 0);
		*p++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST,
							(char *)(uintptr_t)mgf1, 0);
	}
	if (salt >= 0)
		*p++ = OSSL_PARAM_construct_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, &salt);
	*p = OSSL_PARAM_construct_end();
	return hf_key_restrict(key, params, e);
}

static struct hf_key *make(struct keygen *g, const struct hf_algorithm *a, struct hf_err *e)
{
	struct hf_key *key = NULL;

	(void)hf_copy(g->what.algorithm, sizeof(g->what.algorithm), a->name);
	if (check_pss(g, e) || hf_key_create(g->provider, &g->what, &key, e))
		return NULL;
	if (!g->pss || !restrict_to_pss(g, key, e))
		return key;
	hf_key_free(key);
	return NULL;
}

void *hf_keygen_run(void *gen, OSSL_CALLBACK *progress, void *arg)
{
	struct hf_err e = HF_ERR_INIT;
	struct keygen *g = gen;
	const struct hf_algorithm *a = algorithm_of(g);
	struct hf_key *key = NULL;

	(void)progress;
	(void)arg;
	if (!g->key) /* parameters alone are nothing that a token makes */
		(void)hf_fail(&e, HF_UNSUPPORTED, "a token makes keys, no parameters");
	else if (!g->what.name[0])
		(void)hf_fail(&e, HF_ARGUMENT,
			      "the new key needs a name: -pkeyopt " HF_KEYGEN_KEY
			      ":NAME; for a key "
			      "in software ask the default provider: -propquery provider=default");
	else if (!a && g->family == HF_FAMILY_RSA)
		(void)hf_fail(&e, HF_UNSUPPORTED,
			      "key %s: RSA keys of %u bits are not had; 2048, 3072 or 4096",
			      g->what.name, g->bits);
	else if (!a && g->group[0])
		(void)hf_fail(&e, HF_UNSUPPORTED,
			      "key %s: the curve %s is not had; P-256, P-384 or P-521",
			      g->what.name, g->group);
	else if (!a)
		(void)hf_fail(&e, HF_UNSUPPORTED,
			      "key %s: which curve? -pkeyopt group:P-256, P-384 "
			      "or P-521",
			      g->what.name);
	else
		key = make(g, a, &e);
	if (e.rc)
		(void)HF_RAISE(g->provider, &e);
	return key;
}
