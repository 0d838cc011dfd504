/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpm2_endorse.h: the keys of the endorsement hierarchy, which say which TPM this is: the EK,
 * for which its maker may have put a certificate into NV, and our attestation key (AK). Both are
 * made anew from the TPM's seed each time, always the same, so that there is nothing to keep.
 */
#ifndef HF_KEEPER_TPM2_ENDORSE_H
#define HF_KEEPER_TPM2_ENDORSE_H

#include "keeper/tpm2.h"

struct hf_tpm2_endorsed {
	uint32_t handle; /* transient: hf_tpm2_flush() is the caller's */
	uint8_t name[HF_TPM2_NAME];
	uint8_t pub[2 + 510]; /* TPM2B_PUBLIC */
	size_t pub_n;
};

/* Each takes a slot; make room before. HF_REFUSED if the endorsement hierarchy has a password. */
enum hf_rc hf_tpm2_ak_make(struct hf_tpm2 *t, struct hf_tpm2_endorsed *out, struct hf_err *e);
/*
 * The P-256 EK, unless the TPM has a certificate for the RSA one alone. The certificate is
 * appended to @cert: DER, as it lies in NV and no more than measured; nothing if there is none.
 */
enum hf_rc hf_tpm2_ek_make(struct hf_tpm2 *t, struct hf_tpm2_endorsed *out, struct hf_buf *cert,
			   struct hf_err *e);

/* A policy session in which the EK may be used once; flush it unless the command succeeded. */
enum hf_rc hf_tpm2_ek_policy(struct hf_tpm2 *t, uint32_t *session, struct hf_err *e);

#endif
