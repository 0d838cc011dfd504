/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/clock.h"
#include "agent/schedule.h"
#include "base/buf.h"

#define DAY   86400
#define HOUR  3600
#define START 1800000000 /* some midnight is 1799971200 */
#define LIFE  (90 * DAY)

static struct hf_renew renewal(int64_t percent, int64_t seconds)
{
	struct hf_renew r = { .enabled = true };

	r.threshold.percent = percent;
	r.threshold.seconds = seconds;
	r.retry.percent = 4;
	r.window.from_min = r.window.to_min = -1;
	return r;
}

static struct hf_schedule schedule(const struct hf_renew *r)
{
	return (struct hf_schedule){
		.renew = r, .issued = true, .not_before = START, .not_after = START + LIFE
	};
}

/* percent or seconds before the end, days of lifetime; when it is due, seconds after the start. */
static void thresholds(void **state)
{
	static const struct {
		int64_t percent, seconds, life, due;
		bool clamped;
	} rows[] = {
		{ 80, 0, LIFE, 72 * DAY, false },
		{ 1, 0, 100, 1, false },
		{ 99, 0, LIFE, LIFE / 100 * 99, false },
		{ 50, 0, 3, 1, false },
		{ 0, 10 * DAY, LIFE, 80 * DAY, false },
		{ 0, 600, LIFE, LIFE - 600, false },
		{ 0, 4 * DAY, 10 * DAY, 6 * DAY, false },
		/* longer than it lives, or nearly so: half of it */
		{ 0, 100 * DAY, LIFE, LIFE / 2, true },
		{ 0, LIFE, LIFE, LIFE / 2, true },
		{ 0, 85 * DAY, LIFE, LIFE / 2, true },
		{ 0, 60 * DAY, LIFE, 30 * DAY, false },
		{ 80, 0, 36500LL * DAY, 29200LL * DAY, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		struct hf_renew r = renewal(rows[i].percent, rows[i].seconds);
		struct hf_schedule s = schedule(&r);

		s.not_after = START + rows[i].life;
		assert_int_equal(hf_schedule_due(&s), START + rows[i].due);
		assert_int_equal(hf_schedule_clamped(&s), rows[i].clamped);
		assert_int_equal(hf_schedule_next(&s, START), START + rows[i].due);
		/* a device that was off until long after: now */
		assert_int_equal(hf_schedule_next(&s, START + 3 * rows[i].life),
				 START + 3 * rows[i].life);
	}
}

static void disabled_means_disabled(void **state)
{
	struct hf_renew r = renewal(80, 0);
	struct hf_schedule s;

	(void)state;
	r.enabled = false;
	s = schedule(&r);
	assert_int_equal(hf_schedule_next(&s, START + 10 * LIFE), HF_NEVER);
	s.wanted = true; /* by hand it goes */
	assert_int_equal(hf_schedule_next(&s, START), START);
	s.wanted = false;
	s.issued = false; /* the first one is not a renewal */
	assert_int_equal(hf_schedule_next(&s, START), START);
}

static void jitter_spreads_and_is_bounded(void **state)
{
	struct hf_renew r = renewal(80, 0);
	int64_t least = INT64_MAX, most = 0;
	uint32_t seed;

	(void)state;
	for (seed = 0; seed < 100000; seed += 7) {
		struct hf_schedule s = schedule(&r);
		int64_t late;

		s.seed = seed * 2654435761u;
		late = hf_schedule_due(&s) - (START + 72 * DAY);
		assert_int_equal(hf_schedule_due(&s), hf_schedule_due(&s));
		least = late < least ? late : least;
		most = late > most ? late : most;
	}
	assert_true(least >= 0 && least < HOUR);
	assert_true(most <= 12 * HOUR && most > 11 * HOUR);
}

/* Lifetime and age when it came, seconds until it is renewed, and whether that is worth a word. */
static void short_lives_are_not_renewed_all_the_time(void **state)
{
	static const struct {
		int64_t life, age, wait;
		bool hurried;
	} rows[] = {
		{ 5, 0, 60, true },	      { 70, 0, 60, true },
		{ 75, 0, 60, false },	      { 7200, 0, 5760, false },
		{ 7200, 5710, 60, true },     { LIFE, LIFE - 3, 60, true },
		{ LIFE, 0, 72 * DAY, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		struct hf_renew r = renewal(80, 0);
		struct hf_schedule s = schedule(&r);
		int64_t now = START + rows[i].age;

		s.not_after = START + rows[i].life;
		s.renewed = now;
		assert_int_equal(hf_schedule_next(&s, now) - now, rows[i].wait);
		assert_int_equal(hf_schedule_hurried(&s), rows[i].hurried);
		/* a clock that ran backwards: no later than that */
		assert_true(hf_schedule_next(&s, now - DAY) <= now + rows[i].wait);
		s.wanted = true; /* by hand it goes */
		assert_int_equal(hf_schedule_next(&s, now), now);
	}
}

/* A minute after what has not been is a minute after each look: never. */
static void a_renewal_of_the_future_does_not_block(void **state)
{
	struct hf_renew r = renewal(80, 0);
	struct hf_schedule s = schedule(&r);
	int64_t now = START + 80 * DAY;

	(void)state;
	s.renewed = now + 3650LL * DAY;
	assert_int_equal(hf_schedule_next(&s, now), now);
	s.renewed = now; /* but one of now does */
	assert_int_equal(hf_schedule_next(&s, now), now + 60);
}

static void failures_are_retried_for_ever(void **state)
{
	struct hf_renew r = renewal(80, 0);
	struct hf_schedule s = schedule(&r);
	int64_t now = START + 72 * DAY;

	(void)state;
	for (s.failures = 1; s.failures < 5000; s.failures++) {
		int64_t next;

		s.seed = s.failures * 40503;
		s.tried = now;
		next = hf_schedule_next(&s, now);
		assert_true(next != HF_NEVER && next > now);
		if (now < s.not_after) /* 4 % of 90 days and a tenth, or the end itself */
			assert_true(next - now <= 4 * DAY);
		else
			assert_true(next - now <= HOUR + HOUR / 10);
		assert_true(next - now >= 30);
		now = next;
	}
}

static void local_failures_heal_soon(void **state)
{
	struct hf_renew r = renewal(80, 0);
	struct hf_schedule s = schedule(&r);

	(void)state;
	s.tried = START + 73 * DAY;
	s.local = true;
	for (s.failures = 1; s.failures < 50; s.failures++) {
		int64_t wait = hf_schedule_next(&s, s.tried) - s.tried;

		assert_true(wait >= 60 && wait <= HOUR + HOUR / 10);
		if (s.failures == 1)
			assert_true(wait <= 66);
	}
}

/* When it says when, that is when: neither earlier nor, with a long retry, days later. */
static void a_server_may_say_when(void **state)
{
	struct hf_renew r = renewal(80, 0);
	struct hf_schedule s = schedule(&r);

	(void)state;
	s.tried = START + 73 * DAY;
	s.failures = 1;
	s.retry_after = HOUR;
	assert_in_range(hf_schedule_next(&s, s.tried) - s.tried, HOUR, HOUR + 360);
	s.issued = false; /* also where there is hurry */
	assert_in_range(hf_schedule_next(&s, s.tried) - s.tried, HOUR, HOUR + 360);
	s.issued = true;
	r.retry.percent = 0;
	r.retry.seconds = 60;
	s.tried = START + 73 * DAY;
	s.failures = 1;
	s.retry_after = 2 * HOUR;
	assert_in_range(hf_schedule_next(&s, s.tried) - s.tried, 2 * HOUR, 2 * HOUR + 720);
	s.retry_after = INT64_MAX; /* but not for ever */
	assert_in_range(hf_schedule_next(&s, s.tried) - s.tried, DAY, DAY + DAY / 10);
}

static void a_clock_that_ran_backwards_does_not_block(void **state)
{
	struct hf_renew r = renewal(80, 0);
	struct hf_schedule s = schedule(&r);
	int64_t now = START + 73 * DAY;

	(void)state;
	s.failures = 3;
	s.tried = now + 3650LL * DAY;
	assert_true(hf_schedule_next(&s, now) <= now + 4 * DAY);
}

/* from, to, offset of local time; second of the day (UTC) when it is due; seconds until it acts. */
static void windows(void **state)
{
	static const struct {
		int64_t from, to, offset, second, wait;
	} rows[] = {
		{ 120, 240, 0, 3 * HOUR, 0 },
		{ 120, 240, 0, 2 * HOUR, 0 },
		{ 120, 240, 0, 4 * HOUR, 22 * HOUR },
		{ 120, 240, 0, HOUR, HOUR },
		{ 120, 240, HOUR, HOUR, 0 },
		{ 120, 240, 2 * HOUR, 3 * HOUR, 21 * HOUR },
		{ 120, 240, -5 * HOUR, 3 * HOUR, 4 * HOUR },
		{ 1380, 60, 0, 23 * HOUR + 1800, 0 }, /* over midnight */
		{ 1380, 60, 0, 1800, 0 },
		{ 1380, 60, 0, 12 * HOUR, 11 * HOUR },
		{ 0, 1440, 0, 12 * HOUR, 0 },
	};
	const int64_t midnight = 1799971200;
	size_t i;

	(void)state;
	assert_int_equal(midnight % DAY, 0);
	for (i = 0; i < HF_COUNT(rows); i++) {
		struct hf_renew r = renewal(0, 10 * DAY);
		struct hf_schedule s = schedule(&r);

		r.window.from_min = rows[i].from;
		r.window.to_min = rows[i].to;
		s.utc_offset = rows[i].offset;
		s.not_before = midnight;
		s.not_after = midnight + LIFE + rows[i].second;
		assert_int_equal(hf_schedule_next(&s, START),
				 midnight + 80 * DAY + rows[i].second + rows[i].wait);
	}
}

static void a_window_that_opens_too_late_is_not_waited_for(void **state)
{
	struct hf_renew r = renewal(0, HOUR);
	struct hf_schedule s = schedule(&r);

	(void)state;
	s.not_after = 1799971200 + LIFE + 12 * HOUR;
	r.window.from_min = 120;
	r.window.to_min = 240;
	assert_int_equal(hf_schedule_next(&s, START), s.not_after - HOUR);
	s.wanted = true; /* and somebody who asks for it does not wait either */
	assert_int_equal(hf_schedule_next(&s, START), START);
}

static void a_missing_certificate_hurries(void **state)
{
	struct hf_renew r = renewal(80, 0);
	struct hf_schedule s = { .renew = &r };
	int64_t last = 0;

	(void)state;
	assert_int_equal(hf_schedule_next(&s, START), START);
	s.tried = START;
	for (s.failures = 1; s.failures < 20; s.failures++) {
		int64_t wait = hf_schedule_next(&s, START) - START;

		assert_true(wait <= HOUR + HOUR / 10 && wait + wait / 5 >= last);
		last = wait;
	}
}

/* Whatever is configured, and whatever happened: it acts before the end, if it was on before. */
static void random_schedules(void **state)
{
	unsigned i;

	(void)state;
	srandom(1);
	for (i = 0; i < 200000; i++) {
		struct hf_renew r =
			renewal(random() % 2 ? random() % 99 + 1 : 0, random() % (200 * DAY) + 1);
		struct hf_schedule s = schedule(&r);
		int64_t now = START + random() % (100 * DAY), next;

		if (random() % 2) {
			r.window.from_min = random() % 1440;
			r.window.to_min = random() % 1441;
		}
		s.not_after = START + random() % (400LL * DAY) + 60;
		s.seed = (uint32_t)random();
		s.utc_offset = random() % DAY - DAY / 2;
		next = hf_schedule_next(&s, now);
		assert_true(next >= now);
		assert_true(next == now || next <= s.not_after);
		assert_true(next == now || next >= START);
	}
}

static void steps_of_the_clock(void **state)
{
	(void)state;
	assert_int_equal(hf_clock_step(1100, 1000, 600, 500), 0);
	assert_int_equal(hf_clock_step(5000, 1000, 600, 500), 3900);
	assert_int_equal(hf_clock_step(0, 1000, 600, 500), -1100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thresholds),
		cmocka_unit_test(disabled_means_disabled),
		cmocka_unit_test(jitter_spreads_and_is_bounded),
		cmocka_unit_test(short_lives_are_not_renewed_all_the_time),
		cmocka_unit_test(a_renewal_of_the_future_does_not_block),
		cmocka_unit_test(failures_are_retried_for_ever),
		cmocka_unit_test(local_failures_heal_soon),
		cmocka_unit_test(a_server_may_say_when),
		cmocka_unit_test(a_clock_that_ran_backwards_does_not_block),
		cmocka_unit_test(windows),
		cmocka_unit_test(a_window_that_opens_too_late_is_not_waited_for),
		cmocka_unit_test(a_missing_certificate_hurries),
		cmocka_unit_test(random_schedules),
		cmocka_unit_test(steps_of_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
