/* SPDX-License-Identifier: Apache-2.0 */
#include "est/job.h"

#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "conf/strict.h"

enum kind { TEXT, FLAG, NUMBER, WORD, OBJECT, LIST };

/* One member of an object: a row. */
struct member {
	const char *name;
	enum kind kind;
	size_t offset;
	int64_t min, max;	     /* of a number */
	const char *const *words;    /* of a WORD: its values in order, NULL at the end */
	const struct member *object; /* of an OBJECT */
	enum hf_rc (*list)(struct hf_est_job *job, json_object *array, struct hf_err *e);
};

#define AT(field) offsetof(struct hf_est_job, field)
#define END                                                                                        \
	{                                                                                          \
		NULL, TEXT, 0, 0, 0, NULL, NULL, NULL                                              \
	}

static const char *const ops[] = { "cacerts", "csrattrs", "enroll", "reenroll", NULL };
static const char *const modes[] = { "pinned", "fingerprint", "system", NULL };
static const char *const bindings[] = { "auto", "tls-unique", "tls-exporter", "none", NULL };
static const char *const attrs_words[] = { "auto", "ignore", NULL };
static const char *const chain_words[] = { "full", "leaf", NULL };

static bool is_text(json_object *v)
{
	return json_object_is_type(v, json_type_string) &&
	       strlen(json_object_get_string(v)) == (size_t)json_object_get_string_len(v);
}

static enum hf_rc read_texts(json_object *array, const char **to, uint32_t *n, uint32_t max,
			     const char *name, struct hf_err *e)
{
	size_t i, count;

	if (!json_object_is_type(array, json_type_array) || json_object_array_length(array) > max)
		return hf_fail(e, HF_ARGUMENT, "'%s' is not a list of at most %u texts", name, max);
	count = json_object_array_length(array);
	for (i = 0; i < count; i++) {
		json_object *v = json_object_array_get_idx(array, i);

		if (!is_text(v))
			return hf_fail(e, HF_ARGUMENT, "'%s' has something in it that is no text",
				       name);
		to[(*n)++] = json_object_get_string(v);
	}
	return HF_OK;
}

static enum hf_rc read_sans(struct hf_est_job *job, json_object *array, struct hf_err *e)
{
	return read_texts(array, job->sans, &job->n_sans, HF_EST_SANS_MAX, "sans", e);
}

static enum hf_rc read_ekus(struct hf_est_job *job, json_object *array, struct hf_err *e)
{
	return read_texts(array, job->ekus, &job->n_ekus, HF_EST_EKUS_MAX, "eku", e);
}

static enum hf_rc read_tolerate(struct hf_est_job *job, json_object *array, struct hf_err *e)
{
	const char *words[3];
	uint32_t n = 0, i;

	if (read_texts(array, words, &n, HF_COUNT(words), "tolerate", e))
		return e->rc;
	for (i = 0; i < n; i++) {
		if (!strcmp(words[i], "subject"))
			job->any_subject = true;
		else if (!strcmp(words[i], "san"))
			job->any_san = true;
		else if (!strcmp(words[i], "eku"))
			job->any_eku = true;
		else
			return hf_fail(e, HF_ARGUMENT,
				       "'tolerate' knows subject, san and eku, not '%.40s'",
				       words[i]);
	}
	return HF_OK;
}

