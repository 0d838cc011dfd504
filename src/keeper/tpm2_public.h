/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpm2_public.h: TPMT_PUBLIC (TPM 2.0 Library, part 2, section 12.2): the templates
 * from which we have keys made, and reading a public area into what libcrypto knows.
 * Pure but for libcrypto.
 */
#ifndef HF_KEEPER_TPM2_PUBLIC_H
#define HF_KEEPER_TPM2_PUBLIC_H

#include <openssl/evp.h>

#include "base/err.h"
#include "keeper/tpm2_cmd.h"
#include "wire/mech.h"

#define HF_TPM2_RSA_MAX 512u /* bytes of a modulus */

struct hf_tpm2_public {
	uint16_t type, name_alg;
	uint32_t attributes;
	bool restricted_to_policy;			    /* has an authPolicy */
	uint16_t symmetric, symmetric_bits, symmetric_mode; /* of storage keys; 0x10: none */
	uint16_t scheme, kdf;
	uint16_t rsa_bits, curve;
	uint32_t exponent;   /* 0 is 65537 */
	struct hf_view x, y; /* modulus in x for RSA */
	uint8_t name[HF_TPM2_NAME];
};

/* A whole TPMT_PUBLIC, without the size in front. Views point into @in. HF_CORRUPT. */
enum hf_rc hf_tpm2_public_read(struct hf_view in, struct hf_tpm2_public *out, struct hf_err *e);

/* DER SubjectPublicKeyInfo, appended to @out. HF_CORRUPT if it is not a sound key. */
enum hf_rc hf_tpm2_public_spki(const struct hf_tpm2_public *p, struct hf_buf *out,
			       struct hf_err *e);

/* Appends a TPMT_PUBLIC template. */
void hf_tpm2_template_primary(struct hf_tpm2_cmd *c);
void hf_tpm2_template_key(struct hf_tpm2_cmd *c, const struct hf_algorithm *a, uint32_t attributes);
/* Of the endorsement hierarchy: our attestation key, and the EK as its certificate has it. */
void hf_tpm2_template_ak(struct hf_tpm2_cmd *c);
void hf_tpm2_template_ek(struct hf_tpm2_cmd *c, bool rsa);
/* @pub (TPMT_PUBLIC) is what a TPM makes of such a template: all but the key itself is the same. */
bool hf_tpm2_is_made_from(struct hf_view pub, const struct hf_tpm2_cmd *template);
/* Appends TPMT_PUBLIC_PARMS, for TestParms. */
void hf_tpm2_template_parms(struct hf_tpm2_cmd *c, const struct hf_algorithm *a);

/* Made from hf_tpm2_template_primary(), or from the template of @a with these attributes. */
bool hf_tpm2_is_primary(const struct hf_tpm2_public *p);
bool hf_tpm2_is_key(const struct hf_tpm2_public *p, const struct hf_algorithm *a,
		    uint32_t attributes);

/* The same, whatever its attributes: a key that another program made. */
bool hf_tpm2_is_kind(const struct hf_tpm2_public *p, const struct hf_algorithm *a);

/* HF_ARGUMENT if a key of that algorithm in a TPM cannot be used so. */
enum hf_rc hf_tpm2_usage_fits(const struct hf_algorithm *a, uint32_t usage, struct hf_err *e);

/* False for what no TPM makes, e.g. ed25519. */
bool hf_tpm2_possible(const struct hf_algorithm *a);

#endif
