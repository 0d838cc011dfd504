/* SPDX-License-Identifier: Apache-2.0 */
/* job.h: one request on its way to a keeper and back: what it holds of its client and his limits.
 */
#ifndef HF_BROKER_JOB_H
#define HF_BROKER_JOB_H

#include "broker/broker.h"

/* One request on its way to a keeper and back. Owned by the worker that has it. */
struct hf_job {
	struct hf_item item; /* first: the queue knows items */
	LIST_ENTRY(hf_job) of_worker, of_conn;
	TAILQ_ENTRY(hf_job) of_seat;
	bool listed; /* by its worker: not finished yet */
	struct hf_worker *worker;
	struct hf_seat *seat; /* at its keeper; NULL: still queued */
	struct hf_conn *conn; /* NULL: internal, or the client is gone */
	struct hf_peer *peer; /* NULL: internal */
	pid_t pid;	      /* of the client, for the audit when he is gone */
	uint32_t id, request_id;
	uint64_t started_us, deadline; /* of the client, ms */
	uint64_t queued;	       /* ms */
	uint64_t begun;		       /* ms; 0: its keeper has not come to it yet */
	uint32_t keeper_ms;	       /* what the keeper may take from then on */
	bool anyway;		       /* goes to the keeper of a token that is not there, too */
	uint8_t *packet;
	size_t n;
	/* what the answer is about */
	const struct hf_op *op;
	char name[HF_NAME_SIZE], scheme[24];
	uint8_t generation[HF_ID_SIZE], transaction[16];
	bool has_transaction;
	bool making; /* an RSA key */
	bool at_keeper;
	bool has_object_id;
	uint8_t object_id[HF_OBJECT_ID_SIZE]; /* of what it makes, in its token */
	const struct hf_algorithm *algorithm;
	unsigned usage;
	/* @rep is NULL when the keeper gave no answer: then @e tells why. */
	void (*done)(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		     struct hf_err *e);
	struct hf_gather *gather; /* of token_list and status */
};

/*
 * A job for @w with b->keeper_request and @data as what to ask; NULL and @e if a
 * limit says no (HF_BUSY). @c may be NULL: the broker's own. Not queued yet.
 */
struct hf_job *hf_job_new(struct hf_broker *b, struct hf_worker *w, struct hf_conn *c,
			  struct hf_view data, struct hf_err *e);
/* Off the list of its worker: it cannot be finished twice. */
void hf_job_unlist(struct hf_job *j);
/* Nobody waits for its answer any more. */
void hf_job_detach(struct hf_job *j);
/* Gives back what it holds; it is in no queue and at no keeper. */
void hf_job_free(struct hf_broker *b, struct hf_job *j);

#endif
