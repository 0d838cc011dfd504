/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast clock accept: the clock is right, whatever the agent has seen before. */
#include <stdio.h>

#include "cli/agent.h"
#include "cli/inventory.h"
#include "cli/views.h"

enum hf_rc hf_clock_run_accept(struct hf_cli *c, struct hf_err *e)
{
	json_object *reply = NULL;
	enum hf_rc rc =
		hf_agent_ask(c, "POST", "/holdfast/v1/clock/accept", NULL, HF_AGENT_MS, &reply, e);

	if (!rc && !json_object_is_type(reply, json_type_object))
		rc = hf_fail(e, HF_PROTOCOL,
			     "the agent did not say what it thinks of the clock now");
	if (!rc) {
		json_object_put(c->result);
		c->result = json_object_get(reply);
	}
	json_object_put(reply);
	return rc;
}

void hf_clock_accept_show(const struct hf_cli *c)
{
	const char *reason = hf_inventory_text(c->result, "reason");

	if (hf_inventory_true(c->result, "trusted"))
		printf("the clock is trusted; certificates from the future are replaced\n");
	else
		printf("the clock is not trusted: %s\n", reason);
}
