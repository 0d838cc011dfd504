/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/settings.h"

#include <json-c/json.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/glob.h"
#include "broker/policy.h"
#include "conf/strict.h"
#include "wire/mech.h"
#include "wire/packet.h"

/* Where we are in the file, for messages: "holdfastd.json: tokens[0].name". */
struct place {
	const char *file, *array;
	size_t index;
};

enum kind { TEXT, NUMBER, SIGNED, LIST, IGNORED };

/* One member of an object: a row. @min/@max bound the number or the length of the text. */
struct member {
	const char *name;
	enum kind kind;
	size_t offset;
	int64_t min, max;
	enum hf_rc (*list)(void *object, json_object *array, const struct place *, struct hf_err *);
	bool optional; /* since a later release of `config apply` */
};

static enum hf_rc wrong(struct hf_err *e, const struct place *at, const char *member,
			const char *want)
{
	const char *hint =
		"this file is written by 'holdfast config apply', which has to be run again";

	if (at->array)
		return hf_fail(e, HF_ARGUMENT, "%s: %s[%zu].%s: %s; %s", at->file, at->array,
			       at->index, member, want, hint);
	return hf_fail(e, HF_ARGUMENT, "%s: %s: %s; %s", at->file, member, want, hint);
}

static enum hf_rc read_number(void *to, size_t size, const struct member *m, json_object *v,
			      const struct place *at, struct hf_err *e)
{
	int64_t n = json_object_get_int64(v);
	uint32_t u = (uint32_t)n;

	if (!json_object_is_type(v, json_type_int) || n < m->min || n > m->max)
		return wrong(e, at, m->name, "is not a number within its bounds");
	if (size == sizeof(n))
		memcpy(to, &n, sizeof(n));
	else
		memcpy(to, &u, sizeof(u));
	return HF_OK;
}

static enum hf_rc read_member(void *object, const struct member *m, json_object *v,
			      const struct place *at, struct hf_err *e)
{
	char *to = (char *)object + m->offset;

	switch (m->kind) {
	case TEXT:
		if (!json_object_is_type(v, json_type_string) ||
		    json_object_get_string_len(v) < m->min ||
		    json_object_get_string_len(v) >= m->max ||
		    strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v))
			return wrong(e, at, m->name, "is not a text of a fitting length");
		strcpy(to, json_object_get_string(v)); /* bounded just above */
		return HF_OK;
	case NUMBER:
		return read_number(to, sizeof(uint32_t), m, v, at, e);
	case SIGNED:
		return read_number(to, sizeof(int64_t), m, v, at, e);
	case LIST:
		if (!json_object_is_type(v, json_type_array) ||
		    json_object_array_length(v) > (size_t)m->max)
			return wrong(e, at, m->name, "is not a list, or too long a one");
		return m->list(object, v, &(struct place){ at->file, m->name, 0 }, e);
	case IGNORED:
		return HF_OK;
	}
	return HF_FAILED;
}

/* Every member has to be there, unless it is optional, and nothing else. */
static enum hf_rc read_object(void *object, const struct member *rows, json_object *v,
			      const struct place *at, struct hf_err *e)
{
	const struct member *m;
	enum hf_rc rc;

	if (!json_object_is_type(v, json_type_object))
		return wrong(e, at, "", "is not an object");
	json_object_object_foreach(v, name, value)
	{
		for (m = rows; m->name && strcmp(m->name, name); m++)
			;
		if (!m->name)
			return wrong(e, at, name, "is not known to this holdfastd");
		rc = read_member(object, m, value, at, e);
		if (rc)
			return rc;
	}
	for (m = rows; m->name; m++)
		if (!m->optional && !json_object_object_get_ex(v, m->name, NULL))
			return wrong(e, at, m->name, "is missing");
	return HF_OK;
}

#define ROW_TEXT(type, field, min)                                                                 \
	{                                                                                          \
#field, TEXT, offsetof(type, field), min, sizeof(((type *)0)->field), NULL, false  \
	}
#define ROW_NUMBER(type, field, min, max)                                                          \
	{                                                                                          \
#field, NUMBER, offsetof(type, field), min, max, NULL, false                       \
	}
#define ROW_SIGNED(type, field, min, max)                                                          \
	{                                                                                          \
#field, SIGNED, offsetof(type, field), min, max, NULL, false                       \
	}
#define ROW_LIST(field, max, read)                                                                 \
	{                                                                                          \
#field, LIST, 0, 0, max, read, false                                               \
	}
