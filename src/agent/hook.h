/* SPDX-License-Identifier: Apache-2.0 */
/* hook.h: the administrator's program that is run when a certificate has changed. */
#ifndef HF_AGENT_HOOK_H
#define HF_AGENT_HOOK_H

#include "agent/agent.h"
#include "agent/launch.h"

/* One is due, if there is one, for the certificate that came after @old (hex; "": the first). The
 * record has to be saved. */
void hf_hook_want(struct hf_credential *c, const char *old);

/*
 * Runs it, if one is due and none is running. After a crash it may run a second time. One that
 * fails runs again, a few times.
 */
void hf_hook_run(struct hf_agent *a, struct hf_credential *c);
void hf_hook_ended(struct hf_agent *a, struct hf_running *r, const struct hf_launch_end *end);

#endif
