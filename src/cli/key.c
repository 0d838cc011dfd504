/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast key create, list, show, delete. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/broker.h"
#include "cli/keyjson.h"
#include "cli/output.h"
#include "cli/session.h"
#include "conf/nearest.h"
#include "wire/mech.h"

static enum hf_rc check_algorithm(const char *name, struct hf_err *e)
{
	const struct hf_algorithm *a;
	struct hf_nearest near;
	char known[160];
	size_t used = 0;

	if (hf_algorithm_find(name))
		return HF_OK;
	hf_nearest_init(&near, name);
	for (a = hf_algorithms; a->name; a++) {
		hf_nearest_try(&near, a->name);
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
					 used ? ", " : "", a->name);
	}
	return hf_fail(e, HF_ARGUMENT, "there is no algorithm '%.40s'; %s%s%sthere are: %s", name,
		       near.best ? "did you mean '" : "", near.best ? near.best : "",
		       near.best ? "'? " : "", known);
}

enum hf_rc hf_key_create(struct hf_cli *c, struct hf_err *e)
{
	const char *algorithm = hf_cli_option(c, "algorithm"), *usage = hf_cli_option(c, "usage");
	const char *token = hf_cli_option(c, "token");
	hf_KeyCreate *q;
	hf_KeyRef ref;
	enum hf_rc rc;

	rc = hf_session_key(&ref, c->words[0], e);
	if (!rc && !ref.name[0])
		rc = hf_fail(e, HF_ARGUMENT, "a new key needs a name, not a hash");
	if (!rc)
		rc = check_algorithm(algorithm ? algorithm : "ec-p256", e);
	if (!rc && !hf_usage_parse(usage ? usage : "sign"))
		rc = hf_fail(
			e, HF_ARGUMENT,
			"--usage %.40s: write sign, decrypt, derive, separated by commas; or ca "
			"alone, for a key that signs certificates and nothing else",
			usage);
	if (!rc)
		rc = hf_session_open(c, e);
	if (rc)
		return rc;
	q = &c->session->req.op.key_create;
	c->session->req.which_op = hf_Request_key_create_tag;
	(void)hf_copy(q->name, sizeof(q->name), ref.name);
	(void)hf_copy(q->algorithm, sizeof(q->algorithm), algorithm ? algorithm : "ec-p256");
	q->usage = hf_usage_parse(usage ? usage : "sign");
	if (token && !hf_copy(q->token, sizeof(q->token), token))
		return hf_fail(e, HF_ARGUMENT, "--token %.40s... is too long for a name", token);
	c->session->doing = "the token is making the key...";
	rc = hf_session_call(c, HF_CREATE_MS, hf_Reply_key_tag, e);
	if (rc)
		return hf_session_about(e, ref.name);
	hf_keyjson_info(c->result, &c->session->rep.result.key);
	return HF_OK;
}

enum hf_rc hf_broker_summaries(struct hf_cli *c, json_object *list, struct hf_err *e)
{
	char after[64] = "";
	bool more = true;
	enum hf_rc rc = hf_session_open(c, e);

	while (!rc && more) {
		hf_KeyListReply *r = &c->session->rep.result.key_list;
		pb_size_t i;

		c->session->req.which_op = hf_Request_key_list_tag;
		(void)hf_copy(c->session->req.op.key_list.after, sizeof(after), after);
		rc = hf_session_call(c, HF_CALL_MS, hf_Reply_key_list_tag, e);
		if (rc)
			break;
		for (i = 0; i < r->keys_count; i++)
			json_object_array_add(list, hf_keyjson_summary(&r->keys[i]));
		/* A broker that does not get on would keep us here for ever. */
		more = r->more && r->keys_count &&
		       strcmp(r->keys[r->keys_count - 1].name, after) > 0;
		if (r->keys_count)
			(void)hf_copy(after, sizeof(after), r->keys[r->keys_count - 1].name);
	}
	return rc;
}

enum hf_rc hf_broker_keys(struct hf_cli *c, json_object *list, struct hf_err *e)
{
	json_object *names = json_object_new_array();
	enum hf_rc rc = hf_broker_summaries(c, names, e);
	size_t i;

	for (i = 0; !rc && i < json_object_array_length(names); i++) {
		rc = hf_session_get(c, hf_out_get(json_object_array_get_idx(names, i), "name"), e);
		if (!rc) {
			json_object *o = json_object_new_object();

			hf_keyjson_info(o, &c->session->rep.result.key);
			json_object_array_add(list, o);
		} else if (rc == HF_NO_KEY) {
			rc = HF_OK; /* gone meanwhile */
		}
	}
	json_object_put(names);
	return rc;
}

enum hf_rc hf_key_list(struct hf_cli *c, struct hf_err *e)
{
	json_object *list = json_object_new_array();

	json_object_object_add(c->result, "keys", list);
	return hf_broker_summaries(c, list, e);
}

