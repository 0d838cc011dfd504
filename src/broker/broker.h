/* SPDX-License-Identifier: Apache-2.0 */
/* broker.h: what the parts of the broker share. One epoll loop; nothing here blocks but fsync. */
#ifndef HF_BROKER_BROKER_H
#define HF_BROKER_BROKER_H

#include <sys/queue.h>

#include "broker/catalogue.h"
#include "broker/journal.h"
#include "broker/loop.h"
#include "broker/metrics.h"
#include "broker/peer.h"
#include "broker/scrape.h"
#include "wire/packet.h"

#define HF_KEEPER_DEPTH 2 /* requests at a keeper: one at the token, one behind it */

struct hf_conn {
	struct hf_source source;
	struct hf_conn *next, *prev;
	struct hf_principal who;
	struct hf_peer *peer;
	struct hf_unsent *unsent, **unsent_end;
	LIST_HEAD(, hf_job) jobs; /* in queues and at keepers */
	bool greeted, used;	  /* hello came; something came after it */
	bool closing;		  /* after what is unsent */
	bool dead;		  /* to be freed */
	uint64_t active;	  /* hf_now_ms() of the last packet */
};

#define HF_OBJECT_ID_SIZE 16

/* What a keeper was making when it died, as its token names it. */
struct hf_left {
	char name[HF_NAME_SIZE]; /* of the key */
	uint8_t object_id[HF_OBJECT_ID_SIZE];
};

/* One keeper of a token; the warden fills it again when the keeper is gone. */
struct hf_seat {
	struct hf_source source; /* first: the keeper's socketpair */
	struct hf_worker *worker;
	uint32_t number, serial;   /* as the warden counts them; serial: of the keeper */
	TAILQ_HEAD(, hf_job) jobs; /* at its keeper, in their order */
	unsigned at_keeper;
	struct hf_left left[HF_KEEPER_DEPTH]; /* to be destroyed when there is a keeper again */
	unsigned n_left;
	bool ready;	  /* its last word of the token was a good one */
	uint64_t look_at; /* ms: when to ask one that is not ready, while others are */
};

struct hf_worker {
	const struct hf_token_conf *token;
	size_t index;
	struct hf_seat seats[HF_WORKERS_MAX]; /* the first token->workers of them */
	struct hf_queue queue;
	struct hf_flow own;	  /* the broker's own place in it */
	LIST_HEAD(, hf_job) jobs; /* all: queued and at the keepers */
	uint64_t due;	     /* ms: nothing in jobs is over its time before; 0: nothing ever is */
	uint64_t lost_at;    /* ms, since when no seat is ready */
	hf_TokenInfo info;
	uint64_t commands; /* to the TPM, by all its keepers */
	uint32_t lockout_counter;
	hf_KeeperOpen_primary_name_t pin;
};

/* What hf_audit_stray() has written in this second, and left out since its last line. */
struct hf_strays {
	uint64_t second;
	unsigned lines, more;
};

struct hf_broker {
	struct hf_settings *settings;
	const char *config;
	int epoll, control;
	struct hf_source control_source, signals;
	struct hf_listener *listeners;
	size_t n_listeners;
	struct hf_catalogue catalogue;
	struct hf_journals journals;
	struct hf_peers peers;
	struct hf_conn *conns;
	uint64_t conns_due; /* ms: none of them is over its time before; 0: none ever is */
	struct hf_scrape scrapes[HF_SCRAPES_MAX];
	struct hf_metrics metrics;
	struct hf_worker workers[HF_TOKENS_MAX];
	size_t n_workers;
	uint32_t next_id;
	uint64_t started, collect_at; /* seconds since 1970; collect_at 0: never */
	uint64_t operations, refusals, audit_seq;
	struct hf_strays strays;
	bool stopping, accept_paused, dead_conns;
	/* one request is looked at at a time */
	uint8_t packet[HF_KEEPER_PACKET_MAX];
	hf_Request request;
	hf_Reply reply;
	hf_KeeperRequest keeper_request;
	hf_KeeperReply keeper_reply;
};

/* The broker process; does not return before it is told to stop. Exit code. */
int hf_broker_main(struct hf_settings *s, const char *config, bool confined,
		   struct hf_listener *listeners, size_t n_listeners, int control);

#endif
