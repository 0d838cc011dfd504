/* SPDX-License-Identifier: Apache-2.0 */
#include "est/tlv.h"

#include <string.h>

#define DEPTH_MAX 8u

/* Header at the front of @in: tag, length of the header, length of the body; *@indefinite. */
static bool header(const struct hf_view *in, uint8_t *tag, size_t *head, size_t *body,
		   bool *indefinite)
{
	size_t n, i;

	*indefinite = false;
	if (in->n < 2 || (in->p[0] & 0x1f) == 0x1f)
		return false;
	*tag = in->p[0];
	*head = 2;
	*body = in->p[1];
	if (in->p[1] < 0x80)
		return true;
	*body = 0;
	n = in->p[1] & 0x7f;
	if (!n) {
		*indefinite = true;
		return (*tag & 0x20) != 0; /* only what is constructed may have one */
	}
	if (n > 4 || in->n < 2 + n)
		return false;
	for (i = 0; i < n; i++)
		*body = *body << 8 | in->p[2 + i];
	*head = 2 + n;
	return true;
}

static bool take(struct hf_view *in, size_t n)
{
	if (n > in->n)
		return false;
	in->p += n;
	in->n -= n;
	return true;
}

/* Length of a body of indefinite length, without its end-of-contents octets. */
static bool measure(struct hf_view in, size_t *length)
{
	const uint8_t *start = in.p;
	unsigned depth = 1;
	size_t head, body;
	bool indefinite;
	uint8_t tag;

	/* A loop, not recursion: elements of definite length are jumped over. */
	for (;;) {
		if (in.n >= 2 && !in.p[0] && !in.p[1]) {
			*length = (size_t)(in.p - start);
			(void)take(&in, 2);
			if (!--depth)
				return true;
			continue;
		}
		if (!header(&in, &tag, &head, &body, &indefinite) || !take(&in, head))
			return false;
		if (indefinite && ++depth > DEPTH_MAX)
			return false;
		if (!indefinite && !take(&in, body))
			return false;
	}
}

bool hf_tlv_next(struct hf_view *in, struct hf_tlv *out)
{
	size_t head, body, tail = 0;
	bool indefinite;
	struct hf_view rest = *in;

	memset(out, 0, sizeof(*out));
	if (!header(in, &out->tag, &head, &body, &indefinite) || !take(&rest, head))
		return false;
	if (indefinite) {
		if (!measure(rest, &body))
			return false;
		tail = 2;
	}
	if (body > rest.n || tail > rest.n - body)
		return false;
	out->all = (struct hf_view){ in->p, head + body + tail };
	out->body = (struct hf_view){ rest.p, body };
	return take(in, out->all.n);
}

bool hf_tlv_want(struct hf_view *in, uint8_t tag, struct hf_tlv *out)
{
	return in->n && in->p[0] == tag && hf_tlv_next(in, out);
}

bool hf_tlv_is_oid(const struct hf_tlv *t, const void *oid, size_t n)
{
	return t->tag == HF_TLV_OID && t->body.n == n && !memcmp(t->body.p, oid, n);
}