#define ROW_END                                                                                    \
	{                                                                                          \
		NULL, TEXT, 0, 0, 0, NULL, false                                                   \
	}

static const struct member tpm2_rows[] = {
	ROW_TEXT(struct hf_token_conf, name, 1),
	ROW_TEXT(struct hf_token_conf, type, 1),
	ROW_TEXT(struct hf_token_conf, tcti, 0),
	ROW_NUMBER(struct hf_token_conf, primary_handle, 0x81000000, 0x81ffffff),
	ROW_NUMBER(struct hf_token_conf, timeout_ms, 100, 600000),
	ROW_END,
};

static const struct member socket_rows[] = {
	ROW_TEXT(struct hf_socket_conf, name, 1),	  ROW_TEXT(struct hf_socket_conf, path, 2),
	ROW_TEXT(struct hf_socket_conf, owner, 0),	  ROW_TEXT(struct hf_socket_conf, group, 0),
	ROW_NUMBER(struct hf_socket_conf, mode, 0, 0777), ROW_END,
};

static const struct member limit_rows[] = {
	ROW_NUMBER(struct hf_limits, connections, 1, 65536),
	ROW_NUMBER(struct hf_limits, connections_per_principal, 1, 65536),
	ROW_NUMBER(struct hf_limits, queue_per_principal, 1, 4096),
	ROW_NUMBER(struct hf_limits, idle_s, 0, 86400),
	{ "queue", NUMBER, offsetof(struct hf_limits, queue), 1, 65536, NULL, true },
	{ "packet", NUMBER, offsetof(struct hf_limits, packet), 4096, HF_PACKET_MAX, NULL, true },
	{ "bytes", NUMBER, offsetof(struct hf_limits, bytes), 4 * HF_PACKET_MAX, 8 << 20, NULL,
	  true },
	ROW_END,
};

/* Texts of a list into an array of rows of @size bytes each. */
static enum hf_rc read_texts(char *to, size_t size, json_object *list, const struct place *at,
			     struct hf_err *e)
{
	size_t i, n = json_object_array_length(list);

	for (i = 0; i < n; i++) {
		json_object *v = json_object_array_get_idx(list, i);

		if (!json_object_is_type(v, json_type_string) ||
		    !hf_copy(to + i * size, size, json_object_get_string(v)))
			return wrong(e, at, at->array, "has an entry that is no text, or too long");
	}
	return HF_OK;
}

static enum hf_rc read_environment(void *object, json_object *list, const struct place *at,
				   struct hf_err *e)
{
	struct hf_token_conf *t = object;

	t->n_environment = json_object_array_length(list);
	return read_texts(t->environment[0], sizeof(t->environment[0]), list, at, e);
}

static const struct member preloaded_rows[] = {
	ROW_TEXT(struct hf_preloaded, name, 1),
	ROW_TEXT(struct hf_preloaded, uri, 8),
	ROW_TEXT(struct hf_preloaded, usage, 2),
	ROW_END,
};

static enum hf_rc read_rows(void *rows, size_t size, const struct member *members,
			    json_object *list, const struct place *at, struct hf_err *e);

static enum hf_rc read_preloaded(void *object, json_object *list, const struct place *at,
				 struct hf_err *e)
{
	struct hf_token_conf *t = object;

	t->n_keys = json_object_array_length(list);
	return read_rows(t->keys, sizeof(t->keys[0]), preloaded_rows, list, at, e);
}

static const struct member pkcs11_rows[] = {
	ROW_TEXT(struct hf_token_conf, name, 1),
	ROW_TEXT(struct hf_token_conf, type, 1),
	ROW_TEXT(struct hf_token_conf, module, 2),
	ROW_TEXT(struct hf_token_conf, uri, 7),
	ROW_TEXT(struct hf_token_conf, pin, 0),
	ROW_NUMBER(struct hf_token_conf, workers, 1, HF_WORKERS_MAX),
	ROW_LIST(environment, HF_ENVIRONMENT_MAX, read_environment),
	{ "confine", TEXT, offsetof(struct hf_token_conf, confine), 0, 16, NULL, true },
	ROW_LIST(keys, HF_PRELOADED_MAX, read_preloaded),
	ROW_NUMBER(struct hf_token_conf, timeout_ms, 100, 600000),
	ROW_END,
};

