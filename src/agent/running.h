/* SPDX-License-Identifier: Apache-2.0 */
/* running.h: the table of what runs in the launcher. */
#ifndef HF_AGENT_RUNNING_H
#define HF_AGENT_RUNNING_H

#include "agent/agent.h"

/* NULL: the table is full. */
struct hf_running *hf_running_new(struct hf_agent *a, const struct hf_credential *c, int kind);
void hf_running_free(struct hf_running *r);
struct hf_running *hf_running_find(struct hf_agent *a, unsigned serial);

#endif
