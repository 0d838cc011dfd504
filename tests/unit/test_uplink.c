/* SPDX-License-Identifier: Apache-2.0 */
/* When a call is tried again: hf_uplink_again() is a pure function. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/uplink.h"

static const struct hf_uplink_try base = { .begun = 1000, .now = 1010, .deadline = 16000 };

static struct hf_uplink_try ended(enum hf_uplink_end end, enum hf_rc rc)
{
	struct hf_uplink_try t = base;

	t.end = end;
	t.rc = rc;
	return t;
}

static void a_loss_is_repeated_once(void **state)
{
	struct hf_uplink_try lost = ended(HF_UPLINK_LOST, HF_UNAVAILABLE);
	struct hf_uplink_try keeper = ended(HF_UPLINK_ANSWERED, HF_UNAVAILABLE);

	(void)state;
	assert_int_equal(hf_uplink_again(&lost), 0);
	assert_int_equal(hf_uplink_again(&keeper), 0);
	lost.repeated = keeper.repeated = 1;
	assert_int_equal(hf_uplink_again(&lost), -1);
	assert_int_equal(hf_uplink_again(&keeper), -1);
}

static void answers_are_final(void **state)
{
	static const enum hf_rc finals[] = { HF_FAILED,	 HF_ARGUMENT, HF_NO_KEY,  HF_DENIED,
					     HF_REFUSED, HF_TIMEOUT,  HF_LOCKOUT, HF_GONE };
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(finals); i++) {
		struct hf_uplink_try t = ended(HF_UPLINK_ANSWERED, finals[i]);

		assert_int_equal(hf_uplink_again(&t), -1);
	}
}

static void busy_is_waited_for_with_growing_pauses(void **state)
{
	struct hf_uplink_try t = ended(HF_UPLINK_ANSWERED, HF_BUSY);
	int pause, last = 0;

	(void)state;
	for (t.waited = 0; t.waited < 100; t.waited++) {
		pause = hf_uplink_again(&t);
		assert_true(pause >= last && pause <= 200);
		last = pause;
	}
	t.now = t.begun + HF_UPLINK_BUSY_MS;
	assert_int_equal(hf_uplink_again(&t), -1);
}

static void a_broker_that_was_there_may_come_back(void **state)
{
	struct hf_uplink_try t = ended(HF_UPLINK_NO_BROKER, HF_UNAVAILABLE);

	(void)state;
	assert_int_equal(hf_uplink_again(&t), -1); /* it never was there: say so at once */
	t.heal_until = t.now + 1;
	assert_true(hf_uplink_again(&t) > 0);
	t.rc = HF_DENIED;
	assert_int_equal(hf_uplink_again(&t), -1);
}

static void every_call_ends(void **state)
{
	struct hf_uplink_try t = ended(HF_UPLINK_LOST, HF_UNAVAILABLE);

	(void)state;
	t.now = t.deadline;
	assert_int_equal(hf_uplink_again(&t), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_loss_is_repeated_once),
		cmocka_unit_test(answers_are_final),
		cmocka_unit_test(busy_is_waited_for_with_growing_pauses),
		cmocka_unit_test(a_broker_that_was_there_may_come_back),
		cmocka_unit_test(every_call_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
