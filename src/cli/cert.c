/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast cert list, show: from what is configured, what the agent tells, and the files. */
#include <stdio.h>
#include <string.h>

#include "cli/agent.h"
#include "cli/broker.h"
#include "cli/certview.h"
#include "cli/certs.h"
#include "cli/output.h"
#include "cli/views.h"

/* The token of each key is the broker's knowledge; without it that column is empty. */
static const char *token_of(json_object *keys, const char *name)
{
	size_t i;

	for (i = 0; i < json_object_array_length(keys); i++)
		if (!strcmp(hf_out_get(json_object_array_get_idx(keys, i), "name"), name))
			return hf_out_get(json_object_array_get_idx(keys, i), "token");
	return "";
}

/* What the agent says if it runs, else what can be seen. */
static const char *state_of(const struct hf_inventory *inv, const struct hf_credview *v, time_t now)
{
	const char *said = hf_inventory_text(v->status, "state");
	X509 *leaf = v->certs ? sk_X509_value(v->certs, 0) : NULL;

	if (inv->alive && said[0])
		return said;
	if (!leaf)
		return v->cert_err.rc == HF_CORRUPT ? "damaged" : "missing";
	return hf_certview_time(X509_get0_notAfter(leaf)) <= now ? "expired" : "ok";
}

static void add_times(json_object *o, const struct hf_credview *v)
{
	int64_t next = hf_inventory_number(v->status, "next");
	int64_t at = hf_inventory_number(v->status, "last.at");

	if (next > 0)
		hf_out_time(o, "next", (uint64_t)next);
	if (at > 0)
		hf_out_time(o, "last_at", (uint64_t)at);
	if (hf_inventory_true(v->status, "clamped"))
		json_object_object_add(o, "clamped", json_object_new_boolean(true));
	hf_out_text(o, "last", hf_inventory_text(v->status, "last.result"));
	hf_out_text(o, "last_message", hf_inventory_text(v->status, "last.message"));
}

json_object *hf_certs_row(const struct hf_inventory *inv, const struct hf_credview *v,
			  json_object *keys, time_t now)
{
	const char *key = v->conf ? hf_inventory_text(v->conf, "key.name")
				  : hf_inventory_text(v->status, "key");
	json_object *o = json_object_new_object(), *cert;

	hf_out_text(o, "id", v->id);
	hf_out_text(o, "role", v->role);
	hf_out_text(o, "method", hf_inventory_text(v->conf ? v->conf : v->status, "method"));
	json_object_object_add(o, "quickstart",
			       json_object_new_boolean(hf_inventory_true(
				       v->conf ? v->conf : v->status, "quickstart")));
	hf_out_text(o, "state", state_of(inv, v, now));
	hf_out_text(o, "file", v->file);
	hf_out_text(o, "key", key);
	hf_out_text(o, "token", token_of(keys, key));
	if (v->certs) {
		cert = hf_certview_json(sk_X509_value(v->certs, 0), now);
		json_object_object_foreach(cert, name, value)
			json_object_object_add(o, name, json_object_get(value));
		json_object_put(cert);
	} else {
		hf_out_text(o, "trouble", v->cert_err.msg);
	}
	add_times(o, v);
	return o;
}

json_object *hf_certs_rows(const struct hf_inventory *inv, json_object *keys)
{
	json_object *list = json_object_new_array();
	time_t now = time(NULL);
	size_t i;

	for (i = 0; i < inv->n; i++)
		json_object_array_add(list, hf_certs_row(inv, &inv->list[i], keys, now));
	return list;
}

static enum hf_rc load(struct hf_cli *c, struct hf_inventory *inv, struct hf_err *e)
{
	if (hf_inventory_load(c, inv, e))
		return e->rc;
	json_object_object_add(c->result, "agent_running", json_object_new_boolean(inv->alive));
	if (inv->agent || inv->status)
		return HF_OK;
	return hf_fail(e, inv->agent_err.rc == HF_IO ? HF_UNAVAILABLE : HF_CORRUPT,
		       "nothing is known of certificates: %s; say 'holdfast config apply', as root",
		       inv->agent_err.msg);
}

static json_object *ask_keys(struct hf_cli *c)
{
	json_object *keys = json_object_new_array();
	struct hf_err ignored = HF_ERR_INIT;

	(void)hf_broker_keys(c, keys, &ignored);
	return keys;
}

