/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/estjob.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "conf/reader.h"
#include "est/certs.h"

#define PEM_MAX (256u * 1024)

static void text(json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

static void list(json_object *o, const char *name, const char *rows, size_t size, size_t n)
{
	json_object *a = json_object_new_array();
	size_t i;

	for (i = 0; i < n; i++)
		json_object_array_add(a, json_object_new_string(rows + i * size));
	json_object_object_add(o, name, a);
}

/* One after the other, each on lines of its own. */
enum hf_rc hf_estjob_trust(const struct hf_est_conf *est, struct hf_buf *pem, struct hf_err *e)
{
	enum hf_rc rc = HF_OK;
	size_t i;

	for (i = 0; !rc && i < est->trust.n_files; i++) {
		HF_AUTO_BUF file = HF_BUF(HF_ESTJOB_TRUST_MAX);

		rc = hf_file_read(est->trust.files[i], false, &file, e);
		hf_buf_add(pem, file.p, file.n);
		hf_buf_str(pem, "\n");
	}
	if (!rc && (pem->bad || strlen(pem->p ? (const char *)pem->p : "") != pem->n))
		rc = hf_fail(e, HF_ARGUMENT,
			     "the CA certificates of the EST server are more than %u bytes, or no "
			     "PEM",
			     HF_ESTJOB_TRUST_MAX);
	return rc;
}

static enum hf_rc add_trust(json_object *out, const struct hf_estjob *job, struct hf_err *e)
{
	const struct hf_est_conf *est = &job->c->conf->est;
	HF_AUTO_BUF pem = HF_BUF(strlen(job->trust) + strlen(job->anchors));
	json_object *o = json_object_new_object();

	json_object_object_add(out, "trust", o);
	text(o, "mode", est->trust.mode);
	if (!strcmp(est->trust.mode, "fingerprint"))
		text(o, "sha256", est->trust.sha256);
	/* What the configuration names, and what the server has handed on since. */
	if (strcmp(est->trust.mode, "pinned") != 0) {
		text(o, "anchors_pem", job->anchors);
		return HF_OK;
	}
	hf_buf_str(&pem, job->trust);
	hf_buf_str(&pem, job->anchors);
	text(o, "pem", pem.p ? (const char *)pem.p : "");
	return pem.bad ? hf_fail(e, HF_NO_MEMORY, "out of memory") : HF_OK;
}

/* A JSON string; the texts are UTF-8, as config.toml is. */
static void add_quoted(struct hf_buf *out, const char *value)
{
	hf_buf_str(out, "\"");
	for (; *value; value++)
		if (*value == '"' || *value == '\\')
			hf_buf_fmt(out, "\\%c", *value);
		else if ((unsigned char)*value < ' ')
			hf_buf_fmt(out, "\\u%04x", (unsigned)*value);
		else
			hf_buf_add(out, value, 1);
	hf_buf_str(out, "\"");
}

/* The first line of a file. */
static enum hf_rc read_secret(const char *path, struct hf_buf *secret, struct hf_err *e)
{
	enum hf_rc rc = hf_file_read(path, false, secret, e);

	if (secret->p)
		secret->p[strcspn((const char *)secret->p, "\r\n")] = '\0';
	return rc;
}

bool hf_estjob_basic(const struct hf_est_conf *est)
{
	return est->username[0] || est->password[0] || est->password_file[0];
}

/* Straight into the job: json-c wipes nothing, neither what it frees nor what it moves. */
static enum hf_rc write_basic(const struct hf_est_conf *est, struct hf_buf *out, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(4096);
	const char *password = est->password;
	enum hf_rc rc = HF_OK;

	if (est->password_file[0]) {
		rc = read_secret(est->password_file, &file, e);
		password = file.p ? (const char *)file.p : "";
	}
	hf_buf_str(out, "\"basic\":{\"username\":");
	add_quoted(out, est->username);
	hf_buf_str(out, ",\"password\":");
	add_quoted(out, password);
	hf_buf_str(out, "},");
	return rc;
}

static enum hf_rc write_bearer(const struct hf_est_conf *est, struct hf_buf *out, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(4096);
	enum hf_rc rc = read_secret(est->token_file, &file, e);

	hf_buf_str(out, "\"bearer\":");
	add_quoted(out, file.p ? (const char *)file.p : "");
	hf_buf_str(out, ",");
	return rc;
}

static void pem_of(const struct hf_held *h, bool chain, struct hf_buf *pem)
{
	STACK_OF(X509) *all = chain && h->others ? sk_X509_dup(h->others) : sk_X509_new_null();

	if (all && sk_X509_unshift(all, h->leaf) > 0)
		hf_certs_write(all, pem);
	else
		pem->bad = true;
	sk_X509_free(all);
}

static enum hf_rc write_tls(const struct hf_credential *as, struct hf_buf *out, struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(PEM_MAX);
	char key[96] = "holdfast:sha256:";

	pem_of(&as->held, true, &pem);
	if (pem.bad)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	(void)hf_hex(key + strlen(key), 65, as->held.spki_sha256, 32);
	hf_buf_str(out, "\"tls\":{\"cert_pem\":");
	add_quoted(out, (const char *)pem.p);
	hf_buf_fmt(out, ",\"key\":\"%s\"},", key);
	return HF_OK;
}

static enum hf_rc write_auth(const struct hf_estjob *job, struct hf_buf *out, struct hf_err *e)
{
	const struct hf_est_conf *est = &job->c->conf->est;
	enum hf_rc rc = HF_OK;

	hf_buf_str(out, "{\"auth\":{");
	if (hf_estjob_basic(est))
		rc = write_basic(est, out, e);
	if (!rc && est->token_file[0])
		rc = write_bearer(est, out, e);
	if (!rc && job->as)
		rc = write_tls(job->as, out, e);
	/* A comma follows each of them. */
	if (out->n && out->p[out->n - 1] == ',')
		out->p[--out->n] = '\0';
	hf_buf_str(out, "},");
	return rc;
}

/* "CN=a\,b,O=c" */
static void add_subject(json_object *job, const struct hf_credential_conf *c)
{
	HF_AUTO_BUF name = HF_BUF(16384);
	size_t i;

	for (i = 0; i < c->n_subject; i++) {
		const char *p = c->subject[i][1];

		hf_buf_fmt(&name, "%s%s=", i ? "," : "", c->subject[i][0]);
		for (; *p; p++)
			hf_buf_fmt(&name, "%s%c", *p == ',' || *p == '\\' ? "\\" : "", *p);
	}
	text(job, "subject", name.p ? (const char *)name.p : "");
}

static enum hf_rc add_request(json_object *job, const struct hf_credential *c, bool replace,
			      struct hf_err *e)
{
	const struct hf_credential_conf *conf = c->conf;
	HF_AUTO_BUF pem = HF_BUF(PEM_MAX);

	text(job, "op", replace ? "reenroll" : "enroll");
	if (replace) {
		pem_of(&c->held, false, &pem);
		if (pem.bad)
			return hf_fail(e, HF_NO_MEMORY, "out of memory");
		text(job, "replace_pem", (const char *)pem.p);
	} else {
		add_subject(job, conf);
		list(job, "sans", conf->sans[0], sizeof(conf->sans[0]), conf->n_sans);
	}
	list(job, "eku", conf->eku[0], sizeof(conf->eku[0]), conf->n_eku);
	json_object_object_add(job, "ca", json_object_new_boolean(conf->ca));
	if (conf->ca)
		json_object_object_add(job, "pathlen", json_object_new_int64(conf->pathlen));
	return HF_OK;
}

enum hf_rc hf_estjob_write(const struct hf_estjob *j, struct hf_buf *out, struct hf_err *e)
{
	const struct hf_est_conf *est = &j->c->conf->est;
	json_object *job = json_object_new_object();
	char key[96] = "holdfast:sha256:";
	enum hf_rc rc;

	json_object_object_add(job, "version", json_object_new_int(1));
	text(job, "url", est->url);
	(void)hf_hex(key + strlen(key), 65, j->spki_sha256, 32);
	text(job, "key", key);
	rc = add_trust(job, j, e);
	if (!rc)
		rc = write_auth(j, out, e);
	if (!rc)
		rc = add_request(job, j->c, j->replace, e);
	text(job, "binding", est->binding);
	text(job, "csrattrs", est->csrattrs);
	list(job, "tolerate", est->tolerate[0], sizeof(est->tolerate[0]), est->n_tolerate);
	text(job, "client_chain", est->client_chain);
	json_object_object_add(job, "follow_redirects",
			       json_object_new_boolean(est->follow_redirects));
	text(job, "proxy", est->proxy);
	json_object_object_add(job, "time", json_object_new_int64(j->now));
	if (!rc)
		hf_buf_str(out, json_object_to_json_string(job) + 1); /* after its { */
	json_object_put(job);
	if (!rc && out->bad)
		rc = hf_fail(e, HF_ARGUMENT, "the enrolment is larger than holdfast-est takes");
	return rc;
}

/* ---------------------------------------------------------------- the result */

static char *pem_member(json_object *o, const char *name)
{
	json_object *v;

	if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_string) ||
	    !json_object_get_string_len(v))
		return NULL;
	return strdup(json_object_get_string(v));
}

