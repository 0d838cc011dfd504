/* SPDX-License-Identifier: Apache-2.0 */
/* schedule.h: when a certificate is renewed. Pure: what is known in, a time out. */
#ifndef HF_AGENT_SCHEDULE_H
#define HF_AGENT_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/settings.h"

#define HF_NEVER INT64_MAX

/* Times are seconds since 1970. */
struct hf_schedule {
	const struct hf_renew *renew;
	bool issued; /* there is a certificate of ours, with the two times below */
	int64_t not_before, not_after;
	uint32_t seed;	     /* of this certificate: spreads many devices */
	int64_t tried;	     /* the last attempt that failed, if @failures */
	uint32_t failures;   /* in a row */
	bool local;	     /* it was our token, broker or disk, which no server minds */
	int64_t retry_after; /* a server's wish, in seconds after @tried; 0: none */
	int64_t renewed;     /* the last attempt, if it did not fail; 0: none */
	bool wanted;	     /* somebody asked for it by hand, or its settings changed */
	int64_t utc_offset;  /* of local time, for the window */
};

/* When to renew, were nothing in the way: after threshold, clamp and jitter. HF_NEVER if disabled.
 */
int64_t hf_schedule_due(const struct hf_schedule *s);

/* When to act next; not later than @now means now. HF_NEVER: nothing to do. */
int64_t hf_schedule_next(const struct hf_schedule *s, int64_t now);

/* The certificate was due when it came, or nearly so: it is renewed a minute after that. */
bool hf_schedule_hurried(const struct hf_schedule *s);

/* The threshold is longer than the lifetime allows, and hf_schedule_due() uses half of it. */
bool hf_schedule_clamped(const struct hf_schedule *s);

#endif
