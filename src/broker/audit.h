/* SPDX-License-Identifier: Apache-2.0 */
/* audit.h: one line per decision: who, what, with which key, with what result. */
#ifndef HF_BROKER_AUDIT_H
#define HF_BROKER_AUDIT_H

#include "broker/broker.h"

struct hf_audit {
	uid_t uid;
	pid_t pid;
	const char *socket;			  /* that the client came in by */
	const char *op, *key, *token, *scheme;	  /* NULL or "": not there */
	const uint8_t *generation, *input_sha256; /* 32 bytes or NULL */
	const hf_Issued *issued;		  /* NULL: nothing was */
	enum hf_rc rc;
	bool gone;     /* nobody waits for the result any more */
	unsigned more; /* of the kind, without a line of their own: see hf_audit_stray() */
	uint64_t started_us;
};

#define HF_AUDIT_STRAYS 10 /* lines a second */

/* Texts are escaped: a client cannot write a line of its own. Gaps in seq are lost lines. */
void hf_audit_write(struct hf_broker *b, const struct hf_audit *a);

/*
 * For what costs a client nothing and names no key: who is turned away, packets that are none,
 * operations that do not exist. Of these there are HF_AUDIT_STRAYS lines a second; the next line
 * says how many there were without one.
 */
void hf_audit_stray(struct hf_broker *b, const struct hf_principal *who, const char *op,
		    enum hf_rc rc);

uint64_t hf_audit_now_us(void); /* monotonic */

#endif
