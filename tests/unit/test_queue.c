/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "broker/queue.h"

static void first_in_first_out(void **state)
{
	struct hf_queue q = { 0 };
	struct hf_flow f = { 0 };
	struct hf_item items[5] = { { .cost = 1 }, { .cost = 9 }, { .cost = 1 }, { .cost = 0 }, { .cost = 1 } };
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++)
		hf_queue_push(&q, &f, &items[i]);
	assert_int_equal(q.n, 5);
	for (i = 0; i < 5; i++)
		assert_ptr_equal(hf_queue_pop(&q, NULL), &items[i]);
	assert_null(hf_queue_pop(&q, NULL));
	assert_int_equal(q.n, 0);
}

/* A flood of 1000 and somebody with one request: at most one of the flood goes first. */
static void flood_waits_behind_itself(void **state)
{
	static struct hf_item flood[1000];
	struct hf_queue q = { 0 };
	struct hf_flow noisy = { 0 }, quiet = { 0 };
	struct hf_item one = { .cost = 1 };
	size_t i, before = 0;

	(void)state;
	for (i = 0; i < HF_COUNT(flood); i++) {
		flood[i].cost = 5;
		hf_queue_push(&q, &noisy, &flood[i]);
	}
	for (i = 0; i < 10; i++)
		assert_non_null(hf_queue_pop(&q, NULL));
	hf_queue_push(&q, &quiet, &one);
	while (hf_queue_pop(&q, NULL) != &one)
		before++;
	assert_true(before <= 1);
}

/* A token whose every command takes 1, with 2 of them at its keeper at a time, as the broker has it:
 * 8 floods that have @depth requests waiting at any time, and a client who asks every 12 and a bit. He
 * waits for the two at the keeper and is served: 3 at most, where 4 are promised (3 times his 1 alone,
 * and the longest command). */
static double longest_wait(size_t depth)
{
	static struct hf_item items[8 * 16], mine;
	struct hf_queue q = { 0 };
	struct hf_flow floods[8] = { { 0 } }, quiet = { 0 };
	struct hf_item *keeper[2] = { NULL, NULL };
	double now = 0, next = 12, asked = 0, longest = 0;
	unsigned seed = 3;
	size_t i, served;

	for (i = 0; i < 8 * depth; i++) {
		items[i].cost = mine.cost = 1;
		hf_queue_push(&q, &floods[i % 8], &items[i]);
	}
	hf_queue_push(&q, &quiet, &mine); /* he is no newcomer */
	while (hf_queue_pop(&q, NULL) != &mine)
		;
	for (i = 0; i < 8 * depth; i++)
		if (!items[i].flow)
			hf_queue_push(&q, &floods[i % 8], &items[i]);
	keeper[0] = hf_queue_pop(&q, NULL);
	keeper[1] = hf_queue_pop(&q, NULL);
	for (served = 0; served < 1000;) {
		struct hf_item *done = keeper[0];

		now += 1;
		if (next < now) {
			asked = next;
			hf_queue_push(&q, &quiet, &mine);
			next += 12 + rand_r(&seed) % 100 / 100.0;
		}
		keeper[0] = keeper[1];
		keeper[1] = hf_queue_pop(&q, NULL);
		if (done != &mine) { /* its owner asks again at once */
			hf_queue_push(&q, &floods[(size_t)(done - items) % 8], done);
			continue;
		}
		longest = now - asked > longest ? now - asked : longest;
		served++;
	}
	return longest;
}

static void eight_floods_and_a_sparse_flow(void **state)
{
	(void)state;
	assert_true(longest_wait(16) <= 3);
	assert_true(longest_wait(1) <= 3); /* each asks when it has its answer */
}

/* What somebody used while nobody else wanted anything is no debt to those who come. */
static void alone_is_free(void **state)
{
	struct hf_item mine = { .cost = 1 }, theirs[8 * 4];
	struct hf_queue q = { 0 };
	struct hf_flow quiet = { 0 }, floods[8] = { { 0 } };
	size_t i, before = 0;

	(void)state;
	for (i = 0; i < 40; i++) {
		hf_queue_push(&q, &quiet, &mine);
		assert_ptr_equal(hf_queue_pop(&q, NULL), &mine);
	}
	for (i = 0; i < HF_COUNT(theirs); i++) {
		theirs[i].cost = 1;
		hf_queue_push(&q, &floods[i % 8], &theirs[i]);
	}
	for (i = 0; i < 3; i++)
		(void)hf_queue_pop(&q, NULL);
	hf_queue_push(&q, &quiet, &mine);
	while (hf_queue_pop(&q, NULL) != &mine)
		before++;
	assert_int_equal(before, 0);
}

static bool cheap(const struct hf_item *i)
{
	return i->cost < 5;
}

