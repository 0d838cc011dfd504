/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h: one token as the broker sees it: its queue, its keepers and what is at
 * them, what is known of it. A keeper that dies is replaced by the warden: what was at it
 * is answered with UNAVAILABLE, what was queued waits for the next one. Of a token that is
 * not there or hangs one request finds out, and all that wait are answered with that.
 */
#ifndef HF_BROKER_WORKER_H
#define HF_BROKER_WORKER_H

#include "broker/broker.h"
#include "broker/job.h"

#define HF_CREATE_MS	 180000u /* an RSA-4096 key on a slow chip */
#define HF_PING_MS	 1500u
#define HF_CLIENT_MS	 30000u	 /* a request without a limit of its own */
#define HF_CLIENT_MAX_MS 600000u /* and one with a longer one: its place is somebody's */

void hf_worker_init(struct hf_broker *b, struct hf_worker *w, const struct hf_token_conf *t,
		    size_t index);
void hf_worker_finish(struct hf_broker *b, struct hf_worker *w);

/* The warden started a keeper, the @serial-th in seat @number (of all tokens); takes @fd. */
void hf_worker_attach(struct hf_broker *b, size_t number, int fd, uint32_t serial);

/* Ends the keepers: the next ones open the token, and read its PIN, anew. */
void hf_worker_renew(struct hf_broker *b, struct hf_worker *w);

/* NULL if there is none of that name; "" is the default token. */
struct hf_worker *hf_worker_find(struct hf_broker *b, const char *token);

/* Queues it and sends what can be sent. The job belongs to the worker from here on. */
void hf_worker_submit(struct hf_broker *b, struct hf_job *j);

/* Takes over what the answer to open, ping or provision, @j, says of the token. */
void hf_worker_learn(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		     const struct hf_err *e);

/* The client @c is gone: its queued jobs are dropped, those at the keeper lose it. */
void hf_worker_abandon(struct hf_broker *b, struct hf_conn *c);

/* Expires what is over its deadline; returns the next deadline in ms, 0 for none. */
uint64_t hf_worker_expire(struct hf_broker *b, struct hf_worker *w, uint64_t now);

#endif
