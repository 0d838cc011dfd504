/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/catalogue.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "broker/record.h"

#define BLOB_MAX	 8192u
#define SPKI_MAX	 4096u
#define NAME_MAX_SUBJECT 1024u

static void generation_init(struct hf_generation *g, const uint8_t id[HF_ID_SIZE])
{
	memset(g, 0, sizeof(*g));
	memcpy(g->id, id, HF_ID_SIZE);
	g->spki.max = SPKI_MAX;
	g->blob.max = BLOB_MAX;
}

static void generation_finish(struct hf_generation *g)
{
	hf_buf_finish(&g->spki);
	hf_buf_finish(&g->blob);
}

static struct hf_key *key_new(const char *name)
{
	struct hf_key *k = calloc(1, sizeof(*k));

	if (k) {
		(void)hf_copy(k->name, sizeof(k->name), name);
		k->issuer_subject.max = NAME_MAX_SUBJECT;
	}
	return k;
}

static void key_free(struct hf_key *k)
{
	size_t i;

	if (!k)
		return;
	for (i = 0; i < k->n; i++)
		generation_finish(&k->generations[i]);
	hf_buf_finish(&k->issuer_subject);
	free(k);
}

/* ------------------------------------------------------------- looking up */

size_t hf_catalogue_after(const struct hf_catalogue *c, const char *after)
{
	size_t lo = 0, hi = c->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(c->keys[mid]->name, after) > 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

struct hf_key *hf_catalogue_find(const struct hf_catalogue *c, const char *name)
{
	size_t at = hf_catalogue_after(c, name);

	return at && !strcmp(c->keys[at - 1]->name, name) ? c->keys[at - 1] : NULL;
}

struct hf_generation *hf_key_generation(struct hf_key *k, const uint8_t id[HF_ID_SIZE])
{
	size_t i;

	for (i = 0; i < k->n; i++)
		if (!memcmp(k->generations[i].id, id, HF_ID_SIZE))
			return &k->generations[i];
	return NULL;
}

/* A walk over ids that differ in their first byte: 10,000 keys cost tens of microseconds. */
struct hf_found hf_catalogue_find_id(const struct hf_catalogue *c, const uint8_t id[HF_ID_SIZE])
{
	struct hf_found f = { NULL, NULL };
	size_t i;

	for (i = 0; i < c->n && !f.generation; i++) {
		f.generation = hf_key_generation(c->keys[i], id);
		f.key = f.generation ? c->keys[i] : NULL;
	}
	return f;
}

static enum hf_rc insert(struct hf_catalogue *c, struct hf_key *k, struct hf_err *e)
{
	size_t at = hf_catalogue_after(c, k->name);

	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 16;
		struct hf_key **keys = reallocarray(c->keys, cap, sizeof(*keys));

		if (!keys)
			return hf_fail(e, HF_NO_MEMORY, "out of memory");
		c->keys = keys;
		c->cap = cap;
	}
	memmove(c->keys + at + 1, c->keys + at, (c->n - at) * sizeof(*c->keys));
	c->keys[at] = k;
	c->n++;
	return HF_OK;
}

/* ---------------------------------------------------------------- reading */

/* Out of the way, never away: the administrator decides. */
static void set_aside(struct hf_catalogue *c, const char *dir, const char *name, const char *why)
{
	char from[HF_PATH_MAX], to[HF_PATH_MAX];
	const char *key = strrchr(dir, '/');
	struct hf_err err = HF_ERR_INIT;

	if (hf_path_join(from, dir, name, &err) ||
	    snprintf(to, sizeof(to), "%s/%s.%s.%lld.%u", c->aside, key ? key + 1 : "", name,
		     (long long)time(NULL), c->set_aside) >= (int)sizeof(to) ||
	    rename(from, to)) {
		hf_log(HF_LOG_ERR, "catalogue: %s/%s: %s; it cannot be moved away: %s", dir, name,
		       why, err.msg[0] ? err.msg : strerror(errno));
		return;
	}
	c->set_aside++;
	hf_log(HF_LOG_ERR, "catalogue: %s/%s: %s; moved to %s", dir, name, why, to);
}

