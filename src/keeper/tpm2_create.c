/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New keys. TPM2_Create runs in the salted session: nobody on the bus reads the
 * sensitive area or slips another public key into the answer.
 */
#include <string.h>

#include "keeper/keyfile.h"
#include "keeper/tpm2.h"
#include "keeper/tpm2_caps.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_ops.h"
#include "keeper/tpm2_public.h"

struct made {
	uint8_t pub[1024], priv[2048]; /* with their sizes in front */
	size_t pub_n, priv_n;
};

struct order {
	const struct hf_algorithm *algorithm;
	uint32_t usage;
	hf_KeeperCreated *out;
};

static uint32_t attributes_of(const struct hf_tpm2 *t, const struct order *o)
{
	uint32_t attributes = 0;

	if (o->usage & (HF_USAGE_SIGN | HF_USAGE_CA))
		attributes |= TPMA_OBJECT_SIGN_ENCRYPT;
	if (o->usage & (HF_USAGE_DECRYPT | HF_USAGE_DERIVE))
		attributes |= TPMA_OBJECT_DECRYPT;
	/* The raw private operation, see raw() in tpm2_sign.c. */
	if (o->algorithm->family == HF_FAMILY_RSA && t->pss == HF_TPM2_PSS_SOFTWARE)
		attributes |= TPMA_OBJECT_DECRYPT;
	return attributes;
}

static uint32_t call_create(struct hf_tpm2 *t, const struct order *o, struct hf_tpm2_rsp *rsp)
{
	static const uint8_t sensitive[4] = { 0 };
	struct hf_tpm2_cmd c, public;

	hf_tpm2_cmd_init(&public, TPM2_CC_Create, 0, 0);
	hf_tpm2_template_key(&public, o->algorithm, attributes_of(t, o));
	hf_tpm2_cmd_init(&c, TPM2_CC_Create, t->primary.handle, 0);
	hf_tpm2_put2b(&c, sensitive, sizeof(sensitive));
	hf_tpm2_put2b(&c, public.p, public.n);
	hf_tpm2_put2b(&c, NULL, 0); /* outsideInfo */
	hf_tpm2_put32(&c, 0);	    /* creationPCR */
	return hf_tpm2_call_secret(t, &c, t->primary.name, rsp);
}

static bool take(uint8_t *out, size_t size, size_t *n, struct hf_view v)
{
	if (!v.p || v.n + 2 > size)
		return false;
	memcpy(out, v.p - 2, v.n + 2); /* its size lies in front */
	*n = v.n + 2;
	return true;
}

static bool take_evidence(struct hf_rd *r, hf_KeeperCreated *out)
{
	struct hf_view data = hf_rd_2b(r), hash = hf_rd_2b(r), ticket;
	const uint8_t *start = r->p;

	(void)hf_rd16(r);
	(void)hf_rd32(r);
	(void)hf_rd_2b(r);
	if (!hf_rd_end(r))
		return false;
	ticket = (struct hf_view){ start, (size_t)(r->p - start) };
	return HF_PB_SET(out->creation_data, data.p - 2, data.n + 2) &&
	       HF_PB_SET(out->creation_hash, hash.p, hash.n) &&
	       HF_PB_SET(out->creation_ticket, ticket.p, ticket.n);
}

static enum hf_rc take_public(struct hf_tpm2 *t, const struct order *o, const struct made *m,
			      struct hf_err *e)
{
	HF_AUTO_BUF spki = HF_BUF(sizeof(o->out->spki.bytes));
	struct hf_tpm2_public pub;
	uint8_t hash[32];
	enum hf_rc rc;

	rc = hf_tpm2_public_read((struct hf_view){ m->pub + 2, m->pub_n - 2 }, &pub, e);
	if (!rc && !hf_tpm2_is_key(&pub, o->algorithm, attributes_of(t, o)))
		rc = hf_fail(e, HF_FAILED, "the TPM made another key than was asked for");
	if (!rc)
		rc = hf_tpm2_public_spki(&pub, &spki, e);
	if (!rc)
		rc = hf_hash("SHA2-256", HF_VIEW_BUF(&spki), hash, e);
	if (rc)
		return rc;
	(void)HF_PB_SET(o->out->spki, spki.p, spki.n);
	(void)HF_PB_SET(o->out->spki_sha256, hash, sizeof(hash));
	return HF_OK;
}

static enum hf_rc create_once(struct hf_tpm2 *t, const struct order *o, struct made *m,
			      struct hf_err *e)
{
	struct hf_tpm2_rsp rsp;
	uint32_t primary, code;
	enum hf_rc rc;
	bool ok;

