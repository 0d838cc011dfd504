/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the TPM says of itself to somebody far away: that it has made a key (TPM2_CertifyCreation),
 * and that attestation key and EK are in one TPM (TPM2_ActivateCredential).
 * docs/guides/attestation.md has the whole; TPM 2.0 Library, part 1, 24 and 31.
 */
#include <string.h>

#include "keeper/der.h"
#include "keeper/tpm2.h"
#include "keeper/tpm2_caps.h"
#include "keeper/tpm2_endorse.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_ops.h"
#include "keeper/tpm2_public.h"

#define GENERATED                                                                                  \
	0xff544347u /* TPM_GENERATED_VALUE: a restricted key signs nothing else with it            \
		     */

struct attest {
	const hf_KeeperAttest *req;
	struct hf_view data; /* TPMS_CREATION_DATA */
	uint8_t hash[32];    /* of it */
	hf_Attestation *out;
};

static enum hf_rc read_evidence(struct attest *a, struct hf_err *e)
{
	const hf_KeeperAttest *req = a->req;
	struct hf_rd r = { req->creation_data.bytes, req->creation_data.size, false };

	a->data = hf_rd_2b(&r);
	if (!hf_rd_end(&r) || !a->data.n || !req->creation_ticket.size)
		return hf_fail(e, HF_CORRUPT,
			       "what the TPM said when it made the key was not recorded, or is "
			       "damaged, and cannot be had again; make a new key");
	return hf_hash("SHA2-256", a->data, a->hash, e);
}

/* TPMT_SIGNATURE of ECDSA with SHA-256, by @ak over @statement. */
static bool signature_good(struct hf_view ak, struct hf_view statement, struct hf_view signature)
{
	HF_AUTO_BUF spki = HF_BUF(256);
	HF_AUTO_BUF der = HF_BUF(128);
	struct hf_rd r = { signature.p, signature.n, false };
	const struct hf_scheme *scheme = hf_scheme_find("ecdsa-sha256");
	bool known = hf_rd16(&r) == TPM2_ALG_ECDSA && hf_rd16(&r) == TPM2_ALG_SHA256;
	struct hf_view x = hf_rd_2b(&r), y = hf_rd_2b(&r);
	struct hf_public *pub = NULL;
	struct hf_tpm2_public p;
	uint8_t digest[32];
	bool good;

	if (!known || !hf_rd_end(&r) || !x.n || !y.n || x.n > 32 || y.n > 32)
		return false;
	hf_der_put_ecdsa(&der, x, y);
	good = !der.bad && !hf_tpm2_public_read(ak, &p, NULL) &&
	       !hf_tpm2_public_spki(&p, &spki, NULL) &&
	       !hf_public_new(&pub, HF_VIEW_BUF(&spki), NULL) &&
	       !hf_hash("SHA2-256", statement, digest, NULL) &&
	       !hf_public_verify(pub, scheme, (struct hf_view){ digest, sizeof(digest) },
				 HF_VIEW_BUF(&der), NULL);
	hf_public_free(pub);
	return good;
}

static bool is(struct hf_view v, const void *p, size_t n)
{
	return v.p && v.n == n && !memcmp(v.p, p, n);
}

/* TPMS_ATTEST (part 2, 10.12.12): of this creation, for this nonce. */
static bool statement_good(const struct attest *a, const uint8_t *name, struct hf_view statement)
{
	struct hf_rd r = { statement.p, statement.n, false };
	bool ok = hf_rd32(&r) == GENERATED && hf_rd16(&r) == TPM2_ST_ATTEST_CREATION;

	(void)hf_rd_2b(&r); /* qualifiedSigner */
	ok = ok && is(hf_rd_2b(&r), a->req->nonce.bytes, a->req->nonce.size);
	(void)hf_rd_bytes(&r, 8 + 4 + 4 + 1); /* clockInfo */
	(void)hf_rd_bytes(&r, 8);	      /* firmwareVersion */
	ok = ok && is(hf_rd_2b(&r), name, HF_TPM2_NAME) &&
	     is(hf_rd_2b(&r), a->hash, sizeof(a->hash));
	return ok && hf_rd_end(&r);
}