/* "<64 hex>.pem" or ".json"; false for any other name. */
static bool generation_name(const char *name, const char *suffix, uint8_t id[HF_ID_SIZE])
{
	char hex[2 * HF_ID_SIZE + 1];

	if (strlen(name) != 2 * HF_ID_SIZE + strlen(suffix) ||
	    strcmp(name + 2 * HF_ID_SIZE, suffix))
		return false;
	memcpy(hex, name, 2 * HF_ID_SIZE);
	hex[2 * HF_ID_SIZE] = '\0';
	return hf_unhex(id, HF_ID_SIZE, hex);
}

static void generation_path(char out[HF_PATH_MAX], const char *dir, const uint8_t id[HF_ID_SIZE],
			    const char *suffix)
{
	char hex[2 * HF_ID_SIZE + 1];

	hf_hex(hex, sizeof(hex), id, HF_ID_SIZE);
	(void)snprintf(out, HF_PATH_MAX, "%s/%s%s", dir, hex, suffix);
}

static enum hf_rc read_generation(struct hf_key *k, const char *dir, const uint8_t id[HF_ID_SIZE],
				  struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(HF_RECORD_MAX);
	struct hf_generation g;
	char path[HF_PATH_MAX];
	enum hf_rc rc;

	if (k->n == HF_GENERATIONS_MAX)
		return hf_fail(e, HF_CORRUPT, "more than %d generations", HF_GENERATIONS_MAX);
	generation_init(&g, id);
	generation_path(path, dir, id, ".json");
	rc = hf_file_read(path, true, &text, e);
	if (!rc)
		rc = hf_record_read_generation(&g, HF_VIEW_BUF(&text), e);
	generation_path(path, dir, id, ".pem");
	if (!rc)
		rc = hf_file_read(path, true, &g.blob, e);
	if (!rc && !g.blob.n)
		rc = hf_fail(e, HF_CORRUPT, "%s is empty", path);
	if (rc) {
		generation_finish(&g);
		return rc;
	}
	k->generations[k->n++] = g;
	return HF_OK;
}

/* First the records, each with its .pem; then what is left over goes aside. */
static void read_generations(struct hf_catalogue *c, struct hf_key *k, const char *dir)
{
	uint8_t id[HF_ID_SIZE];
	struct dirent *d;
	DIR *stream;

	stream = opendir(dir);
	while (stream && (d = readdir(stream))) {
		struct hf_err err = HF_ERR_INIT;

		if (generation_name(d->d_name, ".json", id) && read_generation(k, dir, id, &err))
			set_aside(c, dir, d->d_name, err.msg);
	}
	if (stream)
		(void)closedir(stream);
	stream = opendir(dir);
	while (stream && (d = readdir(stream)))
		if (d->d_name[0] != '.' && strcmp(d->d_name, "key.json") &&
		    !((generation_name(d->d_name, ".json", id) ||
		       generation_name(d->d_name, ".pem", id)) &&
		      hf_key_generation(k, id)))
			set_aside(c, dir, d->d_name, "belongs to no generation");
	if (stream)
		(void)closedir(stream);
}

static enum hf_rc read_key(struct hf_catalogue *c, const char *name, struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(HF_RECORD_MAX);
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	struct hf_key *k = key_new(name);
	enum hf_rc rc;

	if (!k)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = hf_path_join(dir, c->dir, name, e);
	if (!rc)
		rc = hf_path_join(path, dir, "key.json", e);
	if (!rc)
		rc = hf_file_read(path, true, &text, e);
	if (!rc)
		read_generations(c, k, dir);
	if (!rc)
		rc = hf_record_read_key(k, HF_VIEW_BUF(&text), e);
	if (!rc)
		rc = insert(c, k, e);
	if (rc)
		key_free(k);
	return rc;
}

