/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rd.h"

void hf_be16(uint8_t *out, uint16_t v)
{
	out[0] = (uint8_t)(v >> 8);
	out[1] = (uint8_t)v;
}

void hf_be32(uint8_t *out, uint32_t v)
{
	hf_be16(out, (uint16_t)(v >> 16));
	hf_be16(out + 2, (uint16_t)v);
}

struct hf_view hf_rd_bytes(struct hf_rd *r, size_t n)
{
	struct hf_view v = { r->p, n };

	if (r->bad || n > r->n) {
		r->bad = true;
		return (struct hf_view){ NULL, 0 };
	}
	r->p += n;
	r->n -= n;
	return v;
}

uint8_t hf_rd8(struct hf_rd *r)
{
	struct hf_view v = hf_rd_bytes(r, 1);

	return v.n ? v.p[0] : 0;
}

uint16_t hf_rd16(struct hf_rd *r)
{
	struct hf_view v = hf_rd_bytes(r, 2);

	if (!v.n)
		return 0;
	return (uint16_t)((unsigned)v.p[0] << 8 | v.p[1]);
}

uint32_t hf_rd32(struct hf_rd *r)
{
	uint32_t high = hf_rd16(r), low = hf_rd16(r);

	return r->bad ? 0 : high << 16 | low;
}

struct hf_view hf_rd_2b(struct hf_rd *r)
{
	return hf_rd_bytes(r, hf_rd16(r));
}

bool hf_rd_end(const struct hf_rd *r)
{
	return !r->bad && !r->n;
}