static const struct member trust_rows[] = {
	{ "mode", WORD, AT(trust), 0, 0, modes, NULL, NULL },
	{ "pem", TEXT, AT(trust_pem), 0, 0, NULL, NULL, NULL },
	{ "sha256", TEXT, AT(fingerprint), 0, 0, NULL, NULL, NULL },
	{ "anchors_pem", TEXT, AT(anchors_pem), 0, 0, NULL, NULL, NULL },
	END,
};
static const struct member basic_rows[] = {
	{ "username", TEXT, AT(username), 0, 0, NULL, NULL, NULL },
	{ "password", TEXT, AT(password), 0, 0, NULL, NULL, NULL },
	END,
};
static const struct member tls_rows[] = {
	{ "cert_pem", TEXT, AT(tls_cert_pem), 0, 0, NULL, NULL, NULL },
	{ "key", TEXT, AT(tls_key), 0, 0, NULL, NULL, NULL },
	END,
};
static const struct member auth_rows[] = {
	{ "basic", OBJECT, AT(basic), 0, 0, NULL, basic_rows, NULL },
	{ "bearer", TEXT, AT(bearer), 0, 0, NULL, NULL, NULL },
	{ "tls", OBJECT, 0, 0, 0, NULL, tls_rows, NULL },
	END,
};
static const struct member job_rows[] = {
	{ "version", NUMBER, 0, 1, 1, NULL, NULL, NULL },
	{ "op", WORD, AT(op), 0, 0, ops, NULL, NULL },
	{ "url", TEXT, AT(url), 0, 0, NULL, NULL, NULL },
	{ "trust", OBJECT, 0, 0, 0, NULL, trust_rows, NULL },
	{ "auth", OBJECT, 0, 0, 0, NULL, auth_rows, NULL },
	{ "key", TEXT, AT(key), 0, 0, NULL, NULL, NULL },
	{ "subject", TEXT, AT(subject), 0, 0, NULL, NULL, NULL },
	{ "sans", LIST, 0, 0, 0, NULL, NULL, read_sans },
	{ "eku", LIST, 0, 0, 0, NULL, NULL, read_ekus },
	{ "ca", FLAG, AT(ca), 0, 0, NULL, NULL, NULL },
	{ "pathlen", NUMBER, AT(pathlen), -1, 16, NULL, NULL, NULL },
	{ "replace_pem", TEXT, AT(replace_pem), 0, 0, NULL, NULL, NULL },
	{ "tolerate", LIST, 0, 0, 0, NULL, NULL, read_tolerate },
	{ "csrattrs", WORD, AT(ignore_csrattrs), 0, 0, attrs_words, NULL, NULL },
	{ "binding", WORD, AT(binding), 0, 0, bindings, NULL, NULL },
	{ "client_chain", WORD, AT(leaf_only), 0, 0, chain_words, NULL, NULL },
	{ "follow_redirects", FLAG, AT(follow_redirects), 0, 0, NULL, NULL, NULL },
	{ "proxy", TEXT, AT(proxy), 0, 0, NULL, NULL, NULL },
	{ "connect_timeout_ms", NUMBER, AT(connect_timeout_ms), 1, 600000, NULL, NULL, NULL },
	{ "timeout_ms", NUMBER, AT(timeout_ms), 1, 600000, NULL, NULL, NULL },
	{ "time", NUMBER, AT(time), 0, INT64_C(253402300799), NULL, NULL, NULL },
	END,
};

static enum hf_rc read_object(struct hf_est_job *job, const struct member *rows, json_object *o,
			      const char *what, struct hf_err *e);

static enum hf_rc read_word(char *to, const struct member *m, json_object *v, struct hf_err *e)
{
	uint32_t i;

	for (i = 0; m->words[i]; i++)
		if (is_text(v) && !strcmp(json_object_get_string(v), m->words[i])) {
			if (m->words == attrs_words || m->words == chain_words)
				*(bool *)to = i != 0;
			else
				*(uint32_t *)(void *)to = i;
			return HF_OK;
		}
	return hf_fail(e, HF_ARGUMENT, "'%s' is not one of '%s', '%s'%s", m->name, m->words[0],
		       m->words[1], m->words[2] ? "…" : "");
}

static enum hf_rc read_member(struct hf_est_job *job, const struct member *m, json_object *v,
			      struct hf_err *e)
{
	char *to = (char *)job + m->offset;
	int64_t n;

	switch (m->kind) {
	case TEXT:
		if (!is_text(v))
			return hf_fail(e, HF_ARGUMENT, "'%s' is not a text", m->name);
		*(const char **)(void *)to = json_object_get_string(v);
		return HF_OK;
	case FLAG:
		if (!json_object_is_type(v, json_type_boolean))
			return hf_fail(e, HF_ARGUMENT, "'%s' is not true or false", m->name);
		*(bool *)to = json_object_get_boolean(v) != 0;
		return HF_OK;
	case NUMBER:
		n = json_object_get_int64(v);
		if (!json_object_is_type(v, json_type_int) || n < m->min || n > m->max)
			return hf_fail(e, HF_ARGUMENT, "'%s' is not a number within its bounds",
				       m->name);
		if (m->offset)
			*(int64_t *)(void *)to = n;
		return HF_OK;
	case WORD:
		return read_word(to, m, v, e);
	case OBJECT:
		if (m->object == basic_rows)
			job->basic = true;
		return read_object(job, m->object, v, m->name, e);
	case LIST:
		return m->list(job, v, e);
	}
	return HF_FAILED;
}

static enum hf_rc read_object(struct hf_est_job *job, const struct member *rows, json_object *o,
			      const char *what, struct hf_err *e)
{
	const struct member *m;
	char shown[80];

	if (!json_object_is_type(o, json_type_object))
		return hf_fail(e, HF_ARGUMENT, "'%s' is not an object", what);
	json_object_object_foreach(o, name, value)
	{
		for (m = rows; m->name && strcmp(m->name, name); m++)
			;
		if (!m->name)
			return hf_fail(e, HF_ARGUMENT, "'%s' has a member '%s' that is not known",
				       what, hf_escape(shown, sizeof(shown), name, strlen(name)));
		if (read_member(job, m, value, e))
			return e->rc;
	}
	return HF_OK;
}

static bool has(json_object *o, const char *name)
{
	return json_object_object_get_ex(o, name, NULL);
}

