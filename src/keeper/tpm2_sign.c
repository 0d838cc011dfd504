/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures. No secret travels, so the authorisation is an empty password and no
 * session; that the digest was not changed on the bus shows when the signature is
 * verified, which the caller does before anybody sees it.
 */
#include <string.h>

#include "keeper/der.h"
#include "keeper/pss.h"
#include "keeper/tpm2.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_ops.h"
#include "keeper/tpm2_public.h"

static uint16_t hash_id(const struct hf_scheme *s)
{
	return s->hash_len == 64   ? TPM2_ALG_SHA512
	       : s->hash_len == 48 ? TPM2_ALG_SHA384
	       : s->hash_len == 20 ? TPM2_ALG_SHA1
				   : TPM2_ALG_SHA256;
}

static uint16_t scheme_id(const struct hf_scheme *s)
{
	if (s->family == HF_FAMILY_EC)
		return TPM2_ALG_ECDSA;
	return s->pad == HF_PAD_PSS ? TPM2_ALG_RSAPSS : TPM2_ALG_RSASSA;
}

uint32_t hf_tpm2_sign_send(struct hf_tpm2 *t, uint32_t handle, const struct hf_scheme *scheme,
			   struct hf_view digest)
{
	struct hf_tpm2_cmd c;

	hf_tpm2_cmd_init(&c, TPM2_CC_Sign, handle, 0);
	hf_tpm2_put2b(&c, digest.p, digest.n);
	hf_tpm2_put16(&c, scheme_id(scheme));
	hf_tpm2_put16(&c, hash_id(scheme));
	hf_tpm2_put16(&c, TPM2_ST_HASHCHECK); /* the null ticket: not hashed by the TPM */
	hf_tpm2_put32(&c, TPM2_RH_NULL);
	hf_tpm2_put16(&c, 0);
	return hf_tpm2_send(&t->link, &c, NULL);
}

/* Where the chip's PSS salt is not the digest's length: our padding, its private operation. */
static uint32_t raw_send(struct hf_tpm2 *t, const struct hf_tpm2_key *k, struct hf_sign_job *job)
{
	uint8_t em[HF_TPM2_RSA_MAX];
	size_t n = (k->pub->bits + 7) / 8;
	struct hf_tpm2_cmd c;

	if (!hf_pss_encode(em, n, k->pub->bits, job->scheme, job->digest))
		return TPM2_RC_SCHEME;
	hf_tpm2_cmd_init(&c, TPM2_CC_RSA_Decrypt, k->handle, 0);
	hf_tpm2_put2b(&c, em, n);
	hf_tpm2_put16(&c, TPM2_ALG_NULL);
	hf_tpm2_put2b(&c, NULL, 0); /* label */
	return hf_tpm2_send(&t->link, &c, NULL);
}

/* What the key allows, unless the chip's own PSS is known to be what everybody expects. */
static bool raw(const struct hf_tpm2 *t, const struct hf_tpm2_key *k, const struct hf_sign_job *job)
{
	return job->scheme->pad == HF_PAD_PSS && (k->attributes & TPMA_OBJECT_DECRYPT) &&
	       t->pss != HF_TPM2_PSS_CHIP;
}

static enum hf_rc fits(const struct hf_tpm2_key *k, const struct hf_sign_job *job, struct hf_err *e)
{
	static const char *const kinds[] = { "an RSA", "an EC", "an Ed25519" };

	if (job->scheme->family != k->pub->family)
		return hf_fail(e, HF_ARGUMENT, "scheme %s does not fit: this is %s key",
			       job->scheme->name, kinds[k->pub->family]);
	if (!(k->attributes & TPMA_OBJECT_SIGN_ENCRYPT))
		return hf_fail(e, HF_ARGUMENT, "the key was not made for signing");
	return HF_OK;
}

static enum hf_rc send_job(struct hf_tpm2 *t, void *arg, struct hf_err *e)
{
	struct hf_sign_job *job = arg;
	struct hf_tpm2_key *k;
	enum hf_rc rc;
	uint32_t code;

