/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpm2_parent.h: below which key of the TPM a key file lies: the owner's primary key, as ours do,
 * or what another program has used: a persistent key, or the endorsement hierarchy's primary.
 */
#ifndef HF_KEEPER_TPM2_PARENT_H
#define HF_KEEPER_TPM2_PARENT_H

#include "keeper/keyfile.h"
#include "keeper/tpm2.h"

struct hf_tpm2_parent {
	uint32_t handle;
	uint8_t name[HF_TPM2_NAME];
	enum { HF_TPM2_PARENT_OURS, HF_TPM2_PARENT_LYING, HF_TPM2_PARENT_MADE } kind;
};

/* True: @number is another way to say 0x40000001. */
bool hf_tpm2_parent_is_ours(const struct hf_tpm2 *t, uint32_t number);

/*
 * Brings in what @file (NULL: one of ours) says is its parent, and compares its Name if the file
 * tells one; make room before. HF_UNSUPPORTED, HF_GONE. Give it back with _put.
 */
enum hf_rc hf_tpm2_parent_get(struct hf_tpm2 *t, const struct hf_keyfile *file,
			      struct hf_tpm2_parent *out, struct hf_err *e);
void hf_tpm2_parent_put(struct hf_tpm2 *t, const struct hf_tpm2_parent *p);

#endif