enum hf_rc hf_estjob_read(struct hf_estjob_result *r, const void *p, size_t n, struct hf_err *e)
{
	json_object *o = NULL, *status, *v;
	struct hf_err ignored = HF_ERR_INIT;

	memset(r, 0, sizeof(*r));
	if (hf_reader_parse(p, n, "holdfast-est", &o, &ignored) ||
	    !json_object_object_get_ex(o, "status", &status) ||
	    !json_object_is_type(status, json_type_string) ||
	    !hf_copy(r->status, sizeof(r->status), json_object_get_string(status))) {
		json_object_put(o);
		return hf_fail(e, HF_CORRUPT, "holdfast-est ended without a result");
	}
	if (json_object_object_get_ex(o, "message", &v)) {
		const char *said = json_object_get_string(v);

		hf_escape(r->message, sizeof(r->message), said ? said : "",
			  said ? strlen(said) : 0);
	}
	if (json_object_object_get_ex(o, "retry_after_s", &v) &&
	    json_object_is_type(v, json_type_int) && json_object_get_int64(v) > 0)
		r->retry_after_s = json_object_get_int64(v);
	r->certificates = pem_member(o, "certificates_pem");
	r->cacerts = pem_member(o, "cacerts_pem");
	json_object_put(o);
	if (!strcmp(r->status, "ok") && !r->certificates)
		return hf_fail(e, HF_CORRUPT, "holdfast-est brought no certificate");
	return HF_OK;
}

void hf_estjob_finish(struct hf_estjob_result *r)
{
	free(r->certificates);
	free(r->cacerts);
	memset(r, 0, sizeof(*r));
}

bool hf_estjob_refused(const struct hf_estjob_result *r)
{
	return !strcmp(r->status, "auth") || !strcmp(r->status, "refused");
}
