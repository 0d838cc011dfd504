/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast status: one screen. */
#include <stdio.h>
#include <string.h>

#include "cli/broker.h"
#include "cli/certs.h"
#include "cli/output.h"

static void add_error(json_object *errors, const char *what, const char *text)
{
	json_object *o = json_object_new_object();

	hf_out_text(o, "what", what);
	hf_out_text(o, "message", text);
	json_object_array_add(errors, o);
}

/* With the daemon down there are no keys to show, but certificates there are. */
static enum hf_rc ask_broker(struct hf_cli *c, json_object *tokens, json_object *keys,
			     json_object *errors, struct hf_err *e)
{
	size_t i;
	enum hf_rc rc = hf_broker_status(c, c->result, e);

	if (!rc)
		rc = hf_broker_tokens(c, tokens, e);
	if (!rc)
		rc = hf_broker_keys(c, keys, e);
	if (rc)
		add_error(errors, "broker", e->msg);
	for (i = 0; i < json_object_array_length(tokens); i++) {
		json_object *t = json_object_array_get_idx(tokens, i);

		if (hf_out_get(t, "error")[0])
			add_error(errors, hf_out_get(t, "name"), hf_out_get(t, "error"));
		if (strcmp(hf_out_get(t, "state"), "ready"))
			c->exit = hf_rc_exit(HF_UNAVAILABLE);
	}
	return rc;
}

static void add_certificates(struct hf_cli *c, const struct hf_inventory *inv, json_object *keys,
			     json_object *errors)
{
	json_object *rows = hf_certs_rows(inv, keys);
	char hook[120];
	size_t i;

	for (i = 0; i < json_object_array_length(rows); i++) {
		json_object *o = json_object_array_get_idx(rows, i);
		const char *said = hf_out_get(o, "last_message");

		if (strcmp(hf_out_get(o, "state"), "ok"))
			add_error(errors, hf_out_get(o, "id"),
				  said[0]			? said
				  : hf_out_get(o, "trouble")[0] ? hf_out_get(o, "trouble")
								: hf_out_get(o, "state"));
		if (hf_inventory_number(inv->list[i].status, "hook.failures")) {
			(void)snprintf(hook, sizeof(hook), "its hook failed: %.80s",
				       hf_inventory_text(inv->list[i].status, "hook.result"));
			add_error(errors, hf_out_get(o, "id"), hook);
		}
	}
	json_object_object_add(c->result, "certificates", rows);
}

static void add_agent(struct hf_cli *c, const struct hf_inventory *inv, json_object *errors)
{
	json_object *clock = hf_inventory_at(inv->status, "clock");
	const char *bundle = hf_inventory_text(inv->status, "bundle.error");

	json_object_object_add(c->result, "agent_running", json_object_new_boolean(inv->alive));
	if (inv->alive && clock)
		json_object_object_add(c->result, "clock", json_object_get(clock));
	if (inv->alive && !hf_inventory_true(clock, "trusted"))
		add_error(errors, "clock", hf_inventory_text(clock, "reason"));
	if (inv->alive && bundle[0])
		add_error(errors, "trust bundle", bundle);
	if (!inv->alive && inv->n)
		add_error(errors, "agent", "holdfast-agent does not run: nothing is renewed");
}

enum hf_rc hf_status(struct hf_cli *c, struct hf_err *e)
{
	json_object *tokens = json_object_new_array(), *keys = json_object_new_array();
	json_object *errors = json_object_new_array();
	struct hf_err broker = HF_ERR_INIT;
	struct hf_inventory inv;
	enum hf_rc rc = hf_inventory_load(c, &inv, e);

	json_object_object_add(c->result, "tokens", tokens);
	json_object_object_add(c->result, "key_list", keys);
	json_object_object_add(c->result, "errors", errors);
	if (!rc && ask_broker(c, tokens, keys, errors, &broker)) {
		/* nothing of anything: then that is the error */
		if (!inv.agent && !inv.status)
			rc = hf_fail(e, broker.rc, "%s", broker.msg);
		c->exit = hf_rc_exit(broker.rc);
	}
	if (!rc) {
		add_agent(c, &inv, errors);
		add_certificates(c, &inv, keys, errors);
	}
	hf_inventory_finish(&inv);
	return rc;
}

