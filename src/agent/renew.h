/* SPDX-License-Identifier: Apache-2.0 */
/*
 * renew.h: one certificate, from "it is time" to the new file and its key. The rename of the
 * certificate file is the commit (docs/ARCHITECTURE.md, The agent): killed anywhere, the next start
 * finds the old pair or the new one, and finishes or forgets what was begun.
 */
#ifndef HF_AGENT_RENEW_H
#define HF_AGENT_RENEW_H

#include "agent/agent.h"

/* At the start, and after a new configuration: finishes what a crash left, and looks at the file.
 */
void hf_renew_recover(struct hf_agent *a, struct hf_credential *c);

/* Does what is due. An enrolment goes on in enrol.c, and ends in one of the two below. */
void hf_renew_begin(struct hf_agent *a, struct hf_credential *c);

/* A certificate has come (PEM, leaf first), or has not. @result: a word (docs/EST.md, or ours). */
void hf_renew_take(struct hf_agent *a, struct hf_credential *c, const char *pem);
void hf_renew_failed(struct hf_agent *a, struct hf_credential *c, const char *result,
		     const char *message, int64_t retry_after);

/* The certificate is no good any more, for the reason @why: another one as soon as it can be. */
void hf_renew_replace(struct hf_agent *a, struct hf_credential *c, const char *why);

/* A file that is only watched: what is wrong with it, into c->trouble. */
void hf_renew_watch(struct hf_agent *a, struct hf_credential *c);

/*
 * By hand: now, with or without a new key. HF_REFUSED: it is a file that others make. HF_BUSY: one
 * is under way.
 */
enum hf_rc hf_renew_want(struct hf_agent *a, struct hf_credential *c, bool rotate,
			 struct hf_err *e);

/*
 * Forgets the certificate (it is kept beside the state, for the bundle), so that a new one is made
 * with a new key: for a changed name or issuer.
 */
enum hf_rc hf_renew_reset(struct hf_agent *a, struct hf_credential *c, struct hf_err *e);

#endif
