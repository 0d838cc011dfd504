/* SPDX-License-Identifier: Apache-2.0 */
/* SIGHUP: another configuration, while enrolments and hooks go on. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/bundle.h"
#include "agent/hook.h"
#include "agent/launch.h"
#include "agent/running.h"
#include "base/log.h"

enum hf_rc hf_agent_load_credentials(struct hf_agent *a, struct hf_err *e)
{
	const struct hf_agent_settings *s = a->settings;
	size_t i;

	a->credentials = calloc(s->n_credentials + 1, sizeof(a->credentials[0]));
	if (!a->credentials)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	a->n = s->n_credentials;
	for (i = 0; i < a->n; i++) {
		struct hf_credential *c = &a->credentials[i];

		c->conf = &s->credentials[i];
		hf_record_load(&c->record, s->state_dir, c->conf->id);
		hf_credential_refresh(c, a->clock.wall);
		/* What the clock says cannot be before what we made ourselves; unless that is to be
		 * replaced because the clock was wrong. */
		if (c->held.leaf && c->record.settings[0] && !c->record.wanted)
			hf_clock_floor(&a->clock, c->held.not_before, c->conf->id);
		if (c->conf->quickstart)
			hf_log(HF_LOG_WARN,
			       "certificate %s: the quickstart Edge CA is not for "
			       "production; configure [edge_ca]",
			       c->conf->id);
	}
	return HF_OK;
}

void hf_agent_drop_credentials(struct hf_credential *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		hf_credential_finish(&list[i]);
	free(list);
}

/* The same certificate as far as an enrolment is concerned. NULL: there is none any more. */
static struct hf_credential *same(struct hf_agent *a, const struct hf_credential *was)
{
	struct hf_credential *c = hf_agent_find(a, was->conf->id);
	char before[65], now[65];

	if (!c || strcmp(c->conf->id, was->conf->id))
		return NULL;
	hf_credential_settings(was->conf, before);
	hf_credential_settings(c->conf, now);
	return strcmp(before, now) ? NULL : c;
}

/* What is under way goes on: asking again would have a second certificate issued. */
static void carry_over(struct hf_agent *a, struct hf_credential *was, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct hf_credential *c = same(a, &was[i]);

		if (!c)
			continue;
		c->answer = was[i].answer;
		was[i].answer = NULL;
		/* Somebody removed the file: we still have it. */
		if (!c->held.leaf && !c->held.error[0] && strcmp(c->conf->method, "files") != 0) {
			hf_held_finish(&c->held);
			c->held = was[i].held;
			memset(&was[i].held, 0, sizeof(was[i].held));
		}
		/* Newer than what is on a disk that is full. */
		c->record = was[i].record;
		c->recovered = was[i].recovered && !c->record.staged[0];
		c->clamp_said = was[i].clamp_said;
		c->hurry_said = was[i].hurry_said;
		/* A password that was corrected, say: no reason to wait for the next retry. */
		if (memcmp(c->conf, was[i].conf, sizeof(*c->conf)) != 0)
			c->record.failures = 0;
		if (memcmp(&c->conf->hook, &was[i].conf->hook, sizeof(c->conf->hook)) != 0 &&
		    c->record.hook_failures)
			hf_hook_want(c, c->record.hook_old);
		hf_credential_plan(c, a->clock.wall);
	}
	for (i = 0; i < HF_RUNNING_MAX; i++) {
		struct hf_running *r = &a->running[i];
		struct hf_credential *c;

		if (!r->serial)
			continue;
		c = same(a, &was[r->credential]);
		if (!c) {
			hf_running_free(r); /* its end finds nobody */
			continue;
		}
		r->credential = hf_agent_index(a, c);
		c->busy = c->busy || (r->kind == HF_LAUNCH_EST && !r->told);
	}
}

void hf_agent_reload(struct hf_agent *a)
{
	struct hf_err err = HF_ERR_INIT;
	struct hf_agent_settings *fresh = hf_agent_settings_load(a->config, &err);
	struct hf_agent_settings *old = a->settings;
	struct hf_credential *was = a->credentials;
	size_t n = a->n;

	if (!fresh) {
		hf_log(HF_LOG_ERR, "%s; the configuration of before is kept", err.msg);
		return;
	}
	a->settings = fresh;
	if (hf_agent_load_credentials(a, &err)) {
		hf_log(HF_LOG_ERR, "%s", err.msg);
		a->stopping = true;
		a->settings = old;
		a->credentials = was;
		hf_agent_settings_free(fresh);
		return;
	}
	carry_over(a, was, n);
	hf_agent_drop_credentials(was, n);
	hf_agent_settings_free(old);
	a->clock.wait_for_ntp = fresh->clock.wait_for_ntp;
	a->clock.dir = fresh->state_dir;
	hf_bundle_update(a);
	hf_log(HF_LOG_NOTICE, "the configuration was read again");
}