/* ---------------------------------------------------------------- shown */

static const char *span(uint64_t s, char out[32])
{
	if (s >= 172800)
		(void)snprintf(out, 32, "%llu days", (unsigned long long)s / 86400);
	else if (s >= 7200)
		(void)snprintf(out, 32, "%llu hours", (unsigned long long)s / 3600);
	else
		(void)snprintf(out, 32, "%llu s", (unsigned long long)s);
	return out;
}

static void show_broker(const struct hf_cli *c)
{
	char text[32], software[160];

	if (!hf_out_cell(c->result, "software", software, sizeof(software))[0]) {
		printf("broker: not running\n");
		return;
	}
	printf("%s, up for %s; %s operations, %s refused, %s too many, %s connections\n", software,
	       span((uint64_t)hf_inventory_number(c->result, "uptime_s"), text),
	       hf_out_get(c->result, "operations"), hf_out_get(c->result, "refusals"),
	       hf_out_get(c->result, "busy"), hf_out_get(c->result, "connections"));
	if (hf_inventory_number(c->result, "lines_lost"))
		printf("log: %s lines were lost, of the audit too: nobody took them in time\n",
		       hf_out_get(c->result, "lines_lost"));
	if (hf_inventory_number(c->result, "set_aside"))
		printf("set aside: %s damaged files of keys: see the journal of holdfastd\n",
		       hf_out_get(c->result, "set_aside"));
}

static void show_agent(const struct hf_cli *c)
{
	bool alive = hf_inventory_true(c->result, "agent_running");
	bool trusted = hf_inventory_true(c->result, "clock.trusted");

	printf("agent: %s%s\n", alive ? "running" : "not running",
	       !alive	 ? ""
	       : trusted ? "; the clock is trusted"
			 : "; the clock is not trusted, nothing is issued");
}

static void section(json_object *list, const struct hf_column *columns)
{
	if (!json_object_array_length(list))
		return;
	printf("\n");
	hf_out_table(list, columns);
}

void hf_status_show(const struct hf_cli *c)
{
	static const struct hf_column tokens[] = { { "TOKEN", "name" },
						   { "TYPE", "type" },
						   { "STATE", "state" },
						   { "KEYS", "keys" },
						   { "OPERATIONS", "operations" },
						   { "QUEUED", "queued" },
						   { "RESTARTS", "restarts" },
						   { "LOCKOUT", "lockout_counter" },
						   { "DESCRIPTION", "description" },
						   { NULL, NULL } };
	static const struct hf_column keys[] = {
		{ "KEY", "name" },    { "TOKEN", "token" },	  { "ALGORITHM", "algorithm" },
		{ "USAGE", "usage" }, { "EXPORTED", "exported" }, { NULL, NULL }
	};
	static const struct hf_column certs[] = { { "CERTIFICATE", "id" },  { "STATE", "state" },
						  { "UNTIL", "not_after" }, { "RENEWAL", "next" },
						  { "KEY", "key" },	    { NULL, NULL } };
	json_object *list = json_object_object_get(c->result, "certificates");
	json_object *errors = json_object_object_get(c->result, "errors");
	char text[600], what[100];
	size_t i;

	show_broker(c);
	show_agent(c);
	section(json_object_object_get(c->result, "tokens"), tokens);
	section(json_object_object_get(c->result, "key_list"), keys);
	section(list, certs);
	for (i = 0; i < json_object_array_length(list); i++)
		if (hf_inventory_true(json_object_array_get_idx(list, i), "quickstart"))
			printf("%s: made by this device itself; not for production\n",
			       hf_out_get(json_object_array_get_idx(list, i), "id"));
	for (i = 0; i < json_object_array_length(errors); i++) {
		json_object *o = json_object_array_get_idx(errors, i);

		printf("%s%s: %s\n", i ? "" : "\n", hf_out_cell(o, "what", what, sizeof(what)),
		       hf_out_cell(o, "message", text, sizeof(text)));
	}
}
