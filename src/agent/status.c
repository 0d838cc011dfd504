/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bn.h>

#include "base/log.h"
#include "est/certs.h"

static void text(json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

static void number(json_object *o, const char *name, int64_t value)
{
	json_object_object_add(o, name, json_object_new_int64(value));
}

static void truth(json_object *o, const char *name, bool value)
{
	json_object_object_add(o, name, json_object_new_boolean(value));
}

static void hex(json_object *o, const char *name, const uint8_t *p, size_t n)
{
	char out[65];

	text(o, name, hf_hex(out, sizeof(out), p, n));
}

/* "CN=a,O=b", escaped. */
static void add_name(json_object *o, const char *member, const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char out[512] = "", *p = NULL;
	long n = 0;

	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ) >= 0)
		n = BIO_get_mem_data(bio, &p);
	if (n > 0)
		hf_escape(out, sizeof(out), p, (size_t)n);
	text(o, member, out);
	BIO_free(bio);
}

static void add_certificate(json_object *o, const struct hf_held *h)
{
	BIGNUM *n = h->leaf ? ASN1_INTEGER_to_BN(X509_get0_serialNumber(h->leaf), NULL) : NULL;
	char *serial = n ? BN_bn2hex(n) : NULL;

	if (h->leaf) {
		add_name(o, "subject", X509_get_subject_name(h->leaf));
		add_name(o, "issuer", X509_get_issuer_name(h->leaf));
		hex(o, "spki_sha256", h->spki_sha256, 32);
		hex(o, "fingerprint_sha256", h->sha256, 32);
	} else {
		text(o, "subject", "");
		text(o, "issuer", "");
		text(o, "spki_sha256", "");
		text(o, "fingerprint_sha256", "");
	}
	text(o, "serial", serial ? serial : "");
	number(o, "not_before", h->not_before);
	number(o, "not_after", h->not_after);
	OPENSSL_free(serial);
	BN_free(n);
}

/* One word for a person; the last result says more. */
static const char *state_of(const struct hf_agent *a, const struct hf_credential *c)
{
	bool files = !strcmp(c->conf->method, "files");

	if (c->busy)
		return "renewing";
	if (!a->clock.trusted && !files)
		return "held";
	if (c->held.leaf && c->held.not_after <= a->clock.wall)
		return "expired";
	if (!strcmp(c->record.result, "pending") && c->record.failures)
		return "pending";
	if (c->record.failures || c->trouble[0])
		return "failed";
	if (!c->held.leaf)
		return "missing";
	return files || c->conf->renew.enabled ? "ok" : "disabled";
}

json_object *hf_status_credential(const struct hf_agent *a, const struct hf_credential *c)
{
	json_object *o = json_object_new_object(), *last = json_object_new_object();
	json_object *hook = json_object_new_object();

	text(o, "id", c->conf->id);
	text(o, "role", c->conf->role);
	text(o, "method", c->conf->method);
	truth(o, "quickstart", c->conf->quickstart);
	text(o, "file", c->conf->file);
	text(o, "key", c->conf->key.name);
	add_certificate(o, &c->held);
	text(o, "state", state_of(a, c));
	number(o, "next", c->next == HF_NEVER ? 0 : c->next);
	number(last, "at", c->record.last);
	text(last, "result", c->record.result);
	text(last, "message", c->trouble[0] ? c->trouble : c->record.message);
	json_object_object_add(o, "last", last);
	if (c->conf->hook.n_exec) {
		truth(hook, "due", c->record.hook_due);
		number(hook, "at", c->record.hook_at);
		text(hook, "result", c->record.hook_result);
		number(hook, "failures", c->record.hook_failures);
		json_object_object_add(o, "hook", json_object_get(hook));
	}
	json_object_put(hook);
	truth(o, "clamped", hf_credential_clamped(c));
	number(o, "attempts", c->record.failures);
	number(o, "renewals", c->record.renewals);
	number(o, "failures", c->record.failed);
	return o;
}

json_object *hf_status_clock(const struct hf_agent *a)
{
	json_object *o = json_object_new_object();

	truth(o, "trusted", a->clock.trusted);
	number(o, "floor", a->clock.floor);
	text(o, "reason", a->clock.reason);
	return o;
}

json_object *hf_status_make(struct hf_agent *a)
{
	json_object *o = json_object_new_object(), *list = json_object_new_array(), *part;
	size_t i;

	number(o, "version", 1);
	number(o, "pid", getpid());
	number(o, "now", a->clock.wall);
	json_object_object_add(o, "clock", hf_status_clock(a));
	part = json_object_new_object();
	text(part, "file", a->settings->bundle.file);
	number(part, "certificates", (int64_t)a->bundle_n);
	text(part, "error", a->bundle_error);
	json_object_object_add(o, "bundle", part);
	part = json_object_new_object();
	number(part, "certificates", (int64_t)a->modules_n);
	number(part, "failed", (int64_t)a->modules_failed);
	text(part, "error", a->modules_error);
	json_object_object_add(o, "modules", part);
	for (i = 0; i < a->n; i++)
		json_object_array_add(list, hf_status_credential(a, &a->credentials[i]));
	json_object_object_add(o, "credentials", list);
	return o;
}

void hf_status_write(struct hf_agent *a)
{
	json_object *o = hf_status_make(a);
	const char *out = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY);
	struct hf_err err = HF_ERR_INIT;
	char path[HF_PATH_MAX];

	a->changed = false;
	if (hf_path_join(path, a->settings->run_dir, "status.json", &err) ||
	    hf_file_replace(path, out, strlen(out), 0644, &err)) {
		hf_log(HF_LOG_ERR, "status: %s", err.msg);
		a->changed = true; /* with the next look */
	}
	json_object_put(o);
}
