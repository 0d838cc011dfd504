/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/enrol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "agent/anchors.h"
#include "agent/estjob.h"
#include "agent/renew.h"
#include "agent/running.h"
#include "base/log.h"

#define JOB_MAX	    (1u << 20)
#define RESULT_MAX  (4u << 20) /* a /cacerts of a megabyte, and what was known before */
#define DEADLINE_MS 180000u    /* holdfast-est has deadlines of its own, which are shorter */

static bool usable(const struct hf_agent *a, const struct hf_credential *c)
{
	return c && c->held.leaf && c->held.not_after > a->clock.wall;
}

/* A certificate outlives its key where a token was cleared, or a key deleted. */
static bool has_its_key(const struct hf_agent *a, const struct hf_credential *c)
{
	struct hf_key_state key;

	return c->held.leaf && !hf_keys_get(a->keys, c->conf->key.name, &key, NULL) &&
	       hf_keys_generation(&key, c->held.spki_sha256);
}

/*
 * RFC 7030, section 3.3.2: who renews shows the certificate that is to be replaced, and servers
 * compare its names with the request's (section 4.2.2). That takes a key which may sign for TLS,
 * and a certificate which says so: a CA's does neither.
 */
static bool renews_itself(const struct hf_agent *a, const struct hf_credential *c)
{
	char settings[65];

	hf_credential_settings(c->conf, settings);
	return usable(a, c) && !c->conf->ca && !strcmp(c->conf->key.usage, "sign") &&
	       !strcmp(settings, c->record.settings) &&
	       X509_check_purpose(c->held.leaf, X509_PURPOSE_SSL_CLIENT, 0) == 1 &&
	       (X509_get_key_usage(c->held.leaf) & KU_DIGITAL_SIGNATURE);
}

/*
 * Who we are to a server that is asked for a certificate of other names, or does not accept the one
 * before: the EST identity, or where there is none the bootstrap identity, or nobody (with a
 * password). The EST identity itself is had by itself, and by the bootstrap identity.
 */
static enum hf_rc choose_identity(struct hf_agent *a, struct hf_credential *c, bool refused,
				  const struct hf_credential **as, struct hf_err *e)
{
	const struct hf_est_conf *est = &c->conf->est;
	struct hf_credential *identity = hf_agent_find(a, est->identity);
	struct hf_credential *first = hf_agent_find(a, est->bootstrap);

	if (!strcmp(c->conf->role, "est_id"))
		identity = c;
	*as = NULL;
	if (usable(a, identity) && !(identity == c && refused))
		*as = identity;
	/* Only an EST identity is had by the bootstrap one, unless there is no such identity. */
	else if (identity && identity != c)
		return hf_fail(e, HF_UNAVAILABLE, "it waits for the EST identity %s",
			       identity->conf->id);
	else if (usable(a, first))
		*as = first;
	else if (!hf_estjob_basic(est) && !est->token_file[0] && est->bootstrap[0])
		return hf_fail(e, HF_UNAVAILABLE,
			       "the bootstrap identity %s has no certificate that is valid",
			       est->bootstrap);
	return HF_OK;
}

static enum hf_rc write_job(struct hf_agent *a, struct hf_credential *c, bool refused,
			    struct hf_running *r, struct hf_err *e)
{
	const struct hf_est_conf *est = &c->conf->est;
	HF_AUTO_BUF trust = HF_BUF(HF_ESTJOB_TRUST_MAX);
	HF_AUTO_BUF anchors = HF_BUF(HF_ANCHORS_MAX);
	struct hf_estjob job = { .c = c, .as = c, .spki_sha256 = r->spki_sha256 };
	enum hf_rc rc;

	refused = refused || !has_its_key(a, c);
	job.replace = !refused && renews_itself(a, c);
	rc = job.replace ? HF_OK : choose_identity(a, c, refused, &job.as, e);
	if (!rc)
		rc = hf_estjob_trust(est, &trust, e);
	if (rc)
		return rc;
	job.trust = trust.p ? (const char *)trust.p : "";
	if (!hf_anchors_trust(est, job.trust, r->trust))
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	hf_anchors_load(a, c, r->trust, &anchors);
	job.anchors = anchors.p ? (const char *)anchors.p : "";
	job.now = a->clock.wall;
	r->own = job.as == c;
	r->out = (struct hf_buf)HF_BUF(JOB_MAX);
	r->in = (struct hf_buf)HF_BUF(RESULT_MAX);
	return hf_estjob_write(&job, &r->out, e);
}

