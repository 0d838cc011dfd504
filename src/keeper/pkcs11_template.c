/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/pkcs11_template.h"

#include <openssl/rand.h>
#include <string.h>

#include "wire/packet.h"

static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static const struct {
	CK_ATTRIBUTE_TYPE type;
	uint32_t usage;
} uses[] = {
	{ CKA_SIGN, HF_USAGE_SIGN | HF_USAGE_CA },
	{ CKA_DECRYPT, HF_USAGE_DECRYPT },
	{ CKA_DERIVE, HF_USAGE_DERIVE },
	{ CKA_UNWRAP, 0 },
	{ CKA_SIGN_RECOVER, 0 },
};

bool hf_p11_names_make(struct hf_p11_names *names, const char *label, struct hf_view id)
{
	(void)hf_copy(names->label, sizeof(names->label), label[0] ? label : "holdfast");
	if (id.n == sizeof(names->id)) {
		memcpy(names->id, id.p, id.n);
		return true;
	}
	return RAND_bytes(names->id, sizeof(names->id)) == 1;
}

void hf_p11_add(struct hf_p11_template *t, CK_ATTRIBUTE_TYPE type, const void *p, size_t n)
{
	t->rows[t->n++] = (CK_ATTRIBUTE){ type, (void *)(uintptr_t)p, (CK_ULONG)n };
}

void hf_p11_add_flag(struct hf_p11_template *t, CK_ATTRIBUTE_TYPE type, bool value)
{
	hf_p11_add(t, type, value ? &yes : &no, sizeof(yes));
}

void hf_p11_add_names(struct hf_p11_template *t, const struct hf_p11_names *names)
{
	hf_p11_add_flag(t, CKA_TOKEN, true);
	hf_p11_add(t, CKA_ID, names->id, sizeof(names->id));
	hf_p11_add(t, CKA_LABEL, names->label, strlen(names->label));
}

void hf_p11_add_private(struct hf_p11_template *t, const struct hf_p11_names *names, uint32_t usage,
			bool all)
{
	size_t i;

	hf_p11_add_names(t, names);
	hf_p11_add_flag(t, CKA_PRIVATE, true);
	hf_p11_add_flag(t, CKA_SENSITIVE, true);
	hf_p11_add_flag(t, CKA_EXTRACTABLE, false);
	for (i = 0; i < HF_COUNT(uses); i++) {
		bool wanted = uses[i].usage & usage;

		if (wanted || all)
			hf_p11_add_flag(t, uses[i].type, wanted);
	}
}
