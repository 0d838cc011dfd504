/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/prove.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <string.h>

static enum hf_rc prove_scheme(struct hf_backend *b, const hf_KeeperKey *key, struct hf_public *pub,
			       const char *scheme, struct hf_err *e)
{
	struct hf_sign_job job = { .key = key, .scheme = hf_scheme_find(scheme), .digest_len = 32 };
	enum hf_rc rc;

	if (RAND_bytes(job.digest, 32) != 1)
		return hf_fail(e, HF_FAILED, "no random numbers");
	job.message = (struct hf_view){ job.digest, 32 };
	rc = b->ops->sign_start(b, &job, e);
	if (!rc)
		rc = b->ops->sign_finish(b, &job, e);
	if (!rc)
		rc = hf_public_verify(pub, job.scheme, job.message,
				      (struct hf_view){ job.sig, job.sig_len }, e);
	hf_public_free(job.pub);
	return rc;
}

static enum hf_rc prove_signature(struct hf_backend *b, const hf_KeeperKey *key,
				  struct hf_public *pub, struct hf_err *e)
{
	static const char *const schemes[] = { [HF_FAMILY_RSA] = "rsa-pkcs1-sha256",
					       [HF_FAMILY_EC] = "ecdsa-sha256",
					       [HF_FAMILY_ED25519] = "ed25519" };
	enum hf_rc rc = prove_scheme(b, key, pub, schemes[pub->family], e);

	if (!rc && pub->family == HF_FAMILY_RSA)
		rc = prove_scheme(b, key, pub, "rsa-pss-sha256", e);
	return rc;
}

static enum hf_rc prove_decryption(struct hf_backend *b, const hf_KeeperKey *key,
				   struct hf_public *pub, struct hf_err *e)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pub->pkey, NULL);
	const struct hf_exchange *x = hf_exchange_find("rsa-pkcs1");
	static hf_KeeperDecrypt req; /* not for the stack; there is one thread */
	hf_KeeperSecret out = { .data = { .size = 0 } };
	uint8_t secret[32], sealed[1024];
	size_t n = sizeof(sealed);
	bool sound;

	sound = ctx && RAND_bytes(secret, sizeof(secret)) == 1 && EVP_PKEY_encrypt_init(ctx) > 0 &&
		EVP_PKEY_encrypt(ctx, sealed, &n, secret, sizeof(secret)) > 0;
	EVP_PKEY_CTX_free(ctx);
	if (!sound)
		return hf_fail(e, HF_FAILED, "cannot encrypt to the key");
	req = (hf_KeeperDecrypt){ .key = *key };
	if (b->ops->decrypt(b, &req, x, (struct hf_view){ sealed, n }, &out, e))
		return e->rc;
	return out.data.size == sizeof(secret) &&
			       hf_mem_equal(out.data.bytes, secret, sizeof(secret))
		       ? HF_OK
		       : hf_fail(e, HF_FAILED, "it decrypts something else than was encrypted");
}

/* A fresh key of the same curve: its point, and what the two agree on. */
static bool make_peer(const struct hf_public *pub, uint8_t point[160], size_t *point_n,
		      uint8_t want[80], size_t *want_n)
{
	EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_pkey(NULL, pub->pkey, NULL), *use = NULL;
	EVP_PKEY *own = NULL;
	bool ok;

	*want_n = 80;
	ok = make && EVP_PKEY_keygen_init(make) > 0 && EVP_PKEY_keygen(make, &own) > 0 &&
	     (use = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL)) && EVP_PKEY_derive_init(use) > 0 &&
	     EVP_PKEY_derive_set_peer(use, pub->pkey) > 0 &&
	     EVP_PKEY_derive(use, want, want_n) > 0 &&
	     EVP_PKEY_get_octet_string_param(own, OSSL_PKEY_PARAM_PUB_KEY, point, 160, point_n);
	EVP_PKEY_CTX_free(make);
	EVP_PKEY_CTX_free(use);
	EVP_PKEY_free(own);
	return ok && *point_n && point[0] == 4;
}

static enum hf_rc prove_agreement(struct hf_backend *b, const hf_KeeperKey *key,
				  struct hf_public *pub, struct hf_err *e)
{
	static hf_KeeperDerive req;
	hf_KeeperSecret out = { .data = { .size = 0 } };
	uint8_t point[160], want[80];
	size_t n = 0, want_n;

	if (!make_peer(pub, point, &n, want, &want_n))
		return hf_fail(e, HF_FAILED, "cannot agree with the key");
	req = (hf_KeeperDerive){ .key = *key };
	if (b->ops->derive(b, &req, (struct hf_view){ point, n }, &out, e))
		return e->rc;
	return out.data.size == want_n && hf_mem_equal(out.data.bytes, want, want_n)
		       ? HF_OK
		       : hf_fail(e, HF_FAILED,
				 "it agrees on something else than its public key does");
}

enum hf_rc hf_prove(struct hf_backend *b, const hf_KeeperCreated *made, uint32_t usage,
		    struct hf_err *e)
{
	static hf_KeeperKey key;
	struct hf_public *pub;
	enum hf_rc rc;

	key = (hf_KeeperKey){ .usage = usage };
	(void)HF_PB_SET(key.blob, made->blob.bytes, made->blob.size);
	(void)HF_PB_SET(key.spki, made->spki.bytes, made->spki.size);
	(void)HF_PB_SET(key.spki_sha256, made->spki_sha256.bytes, made->spki_sha256.size);
	rc = hf_public_new(&pub, (struct hf_view){ made->spki.bytes, made->spki.size }, e);
	if (rc)
		return rc;
	if (usage & (HF_USAGE_SIGN | HF_USAGE_CA))
		rc = prove_signature(b, &key, pub, e);
	if (!rc && (usage & HF_USAGE_DECRYPT))
		rc = prove_decryption(b, &key, pub, e);
	if (!rc && (usage & HF_USAGE_DERIVE))
		rc = prove_agreement(b, &key, pub, e);
	hf_public_free(pub);
	return rc;
}