static void read_all(struct hf_catalogue *c, DIR *stream)
{
	struct dirent *d;

	while ((d = readdir(stream))) {
		struct hf_err err = HF_ERR_INIT;

		if (d->d_name[0] == '.')
			continue;
		if (!hf_key_name_ok(d->d_name))
			set_aside(c, c->dir, d->d_name, "is no name of a key");
		else if (read_key(c, d->d_name, &err) && err.rc != HF_NO_MEMORY)
			set_aside(c, c->dir, d->d_name, err.msg);
	}
}

enum hf_rc hf_catalogue_open(struct hf_catalogue *c, const char *state_dir, struct hf_err *e)
{
	enum hf_rc rc;
	DIR *stream;

	memset(c, 0, sizeof(*c));
	rc = hf_path_join(c->dir, state_dir, "keys", e);
	if (!rc)
		rc = hf_path_join(c->aside, state_dir, "set-aside", e);
	if (!rc)
		rc = hf_dir_make(c->dir, 0700, e);
	if (!rc)
		rc = hf_dir_make(c->aside, 0700, e);
	if (!rc)
		rc = hf_path_trusted(c->dir, e);
	if (rc)
		return rc;
	stream = opendir(c->dir);
	if (!stream)
		return hf_fail_errno(e, HF_IO, "%s", c->dir);
	read_all(c, stream);
	(void)closedir(stream);
	return HF_OK;
}

void hf_catalogue_close(struct hf_catalogue *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		key_free(c->keys[i]);
	free(c->keys);
	memset(c, 0, sizeof(*c));
}

/* ---------------------------------------------------------------- writing */

static enum hf_rc key_dir(const struct hf_catalogue *c, const struct hf_key *k,
			  char out[HF_PATH_MAX], struct hf_err *e)
{
	return hf_path_join(out, c->dir, k->name, e);
}

static enum hf_rc write_key(const struct hf_catalogue *c, const struct hf_key *k, struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(HF_RECORD_MAX);
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	enum hf_rc rc;

	hf_record_write_key(k, &text);
	if (text.bad)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = key_dir(c, k, dir, e);
	if (!rc)
		rc = hf_path_join(path, dir, "key.json", e);
	if (!rc)
		rc = hf_file_replace(path, text.p, text.n, 0600, e);
	return rc;
}

static void unlink_generation(const char *dir, const uint8_t id[HF_ID_SIZE])
{
	char path[HF_PATH_MAX];

	generation_path(path, dir, id, ".json"); /* the record first: then the .pem is an orphan */
	(void)unlink(path);
	generation_path(path, dir, id, ".pem");
	(void)unlink(path);
	(void)hf_dir_sync(dir, NULL);
}

/* Appends a generation to @k, in memory and on disk: the .pem first, the record commits. */
static enum hf_rc add_generation(struct hf_catalogue *c, struct hf_key *k,
				 const struct hf_made *made, struct hf_err *e)
{
	struct hf_generation *g = &k->generations[k->n];
	HF_AUTO_BUF text = HF_BUF(HF_RECORD_MAX);
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	enum hf_rc rc;

	generation_init(g, made->id);
	g->algorithm = made->algorithm;
	g->created = (uint64_t)time(NULL);
	g->imported = made->imported;
	if (made->transaction)
		memcpy(g->transaction, made->transaction, sizeof(g->transaction));
	hf_buf_add(&g->spki, made->spki.p, made->spki.n);
	hf_buf_add(&g->blob, made->blob.p, made->blob.n);
	hf_record_write_generation(g, made, &text);
	rc = g->spki.bad || g->blob.bad || text.bad ? hf_fail(e, HF_CORRUPT,
							      "the token made a key "
							      "that is larger than any known one")
						    : key_dir(c, k, dir, e);
	if (!rc) {
		generation_path(path, dir, g->id, ".pem");
		rc = hf_file_replace(path, g->blob.p, g->blob.n, 0600, e);
		generation_path(path, dir, g->id, ".json");
		if (!rc)
			rc = hf_file_replace(path, text.p, text.n, 0600, e);
		if (rc) /* either may be there, and only not be sure to stay */
			unlink_generation(dir, g->id);
	}
	if (rc)
		generation_finish(g);
	else
		k->n++;
	return rc;
}