const struct hf_option hf_cert_list_options[] = {
	{ "modules", NULL, "those of modules, which the Edge CA has issued; as root" },
	{ NULL, NULL, NULL },
};

/* Only the agent knows of them. */
static enum hf_rc list_modules(struct hf_cli *c, struct hf_err *e)
{
	json_object *reply = NULL, *list;
	enum hf_rc rc =
		hf_agent_ask(c, "GET", "/holdfast/v1/modules", NULL, HF_AGENT_MS, &reply, e);

	list = hf_inventory_at(reply, "modules");
	if (!rc && !json_object_is_type(list, json_type_array))
		rc = hf_fail(e, HF_PROTOCOL, "the agent sent no list of modules");
	if (!rc)
		json_object_object_add(c->result, "modules", json_object_get(list));
	json_object_put(reply);
	return rc;
}

static void show_modules(json_object *list)
{
	static const struct hf_column columns[] = {
		{ "MODULE", "module" },
		{ "KIND", "kind" },
		{ "GENERATION", "generation" },
		{ "NAME", "commonName" },
		{ "KEY", "key" },
		{ "SERIAL", "serial" },
		{ "UNTIL", "expiration" },
		{ "ISSUED", "issued" },
		{ "OF THIS CA", "current" },
		{ NULL, NULL },
	};

	hf_out_table(list, columns);
}

enum hf_rc hf_cert_list(struct hf_cli *c, struct hf_err *e)
{
	struct hf_inventory inv;
	json_object *keys;
	enum hf_rc rc;

	if (hf_cli_option(c, "modules"))
		return list_modules(c, e);
	rc = load(c, &inv, e);

	if (!rc) {
		keys = ask_keys(c);
		json_object_object_add(c->result, "certificates", hf_certs_rows(&inv, keys));
		json_object_put(keys);
	}
	hf_inventory_finish(&inv);
	return rc;
}

enum hf_rc hf_certs_unknown(const struct hf_inventory *inv, const char *id, struct hf_err *e)
{
	struct hf_nearest near;
	size_t i;

	hf_nearest_init(&near, id);
	for (i = 0; i < inv->n; i++)
		hf_nearest_try(&near, inv->list[i].id);
	return hf_fail(e, HF_ARGUMENT, "there is no certificate '%.60s'%s%s%s", id,
		       near.best ? "; did you mean '" : "; see 'holdfast cert list'",
		       near.best ? near.best : "", near.best ? "'?" : "");
}

/* ---------------------------------------------------------------- one */

static void add_chain(json_object *to, const struct hf_credview *v)
{
	json_object *list = json_object_new_array();
	time_t now = time(NULL);
	int i;

	for (i = 0; i < sk_X509_num(v->certs); i++)
		json_object_array_add(list, hf_certview_json(sk_X509_value(v->certs, i), now));
	json_object_object_add(to, "chain", list);
}

/* Which generation of its key the certificate is for. */
static void add_generation(json_object *o, json_object *keys)
{
	json_object *list = NULL;
	size_t i;

	for (i = 0; i < json_object_array_length(keys); i++) {
		json_object *k = json_object_array_get_idx(keys, i);

		if (!strcmp(hf_out_get(k, "name"), hf_out_get(o, "key")))
			list = hf_inventory_at(k, "generations");
	}
	for (i = 0; list && i < json_object_array_length(list); i++) {
		json_object *g = json_object_array_get_idx(list, i);

		if (!strcmp(hf_out_get(g, "sha256"), hf_out_get(o, "spki_sha256")))
			json_object_object_add(o, "generation", json_object_get(g));
	}
}

static void add_renewal(json_object *o, const struct hf_credview *v)
{
	static const char *const counts[] = { "attempts", "renewals", "failures" };
	json_object *renew = hf_inventory_at(v->conf, "renew");
	size_t i;

	for (i = 0; v->status && i < HF_COUNT(counts); i++)
		hf_out_number(o, counts[i], (uint64_t)hf_inventory_number(v->status, counts[i]));
	if (renew)
		json_object_object_add(o, "renew", json_object_get(renew));
	if (hf_inventory_text(v->conf, "est.url")[0])
		hf_out_text(o, "url", hf_inventory_text(v->conf, "est.url"));
	hf_out_text(o, "reference", hf_inventory_text(v->conf, "reference"));
}

