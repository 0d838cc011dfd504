/* SPDX-License-Identifier: Apache-2.0 */
/* job.h: one request on its way to a keeper and back: what it holds of its client and his limits.
 */
#ifndef HF_BROKER_JOB_H
#define HF_BROKER_JOB_H

#include "broker/broker.h"

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
