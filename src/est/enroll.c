/* SPDX-License-Identifier: Apache-2.0 */
/* The operations, in the order in which a server hears them: cacerts, csrattrs, enrolment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "est/answer.h"
#include "est/base64.h"
#include "est/cacerts.h"
#include "est/certs.h"
#include "est/csrattrs.h"
#include "est/est.h"
#include "est/http.h"

#define RETRY_UNSAID 600u /* after a 202 without Retry-After */

/* ---------------------------------------------------------------- csrattrs */

static enum hf_est_status read_attrs(struct hf_est *x, struct hf_http *h)
{
	HF_AUTO_BUF der = HF_BUF(h->max);
	struct hf_err e = HF_ERR_INIT;
	char type[80];
	bool nul = false;

	if (h->type[0] && !hf_media_type(h->type, "application/csrattrs")) {
		hf_escape(type, sizeof(type), h->type, strlen(h->type));
		if (hf_media_type(h->type, "text/html"))
			return hf_est_fail(
				x, HF_EST_PROTOCOL,
				"the answer is %s, application/csrattrs was due: is this "
				"an EST server?",
				type);
		hf_est_warn(x, "the server says %s where it should say application/csrattrs", type);
	}
	if (hf_est_base64_decode(h->body.p, h->body.n, &der, &nul, &e))
		return hf_est_fail(x, HF_EST_PROTOCOL, "%s", e.msg);
	if (nul)
		hf_est_warn(x, "the server sends NULs after the base64");
	if (!der.n)
		return HF_EST_OK; /* as a 204 */
	if (hf_csrattrs_read(x->attrs, HF_VIEW_BUF(&der), &e))
		return hf_est_fail(x, HF_EST_PROTOCOL, "%s", e.msg);
	if (x->attrs->unknown)
		hf_log(HF_LOG_DEBUG, "%s: /csrattrs has %u things that are not understood",
		       x->url.origin, x->attrs->unknown);
	return HF_EST_OK;
}

static enum hf_est_status judge_code(struct hf_est *x, const struct hf_http *h);

static enum hf_est_status fetch_attrs(struct hf_est *x)
{
	struct hf_http h = { .op = "csrattrs", .max = HF_EST_BODY_BYTES };
	bool alone = x->job->op == HF_EST_CSRATTRS;
	enum hf_est_status status;

	if (x->job->ignore_csrattrs && !alone)
		return HF_EST_OK;
	x->attrs = calloc(1, sizeof(*x->attrs));
	if (!x->attrs)
		return hf_est_fail(x, HF_EST_INTERNAL, "out of memory");
	status = hf_http_run(x, &h);
	if (status) {
		hf_http_finish(&h);
		return status;
	}
	if (h.code == 200)
		status = read_attrs(x, &h);
	else if (h.code == 204 || h.code == 404)
		status = HF_EST_OK; /* no wishes (RFC 7030, section 4.5.2) */
	else if (!alone && h.code / 100 == 4 && h.code != 401 && h.code != 429)
		hf_est_warn(x, "the server answers %ld to /csrattrs; taken as 'no wishes'", h.code);
	else
		status = judge_code(x, &h);
	hf_http_finish(&h);
	if (status)
		return hf_est_within(x, status, "GET %s%s/csrattrs", x->url.origin, x->url.path);
	return HF_EST_OK;
}

/* ---------------------------------------------------------------- what an answer's code means */

static enum hf_est_status unauthorized(struct hf_est *x, const struct hf_http *h, const char *words)
{
	const struct hf_est_job *job = x->job;
	/* libest answers a wrong password with a 401 that has no challenge in it */
	const struct hf_challenge *c = h->has_challenge ? &h->heard : &x->challenge;

	if (job->basic && (c->basic || c->digest))
		return hf_est_fail(x, HF_EST_AUTH,
				   "the server refuses user '%.80s' or its password (401)%s",
				   job->username, words);
	if (job->bearer[0] && c->bearer)
		return hf_est_fail(x, HF_EST_AUTH, "the server refuses the bearer token (401)%s",
				   words);
	if (c->basic || c->digest || c->bearer)
		return hf_est_fail(x, HF_EST_AUTH,
				   "the server wants %s (401), and the job has none%s",
				   c->bearer && !c->basic && !c->digest ? "a bearer token"
									: "user and password",
				   words);
	return hf_est_fail(
		x, HF_EST_AUTH, "the server does not accept who we are (401)%s; what it got: %s%s",
		words, job->tls_key[0] ? "a client certificate" : "no client certificate",
		job->basic	 ? ", user and password"
		: job->bearer[0] ? ", a bearer token"
				 : "");
}

static enum hf_est_status judge_code(struct hf_est *x, const struct hf_http *h)
{
	char words[220];

