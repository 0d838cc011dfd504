/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/schedule.h"

#define MINUTE 60
#define HOUR   3600
#define DAY    86400

/* A clock that ran backwards must not make a failure lie in the future for years. */
static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t lifetime(const struct hf_schedule *s)
{
	return later(s->not_after - s->not_before, 1);
}

/* Not @share * life / 100: that overflows for no certificate, but why think about it. */
static int64_t percent_of(int64_t life, int64_t share)
{
	return life / 100 * share + life % 100 * share / 100;
}

bool hf_schedule_clamped(const struct hf_schedule *s)
{
	return !s->renew->threshold.percent && s->renew->threshold.seconds > lifetime(s) / 2 &&
	       s->renew->threshold.seconds >= lifetime(s) - lifetime(s) / 10;
}

static int64_t threshold(const struct hf_schedule *s)
{
	const struct hf_when *t = &s->renew->threshold;

	if (t->percent)
		return s->not_before + percent_of(lifetime(s), t->percent);
	/* Renewal at once after each renewal: never what was meant. */
	if (hf_schedule_clamped(s))
		return s->not_before + lifetime(s) / 2;
	return s->not_after - t->seconds;
}

/* Up to a hundredth of the lifetime and a twentieth of what is left; 12 hours at most. */
static int64_t jitter(const struct hf_schedule *s, int64_t at)
{
	int64_t room = earlier(lifetime(s) / 100, (s->not_after - at) / 20);

	room = earlier(room, 12 * HOUR);
	return room > 0 ? (int64_t)(s->seed % (uint64_t)room) : 0;
}

int64_t hf_schedule_due(const struct hf_schedule *s)
{
	int64_t at;

	if (!s->renew->enabled)
		return HF_NEVER;
	at = threshold(s);
	return at + jitter(s, at);
}

/* A CA that issues for seconds, or for a time that has gone by: not more than once a minute. */
bool hf_schedule_hurried(const struct hf_schedule *s)
{
	return s->issued && s->renewed && s->renew->enabled &&
	       hf_schedule_due(s) < s->renewed + MINUTE;
}

/* The first time from @at on within the window of the day; @at if there is none in time. */
static int64_t in_window(const struct hf_schedule *s, int64_t at)
{
	int64_t from = s->renew->window.from_min * MINUTE, to = s->renew->window.to_min * MINUTE;
	int64_t local = at + s->utc_offset, day = local - (local % DAY + DAY) % DAY;
	int64_t second = local - day, opens;

	if (from < 0 || to < 0 || from == to)
		return at;
	if (from < to ? second >= from && second < to : second >= from || second < to)
		return at;
	opens = day + from - s->utc_offset;
	if (opens < at)
		opens += DAY;
	/* A window that opens when less than a tenth is left would be a gamble. */
	return opens < s->not_after - lifetime(s) / 10 ? opens : at;
}

static int64_t usual_pause(const struct hf_schedule *s)
{
	const struct hf_when *retry = &s->renew->retry;
	int64_t wait = HOUR;

	if (s->issued && retry->percent)
		wait = percent_of(lifetime(s), retry->percent);
	else if (retry->seconds)
		wait = retry->seconds;
	/* Without a certificate, or with one that has ended, nothing works: hurry. So where nobody
	 * else is asked: a broker that was restarted is back in a minute. */
	if (!s->issued || s->tried >= s->not_after || s->local) {
		uint32_t n = s->failures < 7 ? s->failures - 1 : 6;

		wait = earlier(wait, earlier((int64_t)MINUTE << n, HOUR));
	}
	return later(wait, retry->seconds && retry->seconds < 30 ? retry->seconds : 30);
}

/* Of what the server says, or else the configuration; a tenth is left to chance. */
static int64_t pause(const struct hf_schedule *s)
{
	int64_t wait = s->retry_after ? later(earlier(s->retry_after, DAY), 30) : usual_pause(s);

	return wait + (int64_t)((s->seed ^ s->failures * 2654435761u) % (uint64_t)(wait / 10 + 1));
}

int64_t hf_schedule_next(const struct hf_schedule *s, int64_t now)
{
	int64_t at;

	if (s->failures) {
		at = earlier(s->tried, now) + pause(s);
		/* The certificate's end is worth a try of its own. */
		if (s->issued && s->tried < s->not_after && at > s->not_after)
			at = s->not_after;
		return s->wanted || !s->issued ? at : in_window(s, at);
	}
	if (s->wanted || !s->issued)
		return now;
	at = hf_schedule_due(s);
	if (at == HF_NEVER)
		return HF_NEVER;
	/* What a clock that was wrong says of the past must not put it off for ever. */
	if (s->renewed <= now && hf_schedule_hurried(s))
		at = s->renewed + MINUTE;
	return in_window(s, later(at, now));
}
