/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast token list and provision, and status. */
#include <stdio.h>

#include "base/buf.h"
#include "cli/broker.h"
#include "cli/output.h"
#include "cli/session.h"

static const char *state_text(hf_TokenInfo_State state)
{
	switch (state) {
	case hf_TokenInfo_State_STARTING:
		return "starting";
	case hf_TokenInfo_State_READY:
		return "ready";
	case hf_TokenInfo_State_UNAVAILABLE:
		return "unavailable";
	case hf_TokenInfo_State_WRONG:
		return "wrong";
	case hf_TokenInfo_State_LOCKOUT:
		return "lockout";
	}
	return "unknown"; /* to this release */
}

static json_object *token_json(const hf_TokenInfo *t)
{
	json_object *o = json_object_new_object(), *algorithms = json_object_new_array();
	pb_size_t i;

	hf_out_text(o, "name", t->name);
	hf_out_text(o, "type", t->type);
	hf_out_text(o, "state", state_text(t->state));
	hf_out_text(o, "description", t->description);
	for (i = 0; i < t->algorithms_count; i++)
		json_object_array_add(algorithms, json_object_new_string(t->algorithms[i]));
	json_object_object_add(o, "algorithms", algorithms);
	json_object_object_add(o, "provisioned", json_object_new_boolean(t->provisioned));
	hf_out_number(o, "keys", t->keys);
	hf_out_number(o, "operations", t->operations);
	hf_out_number(o, "workers", t->workers);
	hf_out_number(o, "restarts", t->restarts);
	hf_out_number(o, "queued", t->queued);
	if (!strcmp(t->type, "tpm2")) {
		hf_out_number(o, "commands", t->commands);
		hf_out_number(o, "lockout_counter", t->lockout_counter);
	}
	if (t->error[0])
		hf_out_text(o, "error", t->error);
	return o;
}

enum hf_rc hf_broker_tokens(struct hf_cli *c, json_object *list, struct hf_err *e)
{
	enum hf_rc rc = hf_session_open(c, e);
	pb_size_t i;

	if (rc)
		return rc;
	c->session->req.which_op = hf_Request_token_list_tag;
	rc = hf_session_call(c, HF_CALL_MS, hf_Reply_token_list_tag, e);
	if (rc)
		return rc;
	for (i = 0; i < c->session->rep.result.token_list.tokens_count; i++)
		json_object_array_add(list,
				      token_json(&c->session->rep.result.token_list.tokens[i]));
	return HF_OK;
}

enum hf_rc hf_token_list(struct hf_cli *c, struct hf_err *e)
{
	json_object *list = json_object_new_array();

	json_object_object_add(c->result, "tokens", list);
	return hf_broker_tokens(c, list, e);
}

enum hf_rc hf_token_provision(struct hf_cli *c, struct hf_err *e)
{
	json_object *list = json_object_new_array();
	enum hf_rc rc = hf_session_open(c, e);
	hf_TokenProvision *q;

	json_object_object_add(c->result, "tokens", list);
	if (rc)
		return rc;
	q = &c->session->req.op.token_provision;
	c->session->req.which_op = hf_Request_token_provision_tag;
	if (c->words[0] && !hf_copy(q->token, sizeof(q->token), c->words[0]))
		return hf_fail(e, HF_ARGUMENT, "'%.40s...' is too long for a name", c->words[0]);
	c->session->doing = "the token is making its primary key...";
	rc = hf_session_call(c, HF_CREATE_MS, hf_Reply_token_tag, e);
	if (!rc)
		json_object_array_add(list, token_json(&c->session->rep.result.token));
	return rc;
}

void hf_token_show(const struct hf_cli *c)
{
	static const struct hf_column columns[] = {
		{ "NAME", "name" },
		{ "TYPE", "type" },
		{ "STATE", "state" },
		{ "PROVISIONED", "provisioned" },
		{ "KEYS", "keys" },
		{ "OPERATIONS", "operations" },
		{ "WORKERS", "workers" },
		{ "RESTARTS", "restarts" },
		{ "DESCRIPTION", "description" },
		{ NULL, NULL },
	};
	json_object *list = json_object_object_get(c->result, "tokens");
	size_t i;

	hf_out_table(list, columns);
	for (i = 0; i < json_object_array_length(list); i++) {
		json_object *t = json_object_array_get_idx(list, i);

		if (hf_out_get(t, "error")[0])
			printf("%s: %s\n", hf_out_get(t, "name"), hf_out_get(t, "error"));
	}
}

enum hf_rc hf_broker_status(struct hf_cli *c, json_object *o, struct hf_err *e)
{
	const hf_StatusReply *s;
	enum hf_rc rc = hf_session_open(c, e);

	if (rc)
		return rc;
	c->session->req.which_op = hf_Request_status_get_tag;
	rc = hf_session_call(c, HF_CALL_MS, hf_Reply_status_reply_tag, e);
	if (rc)
		return rc;
	s = &c->session->rep.result.status_reply;
	hf_out_text(o, "software", s->software);
	hf_out_number(o, "uptime_s", s->uptime_s);
	hf_out_number(o, "connections", s->connections);
	hf_out_number(o, "keys", s->keys);
	hf_out_number(o, "operations", s->operations);
	hf_out_number(o, "refusals", s->refusals);
	hf_out_number(o, "busy", s->busy);
	hf_out_number(o, "lines_lost", s->lines_lost);
	hf_out_number(o, "set_aside", s->set_aside);
	return HF_OK;
}
