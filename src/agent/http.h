/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h: HTTP/1.1 on UNIX sockets. It knows who asks (the kernel says so), how much and how
 * slowly they may, and nothing of what is asked.
 */
#ifndef HF_AGENT_HTTP_H
#define HF_AGENT_HTTP_H

#include <poll.h>

#include "agent/settings.h"

#define HF_HTTP_BODY_MAX   65536
#define HF_HTTP_REPLY_MAX  (2u << 20)
#define HF_HTTP_CONNS_MAX  256 /* of one socket */
#define HF_HTTP_CONNS_PEER 32  /* of one uid on it; one more is told so, twice as many hang up */
#define HF_HTTP_HEADER_S   5   /* for a whole header, and for a whole body */
#define HF_HTTP_IDLE_S	   60

struct hf_http;

/* What is asked. Everything is borrowed, and from a stranger. */
struct hf_http_request {
	const char *socket; /* its name in agent.json */
	uid_t uid;
	pid_t pid; /* for logs only */
	const char *method, *path;
	const char *version; /* api-version of the query; NULL: none */
	const char *type;    /* Content-Type; NULL: none */
	struct hf_view body;
	bool too_large; /* the body was; it is not here */
};

struct hf_http_reply {
	int code;
	const char *type;   /* of the body; NULL: application/json */
	struct hf_buf body; /* wiped when it is sent */
};

typedef void hf_http_serve(void *arg, const struct hf_http_request *q, struct hf_http_reply *r);

/* Opens the sockets. HF_BUSY: somebody answers at one already. */
struct hf_http *hf_http_new(const struct hf_agent_settings *s, hf_http_serve *serve, void *arg,
			    struct hf_err *e);
void hf_http_free(struct hf_http *h);

/* Its descriptors, for poll(2); at most @max. */
size_t hf_http_poll(const struct hf_http *h, struct pollfd *p, size_t max);
/* How long poll(2) may wait, if it would wait @ms. */
int hf_http_timeout(const struct hf_http *h, int ms);
/* Accepts, reads, serves, answers, and hangs up on who is late. */
void hf_http_run(struct hf_http *h);

/* Requests answered so far, by the hundreds of their codes: [2] is 2xx. */
const uint64_t *hf_http_served(const struct hf_http *h);

#endif
