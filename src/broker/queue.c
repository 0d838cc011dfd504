/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/queue.h"

void hf_queue_push(struct hf_queue *q, struct hf_flow *f, struct hf_item *i)
{
	i->next = NULL;
	if (f->head) {
		f->tail->next = i;
	} else {
		f->head = i;
		f->tag = f->tag > q->now ? f->tag : q->now;
		f->next = q->flows;
		q->flows = f;
	}
	f->tail = i;
	f->n++;
	q->n++;
}

static void unlink_flow(struct hf_queue *q, struct hf_flow *f)
{
	struct hf_flow **at;

	for (at = &q->flows; *at != f; at = &(*at)->next)
		;
	*at = f->next;
	f->next = NULL;
}

struct hf_item *hf_queue_pop(struct hf_queue *q)
{
	struct hf_flow *f, *best = q->flows;
	struct hf_item *i;

	if (!best)
		return NULL;
	for (f = best->next; f; f = f->next)
		if (f->tag <=
		    best->tag) /* of equals the one that came first, at the end of the list */
			best = f;
	i = best->head;
	best->head = i->next;
	best->n--;
	q->n--;
	q->now = best->tag;
	best->tag += i->cost ? i->cost : 1;
	if (!best->head)
		unlink_flow(q, best);
	return i;
}

bool hf_queue_drop(struct hf_queue *q, struct hf_flow *f, const struct hf_item *i)
{
	struct hf_item **at, *before = NULL;

	for (at = &f->head; *at && *at != i; at = &(*at)->next)
		before = *at;
	if (!*at)
		return false;
	*at = i->next;
	if (f->tail == i)
		f->tail = before;
	f->n--;
	q->n--;
	if (!f->head)
		unlink_flow(q, f);
	return true;
}
