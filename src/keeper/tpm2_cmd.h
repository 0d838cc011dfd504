/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpm2_cmd.h: TPM 2.0 commands as bytes (TPM 2.0 Library, part 1 section 18): built
 * by appending, read with the cursor of base/rd.h.
 *
 * Not ESAPI: its 3.2.1 makes a new OSSL_LIB_CTX for every hash (2 to 3 ms for a
 * command in a session, 0.35 ms for a Load), reads replies with parsers that had
 * eleven advisories since, and is unusable after one I/O error. We send
 * twenty-one commands; they fit a table, and the table is what the TPM ever hears from us.
 */
#ifndef HF_KEEPER_TPM2_CMD_H
#define HF_KEEPER_TPM2_CMD_H

#include <tss2/tss2_tpm2_types.h>

#include "base/rd.h"

#define HF_TPM2_BUFFER 4096u /* of a command or a response: what chips have */
#define HF_TPM2_NAME   34u   /* bytes of a Name with SHA-256 */

#define HF_TPM2_ALIVE_MS 1500u /* whoever waits for a software TPM is told within 2 s */

struct hf_tpm2_command_info {
	uint32_t code;
	const char *name;
	uint8_t handles;    /* in the command's handle area */
	uint8_t auths;	    /* of them, need an authorisation */
	uint8_t out_handle; /* in the response's handle area */
	unsigned timeout_ms; /* 0: what is asked to see whether it lives; see the link's alive_ms */
};

/* NULL: not in the table, so it is not sent. */
const struct hf_tpm2_command_info *hf_tpm2_command_find(uint32_t code);

struct hf_tpm2_cmd {
	const struct hf_tpm2_command_info *info;
	uint32_t handle[2];
	/* Of commands with two authorisations, in a session: what authorises handle[1]. */
	const uint8_t *name1;
	uint32_t policy1;
	uint8_t p[HF_TPM2_BUFFER - 256]; /* parameters */
	size_t n;
	bool bad; /* sticky: too long */
};

/* Unused handles are ignored. */
void hf_tpm2_cmd_init(struct hf_tpm2_cmd *c, uint32_t code, uint32_t handle0, uint32_t handle1);
void hf_tpm2_put8(struct hf_tpm2_cmd *c, uint8_t v);
void hf_tpm2_put16(struct hf_tpm2_cmd *c, uint16_t v);
void hf_tpm2_put32(struct hf_tpm2_cmd *c, uint32_t v);
void hf_tpm2_put(struct hf_tpm2_cmd *c, const void *p, size_t n);
void hf_tpm2_put2b(struct hf_tpm2_cmd *c, const void *p, size_t n); /* with its 16-bit size */

#endif
