/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h: what the fuzz targets share. The first byte of an input chooses what reads the others. */
#ifndef HF_FUZZ_H
#define HF_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * The other @n - 1 bytes, in memory that is exactly as long, so that a sanitizer sees what is
 * beyond; with a NUL behind them for those that take @text. To be freed.
 */
static inline void *fuzz_input(const uint8_t *p, size_t n, bool text)
{
	uint8_t *copy = malloc(n - 1 + text);

	if (!copy)
		abort();
	memcpy(copy, p + 1, n - 1);
	if (text)
		copy[n - 1] = 0;
	return copy;
}

#endif