	(void)hf_http_words(h, words, sizeof(words));
	if (h->code == 202) {
		if (!h->has_retry || !hf_retry_after(h->retry, x->now, &x->retry_after_s))
			x->retry_after_s = RETRY_UNSAID;
		return hf_est_fail(x, HF_EST_PENDING,
				   "the server has taken the request and decides later (202); the "
				   "same request again in %u s%s",
				   x->retry_after_s, words);
	}
	if (h->code == 429 || h->code == 503) {
		if (h->has_retry)
			(void)hf_retry_after(h->retry, x->now, &x->retry_after_s);
		return hf_est_fail(x, HF_EST_BUSY, "the server is busy (%ld)%s", h->code, words);
	}
	if (h->code == 401)
		return unauthorized(x, h, words);
	if (h->code == 404)
		return hf_est_fail(
			x, HF_EST_PROTOCOL,
			"the server knows nothing there (404): is the URL right, with its "
			"label?%s",
			words);
	if (h->code / 100 == 4)
		return hf_est_fail(x, HF_EST_REFUSED, "the server refuses (%ld)%s", h->code, words);
	if (h->code / 100 == 5)
		return hf_est_fail(x, HF_EST_SERVER, "the server has failed (%ld)%s", h->code,
				   words);
	return hf_est_fail(x, HF_EST_PROTOCOL, "the server answers %ld, which means nothing here%s",
			   h->code, words);
}

/* ---------------------------------------------------------------- enrolment */

static enum hf_est_status take_answer(struct hf_est *x, struct hf_http *h,
				      const struct hf_csr_plan *plan)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	enum hf_est_status status;

	if (!certs)
		return hf_est_fail(x, HF_EST_INTERNAL, "out of memory");
	if (h->code == 201)
		hf_est_warn(x, "the server says 201 where it should say 200");
	status = hf_cacerts_read(x, h, HF_EST_CERTS_MAX, certs);
	if (!status)
		status = hf_answer_take(x, plan, certs);
	hf_certs_free(certs);
	return status;
}

static enum hf_est_status post(struct hf_est *x, const struct hf_csr_plan *plan, bool bind)
{
	struct hf_http h = { .op = hf_est_op_name(x->job->op),
			     .max = HF_EST_BODY_BYTES,
			     .plan = plan,
			     .bind = bind };
	enum hf_est_status status = hf_http_run(x, &h);

	if (!status) {
		status = h.code == 200 || h.code == 201 ? take_answer(x, &h, plan)
							: judge_code(x, &h);
		if (status)
			(void)hf_est_within(x, status, "POST %s%s/%s", x->url.origin, x->url.path,
					    h.op);
	}
	hf_http_finish(&h);
	return status;
}

/*
 * TLS 1.3 has no tls-unique, and RFC 7030 knows nothing else: a server that demands proof of
 * possession over TLS 1.3 may take the exporter (as RFC 9148 does), or be happier with 1.2.
 */
static enum hf_est_status post_again(struct hf_est *x, const struct hf_csr_plan *plan,
				     enum hf_est_status first)
{
	struct hf_err said = x->err;
	long code = x->http_status;
	enum hf_est_status status;

	hf_http_reset(x);
	x->tls12 = true;
	x->challenge.digest = HF_DIGEST_NONE; /* of the other connection */
	status = post(x, plan, true);
	if (status != HF_EST_TLS && status != HF_EST_NETWORK)
		return status;
	x->err = said; /* it does not speak 1.2: what it said in 1.3 is the answer */
	x->http_status = code;
	return first;
}

static enum hf_est_status enroll(struct hf_est *x)
{
	bool demanded = x->attrs && x->attrs->challenge_password, bind;
	struct hf_csr_plan plan;
	enum hf_est_status status = hf_csr_plan(x, &plan);

	bind = x->job->binding == HF_EST_BIND_UNIQUE || x->job->binding == HF_EST_BIND_EXPORTER ||
	       (x->job->binding == HF_EST_BIND_AUTO && demanded);
	if (demanded && !bind)
		hf_est_warn(x, "the server demands proof of possession (challengePassword), and "
			       "binding is \"none\"");
	if (!status)
		status = post(x, &plan, bind);
	if ((status == HF_EST_AUTH || status == HF_EST_REFUSED) && bind &&
	    x->http_status / 100 == 4 && x->job->binding == HF_EST_BIND_AUTO &&
	    !strcmp(x->tls.version, "TLSv1.3"))
		status = post_again(x, &plan, status);
	hf_csr_finish(&plan);
	return status;
}

enum hf_est_status hf_est_run(struct hf_est *x)
{
	enum hf_est_op op = x->job->op;
	enum hf_est_status status = HF_EST_OK;
	char name[160];

	if (op != HF_EST_CSRATTRS || x->job->trust == HF_EST_FINGERPRINT)
		status = hf_cacerts_fetch(x); /* RFC 7030, section 4.2: also before enrolling */
	if (!status && op != HF_EST_CACERTS)
		status = fetch_attrs(x);
	if (status)
		return status;
	if (op == HF_EST_CACERTS) {
		(void)hf_fail(&x->err, HF_OK, "%s has %d CA certificates", x->url.origin,
			      sk_X509_num(x->cacerts));
		return HF_EST_OK;
	}
	if (op == HF_EST_CSRATTRS) {
		(void)hf_fail(&x->err, HF_OK, "%s has told its wishes", x->url.origin);
		return HF_EST_OK;
	}
	status = enroll(x);
	if (!status)
		(void)hf_fail(&x->err, HF_OK, "%s has issued a certificate to %s for key %s",
			      x->url.origin,
			      hf_cert_name(sk_X509_value(x->issued, 0), name, sizeof(name)),
			      x->job->key);
	return status;
}
