/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h: what the agent has to remember of a credential over a crash or a reboot: one JSON file
 * each, replaced as a whole. Everything else is in the certificate, and in the broker.
 */
#ifndef HF_AGENT_RECORD_H
#define HF_AGENT_RECORD_H

#include "agent/settings.h"

struct hf_record {
	int64_t version;
	char transaction[33]; /* hex; "": no generation was asked for */
	char staged[65];      /* hex of its SPKI's SHA-256, once known */
	char settings[65];    /* of what the certificate was made for */
	char asked[65];	      /* and the one that is under way; "": none is */
	char seen[65];	      /* fingerprint of its certificate, as it was last */
	char hook_old[65]; /* fingerprint of the certificate before, while its hook is to be run */
	char hook_result[64];		/* of its last run; "": it never ran */
	int64_t hook_at, hook_failures; /* when that was; how often in a row it failed */
	bool hook_due, wanted,
		rotate; /* wanted: somebody asked for a renewal; rotate: with a new key */
	int64_t tried, failures, retry_after; /* see schedule.h */
	int64_t renewals, failed;	      /* since ever */
	int64_t last;			      /* when the last attempt ended */
	char result[24], message[400];	      /* of it */
};

#define HF_RESULT_LOCAL "local" /* of an attempt that nobody else had a part in */

/* Token, broker or disk were at fault: @result is HF_RESULT_LOCAL, or holdfast-est's "key". */
bool hf_record_local(const struct hf_record *r);

/* When there was success, if the last attempt was one; else 0. */
int64_t hf_record_renewed(const struct hf_record *r);

void hf_record_init(struct hf_record *r);

/* One that is not there is an empty one; so is a member that an older version did not write. A
 * damaged one is set aside and said, never an end. */
void hf_record_load(struct hf_record *r, const char *state_dir, const char *id);
/* Durable. */
enum hf_rc hf_record_save(const struct hf_record *r, const char *state_dir, const char *id,
			  struct hf_err *e);

#endif
