/* SPDX-License-Identifier: Apache-2.0 */
#include "p11/mech.h"

#include <string.h>

#include "base/buf.h"
#include "wire/packet.h"

#define SIGNS  (CKF_HW | CKF_SIGN | CKF_VERIFY)
#define CURVES (CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS)

const struct hf_p11_mech hf_p11_mechs[] = {
	{ CKM_RSA_PKCS, HF_FAMILY_RSA, HF_PAD_PKCS1, 0, SIGNS | CKF_DECRYPT },
	{ CKM_SHA256_RSA_PKCS, HF_FAMILY_RSA, HF_PAD_PKCS1, 32, SIGNS },
	{ CKM_SHA384_RSA_PKCS, HF_FAMILY_RSA, HF_PAD_PKCS1, 48, SIGNS },
	{ CKM_SHA512_RSA_PKCS, HF_FAMILY_RSA, HF_PAD_PKCS1, 64, SIGNS },
	{ CKM_RSA_PKCS_PSS, HF_FAMILY_RSA, HF_PAD_PSS, 0, SIGNS },
	{ CKM_SHA256_RSA_PKCS_PSS, HF_FAMILY_RSA, HF_PAD_PSS, 32, SIGNS },
	{ CKM_SHA384_RSA_PKCS_PSS, HF_FAMILY_RSA, HF_PAD_PSS, 48, SIGNS },
	{ CKM_SHA512_RSA_PKCS_PSS, HF_FAMILY_RSA, HF_PAD_PSS, 64, SIGNS },
	{ CKM_RSA_PKCS_OAEP, HF_FAMILY_RSA, HF_PAD_OAEP, 0, CKF_HW | CKF_DECRYPT },
	{ CKM_ECDSA, HF_FAMILY_EC, HF_PAD_NONE, 0, SIGNS | CURVES },
	{ CKM_ECDSA_SHA256, HF_FAMILY_EC, HF_PAD_NONE, 32, SIGNS | CURVES },
	{ CKM_ECDSA_SHA384, HF_FAMILY_EC, HF_PAD_NONE, 48, SIGNS | CURVES },
	{ CKM_ECDSA_SHA512, HF_FAMILY_EC, HF_PAD_NONE, 64, SIGNS | CURVES },
	{ CKM_ECDH1_DERIVE, HF_FAMILY_EC, HF_PAD_NONE, 0, CKF_HW | CKF_DERIVE | CURVES },
	{ CKM_EDDSA, HF_FAMILY_ED25519, HF_PAD_NONE, 0, SIGNS },
	{ 0, HF_FAMILY_RSA, HF_PAD_NONE, 0, 0 },
};

const struct hf_p11_mech *hf_p11_mech(ck_mechanism_type_t type)
{
	const struct hf_p11_mech *m;

	for (m = hf_p11_mechs; m->flags; m++)
		if (m->type == type)
			return m;
	return NULL;
}

bool hf_p11_mech_fits(const struct hf_p11_mech *m, enum hf_family family, uint32_t usage)
{
	if (m->family != family)
		return false;
	if (usage & HF_USAGE_CA) /* signs what it can read, never a digest */
		return (m->flags & CKF_SIGN) && (m->hash_len || family == HF_FAMILY_ED25519);
	return ((usage & HF_USAGE_SIGN) && (m->flags & CKF_SIGN)) ||
	       ((usage & HF_USAGE_DECRYPT) && (m->flags & CKF_DECRYPT)) ||
	       ((usage & HF_USAGE_DERIVE) && (m->flags & CKF_DERIVE));
}

static const struct {
	ck_mechanism_type_t type;
	ck_rsa_pkcs_mgf_type_t mgf;
	size_t len;
	const char *name;
} hashes[] = {
	{ CKM_SHA_1, CKG_MGF1_SHA1, 20, "SHA1" },
	{ CKM_SHA256, CKG_MGF1_SHA256, 32, "SHA2-256" },
	{ CKM_SHA384, CKG_MGF1_SHA384, 48, "SHA2-384" },
	{ CKM_SHA512, CKG_MGF1_SHA512, 64, "SHA2-512" },
};

size_t hf_p11_hash_len(ck_mechanism_type_t hash)
{
	size_t i;

	for (i = 0; i < HF_COUNT(hashes); i++)
		if (hashes[i].type == hash)
			return hashes[i].len;
	return 0;
}

const char *hf_p11_hash_name(size_t len)
{
	size_t i;

	for (i = 0; i < HF_COUNT(hashes); i++)
		if (hashes[i].len == len)
			return hashes[i].name;
	return NULL;
}

ck_rsa_pkcs_mgf_type_t hf_p11_mgf(size_t len)
{
	size_t i;

	for (i = 0; i < HF_COUNT(hashes); i++)
		if (hashes[i].len == len)
			return hashes[i].mgf;
	return 0;
}
