/* SPDX-License-Identifier: Apache-2.0 */
/* caext.h: the extensions and names of a certificate that a ca key is asked to sign. Pure. */
#ifndef HF_KEEPER_CAEXT_H
#define HF_KEEPER_CAEXT_H

#include <openssl/x509.h>

#include "base/err.h"
#include "wire/packet.h"

/* What one certificate claims to be. Values are libcrypto's: KU_*, XKU_* do not apply here. */
struct hf_ca_claims {
	bool constraints, constraints_critical; /* basicConstraints */
	bool ca, has_pathlen;
	long pathlen;
	bool usage, usage_critical; /* keyUsage */
	bool signs_certificates, signs_crls;
	bool signs_ocsp; /* extKeyUsage id-kp-OCSPSigning */
};

/*
 * Reads the extensions. HF_REFUSED for one that is malformed, comes twice, or is
 * critical and not known here: who verifies must understand what we signed.
 */
enum hf_rc hf_ca_claims(const X509 *x, struct hf_ca_claims *out, struct hf_err *e);

/* HF_REFUSED unless each CN and subjectAltName is well-formed and allowed by the profile. */
enum hf_rc hf_ca_names(const X509 *x, const hf_CaProfile *profile, struct hf_err *e);

/* '*' is any text, '?' any one character; ASCII case does not count. Linear in practice. */
bool hf_caext_glob(const char *pattern, const char *text, size_t n);

#endif
