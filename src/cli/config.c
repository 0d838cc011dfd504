/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast config check, and what it has in common with apply. */
#include "cli/config.h"

#include <stdio.h>
#include <string.h>

#include "cli/output.h"
#include "conf/agentfile.h"
#include "conf/daemonfile.h"
#include "conf/load.h"
#include "conf/tokens.h"

static const char *const severities[] = { "error", "warning", "note" };

/* Everything found becomes result.problems; the errors also go to stderr, one a line. */
static void publish(struct hf_cli *c, const struct hf_problems *p)
{
	bool notes = !strcmp(c->command->verb, "check"); /* whoever applies knows them */
	json_object *list = json_object_new_array();
	char text[800];
	size_t i;

	for (i = 0; i < p->n; i++) {
		const struct hf_problem *one = &p->list[i];
		json_object *o = json_object_new_object();

		hf_out_text(o, "severity", severities[one->severity]);
		hf_out_text(o, "file", one->file);
		hf_out_number(o, "line", one->line);
		hf_out_text(o, "message", one->text);
		json_object_array_add(list, o);
		if (!c->json && (notes || one->severity != HF_PROBLEM_NOTE))
			(void)fprintf(stderr, "%s: %s\n", severities[one->severity],
				      hf_problem_text(one, text, sizeof(text)));
	}
	if (p->more)
		(void)fprintf(stderr, "and %zu more\n", p->more);
	json_object_object_add(c->result, "problems", list);
}

void hf_config_make(const struct hf_cli *c, const struct hf_config *config,
		    struct hf_problems *problems, struct hf_prepared *out)
{
	struct hf_making m = { config->root, &c->paths, problems, NULL, NULL };
	struct hf_creds creds;
	struct hf_host host;

	if (problems->errors)
		return;
	hf_host_find(&host, &c->paths);
	hf_creds_make(&creds, &m, &host);
	if (!problems->errors)
		hf_config_check_files(&creds, problems);
	m.creds = &creds;
	m.host = &host;
	if (c->paths.system && host.certs_uid < 0)
		hf_problem_at(problems, HF_PROBLEM_NOTE, "", 0,
			      "there is no user " HF_CERTS_USER ", who runs the certificate agent: "
			      "it gets no rights");
	out->holdfastd = hf_daemonfile_make(&m);
	if (!problems->errors)
		out->agent = hf_agentfile_make(&creds, &host);
	if (!problems->errors)
		out->keys = hf_agentfile_keys(&creds);
	out->pins = hf_conf_pins(&m);
	hf_creds_finish(&creds);
}

enum hf_rc hf_config_prepare(struct hf_cli *c, struct hf_prepared *out, struct hf_err *e)
{
	struct hf_problems problems;
	struct hf_config config;
	json_object *files;
	enum hf_rc rc;
	size_t i;

	memset(&problems, 0, sizeof(problems));
	memset(out, 0, sizeof(*out));
	rc = hf_config_load(&config, &c->paths, hf_cli_option(c, "config"), &problems, e);
	if (!rc) {
		hf_config_make(c, &config, &problems, out);
		files = json_object_new_array();
		for (i = 0; i < config.n_files; i++)
			json_object_array_add(files, json_object_new_string(config.files[i]));
		json_object_object_add(c->result, "files", files);
	}
	hf_problem_sort(&problems);
	publish(c, &problems);
	if (!rc && problems.errors)
		rc = hf_fail(e, HF_ARGUMENT,
			     "the configuration has %zu error%s; nothing was changed",
			     problems.errors, problems.errors == 1 ? "" : "s");
	hf_config_finish(&config);
	return rc;
}

void hf_prepared_finish(struct hf_prepared *p)
{
	json_object_put(p->holdfastd);
	json_object_put(p->agent);
	json_object_put(p->pins);
	json_object_put(p->keys);
	memset(p, 0, sizeof(*p));
}

/* What is shown may be copied into a bug report. */
static void hide_passwords(json_object *agent)
{
	json_object *list = json_object_object_get(agent, "credentials"), *est;
	size_t i;

	for (i = 0; i < json_object_array_length(list); i++) {
		est = json_object_object_get(json_object_array_get_idx(list, i), "est");
		if (hf_out_get(est, "password")[0])
			hf_out_text(est, "password", "(not shown)");
	}
}

enum hf_rc hf_config_run_check(struct hf_cli *c, struct hf_err *e)
{
	struct hf_prepared made;
	enum hf_rc rc = hf_config_prepare(c, &made, e);

	if (!rc) {
		hide_passwords(made.agent);
		json_object_object_add(c->result, "holdfastd", json_object_get(made.holdfastd));
		json_object_object_add(c->result, "agent", json_object_get(made.agent));
	}
	hf_prepared_finish(&made);
	return rc;
}
