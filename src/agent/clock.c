/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"

#define BUILT  HF_BUILD_TIME /* seconds since 1970, from meson (SOURCE_DATE_EPOCH if it is set) */
#define SAVE_S 86400	     /* a flash should not wear out for it */
#define STEP_S 5

static void path_of(const struct hf_clock *c, char out[HF_PATH_MAX])
{
	if (hf_path_join(out, c->dir, "clock", NULL))
		(void)hf_copy(out, HF_PATH_MAX, "");
}

void hf_clock_init(struct hf_clock *c, const char *dir, bool wait_for_ntp)
{
	HF_AUTO_BUF file = HF_BUF(64);
	char path[HF_PATH_MAX], *end;
	long long n;

	memset(c, 0, sizeof(*c));
	c->dir = dir;
	c->wait_for_ntp = wait_for_ntp;
	c->floor = BUILT;
	path_of(c, path);
	if (hf_file_read(path, true, &file, NULL) || !file.n)
		return;
	n = strtoll((const char *)file.p, &end, 10);
	if (n > 0 && (*end == '\n' || !*end)) {
		c->saved = n;
		hf_clock_floor(c, n);
	}
}

void hf_clock_floor(struct hf_clock *c, int64_t t)
{
	if (t > c->floor)
		c->floor = t;
}

int64_t hf_clock_step(int64_t wall, int64_t wall_before, int64_t mono, int64_t mono_before)
{
	return (wall - wall_before) - (mono - mono_before);
}

static bool synchronised(void)
{
	struct timex t = { .modes = 0 };

	return adjtimex(&t) >= 0 && !(t.status & STA_UNSYNC);
}

static void save(struct hf_clock *c, int64_t now)
{
	struct hf_err err = HF_ERR_INIT;
	char path[HF_PATH_MAX], text[32];

	path_of(c, path);
	(void)snprintf(text, sizeof(text), "%lld\n", (long long)now);
	if (hf_file_replace(path, text, strlen(text), 0600, &err))
		hf_log(HF_LOG_WARN, "the time cannot be remembered for the next start: %s",
		       err.msg);
	c->saved = now; /* not again before tomorrow, in any case */
}

int64_t hf_clock_look(struct hf_clock *c, bool *stepped)
{
	struct timespec mono = { 0, 0 };
	int64_t now = (int64_t)time(NULL);
	bool was = c->trusted;

	(void)clock_gettime(CLOCK_BOOTTIME, &mono);
	*stepped = c->known && llabs(hf_clock_step(now, c->wall, mono.tv_sec, c->mono)) > STEP_S;
	c->wall = now;
	c->mono = mono.tv_sec;
	c->trusted = true;
	if (now < c->floor) {
		c->trusted = false;
		(void)snprintf(c->reason, sizeof(c->reason),
			       "it is before %lld (seconds since 1970), which has passed already",
			       (long long)c->floor);
	} else if (c->wait_for_ntp && !synchronised()) {
		c->trusted = false;
		(void)hf_copy(c->reason, sizeof(c->reason), "it is not synchronised yet");
	}
	if (!c->trusted && (was || !c->known))
		hf_log(HF_LOG_WARN,
		       "the clock is not to be trusted: %s; nothing is issued or "
		       "renewed until it is",
		       c->reason);
	if (c->trusted && !was && c->known)
		hf_log(HF_LOG_NOTICE, "the clock is good now");
	c->known = true;
	if (!c->trusted)
		return now;
	c->reason[0] = '\0';
	if (now - c->saved > SAVE_S)
		save(c, now);
	return now;
}
