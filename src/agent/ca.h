/* SPDX-License-Identifier: Apache-2.0 */
/* ca.h: a CA of ours, opened to sign for others. */
#ifndef HF_AGENT_CA_H
#define HF_AGENT_CA_H

#include "agent/agent.h"
#include "agent/module.h"

/*
 * Opens the CA @id (or alias). HF_NO_KEY: none is called so. HF_UNAVAILABLE: it has no certificate
 * yet, its key cannot be reached, or the clock is not trusted. Then hf_ca_close().
 */
enum hf_rc hf_ca_open(struct hf_agent *a, const char *id, struct hf_module_issuer *by,
		      struct hf_credential **ca, struct hf_err *e);
/* HF_UNAVAILABLE: what comes in files is not such that anybody would accept what it issues. */
enum hf_rc hf_ca_trouble(struct hf_agent *a, struct hf_credential *c, struct hf_err *e);
void hf_ca_close(struct hf_module_issuer *by);

/* @cert and then all that is in the CA's file, as IoT Edge's clients expect it. */
void hf_ca_chain(X509 *cert, const struct hf_credential *ca, struct hf_buf *pem);

#endif
