/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11_sign.c: signatures, in the form that X.509 wants them. */
#include <string.h>

#include "keeper/der.h"
#include "keeper/pkcs11.h"
#include "keeper/pkcs11_error.h"
#include "keeper/pkcs11_key.h"
#include "keeper/pss.h"

/* RFC 8017 9.2, note 1: what comes before the digest. */
static const uint8_t sha1_info[] = { 0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e,
				     0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14 };
static const uint8_t sha256_info[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
				       0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };
static const uint8_t sha384_info[] = { 0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
				       0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30 };
static const uint8_t sha512_info[] = { 0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
				       0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40 };

static const struct {
	size_t hash_len;
	struct hf_view info;
	CK_MECHANISM_TYPE hash;
	CK_RSA_PKCS_MGF_TYPE mgf;
} hashes[] = {
	{ 20, { sha1_info, sizeof(sha1_info) }, CKM_SHA_1, CKG_MGF1_SHA1 },
	{ 32, { sha256_info, sizeof(sha256_info) }, CKM_SHA256, CKG_MGF1_SHA256 },
	{ 48, { sha384_info, sizeof(sha384_info) }, CKM_SHA384, CKG_MGF1_SHA384 },
	{ 64, { sha512_info, sizeof(sha512_info) }, CKM_SHA512, CKG_MGF1_SHA512 },
};

/* What C_SignInit and C_Sign get. */
struct input {
	CK_MECHANISM mechanism;
	CK_RSA_PKCS_PSS_PARAMS pss;
	struct hf_view data;
	uint8_t bytes[HF_SIGNATURE_MAX];
	size_t answer; /* bytes that the signature may have */
};

static enum hf_rc fits(const struct hf_p11_key *k, const struct hf_sign_job *job, struct hf_err *e)
{
	static const char *const kinds[] = { "an RSA", "an EC", "an Ed25519" };

	if (job->scheme->family != k->pub->family)
		return hf_fail(e, HF_ARGUMENT, "scheme %s does not fit: this is %s key",
			       job->scheme->name, kinds[k->pub->family]);
	return HF_OK;
}

static enum hf_rc no_scheme(const struct hf_sign_job *job, struct hf_err *e)
{
	return hf_fail(e, HF_UNSUPPORTED, "this token does not sign with %s", job->scheme->name);
}

static enum hf_rc rsa_input(struct hf_p11 *t, const struct hf_p11_key *k,
			    const struct hf_sign_job *job, struct input *in, struct hf_err *e)
{
	size_t i, n = (k->pub->bits + 7) / 8;

	for (i = 0; i < HF_COUNT(hashes) && hashes[i].hash_len != job->digest_len; i++)
		;
	in->answer = n;
	if (i == HF_COUNT(hashes) || n > sizeof(in->bytes))
		return no_scheme(job, e);
	if (job->scheme->pad == HF_PAD_PKCS1) {
		in->mechanism.mechanism = CKM_RSA_PKCS;
		memcpy(in->bytes, hashes[i].info.p, hashes[i].info.n);
		memcpy(in->bytes + hashes[i].info.n, job->digest, job->digest_len);
		in->data = (struct hf_view){ in->bytes, hashes[i].info.n + job->digest_len };
	} else if (hf_p11_has(t, CKM_RSA_PKCS_PSS)) {
		in->pss = (CK_RSA_PKCS_PSS_PARAMS){ hashes[i].hash, hashes[i].mgf,
						    (CK_ULONG)job->digest_len };
		in->mechanism = (CK_MECHANISM){ CKM_RSA_PKCS_PSS, &in->pss, sizeof(in->pss) };
		in->data = (struct hf_view){ job->digest, job->digest_len };
	} else {
		in->mechanism.mechanism = CKM_RSA_X_509;
		if (!hf_pss_encode(in->bytes, n, k->pub->bits, job->scheme, job->digest))
			return no_scheme(job, e);
		in->data = (struct hf_view){ in->bytes, n };
	}
	return HF_OK;
}

