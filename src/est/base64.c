/* SPDX-License-Identifier: Apache-2.0 */
#include "est/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void hf_est_base64_encode(const void *p, size_t n, struct hf_buf *out)
{
	const uint8_t *in = p;
	size_t i, column = 0;
	char four[4];

	for (i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16;

		v |= i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0;
		v |= i + 2 < n ? in[i + 2] : 0;
		four[0] = alphabet[v >> 18];
		four[1] = alphabet[v >> 12 & 63];
		four[2] = i + 1 < n ? alphabet[v >> 6 & 63] : '=';
		four[3] = i + 2 < n ? alphabet[v & 63] : '=';
		hf_buf_add(out, four, 4);
		column += 4;
		if (column == 64 || i + 3 >= n) {
			hf_buf_add(out, "\n", 1);
			column = 0;
		}
	}
}

static int value(uint8_t c)
{
	const char *at = c ? memchr(alphabet, c, 64) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

enum hf_rc hf_est_base64_decode(const void *p, size_t n, struct hf_buf *out, bool *nul,
				struct hf_err *e)
{
	const uint8_t *in = p;
	uint32_t v = 0;
	unsigned have = 0, pads = 0;
	size_t i;

	*nul = false;
	while (n && (!in[n - 1] || strchr(" \t\r\n", in[n - 1]))) {
		*nul |= !in[n - 1];
		n--;
	}
	for (i = 0; i < n; i++) {
		int digit = value(in[i]);
		uint8_t three[3];

		if (in[i] && strchr(" \t\r\n", in[i]))
			continue;
		if (in[i] == '=' && have >= 2 && have + pads < 4) {
			pads++;
			continue;
		}
		if (digit < 0 || pads)
			return hf_fail(e, HF_CORRUPT, "the body is not base64 (byte %zu of %zu)", i,
				       n);
		v = v << 6 | (uint32_t)digit;
		if (++have < 4)
			continue;
		three[0] = (uint8_t)(v >> 16);
		three[1] = (uint8_t)(v >> 8);
		three[2] = (uint8_t)v;
		hf_buf_add(out, three, 3);
		have = 0;
		v = 0;
	}
	/* Padding may be missing, as with some servers; a single leftover character is damage. */
	if (have == 1 || (pads && have + pads != 4))
		return hf_fail(e, HF_CORRUPT, "the body is base64 that was cut off");
	if (have > 1) {
		uint8_t two[2] = { (uint8_t)(v >> (6 * have - 8)),
				   (uint8_t)(have == 3 ? v >> 2 : 0) };

		hf_buf_add(out, two, have - 1);
	}
	return out->bad ? hf_fail(e, HF_CORRUPT, "the body is too large") : HF_OK;
}
