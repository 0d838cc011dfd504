/* SPDX-License-Identifier: Apache-2.0 */
#include "est/est.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <openssl/err.h>

#include "base/log.h"
#include "base/process.h"
#include "est/certs.h"
#include "est/csr.h"
#include "est/csrattrs.h"
#include "est/key.h"

enum hf_est_status hf_est_fail(struct hf_est *x, enum hf_est_status status, const char *fmt, ...)
{
	char text[sizeof(x->err.msg)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)hf_fail(&x->err, HF_FAILED, "%s", text);
	return status;
}

enum hf_est_status hf_est_within(struct hf_est *x, enum hf_est_status status, const char *fmt, ...)
{
	char text[sizeof(x->err.msg)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)hf_within(&x->err, "%s", text);
	return status;
}

void hf_est_warn(struct hf_est *x, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	unsigned i;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (i = 0; i < x->n_warnings; i++)
		if (!strcmp(x->warnings[i], text))
			return;
	if (x->n_warnings == HF_EST_WARNINGS_MAX)
		return;
	x->warnings[x->n_warnings] = strdup(text);
	if (x->warnings[x->n_warnings])
		x->n_warnings++;
	hf_log(HF_LOG_WARN, "%s: %s", x->url.origin, text);
}

static const struct {
	const char *name;
	int exit;
} statuses[] = {
#define ROW(name, text, exit) [HF_EST_##name] = { text, exit },
	HF_EST_STATUS_LIST(ROW)
#undef ROW
};

const char *hf_est_status_name(enum hf_est_status status)
{
	return statuses[status].name;
}

int hf_est_status_exit(enum hf_est_status status)
{
	return statuses[status].exit;
}

/* ---------------------------------------------------------------- before the network */

static enum hf_est_status read_certs(struct hf_est *x, const char *pem, const char *what,
				     STACK_OF(X509) * out)
{
	if (!pem[0] || !hf_certs_read(pem, HF_EST_ANCHORS_MAX, out, &x->err))
		return HF_EST_OK;
	(void)hf_within(&x->err, "%s", what);
	return HF_EST_JOB;
}

static enum hf_est_status open_trust(struct hf_est *x)
{
	const struct hf_est_job *job = x->job;
	/* A fingerprint is for the first contact. What came of it is trusted from then on: the root
	 * that has the fingerprint ends some day, and its successor has another one. */
	STACK_OF(X509) *anchors = job->trust == HF_EST_FINGERPRINT ? x->pinned : x->anchors;
	enum hf_est_status status;

	status = read_certs(x, job->anchors_pem, "the CA certificates accepted earlier", anchors);
	if (!status && job->trust == HF_EST_PINNED)
		status = read_certs(x, job->trust_pem, "the CA certificates to trust", x->pinned);
	if (status || job->trust != HF_EST_SYSTEM)
		return status;
	x->system = X509_STORE_new();
	if (!x->system || X509_STORE_set_default_paths(x->system) != 1)
		return hf_est_fail(x, HF_EST_JOB,
				   "the system's CA certificates cannot be read (is "
				   "the package ca-certificates installed?)");
	ERR_clear_error();
	return HF_EST_OK;
}

static enum hf_est_status open_keys(struct hf_est *x)
{
	const struct hf_est_job *job = x->job;
	enum hf_est_status status = hf_key_init(x);
	char name[160];

	if (!status && job->tls_key[0]) {
		status = read_certs(x, job->tls_cert_pem, "the client certificate", x->tls_certs);
		if (!status)
			status = hf_key_load(x, job->tls_key, &x->tls_key);
		if (!status &&
		    X509_check_private_key(sk_X509_value(x->tls_certs, 0), x->tls_key) != 1)
			status = hf_est_fail(
				x, HF_EST_KEY,
				"the client certificate (%s) is not one of key %s: which key was "
				"it "
				"made for?",
				hf_cert_name(sk_X509_value(x->tls_certs, 0), name, sizeof(name)),
				job->tls_key);
	}
	if (!status && (job->op == HF_EST_ENROLL || job->op == HF_EST_REENROLL))
		status = hf_key_load(x, job->key, &x->key);
	if (!status && job->replace_pem[0]) {
		STACK_OF(X509) *list = sk_X509_new_null();

		status = list ? read_certs(x, job->replace_pem, "the certificate to be replaced",
					   list)
			      : hf_est_fail(x, HF_EST_INTERNAL, "out of memory");
		x->replaced = status ? NULL : sk_X509_shift(list);
		hf_certs_free(list);
	}
	return status;
}

/* What is wrong with the names of a job is said before a server is asked. */
static enum hf_est_status try_plan(struct hf_est *x)
{
	struct hf_csr_plan plan = { 0 };
	enum hf_est_status status = x->key ? hf_csr_plan(x, &plan) : HF_EST_OK;

	hf_csr_finish(&plan);
	return status;
}

enum hf_est_status hf_est_open(struct hf_est *x, const struct hf_est_job *job)
{
	enum hf_est_status status;

	memset(x, 0, sizeof(*x));
	x->job = job;
	x->tls.alert = -1;
	x->tls12 = job->binding == HF_EST_BIND_UNIQUE;
	x->now = job->time ? (time_t)job->time : time(NULL);
	x->deadline = hf_now_ms() + (uint64_t)job->timeout_ms;
	x->tls_certs = sk_X509_new_null();
	x->pinned = sk_X509_new_null();
	x->anchors = sk_X509_new_null();
	x->cacerts = sk_X509_new_null();
	x->issued = sk_X509_new_null();
	if (!x->tls_certs || !x->pinned || !x->anchors || !x->cacerts || !x->issued)
		return hf_est_fail(x, HF_EST_INTERNAL, "out of memory");
	if (hf_est_url_parse(job->url, &x->url, &x->err))
		return HF_EST_JOB;
	if (job->basic && strchr(job->username, ':'))
		return hf_est_fail(x, HF_EST_JOB, "a user name cannot have a colon in it");
	/* libcurl would read openssl.cnf: what happens here is decided here */
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	status = open_keys(x);
	if (!status)
		status = try_plan(x);
	if (!status)
		status = open_trust(x);
	if (!status && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		status = hf_est_fail(x, HF_EST_INTERNAL, "libcurl cannot start");
	return status;
}

void hf_est_close(struct hf_est *x)
{
	unsigned i;

	curl_easy_cleanup(x->curl);
	EVP_PKEY_free(x->key);
	EVP_PKEY_free(x->tls_key);
	hf_certs_free(x->tls_certs);
	hf_certs_free(x->pinned);
	hf_certs_free(x->anchors);
	hf_certs_free(x->cacerts);
	hf_certs_free(x->issued);
	X509_free(x->replaced);
	X509_STORE_free(x->system);
	hf_csrattrs_finish(x->attrs);
	free(x->attrs);
	for (i = 0; i < x->n_warnings; i++)
		free(x->warnings[i]);
	curl_global_cleanup();
	hf_key_finish(x);
	memset(x, 0, sizeof(*x));
}
