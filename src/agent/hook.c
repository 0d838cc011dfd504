/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hook.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/modules.h"
#include "agent/running.h"
#include "base/log.h"

#define TRIES 6 /* in an hour */

static bool is_running(const struct hf_agent *a, const struct hf_credential *c)
{
	size_t i;

	for (i = 0; i < HF_RUNNING_MAX; i++)
		if (a->running[i].serial && a->running[i].kind == HF_LAUNCH_HOOK &&
		    a->running[i].credential == hf_agent_index(a, c))
			return true;
	return false;
}

void hf_hook_want(struct hf_credential *c, const char *old)
{
	struct hf_record *r = &c->record;

	r->hook_due = c->conf->hook.n_exec > 0;
	r->hook_failures = r->hook_at = 0;
	r->hook_result[0] = '\0';
	(void)hf_copy(r->hook_old, sizeof(r->hook_old), old);
}

/* One that failed waits a minute, then two, four…; not longer because the clock went back. */
static bool has_to_wait(const struct hf_agent *a, const struct hf_record *r)
{
	int64_t pause = r->hook_failures ? 60LL << (r->hook_failures - 1) : 0;

	return a->clock.wall >= r->hook_at && a->clock.wall < r->hook_at + pause;
}

void hf_hook_run(struct hf_agent *a, struct hf_credential *c)
{
	struct hf_launch_msg m = { .kind = HF_LAUNCH_HOOK,
				   .timeout_ms = (unsigned)(c->conf->hook.timeout_s * 1000) };
	struct hf_running *r;

	if (!c->record.hook_due || !c->conf->hook.n_exec || !c->held.leaf || is_running(a, c) ||
	    has_to_wait(a, &c->record))
		return;
	r = hf_running_new(a, c, HF_LAUNCH_HOOK);
	if (!r)
		return; /* at the next look */
	m.serial = r->serial;
	memcpy(r->cert_sha256, c->held.sha256, sizeof(r->cert_sha256));
	(void)hf_copy(m.credential, sizeof(m.credential), c->conf->id);
	(void)hf_copy(m.old_fingerprint, sizeof(m.old_fingerprint), c->record.hook_old);
	(void)hf_hex(m.new_fingerprint, sizeof(m.new_fingerprint), c->held.sha256, 32);
	if (!strcmp(a->settings->module.issuer, c->conf->id))
		hf_modules_look(a); /* which are issued again, and listed for the hook */
	if (!strcmp(a->settings->module.issuer, c->conf->id))
		(void)hf_copy(m.modules, sizeof(m.modules), a->module_list);
	if (hf_fd_send(a->control, &m, sizeof(m), -1) == (ssize_t)sizeof(m))
		return;
	hf_log(HF_LOG_ERR, "hook of %s: the launcher does not listen: %s", c->conf->id,
	       strerror(errno));
	hf_running_free(r);
}

static void say_how(char out[64], const struct hf_credential *c, const struct hf_launch_end *end)
{
	const char *what = "exit status";
	int number = -1;

	if (end->late) {
		(void)snprintf(out, 64, "killed after %lld s", (long long)c->conf->hook.timeout_s);
		return;
	}
	if (end->status == -1) {
		(void)hf_copy(out, 64, "it could not be started");
		return;
	}
	if (WIFSIGNALED(end->status)) {
		what = "signal";
		number = WTERMSIG(end->status);
	} else if (WIFEXITED(end->status)) {
		number = WEXITSTATUS(end->status);
	}
	(void)snprintf(out, 64, "%s %d", what, number);
}

/* Of the certificate of now: is it to run again? */
static void note_end(struct hf_agent *a, struct hf_credential *c, const struct hf_launch_end *end)
{
	struct hf_record *r = &c->record;
	bool good = !end->late && end->status != -1 && WIFEXITED(end->status) &&
		    !WEXITSTATUS(end->status);

	r->hook_at = a->clock.wall;
	r->hook_failures = good ? 0 : r->hook_failures + 1;
	r->hook_due = !good && r->hook_failures < TRIES;
	say_how(r->hook_result, c, end);
	if (good) {
		(void)hf_copy(r->hook_result, sizeof(r->hook_result), "ok");
		hf_log(HF_LOG_NOTICE, "hook of %s: done", c->conf->id);
	} else {
		hf_log(HF_LOG_ERR, "hook of %s: %s failed: %s; %s", c->conf->id,
		       c->conf->hook.exec[0], r->hook_result,
		       r->hook_due ? "it runs again in a while"
				   : "not again before the next certificate");
	}
	if (!r->hook_due && !strcmp(a->settings->module.issuer, c->conf->id))
		hf_modules_told(a);
}

void hf_hook_ended(struct hf_agent *a, struct hf_running *r, const struct hf_launch_end *end)
{
	struct hf_credential *c = &a->credentials[r->credential];
	bool latest = hf_mem_equal(r->cert_sha256, c->held.sha256, sizeof(r->cert_sha256));
	struct hf_err err = HF_ERR_INIT;

	hf_running_free(r);
	if (!latest) { /* renewed meanwhile */
		hf_log(HF_LOG_NOTICE, "hook of %s: done, for the certificate of before",
		       c->conf->id);
		hf_hook_run(a, c);
		return;
	}
	note_end(a, c, end);
	a->changed = true;
	if (hf_record_save(&c->record, a->settings->state_dir, c->conf->id, &err))
		hf_log(HF_LOG_ERR, "certificate %s: %s", c->conf->id, err.msg);
}
