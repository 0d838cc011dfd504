/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast check: the table of checks, one after the other. */
#include "cli/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/broker.h"
#include "cli/output.h"
#include "cli/views.h"
#include "conf/nearest.h"

const struct hf_option hf_check_options[] = {
	{ "fix", NULL, "make directories, and put right owners and permissions" },
	{ "offline", NULL, "do not ask EST servers whether they are there" },
	{ "only", "LIST", "these checks only, separated by commas" },
	{ "list", NULL, "say which checks there are, and check nothing" },
	{ "warnings-as-errors", NULL, "exit status 1 for warnings as well" },
	{ NULL, NULL, NULL },
};

static const struct hf_check *const tables[] = { hf_checks_config, hf_checks_files,
						 hf_checks_certs,  hf_checks_chains,
						 hf_checks_est,	   hf_checks_daemons,
						 hf_checks_keys,   hf_checks_system };

static const char *const results[] = {
	[HF_CHECK_OK] = "ok",
	[HF_CHECK_SKIPPED] = "skipped",
	[HF_CHECK_WARNING] = "warning",
	[HF_CHECK_ERROR] = "error",
};

__attribute__((format(printf, 3, 0))) static void add(struct hf_checkup *k, const char *result,
						      const char *fmt, va_list ap)
{
	json_object *o = json_object_new_object();
	char text[1200];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	hf_out_text(o, "result", result);
	hf_out_text(o, "message", text);
	json_object_array_add(k->findings, o);
}

void hf_check_say(struct hf_checkup *k, enum hf_check_result result, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(k, results[result], fmt, ap);
	va_end(ap);
	if (result > k->result)
		k->result = result;
}

void hf_check_fixed(struct hf_checkup *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(k, "fixed", fmt, ap);
	va_end(ap);
}

bool hf_check_needs_broker(struct hf_checkup *k)
{
	if (k->broker_err.rc)
		hf_check_say(k, HF_CHECK_SKIPPED, "the broker does not answer");
	return !k->broker_err.rc;
}

bool hf_check_needs_agent(struct hf_checkup *k)
{
	if (!k->inventory.agent)
		hf_check_say(k, HF_CHECK_SKIPPED, "no %s that can be read",
			     k->inventory.agent_path);
	return k->inventory.agent != NULL;
}

bool hf_check_needs_status(struct hf_checkup *k)
{
	if (!k->inventory.alive)
		hf_check_say(k, HF_CHECK_SKIPPED, "the agent does not run");
	return k->inventory.alive;
}

const char *hf_check_name(const struct hf_credview *v, char *out, size_t size)
{
	(void)snprintf(out, size, "%s (%s)", v->id, v->file[0] ? v->file : "no file");
	return out;
}

/* ---------------------------------------------------------------- which */

/* Is @id one of the words of @list, which are separated by commas? */
static bool listed(const char *list, const char *id)
{
	size_t n = strlen(id), m;

	for (; *list; list += m + (list[m] == ',')) {
		m = strcspn(list, ",");
		if (m == n && !strncmp(list, id, n))
			return true;
	}
	return false;
}

static enum hf_rc check_words(const char *list, struct hf_err *e)
{
	const struct hf_check *k;
	struct hf_nearest near;
	char word[64];
	bool known;
	size_t i, m;

	for (; *list; list += m + (list[m] == ',')) {
		m = strcspn(list, ",");
		(void)snprintf(word, sizeof(word), "%.*s", (int)(m < 60 ? m : 60), list);
		hf_nearest_init(&near, word);
		known = !m;
		for (i = 0; i < HF_COUNT(tables); i++)
			for (k = tables[i]; k->id; k++) {
				known = known || !strcmp(k->id, word);
				hf_nearest_try(&near, k->id);
			}
		if (!known)
			return hf_fail(e, HF_ARGUMENT, "there is no check '%s'%s%s%s", word,
				       near.best ? "; did you mean '" : "; see --list",
				       near.best ? near.best : "", near.best ? "'?" : "");
	}
	return HF_OK;
}

/* ---------------------------------------------------------------- running */

static void ask_broker(struct hf_checkup *k)
{
	k->keys = json_object_new_array();
	k->tokens = json_object_new_array();
	k->broker = json_object_new_object();
	if (!hf_broker_status(k->cli, k->broker, &k->broker_err) &&
	    !hf_broker_tokens(k->cli, k->tokens, &k->broker_err))
		(void)hf_broker_keys(k->cli, k->keys, &k->broker_err);
}

