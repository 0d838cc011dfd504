/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.h: the trust bundle: the user's CA certificates and the Edge CA's, also those before it
 * while they last, each once, in one file.
 */
#ifndef HF_AGENT_BUNDLE_H
#define HF_AGENT_BUNDLE_H

#include "agent/agent.h"

/* Writes the file if it would change. What is wrong is logged and in a->bundle_error. */
void hf_bundle_update(struct hf_agent *a);

/* The user's file has changed since. */
bool hf_bundle_is_stale(const struct hf_agent *a);

/* The bundle as PEM; appends. HF_NO_KEY: there is not one certificate. */
enum hf_rc hf_bundle_pem(struct hf_agent *a, struct hf_buf *pem, struct hf_err *e);

#endif
