/* SPDX-License-Identifier: Apache-2.0 */
/* enrol.h: one enrolment at an EST server, in a process of its own (docs/EST.md). */
#ifndef HF_AGENT_ENROL_H
#define HF_AGENT_ENROL_H

#include "agent/agent.h"
#include "agent/launch.h"

/* Starts it; c->busy until it ends in hf_renew_take() or hf_renew_failed(). */
enum hf_rc hf_enrol_begin(struct hf_agent *a, struct hf_credential *c,
			  const uint8_t spki_sha256[32], struct hf_err *e);

/* Its socket can be written to or read from. A complete result is taken at once. */
void hf_enrol_io(struct hf_agent *a, struct hf_running *r);

/* Its process has ended. */
void hf_enrol_ended(struct hf_agent *a, struct hf_running *r, const struct hf_launch_end *end);

#endif