static enum hf_rc input_of(struct hf_p11 *t, const struct hf_p11_key *k,
			   const struct hf_sign_job *job, struct input *in, struct hf_err *e)
{
	size_t field = (k->pub->bits + 7) / 8;

	memset(&in->mechanism, 0, sizeof(in->mechanism));
	switch (k->pub->family) {
	case HF_FAMILY_RSA:
		return rsa_input(t, k, job, in, e);
	case HF_FAMILY_EC:
		in->mechanism.mechanism = CKM_ECDSA;
		/* FIPS 186-4 6.4: the leftmost bits. Not every token cuts by itself. */
		in->data = (struct hf_view){ job->digest,
					     job->digest_len < field ? job->digest_len : field };
		in->answer = 2 * field;
		return HF_OK;
	case HF_FAMILY_ED25519:
		in->mechanism.mechanism = CKM_EDDSA;
		in->data = job->message;
		in->answer = 64;
		return HF_OK;
	}
	return no_scheme(job, e);
}

/* r and s, of equal length, to an ECDSA-Sig-Value. */
static CK_RV take_ecdsa(const struct hf_p11_answer *a, struct hf_sign_job *job)
{
	HF_AUTO_BUF der = HF_BUF(HF_SIGNATURE_MAX);
	size_t half = a->n / 2;

	if (!a->n || a->n % 2)
		return HF_P11_RV_LIED;
	hf_der_put_ecdsa(&der, (struct hf_view){ a->bytes, half },
			 (struct hf_view){ a->bytes + half, half });
	if (der.bad)
		return HF_P11_RV_LIED;
	memcpy(job->sig, der.p, der.n);
	job->sig_len = der.n;
	return CKR_OK;
}

static CK_RV take(const struct hf_p11_answer *a, const struct hf_p11_key *k,
		  struct hf_sign_job *job, size_t n)
{
	if (k->pub->family == HF_FAMILY_EC)
		return take_ecdsa(a, job);
	if (!a->n || (k->pub->family == HF_FAMILY_ED25519 && a->n != n))
		return HF_P11_RV_LIED;
	/* As long as the modulus; some chips drop leading zeros. */
	memset(job->sig, 0, n - a->n);
	memcpy(job->sig + n - a->n, a->bytes, a->n);
	job->sig_len = n;
	return CKR_OK;
}

static enum hf_rc sign(struct hf_p11 *t, void *arg, struct hf_err *e)
{
	struct hf_sign_job *job = arg;
	struct hf_p11_answer answer;
	struct hf_p11_key *k;
	struct input in;
	enum hf_rc rc;
	CK_RV rv;

	rc = hf_p11_key_get(t, job->key, &k, e);
	if (!rc)
		rc = fits(k, job, e);
	if (!rc)
		rc = input_of(t, k, job, &in, e);
	if (rc)
		return rc;
	if (!job->pub)
		job->pub = hf_public_ref(k->pub);
	rv = t->f->C_SignInit(t->session, &in.mechanism, k->handle);
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "start to sign");
	rc = k->pin_each_time ? hf_p11_login(t, CKU_CONTEXT_SPECIFIC, e) : HF_OK;
	if (rc)
		return rc;
	hf_p11_answer_begin(&answer, in.answer);
	if (!in.data.n) /* Ed25519 signs it, and a module wants to be told where it is */
		in.data.p = in.bytes;
	rv = t->f->C_Sign(t->session, (CK_BYTE *)(uintptr_t)in.data.p, (CK_ULONG)in.data.n,
			  answer.bytes, &answer.n);
	rv = hf_p11_answer_end(&answer, in.answer, rv);
	if (rv == CKR_OK)
		rv = take(&answer, k, job, in.answer);
	return rv == CKR_OK ? HF_OK : hf_p11_fail(t, rv, e, "sign");
}

/* Nothing to begin with: a module has no half of a call. */
enum hf_rc hf_p11_sign_start(struct hf_backend *b, struct hf_sign_job *job, struct hf_err *e)
{
	(void)b;
	(void)job;
	(void)e;
	return HF_OK;
}

enum hf_rc hf_p11_sign_finish(struct hf_backend *b, struct hf_sign_job *job, struct hf_err *e)
{
	return hf_p11_run((struct hf_p11 *)b, "sign", sign, job, e);
}
