/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.h: the clients of one uid on one socket share their limits and their place
 * in the queues. A peer without connections and jobs is kept for a while, or his debts would end
 * with his connection: see HF_PEERS_IDLE.
 */
#ifndef HF_BROKER_PEER_H
#define HF_BROKER_PEER_H

#include "broker/policy.h"
#include "broker/queue.h"

#define HF_MAKING_MAX 2	   /* one that is being made, one that waits: they take minutes */
#define HF_PEERS_IDLE 1024 /* the last to leave are kept; more users than that pay no debts */

/* What a peer has used under one rule with a rate. */
struct hf_rate {
	struct hf_rate *next;
	size_t rule;
	uint64_t at; /* us: when the next operation is due; see hf_peer_rate() */
};

struct hf_peer {
	struct hf_peer *next;
	char socket[HF_NAME_SIZE];
	uid_t uid;
	unsigned refs, connections, jobs;
	unsigned making, running; /* of jobs: RSA keys to be made; those of them at a keeper */
	size_t bytes;
	struct hf_rate *rates;
	uint64_t left; /* which departure it was, while refs is 0 */
	struct hf_flow flows[HF_TOKENS_MAX];
};

struct hf_peers {
	struct hf_peer *first;
	unsigned connections, jobs, idle;
	uint64_t departures;
	size_t bytes;
};

/* The peer of @who, with one reference more. NULL: out of memory. */
struct hf_peer *hf_peers_get(struct hf_peers *p, const struct hf_principal *who);
void hf_peers_put(struct hf_peers *p, struct hf_peer *peer);
/* Forgets those without references. */
void hf_peers_finish(struct hf_peers *p);

/*
 * Accounts @n bytes to @peer; false (and nothing accounted) if all peers would have more than
 * @budget, or this one more than a quarter of it.
 */
bool hf_peers_take(struct hf_peers *p, struct hf_peer *peer, size_t n, size_t budget);
void hf_peers_give(struct hf_peers *p, struct hf_peer *peer, size_t n);

/*
 * May the peer have one more operation at @now (ms), at @rate a second under the rule with that
 * index? It may save up one second's worth. False: too early. After a reload an index may be
 * another rule's, which then begins with what is left of that second.
 */
bool hf_peer_rate(struct hf_peer *peer, size_t rule, uint32_t rate, uint64_t now);

/*
 * Reads the credentials of a connection from the kernel. HF_DENIED for the overflow
 * uid: inside a user namespace all strangers are one.
 */
enum hf_rc hf_principal_read(struct hf_principal *who, int fd, const char *socket,
			     struct hf_err *e);

/* HF_REFUSED in a user namespace that does not map every uid and gid, or if nobody can tell
 * (security.md P1). */
enum hf_rc hf_principal_check_namespace(struct hf_err *e);

#endif
