/* SPDX-License-Identifier: Apache-2.0 */
/* conn.h: one client connection: packets in, replies out, both bounded. */
#ifndef HF_BROKER_CONN_H
#define HF_BROKER_CONN_H

#include "broker/broker.h"

struct hf_listener {
	struct hf_source source;
	char name[HF_NAME_SIZE];
};

/* A listener's ready function: accepts what is there. */
int hf_conn_take(struct hf_broker *b, struct hf_source *s); /* only takes it; -1: nothing */
void hf_conn_accept(struct hf_broker *b, struct hf_source *s, uint32_t events);
/* Closes now; hf_conn_reap() drops its queued jobs and frees it, after each turn of the loop. */
void hf_conn_close(struct hf_broker *b, struct hf_conn *c);
void hf_conn_reap(struct hf_broker *b);
/* Closes those without hello in time, and the idle ones; when the next one is over its time, in ms;
 * 0: none. */
uint64_t hf_conn_expire(struct hf_broker *b, uint64_t now);
/* After the policy has changed: who has no right left, and is not at work, holds no place either.
 * He is told why when he connects again. */
void hf_conn_recheck(struct hf_broker *b);

/* Sends b->reply with the result @rc (message from @e); may close the connection. */
void hf_conn_reply(struct hf_broker *b, struct hf_conn *c, uint32_t id, enum hf_rc rc,
		   const struct hf_err *e);

#endif
