/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The primary key of the owner hierarchy: parent of every key, and what sessions are
 * salted to. Its Name says which TPM this is. It may lie at a persistent handle (then the
 * owner authorisation is never needed again) or is made anew from the TPM's seed.
 */
#include <stdio.h>
#include <string.h>

#include "keeper/tpm2.h"
#include "keeper/tpm2_caps.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_public.h"

#define PERSISTENT(t) ((t)->primary_handle >> 24 == TPM2_HT_PERSISTENT)

static uint32_t take_public(struct hf_view in, struct hf_tpm2_primary *out, bool *ours)
{
	struct hf_tpm2_public p;

	*ours = false;
	memset(out, 0, sizeof(*out));
	if (hf_tpm2_public_read(in, &p, NULL) || !hf_tpm2_is_primary(&p))
		return 0;
	*ours = true;
	memcpy(out->name, p.name, sizeof(out->name));
	if (in.n + 2 > sizeof(out->pub))
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	hf_be16(out->pub, (uint16_t)in.n);
	memcpy(out->pub + 2, in.p, in.n);
	out->pub_n = in.n + 2;
	memcpy(out->x + 32 - p.x.n, p.x.p, p.x.n);
	memcpy(out->y + 32 - p.y.n, p.y.p, p.y.n);
	return 0;
}

/* *@ours is false if something else lies there; HANDLE comes back if nothing does. */
static uint32_t read_persistent(struct hf_tpm2 *t, struct hf_tpm2_primary *out, bool *ours)
{
	struct hf_view pub, name;
	uint32_t rc;

	*ours = false;
	rc = hf_tpm2_read_public(t, t->primary_handle, &pub, &name);
	if (rc)
		return rc;
	rc = take_public(pub, out, ours);
	if (*ours && (name.n != sizeof(out->name) || memcmp(name.p, out->name, name.n)))
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	out->handle = t->primary_handle;
	out->persistent = true;
	return rc;
}

uint32_t hf_tpm2_primary_make(struct hf_tpm2 *t, uint32_t hierarchy, struct hf_tpm2_primary *out)
{
	struct hf_tpm2_cmd template;
	struct hf_view pub;
	uint32_t handle, rc;
	bool ours;

	memset(out, 0, sizeof(*out));
	hf_tpm2_cmd_init(&template, TPM2_CC_CreatePrimary, 0, 0);
	hf_tpm2_template_primary(&template);
	rc = hf_tpm2_create_primary(t, hierarchy, &template, &handle, &pub);
	if (rc)
		return rc;
	rc = take_public(pub, out, &ours);
	out->handle = handle;
	if (!rc && !ours)
		rc = TSS2_TCTI_RC_MALFORMED_RESPONSE;
	if (rc)
		(void)hf_tpm2_flush(t, handle);
	return rc;
}

static bool same(const struct hf_tpm2_primary *p, const uint8_t *name)
{
	return !memcmp(p->name, name, HF_TPM2_NAME);
}

static enum hf_rc wrong(struct hf_tpm2 *t, const struct hf_tpm2_primary *found, struct hf_err *e)
{
	char want[2 * HF_TPM2_NAME + 1], have[2 * HF_TPM2_NAME + 1];

	t->code = 0;
	(void)snprintf(
		t->wrong, sizeof(t->wrong),
		"this is another TPM, or it was cleared: its primary key is %.24s..., keys here "
		"were made under %.24s...; put the right TPM back, or, to make new keys in this "
		"one, remove the token's file in tokens/ of the state directory and restart "
		"holdfastd",
		hf_hex(have, sizeof(have), found->name, HF_TPM2_NAME),
		hf_hex(want, sizeof(want), t->pin, HF_TPM2_NAME));
	return hf_fail(e, HF_GONE, "%s", t->wrong);
}

/* Keeps what was made: in a saved context, so that it takes no slot while it is not needed. */
static enum hf_rc keep(struct hf_tpm2 *t, struct hf_tpm2_primary *made, struct hf_err *e)
{
	uint32_t code = hf_tpm2_save(t, made->handle, &made->saved);

	(void)hf_tpm2_flush(t, made->handle);
	made->handle = 0;
	if (code)
		return hf_tpm2_fail(t, code, e, "save the primary key");
	t->primary = *made;
	return HF_OK;
}

static enum hf_rc settle(struct hf_tpm2 *t, struct hf_tpm2_primary *lying, bool ours,
			 struct hf_err *e)
{
	struct hf_tpm2_primary made;
	uint32_t code;