static uint32_t call_certify(struct hf_tpm2 *t, const struct attest *a, uint32_t ak, uint32_t key,
			     struct hf_tpm2_rsp *rsp)
{
	struct hf_tpm2_cmd c;

	hf_tpm2_cmd_init(&c, TPM2_CC_CertifyCreation, ak, key);
	hf_tpm2_put2b(&c, a->req->nonce.bytes, a->req->nonce.size);
	hf_tpm2_put2b(&c, a->hash, sizeof(a->hash));
	hf_tpm2_put16(&c, TPM2_ALG_NULL); /* the scheme that the key has */
	hf_tpm2_put(&c, a->req->creation_ticket.bytes, a->req->creation_ticket.size);
	return hf_tpm2_call(&t->link, &c, rsp, NULL);
}

/* No secret travels, so there is no session; what comes is checked as a verifier would. */
static enum hf_rc certify(struct hf_tpm2 *t, struct attest *a, const struct hf_tpm2_key *k,
			  struct hf_err *e)
{
	struct hf_tpm2_endorsed ak;
	struct hf_view statement, signature;
	struct hf_tpm2_rsp rsp;
	uint32_t code;
	bool good;

	if (hf_tpm2_room(t, 1, e) || hf_tpm2_ak_make(t, &ak, e))
		return e->rc;
	code = call_certify(t, a, ak.handle, k->handle, &rsp);
	statement = hf_rd_2b(&rsp.params);
	signature = hf_rd_bytes(&rsp.params, rsp.params.n);
	good = !code && statement.p && signature.p && statement_good(a, k->name, statement) &&
	       signature_good((struct hf_view){ ak.pub + 2, ak.pub_n - 2 }, statement, signature) &&
	       HF_PB_SET(a->out->statement, statement.p, statement.n) &&
	       HF_PB_SET(a->out->signature, signature.p, signature.n) &&
	       HF_PB_SET(a->out->ak_public, ak.pub, ak.pub_n);
	(void)hf_tpm2_flush(t, ak.handle);
	if (code)
		return hf_tpm2_fail(t, code, e, "certify the key's creation");
	return good ? HF_OK
		    : hf_fail(e, HF_FAILED,
			      "the TPM's statement does not verify; it was thrown away");
}

static enum hf_rc add_ek(struct hf_tpm2 *t, hf_Attestation *out, struct hf_err *e)
{
	HF_AUTO_BUF cert = HF_BUF(sizeof(out->ek_certificate.bytes));
	struct hf_tpm2_endorsed ek;

	if (hf_tpm2_room(t, 1, e) || hf_tpm2_ek_make(t, &ek, &cert, e))
		return e->rc;
	(void)hf_tpm2_flush(t, ek.handle);
	if (!HF_PB_SET(out->ek_public, ek.pub, ek.pub_n) ||
	    !HF_PB_SET(out->ek_certificate, cert.p, cert.n))
		return hf_fail(e, HF_FAILED, "the endorsement key is too long");
	return HF_OK;
}

/* The public area as the TPM was given it, out of the key's file. */
static enum hf_rc add_public(const struct attest *a, struct hf_err *e)
{
	HF_AUTO_BUF der = HF_BUF(HF_KEYFILE_MAX);
	const hf_KeeperKey *key = &a->req->key;
	struct hf_keyfile file;

	if (hf_keyfile_decode((struct hf_view){ key->blob.bytes, key->blob.size }, &der, &file, e))
		return e->rc;
	return HF_PB_SET(a->out->key_public, file.pub.p, file.pub.n)
		       ? HF_OK
		       : hf_fail(e, HF_CORRUPT, "the key's public area is too long");
}

static enum hf_rc attest_once(struct hf_tpm2 *t, void *arg, struct hf_err *e)
{
	struct attest *a = arg;
	struct hf_tpm2_key *k;
	enum hf_rc rc = hf_tpm2_key_get(t, &a->req->key, &k, e);

	/* The key was used last, so it is not the one that makes room for the others. */
	if (!rc)
		rc = certify(t, a, k, e);
	return rc ? rc : add_ek(t, a->out, e);
}

