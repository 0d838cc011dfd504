/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape.h: the socket of the metrics. Who says GET gets HTTP (curl, Prometheus), who says nothing
 * gets the page bare (socat). A reader is answered with one send that does not wait, or not at all,
 * so it cannot hold anything up; a few are served at a time, the oldest gives way.
 */
#ifndef HF_BROKER_SCRAPE_H
#define HF_BROKER_SCRAPE_H

#include "broker/loop.h"

#define HF_SCRAPES_MAX 4 /* readers at a time */

/* A reader of the metrics. */
struct hf_scrape {
	struct hf_source source; /* first */
	uint64_t due;		 /* ms: when it gets the page unasked; 0: nobody is here */
};

/* A listener's ready function. */
void hf_scrape_accept(struct hf_broker *b, struct hf_source *s, uint32_t events);
/* Answers who has not said anything; when the next one is due, in ms, 0 for none. */
uint64_t hf_scrape_expire(struct hf_broker *b, uint64_t now);
void hf_scrape_close(struct hf_broker *b);

#endif
