/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warden.h: the first process of holdfastd. Starts broker and keepers, hands the
 * broker the keepers' sockets, restarts what dies, kills what hangs, and on SIGTERM
 * leaves nothing behind. It reads nothing from clients and nothing from keepers.
 */
#ifndef HF_BROKER_WARDEN_H
#define HF_BROKER_WARDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/listen.h"
#include "broker/settings.h"

/* Over the control socket. Warden to broker: KEEPER with its socket. Back: READY, KILL, REPLACE. */
enum hf_warden_kind {
	HF_WARDEN_KEEPER = 1,
	HF_WARDEN_READY = 2,
	HF_WARDEN_KILL = 3,
	HF_WARDEN_REPLACE = 4, /* its token hangs, which is no fault of the keeper: no back-off */
};

struct hf_warden_msg {
	uint32_t kind;
	uint32_t seat;	 /* index of the token * HF_WORKERS_MAX + number of the keeper */
	uint32_t serial; /* of the keeper: a KILL that comes late must not hit its successor */
};

/*
 * For the broker: the keeper in @seat is of no use any more; the warden sends another, with
 * HF_WARDEN_KILL later the more often that happens, with HF_WARDEN_REPLACE at once.
 */
void hf_warden_kill(int control, enum hf_warden_kind how, uint32_t seat, uint32_t serial);
void hf_warden_ready(int control);

struct hf_warden_args {
	struct hf_settings *settings; /* the last that could be loaded; the caller's to free */
	struct hf_listeners *listeners;
	const char *config, *keeper;
	bool unconfined;
	int ready_fd; /* gets a newline once the broker listens; -1: none */
};

/* Runs until SIGTERM or SIGINT; exit code. In the broker process it does not return. */
int hf_warden_main(struct hf_warden_args *a);

#endif
