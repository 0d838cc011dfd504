/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.h: the agent's first process, which starts programs for the confined one: holdfast-est for
 * an enrolment, and the administrator's hooks. It decides what is run (its own copy of the
 * configuration, not the message), as whom, and for how long.
 */
#ifndef HF_AGENT_LAUNCH_H
#define HF_AGENT_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/settings.h"

enum hf_launch_kind { HF_LAUNCH_EST = 1, HF_LAUNCH_HOOK, HF_LAUNCH_STORE };

/* To the launcher; an enrolment has a socket with it, which becomes stdin and stdout. */
struct hf_launch_msg {
	int kind;
	unsigned serial; /* repeated in the answer */
	unsigned timeout_ms;
	char credential[HF_ID_SIZE];
	char old_fingerprint[65], new_fingerprint[65];
	char modules[HF_PATH_MAX]; /* a file with the modules whose certificates have to be renewed
				    */
};

/* Back: how it ended. */
struct hf_launch_end {
	unsigned serial;
	int status; /* as waitpid(2) gives it; -1: it could not be started */
	bool late;  /* killed at its deadline */
};

struct hf_launch_args {
	const char *config, *est; /* agent.json; the program holdfast-est */
	struct hf_agent_settings *settings;
	int (*agent)(struct hf_agent_settings *settings, int control, void *arg);
	void *arg;
};

/* Forks the agent and serves it. Returns an exit code, when the agent has ended. */
int hf_launch_main(struct hf_launch_args *a);

#endif
