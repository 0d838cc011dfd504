/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decryption and agreement. What comes back is a secret, so it travels in the salted session,
 * encrypted. RSA is always the raw operation: the padding is taken off here, in constant time, so
 * that the chip's opinion of it (and its label, which has to end with a zero) is never asked.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <string.h>

#include "keeper/tpm2.h"
#include "keeper/tpm2_caps.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_ops.h"
#include "keeper/tpm2_public.h"
#include "keeper/unpad.h"

static uint32_t session_ready(struct hf_tpm2 *t)
{
	uint32_t primary, code;
	bool had = t->primary.handle;

	if (t->session.handle)
		return 0;
	t->code = 0;
	primary = t->primary.handle;
	if (!had && (hf_tpm2_room(t, 1, NULL) || hf_tpm2_primary_get(t, &primary, NULL)))
		return t->code ? t->code : TPM2_RC_OBJECT_MEMORY;
	code = hf_tpm2_session_start(&t->session, &t->link, primary, t->primary.name, t->primary.x,
				     t->primary.y);
	if (!had)
		hf_tpm2_primary_put(t);
	return code;
}

uint32_t hf_tpm2_call_secret(struct hf_tpm2 *t, struct hf_tpm2_cmd *c, const uint8_t *name,
			     struct hf_tpm2_rsp *rsp)
{
	uint32_t code = session_ready(t);

	*rsp = HF_TPM2_NO_RSP;
	if (code)
		return code;
	memcpy(t->session.name, name, sizeof(t->session.name));
	code = hf_tpm2_call(&t->link, c, rsp, &t->session);
	if (code) {
		/* Its nonces may have moved on one side only. */
		(void)hf_tpm2_flush(t, t->session.handle);
		hf_tpm2_session_forget(&t->session);
	}
	return code;
}

struct secret_job {
	const hf_KeeperKey *key;
	struct hf_view data;	      /* ciphertext, or point without its head */
	uint8_t out[HF_TPM2_RSA_MAX]; /* as wide as the modulus, or the field */
	size_t n;
	struct hf_public *pub;
};

/* The session first: to begin one takes the slot that the key would have to leave again. */
static enum hf_rc get_key(struct hf_tpm2 *t, struct secret_job *j, struct hf_tpm2_key **k,
			  struct hf_err *e)
{
	uint32_t code = session_ready(t);
	enum hf_rc rc;

	if (code)
		return hf_tpm2_fail(t, code, e, "begin a session");
	rc = hf_tpm2_key_get(t, j->key, k, e);
	if (!rc && !((*k)->attributes & TPMA_OBJECT_DECRYPT))
		rc = hf_fail(e, HF_ARGUMENT, "the key was not made for this");
	return rc;
}

/* As wide as @width: leading zeros may be missing. */
static bool take(struct secret_job *j, struct hf_view v, size_t width)
{
	if (!v.n || v.n > width || width > sizeof(j->out))
		return false;
	memset(j->out, 0, width - v.n);
	memcpy(j->out + width - v.n, v.p, v.n);
	explicit_bzero((uint8_t *)(uintptr_t)v.p, v.n); /* in the link's buffer */
	j->n = width;
	return true;
}

/* Below the modulus. libtpms goes into failure mode when it is asked about a larger number. */
static bool in_range(const struct hf_public *pub, struct hf_view data)
{
	BIGNUM *n = NULL, *c = BN_bin2bn(data.p, (int)data.n, NULL);
	bool ok = c && EVP_PKEY_get_bn_param(pub->pkey, OSSL_PKEY_PARAM_RSA_N, &n) &&
		  BN_cmp(c, n) < 0;

	BN_free(c);
	BN_free(n);
	return ok;
}

static enum hf_rc decrypt_raw(struct hf_tpm2 *t, void *arg, struct hf_err *e)
{
	struct secret_job *j = arg;
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_key *k;
	struct hf_tpm2_cmd c;
	struct hf_view v;
	uint32_t code;

	if (get_key(t, j, &k, e))
		return e->rc;
	if (k->pub->family != HF_FAMILY_RSA || j->data.n != k->pub->bits / 8)
		return hf_fail(e, HF_ARGUMENT, "the ciphertext has %zu bytes", j->data.n);
	if (!in_range(k->pub, j->data))
		return hf_fail(e, HF_ARGUMENT, "it is not a ciphertext for this key");
	hf_tpm2_cmd_init(&c, TPM2_CC_RSA_Decrypt, k->handle, 0);
	hf_tpm2_put2b(&c, j->data.p, j->data.n);
	hf_tpm2_put16(&c, TPM2_ALG_NULL);
	hf_tpm2_put2b(&c, NULL, 0); /* label */
	code = hf_tpm2_call_secret(t, &c, k->name, &rsp);
	if (code)
		return hf_tpm2_fail(t, code, e, "decrypt");
	v = hf_rd_2b(&rsp.params);
	if (!hf_rd_end(&rsp.params) || !take(j, v, k->pub->bits / 8))
		return hf_tpm2_fail(t, TSS2_TCTI_RC_MALFORMED_RESPONSE, e, "decrypt");
	return HF_OK;
}

