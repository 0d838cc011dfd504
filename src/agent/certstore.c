/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/certstore.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/log.h"
#include "conf/reader.h"

#define SHOWN 32 /* characters of the id in the name, for people */

enum hf_rc hf_certstore_path(char out[HF_PATH_MAX], const char *dir, const char *id,
			     const char *suffix, struct hf_err *e)
{
	char name[SHOWN + 80], hex[65];
	unsigned char hash[32];
	size_t n = 0;
	const char *p;

	if (!EVP_Q_digest(NULL, "SHA256", NULL, id, strlen(id), hash, NULL))
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	for (p = id; *p && n < SHOWN; p++)
		if (isalnum((unsigned char)*p))
			name[n++] = *p;
	(void)snprintf(name + n, sizeof(name) - n, "-%s.%s", hf_hex(hex, sizeof(hex), hash, 32),
		       suffix);
	return hf_path_join(out, dir, name, e);
}

size_t hf_certstore_count(const char *dir)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	size_t n = 0;

	while (d && (entry = readdir(d)))
		n += entry->d_name[0] != '.';
	if (d)
		(void)closedir(d);
	return n;
}

static const struct hf_row rows[] = {
	HF_ROW_OF_TEXT(struct hf_stored, id, 1),
	HF_ROW_OF_TEXT(struct hf_stored, issuer, 0),
	HF_ROW_OF_NUMBER(struct hf_stored, not_after, 0, INT64_MAX),
	HF_ROW_OF_TEXT(struct hf_stored, pem, 1),
	HF_ROW_END,
};

static enum hf_rc path_of(char dir[HF_PATH_MAX], char out[HF_PATH_MAX], const char *state_dir,
			  const char *id, struct hf_err *e)
{
	enum hf_rc rc = hf_path_join(dir, state_dir, "issued", e);

	return rc ? rc : hf_certstore_path(out, dir, id, "json", e);
}

static enum hf_rc load(const char *path, struct hf_stored *out, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(2 * HF_CERTSTORE_PEM);
	json_object *json = NULL;
	enum hf_rc rc = hf_file_read(path, true, &file, e);

	memset(out, 0, sizeof(*out));
	if (!rc)
		rc = hf_reader_parse((const char *)file.p, file.n, path, &json, e);
	if (!rc)
		rc = hf_reader_table(out, rows, json, &(struct hf_reader){ path, NULL, 0 }, e);
	json_object_put(json);
	return rc;
}

enum hf_rc hf_certstore_get(const char *state_dir, const char *id, struct hf_stored *out,
			    struct hf_err *e)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	enum hf_rc rc = path_of(dir, path, state_dir, id, e);

	if (rc)
		return rc;
	if (access(path, F_OK) && errno == ENOENT)
		return hf_fail(e, HF_NO_KEY, "there is no certificate \"%.100s\"", id);
	return load(path, out, e);
}

/* ---------------------------------------------------------------- all of them */

void hf_certstore_each(const char *state_dir, void (*each)(const struct hf_stored *s, void *arg),
		       void *arg)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX], aside[HF_PATH_MAX + 16];
	struct hf_stored *s = calloc(1, sizeof(*s));
	struct dirent **list = NULL;
	int i, n = -1;

	if (s && !hf_path_join(dir, state_dir, "issued", NULL))
		n = scandir(dir, &list, NULL, NULL);
	for (i = 0; i < n; i++) {
		const char *dot = strrchr(list[i]->d_name, '.');
		struct hf_err err = HF_ERR_INIT;

		if (dot && !strcmp(dot, ".json") &&
		    !hf_path_join(path, dir, list[i]->d_name, NULL)) {
			if (!load(path, s, &err)) {
				each(s, arg);
			} else {
				(void)snprintf(aside, sizeof(aside), "%s.damaged", path);
				(void)rename(path, aside);
				hf_log(HF_LOG_ERR, "%s; it is now %s", err.msg, aside);
			}
		}
		free(list[i]);
	}
	free(list);
	free(s);
}

struct collecting {
	const char *state_dir;
	int64_t now, first_end;
	size_t left;
	char first[254]; /* the one that ends first of those that are left */
};

static void collect_one(const struct hf_stored *s, void *arg)
{
	struct collecting *c = arg;

	if (s->not_after <= c->now && !hf_certstore_delete(c->state_dir, s->id, NULL)) {
		hf_log(HF_LOG_NOTICE, "certificate \"%s\" has ended, it is forgotten", s->id);
		return;
	}
	c->left++;
	if (c->first[0] && s->not_after >= c->first_end)
		return;
	c->first_end = s->not_after;
	(void)hf_copy(c->first, sizeof(c->first), s->id);
}

size_t hf_certstore_collect(const char *state_dir, int64_t now)
{
	struct collecting c = { .state_dir = state_dir, .now = now };

	hf_certstore_each(state_dir, collect_one, &c);
	return c.left;
}

static void make_room(const char *state_dir, const char *dir, int64_t now)
{
	struct collecting c = { .state_dir = state_dir, .now = now };

	if (hf_certstore_count(dir) < HF_CERTSTORE_MAX)
		return;
	hf_certstore_each(state_dir, collect_one, &c);
	if (c.left < HF_CERTSTORE_MAX || hf_certstore_delete(state_dir, c.first, NULL))
		return;
	hf_log(HF_LOG_WARN,
	       "certificate \"%s\", which ends first, is forgotten: %d are kept at most; clients "
	       "should DELETE those that nobody needs",
	       c.first, HF_CERTSTORE_MAX);
}

/* ---------------------------------------------------------------- one */

enum hf_rc hf_certstore_put(const char *state_dir, const struct hf_stored *s, int64_t now,
			    struct hf_err *e)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	json_object *o = json_object_new_object();
	enum hf_rc rc = path_of(dir, path, state_dir, s->id, e);
	const char *text;

	json_object_object_add(o, "id", json_object_new_string(s->id));
	json_object_object_add(o, "issuer", json_object_new_string(s->issuer));
	json_object_object_add(o, "not_after", json_object_new_int64(s->not_after));
	json_object_object_add(o, "pem", json_object_new_string(s->pem));
	text = json_object_to_json_string(o);
	if (!rc)
		rc = hf_dir_make(dir, 0700, e);
	if (!rc && access(path, F_OK))
		make_room(state_dir, dir, now);
	if (!rc)
		rc = hf_file_replace(path, text, strlen(text), 0600, e);
	json_object_put(o);
	return rc;
}

enum hf_rc hf_certstore_delete(const char *state_dir, const char *id, struct hf_err *e)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	enum hf_rc rc = path_of(dir, path, state_dir, id, e);

	if (rc)
		return rc;
	if (unlink(path) && errno != ENOENT)
		return hf_fail_errno(e, HF_IO, "%s: cannot remove it", path);
	return HF_OK;
}
