/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the broker, its tokens, and the agent's work. */
#include <string.h>

#include "cli/check.h"
#include "cli/output.h"

static void broker_runs(struct hf_checkup *k, const char *arg)
{
	(void)arg;
	if (k->broker_err.rc)
		hf_check_say(k, HF_CHECK_ERROR, "%s", k->broker_err.msg);
}

static void agent_runs(struct hf_checkup *k, const char *arg)
{
	(void)arg;
	if (!k->inventory.agent && k->inventory.agent_err.rc == HF_IO && !k->inventory.status)
		(void)hf_check_needs_agent(k);
	else if (!k->inventory.alive)
		hf_check_say(k, HF_CHECK_ERROR,
			     "holdfast-agent does not run, so nothing is renewed (%s): see "
			     "'systemctl status holdfast-agent'",
			     k->inventory.status ? "the process that wrote its status has gone"
						 : k->inventory.status_err.msg);
}

static void tokens(struct hf_checkup *k, const char *arg)
{
	size_t i;

	(void)arg;
	if (!hf_check_needs_broker(k))
		return;
	for (i = 0; i < json_object_array_length(k->tokens); i++) {
		json_object *t = json_object_array_get_idx(k->tokens, i);
		const char *state = hf_out_get(t, "state"), *name = hf_out_get(t, "name");
		int64_t restarts = hf_inventory_number(t, "restarts");

		if (!strcmp(state, "starting"))
			hf_check_say(k, HF_CHECK_WARNING, "token %s is still starting", name);
		else if (strcmp(state, "ready"))
			hf_check_say(k, HF_CHECK_ERROR, "token %s is %s: %s", name,
				     !strcmp(state, "wrong")	 ? "another one than before"
				     : !strcmp(state, "lockout") ? "locked out"
								 : "not available",
				     hf_out_get(t, "error"));
		if (restarts > 2)
			hf_check_say(k, HF_CHECK_WARNING,
				     "the keeper of token %s had to be restarted %lld times: see "
				     "'journalctl -u holdfastd'",
				     name, (long long)restarts);
	}
}

/* ---------------------------------------------------------------- the agent's work */

static void one_renewal(struct hf_checkup *k, json_object *s)
{
	const char *state = hf_out_get(s, "state"), *id = hf_out_get(s, "id");
	const char *said = hf_inventory_text(s, "last.message");
	const char *clock = hf_inventory_text(k->inventory.status, "clock.reason");
	bool files = !strcmp(hf_out_get(s, "method"), "files");
	int64_t tries = hf_inventory_number(s, "attempts"), next = hf_inventory_number(s, "next");

	/* As long as the old one is good for a week there is time to mend it. */
	if (files && !strcmp(state, "failed"))
		hf_check_say(k, HF_CHECK_ERROR, "%s: what is in %s cannot be used: %s", id,
			     hf_out_get(s, "file"), said);
	else if (!strcmp(state, "expired") ||
		 (!strcmp(state, "failed") &&
		  hf_inventory_number(s, "not_after") < k->now + 7 * 86400))
		hf_check_say(k, HF_CHECK_ERROR, "%s: %s%s%s", id,
			     state[0] == 'e' ? "its certificate has expired"
					     : "it could not be issued or renewed",
			     said[0] ? ": " : "", said);
	else if (tries || !strcmp(state, "failed"))
		hf_check_say(k, HF_CHECK_WARNING, "%s: %lld attempt%s to renew it failed: %s", id,
			     (long long)tries, tries == 1 ? "" : "s", said);
	else if (!strcmp(state, "held"))
		hf_check_say(k, HF_CHECK_WARNING, "%s: its renewal waits for the clock: %s", id,
			     clock[0] ? clock : said);
	else if (hf_inventory_true(s, "clamped"))
		hf_check_say(
			k, HF_CHECK_WARNING,
			"%s: its renewal threshold is about as long as it lives, so it is "
			"renewed at half of its life: write a shorter one, or such as \"80%%\"",
			id);
	else if (next && next < k->now - 3600 && !strcmp(state, "ok"))
		hf_check_say(k, HF_CHECK_WARNING,
			     "%s should have been renewed %lld hours ago: is the agent alive?", id,
			     (long long)(k->now - next) / 3600);
}

static void renewals(struct hf_checkup *k, const char *arg)
{
	json_object *list = hf_inventory_at(k->inventory.status, "credentials");
	size_t i;

	(void)arg;
	if (!hf_check_needs_status(k))
		return;
	for (i = 0;
	     json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++)
		one_renewal(k, json_object_array_get_idx(list, i));
	for (i = 0; i < k->inventory.n; i++)
		if (!k->inventory.list[i].status)
			hf_check_say(k, HF_CHECK_WARNING,
				     "the agent does not know of %s: say 'systemctl reload "
				     "holdfast-agent'",
				     k->inventory.list[i].id);
}

const struct hf_check hf_checks_daemons[] = {
	{ "broker-running", "broker (holdfastd) is running", broker_runs, NULL },
	{ "tokens", "tokens are ready", tokens, NULL },
	{ "agent-running", "certificate agent is running", agent_runs, NULL },
	{ "renewals", "renewals succeed", renewals, NULL },
	{ NULL, NULL, NULL, NULL },
};
