/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.h: bytes. A view borrows, a buf owns and is bounded.
 *
 * A buf never grows with realloc(): the old block of a secret has to be wiped,
 * and realloc() may have moved it already. Every block is wiped on release.
 */
#ifndef HF_BASE_BUF_H
#define HF_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_view {
	const uint8_t *p;
	size_t n;
};

struct hf_buf {
	uint8_t *p; /* NULL when empty; NUL-terminated beyond n otherwise */
	size_t n, cap, max;
	bool bad; /* sticky: out of memory or over max; contents are then useless */
};

#define HF_BUF(limit)                                                                              \
	{                                                                                          \
		NULL, 0, 0, (limit), false                                                         \
	}
#define HF_VIEW_BUF(b) ((struct hf_view){ (b)->p, (b)->n })

void hf_buf_add(struct hf_buf *b, const void *p, size_t n);
void hf_buf_str(struct hf_buf *b, const char *s);
void hf_buf_fmt(struct hf_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Wipes and frees; the buf is empty and reusable afterwards. NULL and twice are fine. */
void hf_buf_finish(struct hf_buf *b);

/* @out gets 2n lower-case hex digits and a NUL: @size >= 2n + 1, else an empty string. */
char *hf_hex(char *out, size_t size, const void *p, size_t n);
/* Strict: an even number of hex digits for exactly @n bytes. */
bool hf_unhex(void *out, size_t n, const char *hex);

/* Constant time in the contents. */
bool hf_mem_equal(const void *a, const void *b, size_t n);

/* Copies a string into a fixed array; false (and an empty @out) if it does not fit. */
bool hf_copy(char *out, size_t size, const char *s);

#define HF_AUTO_BUF __attribute__((cleanup(hf_buf_finish))) struct hf_buf

#define HF_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
