/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11_public.h: public keys between PKCS#11 attributes and SubjectPublicKeyInfo. Pure;
 * what comes from a token is checked like anything that comes from a stranger.
 */
#ifndef HF_KEEPER_PKCS11_PUBLIC_H
#define HF_KEEPER_PKCS11_PUBLIC_H

#include <p11-kit/pkcs11.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/mech.h"

/* CKA_EC_PARAMS of an algorithm: its OID. n == 0: it has none. */
struct hf_view hf_p11_ec_params(const struct hf_algorithm *a);
/* The other way of writing edwards25519 (PKCS#11 3.0, 6.3.5): its name. */
struct hf_view hf_p11_ed25519_name(void);

/* Appends the DER SubjectPublicKeyInfo. HF_CORRUPT, HF_REFUSED (weak). */
enum hf_rc hf_p11_rsa_spki(struct hf_view modulus, struct hf_view exponent, struct hf_buf *out,
			   struct hf_err *e);
/* @params: CKA_EC_PARAMS. @point: CKA_EC_POINT, bare or in an OCTET STRING: both are met. */
enum hf_rc hf_p11_ec_spki(struct hf_view params, struct hf_view point, struct hf_buf *out,
			  struct hf_err *e);

#endif
