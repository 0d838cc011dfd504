/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the broker finds on its disk: its settings, and the state directory after a power cut, on a
 * failing disk, or from a stranger. The first byte chooses.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "broker/catalogue.h"
#include "broker/journal.h"
#include "broker/record.h"
#include "broker/settings.h"
#include "fuzz.h"

/* The name of a generation's files is the hash in its record; this one is in the corpus. */
#define ID "0101010101010101010101010101010101010101010101010101010101010101"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void fuzz_settings(const char *text, size_t n)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_settings *s = hf_settings_parse(text, n, "input", &e);

	if (!s && !e.msg[0])
		abort(); /* refused, and nobody knows why */
	hf_settings_free(s);
}

static void fuzz_generation(const char *text, size_t n)
{
	struct hf_generation g = { .created = 0 };
	struct hf_err e = HF_ERR_INIT;

	(void)hf_record_read_generation(&g, (struct hf_view){ (const uint8_t *)text, n }, &e);
	hf_buf_finish(&g.spki);
	hf_buf_finish(&g.blob);
}

static void put(const char *dir, const char *name, const char *text, size_t n)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n)
		abort();
	(void)close(fd);
}

static int unlink_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* A key of three files, cut out of the input at its NUL bytes; and its journal, the fourth. */
static void fuzz_directory(const char *text, size_t n)
{
	static const char *const names[] = { "keys/k/key.json", "keys/k/" ID ".json",
					     "keys/k/" ID ".pem", "journal/k" };
	static const char *const dirs[] = { "", "/keys", "/keys/k", "/journal" };
	struct hf_issued issued = { .serial = { 1, 2, 3, 4, 5, 6, 7, 8 },
				    .n_serial = 8,
				    .subject = "CN=a" };
	char root[] = "/tmp/hf-fuzz.XXXXXX", path[64];
	struct hf_journals journals = { .first = NULL };
	struct hf_catalogue c = { .n = 0 };
	struct hf_err e = HF_ERR_INIT;
	size_t i, len;

	if (!mkdtemp(root))
		abort();
	for (i = 1; i < HF_COUNT(dirs); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", root, dirs[i]);
		(void)mkdir(path, 0700);
	}
	for (i = 0; i < HF_COUNT(names) && n; i++) {
		len = strnlen(text, n);
		put(root, names[i], text, len);
		text += len < n ? len + 1 : n;
		n -= len < n ? len + 1 : n;
	}
	if (!hf_catalogue_open(&c, root, &e)) {
		for (i = 0; i < c.n; i++)
			if (!c.keys[i]->n || c.keys[i]->current >= c.keys[i]->n)
				abort(); /* a key without a pair to use */
		(void)hf_catalogue_collect(&c, 4000000000u);
	}
	hf_catalogue_close(&c);
	if (!hf_journals_open(&journals, root, &e))
		(void)hf_journals_add(&journals, "k", &issued, &e);
	hf_journals_close(&journals);
	(void)nftw(root, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static void (*const readers[])(const char *, size_t) = {
		fuzz_settings,
		fuzz_generation,
		fuzz_directory,
	};
	char *copy;

	if (!n)
		return 0;
	hf_log_init("fuzz", (enum hf_log_level)0);
	copy = fuzz_input(p, n, true);
	readers[p[0] % HF_COUNT(readers)](copy, n - 1);
	free(copy);
	return 0;
}
