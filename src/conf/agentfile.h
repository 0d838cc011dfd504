/* SPDX-License-Identifier: Apache-2.0 */
/* agentfile.h: agent.json, what the certificate agent shall do (docs/ARCHITECTURE.md). */
#ifndef HF_CONF_AGENTFILE_H
#define HF_CONF_AGENTFILE_H

#include "conf/credential.h"

/* @c has been made without an error. NULL if something in the rest is wrong; else the caller's. */
json_object *hf_agentfile_make(struct hf_creds *c, const struct hf_host *host);

/*
 * The private keys that are in files: [{name, file, usage, token, certificate}]; certificate is
 * empty for those of [preloaded_keys] that belong to none, which may be no key pairs.
 */
json_object *hf_agentfile_keys(struct hf_creds *c);

#endif
