/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: fuzz-NAME [-runs=N] DIRECTORY
 *
 * What libFuzzer does, without libFuzzer: every file of the corpus as it is, then N times one of
 * them with something wrong, always the same things. So each build of the suite runs the targets.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 256
#define SIZE_MAX_ 65536

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct {
	uint8_t *p;
	size_t n;
} corpus[FILES_MAX];
static size_t n_corpus;
static uint64_t seed = 0x9e3779b97f4a7c15u;

static size_t below(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return n ? (size_t)(seed % n) : 0;
}

static void load(const char *dir, const char *name)
{
	char path[1024];
	uint8_t *p = malloc(SIZE_MAX_);
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f || !p || n_corpus == FILES_MAX) {
		(void)fprintf(stderr, "%s: cannot be used\n", path);
		exit(1);
	}
	corpus[n_corpus].p = p;
	corpus[n_corpus++].n = fread(p, 1, SIZE_MAX_, f);
	(void)fclose(f);
}

/* One to four changes: a bit, a byte, a cut, a piece twice, a piece of another file. */
static size_t spoil(uint8_t *out)
{
	size_t at = below(n_corpus), n = corpus[at].n, changes = 1 + below(4), other, from, len;

	memcpy(out, corpus[at].p, n);
	while (changes-- && n > 1) {
		at = 1 + below(n - 1);
		switch (below(5)) {
		case 0:
			out[at] ^= (uint8_t)(1u << below(8));
			break;
		case 1:
			out[at] = (uint8_t)below(256);
			break;
		case 2:
			n = at;
			break;
		case 3:
			len = below(n - at);
			if (n + len < SIZE_MAX_) {
				memmove(out + at + len, out + at, n - at);
				n += len;
			}
			break;
		default:
			other = below(n_corpus);
			from = below(corpus[other].n);
			len = below(corpus[other].n - from);
			len = len < n - at ? len : n - at;
			memcpy(out + at, corpus[other].p + from, len);
		}
	}
	return n;
}

int main(int argc, char **argv)
{
	static uint8_t input[2 * SIZE_MAX_];
	long runs = 10000;
	struct dirent **list;
	const char *dir = ".";
	int i, n;

	for (i = 1; i < argc; i++)
		if (!strncmp(argv[i], "-runs=", 6))
			runs = strtol(argv[i] + 6, NULL, 10);
		else
			dir = argv[i];
	n = scandir(dir, &list, NULL, alphasort); /* sorted, so that a run can be repeated */
	for (i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.')
			load(dir, list[i]->d_name);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	if (!n_corpus) {
		(void)fprintf(stderr, "%s: there is no corpus\n", dir);
		return 1;
	}
	for (i = 0; (size_t)i < n_corpus; i++)
		(void)LLVMFuzzerTestOneInput(corpus[i].p, corpus[i].n);
	while (runs-- > 0)
		(void)LLVMFuzzerTestOneInput(input, spoil(input));
	for (i = 0; (size_t)i < n_corpus; i++)
		free(corpus[i].p);
	return 0;
}
