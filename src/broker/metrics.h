/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h: what the broker counts, and the page of it in the text format that Prometheus reads.
 * Bounded by the number of operations and results: no name of a key or user becomes a label.
 */
#ifndef HF_BROKER_METRICS_H
#define HF_BROKER_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define HF_METRICS_OPS	   32 /* more than there are operations */
#define HF_METRICS_BUCKETS 13
#define HF_METRICS_RESULTS 17 /* enum hf_rc */
#define HF_METRICS_TEXT	   (128u << 10)

struct hf_metrics_op {
	const char *name; /* of a table: lives for ever */
	uint64_t results[HF_METRICS_RESULTS];
	uint64_t buckets[HF_METRICS_BUCKETS]; /* each counts its own, not those below it */
	uint64_t us;
};

struct hf_metrics {
	struct hf_metrics_op ops[HF_METRICS_OPS];
	/* Connections. Turned away: over a limit, or nobody; displaced: idle, for a new one. */
	uint64_t accepted, turned_away, displaced;
	uint64_t bytes_in, bytes_out;	/* of clients */
};

struct hf_broker;

/* One operation has been answered. */
void hf_metrics_count(struct hf_metrics *m, const char *op, enum hf_rc rc, uint64_t us);
/* Requests that were answered with @rc. */
uint64_t hf_metrics_answered(const struct hf_metrics *m, enum hf_rc rc);
/* Appends the whole page. */
void hf_metrics_text(const struct hf_broker *b, struct hf_buf *out);

#endif
