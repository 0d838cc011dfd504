/* SPDX-License-Identifier: Apache-2.0 */
/* nearest.h: the known word that somebody may have meant. Pure. */
#ifndef HF_CONF_NEAREST_H
#define HF_CONF_NEAREST_H

#include <stddef.h>

#define HF_NEAREST_MAX 64 /* longer words are near nothing */

/* Edits (insert, delete, replace, swap of neighbours; case is free) from @a to @b. */
unsigned hf_nearest_distance(const char *a, const char *b);

/* Fed one candidate after the other; @best is NULL while nothing is near enough. */
struct hf_nearest {
	const char *word, *best;
	unsigned distance;
};

void hf_nearest_init(struct hf_nearest *n, const char *word);
/* @candidate is borrowed. Near enough: a third of the word's length in edits, at least 1. */
void hf_nearest_try(struct hf_nearest *n, const char *candidate);

#endif