static enum hf_rc read_keys(void *object, json_object *list, const struct place *at,
			    struct hf_err *e)
{
	struct hf_grant *g = object;

	free(g->keys); /* a member that comes twice */
	g->n_keys = json_object_array_length(list);
	g->keys = calloc(g->n_keys + 1, sizeof(*g->keys));
	if (!g->keys)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	return read_texts(g->keys[0], sizeof(g->keys[0]), list, at, e);
}

static enum hf_rc read_rights(void *object, json_object *list, const struct place *at,
			      struct hf_err *e)
{
	struct hf_grant *g = object;
	size_t i;

	for (i = 0; i < json_object_array_length(list); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(list, i));
		unsigned right = name ? hf_right_parse(name) : 0;

		if (!right)
			return wrong(e, at, "rights", "has a right that is not known");
		g->rights |= right;
	}
	return HF_OK;
}

static enum hf_rc read_names(void *object, json_object *list, const struct place *at,
			     struct hf_err *e)
{
	struct hf_profile *p = object;

	p->n_names = json_object_array_length(list);
	return read_texts(p->names[0], sizeof(p->names[0]), list, at, e);
}

static enum hf_rc read_schemes(void *object, json_object *list, const struct place *at,
			       struct hf_err *e)
{
	struct hf_grant *g = object;

	g->n_schemes = json_object_array_length(list);
	return read_texts(g->schemes[0], sizeof(g->schemes[0]), list, at, e);
}

static const struct member grant_rows[] = {
	ROW_SIGNED(struct hf_grant, uid, -1, UINT32_MAX - 1),
	ROW_SIGNED(struct hf_grant, gid, -1, UINT32_MAX - 1),
	ROW_TEXT(struct hf_grant, socket, 0),
	ROW_LIST(keys, HF_PATTERNS_MAX, read_keys),
	ROW_LIST(rights, 16, read_rights),
	{ "schemes", LIST, 0, 0, 8, read_schemes, true },
	{ "rate", NUMBER, offsetof(struct hf_grant, rate), 0, 1000000, NULL, true },
	ROW_END,
};

static const struct member profile_rows[] = {
	ROW_TEXT(struct hf_profile, key, 1),
	ROW_NUMBER(struct hf_profile, max_days, 1, 36500),
	ROW_NUMBER(struct hf_profile, self_max_days, 1, 36500),
	ROW_NUMBER(struct hf_profile, pathlen, 0, 16),
	{ "ca_levels", NUMBER, offsetof(struct hf_profile, ca_levels), 0, 16, NULL, true },
	ROW_LIST(names, 16, read_names),
	ROW_END,
};

static enum hf_rc read_rows(void *rows, size_t size, const struct member *members,
			    json_object *list, const struct place *at, struct hf_err *e)
{
	size_t i, n = json_object_array_length(list);
	enum hf_rc rc = HF_OK;

	for (i = 0; i < n && !rc; i++)
		rc = read_object((char *)rows + i * size, members,
				 json_object_array_get_idx(list, i),
				 &(struct place){ at->file, at->array, i }, e);
	return rc;
}

static enum hf_rc read_tokens(void *object, json_object *list, const struct place *at,
			      struct hf_err *e)
{
	struct hf_settings *s = object;
	enum hf_rc rc = HF_OK;
	size_t i;

	s->n_tokens = json_object_array_length(list);
	for (i = 0; i < s->n_tokens && !rc; i++) {
		json_object *v = json_object_array_get_idx(list, i), *type = NULL;
		bool pkcs11 = json_object_is_type(v, json_type_object) &&
			      json_object_object_get_ex(v, "type", &type) &&
			      json_object_is_type(type, json_type_string) &&
			      !strcmp(json_object_get_string(type), "pkcs11");

		s->tokens[i].workers = 1;
		rc = read_object(&s->tokens[i], pkcs11 ? pkcs11_rows : tpm2_rows, v,
				 &(struct place){ at->file, at->array, i }, e);
	}
	return rc;
}

static enum hf_rc read_sockets(void *object, json_object *list, const struct place *at,
			       struct hf_err *e)
{
	struct hf_settings *s = object;

	s->n_sockets = json_object_array_length(list);
	return read_rows(s->sockets, sizeof(s->sockets[0]), socket_rows, list, at, e);
}

static enum hf_rc read_metrics(void *object, json_object *list, const struct place *at,
			       struct hf_err *e)
{
	struct hf_settings *s = object;

