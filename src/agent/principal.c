/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/principal.h"

#include <unistd.h>

#include "base/glob.h"

#define OVERFLOW_UID 65534 /* who a user namespace has no name for */

static bool any(const char (*patterns)[128], size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (hf_glob(patterns[i], name))
			return true;
	return false;
}

bool hf_principal_may(const struct hf_agent_settings *s, uid_t uid, enum hf_agent_right right,
		      const char *name)
{
	bool admin = uid == 0 || uid == geteuid();
	size_t i;

	if (right == HF_RIGHT_NOBODY_ASKS)
		return true;
	if (uid == OVERFLOW_UID)
		return false;
	if (admin || right == HF_RIGHT_ADMIN)
		return admin;
	for (i = 0; i < s->n_principals; i++) {
		const struct hf_agent_grant *g = &s->principals[i];

		if (g->uid != (int64_t)uid)
			continue;
		if (right == HF_RIGHT_CERT ? any(g->certs, g->n_certs, name)
					   : any(g->modules, g->n_modules, name))
			return true;
	}
	return false;
}
