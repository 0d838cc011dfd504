/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen.h: the listening sockets: from systemd, or made here. A path that is not
 * what it has to be (a link, a file, another's socket, a served socket) is refused.
 */
#ifndef HF_BROKER_LISTEN_H
#define HF_BROKER_LISTEN_H

#include "broker/conn.h"

struct hf_listeners {
	struct hf_listener each[HF_SOCKETS_MAX + 1]; /* the metrics' as well */
	struct {
		char path[108];
		int lock; /* held as long as the socket is ours */
	} made[HF_SOCKETS_MAX + 1];
	size_t n, n_made;
};

enum hf_rc hf_listeners_open(struct hf_listeners *l, const struct hf_settings *s, struct hf_err *e);
/* Closes and removes what was made here. */
void hf_listeners_close(struct hf_listeners *l);

#endif
