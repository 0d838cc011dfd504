/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpm2_session.h: a salted HMAC session with parameter encryption (TPM 2.0 Library,
 * part 1, sections 19 and 21): what goes over the bus cannot be read or changed there,
 * provided that the salt went to the right TPM: the caller has compared the Name of the
 * primary with the pinned one. SHA-256 and AES-128-CFB throughout; all authorisation
 * values of ours are empty.
 */
#ifndef HF_KEEPER_TPM2_SESSION_H
#define HF_KEEPER_TPM2_SESSION_H

#include "keeper/tpm2_cmd.h"

#define HF_TPM2_HASH	 32u
#define HF_TPM2_AUTH_ONE (4 + 2 + HF_TPM2_HASH + 1 + 2 + HF_TPM2_HASH)
#define HF_TPM2_AUTH_TWO (4 + 2 + 1 + 2) /* of a policy session that has no key: nothing in it */
#define HF_TPM2_AUTH_MAX (4 + HF_TPM2_AUTH_ONE + HF_TPM2_AUTH_TWO)

struct hf_tpm2_link;

struct hf_tpm2_session {
	uint32_t handle;  /* 0: none */
	uint64_t used_at; /* hf_now_ms() */
	uint8_t key[HF_TPM2_HASH];
	uint8_t nonce_tpm[HF_TPM2_HASH], nonce_caller[HF_TPM2_HASH];
	uint8_t name[HF_TPM2_NAME]; /* of the object whose use it authorises: the first */
};

/*
 * Salts to the loaded P-256 key @handle with Name @name and point @x, @y (32 bytes each).
 * A TSS2_RC, 0 is success. On failure the session is empty.
 */
uint32_t hf_tpm2_session_start(struct hf_tpm2_session *s, struct hf_tpm2_link *link,
			       uint32_t handle, const uint8_t *name, const uint8_t *x,
			       const uint8_t *y);

/* Encrypts the first parameter in place and writes the authorisation area; for tpm2_link.c. */
bool hf_tpm2_session_command(struct hf_tpm2_session *s, struct hf_tpm2_cmd *c, uint8_t *area,
			     unsigned *area_n);
/* Checks the HMAC, then decrypts the first parameter in place. False: forged or damaged. */
bool hf_tpm2_session_response(struct hf_tpm2_session *s, const struct hf_tpm2_command_info *info,
			      struct hf_view params, struct hf_rd area);

/* Begins a policy session, unsalted: nothing is encrypted in it. *@handle is the caller's. */
uint32_t hf_tpm2_session_policy(struct hf_tpm2_link *link, uint32_t *handle);

/* Wipes it here; the TPM's half is the caller's to flush. */
void hf_tpm2_session_forget(struct hf_tpm2_session *s);

#endif
