/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of EST servers: how they are configured, and whether they are there. */
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "cli/certview.h"
#include "cli/check.h"
#include "cli/est.h"
#include "cli/output.h"

#define TIMEOUT_MS 5000
#define PEM_MAX	   (512u * 1024)

static bool is_est(const struct hf_credview *v)
{
	return !strcmp(hf_inventory_text(v->conf, "method"), "est");
}

static const char *url_of(const struct hf_credview *v)
{
	return hf_inventory_text(v->conf, "est.url");
}

static bool needs_est(struct hf_checkup *k)
{
	size_t i;

	if (!hf_check_needs_agent(k))
		return false;
	for (i = 0; i < k->inventory.n; i++)
		if (is_est(&k->inventory.list[i]))
			return true;
	hf_check_say(k, HF_CHECK_SKIPPED, "none is configured");
	return false;
}

static void https(struct hf_checkup *k, const char *arg)
{
	size_t i;

	(void)arg;
	if (!needs_est(k))
		return;
	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		if (is_est(v) && strncasecmp(url_of(v), "https://", 8))
			hf_check_say(k, HF_CHECK_ERROR,
				     "%s: the URL '%s' of its EST server is not https://, and "
				     "holdfast sends nothing there",
				     v->id, url_of(v));
	}
}

/* Some way to show the server who we are. */
static void auth(struct hf_checkup *k, const char *arg)
{
	size_t i;

	(void)arg;
	if (!needs_est(k))
		return;
	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];
		const char *identity = hf_inventory_text(v->conf, "est.identity");
		const char *bootstrap = hf_inventory_text(v->conf, "est.bootstrap");
		const struct hf_credview *a, *b;

		if (!is_est(v) || hf_inventory_text(v->conf, "est.username")[0])
			continue;
		a = identity[0] ? hf_inventory_find(&k->inventory, identity) : NULL;
		b = bootstrap[0] ? hf_inventory_find(&k->inventory, bootstrap) : NULL;
		if (!a && !b)
			hf_check_say(k, HF_CHECK_ERROR,
				     "%s: there is neither a user nor a certificate to show to its "
				     "EST server",
				     v->id);
		else if (!(a && a->certs) && !(b && b->certs) && !v->certs)
			hf_check_say(k, HF_CHECK_ERROR,
				     "%s: there is no file of %s or %s yet, so nothing to show to "
				     "its EST server",
				     v->id, identity[0] ? identity : "an identity certificate",
				     bootstrap[0] ? bootstrap : "a bootstrap certificate");
	}
}

static void one_trust(struct hf_checkup *k, const struct hf_credview *v, const char *path)
{
	STACK_OF(X509) *list = NULL;
	struct hf_err e = HF_ERR_INIT;
	char subject[HF_NAME_MAX];
	int i;

	if (hf_certview_read(path, &list, &e))
		hf_check_say(k, HF_CHECK_ERROR, "%s: %s", v->id, e.msg);
	for (i = 0; i < sk_X509_num(list); i++) {
		X509 *cert = sk_X509_value(list, i);

		hf_certview_name(X509_get_subject_name(cert), subject, sizeof(subject));
		if (hf_certview_time(X509_get0_notAfter(cert)) <= k->now)
			hf_check_say(k, HF_CHECK_ERROR,
				     "%s: %s in %s, by which its EST server is known, has expired",
				     v->id, subject, path);
	}
	hf_certview_free(list);
}

/* Has an earlier credential the same file? */
static bool seen(const struct hf_checkup *k, size_t before, const char *path)
{
	size_t i, j;

	for (i = 0; i < before; i++) {
		json_object *files = hf_inventory_at(k->inventory.list[i].conf, "est.trust.files");

		for (j = 0;
		     is_est(&k->inventory.list[i]) && json_object_is_type(files, json_type_array) &&
		     j < json_object_array_length(files);
		     j++)
			if (!strcmp(json_object_get_string(json_object_array_get_idx(files, j)),
				    path))
				return true;
	}
	return false;
}