enum hf_rc hf_tpm2_attest(struct hf_backend *b, const hf_KeeperAttest *req, hf_Attestation *out,
			  struct hf_err *e)
{
	struct attest a = { .req = req, .out = out };

	if (read_evidence(&a, e) || add_public(&a, e))
		return e->rc;
	(void)HF_PB_SET(out->creation_data, req->creation_data.bytes, req->creation_data.size);
	return hf_tpm2_run((struct hf_tpm2 *)b, "attest", attest_once, &a, e);
}

/* ---- activation */

struct activate {
	const hf_KeeperActivate *req;
	hf_KeeperSecret *out;
};

static bool is_2b(const uint8_t *p, size_t n)
{
	struct hf_rd r = { p, n, false };

	return hf_rd_2b(&r).n && hf_rd_end(&r);
}

static enum hf_rc call_activate(struct hf_tpm2 *t, const struct activate *a,
				const struct hf_tpm2_endorsed *ak,
				const struct hf_tpm2_endorsed *ek, struct hf_err *e)
{
	struct hf_view secret;
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;
	uint32_t session, code;
	bool ok;

	if (hf_tpm2_ek_policy(t, &session, e))
		return e->rc;
	hf_tpm2_cmd_init(&c, TPM2_CC_ActivateCredential, ak->handle, ek->handle);
	hf_tpm2_put(&c, a->req->credential.bytes, a->req->credential.size);
	hf_tpm2_put(&c, a->req->seed.bytes, a->req->seed.size);
	c.name1 = ek->name;
	c.policy1 = session;
	code = hf_tpm2_call_secret(t, &c, ak->name, &rsp);
	secret = hf_rd_2b(&rsp.params);
	ok = !code && hf_rd_end(&rsp.params) && secret.n &&
	     HF_PB_SET(a->out->data, secret.p, secret.n);
	if (ok)
		explicit_bzero((uint8_t *)(uintptr_t)secret.p, secret.n); /* in the link's buffer */
	if (code)
		(void)hf_tpm2_flush(t, session);
	if (code && hf_tpm2_meaning(code)->class == HF_TPM2_FINAL && code != HF_TPM2_RC_FORGED)
		return hf_fail(e, HF_REFUSED,
			       "the credential was made for other keys than those of this TPM, or "
			       "is damaged (0x%x)",
			       code);
	if (code)
		return hf_tpm2_fail(t, code, e, "activate the credential");
	return ok ? HF_OK
		  : hf_tpm2_fail(t, TSS2_TCTI_RC_MALFORMED_RESPONSE, e, "activate the credential");
}

/* Three slots: two keys, and the primary for as long as a session is begun with it. */
static enum hf_rc activate_once(struct hf_tpm2 *t, void *arg, struct hf_err *e)
{
	HF_AUTO_BUF cert = HF_BUF(sizeof(((hf_Attestation *)0)->ek_certificate.bytes));
	const struct activate *a = arg;
	struct hf_tpm2_endorsed ak, ek;
	enum hf_rc rc = hf_tpm2_room(t, 3, e);

	if (!rc)
		rc = hf_tpm2_ek_make(t, &ek, &cert, e);
	if (rc)
		return rc;
	rc = hf_tpm2_ak_make(t, &ak, e);
	if (!rc) {
		rc = call_activate(t, a, &ak, &ek, e);
		(void)hf_tpm2_flush(t, ak.handle);
	}
	(void)hf_tpm2_flush(t, ek.handle);
	return rc;
}

enum hf_rc hf_tpm2_activate(struct hf_backend *b, const hf_KeeperActivate *req,
			    hf_KeeperSecret *out, struct hf_err *e)
{
	struct activate a = { req, out };

	if (!is_2b(req->credential.bytes, req->credential.size) ||
	    !is_2b(req->seed.bytes, req->seed.size))
		return hf_fail(e, HF_ARGUMENT, "this is no credential of TPM2_MakeCredential");
	return hf_tpm2_run((struct hf_tpm2 *)b, "activate", activate_once, &a, e);
}
