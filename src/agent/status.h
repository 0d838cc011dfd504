/* SPDX-License-Identifier: Apache-2.0 */
/* status.h: status.json, what everybody may know of the agent (docs/ARCHITECTURE.md, The agent). */
#ifndef HF_AGENT_STATUS_H
#define HF_AGENT_STATUS_H

#include <json-c/json.h>

#include "agent/agent.h"

/* The whole of it, and one credential's part; the caller's. */
json_object *hf_status_make(struct hf_agent *a);
json_object *hf_status_credential(const struct hf_agent *a, const struct hf_credential *c);

/* Of the clock: trusted, floor, reason. */
json_object *hf_status_clock(const struct hf_agent *a);

/* Writes run_dir/status.json. */
void hf_status_write(struct hf_agent *a);

#endif