/* Under a second name a key would have a second usage, too: a ca key could sign anything. */
static enum hf_rc check_new(const struct hf_catalogue *c, const struct hf_made *made,
			    struct hf_err *e)
{
	return hf_catalogue_find_id(c, made->id).key
		       ? hf_fail(e, HF_EXISTS,
				 "this key pair is in the catalogue already, perhaps under another "
				 "name; 'holdfast key list' shows the fingerprints")
		       : HF_OK;
}

enum hf_rc hf_catalogue_create(struct hf_catalogue *c, const char *name, const char *token,
			       unsigned usage, const struct hf_made *made, struct hf_key **out,
			       struct hf_err *e)
{
	struct hf_key *k = NULL;
	char dir[HF_PATH_MAX];
	enum hf_rc rc;

	if (hf_catalogue_find(c, name))
		return hf_fail(e, HF_EXISTS, "key %s exists already", name);
	rc = check_new(c, made, e);
	if (!rc)
		rc = hf_path_join(dir, c->dir, name, e);
	if (!rc)
		rc = hf_dir_make(dir, 0700, e);
	if (!rc)
		rc = hf_dir_sync(c->dir, e);
	if (rc)
		return rc;
	k = key_new(name);
	if (!k)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	(void)hf_copy(k->token, sizeof(k->token), token);
	k->usage = usage;
	k->exported = made->outside;
	rc = add_generation(c, k, made, e);
	if (!rc)
		rc = write_key(c, k, e);
	if (!rc)
		rc = insert(c, k, e);
	if (rc) {
		if (k->n)
			unlink_generation(dir, k->generations[0].id);
		(void)rmdir(dir);
		key_free(k);
		return rc;
	}
	*out = k;
	return HF_OK;
}

enum hf_rc hf_catalogue_stage(struct hf_catalogue *c, struct hf_key *k, const struct hf_made *made,
			      struct hf_err *e)
{
	if (k->n == HF_GENERATIONS_MAX)
		return hf_fail(e, HF_REFUSED,
			       "key %s has %d generations already; retire one that is not current",
			       k->name, HF_GENERATIONS_MAX);
	if (check_new(c, made, e))
		return HF_EXISTS;
	if (made->outside && hf_catalogue_set_exported(c, k, e))
		return HF_IO;
	return add_generation(c, k, made, e);
}

enum hf_rc hf_catalogue_make_current(struct hf_catalogue *c, struct hf_key *k,
				     struct hf_generation *g, uint64_t now, uint32_t grace_s,
				     struct hf_err *e)
{
	struct hf_generation *old = &k->generations[k->current];
	uint64_t retire_at = g->retire_at;
	enum hf_rc rc;

	if (g == old)
		return HF_OK;
	old->retire_at = now + grace_s;
	g->retire_at = 0;
	k->current = (size_t)(g - k->generations);
	rc = write_key(c, k, e);
	if (rc) {
		k->current = (size_t)(old - k->generations);
		old->retire_at = 0;
		g->retire_at = retire_at;
	}
	return rc;
}

/* The last thing that is done: whoever is told may change the catalogue. */
static void forget(const struct hf_catalogue *c, const struct hf_key *k,
		   const struct hf_generation *g)
{
	if (c->forget)
		c->forget(c->context, k, g);
}

/* key.json may still name it as retiring: reading it knows that. */
enum hf_rc hf_catalogue_retire(struct hf_catalogue *c, struct hf_key *k, struct hf_generation *g,
			       struct hf_err *e)
{
	size_t at = (size_t)(g - k->generations);
	struct hf_generation gone;
	char dir[HF_PATH_MAX];
	enum hf_rc rc;

