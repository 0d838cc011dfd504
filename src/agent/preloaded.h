/* SPDX-License-Identifier: Apache-2.0 */
/* preloaded.h: what is wrong with a certificate that others put into its file. Pure. */
#ifndef HF_AGENT_PRELOADED_H
#define HF_AGENT_PRELOADED_H

#include "agent/credential.h"
#include "base/err.h"

/*
 * HF_REFUSED and @e: the certificate is missing or not valid at @now, or is to be a CA and is none,
 * or, where it has a key, is not followed in its file by who has issued it (the root may be left
 * out). Whether the key is ours is not looked at.
 */
enum hf_rc hf_preloaded_check(const struct hf_credential *c, int64_t now, struct hf_err *e);

#endif
