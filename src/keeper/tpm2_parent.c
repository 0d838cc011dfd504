/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/tpm2_parent.h"

#include <string.h>

#include "keeper/tpm2_caps.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_public.h"

#define STORAGE (TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_USERWITHAUTH)

bool hf_tpm2_parent_is_ours(const struct hf_tpm2 *t, uint32_t number)
{
	return number == HF_TPM2_OWNER_PARENT ||
	       (t->primary.persistent && number == t->primary_handle);
}

static enum hf_rc ours(struct hf_tpm2 *t, struct hf_tpm2_parent *out, struct hf_err *e)
{
	out->kind = HF_TPM2_PARENT_OURS;
	memcpy(out->name, t->primary.name, sizeof(out->name));
	return hf_tpm2_primary_get(t, &out->handle, e);
}

static enum hf_rc lying(struct hf_tpm2 *t, uint32_t number, struct hf_tpm2_parent *out,
			struct hf_err *e)
{
	struct hf_view pub = { NULL, 0 }, name = { NULL, 0 };
	struct hf_tpm2_public p;
	uint32_t code = hf_tpm2_read_public(t, number, &pub, &name);

	if (code && hf_tpm2_code_base(code) == TPM2_RC_HANDLE) {
		t->code = 0; /* nothing that we had is lost */
		if (number == t->primary_handle)
			return ours(t, out, e); /* evicted since; made anew it is the same */
		return hf_fail(e, HF_GONE,
			       "its parent is the persistent key 0x%08x, and this TPM has none: it "
			       "was removed, or the key is of another TPM",
			       number);
	}
	if (code)
		return hf_tpm2_fail(t, code, e, "look at the key's parent");
	if (hf_tpm2_public_read(pub, &p, NULL) || name.n != sizeof(p.name) ||
	    memcmp(name.p, p.name, name.n) || p.restricted_to_policy ||
	    (p.attributes & STORAGE) != STORAGE)
		return hf_fail(e, HF_UNSUPPORTED,
			       "its parent, the persistent key 0x%08x, is not a storage key that "
			       "can be used without a policy",
			       number);
	out->kind = HF_TPM2_PARENT_LYING;
	out->handle = number;
	memcpy(out->name, p.name, sizeof(out->name));
	return HF_OK;
}

static enum hf_rc made(struct hf_tpm2 *t, uint32_t hierarchy, struct hf_tpm2_parent *out,
		       struct hf_err *e)
{
	struct hf_tpm2_primary p;
	uint32_t code = hf_tpm2_primary_make(t, hierarchy, &p);

	if (code)
		return hf_tpm2_fail(t, code, e, "make the key's parent");
	out->kind = HF_TPM2_PARENT_MADE;
	out->handle = p.handle;
	memcpy(out->name, p.name, sizeof(out->name));
	return HF_OK;
}

/* As the draft has it: a TPM Name; some put its size in front. */
static enum hf_rc check_name(struct hf_view told, const struct hf_tpm2_parent *p, struct hf_err *e)
{
	if (told.n == HF_TPM2_NAME + 2u && told.p[0] == 0 && told.p[1] == HF_TPM2_NAME)
		told = (struct hf_view){ told.p + 2, told.n - 2 };
	if (!told.n || (told.n == HF_TPM2_NAME && !memcmp(told.p, p->name, told.n)))
		return HF_OK;
	return hf_fail(e, HF_GONE,
		       "its parent is not the key that lies there now: its Name is another one");
}

static enum hf_rc find(struct hf_tpm2 *t, const struct hf_keyfile *file, struct hf_tpm2_parent *out,
		       struct hf_err *e)
{
	uint32_t number = file ? file->parent : HF_TPM2_OWNER_PARENT;
	bool permanent = number >> 24 == TPM2_HT_PERMANENT;

	if (permanent && file && file->rsa_parent)
		return hf_fail(e, HF_UNSUPPORTED,
			       "its parent is an RSA primary key, which would have to be made anew "
			       "each time; make it persistent (tpm2_evictcontrol) and write the "
			       "file with that handle as parent (tpm2_encodeobject)");
	if (hf_tpm2_parent_is_ours(t, number))
		return ours(t, out, e);
	if (number >> 24 == TPM2_HT_PERSISTENT)
		return lying(t, number, out, e);
	if (number == TPM2_RH_ENDORSEMENT)
		return made(t, number, out, e);
	return hf_fail(
		e, HF_UNSUPPORTED,
		"its parent is 0x%08x%s; holdfast uses keys below the owner's primary key "
		"(0x40000001), the endorsement hierarchy's, or a persistent key (0x81......)",
		number,
		number == TPM2_RH_NULL	     ? ", the null hierarchy, whose keys die with a reset"
		: number == TPM2_RH_PLATFORM ? ", the platform hierarchy, which the firmware keeps"
					     : "");
}

enum hf_rc hf_tpm2_parent_get(struct hf_tpm2 *t, const struct hf_keyfile *file,
			      struct hf_tpm2_parent *out, struct hf_err *e)
{
	enum hf_rc rc;

	memset(out, 0, sizeof(*out));
	rc = find(t, file, out, e);
	if (!rc && file) {
		rc = check_name(file->parent_name, out, e);
		if (rc)
			hf_tpm2_parent_put(t, out);
	}
	return rc;
}

void hf_tpm2_parent_put(struct hf_tpm2 *t, const struct hf_tpm2_parent *p)
{
	if (p->kind == HF_TPM2_PARENT_OURS)
		hf_tpm2_primary_put(t);
	else if (p->kind == HF_TPM2_PARENT_MADE)
		(void)hf_tpm2_flush(t, p->handle);
}
