/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anchors.h: the CA certificates that an EST server has handed on, one file for each credential
 * (state/ID.anchors.pem). They are as good as what they came by: another server, or other trust in
 * it, and they are forgotten. Those of a version that did not write down what that was are kept.
 */
#ifndef HF_AGENT_ANCHORS_H
#define HF_AGENT_ANCHORS_H

#include "agent/agent.h"

#define HF_ANCHORS_MAX (256u * 1024) /* bytes of PEM; more is not remembered */

/* SHA-256, in hex, of what is trusted: server, mode, fingerprint, and @pem, the files' content. */
bool hf_anchors_trust(const struct hf_est_conf *est, const char *pem, char trust[65]);

/* Appends those that came by @trust. Damaged ones are set aside and said, never an end. */
void hf_anchors_load(const struct hf_agent *a, const struct hf_credential *c, const char trust[65],
		     struct hf_buf *pem);
void hf_anchors_save(const struct hf_agent *a, const struct hf_credential *c, const char trust[65],
		     const char *pem);

/* To other programs: into the file that the configuration names, if it does. */
void hf_anchors_give(const struct hf_credential *c, const char *pem);

#endif