/* A flow whose first may not go yet keeps its place; the others go on. */
static void held(void **state)
{
	struct hf_item dear = { .cost = 5 }, behind = { .cost = 1 }, other[2] = { { .cost = 1 }, { .cost = 1 } };
	struct hf_queue q = { 0 };
	struct hf_flow one = { 0 }, two = { 0 };

	(void)state;
	hf_queue_push(&q, &one, &dear);
	hf_queue_push(&q, &one, &behind);
	hf_queue_push(&q, &two, &other[0]);
	hf_queue_push(&q, &two, &other[1]);
	assert_ptr_equal(hf_queue_pop(&q, cheap), &other[0]);
	assert_ptr_equal(hf_queue_pop(&q, cheap), &other[1]);
	assert_null(hf_queue_pop(&q, cheap));
	assert_int_equal(q.n, 2);
	assert_ptr_equal(hf_queue_pop(&q, NULL), &dear);
	assert_ptr_equal(hf_queue_pop(&q, cheap), &behind);
}

/* Over a long run, cost is what is shared: RSA at 5 gets a fifth of the turns of P-256 at 1. */
static void cost_is_shared(void **state)
{
	struct hf_queue q = { 0 };
	struct hf_flow flows[3] = { { 0 } };
	static const unsigned costs[3] = { 1, 5, 1 };
	static struct hf_item items[3][600];
	size_t served[3] = { 0 }, f, i;

	(void)state;
	for (i = 0; i < 600; i++)
		for (f = 0; f < 3; f++) {
			items[f][i].cost = costs[f];
			hf_queue_push(&q, &flows[f], &items[f][i]);
		}
	for (i = 0; i < 550; i++) {
		struct hf_item *got = hf_queue_pop(&q, NULL);

		for (f = 0; f < 3; f++)
			served[f] += got >= items[f] && got < items[f] + 600;
	}
	assert_in_range(served[0], 245, 255);
	assert_in_range(served[1], 45, 55);
	assert_in_range(served[2], 245, 255);
}

static void idle_time_is_not_saved(void **state)
{
	struct hf_queue q = { 0 };
	struct hf_flow busy = { 0 }, late = { 0 };
	static struct hf_item items[100], more[100];
	size_t i, run = 0;

	(void)state;
	for (i = 0; i < 100; i++) {
		items[i].cost = more[i].cost = 1;
		hf_queue_push(&q, &busy, &items[i]);
	}
	for (i = 0; i < 50; i++)
		(void)hf_queue_pop(&q, NULL);
	for (i = 0; i < 100; i++)
		hf_queue_push(&q, &late, &more[i]);
	for (i = 0; i < 20; i++) {
		struct hf_item *got = hf_queue_pop(&q, NULL);

		run = got >= more && got < more + 100 ? run + 1 : 0;
		assert_true(run <= 2);
	}
}

/* Random pushes, pops and drops: nothing is lost, nothing comes twice, counts agree. */
static void nothing_is_lost(void **state)
{
	struct hf_queue q = { 0 };
	struct hf_flow flows[4] = { { 0 } };
	static struct hf_item items[20000];
	static int where[20000]; /* 0 outside, 1 + flow inside */
	size_t i, inside = 0, next = 0;
	unsigned seed = 7;

	(void)state;
	for (i = 0; i < 60000; i++) {
		int what = rand_r(&seed) % 5;

		if (what < 2 && next < HF_COUNT(items)) {
			int f = rand_r(&seed) % 4;

			items[next].cost = (unsigned)(rand_r(&seed) % 30);
			where[next] = 1 + f;
			hf_queue_push(&q, &flows[f], &items[next++]);
			inside++;
		} else if (what < 4) {
			struct hf_item *got = hf_queue_pop(&q, NULL);

			assert_int_equal(got == NULL, inside == 0);
			if (got) {
				assert_true(where[got - items] > 0);
				where[got - items] = 0;
				inside--;
			}
		} else if (next) {
			size_t k = (size_t)rand_r(&seed) % next;

			if (where[k]) {
				assert_true(hf_queue_drop(&q, &items[k]));
				where[k] = 0;
				inside--;
			} else {
				assert_false(hf_queue_drop(&q, &items[k]));
			}
		}
		assert_int_equal(q.n, inside);
	}
	while (hf_queue_pop(&q, NULL))
		inside--;
	assert_int_equal(inside, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_in_first_out),  cmocka_unit_test(flood_waits_behind_itself),
		cmocka_unit_test(cost_is_shared),      cmocka_unit_test(idle_time_is_not_saved),
		cmocka_unit_test(nothing_is_lost),     cmocka_unit_test(eight_floods_and_a_sparse_flow),
		cmocka_unit_test(held),                cmocka_unit_test(alone_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