	if (ours && t->pinned && same(lying, t->pin)) {
		t->primary = *lying;
		return HF_OK;
	}
	code = hf_tpm2_primary_make(t, TPM2_RH_OWNER, &made);
	if (code && hf_tpm2_code_is_auth(code) && ours && !t->pinned) {
		/*
		 * First contact with a TPM whose owner has set a password, and with a key of our
		 * template at our handle: somebody provisioned it. From now on its Name counts.
		 */
		t->primary = *lying;
		return HF_OK;
	}
	if (code && hf_tpm2_code_is_auth(code))
		return hf_tpm2_fail(
			t, code, e,
			"make the primary key: the TPM's owner password is set; clear it while "
			"`holdfast token provision` runs (tpm2_changeauth -c owner -p OLD)");
	if (code)
		return hf_tpm2_fail(t, code, e, "make the primary key");
	if (t->pinned && !same(&made, t->pin)) {
		(void)hf_tpm2_flush(t, made.handle);
		return wrong(t, &made, e);
	}
	if (ours && same(lying, made.name)) {
		(void)hf_tpm2_flush(t, made.handle);
		t->primary = *lying;
		return HF_OK;
	}
	return keep(t, &made, e);
}

enum hf_rc hf_tpm2_primary_find(struct hf_tpm2 *t, struct hf_err *e)
{
	struct hf_tpm2_primary lying;
	uint32_t code = 0;
	bool ours = false;
	enum hf_rc rc;

	memset(&lying, 0, sizeof(lying));
	if (PERSISTENT(t))
		code = read_persistent(t, &lying, &ours);
	if (code && hf_tpm2_code_base(code) != TPM2_RC_HANDLE)
		return hf_tpm2_fail(t, code, e, "look for the primary key");
	rc = settle(t, &lying, ours, e);
	if (rc)
		return rc;
	t->primary.known = true;
	memcpy(t->pin, t->primary.name, sizeof(t->pin));
	t->pinned =
		true; /* a TPM exchanged under us is noticed, also before the broker has a pin */
	return HF_OK;
}

enum hf_rc hf_tpm2_primary_get(struct hf_tpm2 *t, uint32_t *handle, struct hf_err *e)
{
	struct hf_tpm2_primary *p = &t->primary;

	if (!p->handle) {
		uint32_t code = hf_tpm2_restore(t, &p->saved, &p->handle);

		/* Whatever the TPM has against it: contexts die with a reset. Make it anew. */
		if (code && hf_tpm2_meaning(code)->class == HF_TPM2_FINAL)
			code = TPM2_RC_REFERENCE_H0;
		if (code)
			return hf_tpm2_fail(t, code, e, "load the primary key");
	}
	*handle = p->handle;
	return HF_OK;
}

void hf_tpm2_primary_put(struct hf_tpm2 *t)
{
	struct hf_tpm2_primary *p = &t->primary;

	if (!p->handle || p->persistent)
		return;
	(void)hf_tpm2_flush(t, p->handle);
	p->handle = 0;
}

enum hf_rc hf_tpm2_primary_persist(struct hf_tpm2 *t, void *arg, struct hf_err *e)
{
	struct hf_tpm2_cmd c;
	uint32_t handle, code;
	enum hf_rc rc;

	(void)arg;
	if (t->primary.persistent)
		return HF_OK;
	if (!PERSISTENT(t))
		return hf_fail(e, HF_ARGUMENT,
			       "primary_handle 0x%08x is not a persistent handle; use "
			       "0x81000000 to 0x817fffff",
			       t->primary_handle);
	rc = hf_tpm2_room(t, 2, e);
	if (!rc)
		rc = hf_tpm2_primary_get(t, &handle, e);
	if (rc)
		return rc;
	hf_tpm2_cmd_init(&c, TPM2_CC_EvictControl, TPM2_RH_OWNER, handle);
	hf_tpm2_put32(&c, t->primary_handle);
	code = hf_tpm2_call(&t->link, &c, NULL, NULL);
	hf_tpm2_primary_put(t);
	if (code && hf_tpm2_code_is_auth(code))
		return hf_tpm2_fail(t, code, e,
				    "make the primary key persistent: the TPM's owner password "
				    "is set; clear it for this (tpm2_changeauth -c owner -p OLD)");
	if (code && hf_tpm2_code_base(code) == TPM2_RC_NV_DEFINED) {
		t->code = 0;
		return hf_fail(e, HF_EXISTS,
			       "persistent handle 0x%08x holds another object; choose another "
			       "primary_handle, or remove it with tpm2_evictcontrol",
			       t->primary_handle);
	}
	if (code)
		return hf_tpm2_fail(t, code, e, "make the primary key persistent");
	hf_tpm2_saved_free(&t->primary.saved);
	t->primary.persistent = true;
	t->primary.handle = t->primary_handle;
	return HF_OK;
}
