/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/queue.h"

void hf_queue_push(struct hf_queue *q, struct hf_flow *f, struct hf_item *i)
{
	i->next = NULL;
	i->prev = f->head ? f->tail : NULL;
	i->flow = f;
	if (f->head) {
		f->tail->next = i;
	} else {
		f->head = i;
		f->tag = f->tag > q->now ? f->tag : q->now;
		f->turn = f->turn ? f->turn : q->turns;
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

bool hf_queue_drop(struct hf_queue *q, struct hf_item *i)
{
	struct hf_flow *f = i->flow;

	if (!f)
		return false;
	if (i->next)
		i->next->prev = i->prev;
	else
		f->tail = i->prev;
	if (i->prev)
		i->prev->next = i->next;
	else
		f->head = i->next;
	i->flow = NULL;
	f->n--;
	q->n--;
	if (!f->head)
		unlink_flow(q, f);
	return true;
}

struct hf_item *hf_queue_pop(struct hf_queue *q, bool (*may)(const struct hf_item *i))
{
	struct hf_flow *f, *best = NULL;
	struct hf_item *i;

	for (f = q->flows; f; f = f->next) {
		if (may && !may(f->head)) { /* who waits for himself saves up no time */
			f->tag = f->tag > q->now ? f->tag : q->now;
			continue;
		}
		if (!best || f->tag < best->tag || (f->tag == best->tag && f->turn < best->turn))
			best = f;
	}
	if (!best)
		return NULL;
	i = best->head;
	q->now = best->tag > q->now ? best->tag : q->now;
	best->tag += i->cost ? i->cost : 1;
	best->turn = ++q->turns;
	q->end = best->tag > q->end ? best->tag : q->end;
	(void)hf_queue_drop(q, i);
	if (!q->n) /* nobody waits: what was used until now was at nobody's cost */
		q->now = q->end;
	return i;
}
