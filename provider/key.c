/* SPDX-License-Identifier: Apache-2.0 */
#include "key.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/file.h"

#define CERT_MAX (256u * 1024) /* a file with a chain */

static const struct {
	const char *name;
	enum hf_family family;
	bool pss;
} types[] = {
	{ "RSA", HF_FAMILY_RSA, false },
	{ "RSA-PSS", HF_FAMILY_RSA, true },
	{ "EC", HF_FAMILY_EC, false },
	{ "ED25519", HF_FAMILY_ED25519, false },
};

const char *hf_key_type(const struct hf_key *key)
{
	size_t i;

	for (i = 0; i < HF_COUNT(types) - 1; i++)
		if (types[i].family == key->family && types[i].pss == key->pss)
			break;
	return types[i].name;
}

struct hf_key *hf_key_new(const struct hf_provider *p)
{
	struct hf_key *key = calloc(1, sizeof(*key));

	if (!key)
		return NULL;
	atomic_init(&key->refs, 1);
	key->provider = p;
	return key;
}

struct hf_key *hf_key_up(struct hf_key *key)
{
	if (key)
		atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
	return key;
}

void hf_key_free(struct hf_key *key)
{
	if (!key || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1)
		return;
	EVP_PKEY_free(key->pub);
	free(key);
}

enum hf_rc hf_key_set_public(struct hf_key *key, EVP_PKEY *pub, struct hf_err *e)
{
	size_t i;

	for (i = 0; i < HF_COUNT(types); i++)
		if (EVP_PKEY_is_a(pub, types[i].name)) {
			EVP_PKEY_free(key->pub);
			key->family = types[i].family;
			key->pss = types[i].pss;
			key->pub = pub;
			return HF_OK;
		}
	EVP_PKEY_free(pub);
	return hf_fail(e, HF_UNSUPPORTED, "neither an RSA, nor an EC, nor an Ed25519 key");
}

