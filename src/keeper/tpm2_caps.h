/* SPDX-License-Identifier: Apache-2.0 */
/* tpm2_caps.h: looking at the TPM, and moving objects in and out. Each answers with a TSS2_RC. */
#ifndef HF_KEEPER_TPM2_CAPS_H
#define HF_KEEPER_TPM2_CAPS_H

#include "keeper/tpm2.h"

/* 0 in *@value if the TPM has no such property. */
uint32_t hf_tpm2_property(struct hf_tpm2 *t, uint32_t property, uint32_t *value);
uint32_t hf_tpm2_describe(struct hf_tpm2 *t); /* description, slots */
uint32_t hf_tpm2_find_algorithms(struct hf_tpm2 *t);
uint32_t hf_tpm2_flush_leftovers(struct hf_tpm2 *t); /* of a predecessor that was killed */
uint32_t hf_tpm2_startup(struct hf_tpm2 *t);
uint32_t hf_tpm2_flush(struct hf_tpm2 *t, uint32_t handle);

/* The object stays loaded; *@out is released with hf_tpm2_saved_free(). */
uint32_t hf_tpm2_save(struct hf_tpm2 *t, uint32_t handle, struct hf_tpm2_saved *out);
uint32_t hf_tpm2_restore(struct hf_tpm2 *t, const struct hf_tpm2_saved *saved, uint32_t *handle);
void hf_tpm2_saved_free(struct hf_tpm2_saved *s);

/*
 * Makes a primary key from a template (TPMT_PUBLIC in @template); *@handle is the caller's to
 * flush, *@pub lies in the link's buffer. No authorisation, nothing from outside, no PCR.
 */
uint32_t hf_tpm2_create_primary(struct hf_tpm2 *t, uint32_t hierarchy,
				const struct hf_tpm2_cmd *template, uint32_t *handle,
				struct hf_view *pub);

/* The public area without its size, and the Name, of an object; both lie in the link's buffer. */
uint32_t hf_tpm2_read_public(struct hf_tpm2 *t, uint32_t handle, struct hf_view *pub,
			     struct hf_view *name);

#endif
