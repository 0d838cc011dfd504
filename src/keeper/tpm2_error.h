/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpm2_error.h: what a response code means for us. One table; nobody else looks at
 * response codes. Pure.
 */
#ifndef HF_KEEPER_TPM2_ERROR_H
#define HF_KEEPER_TPM2_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum hf_tpm2_class {
	HF_TPM2_FINAL,	  /* the answer will not change: report it */
	HF_TPM2_RETRY,	  /* the same again after a pause, a bounded number of times */
	HF_TPM2_ROOM,	  /* flush what we hold, then once more */
	HF_TPM2_RELOAD,	  /* what we loaded is gone: forget it, load, once more */
	HF_TPM2_RESTART,  /* the connection or the TPM began anew: reopen, once more */
	HF_TPM2_DEGRADED, /* the TPM does not work until somebody acts; probe again next time */
	HF_TPM2_LOCKOUT,  /* dictionary attack protection: never repeated, time is told */
};

struct hf_tpm2_meaning {
	enum hf_tpm2_class class;
	enum hf_rc rc;
	const char *text; /* what happened and what to do */
};

/* Ours, among the TCTI's codes: the answer's HMAC is wrong. */
#define HF_TPM2_RC_FORGED 0x000a00ffu

/* TSS2_RC of the TPM, a resource manager or a TCTI. Never NULL, for any value. */
const struct hf_tpm2_meaning *hf_tpm2_meaning(uint32_t code);

/* Which parameter, handle or session a TPM code blames is dropped: 0x1df -> 0x09f. */
uint32_t hf_tpm2_code_base(uint32_t code);
/* The password, which with us is always empty, was not the right one. */
bool hf_tpm2_code_is_auth(uint32_t code);

#endif
