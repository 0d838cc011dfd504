/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uplink.h: the way to the broker, for many threads and over forks.
 *
 * One connection per (uplink, process), made at the first call. Calls of several
 * threads travel together: whoever waits and finds nobody reading, reads, and hands
 * replies to those who asked. After fork() the child has a link of its own; what it
 * inherited is closed and otherwise never touched, locks included.
 */
#ifndef HF_WIRE_UPLINK_H
#define HF_WIRE_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/packet.h"

#define HF_UPLINK_TIMEOUT_MS 15000u /* one call, with everything that is repeated in it */
#define HF_UPLINK_HEAL_MS    3000u  /* how long a lost broker may take to come back */
#define HF_UPLINK_BUSY_MS    5000u  /* how long BUSY is taken for an answer that will change */

struct hf_uplink;

/* Both are copied; @software is what the broker logs. Connects to nothing. NULL: out of memory. */
struct hf_uplink *hf_uplink_new(const char *path, const char *software);
/* Nobody may be inside hf_uplink_call() any more. NULL is fine. */
void hf_uplink_free(struct hf_uplink *l);
const char *hf_uplink_path(const struct hf_uplink *l);

/*
 * One request, one reply. @fill writes which_op and the operation into @req and has to set
 * every field of it: the struct is not cleared. It may be called several times.
 *
 * What is asked has to be repeatable: it is sent again, once, if the connection or the
 * keeper was lost while it was under way, and with growing pauses while the broker is BUSY.
 * The status of the reply becomes the result, with the broker's message in @e.
 */
enum hf_rc hf_uplink_call(struct hf_uplink *l, void (*fill)(hf_Request *req, const void *arg),
			  const void *arg, hf_Reply *rep, struct hf_err *e);

/* The same for who has something else to do if the broker does not answer within @ms. */
enum hf_rc hf_uplink_call_for(struct hf_uplink *l, unsigned ms,
			      void (*fill)(hf_Request *req, const void *arg), const void *arg,
			      hf_Reply *rep, struct hf_err *e);

/* How the last try ended, and what happened before: all that the next step depends on. */
enum hf_uplink_end { HF_UPLINK_ANSWERED, HF_UPLINK_LOST, HF_UPLINK_NO_BROKER, HF_UPLINK_GAVE_UP };
struct hf_uplink_try {
	enum hf_uplink_end end;
	enum hf_rc rc;
	unsigned repeated;   /* after a loss */
	unsigned waited;     /* rounds of waiting for a busy or a returning broker */
	uint64_t now, begun, deadline; /* ms */
	uint64_t heal_until; /* a broker that was there a moment ago may be back until then */
};
/* Pure. Milliseconds to wait before the next try, or -1: there is none. */
int hf_uplink_again(const struct hf_uplink_try *t);

#endif
