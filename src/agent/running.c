/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/running.h"

#include <string.h>

struct hf_running *hf_running_new(struct hf_agent *a, const struct hf_credential *c, int kind)
{
	size_t i;

	for (i = 0; i < HF_RUNNING_MAX; i++) {
		struct hf_running *r = &a->running[i];

		if (r->serial)
			continue;
		memset(r, 0, sizeof(*r));
		a->serial += a->serial + 1 ? 1 : 2; /* never 0 */
		r->serial = a->serial;
		r->credential = hf_agent_index(a, c);
		r->kind = kind;
		r->fd = -1;
		return r;
	}
	return NULL;
}

void hf_running_free(struct hf_running *r)
{
	hf_fd_close(&r->fd);
	hf_buf_finish(&r->out);
	hf_buf_finish(&r->in);
	r->serial = 0;
}

struct hf_running *hf_running_find(struct hf_agent *a, unsigned serial)
{
	size_t i;

	for (i = 0; i < HF_RUNNING_MAX; i++)
		if (a->running[i].serial == serial && serial)
			return &a->running[i];
	return NULL;
}
