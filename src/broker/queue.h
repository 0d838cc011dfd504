/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h: who is next at a token. Pure. Start-time fair queueing: each principal
 * has a flow; the flow with the smallest tag is served, and its tag grows by the
 * cost of what was served. A flow that was idle starts at the present, so that
 * nobody saves up time, and a flood waits behind itself only.
 */
#ifndef HF_BROKER_QUEUE_H
#define HF_BROKER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_item { /* embedded in a job */
	struct hf_item *next;
	unsigned cost;
};

struct hf_flow { /* embedded in a principal, one per token */
	struct hf_flow *next;
	struct hf_item *head, *tail;
	uint64_t tag;
	size_t n;
};

struct hf_queue {
	struct hf_flow *flows; /* those with work */
	uint64_t now;	       /* tag of what was served last */
	size_t n;
};

void hf_queue_push(struct hf_queue *q, struct hf_flow *f, struct hf_item *i);
/* NULL if there is nothing. */
struct hf_item *hf_queue_pop(struct hf_queue *q);
/* Takes @i out of @f; false if it is not there. */
bool hf_queue_drop(struct hf_queue *q, struct hf_flow *f, const struct hf_item *i);

#endif
