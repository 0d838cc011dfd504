/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hook.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/modules.h"
#include "agent/running.h"
#include "base/log.h"

static bool is_running(const struct hf_agent *a, const struct hf_credential *c)
{
	size_t i;

	for (i = 0; i < HF_RUNNING_MAX; i++)
		if (a->running[i].serial && a->running[i].kind == HF_LAUNCH_HOOK &&
		    a->running[i].credential == hf_agent_index(a, c))
			return true;
	return false;
}

void hf_hook_run(struct hf_agent *a, struct hf_credential *c)
{
	struct hf_launch_msg m = { .kind = HF_LAUNCH_HOOK,
				   .timeout_ms = (unsigned)(c->conf->hook.timeout_s * 1000) };
	struct hf_running *r;

	if (!c->record.hook_due || !c->conf->hook.n_exec || !c->held.leaf || is_running(a, c))
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

void hf_hook_ended(struct hf_agent *a, struct hf_running *r, const struct hf_launch_end *end)
{
	struct hf_credential *c = &a->credentials[r->credential];
	bool latest = hf_mem_equal(r->cert_sha256, c->held.sha256, sizeof(r->cert_sha256));
	struct hf_err err = HF_ERR_INIT;

	if (end->late)
		hf_log(HF_LOG_ERR, "hook of %s: %s was killed, it took longer than %lld s",
		       c->conf->id, c->conf->hook.exec[0], (long long)c->conf->hook.timeout_s);
	else if (end->status == -1 || !WIFEXITED(end->status) || WEXITSTATUS(end->status))
		hf_log(HF_LOG_ERR, "hook of %s: %s failed (%s %d)", c->conf->id,
		       c->conf->hook.exec[0],
		       end->status != -1 && WIFSIGNALED(end->status) ? "signal" : "exit status",
		       end->status == -1	  ? -1
		       : WIFSIGNALED(end->status) ? WTERMSIG(end->status)
						  : WEXITSTATUS(end->status));
	else
		hf_log(HF_LOG_NOTICE, "hook of %s: done", c->conf->id);
	hf_running_free(r);
	if (!latest) { /* renewed meanwhile */
		hf_hook_run(a, c);
		return;
	}
	c->record.hook_due = false;
	if (hf_record_save(&c->record, a->settings->state_dir, c->conf->id, &err))
		hf_log(HF_LOG_ERR, "certificate %s: %s", c->conf->id, err.msg);
}
