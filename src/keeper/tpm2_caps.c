/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at the TPM and moving objects in and out of it: thin, each answers with a TSS2_RC. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/tpm2.h"
#include "keeper/tpm2_caps.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_public.h"

#define SLOTS_MIN 3u /* every profile of the TPM 2.0 specification promises 3 */
#define SLOTS_MAX 16u
/* The first handles of their kinds; tss2's own macros shift a signed 1 out at the top. */
#define TRANSIENT      0x80000000u
#define LOADED_SESSION 0x02000000u
#define LEFTOVERS_MAX  64u
#define SAVED_MAX      3072u

static uint32_t capability(struct hf_tpm2 *t, uint32_t cap, uint32_t property, uint32_t count,
			   struct hf_rd *out)
{
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;
	uint32_t rc;

	hf_tpm2_cmd_init(&c, TPM2_CC_GetCapability, 0, 0);
	hf_tpm2_put32(&c, cap);
	hf_tpm2_put32(&c, property);
	hf_tpm2_put32(&c, count);
	rc = hf_tpm2_call(&t->link, &c, &rsp, NULL);
	if (rc)
		return rc;
	(void)hf_rd8(&rsp.params); /* moreData */
	if (hf_rd32(&rsp.params) != cap || rsp.params.bad)
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	*out = rsp.params;
	return 0;
}

uint32_t hf_tpm2_property(struct hf_tpm2 *t, uint32_t property, uint32_t *value)
{
	struct hf_rd r;
	uint32_t rc = capability(t, TPM2_CAP_TPM_PROPERTIES, property, 1, &r);

	*value = 0;
	if (rc)
		return rc;
	/* A TPM without it answers with the next one, or none. */
	if (hf_rd32(&r) == 1 && hf_rd32(&r) == property)
		*value = hf_rd32(&r);
	return r.bad ? TSS2_TCTI_RC_MALFORMED_RESPONSE : 0;
}

static void text_of(char out[5], uint32_t value)
{
	size_t i, n = 0;

	for (i = 0; i < 4; i++) {
		char c = (char)(value >> (24 - 8 * i));

		if (c > ' ' && c < 0x7f)
			out[n++] = c;
	}
	out[n] = '\0';
}

uint32_t hf_tpm2_describe(struct hf_tpm2 *t)
{
	uint32_t maker, v1, v2, least, available, rc;
	char name[5];

	if ((rc = hf_tpm2_property(t, TPM2_PT_MANUFACTURER, &maker)) ||
	    (rc = hf_tpm2_property(t, TPM2_PT_FIRMWARE_VERSION_1, &v1)) ||
	    (rc = hf_tpm2_property(t, TPM2_PT_FIRMWARE_VERSION_2, &v2)) ||
	    (rc = hf_tpm2_property(t, TPM2_PT_HR_TRANSIENT_MIN, &least)) ||
	    (rc = hf_tpm2_property(t, TPM2_PT_HR_TRANSIENT_AVAIL, &available)))
		return rc;
	text_of(name, maker);
	(void)snprintf(t->description, sizeof(t->description), "TPM 2.0, %s, firmware %u.%u.%u.%u",
		       name[0] ? name : "maker unknown", v1 >> 16, v1 & 0xffff, v2 >> 16,
		       v2 & 0xffff);
	/* A resource manager has as many slots per client as the TPM promises, not as it has. */
	t->slots = t->shared || available < least ? least : available;
	if (t->slots < SLOTS_MIN)
		t->slots = SLOTS_MIN;
	if (t->slots > SLOTS_MAX)
		t->slots = SLOTS_MAX;
	return 0;
}

uint32_t hf_tpm2_find_algorithms(struct hf_tpm2 *t)
{
	const struct hf_algorithm *a;
	struct hf_tpm2_cmd c;
	uint32_t rc;

	for (a = hf_algorithms; a->name; a++) {
		size_t i = (size_t)(a - hf_algorithms);

		if (i >= HF_COUNT(t->has) || !hf_tpm2_possible(a))
			continue;
		hf_tpm2_cmd_init(&c, TPM2_CC_TestParms, 0, 0);
		hf_tpm2_template_parms(&c, a);
		rc = hf_tpm2_call(&t->link, &c, NULL, NULL);
		t->has[i] = !rc;
		/* Any answer of the TPM itself is a no; only a broken connection is an error. */
		if (rc && hf_tpm2_meaning(rc)->class == HF_TPM2_RESTART)
			return rc;
	}
	return 0;
}

static uint32_t flush_range(struct hf_tpm2 *t, uint32_t first)
{
	uint32_t handles[LEFTOVERS_MAX], count, i, rc;
	struct hf_rd r;

	rc = capability(t, TPM2_CAP_HANDLES, first, LEFTOVERS_MAX, &r);
	if (rc)
		return rc;
	count = hf_rd32(&r);
	if (r.bad || count > LEFTOVERS_MAX)
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	for (i = 0; i < count; i++)
		handles[i] = hf_rd32(&r);
	if (r.bad)
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	for (i = 0; i < count; i++)
		if (handles[i] >> 24 == first >> 24 || first == LOADED_SESSION)
			(void)hf_tpm2_flush(t, handles[i]);
	return 0;
}