	rc = hf_tpm2_key_get(t, job->key, &k, e);
	if (!rc)
		rc = fits(k, job, e);
	if (rc)
		return rc;
	if (raw(t, k, job))
		code = raw_send(t, k, job);
	else
		code = hf_tpm2_sign_send(t, k->handle, job->scheme,
					 (struct hf_view){ job->digest, job->digest_len });
	if (code)
		return hf_tpm2_fail(t, code, e, "sign");
	if (!job->pub)
		job->pub = hf_public_ref(k->pub);
	k->busy = true;
	job->handle = k;
	return HF_OK;
}

static bool read_ecdsa(struct hf_rd *r, const struct hf_public *pub, struct hf_sign_job *job)
{
	HF_AUTO_BUF der = HF_BUF(HF_SIGNATURE_MAX);
	size_t field = (pub->bits + 7) / 8;
	struct hf_view x = hf_rd_2b(r), y = hf_rd_2b(r);

	if (!hf_rd_end(r) || !x.n || !y.n || x.n > field || y.n > field || field > 66)
		return false;
	hf_der_put_ecdsa(&der, x, y);
	if (der.bad)
		return false;
	memcpy(job->sig, der.p, der.n);
	job->sig_len = der.n;
	return true;
}

/* As long as the modulus; some chips drop leading zeros. */
static bool read_rsa(struct hf_rd *r, const struct hf_public *pub, struct hf_sign_job *job)
{
	size_t n = (pub->bits + 7) / 8;
	struct hf_view v = hf_rd_2b(r);

	if (!hf_rd_end(r) || !v.n || v.n > n || n > sizeof(job->sig))
		return false;
	memset(job->sig, 0, n - v.n);
	memcpy(job->sig + n - v.n, v.p, v.n);
	job->sig_len = n;
	return true;
}

enum hf_rc hf_tpm2_sign_receive(struct hf_tpm2 *t, const struct hf_public *pub,
				struct hf_sign_job *job, struct hf_err *e)
{
	uint32_t command = t->link.sent ? t->link.sent->code : 0, code;
	struct hf_tpm2_rsp rsp;
	bool ok;

	job->sig_len = 0;
	code = hf_tpm2_receive(&t->link, &rsp, NULL);
	if (code)
		return hf_tpm2_fail(t, code, e, "sign");
	if (command == TPM2_CC_Sign) {
		ok = hf_rd16(&rsp.params) == scheme_id(job->scheme) &&
		     hf_rd16(&rsp.params) == hash_id(job->scheme);
	} else {
		ok = true; /* RSA_Decrypt: the number alone */
	}
	if (ok)
		ok = job->scheme->family == HF_FAMILY_EC ? read_ecdsa(&rsp.params, pub, job)
							 : read_rsa(&rsp.params, pub, job);
	return ok ? HF_OK : hf_tpm2_fail(t, TSS2_TCTI_RC_MALFORMED_RESPONSE, e, "sign");
}

static enum hf_rc receive_job(struct hf_tpm2 *t, struct hf_sign_job *job, struct hf_err *e)
{
	struct hf_tpm2_key *k = job->handle;

	job->handle = NULL;
	k->busy = false;
	return hf_tpm2_sign_receive(t, job->pub, job, e);
}

static enum hf_rc whole_job(struct hf_tpm2 *t, void *arg, struct hf_err *e)
{
	enum hf_rc rc = send_job(t, arg, e);

	return rc ? rc : receive_job(t, arg, e);
}

bool hf_tpm2_sign_ready(struct hf_backend *b, const hf_KeeperKey *key)
{
	struct hf_tpm2 *t = (struct hf_tpm2 *)b;
	struct hf_tpm2_key *k = t->ready ? hf_tpm2_key_find(t, key) : NULL;

	return k && k->handle && !k->suspect;
}

enum hf_rc hf_tpm2_sign_start(struct hf_backend *b, struct hf_sign_job *job, struct hf_err *e)
{
	return hf_tpm2_run((struct hf_tpm2 *)b, "sign", send_job, job, e);
}

enum hf_rc hf_tpm2_sign_finish(struct hf_backend *b, struct hf_sign_job *job, struct hf_err *e)
{
	struct hf_tpm2 *t = (struct hf_tpm2 *)b;
	enum hf_rc rc;

	t->code = 0;
	rc = receive_job(t, job, e);
	return rc ? hf_tpm2_rerun(t, "sign", whole_job, job, e) : HF_OK;
}