enum hf_rc hf_cert_show(struct hf_cli *c, struct hf_err *e)
{
	struct hf_inventory inv;
	const struct hf_credview *v;
	json_object *keys, *row;
	enum hf_rc rc = load(c, &inv, e);

	if (!rc) {
		v = hf_inventory_find(&inv, c->words[0]);
		if (v) {
			keys = ask_keys(c);
			row = hf_certs_row(&inv, v, keys, time(NULL));
			add_chain(row, v);
			add_generation(row, keys);
			add_renewal(row, v);
			json_object_object_foreach(row, name, value)
				json_object_object_add(c->result, name, json_object_get(value));
			json_object_put(row);
			json_object_put(keys);
		} else {
			rc = hf_certs_unknown(&inv, c->words[0], e);
		}
	}
	hf_inventory_finish(&inv);
	return rc;
}

/* ---------------------------------------------------------------- shown */

void hf_certs_table(json_object *list)
{
	static const struct hf_column columns[] = {
		{ "ID", "id" },		  { "STATE", "state" },	 { "SUBJECT", "subject" },
		{ "ISSUER", "issuer" },	  { "KEY", "key" },	 { "TOKEN", "token" },
		{ "UNTIL", "not_after" }, { "RENEWAL", "next" }, { "LAST", "last" },
		{ NULL, NULL },
	};

	hf_out_table(list, columns);
}

static void say_not_running(const struct hf_cli *c)
{
	if (strcmp(hf_out_get(c->result, "agent_running"), "true"))
		printf("\nthe certificate agent does not run: this is what the files tell, and "
		       "nothing is "
		       "renewed\n");
}

void hf_cert_list_show(const struct hf_cli *c)
{
	json_object *list = json_object_object_get(c->result, "certificates");
	char text[300];
	size_t i;

	if (!list) {
		show_modules(json_object_object_get(c->result, "modules"));
		return;
	}
	hf_certs_table(list);
	for (i = 0; i < json_object_array_length(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);

		if (hf_out_cell(o, "last_message", text, sizeof(text))[0] &&
		    strcmp(hf_out_get(o, "state"), "ok"))
			printf("%s: %s\n", hf_out_get(o, "id"), text);
		else if (hf_out_cell(o, "trouble", text, sizeof(text))[0])
			printf("%s: %s\n", hf_out_get(o, "id"), text);
		if (!strcmp(hf_out_get(o, "quickstart"), "true"))
			printf("%s: made by this device itself; not for production\n",
			       hf_out_get(o, "id"));
		if (!strcmp(hf_out_get(o, "clamped"), "true"))
			printf("%s: its threshold is about as long as it lives; it is renewed at "
			       "half of its life\n",
			       hf_out_get(o, "id"));
	}
	say_not_running(c);
}

void hf_cert_show_show(const struct hf_cli *c)
{
	static const char *const rows[][2] = {
		{ "id", "id" },		{ "role", "role" },	    { "method", "method" },
		{ "state", "state" },	{ "subject", "subject" },   { "issuer", "issuer" },
		{ "serial", "serial" }, { "from", "not_before" },   { "until", "not_after" },
		{ "renewal", "next" },	{ "last", "last" },	    { "last at", "last_at" },
		{ "", "last_message" }, { "attempts", "attempts" }, { "renewals", "renewals" },
		{ "file", "file" },	{ "trouble", "trouble" },   { "reference", "reference" },
		{ "key", "key" },	{ "token", "token" },	    { "algorithm", "algorithm" },
		{ "sha256", "sha256" }, { "server", "url" },
	};
	static const struct hf_column columns[] = {
		{ "SUBJECT", "subject" }, { "ISSUER", "issuer" },	{ "FROM", "not_before" },
		{ "UNTIL", "not_after" }, { "ALGORITHM", "algorithm" }, { NULL, NULL },
	};
	json_object *chain = json_object_object_get(c->result, "chain");
	char text[600];
	size_t i;

	for (i = 0; i < HF_COUNT(rows); i++)
		if (hf_out_cell(c->result, rows[i][1], text, sizeof(text))[0])
			printf("%-10s %s\n", rows[i][0], text);
	if (json_object_array_length(chain) > 1) {
		printf("\n");
		hf_out_table(chain, columns);
	}
	say_not_running(c);
}