/* A public key of the same numbers, of another type: RSA or RSA-PSS, the latter with @more. */
static EVP_PKEY *rsa_as(const struct hf_provider *p, const char *type, const EVP_PKEY *from,
			const OSSL_PARAM more[])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(p->libctx, type, NULL);
	OSSL_PARAM *params = NULL, *all = NULL;
	BIGNUM *n = NULL, *e = NULL;
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	EVP_PKEY *pkey = NULL;

	if (bld && EVP_PKEY_get_bn_param(from, OSSL_PKEY_PARAM_RSA_N, &n) &&
	    EVP_PKEY_get_bn_param(from, OSSL_PKEY_PARAM_RSA_E, &e) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
		params = OSSL_PARAM_BLD_to_param(bld);
	all = params && more ? OSSL_PARAM_merge(params, more) : NULL;
	if (params && ctx && EVP_PKEY_fromdata_init(ctx) > 0)
		(void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, all ? all : params);
	OPENSSL_free(all);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	BN_free(n);
	BN_free(e);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static bool hash_spki(struct hf_key *key, const uint8_t *spki, size_t n)
{
	size_t len = sizeof(key->spki_sha256);

	return EVP_Q_digest(key->provider->libctx, "SHA256", NULL, spki, n, key->spki_sha256, &len);
}

/* The hash by which the broker knows the key: it knows rsaEncryption only. */
static enum hf_rc hash_key(struct hf_key *key, const uint8_t *spki, size_t n, struct hf_err *e)
{
	EVP_PKEY *plain = key->pss ? rsa_as(key->provider, "RSA", key->pub, NULL) : NULL;
	unsigned char *der = NULL;
	int len = plain ? i2d_PUBKEY(plain, &der) : 0;
	bool ok = key->pss ? len > 0 && hash_spki(key, der, (size_t)len) : hash_spki(key, spki, n);

	OPENSSL_free(der);
	EVP_PKEY_free(plain);
	return ok ? HF_OK : hf_fail(e, HF_FAILED, "SHA-256 is not available");
}

static enum hf_rc set_spki(struct hf_key *key, const uint8_t *spki, size_t n, struct hf_err *e)
{
	const unsigned char *p = spki;
	EVP_PKEY *pub;

	if (!n || n > sizeof(key->ref.spki))
		return hf_fail(e, HF_CORRUPT, "public key: %zu bytes are none", n);
	ERR_set_mark();
	pub = d2i_PUBKEY_ex(NULL, &p, (long)n, key->provider->libctx, NULL);
	ERR_pop_to_mark();
	if (!pub || p != spki + n) {
		EVP_PKEY_free(pub);
		return hf_fail(e, HF_CORRUPT,
			       "public key: not a SubjectPublicKeyInfo that OpenSSL knows");
	}
	memmove(key->ref.spki, spki, n);
	key->ref.spki_n = n;
	if (hf_key_set_public(key, pub, e))
		return e->rc;
	return hash_key(key, key->ref.spki, n, e);
}

enum hf_rc hf_key_restrict(struct hf_key *key, const OSSL_PARAM params[], struct hf_err *e)
{
	EVP_PKEY *pub = rsa_as(key->provider, "RSA-PSS", key->pub, params);
	unsigned char *der = NULL;
	int n = pub ? i2d_PUBKEY(pub, &der) : 0;
	enum hf_rc rc;

	rc = n > 0 ? set_spki(key, der, (size_t)n, e)
		   : hf_fail(e, HF_UNSUPPORTED, "key %s: such a restriction of PSS is not known",
			     key->ref.name);
	OPENSSL_free(der);
	EVP_PKEY_free(pub);
	return rc;
}

/* The SubjectPublicKeyInfo of the first certificate in a file, PEM or DER. */
static enum hf_rc cert_spki(const struct hf_provider *p, const char *path, uint8_t *spki,
			    size_t size, size_t *n, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(CERT_MAX);
	char none[] = ""; /* the password: nobody is asked at a terminal for one */
	unsigned char *der = NULL;
	X509 *x = NULL;
	BIO *bio;
	int len = -1;

	if (hf_file_read(path, false, &file, e))
		return hf_within(e, "certificate");
	ERR_set_mark();
	bio = BIO_new_mem_buf(file.p ? (const void *)file.p : "", (int)file.n);
	x = X509_new_ex(p->libctx, NULL);
	if (bio && x && !PEM_read_bio_X509(bio, &x, NULL, none)) {
		const unsigned char *at = file.p;

		X509_free(x); /* half filled, perhaps */
		x = X509_new_ex(p->libctx, NULL);
		if (x && (!at || !d2i_X509(&x, &at, (long)file.n))) {
			X509_free(x);
			x = NULL;
		}
	}
	if (x)
		len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	ERR_pop_to_mark();
	*n = len > 0 && (size_t)len <= size ? (size_t)len : 0;
	if (*n)
		memcpy(spki, der, *n);
	OPENSSL_free(der);
	X509_free(x);
	BIO_free(bio);
	return *n ? HF_OK : hf_fail(e, HF_CORRUPT, "certificate: %s holds none", path);
}

/* The public key of the certificate that the reference or URI names. */
static enum hf_rc take_cert(struct hf_key *key, struct hf_err *e)
{
	uint8_t spki[HF_SPKI_MAX];
	size_t n;

	if (cert_spki(key->provider, key->ref.cert, spki, sizeof(spki), &n, e))
		return e->rc;
	return set_spki(key, spki, n, e);
}

/* A path that goes into a reference has to mean the same from anywhere. */
static enum hf_rc absolute(char out[HF_PATH_MAX], const char *path, struct hf_err *e)
{
	char *real = path[0] ? realpath(path, NULL) : NULL;
	bool fits = real && hf_copy(out, HF_PATH_MAX, real);

	free(real);
	if (path[0] == '/')
		return hf_copy(out, HF_PATH_MAX, path) ? HF_OK : HF_ARGUMENT;
	if (path[0] && !fits)
		return hf_fail_errno(e, HF_IO, "certificate %s", path);
	return HF_OK;
}

static enum hf_rc take_info(struct hf_key *key, const hf_KeyInfo *info, struct hf_err *e)
{
	enum hf_rc rc = HF_OK;

	if (!key->pss) /* otherwise the certificate says more than the broker knows */
		rc = set_spki(key, info->spki.bytes, info->spki.size, e);
	if (!rc && memcmp(key->spki_sha256, info->spki_sha256.bytes, 32) != 0)
		rc = hf_fail(e, HF_PROTOCOL, "key %s: its public key and its hash differ",
			     info->name);
	if (!rc && !hf_copy(key->ref.name, sizeof(key->ref.name), info->name))
		rc = hf_fail(e, HF_PROTOCOL, "key without a name");
	key->usage = rc ? 0 : info->usage;
	key->remote = true;
	return rc;
}

static enum hf_rc from_broker(struct hf_key *key, const struct hf_uri *uri, struct hf_err *e)
{
	struct hf_broker_key which = { uri->name, NULL };
	hf_KeyInfo *info;
	enum hf_rc rc;

	if (absolute(key->ref.cert, uri->cert, e))
		return e->rc;
	if (uri->kind == HF_URI_GENERATION)
		which.spki_sha256 = uri->spki_sha256;
	if (key->ref.cert[0]) {
		if (take_cert(key, e))
			return hf_within(e, "key %s", uri->name);
		which.spki_sha256 = key->spki_sha256;
	}
	info = malloc(sizeof(*info));
	if (!info)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = hf_broker_key_get(key->provider->link, &which, info, e);
	if (rc && key->ref.cert[0])
		(void)hf_within(e, "the key of certificate %s", key->ref.cert);
	if (!rc)
		rc = take_info(key, info, e);
	free(info);
	return rc;
}

enum hf_rc hf_key_create(const struct hf_provider *p, const hf_KeyCreate *what, struct hf_key **key,
			 struct hf_err *e)
{
	hf_KeyInfo *info = malloc(sizeof(*info));
	enum hf_rc rc = HF_NO_MEMORY;

	*key = hf_key_new(p);
	if (*key && info)
		rc = hf_broker_key_create(p->link, what, info, e);
	else
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
	if (!rc)
		rc = take_info(*key, info, e);
	free(info);
	if (rc) {
		hf_key_free(*key);
		*key = NULL;
	}
	return rc;
}

enum hf_rc hf_key_open_uri(const struct hf_provider *p, const struct hf_uri *uri,
			   struct hf_key **key, struct hf_err *e)
{
	enum hf_rc rc;

	*key = hf_key_new(p);
	if (!*key)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = from_broker(*key, uri, e);
	if (rc) {
		hf_key_free(*key);
		*key = NULL;
	}
	return rc;
}

enum hf_rc hf_key_open_known(const struct hf_provider *p, const EVP_PKEY *pub, struct hf_key **key,
			     struct hf_err *e)
{
	struct hf_key *k = hf_key_new(p);
	hf_KeyInfo *info = malloc(sizeof(*info));
	unsigned char *spki = NULL;
	int n = i2d_PUBKEY(pub, &spki);

	if (!k || !info || n <= 0 || !hash_spki(k, spki, (size_t)n))
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
	else if (!hf_broker_key_known(p->link, k->spki_sha256, info, e))
		(void)take_info(k, info, e);
	*key = e->rc ? NULL : k;
	if (e->rc)
		hf_key_free(k);
	OPENSSL_free(spki);
	free(info);
	return e->rc;
}

enum hf_rc hf_key_open_reference(const struct hf_provider *p, const struct hf_reference *ref,
				 struct hf_key **key, struct hf_err *e)
{
	struct hf_key *k = hf_key_new(p);
	enum hf_rc rc;

	*key = NULL;
	if (!k)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	k->ref = *ref;
	k->remote = true;
	/*
	 * Not readable, or not (yet) a certificate that we understand: the key that was there
	 * when the reference was written. A service must start on the day its disk is odd.
	 */
	rc = ref->cert[0] ? take_cert(k, e) : HF_UNAVAILABLE;
	if (rc)
		rc = set_spki(k, ref->spki, ref->spki_n, e);
	if (rc) {
		hf_key_free(k);
		return hf_within(e, "key reference of %s", ref->name);
	}
	*key = k;
	return HF_OK;
}

struct hf_key *hf_key_public_only(const struct hf_key *key)
{
	struct hf_key *k = hf_key_new(key->provider);

	if (!k)
		return NULL;
	if (!EVP_PKEY_up_ref(key->pub)) {
		hf_key_free(k);
		return NULL;
	}
	k->pub = key->pub;
	k->family = key->family;
	k->pss = key->pss;
	return k;
}

static struct hf_broker_key which_of(const struct hf_key *key)
{
	return (struct hf_broker_key){ key->ref.name, key->spki_sha256 };
}

enum hf_rc hf_key_usage(struct hf_key *key, uint32_t *usage, struct hf_err *e)
{
	struct hf_broker_key which = which_of(key);
	hf_KeyInfo *info;
	enum hf_rc rc;

	*usage = key->usage;
	if (*usage)
		return HF_OK;
	info = malloc(sizeof(*info));
	if (!info)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = hf_broker_key_get(key->provider->link, &which, info, e);
	if (!rc)
		key->usage = *usage = info->usage;
	free(info);
	return rc;
}

enum hf_rc hf_key_sign(struct hf_key *key, const struct hf_scheme *scheme, bool message,
		       struct hf_view data, uint8_t *sig, size_t size, size_t *n, struct hf_err *e)
{
	struct hf_broker_job job = { which_of(key), scheme->name, message, data };
	char label[80];

	if (!key->remote)
		return hf_fail(e, HF_ARGUMENT, "this is a public key only: it cannot sign");
	if (data.n > HF_DATA_MAX)
		return hf_fail(e, HF_ARGUMENT,
			       "key %s signs messages whole, of at most %u bytes; this one has %zu",
			       hf_broker_key_label(label, &job.key), HF_DATA_MAX, data.n);
	return hf_broker_sign(key->provider->link, &job, sig, size, n, e);
}

static enum hf_rc check_remote(const struct hf_key *key, const char *verb, struct hf_err *e)
{
	return key->remote
		       ? HF_OK
		       : hf_fail(e, HF_ARGUMENT, "this is a public key only: it cannot %s", verb);
}

enum hf_rc hf_key_decrypt(struct hf_key *key, struct hf_broker_secret *what, uint8_t *out,
			  size_t *n, struct hf_err *e)
{
	what->key = which_of(key);
	if (check_remote(key, "decrypt", e))
		return e->rc;
	return hf_broker_decrypt(key->provider->link, what, out, n, e);
}

enum hf_rc hf_key_derive(struct hf_key *key, struct hf_broker_secret *what, uint8_t *out, size_t *n,
			 struct hf_err *e)
{
	what->key = which_of(key);
	if (check_remote(key, "agree on secrets", e))
		return e->rc;
	return hf_broker_derive(key->provider->link, what, out, n, e);
}
