/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/nearest.h"

#include <ctype.h>
#include <string.h>

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static int same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

unsigned hf_nearest_distance(const char *a, const char *b)
{
	unsigned rows[3][HF_NEAREST_MAX + 1];
	size_t la = strlen(a), lb = strlen(b), i, j;

	if (la > HF_NEAREST_MAX || lb > HF_NEAREST_MAX)
		return HF_NEAREST_MAX + 1;
	for (j = 0; j <= lb; j++)
		rows[0][j] = (unsigned)j;
	for (i = 1; i <= la; i++) {
		unsigned *now = rows[i % 3], *before = rows[(i - 1) % 3];

		now[0] = (unsigned)i;
		for (j = 1; j <= lb; j++) {
			now[j] = least(before[j], now[j - 1]) + 1;
			now[j] = least(now[j], before[j - 1] + !same(a[i - 1], b[j - 1]));
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
				now[j] = least(now[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return rows[la % 3][lb];
}

void hf_nearest_init(struct hf_nearest *n, const char *word)
{
	n->word = word;
	n->best = NULL;
	n->distance = HF_NEAREST_MAX + 1;
}

void hf_nearest_try(struct hf_nearest *n, const char *candidate)
{
	unsigned d = hf_nearest_distance(n->word, candidate);
	size_t len = strlen(n->word);

	if (d < n->distance && d <= (len < 6 ? (len > 3 ? 2 : 1) : len / 3)) {
		n->best = candidate;
		n->distance = d;
	}
}