	/* One for the primary key, one that the TPM itself needs for the new one. */
	rc = hf_tpm2_room(t, 2, e);
	if (!rc)
		rc = hf_tpm2_primary_get(t, &primary, e);
	if (rc)
		return rc;
	code = call_create(t, o, &rsp);
	ok = !code && take(m->priv, sizeof(m->priv), &m->priv_n, hf_rd_2b(&rsp.params)) &&
	     take(m->pub, sizeof(m->pub), &m->pub_n, hf_rd_2b(&rsp.params)) &&
	     take_evidence(&rsp.params, o->out);
	hf_tpm2_primary_put(t);
	if (code)
		return hf_tpm2_fail(t, code, e, "create the key");
	if (!ok)
		return hf_tpm2_fail(t, TSS2_TCTI_RC_MALFORMED_RESPONSE, e, "create the key");
	return take_public(t, o, m, e);
}

/* Does the chip salt PSS as everybody expects (as long as the digest)? The new key tells. */
static enum hf_rc probe_pss(struct hf_tpm2 *t, const struct order *o, const struct made *m,
			    struct hf_err *e)
{
	struct hf_keyfile file = { .parent = HF_TPM2_OWNER_PARENT,
				   .pub = { m->pub, m->pub_n },
				   .priv = { m->priv, m->priv_n } };
	struct hf_view digest = { o->out->spki_sha256.bytes, 32 };
	struct hf_sign_job job = { .scheme = hf_scheme_find("rsa-pss-sha256") };
	struct hf_public *pub;
	uint32_t handle, code;
	enum hf_rc rc;

	rc = hf_public_new(&pub, (struct hf_view){ o->out->spki.bytes, o->out->spki.size }, e);
	if (rc)
		return rc;
	rc = hf_tpm2_load(t, &file, &handle, e);
	if (!rc) {
		code = hf_tpm2_sign_send(t, handle, job.scheme, digest);
		rc = code ? hf_tpm2_fail(t, code, e, "try PSS")
			  : hf_tpm2_sign_receive(t, pub, &job, e);
		(void)hf_tpm2_flush(t, handle);
		if (!rc)
			t->pss = hf_public_verify(pub, job.scheme, digest,
						  (struct hf_view){ job.sig, job.sig_len }, NULL)
					 ? HF_TPM2_PSS_SOFTWARE
					 : HF_TPM2_PSS_CHIP;
		else if (hf_tpm2_meaning(t->code)->class == HF_TPM2_FINAL)
			t->pss = HF_TPM2_PSS_SOFTWARE, rc = HF_OK; /* it has no PSS at all */
	}
	hf_public_free(pub);
	return rc;
}

static enum hf_rc create_key(struct hf_tpm2 *t, void *arg, struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(HF_KEYFILE_MAX);
	struct order *o = arg;
	struct hf_keyfile file = { .parent = HF_TPM2_OWNER_PARENT };
	struct made m;
	enum hf_rc rc;

	if (!t->has[o->algorithm - hf_algorithms])
		return hf_fail(e, HF_UNSUPPORTED, "this TPM has no %s keys", o->algorithm->name);
	rc = create_once(t, o, &m, e);
	if (!rc && o->algorithm->family == HF_FAMILY_RSA &&
	    (o->usage & (HF_USAGE_SIGN | HF_USAGE_CA)) && t->pss == HF_TPM2_PSS_UNKNOWN) {
		rc = probe_pss(t, o, &m, e);
		if (!rc && t->pss == HF_TPM2_PSS_SOFTWARE)
			rc = create_once(t, o, &m, e);
	}
	file.pub = (struct hf_view){ m.pub, m.pub_n };
	file.priv = (struct hf_view){ m.priv, m.priv_n };
	if (!rc)
		rc = hf_keyfile_encode(&file, &pem, e);
	if (!rc && !HF_PB_SET(o->out->blob, pem.p, pem.n))
		rc = hf_fail(e, HF_FAILED, "the key file is too long");
	return rc;
}

enum hf_rc hf_tpm2_create(struct hf_backend *b, const hf_KeeperCreate *req, hf_KeeperCreated *out,
			  struct hf_err *e)
{
	struct order o = { hf_algorithm_find(req->algorithm), req->usage, out };
	enum hf_rc rc;

	if (!o.algorithm)
		return hf_fail(e, HF_UNSUPPORTED, "unknown algorithm %s", req->algorithm);
	if (!hf_tpm2_possible(o.algorithm))
		return hf_fail(e, HF_UNSUPPORTED, "no TPM makes %s keys", o.algorithm->name);
	rc = hf_tpm2_usage_fits(o.algorithm, o.usage, e);
	return rc ? rc : hf_tpm2_run((struct hf_tpm2 *)b, "create", create_key, &o, e);
}