	s->n_metrics = json_object_array_length(list);
	return read_rows(s->metrics, sizeof(s->metrics[0]), socket_rows, list, at, e);
}

static enum hf_rc read_grants(void *object, json_object *list, const struct place *at,
			      struct hf_err *e)
{
	struct hf_settings *s = object;

	if (s->grants)
		return wrong(e, at, "principals", "is there twice");
	s->n_grants = json_object_array_length(list);
	s->grants = calloc(s->n_grants + 1, sizeof(*s->grants));
	if (!s->grants)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	return read_rows(s->grants, sizeof(s->grants[0]), grant_rows, list, at, e);
}

static enum hf_rc read_profiles(void *object, json_object *list, const struct place *at,
				struct hf_err *e)
{
	struct hf_settings *s = object;

	free(s->profiles);
	s->n_profiles = json_object_array_length(list);
	s->profiles = calloc(s->n_profiles + 1, sizeof(*s->profiles));
	if (!s->profiles)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	return read_rows(s->profiles, sizeof(s->profiles[0]), profile_rows, list, at, e);
}

static enum hf_rc read_limits(struct hf_settings *s, json_object *v, const char *file,
			      struct hf_err *e)
{
	json_object *limits;

	if (!json_object_object_get_ex(v, "limits", &limits))
		return hf_fail(e, HF_ARGUMENT, "%s: limits: is missing", file);
	s->limits.queue = 2048;
	s->limits.packet = HF_PACKET_MAX;
	s->limits.bytes = 8u << 20;
	return read_object(&s->limits, limit_rows, limits, &(struct place){ file, "limits", 0 }, e);
}

static const struct member settings_rows[] = {
	{ "version", IGNORED, 0, 0, 0, NULL, false },
	{ "limits", IGNORED, 0, 0, 0, NULL, false },
	ROW_TEXT(struct hf_settings, state_dir, 1),
	ROW_TEXT(struct hf_settings, default_token, 1),
	ROW_LIST(tokens, HF_TOKENS_MAX, read_tokens),
	ROW_LIST(sockets, HF_SOCKETS_MAX, read_sockets),
	{ "metrics", LIST, 0, 0, 1, read_metrics, true },
	ROW_LIST(principals, HF_GRANTS_MAX, read_grants),
	ROW_LIST(profiles, HF_PROFILES_MAX, read_profiles),
	ROW_END,
};

static enum hf_rc check_whole(const struct hf_settings *s, const char *where, struct hf_err *e)
{
	size_t i, j;
	bool found = false;

	if (!s->n_tokens || !s->n_sockets)
		return hf_fail(e, HF_ARGUMENT, "%s: there has to be a token and a socket", where);
	for (i = 0; i < s->n_tokens; i++) {
		found = found || !strcmp(s->tokens[i].name, s->default_token);
		for (j = 0; j < i; j++)
			if (!strcmp(s->tokens[i].name, s->tokens[j].name))
				return hf_fail(e, HF_ARGUMENT, "%s: two tokens are called %s",
					       where, s->tokens[i].name);
		if (!hf_key_name_ok(s->tokens[i].name))
			return hf_fail(e, HF_ARGUMENT, "%s: '%s' is no name for a token", where,
				       s->tokens[i].name);
	}
	for (i = 0; s->n_metrics && i < s->n_sockets; i++)
		if (!strcmp(s->sockets[i].name, s->metrics[0].name))
			return hf_fail(e, HF_ARGUMENT, "%s: two sockets are called %s", where,
				       s->metrics[0].name);
	if (!found)
		return hf_fail(e, HF_ARGUMENT, "%s: default_token %s is not among the tokens",
			       where, s->default_token);
	if (s->state_dir[0] != '/')
		return hf_fail(e, HF_ARGUMENT, "%s: state_dir has to be an absolute path", where);
	return HF_OK;
}

static enum hf_rc parse(struct hf_settings *s, json_object *v, const char *where, struct hf_err *e)
{
	json_object *version;
	enum hf_rc rc;

	if (!json_object_object_get_ex(v, "version", &version) || json_object_get_int(version) != 1)
		return hf_fail(e, HF_ARGUMENT,
			       "%s: version is not 1; run 'holdfast config apply' of this release",
			       where);
	rc = read_object(s, settings_rows, v, &(struct place){ where, NULL, 0 }, e);
	if (!rc)
		rc = read_limits(s, v, where, e);
	if (!rc)
		rc = check_whole(s, where, e);
	return rc;
}

