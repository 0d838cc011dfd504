/* SPDX-License-Identifier: Apache-2.0 */
/* What only holdfast has: status, renewals by hand, the list of modules, metrics. */
#include <string.h>

#include "agent/api.h"
#include "agent/modules.h"
#include "agent/renew.h"
#include "agent/status.h"
#include "base/log.h"

enum hf_rc hf_api_status(struct hf_api_call *c, struct hf_err *e)
{
	(void)e;
	hf_api_json(c, hf_status_make(c->a));
	return HF_OK;
}

/* What is planned anew by it is so at once, in the loop. */
enum hf_rc hf_api_clock_accept(struct hf_api_call *c, struct hf_err *e)
{
	struct hf_agent *a = c->a;

	if (hf_clock_accept(&a->clock, e))
		return e->rc;
	(void)hf_clock_look(&a->clock);
	a->changed = true;
	hf_api_json(c, hf_status_clock(a));
	return HF_OK;
}

/* ---------------------------------------------------------------- modules */

static void add_module(struct hf_agent *a, struct hf_module_record *r, void *arg)
{
	json_object *o = json_object_new_object();
	char date[32];

	json_object_object_add(o, "module", json_object_new_string(r->module.id));
	json_object_object_add(o, "kind",
			       json_object_new_string(r->module.server ? "server" : "identity"));
	json_object_object_add(o, "generation", json_object_new_string(r->module.generation));
	json_object_object_add(o, "commonName", json_object_new_string(r->module.common_name));
	json_object_object_add(o, "key", json_object_new_string(r->key));
	json_object_object_add(o, "serial", json_object_new_string(r->serial));
	json_object_object_add(o, "issuer", json_object_new_string(r->issuer));
	json_object_object_add(o, "issued", json_object_new_int64(r->issued));
	json_object_object_add(
		o, "expiration",
		json_object_new_string(hf_api_date(date, sizeof(date), r->not_after)));
	json_object_object_add(o, "current",
			       json_object_new_boolean(!strcmp(r->issuer, a->modules_issuer)));
	json_object_array_add(arg, o);
}

enum hf_rc hf_api_modules(struct hf_api_call *c, struct hf_err *e)
{
	json_object *o = json_object_new_object(), *list = json_object_new_array();

	(void)e;
	(void)hf_modules_each(c->a, add_module, list);
	json_object_object_add(o, "modules", list);
	hf_api_json(c, o);
	return HF_OK;
}

/* ---------------------------------------------------------------- renewals */

static enum hf_rc find(struct hf_api_call *c, struct hf_credential **out, struct hf_err *e)
{
	*out = hf_agent_find(c->a, c->name);
	if (!*out)
		return hf_fail(e, HF_NO_KEY,
			       "there is no certificate \"%.100s\" in the configuration", c->name);
	if (!c->a->clock.trusted)
		return hf_fail(e, HF_UNAVAILABLE,
			       "the clock is not trusted (%s); nothing is issued until it is",
			       c->a->clock.reason);
	return HF_OK;
}

static enum hf_rc read_truth(const struct hf_api_call *c, const char *member, bool *out,
			     struct hf_err *e)
{
	json_object *v = NULL;

	if (!c->body || !json_object_object_get_ex(c->body, member, &v) || !v)
		return HF_OK;
	if (!json_object_is_type(v, json_type_boolean))
		return hf_fail(e, HF_PROTOCOL, "%s of the body is neither true nor false", member);
	*out = json_object_get_boolean(v);
	return HF_OK;
}

/* 200 and what it is now; 202 if an EST server has been asked and has not answered. */
static enum hf_rc begin(struct hf_api_call *c, struct hf_credential *which, struct hf_err *e)
{
	int64_t failed = which->record.failed;

	hf_log(HF_LOG_NOTICE, "api: uid %u asked for a new certificate %s", (unsigned)c->q->uid,
	       which->conf->id);
	hf_renew_begin(c->a, which);
	c->a->changed = true;
	if (!which->busy && which->record.failed != failed)
		return hf_fail(e, hf_record_local(&which->record) ? HF_UNAVAILABLE : HF_FAILED,
			       "certificate %s: %.400s", which->conf->id, which->record.message);
	c->reply->code = which->busy ? 202 : 200;
	hf_api_json(c, hf_status_credential(c->a, which));
	return HF_OK;
}

enum hf_rc hf_api_renew(struct hf_api_call *c, struct hf_err *e)
{
	struct hf_credential *which;
	bool rotate;
	enum hf_rc rc = find(c, &which, e);