static enum hf_rc unpad(const struct secret_job *j, const hf_KeeperDecrypt *req,
			const struct hf_exchange *x, hf_KeeperSecret *out, struct hf_err *e)
{
	uint8_t random[HF_TLS_PREMASTER];
	size_t n = HF_TLS_PREMASTER;
	bool ok = true;

	_Static_assert(sizeof(out->data.bytes) >= HF_TPM2_RSA_MAX, "a plaintext fits");
	if (x->pad == HF_PAD_TLS && RAND_bytes(random, sizeof(random)) != 1)
		return hf_fail(e, HF_FAILED, "no random numbers");
	if (x->pad == HF_PAD_TLS)
		hf_unpad_tls(j->out, j->n, req->tls_client_version, req->tls_negotiated_version,
			     random, out->data.bytes);
	else if (x->pad == HF_PAD_OAEP)
		ok = hf_unpad_oaep(j->out, j->n, x,
				   (struct hf_view){ req->label.bytes, req->label.size },
				   out->data.bytes, &n);
	else
		ok = hf_unpad_pkcs1(j->out, j->n, out->data.bytes, &n);
	out->data.size = ok ? (pb_size_t)n : 0;
	return ok ? HF_OK
		  : hf_fail(e, HF_ARGUMENT,
			    "it does not decrypt: made for another key, with another padding, hash "
			    "or label, or damaged");
}

enum hf_rc hf_tpm2_decrypt(struct hf_backend *b, const hf_KeeperDecrypt *req,
			   const struct hf_exchange *x, struct hf_view data, hf_KeeperSecret *out,
			   struct hf_err *e)
{
	struct secret_job j = { .key = &req->key, .data = data };
	enum hf_rc rc = hf_tpm2_run((struct hf_tpm2 *)b, "decrypt", decrypt_raw, &j, e);

	if (!rc)
		rc = unpad(&j, req, x, out, e);
	explicit_bzero(j.out, sizeof(j.out));
	return rc;
}

/* ---- agreement */

/* On the curve of our own key: a point of another one would tell about the private half. */
static enum hf_rc check_point(const struct hf_public *pub, struct hf_view point, struct hf_err *e)
{
	EVP_PKEY *peer = EVP_PKEY_new();
	bool ok = peer && EVP_PKEY_copy_parameters(peer, pub->pkey) > 0 &&
		  EVP_PKEY_set1_encoded_public_key(peer, point.p, point.n) > 0;

	EVP_PKEY_free(peer);
	return ok ? HF_OK
		  : hf_fail(e, HF_ARGUMENT, "the other's public key is no point of our curve");
}

static enum hf_rc zgen(struct hf_tpm2 *t, void *arg, struct hf_err *e)
{
	struct secret_job *j = arg;
	struct hf_view out, x, y;
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_key *k;
	struct hf_tpm2_cmd c;
	uint32_t code;
	size_t field;

	if (get_key(t, j, &k, e))
		return e->rc;
	field = (k->pub->bits + 7) / 8;
	if (k->pub->family != HF_FAMILY_EC || j->data.n != 2 * field + 1)
		return hf_fail(e, HF_ARGUMENT, "the point has %zu bytes", j->data.n);
	hf_tpm2_cmd_init(&c, TPM2_CC_ECDH_ZGen, k->handle, 0);
	hf_tpm2_put16(&c, (uint16_t)(2 * (2 + field)));
	hf_tpm2_put2b(&c, j->data.p + 1, field);
	hf_tpm2_put2b(&c, j->data.p + 1 + field, field);
	code = hf_tpm2_call_secret(t, &c, k->name, &rsp);
	if (code)
		return hf_tpm2_fail(t, code, e, "agree on a secret");
	out = hf_rd_2b(&rsp.params);
	rsp.params = (struct hf_rd){ out.p, out.n, rsp.params.bad || rsp.params.n };
	x = hf_rd_2b(&rsp.params);
	y = hf_rd_2b(&rsp.params);
	if (!hf_rd_end(&rsp.params) || !y.n || !take(j, x, field))
		return hf_tpm2_fail(t, TSS2_TCTI_RC_MALFORMED_RESPONSE, e, "agree on a secret");
	return HF_OK;
}

enum hf_rc hf_tpm2_derive(struct hf_backend *b, const hf_KeeperDerive *req, struct hf_view peer,
			  hf_KeeperSecret *out, struct hf_err *e)
{
	struct secret_job j = { .key = &req->key, .data = peer };
	enum hf_rc rc;

	rc = hf_public_new(&j.pub, (struct hf_view){ req->key.spki.bytes, req->key.spki.size }, e);
	if (!rc)
		rc = check_point(j.pub, peer, e);
	hf_public_free(j.pub);
	if (!rc)
		rc = hf_tpm2_run((struct hf_tpm2 *)b, "derive", zgen, &j, e);
	if (!rc)
		(void)HF_PB_SET(out->data, j.out, j.n);
	explicit_bzero(j.out, sizeof(j.out));
	return rc;
}