static enum hf_rc check_trust(struct hf_est_job *job, struct hf_err *e)
{
	char hex[65];
	size_t n = 0;
	const char *p;

	if (job->trust == HF_EST_PINNED && !job->trust_pem[0])
		return hf_fail(e, HF_ARGUMENT, "trust 'pinned' needs CA certificates in 'pem'");
	if (job->trust != HF_EST_FINGERPRINT)
		return HF_OK;
	/* as openssl prints it: in pairs, with colons */
	for (p = job->fingerprint; *p && n < sizeof(hex) - 1; p++)
		if (*p != ':' && *p != ' ')
			hex[n++] = *p;
	hex[n] = '\0';
	if (*p || !hf_unhex(job->sha256, sizeof(job->sha256), hex))
		return hf_fail(e, HF_ARGUMENT,
			       "trust 'fingerprint' needs the SHA-256 of the CA certificate, 64 "
			       "hex digits, in 'sha256'");
	return HF_OK;
}

/* What one row alone cannot tell. */
static enum hf_rc check(struct hf_est_job *job, struct hf_err *e)
{
	json_object *o = job->json, *trust = NULL;

	if (!has(o, "version") || !has(o, "op") || !has(o, "url") ||
	    !json_object_object_get_ex(o, "trust", &trust) || !has(trust, "mode"))
		return hf_fail(e, HF_ARGUMENT, "version, op, url and trust.mode have to be there");
	if (check_trust(job, e))
		return e->rc;
	if (!job->tls_cert_pem[0] != !job->tls_key[0])
		return hf_fail(e, HF_ARGUMENT,
			       "a client certificate needs a key, and a key a certificate");
	if (job->op == HF_EST_CACERTS || job->op == HF_EST_CSRATTRS)
		return HF_OK;
	if (!job->key[0])
		return hf_fail(e, HF_ARGUMENT, "'key' is missing: which key is to be certified?");
	if (job->op == HF_EST_ENROLL && job->replace_pem[0])
		return hf_fail(e, HF_ARGUMENT, "'replace_pem' is for reenroll");
	if (job->op == HF_EST_REENROLL && !job->replace_pem[0])
		return hf_fail(e, HF_ARGUMENT, "reenroll needs the certificate to be replaced");
	if (job->op == HF_EST_REENROLL && (job->subject[0] || job->n_sans))
		return hf_fail(e, HF_ARGUMENT,
			       "a renewed certificate has the names of the old one (RFC 7030, "
			       "section 4.2.2): leave subject and SAN out, or enroll anew");
	if (job->op == HF_EST_ENROLL && !job->subject[0] && !job->n_sans)
		return hf_fail(e, HF_ARGUMENT, "a certificate needs a subject or a SAN");
	return HF_OK;
}

enum hf_rc hf_est_job_read(struct hf_est_job *job, const void *p, size_t n, struct hf_err *e)
{
	struct json_tokener *t = json_tokener_new_ex(8);
	json_object *o;

	memset(job, 0, sizeof(*job));
	job->url = job->trust_pem = job->anchors_pem = job->fingerprint = "";
	job->username = job->password = job->bearer = job->tls_cert_pem = job->tls_key = "";
	job->key = job->subject = job->replace_pem = job->proxy = "";
	job->pathlen = -1;
	job->connect_timeout_ms = 10000;
	job->timeout_ms = 60000;
	if (!t)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	json_tokener_set_flags(t, hf_json_strict() | JSON_TOKENER_VALIDATE_UTF8);
	o = n <= HF_EST_JOB_MAX ? json_tokener_parse_ex(t, p, (int)n) : NULL;
	if (!o || json_tokener_get_parse_end(t) != n) {
		hf_fail(e, HF_ARGUMENT, "the job is not one JSON object of at most %u bytes (%s)",
			HF_EST_JOB_MAX, json_tokener_error_desc(json_tokener_get_error(t)));
		json_object_put(o);
		json_tokener_free(t);
		return e->rc;
	}
	json_tokener_free(t);
	job->json = o;
	if (read_object(job, job_rows, o, "the job", e) || check(job, e))
		return e->rc;
	return HF_OK;
}

static void wipe(const char *secret)
{
	if (secret && *secret) /* in the memory of json-c, which does not wipe */
		explicit_bzero((char *)(uintptr_t)secret, strlen(secret));
}

void hf_est_job_finish(struct hf_est_job *job)
{
	if (!job || !job->json)
		return;
	wipe(job->password);
	wipe(job->bearer);
	json_object_put(job->json);
	memset(job, 0, sizeof(*job));
}

const char *hf_est_op_name(enum hf_est_op op)
{
	static const char *const paths[] = { "cacerts", "csrattrs", "simpleenroll",
					     "simplereenroll" };

	return paths[op];
}
