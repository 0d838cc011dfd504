/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h: may the wall clock be believed? A device without a battery wakes up in 1970. There is a
 * floor below which it surely is wrong: when this program was built, the last time that was good,
 * the newest certificate that we made. Below it nothing is issued and nothing expires.
 *
 * A clock may also be wrong ahead, for a moment. So a time after a step forward becomes part of
 * the floor only when it has held for hours, or when the kernel calls it synchronised; nothing is
 * thrown away before. And a floor that turns out to be wrong is lowered, by such a kernel or by
 * the administrator.
 */
#ifndef HF_AGENT_CLOCK_H
#define HF_AGENT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"

#define HF_CLOCK_AHEAD_S 300 /* so far may others' clocks be ahead of ours */

struct hf_clock {
	int64_t floor;	    /* seconds since 1970 */
	int64_t saved;	    /* what the file says */
	int64_t wall, mono; /* at the last look */
	int64_t since;	    /* on the latter: since when it runs evenly */
	unsigned steps;	    /* how often it was set, as far as we saw */
	bool wait_for_ntp, trusted, known;
	bool unsure;		    /* ahead of all that is known: nothing is forgotten for it */
	char floor_is[HF_PATH_MAX]; /* for people: what says so */
	char reason[HF_PATH_MAX + 300]; /* why it is not trusted */
	const char *dir;		/* of the file; borrowed */
};

/* @dir: the agent's state directory. */
void hf_clock_init(struct hf_clock *c, const char *dir, bool wait_for_ntp);

/* The certificate @id of ours began at @t: it is not earlier than that, or not by much. */
void hf_clock_floor(struct hf_clock *c, int64_t t, const char *id);

/* Somebody who knows says that it is right. HF_REFUSED: it is not, this program is younger. */
enum hf_rc hf_clock_accept(struct hf_clock *c, struct hf_err *e);

/*
 * Looks at the clocks. Returns the wall clock's time; c->trusted says what it is worth, and
 * c->steps is another one if it has jumped since the last look by more than a few seconds.
 */
int64_t hf_clock_look(struct hf_clock *c);

/* When what has ended may be forgotten: the time, or 0, when nothing may be. */
int64_t hf_clock_ended(const struct hf_clock *c);

/* Pure. How far the wall clock went beyond what has passed, in seconds. */
int64_t hf_clock_step(int64_t wall, int64_t wall_before, int64_t mono, int64_t mono_before);

#endif
