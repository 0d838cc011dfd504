/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/tpm2_endorse.h"

#include <string.h>

#include "keeper/tpm2_caps.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_public.h"

/* TCG EK Credential Profile, 2.2.1.4: where the certificates of L-1 and L-2 are. */
#define NV_RSA 0x01c00002u
#define NV_ECC 0x01c0000au

#define CERT_MAX  4096u
#define CHUNK_MAX 512u

/* The hierarchy's password is only ever empty with us. */
static enum hf_rc fail(struct hf_tpm2 *t, uint32_t code, const char *what, struct hf_err *e)
{
	uint32_t base = hf_tpm2_code_base(code);

	if (hf_tpm2_code_is_auth(code))
		return hf_fail(
			e, HF_REFUSED,
			"%s: the TPM's endorsement hierarchy has a password, which holdfast "
			"does not know; take it away (tpm2_changeauth -c endorsement -p OLD)",
			what);
	if (base == TPM2_RC_HIERARCHY)
		return hf_fail(e, HF_REFUSED,
			       "%s: the TPM's endorsement hierarchy is disabled; see the firmware "
			       "setup",
			       what);
	return hf_tpm2_fail(t, code, e, what);
}

static enum hf_rc make(struct hf_tpm2 *t, const struct hf_tpm2_cmd *template, const char *what,
		       struct hf_tpm2_endorsed *out, struct hf_err *e)
{
	struct hf_tpm2_public p;
	struct hf_view pub;
	uint32_t code;

	memset(out, 0, sizeof(*out));
	code = hf_tpm2_create_primary(t, TPM2_RH_ENDORSEMENT, template, &out->handle, &pub);
	if (code)
		return fail(t, code, what, e);
	if (pub.n + 2 > sizeof(out->pub) || !hf_tpm2_is_made_from(pub, template) ||
	    hf_tpm2_public_read(pub, &p, NULL)) {
		(void)hf_tpm2_flush(t, out->handle);
		return hf_tpm2_fail(t, TSS2_TCTI_RC_MALFORMED_RESPONSE, e, what);
	}
	hf_be16(out->pub, (uint16_t)pub.n);
	memcpy(out->pub + 2, pub.p, pub.n);
	out->pub_n = pub.n + 2;
	memcpy(out->name, p.name, sizeof(out->name));
	return HF_OK;
}

enum hf_rc hf_tpm2_ak_make(struct hf_tpm2 *t, struct hf_tpm2_endorsed *out, struct hf_err *e)
{
	struct hf_tpm2_cmd template;

	hf_tpm2_cmd_init(&template, TPM2_CC_CreatePrimary, 0, 0);
	hf_tpm2_template_ak(&template);
	return make(t, &template, "make the attestation key", out, e);
}

/* ---- the certificate */

/* Size and attributes of an NV index; *@size is 0 if there is nothing in it. A TSS2_RC. */
static uint32_t nv_look(struct hf_tpm2 *t, uint32_t index, uint32_t *attributes, size_t *size)
{
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;
	struct hf_view v;
	struct hf_rd r;
	uint32_t code;
	bool same;

	*size = 0;
	hf_tpm2_cmd_init(&c, TPM2_CC_NV_ReadPublic, index, 0);
	code = hf_tpm2_call(&t->link, &c, &rsp, NULL);
	if (code)
		return hf_tpm2_code_base(code) == TPM2_RC_HANDLE ? 0 : code;
	v = hf_rd_2b(&rsp.params);
	r = (struct hf_rd){ v.p, v.n, !v.p };
	same = hf_rd32(&r) == index;
	(void)hf_rd16(&r); /* nameAlg */
	*attributes = hf_rd32(&r);
	(void)hf_rd_2b(&r); /* authPolicy */
	*size = hf_rd16(&r);
	(void)hf_rd_2b(&rsp.params); /* Name */
	if (!same || !hf_rd_end(&r) || !hf_rd_end(&rsp.params))
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	if (!(*attributes & TPMA_NV_WRITTEN) || *size > CERT_MAX)
		*size = 0;
	return 0;
}

