/* SPDX-License-Identifier: Apache-2.0 */
/* credential.h: a certificate file, the key it belongs to, and what is remembered of both. */
#ifndef HF_AGENT_CREDENTIAL_H
#define HF_AGENT_CREDENTIAL_H

#include <openssl/x509.h>

#include "agent/record.h"
#include "agent/schedule.h"

/* What a certificate file says. */
struct hf_held {
	X509 *leaf;		 /* NULL: there is none */
	STACK_OF(X509) * others; /* what follows it in the file; never NULL if there is a leaf */
	int64_t not_before, not_after;
	uint8_t spki_sha256[32], sha256[32];
	char error[300]; /* why there is none, beyond "no such file" */
};

struct hf_credential {
	const struct hf_credential_conf *conf;
	struct hf_record record;
	struct hf_held held;
	int64_t next;	    /* when to act; HF_NEVER */
	bool busy;	    /* an enrolment is under way */
	bool recovered;	    /* what a crash may have left has been looked at */
	int64_t recover_at; /* when to look again, if that failed; else at its file */
	char *answer;	    /* a certificate that came and could not be written yet, PEM; owned */
	bool clamp_said, hurry_said; /* the warnings about its schedule were given */
	char trouble[300];	     /* of a certificate that only is watched; "" if all is well */
};

/* Reads @path: leaf first. An unreadable or odd file is one without a leaf, with a reason. */
void hf_held_read(struct hf_held *h, const char *path);
void hf_held_finish(struct hf_held *h);
/* It begins later than a server's clock may be ahead of ours. */
bool hf_held_is_ahead(const struct hf_held *h, int64_t now);

/* Reads the file again and computes when to act. */
void hf_credential_refresh(struct hf_credential *c, int64_t now);
/* Only the latter. */
void hf_credential_plan(struct hf_credential *c, int64_t now);
/* The configured threshold is as long as it lives: it is renewed at half of its life. */
bool hf_credential_clamped(const struct hf_credential *c);
void hf_credential_finish(struct hf_credential *c);

/* SHA-256, in hex, of all settings that a certificate is made for: another one, another
 * certificate. */
void hf_credential_settings(const struct hf_credential_conf *c, char out[65]);

/* Of certificates, to seconds since 1970; 0 if it is none. */
int64_t hf_time_of(const ASN1_TIME *t);

#endif