struct hf_settings *hf_settings_parse(const char *text, size_t n, const char *where,
				      struct hf_err *e)
{
	struct hf_settings *s = calloc(1, sizeof(*s));
	json_tokener *tokener = json_tokener_new_ex(8);
	json_object *v = NULL;
	enum hf_rc rc = HF_NO_MEMORY;

	if (s && tokener && n < INT32_MAX) {
		json_tokener_set_flags(tokener, hf_json_strict());
		v = json_tokener_parse_ex(tokener, text, (int)n);
		if (!v || !json_object_is_type(v, json_type_object))
			rc = hf_fail(e, HF_ARGUMENT, "%s: not JSON (%s at byte %zu)", where,
				     json_tokener_error_desc(json_tokener_get_error(tokener)),
				     json_tokener_get_parse_end(tokener));
		else
			rc = parse(s, v, where, e);
	} else {
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
	}
	json_object_put(v);
	if (tokener)
		json_tokener_free(tokener);
	if (rc) {
		hf_settings_free(s);
		return NULL;
	}
	return s;
}

/* It is the policy: who may write it, or change what its path means, has every right. */
static enum hf_rc check_path(const char *path, struct hf_err *e)
{
	char here[HF_PATH_MAX], whole[HF_PATH_MAX];
	struct stat st;

	if (path[0] == '/' ? !hf_copy(whole, sizeof(whole), path)
			   : !getcwd(here, sizeof(here)) || hf_path_join(whole, here, path, NULL))
		return hf_fail(e, HF_ARGUMENT, "%.60s: give the absolute path", path);
	if (!lstat(whole, &st) && S_ISREG(st.st_mode) && (st.st_mode & 022))
		return hf_fail(e, HF_REFUSED, "%s may be written by others (mode %04o); chmod it",
			       path, (unsigned)st.st_mode & 07777);
	return hf_path_trusted(whole, e);
}

struct hf_settings *hf_settings_load(const char *path, struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(4u << 20);

	if (check_path(path, e))
		return NULL;
	if (hf_file_read(path, true, &text, e)) {
		(void)hf_fail(e, HF_IO, "%s cannot be read; run 'holdfast config apply' first",
			      path);
		return NULL;
	}
	return hf_settings_parse(text.p ? (const char *)text.p : "", text.n, path, e);
}

struct hf_settings *hf_settings_reload(const char *path, const struct hf_settings *old,
				       bool *restart, struct hf_err *e)
{
	struct hf_settings *s = hf_settings_load(path, e);
	size_t i;

	if (!s)
		return NULL;
	*restart = s->n_tokens != old->n_tokens || s->n_sockets != old->n_sockets ||
		   s->n_metrics != old->n_metrics ||
		   memcmp(s->tokens, old->tokens, sizeof(old->tokens)) ||
		   memcmp(s->sockets, old->sockets, sizeof(old->sockets)) ||
		   memcmp(s->metrics, old->metrics, sizeof(old->metrics)) ||
		   strcmp(s->state_dir, old->state_dir);
	memcpy(s->tokens, old->tokens, sizeof(old->tokens));
	memcpy(s->sockets, old->sockets, sizeof(old->sockets));
	memcpy(s->metrics, old->metrics, sizeof(old->metrics));
	memcpy(s->state_dir, old->state_dir, sizeof(old->state_dir));
	s->n_tokens = old->n_tokens;
	s->n_sockets = old->n_sockets;
	s->n_metrics = old->n_metrics;
	for (i = 0; i < s->n_tokens && strcmp(s->tokens[i].name, s->default_token); i++)
		;
	if (i == s->n_tokens)
		memcpy(s->default_token, old->default_token, sizeof(old->default_token));
	return s;
}

void hf_settings_free(struct hf_settings *s)
{
	size_t i;

	if (!s)
		return;
	for (i = 0; s->grants && i < s->n_grants; i++)
		free(s->grants[i].keys);
	free(s->grants);
	free(s->profiles);
	free(s);
}

const struct hf_profile *hf_settings_profile(const struct hf_settings *s, const char *key)
{
	static const struct hf_profile standard = { .max_days = 90, .self_max_days = 3650 };
	size_t i;

	for (i = 0; i < s->n_profiles; i++)
		if (hf_glob(s->profiles[i].key, key))
			return &s->profiles[i];
	return &standard;
}
