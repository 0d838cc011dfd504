/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h: one request, its answer, and all that may come between them: challenges, redirects.
 * HTTP/1.1, with a Content-Length, no compression, no cookies, no netrc, no proxy unless the
 * job has one.
 */
#ifndef HF_EST_HTTP_H
#define HF_EST_HTTP_H

#include "est/csr.h"
#include "est/est.h"

struct hf_http {
	const char *op; /* the last part of the path */
	size_t max;	/* of the body of the answer */
	/* a POST if there is a plan; signed for each connection if it shall be bound to it */
	const struct hf_csr_plan *plan;
	bool bind;

	/* the answer */
	long code;
	struct hf_buf body;
	char type[128], location[1024], retry[64];
	bool has_retry, has_challenge, encoded;

	/* while it is on its way */
	struct hf_challenge heard;
	struct hf_buf post;
	size_t head; /* bytes of headers */
	enum hf_est_status status;
};

/*
 * Sends, answers a challenge once, follows redirects within the origin. HF_EST_OK: there is an
 * answer, whatever its code. hf_http_finish() in any case.
 */
enum hf_est_status hf_http_run(struct hf_est *x, struct hf_http *h);
void hf_http_finish(struct hf_http *h);

/* The next request is made on a new connection. */
void hf_http_reset(struct hf_est *x);

/* What the server said about a failure, escaped and bounded, with ": " before it; or "". */
char *hf_http_words(const struct hf_http *h, char *out, size_t size);

#endif