/* @refused: the server does not take the certificate that is held: it is enrolled anew. */
static enum hf_rc begin(struct hf_agent *a, struct hf_credential *c, const uint8_t spki_sha256[32],
			bool refused, struct hf_err *e)
{
	struct hf_running *r = hf_running_new(a, c, HF_LAUNCH_EST);
	struct hf_launch_msg m = { .kind = HF_LAUNCH_EST, .timeout_ms = DEADLINE_MS };
	int ends[2] = { -1, -1 };
	enum hf_rc rc;

	if (!r)
		return hf_fail(e, HF_BUSY, "too much is under way");
	memcpy(r->spki_sha256, spki_sha256, 32);
	rc = write_job(a, c, refused, r, e);
	if (!rc && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		rc = hf_fail_errno(e, HF_FAILED, "socketpair");
	if (!rc) {
		(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
		r->fd = ends[0];
		m.serial = r->serial;
		(void)hf_copy(m.credential, sizeof(m.credential), c->conf->id);
		if (hf_fd_send(a->control, &m, sizeof(m), ends[1]) != (ssize_t)sizeof(m))
			rc = hf_fail_errno(e, HF_FAILED, "the launcher does not listen");
	}
	hf_fd_close(&ends[1]);
	if (rc)
		hf_running_free(r);
	else
		c->busy = true;
	return rc;
}

enum hf_rc hf_enrol_begin(struct hf_agent *a, struct hf_credential *c,
			  const uint8_t spki_sha256[32], struct hf_err *e)
{
	return begin(a, c, spki_sha256, false, e);
}

static void write_more(struct hf_running *r)
{
	ssize_t n = send(r->fd, r->out.p + r->sent, r->out.n - r->sent, MSG_NOSIGNAL);

	if (n > 0)
		r->sent += (size_t)n;
	/* It has ended without reading all: what it said is worth more than EPIPE. */
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		r->sent = r->out.n;
	if (r->sent == r->out.n) {
		(void)shutdown(r->fd, SHUT_WR);
		hf_buf_finish(&r->out); /* it has secrets in it */
		r->sent = 0;
	}
}

static void read_more(struct hf_running *r)
{
	char block[16384];
	ssize_t n = recv(r->fd, block, sizeof(block), 0);

	if (n > 0)
		hf_buf_add(&r->in, block, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		hf_fd_close(&r->fd);
}

/*
 * A server may refuse what RFC 7030 wants it to take: the certificate has been revoked, say, or
 * its CA is none that the server knows. Then the other identity is tried at once.
 */
static bool begin_anew(struct hf_agent *a, struct hf_credential *c, const struct hf_running *r,
		       const struct hf_estjob_result *result)
{
	if (!r->own || !hf_estjob_refused(result) || begin(a, c, r->spki_sha256, true, NULL))
		return false;
	hf_log(HF_LOG_NOTICE,
	       "certificate %s: %s; it is enrolled anew, without the certificate before",
	       c->conf->id, result->message);
	return true;
}

/* A result is a line (docs/EST.md): half of one is none. */
static bool complete(const struct hf_running *r)
{
	return !r->in.bad && r->in.n && r->in.p[r->in.n - 1] == '\n';
}

static void digest(struct hf_agent *a, struct hf_credential *c, struct hf_running *r,
		   const struct hf_launch_end *end)
{
	struct hf_err err = HF_ERR_INIT;
	struct hf_estjob_result result;

	memset(&result, 0, sizeof(result));
	if (complete(r))
		(void)hf_estjob_read(&result, r->in.p, r->in.n, &err);
	else if (end->late)
		(void)hf_fail(&err, HF_TIMEOUT, "the EST server did not answer in time");
	else
		(void)hf_fail(&err, HF_FAILED, "holdfast-est ended without a result (%d)",
			      end->status);
	if (err.rc)
		hf_renew_failed(a, c, "network", err.msg, 0);
	else if (!strcmp(result.status, "ok"))
		hf_renew_take(a, c, result.certificates);
	else if (!begin_anew(a, c, r, &result))
		hf_renew_failed(a, c, result.status, result.message, result.retry_after_s);
	/* After the certificate, which is worth more. */
	if (!err.rc && result.cacerts) {
		hf_anchors_save(a, c, r->trust, result.cacerts);
		hf_anchors_give(c, result.cacerts);
	}
	hf_estjob_finish(&result);
}

static void take(struct hf_agent *a, struct hf_running *r, const struct hf_launch_end *end)
{
	struct hf_credential *c = &a->credentials[r->credential];

	r->told = true;
	c->busy = false;
	digest(a, c, r, end);
	hf_fd_close(&r->fd);
	hf_buf_finish(&r->out);
	hf_credential_plan(c, a->clock.wall);
	a->changed = true;
}

void hf_enrol_io(struct hf_agent *a, struct hf_running *r)
{
	if (r->out.n)
		write_more(r);
	if (r->fd >= 0)
		read_more(r);
	/* A process that has said all it has to say may take its time to end, or be killed. */
	if (!r->told && complete(r))
		take(a, r, NULL);
}

void hf_enrol_ended(struct hf_agent *a, struct hf_running *r, const struct hf_launch_end *end)
{
	while (r->fd >= 0) { /* what it said before it ended */
		size_t before = r->in.n;

		hf_buf_finish(&r->out);
		read_more(r);
		if (r->fd >= 0 && r->in.n == before)
			break;
	}
	if (!r->told)
		take(a, r, end);
	hf_running_free(r);
}
