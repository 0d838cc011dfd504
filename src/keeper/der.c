/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/der.h"

#include <string.h>

#define CONSTRUCTED	 0x20u
#define UNIVERSAL_SET_OF 0x31u
#define DEPTH_MAX	 24u

bool hf_der_next(struct hf_view *in, struct hf_der *out)
{
	size_t head = 2, n, count, i;

	/* Tags above 30 exist in no structure we read. */
	if (in->n < 2 || (in->p[0] & 0x1f) == 0x1f)
		return false;
	n = in->p[1];
	if (n & 0x80) {
		count = n & 0x7f;
		if (count == 0 || count > 3 || in->n < 2 + count || in->p[2] == 0)
			return false; /* indefinite, absurd, cut or padded */
		for (n = 0, i = 0; i < count; i++)
			n = n << 8 | in->p[2 + i];
		if (n < 0x80)
			return false;
		head += count;
	}
	if (n > in->n - head)
		return false;
	out->tag = in->p[0];
	out->whole = (struct hf_view){ in->p, head + n };
	out->body = (struct hf_view){ in->p + head, n };
	in->p += head + n;
	in->n -= head + n;
	return true;
}

bool hf_der_take(struct hf_view *in, enum hf_der_tag tag, struct hf_view *body)
{
	struct hf_view rest = *in;
	struct hf_der d;

	if (!hf_der_next(&rest, &d) || d.tag != tag)
		return false;
	*in = rest;
	*body = d.body;
	return true;
}

static bool time_ok(const struct hf_der *d)
{
	size_t digits = d->tag == HF_DER_UTC_TIME ? 12 : 14, i;

	/* RFC 5280 4.1.2.5: seconds are there, no fraction, Zulu. */
	if (d->body.n != digits + 1 || d->body.p[digits] != 'Z')
		return false;
	for (i = 0; i < digits; i++)
		if (d->body.p[i] < '0' || d->body.p[i] > '9')
			return false;
	return true;
}

static bool oid_ok(struct hf_view v)
{
	size_t i;

	if (!v.n || (v.p[v.n - 1] & 0x80))
		return false;
	for (i = 0; i < v.n; i++)
		if (v.p[i] == 0x80 && (i == 0 || !(v.p[i - 1] & 0x80)))
			return false; /* an arc with leading zeros */
	return true;
}

static bool bits_ok(struct hf_view v)
{
	if (!v.n || v.p[0] > 7 || (v.n == 1 && v.p[0]))
		return false;
	return v.n == 1 || !(v.p[v.n - 1] & ((1u << v.p[0]) - 1)); /* padding is zero */
}

static bool leaf_ok(const struct hf_der *d)
{
	struct hf_view v = d->body;

	switch (d->tag) {
	case HF_DER_BOOLEAN:
		return v.n == 1 && (v.p[0] == 0 || v.p[0] == 0xff);
	case HF_DER_INTEGER:
	case 0x0a: /* ENUMERATED */
		return v.n && !(v.n > 1 && ((v.p[0] == 0 && !(v.p[1] & 0x80)) ||
					    (v.p[0] == 0xff && (v.p[1] & 0x80))));
	case HF_DER_BIT_STRING:
		return bits_ok(v);
	case HF_DER_NULL:
		return v.n == 0;
	case HF_DER_OID:
		return oid_ok(v);
	case HF_DER_UTC_TIME:
	case HF_DER_GENERALIZED_TIME:
		return time_ok(d);
	case 0x10: /* SEQUENCE and SET are never primitive */
	case 0x11:
	case 0x00:
		return false;
	default:
		return true;
	}
}

/* DER sorts SET OF as octet strings, the shorter padded with zeros (X.690 11.6). */
static int set_order(struct hf_view a, struct hf_view b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = memcmp(a.p, b.p, n);

	if (c)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

static bool tree_ok(struct hf_view in, bool set, unsigned depth)
{
	struct hf_view last = { NULL, 0 };
	struct hf_der d;

	if (depth > DEPTH_MAX)
		return false;
	while (in.n) {
		if (!hf_der_next(&in, &d))
			return false;
		if (d.tag & CONSTRUCTED) {
			/* Of the universal types only SEQUENCE and SET are constructed in DER. */
			if (!(d.tag & 0xc0) && d.tag != HF_DER_SEQUENCE && d.tag != HF_DER_SET)
				return false;
			if (!tree_ok(d.body, d.tag == UNIVERSAL_SET_OF, depth + 1))
				return false;
		} else if (!leaf_ok(&d)) {
			return false;
		}
		if (set && last.p && set_order(last, d.whole) > 0)
			return false;
		last = d.whole;
	}
	return true;
}

bool hf_der_strict(struct hf_view in)
{
	struct hf_view rest = in;
	struct hf_der d;

	return hf_der_next(&rest, &d) && !rest.n && tree_ok(in, false, 0);
}

void hf_der_put(struct hf_buf *out, uint8_t tag, const void *p, size_t n)
{
	uint8_t head[5] = { tag };
	size_t used = 1;

	if (n > 0xffff) {
		head[used++] = 0x83;
		head[used++] = (uint8_t)(n >> 16);
		head[used++] = (uint8_t)(n >> 8);
	} else if (n > 0xff) {
		head[used++] = 0x82;
		head[used++] = (uint8_t)(n >> 8);
	} else if (n > 0x7f) {
		head[used++] = 0x81;
	}
	head[used++] = (uint8_t)n;
	if (n > 0xffffff)
		out->bad = true;
	hf_buf_add(out, head, used);
	hf_buf_add(out, p, n);
}

/* Without leading zeros, but with one where the sign bit would be set. */
static void put_integer(struct hf_buf *out, struct hf_view v)
{
	uint8_t b[1 + 66] = { 0 };
	size_t n;

	while (v.n > 1 && !v.p[0])
		v.p++, v.n--;
	if (!v.n || v.n >= sizeof(b)) {
		out->bad = true;
		return;
	}
	memcpy(b + 1, v.p, v.n);
	n = v.p[0] & 0x80 ? v.n + 1 : v.n;
	hf_der_put(out, HF_DER_INTEGER, b + 1 + v.n - n, n);
}

void hf_der_put_ecdsa(struct hf_buf *out, struct hf_view r, struct hf_view s)
{
	HF_AUTO_BUF seq = HF_BUF(256);

	put_integer(&seq, r);
	put_integer(&seq, s);
	out->bad = out->bad || seq.bad;
	hf_der_put(out, HF_DER_SEQUENCE, seq.p, seq.n);
}
