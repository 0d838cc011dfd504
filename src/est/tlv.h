/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tlv.h: BER, element by element, for the shells of messages: what is inside (a certificate,
 * a name) is libcrypto's. Pure; no recursion over what a stranger has nested, beyond a bound.
 */
#ifndef HF_EST_TLV_H
#define HF_EST_TLV_H

#include <stdbool.h>

#include "base/buf.h"

#define HF_TLV_INTEGER	  0x02
#define HF_TLV_BITS	  0x03
#define HF_TLV_OCTETS	  0x04
#define HF_TLV_OID	  0x06
#define HF_TLV_BOOLEAN	  0x01
#define HF_TLV_SEQUENCE	  0x30
#define HF_TLV_SET	  0x31
#define HF_TLV_CONTEXT(n) (0xa0 | (n))

struct hf_tlv {
	uint8_t tag; /* first octet; high tag numbers are refused */
	struct hf_view all, body;
};

/*
 * Takes one element off the front of @in. False at its end and when it is malformed: tell
 * the two apart by in->n. An indefinite length (BER; EJBCA and BouncyCastle send it) is
 * followed over at most 8 levels.
 */
bool hf_tlv_next(struct hf_view *in, struct hf_tlv *out);

/* The same, but the element has to have this tag. */
bool hf_tlv_want(struct hf_view *in, uint8_t tag, struct hf_tlv *out);

/* Is this the object identifier whose encoded body is @n bytes at @oid? */
bool hf_tlv_is_oid(const struct hf_tlv *t, const void *oid, size_t n);
#define HF_TLV_IS(t, oid) hf_tlv_is_oid((t), (oid), sizeof(oid) - 1)

#endif
