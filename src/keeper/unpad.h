/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpad.h: what RSA decryption leaves, without telling by time where it was wrong
 * (Bleichenbacher 1998, Manger 2001): for tokens that only do the bare operation.
 */
#ifndef HF_KEEPER_UNPAD_H
#define HF_KEEPER_UNPAD_H

#include <stdbool.h>

#include "base/buf.h"
#include "wire/mech.h"

/*
 * EME-OAEP (RFC 8017 7.1.2), MGF1 with the same hash. @out has room for @n bytes. False: the
 * padding is wrong, or libcrypto failed.
 */
bool hf_unpad_oaep(const uint8_t *em, size_t n, const struct hf_exchange *x, struct hf_view label,
		   uint8_t *out, size_t *out_n);

/* EME-PKCS1-v1_5 (7.2.2). False: the padding is wrong. */
bool hf_unpad_pkcs1(const uint8_t *em, size_t n, uint8_t *out, size_t *out_n);

/*
 * RFC 5246 7.4.7.1: @out is the premaster secret if the padding and its version (one of two;
 * @negotiated may be 0) are right, else @random. Nothing tells which.
 */
void hf_unpad_tls(const uint8_t *em, size_t n, uint32_t client, uint32_t negotiated,
		  const uint8_t random[static HF_TLS_PREMASTER],
		  uint8_t out[static HF_TLS_PREMASTER]);

#endif