static void trust(struct hf_checkup *k, const char *arg)
{
	json_object *files;
	size_t i, j;

	(void)arg;
	if (!needs_est(k))
		return;
	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		files = is_est(v) ? hf_inventory_at(v->conf, "est.trust.files") : NULL;
		for (j = 0; json_object_is_type(files, json_type_array) &&
			    j < json_object_array_length(files);
		     j++) {
			const char *path =
				json_object_get_string(json_object_array_get_idx(files, j));

			if (!seen(k, i, path))
				one_trust(k, v, path);
		}
	}
}

/* ---------------------------------------------------------------- there or not */

static enum hf_rc add_trust(const struct hf_credview *v, json_object *job, struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(PEM_MAX);
	json_object *trust = json_object_new_object();
	json_object *files = hf_inventory_at(v->conf, "est.trust.files");
	const char *sha256 = hf_inventory_text(v->conf, "est.trust.sha256");
	size_t i;

	json_object_object_add(job, "trust", trust);
	hf_out_text(trust, "mode", hf_inventory_text(v->conf, "est.trust.mode"));
	if (sha256[0])
		hf_out_text(trust, "sha256", sha256);
	for (i = 0;
	     json_object_is_type(files, json_type_array) && i < json_object_array_length(files);
	     i++) {
		if (hf_file_read(json_object_get_string(json_object_array_get_idx(files, i)), false,
				 &pem, e))
			return e->rc;
		hf_buf_str(&pem, "\n");
	}
	if (pem.n && !pem.bad)
		hf_out_text(trust, "pem", (const char *)pem.p);
	return HF_OK;
}

static enum hf_rc ask(struct hf_checkup *k, const struct hf_credview *v, json_object **result,
		      struct hf_err *e)
{
	const char *proxy = hf_inventory_text(v->conf, "est.proxy");
	json_object *job = json_object_new_object();
	enum hf_rc rc;

	hf_out_number(job, "version", 1);
	hf_out_text(job, "op", "cacerts");
	hf_out_text(job, "url", url_of(v));
	if (proxy[0])
		hf_out_text(job, "proxy", proxy);
	hf_out_number(job, "timeout_ms", TIMEOUT_MS);
	hf_out_number(job, "connect_timeout_ms", TIMEOUT_MS);
	json_object_object_add(
		job, "follow_redirects",
		json_object_new_boolean(hf_inventory_true(v->conf, "est.follow_redirects")));
	json_object_object_add(job, "auth", json_object_new_object());
	rc = add_trust(v, job, e);
	if (!rc)
		rc = hf_est_spawn(k->cli, job, result, e);
	json_object_put(job);
	return rc;
}

static void one_server(struct hf_checkup *k, const struct hf_credview *v)
{
	struct hf_err e = HF_ERR_INIT;
	json_object *result = NULL;
	const char *status;

	if (ask(k, v, &result, &e)) {
		hf_check_say(k, HF_CHECK_ERROR, "%s: %s", v->id, e.msg);
		return;
	}
	status = hf_out_get(result, "status");
	/* A server that wants to know first who we are is there. */
	if (strcmp(status, "ok") && strcmp(status, "auth"))
		hf_check_say(k,
			     !strcmp(status, "busy") || !strcmp(status, "pending")
				     ? HF_CHECK_WARNING
				     : HF_CHECK_ERROR,
			     "%s: %s: %s", v->id, url_of(v), hf_out_get(result, "message"));
	json_object_put(result);
}

static void reachable(struct hf_checkup *k, const char *arg)
{
	size_t i, j;

	(void)arg;
	if (k->offline) {
		hf_check_say(k, HF_CHECK_SKIPPED, "--offline");
		return;
	}
	if (!needs_est(k))
		return;
	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		if (!is_est(v) || strncasecmp(url_of(v), "https://", 8))
			continue;
		for (j = 0; j < i; j++) /* each server once */
			if (is_est(&k->inventory.list[j]) &&
			    !strcmp(url_of(&k->inventory.list[j]), url_of(v)))
				break;
		if (j == i)
			one_server(k, v);
	}
}

const struct hf_check hf_checks_est[] = {
	{ "est-server-https", "EST servers are spoken to through TLS", https, NULL },
	{ "est-trust", "CA certificates that EST servers are known by are valid", trust, NULL },
	{ "est-auth", "there is something to show to EST servers", auth, NULL },
	{ "est-server-reachable", "EST servers answer, and are the right ones", reachable, NULL },
	{ NULL, NULL, NULL, NULL },
};