static enum hf_rc prepare(struct hf_checkup *k, struct hf_err *e)
{
	if (k->cli->paths.system && geteuid() != 0)
		return hf_fail(e, HF_DENIED,
			       "'holdfast check' has to be run as root: it looks at files and "
			       "asks for keys that others may not");
	if (hf_inventory_load(k->cli, &k->inventory, e))
		return e->rc;
	if (!hf_config_load(&k->config, &k->cli->paths, NULL, &k->problems, &k->config_err))
		hf_config_make(k->cli, &k->config, &k->problems, &k->made);
	ask_broker(k);
	return HF_OK;
}

static void finish(struct hf_checkup *k)
{
	hf_inventory_finish(&k->inventory);
	hf_prepared_finish(&k->made);
	hf_config_finish(&k->config);
	json_object_put(k->keys);
	json_object_put(k->tokens);
	json_object_put(k->broker);
}

static void run_one(struct hf_checkup *k, const struct hf_check *check, json_object *list,
		    unsigned count[])
{
	json_object *row = json_object_new_object();

	k->result = HF_CHECK_OK;
	k->findings = json_object_new_array();
	check->run(k, check->arg);
	hf_out_text(row, "id", check->id);
	hf_out_text(row, "title", check->title);
	hf_out_text(row, "result", results[k->result]);
	json_object_object_add(row, "findings", k->findings);
	json_object_array_add(list, row);
	count[k->result]++;
}

static void name_all(struct hf_cli *c, json_object *list)
{
	const struct hf_check *k;
	size_t i;

	(void)c;
	for (i = 0; i < HF_COUNT(tables); i++)
		for (k = tables[i]; k->id; k++) {
			json_object *row = json_object_new_object();

			hf_out_text(row, "id", k->id);
			hf_out_text(row, "title", k->title);
			json_object_array_add(list, row);
		}
}

enum hf_rc hf_check(struct hf_cli *c, struct hf_err *e)
{
	struct hf_checkup k = { .cli = c, .now = time(NULL) };
	json_object *list = json_object_new_array();
	const char *only = hf_cli_option(c, "only");
	const struct hf_check *check;
	unsigned count[HF_COUNT(results)] = { 0 };
	enum hf_rc rc;
	size_t i;

	json_object_object_add(c->result, "checks", list);
	if (hf_cli_option(c, "list")) {
		name_all(c, list);
		return HF_OK;
	}
	k.fix = hf_cli_option(c, "fix");
	k.offline = hf_cli_option(c, "offline");
	rc = only ? check_words(only, e) : HF_OK;
	if (!rc)
		rc = prepare(&k, e);
	for (i = 0; !rc && i < HF_COUNT(tables); i++)
		for (check = tables[i]; check->id; check++)
			if (!only || listed(only, check->id))
				run_one(&k, check, list, count);
	finish(&k);
	for (i = 0; i < HF_COUNT(results); i++)
		hf_out_number(c->result, results[i], count[i]);
	c->exit = count[HF_CHECK_ERROR] ||
		  (count[HF_CHECK_WARNING] && hf_cli_option(c, "warnings-as-errors"));
	return rc;
}

/* ---------------------------------------------------------------- shown */

static void show_row(json_object *row)
{
	json_object *findings = json_object_object_get(row, "findings");
	char text[1300];
	size_t i;

	printf("%-8s %s", hf_out_get(row, "result"), hf_out_get(row, "title"));
	if (!strcmp(hf_out_get(row, "result"), "skipped") &&
	    json_object_array_length(findings) == 1) {
		hf_out_cell(json_object_array_get_idx(findings, 0), "message", text, sizeof(text));
		printf(": %s\n", text);
		return;
	}
	printf("\n");
	for (i = 0; i < json_object_array_length(findings); i++) {
		json_object *o = json_object_array_get_idx(findings, i);
		bool same = !strcmp(hf_out_get(o, "result"), hf_out_get(row, "result"));

		hf_out_cell(o, "message", text, sizeof(text));
		printf("         %s%s%s\n", same ? "" : hf_out_get(o, "result"), same ? "" : ": ",
		       text);
	}
}

void hf_check_show(const struct hf_cli *c)
{
	static const struct hf_column columns[] = { { "ID", "id" },
						    { "TITLE", "title" },
						    { NULL, NULL } };
	json_object *list = json_object_object_get(c->result, "checks");
	size_t i;

	if (hf_cli_option(c, "list")) {
		hf_out_table(list, columns);
		return;
	}
	for (i = 0; i < json_object_array_length(list); i++)
		show_row(json_object_array_get_idx(list, i));
	printf("\n%s ok, %s skipped, %s warning%s, %s error%s\n", hf_out_get(c->result, "ok"),
	       hf_out_get(c->result, "skipped"), hf_out_get(c->result, "warning"),
	       !strcmp(hf_out_get(c->result, "warning"), "1") ? "" : "s",
	       hf_out_get(c->result, "error"),
	       !strcmp(hf_out_get(c->result, "error"), "1") ? "" : "s");
}