static uint32_t nv_read(struct hf_tpm2 *t, uint32_t index, size_t size, uint32_t attributes,
			struct hf_buf *out)
{
	/* The index's own password is tried, as an empty one, only where a wrong one is not counted
	 * towards the lockout; else the owner's has to be empty. */
	const uint32_t own = TPMA_NV_AUTHREAD | TPMA_NV_NO_DA;
	uint32_t who = (attributes & own) == own ? index : TPM2_RH_OWNER, code;
	size_t at, n;

	for (at = 0; at < size; at += n) {
		struct hf_tpm2_rsp rsp;
		struct hf_tpm2_cmd c;
		struct hf_view v;

		n = size - at < CHUNK_MAX ? size - at : CHUNK_MAX;
		hf_tpm2_cmd_init(&c, TPM2_CC_NV_Read, who, index);
		hf_tpm2_put16(&c, (uint16_t)n);
		hf_tpm2_put16(&c, (uint16_t)at);
		code = hf_tpm2_call(&t->link, &c, &rsp, NULL);
		if (code)
			return code;
		v = hf_rd_2b(&rsp.params);
		if (!hf_rd_end(&rsp.params) || v.n != n)
			return TSS2_TCTI_RC_MALFORMED_RESPONSE;
		hf_buf_add(out, v.p, v.n);
	}
	return 0;
}

/* Some makers fill the rest of the index up: the outermost SEQUENCE tells where the end is. */
static size_t der_length(const struct hf_buf *b)
{
	size_t n = b->n >= 4 ? 4u + (size_t)(b->p[2] << 8 | b->p[3]) : 0;

	return n && b->p[0] == 0x30 && b->p[1] == 0x82 && n <= b->n ? n : 0;
}

/* What cannot be read, or is no certificate, is as good as none; only a broken TPM is an error. */
static enum hf_rc read_certificate(struct hf_tpm2 *t, uint32_t index, struct hf_buf *out,
				   struct hf_err *e)
{
	HF_AUTO_BUF all = HF_BUF(CERT_MAX);
	uint32_t attributes = 0, code;
	size_t size;

	code = nv_look(t, index, &attributes, &size);
	if (!code && size)
		code = nv_read(t, index, size, attributes, &all);
	if (code && hf_tpm2_meaning(code)->class != HF_TPM2_FINAL)
		return hf_tpm2_fail(t, code, e, "read the certificate of the endorsement key");
	if (!code && !all.bad)
		hf_buf_add(out, all.p, der_length(&all));
	return HF_OK;
}

enum hf_rc hf_tpm2_ek_make(struct hf_tpm2 *t, struct hf_tpm2_endorsed *out, struct hf_buf *cert,
			   struct hf_err *e)
{
	struct hf_tpm2_cmd template;
	bool rsa = false;
	enum hf_rc rc;

	rc = read_certificate(t, NV_ECC, cert, e);
	if (!rc && !cert->n) {
		rc = read_certificate(t, NV_RSA, cert, e);
		rsa = cert->n;
	}
	if (rc)
		return rc;
	hf_tpm2_cmd_init(&template, TPM2_CC_CreatePrimary, 0, 0);
	hf_tpm2_template_ek(&template, rsa);
	return make(t, &template, "make the endorsement key", out, e);
}

/* ---- the policy of L-1 and L-2 */

enum hf_rc hf_tpm2_ek_policy(struct hf_tpm2 *t, uint32_t *session, struct hf_err *e)
{
	struct hf_tpm2_cmd c;
	uint32_t code = hf_tpm2_session_policy(&t->link, session);

	if (code)
		return hf_tpm2_fail(t, code, e, "begin a policy session");
	hf_tpm2_cmd_init(&c, TPM2_CC_PolicySecret, TPM2_RH_ENDORSEMENT, *session);
	hf_tpm2_put16(&c, 0); /* nonceTPM: not bound to this session */
	hf_tpm2_put16(&c, 0); /* cpHashA: for any command */
	hf_tpm2_put16(&c, 0); /* policyRef */
	hf_tpm2_put32(&c, 0); /* expiration: none */
	code = hf_tpm2_call(&t->link, &c, NULL, NULL);
	if (!code)
		return HF_OK;
	(void)hf_tpm2_flush(t, *session);
	return fail(t, code, "use the endorsement key", e);
}