	if (at == k->current)
		return hf_fail(
			e, HF_REFUSED,
			"the current generation of %s cannot retire; make another one current "
			"first, or delete the key",
			k->name);
	rc = key_dir(c, k, dir, e);
	if (rc)
		return rc;
	unlink_generation(dir, g->id);
	gone = *g;
	memmove(g, g + 1, (k->n - at - 1) * sizeof(*g));
	k->n--;
	if (k->current > at)
		k->current--;
	rc = write_key(c, k, e);
	forget(c, k, &gone);
	generation_finish(&gone);
	return rc;
}

enum hf_rc hf_catalogue_delete(struct hf_catalogue *c, struct hf_key *k, struct hf_err *e)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	size_t at = hf_catalogue_after(c, k->name) - 1, i;
	enum hf_rc rc = key_dir(c, k, dir, e);

	if (!rc)
		rc = hf_path_join(path, dir, "key.json", e);
	if (rc)
		return rc;
	if (unlink(path)) /* from here on there is no such key */
		return hf_fail_errno(e, HF_IO, "cannot delete %s", path);
	rc = hf_dir_sync(dir, e);
	for (i = 0; i < k->n; i++)
		unlink_generation(dir, k->generations[i].id);
	(void)rmdir(dir);
	(void)hf_dir_sync(c->dir, NULL);
	memmove(c->keys + at, c->keys + at + 1, (c->n - at - 1) * sizeof(*c->keys));
	c->n--;
	for (i = 0; i < k->n; i++)
		forget(c, k, &k->generations[i]);
	key_free(k);
	return rc;
}

enum hf_rc hf_catalogue_set_issuer(struct hf_catalogue *c, struct hf_key *k, uint64_t not_after,
				   struct hf_view subject, struct hf_err *e)
{
	struct hf_buf old = k->issuer_subject, fresh = HF_BUF(NAME_MAX_SUBJECT);
	uint64_t before = k->issuer_not_after;
	enum hf_rc rc;

	hf_buf_add(&fresh, subject.p, subject.n);
	if (fresh.bad)
		return hf_fail(e, HF_REFUSED, "the certificate's subject is over %u bytes",
			       NAME_MAX_SUBJECT);
	k->issuer_subject = fresh;
	k->issuer_not_after = not_after;
	rc = write_key(c, k, e);
	if (rc) {
		k->issuer_subject = old;
		k->issuer_not_after = before;
		hf_buf_finish(&fresh);
	} else {
		hf_buf_finish(&old);
	}
	return rc;
}

enum hf_rc hf_catalogue_set_exported(struct hf_catalogue *c, struct hf_key *k, struct hf_err *e)
{
	bool before = k->exported;
	enum hf_rc rc;

	k->exported = true;
	rc = before ? HF_OK : write_key(c, k, e);
	if (rc)
		k->exported = before;
	return rc;
}

enum hf_rc hf_catalogue_evidence(const struct hf_catalogue *c, const struct hf_key *k,
				 const struct hf_generation *g, struct hf_buf *data,
				 struct hf_buf *ticket, struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(HF_RECORD_MAX);
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];

	if (key_dir(c, k, dir, e))
		return e->rc;
	generation_path(path, dir, g->id, ".json");
	if (hf_file_read(path, true, &text, e))
		return e->rc;
	return hf_record_read_evidence(HF_VIEW_BUF(&text), data, ticket, e)
		       ? hf_within(e, "%s", path)
		       : HF_OK;
}

uint64_t hf_catalogue_collect(struct hf_catalogue *c, uint64_t now)
{
	uint64_t next = 0;
	size_t i, j;

	for (i = 0; i < c->n; i++) {
		struct hf_key *k = c->keys[i];

		for (j = k->n; j-- > 0;) {
			struct hf_generation *g = &k->generations[j];
			struct hf_err err = HF_ERR_INIT;

			if (!g->retire_at || j == k->current)
				continue;
			if (g->retire_at > now)
				next = !next || g->retire_at < next ? g->retire_at : next;
			else if (hf_catalogue_retire(c, k, g, &err))
				hf_log(HF_LOG_ERR, "catalogue: retire of %s: %s", k->name, err.msg);
		}
	}
	return next;
}
