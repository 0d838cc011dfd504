/* SPDX-License-Identifier: Apache-2.0 */
/* pss.h: EMSA-PSS (RFC 8017, 9.1.1) for tokens whose own padding is not what the world expects. */
#ifndef HF_KEEPER_PSS_H
#define HF_KEEPER_PSS_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#include "wire/mech.h"

/*
 * @em gets @n bytes, as long as the modulus of @bits bits; salt as long as the digest,
 * MGF1 with the same hash. False: the modulus is too short, or libcrypto failed.
 */
bool hf_pss_encode(uint8_t *em, size_t n, unsigned bits, const struct hf_scheme *scheme,
		   const uint8_t *digest);

/* MGF1 (B.2.1) of @seed, xored onto @p. False: libcrypto failed. @seed may be long. */
bool hf_mgf1(uint8_t *p, size_t n, const char *hash, size_t hash_len, const uint8_t *seed,
	     size_t seed_n);

#endif
