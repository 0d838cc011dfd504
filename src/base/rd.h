/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rd.h: reading what somebody else has marshalled, big endian as the TPM does it: a cursor
 * that turns bad at the first doubt and stays so.
 */
#ifndef HF_BASE_RD_H
#define HF_BASE_RD_H

#include "base/buf.h"

struct hf_rd {
	const uint8_t *p;
	size_t n;
	bool bad; /* sticky: read past the end; everything is 0 from then on */
};

uint8_t hf_rd8(struct hf_rd *r);
uint16_t hf_rd16(struct hf_rd *r);
uint32_t hf_rd32(struct hf_rd *r);
struct hf_view hf_rd_bytes(struct hf_rd *r, size_t n);
struct hf_view hf_rd_2b(struct hf_rd *r); /* what a 16-bit size announces */
bool hf_rd_end(const struct hf_rd *r);	  /* all was there, nothing is left */

/* Big endian into @out. */
void hf_be16(uint8_t *out, uint16_t v);
void hf_be32(uint8_t *out, uint32_t v);

#endif