uint32_t hf_tpm2_flush_leftovers(struct hf_tpm2 *t)
{
	uint32_t rc = flush_range(t, TRANSIENT);

	return rc ? rc : flush_range(t, LOADED_SESSION);
}

uint32_t hf_tpm2_startup(struct hf_tpm2 *t)
{
	struct hf_tpm2_cmd c;

	hf_tpm2_cmd_init(&c, TPM2_CC_Startup, 0, 0);
	hf_tpm2_put16(&c, TPM2_SU_CLEAR);
	return hf_tpm2_call(&t->link, &c, NULL, NULL);
}

uint32_t hf_tpm2_flush(struct hf_tpm2 *t, uint32_t handle)
{
	struct hf_tpm2_cmd c;

	hf_tpm2_cmd_init(&c, TPM2_CC_FlushContext, 0, 0);
	hf_tpm2_put32(&c, handle);
	return hf_tpm2_call(&t->link, &c, NULL, NULL);
}

uint32_t hf_tpm2_save(struct hf_tpm2 *t, uint32_t handle, struct hf_tpm2_saved *out)
{
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;
	uint32_t rc;

	hf_tpm2_saved_free(out);
	hf_tpm2_cmd_init(&c, TPM2_CC_ContextSave, handle, 0);
	rc = hf_tpm2_call(&t->link, &c, &rsp, NULL);
	if (rc)
		return rc;
	/* A TPMS_CONTEXT goes back as it came; only the TPM has to understand it. */
	if (rsp.params.n < 18 || rsp.params.n > SAVED_MAX)
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	out->p = malloc(rsp.params.n);
	if (!out->p)
		return TPM2_RC_MEMORY;
	memcpy(out->p, rsp.params.p, rsp.params.n);
	out->n = rsp.params.n;
	return 0;
}

uint32_t hf_tpm2_restore(struct hf_tpm2 *t, const struct hf_tpm2_saved *saved, uint32_t *handle)
{
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;
	uint32_t rc;

	hf_tpm2_cmd_init(&c, TPM2_CC_ContextLoad, 0, 0);
	hf_tpm2_put(&c, saved->p, saved->n);
	rc = hf_tpm2_call(&t->link, &c, &rsp, NULL);
	if (!rc && rsp.handle >> 24 != TPM2_HT_TRANSIENT)
		rc = TSS2_TCTI_RC_MALFORMED_RESPONSE;
	*handle = rc ? 0 : rsp.handle;
	return rc;
}

void hf_tpm2_saved_free(struct hf_tpm2_saved *s)
{
	free(s->p);
	*s = (struct hf_tpm2_saved){ NULL, 0 };
}

uint32_t hf_tpm2_create_primary(struct hf_tpm2 *t, uint32_t hierarchy,
				const struct hf_tpm2_cmd *template, uint32_t *handle,
				struct hf_view *pub)
{
	static const uint8_t sensitive[4] = { 0 }; /* empty userAuth, empty data */
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;
	uint32_t rc;

	*handle = 0;
	hf_tpm2_cmd_init(&c, TPM2_CC_CreatePrimary, hierarchy, 0);
	hf_tpm2_put2b(&c, sensitive, sizeof(sensitive));
	hf_tpm2_put2b(&c, template->p, template->n);
	hf_tpm2_put2b(&c, NULL, 0); /* outsideInfo */
	hf_tpm2_put32(&c, 0);	    /* creationPCR */
	rc = hf_tpm2_call(&t->link, &c, &rsp, NULL);
	if (rc)
		return rc;
	*pub = hf_rd_2b(&rsp.params);
	if (rsp.params.bad || rsp.handle >> 24 != TPM2_HT_TRANSIENT) {
		(void)hf_tpm2_flush(t, rsp.handle);
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	}
	*handle = rsp.handle;
	return 0;
}

uint32_t hf_tpm2_read_public(struct hf_tpm2 *t, uint32_t handle, struct hf_view *pub,
			     struct hf_view *name)
{
	struct hf_tpm2_rsp rsp;
	struct hf_tpm2_cmd c;
	uint32_t rc;

	hf_tpm2_cmd_init(&c, TPM2_CC_ReadPublic, handle, 0);
	rc = hf_tpm2_call(&t->link, &c, &rsp, NULL);
	if (rc)
		return rc;
	*pub = hf_rd_2b(&rsp.params);
	*name = hf_rd_2b(&rsp.params);
	(void)hf_rd_2b(&rsp.params); /* qualified name */
	return hf_rd_end(&rsp.params) ? 0 : TSS2_TCTI_RC_MALFORMED_RESPONSE;
}
