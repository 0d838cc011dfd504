/* SPDX-License-Identifier: Apache-2.0 */
/* audit.h: one line per decision: who, what, with which key, with what result. */
#ifndef HF_BROKER_AUDIT_H
#define HF_BROKER_AUDIT_H

#include "broker/broker.h"

struct hf_audit {
	const char *op, *key, *scheme;		  /* NULL or "": not there */
	const uint8_t *generation, *input_sha256; /* 32 bytes or NULL */
	const hf_Issued *issued;		  /* NULL: nothing was */
	enum hf_rc rc;
	uint64_t started_us;
};

/* Texts are escaped: a client cannot write a line of its own. Gaps in seq are lost lines. */
void hf_audit_write(struct hf_broker *b, const struct hf_principal *who, const struct hf_audit *a);

uint64_t hf_audit_now_us(void); /* monotonic */

#endif
