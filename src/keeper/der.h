/* SPDX-License-Identifier: Apache-2.0 */
/*
 * der.h: reading DER without believing it (X.690 section 10 and 11).
 *
 * libcrypto reads BER where it can and keeps the bytes of a Name as they came; a
 * second reader may understand such bytes differently. What a ca key signs goes
 * through hf_der_strict() first, so that there is one reading.
 */
#ifndef HF_KEEPER_DER_H
#define HF_KEEPER_DER_H

#include <stdbool.h>

#include "base/buf.h"

enum hf_der_tag {
	HF_DER_BOOLEAN = 0x01,
	HF_DER_INTEGER = 0x02,
	HF_DER_BIT_STRING = 0x03,
	HF_DER_OCTET_STRING = 0x04,
	HF_DER_NULL = 0x05,
	HF_DER_OID = 0x06,
	HF_DER_UTC_TIME = 0x17,
	HF_DER_GENERALIZED_TIME = 0x18,
	HF_DER_SEQUENCE = 0x30,
	HF_DER_SET = 0x31,
	HF_DER_CONTEXT = 0xa0, /* constructed [0]; add the number */
};

struct hf_der {
	uint8_t tag;
	struct hf_view whole, body; /* with and without tag and length */
};

/* Takes the next value off @in. False: @in is empty or malformed, and left as it is. */
bool hf_der_next(struct hf_view *in, struct hf_der *out);

/* As hf_der_next, if the tag is @tag; *@body is its contents. */
bool hf_der_take(struct hf_view *in, enum hf_der_tag tag, struct hf_view *body);

/* @in is exactly one value, and DER down to every leaf. */
bool hf_der_strict(struct hf_view in);

/* Appends one value. */
void hf_der_put(struct hf_buf *out, uint8_t tag, const void *p, size_t n);
/* An ECDSA-Sig-Value (RFC 3279 2.2.3) of two unsigned numbers of 1 to 66 bytes. */
void hf_der_put_ecdsa(struct hf_buf *out, struct hf_view r, struct hf_view s);

#endif
