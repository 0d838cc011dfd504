/* SPDX-License-Identifier: Apache-2.0 */
/* commit.h: a certificate that is good becomes the one in use; in steps that may be repeated. */
#ifndef HF_AGENT_COMMIT_H
#define HF_AGENT_COMMIT_H

#include "agent/agent.h"

/* Who holds the old certificate may go on for a day, or a quarter of the new one's life. */
#define HF_GRACE_S 86400

/*
 * @pem (leaf first) for the staged key: checked once more, written beside the state, then to its
 * file (the commit), then the key made current and the key reference written. HF_REFUSED: it is not
 * the certificate that was wanted. Any other failure: the same again later.
 */
enum hf_rc hf_commit(struct hf_agent *a, struct hf_credential *c, const char *pem,
		     struct hf_err *e);

/* Somebody has removed the file: the certificate is written there again. Others are left alone. */
void hf_commit_restore(struct hf_agent *a, struct hf_credential *c);

/* After a crash: the certificate that was waiting to be committed, if there is one. */
void hf_commit_recover(struct hf_agent *a, struct hf_credential *c);

/* The key follows the certificate: its generation becomes current, the reference names it. */
enum hf_rc hf_commit_follow(struct hf_agent *a, struct hf_credential *c,
			    const struct hf_key_state *key, struct hf_err *e);

/* Keeps the CA certificate that is held, for the trust bundle, until it ends. */
enum hf_rc hf_commit_keep(struct hf_agent *a, const struct hf_credential *c, struct hf_err *e);

#endif
