/* SPDX-License-Identifier: Apache-2.0 */
/* mech.h: PKCS#11's mechanisms and what they are called on the wire: one table. */
#ifndef HF_P11_MECH_H
#define HF_P11_MECH_H

#include "p11/p11.h"
#include "wire/mech.h"

struct hf_p11_mech {
	ck_mechanism_type_t type;
	enum hf_family family;
	enum hf_padding pad;
	size_t hash_len; /* 0: the caller hands in a digest (RSA_PKCS: a DigestInfo), or EdDSA's
			    message */
	ck_flags_t flags;
};

extern const struct hf_p11_mech hf_p11_mechs[]; /* ends with flags == 0 */

/* NULL if we do not have it. */
const struct hf_p11_mech *hf_p11_mech(ck_mechanism_type_t type);

/* What a key can do, for CKA_ALLOWED_MECHANISMS. */
bool hf_p11_mech_fits(const struct hf_p11_mech *m, enum hf_family family, uint32_t usage);

/* Length of the digest of CKM_SHA_1, CKM_SHA256...; 0 for others. OpenSSL's name of a length. */
size_t hf_p11_hash_len(ck_mechanism_type_t hash);
const char *hf_p11_hash_name(size_t len);

/* CKG_MGF1_ of a digest of that length; 0 for none. */
ck_rsa_pkcs_mgf_type_t hf_p11_mgf(size_t len);

#endif
