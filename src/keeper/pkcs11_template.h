/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11_template.h: what a new object shall be, as a list of attributes. Values are borrowed. */
#ifndef HF_KEEPER_PKCS11_TEMPLATE_H
#define HF_KEEPER_PKCS11_TEMPLATE_H

#include <p11-kit/pkcs11.h>

#include "base/buf.h"
#include "wire/mech.h"

#define HF_P11_ID_SIZE 16

/* What both halves of a new key have in common. */
struct hf_p11_names {
	CK_BYTE id[HF_P11_ID_SIZE];
	char label[64];
};

struct hf_p11_template {
	CK_ATTRIBUTE rows[16];
	CK_ULONG n;
};

/*
 * @id is the broker's, who then knows what to destroy if we die over it; of another length, a
 * random one. What hangs on the public key is known too late. False: no random numbers.
 */
bool hf_p11_names_make(struct hf_p11_names *names, const char *label, struct hf_view id);

void hf_p11_add(struct hf_p11_template *t, CK_ATTRIBUTE_TYPE type, const void *p, size_t n);
void hf_p11_add_flag(struct hf_p11_template *t, CK_ATTRIBUTE_TYPE type, bool value);
/* CKA_TOKEN, CKA_ID, CKA_LABEL. */
void hf_p11_add_names(struct hf_p11_template *t, const struct hf_p11_names *names);
/*
 * A private key that stays in the token, for the usages HF_USAGE_*. @all: other uses are
 * ruled out by name. What is not said is true for some tokens; others refuse to be told.
 */
void hf_p11_add_private(struct hf_p11_template *t, const struct hf_p11_names *names, uint32_t usage,
			bool all);

#endif