void hf_key_list_show(const struct hf_cli *c)
{
	static const struct hf_column columns[] = {
		{ "NAME", "name" },
		{ "TOKEN", "token" },
		{ "ALGORITHM", "algorithm" },
		{ "USAGE", "usage" },
		{ "GENERATIONS", "generations" },
		{ "CREATED", "created" },
		{ "CURRENT", "sha256" },
		{ NULL, NULL },
	};
	json_object *list = json_object_object_get(c->result, "keys");
	size_t i;

	if (!hf_cli_option(c, "names")) {
		hf_out_table(list, columns);
		return;
	}
	for (i = 0; i < json_object_array_length(list); i++)
		puts(hf_out_get(json_object_array_get_idx(list, i), "name"));
}

enum hf_rc hf_key_show(struct hf_cli *c, struct hf_err *e)
{
	enum hf_rc rc = hf_session_get(c, c->words[0], e);

	if (!rc)
		hf_keyjson_info(c->result, &c->session->rep.result.key);
	return rc;
}

static bool any_imported(json_object *generations)
{
	size_t i;

	for (i = 0; i < json_object_array_length(generations); i++)
		if (!strcmp(hf_out_get(json_object_array_get_idx(generations, i), "imported"),
			    "true"))
			return true;
	return false;
}

/* What a table has no room for. */
static void show_more(const struct hf_cli *c, json_object *generations)
{
	char text[256];

	if (hf_out_cell(c->result, "ciphers", text, sizeof(text))[0])
		printf("\nit decrypts with %s\n", text);
	if (hf_out_cell(c->result, "agreements", text, sizeof(text))[0])
		printf("\nit agrees on secrets with %s\n", text);
	if (hf_out_get(c->result, "issuer_not_after")[0])
		printf("\nits certificate is valid until %s\n",
		       hf_out_get(c->result, "issuer_not_after"));
	if (!strcmp(hf_out_get(c->result, "exported"), "true"))
		printf("\nits file is outside of holdfast as well: whoever has it, and the token, "
		       "uses the key past all rules\n");
	if (any_imported(generations))
		printf("\nwhat is imported was in software once: there may be copies\n");
}

void hf_key_show_show(const struct hf_cli *c)
{
	static const struct hf_column key[] = {
		{ "NAME", "name" },   { "TOKEN", "token" },	{ "ALGORITHM", "algorithm" },
		{ "USAGE", "usage" }, { "SCHEMES", "schemes" }, { NULL, NULL },
	};
	static const struct hf_column generation[] = {
		{ "GENERATION", "sha256" },
		{ "STATE", "state" },
		{ "ALGORITHM", "algorithm" },
		{ "CREATED", "created" },
		{ "RETIRES", "retire_at" },
		{ "IMPORTED", "imported" },
		{ NULL, NULL },
	};
	json_object *generations = json_object_object_get(c->result, "generations");
	json_object *one = json_object_new_array();

	json_object_array_add(one, json_object_get(c->result));
	hf_out_table(one, key);
	json_object_put(one);
	show_more(c, generations);
	printf("\n");
	hf_out_table(generations, generation);
}

/* Deleting cannot be undone, and certificates of the key die with it. */
static enum hf_rc confirm(const char *name, struct hf_err *e)
{
	char answer[16] = "";

	if (!isatty(STDIN_FILENO))
		return hf_fail(e, HF_ARGUMENT,
			       "key %s was not deleted: nobody can be asked here; give --yes if "
			       "you mean it",
			       name);
	(void)fprintf(stderr,
		      "Delete the key %s with all its generations, for good? "
		      "Its certificates become useless. [y/N] ",
		      name);
	if (!fgets(answer, sizeof(answer), stdin) ||
	    (strcmp(answer, "y\n") && strcmp(answer, "yes\n")))
		return hf_fail(e, HF_FAILED, "key %s was not deleted", name);
	return HF_OK;
}

enum hf_rc hf_key_delete(struct hf_cli *c, struct hf_err *e)
{
	hf_KeyRef ref;
	enum hf_rc rc = hf_session_key(&ref, c->words[0], e);

	if (!rc && !ref.name[0])
		rc = hf_fail(e, HF_ARGUMENT,
			     "name the key that is to be deleted; a hash will not do");
	if (!rc && !hf_cli_option(c, "yes"))
		rc = confirm(ref.name, e);
	if (!rc)
		rc = hf_session_open(c, e);
	if (rc)
		return rc;
	c->session->req.which_op = hf_Request_key_delete_tag;
	(void)hf_copy(c->session->req.op.key_delete.name, sizeof(ref.name), ref.name);
	rc = hf_session_call(c, HF_CALL_MS, 0, e);
	if (rc)
		return hf_session_about(e, ref.name);
	hf_out_text(c->result, "name", ref.name);
	hf_out_text(c->result, "deleted", ref.name);
	hf_out_line(c, "key %s is deleted", ref.name);
	return HF_OK;
}
