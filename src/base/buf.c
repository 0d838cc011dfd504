/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool grow(struct hf_buf *b, size_t more)
{
	size_t need, cap;
	uint8_t *p;

	if (b->bad || more > b->max || b->n > b->max - more) {
		b->bad = true;
		return false;
	}
	need = b->n + more + 1; /* room for the NUL */
	if (need <= b->cap)
		return true;
	cap = b->cap ? b->cap : 64;
	while (cap < need)
		cap *= 2;
	p = malloc(cap);
	if (!p) {
		b->bad = true;
		return false;
	}
	if (b->p) {
		memcpy(p, b->p, b->n);
		explicit_bzero(b->p, b->cap);
		free(b->p);
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void hf_buf_add(struct hf_buf *b, const void *p, size_t n)
{
	if (!grow(b, n))
		return;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = 0;
}

void hf_buf_str(struct hf_buf *b, const char *s)
{
	hf_buf_add(b, s, strlen(s));
}

void hf_buf_fmt(struct hf_buf *b, const char *fmt, ...)
{
	size_t room = b->p ? b->cap - b->n : 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(room ? (char *)b->p + b->n : NULL, room, fmt, ap);
	va_end(ap);
	if (n < 0 || !grow(b, (size_t)n)) {
		if (room)
			b->p[b->n] = 0;
		b->bad = true;
		return;
	}
	if ((size_t)n >= room) {
		va_start(ap, fmt);
		(void)vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->n += (size_t)n;
}

void hf_buf_finish(struct hf_buf *b)
{
	if (!b)
		return;
	if (b->p)
		explicit_bzero(b->p, b->cap);
	free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
	b->bad = false;
}

char *hf_hex(char *out, size_t size, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *in = p;
	size_t i;

	if (!size)
		return out;
	out[0] = '\0';
	if (n > (size - 1) / 2)
		return out;
	for (i = 0; i < n; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
	out[2 * n] = '\0';
	return out;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool hf_unhex(void *out, size_t n, const char *hex)
{
	uint8_t *p = out;
	size_t i;

	if (strlen(hex) != 2 * n)
		return false;
	for (i = 0; i < n; i++) {
		int hi = nibble(hex[2 * i]), lo = nibble(hex[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		p[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

bool hf_mem_equal(const void *a, const void *b, size_t n)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t diff = 0;
	size_t i;

	for (i = 0; i < n; i++)
		diff |= (uint8_t)(x[i] ^ y[i]);
	return diff == 0;
}

bool hf_copy(char *out, size_t size, const char *s)
{
	size_t n = strlen(s);

	if (n >= size) {
		if (size)
			out[0] = '\0';
		return false;
	}
	memcpy(out, s, n + 1);
	return true;
}
