/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h: what the broker's one epoll loop watches. */
#ifndef HF_BROKER_LOOP_H
#define HF_BROKER_LOOP_H

#include <stdint.h>

#include "base/err.h"

struct hf_broker;

/* Something the loop watches; embedded first in what it is. */
struct hf_source {
	int fd; /* -1: not watched */
	uint32_t events;
	void (*ready)(struct hf_broker *b, struct hf_source *s, uint32_t events);
};

/* Watches @s->fd; replaces what it watched for. */
enum hf_rc hf_loop_watch(struct hf_broker *b, struct hf_source *s, uint32_t events,
			 struct hf_err *e);
void hf_loop_forget(struct hf_broker *b, struct hf_source *s); /* and closes its fd */

#endif
