/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attested.h: what `holdfast key attest` writes, and whether it is true. No TPM and no broker: this
 * runs at who wants to know. Everything in the file may come from an enemy; json and libcrypto
 * aside, it is pure.
 */
#ifndef HF_CLI_ATTESTED_H
#define HF_CLI_ATTESTED_H

#include <json-c/json.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/err.h"

#define HF_ATTESTED_VERSION "holdfast-1"
#define HF_ATTESTED_MAX	    65536u /* bytes of the file */
#define HF_TPM_NAME	    34u	   /* bytes of a Name with SHA-256 */

/* Its members in base64; the last three are TPM2B_PUBLIC. */
enum hf_attested_part {
	HF_ATTESTED_SPKI,
	HF_ATTESTED_STATEMENT,
	HF_ATTESTED_SIGNATURE,
	HF_ATTESTED_CREATION_DATA,
	HF_ATTESTED_KEY,
	HF_ATTESTED_AK,
	HF_ATTESTED_EK,
	HF_ATTESTED_PARTS
};
extern const char *const hf_attested_names[HF_ATTESTED_PARTS];

struct hf_attested {
	char name[64]; /* of the key, as the device calls it: nothing vouches for it */
	struct hf_buf part[HF_ATTESTED_PARTS], nonce;
	X509 *ek_certificate; /* NULL: the TPM has none */
	/* after hf_attested_verify() */
	uint8_t key_name[HF_TPM_NAME], ak_name[HF_TPM_NAME], ek_name[HF_TPM_NAME];
};

void hf_attested_init(struct hf_attested *a);
void hf_attested_finish(struct hf_attested *a);

/* HF_CORRUPT: it is no such file. */
enum hf_rc hf_attested_read(struct hf_attested *a, struct hf_view text, struct hf_err *e);

/*
 * HF_OK if the holder of ak_public, provided that it is a TPM, has stated that it made the key
 * of the SPKI itself and keeps it, when asked with @a->nonce; and if ek_certificate is that of
 * ek_public. HF_FAILED, and what is not so. That both are in one TPM is for an activation to show.
 */
enum hf_rc hf_attested_verify(struct hf_attested *a, struct hf_err *e);

#endif
