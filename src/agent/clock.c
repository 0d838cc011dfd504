/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define BUILT  HF_BUILD_TIME /* seconds since 1970, from meson (SOURCE_DATE_EPOCH if it is set) */
#define SAVE_S 86400	     /* a flash should not wear out for it */
#define NEAR_S 172800	     /* that far ahead of what is saved, a start needs no second thought */
#define HOLD_S 21600	     /* after which a time is taken for the right one, if nobody knows */
#define STEP_S 5

#define TIMESYNC "/run/systemd/timesync/synchronized"

static void path_of(const struct hf_clock *c, char out[HF_PATH_MAX])
{
	if (hf_path_join(out, c->dir, "clock", NULL))
		(void)hf_copy(out, HF_PATH_MAX, "");
}

static void floor_of_build(struct hf_clock *c)
{
	c->floor = BUILT;
	(void)hf_copy(c->floor_is, sizeof(c->floor_is), "when this program was built");
}

void hf_clock_init(struct hf_clock *c, const char *dir, bool wait_for_ntp)
{
	HF_AUTO_BUF file = HF_BUF(64);
	char path[HF_PATH_MAX], *end;
	long long n;

	memset(c, 0, sizeof(*c));
	c->dir = dir;
	c->wait_for_ntp = wait_for_ntp;
	floor_of_build(c);
	path_of(c, path);
	if (hf_file_read(path, true, &file, NULL) || !file.n)
		return;
	n = strtoll((const char *)file.p, &end, 10);
	if (n <= 0 || (*end != '\n' && *end))
		return;
	c->saved = n;
	if (n > c->floor) {
		c->floor = n;
		(void)hf_copy(c->floor_is, sizeof(c->floor_is), path);
	}
}

void hf_clock_floor(struct hf_clock *c, int64_t t, const char *id)
{
	t -= HF_CLOCK_AHEAD_S; /* its issuer's clock is not ours */
	if (t <= c->floor)
		return;
	c->floor = t;
	(void)snprintf(c->floor_is, sizeof(c->floor_is), "the beginning of certificate %.100s", id);
}

int64_t hf_clock_step(int64_t wall, int64_t wall_before, int64_t mono, int64_t mono_before)
{
	return (wall - wall_before) - (mono - mono_before);
}

/* ProtectClock= of systemd forbids to ask the kernel; then there may be systemd-timesyncd's word.
 */
static bool synchronised(void)
{
	struct timex t = { .modes = 0 };

	if (adjtimex(&t) < 0)
		return !access(TIMESYNC, F_OK);
	return !(t.status & STA_UNSYNC);
}

static void save(struct hf_clock *c)
{
	struct hf_err err = HF_ERR_INIT;
	char path[HF_PATH_MAX], text[32];

	path_of(c, path);
	(void)snprintf(text, sizeof(text), "%lld\n", (long long)c->wall);
	if (hf_file_replace(path, text, strlen(text), 0600, &err))
		hf_log(HF_LOG_WARN, "the time cannot be remembered for the next start: %s",
		       err.msg);
	else if (c->wall - HF_CLOCK_AHEAD_S >
		 c->floor) { /* for this run as well as for the next one */
		c->floor = c->wall - HF_CLOCK_AHEAD_S;
		(void)hf_copy(c->floor_is, sizeof(c->floor_is), path);
	}
	c->saved = c->wall; /* not again before tomorrow, in any case */
}

static char *date(char *out, size_t size, int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm))
		(void)snprintf(out, size, "%lld", (long long)when);
	return out;
}

/* What was taken for the past is the future: it was the clock that was wrong then. */
static void lower(struct hf_clock *c, const char *who)
{
	char was[40], is[40];

	if (c->wall < c->floor)
		hf_log(HF_LOG_NOTICE, "the clock was wrong when it said %s (%s)",
		       date(was, sizeof(was), c->floor), c->floor_is);
	hf_log(HF_LOG_NOTICE, "the clock says %s, and %s that it is right",
	       date(is, sizeof(is), c->wall), who);
	floor_of_build(c);
	c->unsure = false;
	save(c);
}

enum hf_rc hf_clock_accept(struct hf_clock *c, struct hf_err *e)
{
	char is[40], built[40];

	if (c->wall < BUILT)
		return hf_fail(e, HF_REFUSED,
			       "the clock says %s, but this program was built %s: set it first",
			       date(is, sizeof(is), c->wall), date(built, sizeof(built), BUILT));
	lower(c, "an administrator says");
	return HF_OK;
}

/* Is it ahead of all that is known? A step back, or a small one, is none; see clock.h. */
static void judge(struct hf_clock *c, int64_t step)
{
	if (!c->known || step < -STEP_S || step > STEP_S) {
		c->since = c->mono;
		c->unsure = step > STEP_S || c->wall - c->floor > NEAR_S;
	}
	if (c->unsure && (c->mono - c->since >= HOLD_S || synchronised()))
		c->unsure = false;
}

int64_t hf_clock_ended(const struct hf_clock *c)
{
	return c->trusted && !c->unsure ? c->wall : 0;
}

static bool is_good(struct hf_clock *c)
{
	char is[40], was[40];

	if (c->wall < BUILT) { /* whoever says that it is right */
		(void)snprintf(c->reason, sizeof(c->reason),
			       "it says %s, but %s has been already (when this program was "
			       "built); set it, or have it synchronised",
			       date(is, sizeof(is), c->wall), date(was, sizeof(was), BUILT));
		return false;
	}
	if (c->wall < c->floor && synchronised())
		lower(c, "the kernel says");
	if (c->wall < c->floor) {
		(void)snprintf(c->reason, sizeof(c->reason),
			       "it says %s, but %s has been already (%s); set it, have it "
			       "synchronised, or, if it is right, say 'holdfast clock accept'",
			       date(is, sizeof(is), c->wall), date(was, sizeof(was), c->floor),
			       c->floor_is);
		return false;
	}
	if (c->wait_for_ntp && !synchronised()) {
		(void)hf_copy(c->reason, sizeof(c->reason), "it is not synchronised yet");
		return false;
	}
	c->reason[0] = '\0';
	return true;
}

int64_t hf_clock_look(struct hf_clock *c)
{
	struct timespec mono = { 0, 0 };
	int64_t now = (int64_t)time(NULL), step = 0;
	bool was = c->trusted;

	(void)clock_gettime(CLOCK_BOOTTIME, &mono);
	if (c->known)
		step = hf_clock_step(now, c->wall, mono.tv_sec, c->mono);
	c->steps += llabs(step) > STEP_S;
	c->wall = now;
	c->mono = mono.tv_sec;
	judge(c, step);
	c->trusted = is_good(c);
	if (!c->trusted && (was || !c->known))
		hf_log(HF_LOG_WARN,
		       "the clock is not to be trusted: %s; nothing is issued or "
		       "renewed until it is",
		       c->reason);
	if (c->trusted && !was && c->known)
		hf_log(HF_LOG_NOTICE, "the clock is good now");
	c->known = true;
	if (c->trusted && !c->unsure && now - c->saved > SAVE_S)
		save(c);
	return now;
}
