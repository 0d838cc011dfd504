/* SPDX-License-Identifier: Apache-2.0 */
/* principal.h: who may ask the agent for what. A pure function of agent.json and of the kernel's
 * word on the other side of a socket. */
#ifndef HF_AGENT_PRINCIPAL_H
#define HF_AGENT_PRINCIPAL_H

#include <sys/types.h>

#include "agent/settings.h"

enum hf_agent_right {
	HF_RIGHT_NOBODY_ASKS, /* what everybody who reaches the socket may know */
	HF_RIGHT_CERT,	      /* to make, replace or remove the certificate of that id */
	HF_RIGHT_MODULE,      /* certificates of the module of that name */
	HF_RIGHT_ADMIN,	      /* root; and the agent's own user, who has its files anyway */
};

/* May @uid have @right on @name? The overflow uid (65534) is many, and none of them may. */
bool hf_principal_may(const struct hf_agent_settings *s, uid_t uid, enum hf_agent_right right,
		      const char *name);

#endif
