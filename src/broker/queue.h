/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h: who is next at a token. Pure. Start-time fair queueing: each principal
 * has a flow; the flow with the smallest tag is served, and its tag grows by the
 * cost of what was served. A flow that was idle starts at the present, so that
 * nobody saves up time, and a flood waits behind itself only. Of equals it is the
 * one whose last turn is the longest ago: who asks seldom waits for no round of
 * those who always ask. A newcomer counts as served when he comes, or ever new ones
 * would be first.
 */
#ifndef HF_BROKER_QUEUE_H
#define HF_BROKER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_item { /* embedded in a job */
	struct hf_item *next, *prev;
	struct hf_flow *flow; /* in which it waits; NULL: in none */
	unsigned cost;
};

struct hf_flow { /* embedded in a principal, one per token */
	struct hf_flow *next;
	struct hf_item *head, *tail;
	uint64_t tag, turn; /* turn: the last one that it had */
	size_t n;
};

struct hf_queue {
	struct hf_flow *flows; /* those with work */
	uint64_t now, end;     /* tag of what was served last; the largest of all flows */
	uint64_t turns;	       /* how many were served */
	size_t n;
};

void hf_queue_push(struct hf_queue *q, struct hf_flow *f, struct hf_item *i);
/* NULL if there is nothing, or nothing that @may go: flows whose first may not wait. */
struct hf_item *hf_queue_pop(struct hf_queue *q, bool (*may)(const struct hf_item *i));
/* Takes @i out; false if it is in no flow. */
bool hf_queue_drop(struct hf_queue *q, struct hf_item *i);

#endif
