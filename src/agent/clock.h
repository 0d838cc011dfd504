/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h: may the wall clock be believed? A device without a battery wakes up in 1970. There is a
 * floor below which it surely is wrong: when this program was built, and the last time that was
 * good. Below it nothing is issued and nothing expires.
 */
#ifndef HF_AGENT_CLOCK_H
#define HF_AGENT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct hf_clock {
	int64_t floor;	    /* seconds since 1970 */
	int64_t saved;	    /* what the file says */
	int64_t wall, mono; /* at the last look */
	bool wait_for_ntp, trusted, known;
	char reason[160]; /* why not */
	const char *dir;  /* of the file; borrowed */
};

/* @dir: the agent's state directory. */
void hf_clock_init(struct hf_clock *c, const char *dir, bool wait_for_ntp);

/* A certificate of ours began at @t: it is not earlier than that. */
void hf_clock_floor(struct hf_clock *c, int64_t t);

/*
 * Looks at the clocks. Returns the wall clock's time; c->trusted says what it is worth. *@stepped:
 * it has jumped since the last look by more than a few seconds.
 */
int64_t hf_clock_look(struct hf_clock *c, bool *stepped);

/* Pure. How far the wall clock went beyond what has passed, in seconds. */
int64_t hf_clock_step(int64_t wall, int64_t wall_before, int64_t mono, int64_t mono_before);

#endif