	if (rc)
		return rc;
	rotate = which->conf->renew.rotate_key;
	rc = read_truth(c, "rotate_key", &rotate, e);
	if (!rc)
		rc = hf_renew_want(c->a, which, rotate, e);
	return rc ? rc : begin(c, which, e);
}

enum hf_rc hf_api_reset(struct hf_api_call *c, struct hf_err *e)
{
	struct hf_credential *which;
	enum hf_rc rc = find(c, &which, e);

	if (!rc)
		rc = hf_renew_reset(c->a, which, e);
	return rc ? rc : begin(c, which, e);
}

/* ---------------------------------------------------------------- metrics */

static void head(struct hf_buf *out, const char *name, const char *kind, const char *help)
{
	hf_buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static void per_certificate(struct hf_api_call *c, const char *name, const char *kind,
			    const char *help,
			    int64_t (*value)(const struct hf_credential *k, int64_t now))
{
	struct hf_buf *out = &c->reply->body;
	size_t i;

	head(out, name, kind, help);
	for (i = 0; i < c->a->n; i++)
		hf_buf_fmt(out, "%s{certificate=\"%s\"} %lld\n", name,
			   c->a->credentials[i].conf->id,
			   (long long)value(&c->a->credentials[i], c->a->clock.wall));
}

static int64_t seconds_left(const struct hf_credential *k, int64_t now)
{
	return k->held.leaf ? k->held.not_after - now : 0;
}

static int64_t until_next(const struct hf_credential *k, int64_t now)
{
	return k->next == HF_NEVER ? -1 : k->next - now;
}

static int64_t present(const struct hf_credential *k, int64_t now)
{
	(void)now;
	return k->held.leaf != NULL;
}

static int64_t renewals(const struct hf_credential *k, int64_t now)
{
	(void)now;
	return k->record.renewals;
}

static int64_t failures(const struct hf_credential *k, int64_t now)
{
	(void)now;
	return k->record.failed;
}

static int64_t hook_failures(const struct hf_credential *k, int64_t now)
{
	(void)now;
	return k->record.hook_failures;
}

static void one(struct hf_buf *out, const char *name, const char *kind, const char *help,
		uint64_t value)
{
	head(out, name, kind, help);
	hf_buf_fmt(out, "%s %llu\n", name, (unsigned long long)value);
}

enum hf_rc hf_api_metrics(struct hf_api_call *c, struct hf_err *e)
{
	struct hf_buf *out = &c->reply->body;
	const uint64_t *served = hf_http_served(c->a->http);
	int hundred;

	(void)e;
	c->reply->type = "text/plain; version=0.0.4";
	per_certificate(c, "holdfast_certificate_present", "gauge", "1 if there is one.", present);
	per_certificate(c, "holdfast_certificate_expiry_seconds", "gauge",
			"Until it ends; negative if it has; 0 if there is none.", seconds_left);
	per_certificate(c, "holdfast_certificate_next_renewal_seconds", "gauge",
			"Until it is renewed; -1 if it is not.", until_next);
	per_certificate(c, "holdfast_certificate_renewals_total", "counter",
			"New certificates that were put into use.", renewals);
	per_certificate(c, "holdfast_certificate_failures_total", "counter",
			"Attempts that failed.", failures);
	per_certificate(c, "holdfast_certificate_hook_failures", "gauge",
			"How often its hook has failed since the last new certificate.",
			hook_failures);
	one(out, "holdfast_clock_trusted", "gauge", "0: nothing is issued.", c->a->clock.trusted);
	one(out, "holdfast_clock_floor_seconds", "gauge",
	    "Unix time that the clock cannot be before.", (uint64_t)c->a->clock.floor);
	one(out, "holdfast_trust_bundle_certificates", "gauge", "Certificates in it.",
	    c->a->bundle_n);
	one(out, "holdfast_modules", "gauge", "Certificates of modules that have not ended.",
	    hf_modules_each(c->a, NULL, NULL));
	one(out, "holdfast_module_certificates_issued_total", "counter",
	    "To modules, since the start.", c->a->modules_issued);
	head(out, "holdfast_http_requests_total", "counter", "Answers, by code.");
	for (hundred = 2; hundred < 6; hundred++)
		hf_buf_fmt(out, "holdfast_http_requests_total{code=\"%dxx\"} %llu\n", hundred,
			   (unsigned long long)served[hundred]);
	return HF_OK;
}
