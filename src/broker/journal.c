/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

struct hf_serial {
	uint8_t serial[20];
	uint8_t n; /* 0: free */
	uint8_t tbs_sha256[32];
};

/* Serials are random, so their last bytes are a hash. */
static struct hf_serial *slot_of(const struct hf_journal *j, const uint8_t *serial, size_t n)
{
	uint64_t h = 0;
	size_t i;

	for (i = n > 8 ? n - 8 : 0; i < n; i++)
		h = h << 8 | serial[i];
	for (h *= 0x9e3779b97f4a7c15u;; h++) {
		struct hf_serial *s = &j->slots[(size_t)h & (j->cap - 1)];

		if (!s->n || (s->n == n && !memcmp(s->serial, serial, n)))
			return s;
	}
}

static bool grow(struct hf_journal *j)
{
	size_t i, old_cap = j->cap;
	struct hf_serial *old = j->slots;

	if (j->cap && j->n < j->cap / 2)
		return true;
	j->cap = old_cap ? 2 * old_cap : 64;
	j->slots = calloc(j->cap, sizeof(*j->slots));
	if (!j->slots) {
		j->slots = old;
		j->cap = old_cap;
		return j->n + 1 < j->cap;
	}
	for (i = 0; i < old_cap; i++)
		if (old[i].n)
			*slot_of(j, old[i].serial, old[i].n) = old[i];
	free(old);
	return true;
}

static bool remember(struct hf_journal *j, const uint8_t *serial, size_t n, const uint8_t tbs[32])
{
	struct hf_serial *s;

	if (!grow(j))
		return false;
	s = slot_of(j, serial, n);
	j->n += !s->n;
	memcpy(s->serial, serial, n);
	s->n = (uint8_t)n;
	memcpy(s->tbs_sha256, tbs, 32);
	return true;
}

/* serial spki notafter tbs subject */
static bool read_line(struct hf_journal *j, const char *line)
{
	char serial[41], spki[65], tbs[65];
	uint8_t s[20], t[32];
	uint64_t not_after;

	return sscanf(line, "%40[0-9a-f] %64[0-9a-f] %" SCNu64 " %64[0-9a-f] ", serial, spki,
		      &not_after, tbs) == 4 &&
	       strlen(serial) >= 2 && hf_unhex(s, strlen(serial) / 2, serial) &&
	       hf_unhex(t, 32, tbs) && remember(j, s, strlen(serial) / 2, t);
}

/* A last line without its end was cut by a power failure: its certificate never left. */
static enum hf_rc read_file(struct hf_journal *j, const char *path, struct hf_err *e)
{
	unsigned damaged = 0, line_no = 0;
	bool torn = false;
	char line[1024];
	FILE *f = fdopen(dup(j->fd), "r");

	if (!f)
		return hf_fail_errno(e, HF_IO, "%s", path);
	while (fgets(line, sizeof(line), f)) {
		line_no++;
		torn = !strchr(line, '\n');
		if (!read_line(j, line))
			damaged++;
	}
	(void)fclose(f);
	if (damaged)
		hf_log(HF_LOG_ERR, "journal: %s: %u of %u lines are damaged and were passed over",
		       path, damaged, line_no);
	if (torn && write(j->fd, "\n", 1) != 1)
		return hf_fail_errno(e, HF_IO, "%s", path);
	return HF_OK;
}

static void journal_free(struct hf_journal *j)
{
	hf_fd_close(&j->fd);
	free(j->slots);
	free(j);
}

static enum hf_rc journal_open(struct hf_journals *js, const char *key, struct hf_journal **out,
			       struct hf_err *e)
{
	struct hf_journal *j = NULL;
	char path[HF_PATH_MAX];
	enum hf_rc rc;

	for (j = js->first; j; j = j->next)
		if (!strcmp(j->key, key)) {
			*out = j;
			return HF_OK;
		}
	rc = hf_path_join(path, js->dir, key, e);
	j = rc ? NULL : calloc(1, sizeof(*j));
	if (!j)
		return rc ? rc : hf_fail(e, HF_NO_MEMORY, "out of memory");
	(void)hf_copy(j->key, sizeof(j->key), key);
	j->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	rc = j->fd < 0 ? hf_fail_errno(e, HF_IO, "%s", path) : hf_dir_sync(js->dir, e);
	if (!rc)
		rc = read_file(j, path, e);
	if (rc) {
		journal_free(j);
		return rc;
	}
	j->next = js->first;
	js->first = j;
	*out = j;
	return HF_OK;
}

enum hf_rc hf_journals_open(struct hf_journals *j, const char *state_dir, struct hf_err *e)
{
	enum hf_rc rc;

	memset(j, 0, sizeof(*j));
	rc = hf_path_join(j->dir, state_dir, "journal", e);
	return rc ? rc : hf_dir_make(j->dir, 0700, e);
}

void hf_journals_close(struct hf_journals *js)
{
	struct hf_journal *j = NULL;

	while ((j = js->first)) {
		js->first = j->next;
		journal_free(j);
	}
}

/* A line that is not whole on disk must not stay in the way of the next one. */
static enum hf_rc append(struct hf_journal *j, const char *line, size_t n, struct hf_err *e)
{
	off_t end = lseek(j->fd, 0, SEEK_END);
	ssize_t done = write(j->fd, line, n);

	if (done == (ssize_t)n && !fdatasync(j->fd))
		return HF_OK;
	if (done >= 0 && done < (ssize_t)n)
		errno = ENOSPC;
	(void)hf_fail_errno(e, HF_IO, "the issuance journal of %s cannot be written", j->key);
	if (end < 0 || ftruncate(j->fd, end))
		hf_log(HF_LOG_ERR, "journal: %s: cannot take back half a line", j->key);
	return e ? e->rc : HF_IO;
}

enum hf_rc hf_journals_add(struct hf_journals *js, const char *key, const struct hf_issued *i,
			   struct hf_err *e)
{
	char serial[41], spki[65], tbs[65], subject[512], line[1024];
	struct hf_journal *j = NULL;
	struct hf_serial *s;
	enum hf_rc rc;
	int n;

	if (!i->n_serial || i->n_serial > sizeof(i->serial))
		return hf_fail(e, HF_REFUSED, "no serial number");
	rc = journal_open(js, key, &j, e);
	if (rc)
		return rc;
	hf_hex(serial, sizeof(serial), i->serial, i->n_serial);
	s = j->cap ? slot_of(j, i->serial, i->n_serial) : NULL;
	if (s && s->n)
		return hf_mem_equal(s->tbs_sha256, i->tbs_sha256, 32)
			       ? HF_OK
			       : hf_fail(e, HF_REFUSED,
					 "serial number %s was issued by %s already; "
					 "use a random one",
					 serial, key);
	hf_hex(spki, sizeof(spki), i->spki_sha256, 32);
	hf_hex(tbs, sizeof(tbs), i->tbs_sha256, 32);
	hf_escape(subject, sizeof(subject), i->subject, strlen(i->subject));
	n = snprintf(line, sizeof(line), "%s %s %" PRIu64 " %s %s\n", serial, spki, i->not_after,
		     tbs, subject);
	rc = append(j, line, (size_t)n, e);
	if (!rc && !remember(j, i->serial, i->n_serial, i->tbs_sha256))
		rc = hf_fail(e, HF_NO_MEMORY, "out of memory");
	return rc;
}
