/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes: bounds hold, a bad buffer stays bad, hex is strict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void grows_up_to_its_limit(void **state)
{
	struct hf_buf b = HF_BUF(1000);
	size_t i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		uint8_t c = (uint8_t)i;

		hf_buf_add(&b, &c, 1);
		assert_false(b.bad);
		assert_int_equal(b.n, i + 1);
		assert_int_equal(b.p[b.n], 0);
	}
	for (i = 0; i < 1000; i++)
		assert_int_equal(b.p[i], (uint8_t)i);
	hf_buf_add(&b, "", 0);
	assert_false(b.bad);
	hf_buf_add(&b, "x", 1);
	assert_true(b.bad);
	assert_int_equal(b.n, 1000);
	hf_buf_finish(&b);
	hf_buf_finish(&b);
	hf_buf_finish(NULL);
	assert_null(b.p);
	assert_false(b.bad);
	hf_buf_str(&b, "again");
	assert_string_equal((char *)b.p, "again");
	hf_buf_finish(&b);
}

static void stays_bad(void **state)
{
	HF_AUTO_BUF b = HF_BUF(4);

	(void)state;
	hf_buf_str(&b, "12345");
	assert_true(b.bad);
	hf_buf_str(&b, "1");
	assert_true(b.bad);
	assert_int_equal(b.n, 0);
}

static void length_does_not_overflow(void **state)
{
	HF_AUTO_BUF b = HF_BUF(SIZE_MAX);

	(void)state;
	hf_buf_str(&b, "1");
	b.max = 16;
	hf_buf_add(&b, "", SIZE_MAX); /* n + SIZE_MAX is 0: never read */
	assert_true(b.bad);
}

static void formats(void **state)
{
	HF_AUTO_BUF b = HF_BUF(8);

	(void)state;
	hf_buf_fmt(&b, "%d-%s", 12, "ab");
	assert_string_equal((char *)b.p, "12-ab");
	hf_buf_fmt(&b, "%s", "xyz");
	assert_string_equal((char *)b.p, "12-abxyz");
	hf_buf_fmt(&b, "%s", "");
	assert_false(b.bad);
	hf_buf_fmt(&b, "%c", '!');
	assert_true(b.bad);
	assert_int_equal(b.n, 8);
}

static void hex(void **state)
{
	static const char *const wrong[] = { "", "0", "000", "0g", "g0", " 0", "00 ", "0x", "+1", "\xc3\xa4" };
	uint8_t bytes[256], back[256];
	char text[513];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	assert_ptr_equal(hf_hex(text, sizeof(text), bytes, sizeof(bytes)), text);
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102", 6);
	assert_memory_equal(text + 506, "fdfeff", 7);
	assert_true(hf_unhex(back, sizeof(back), text));
	assert_memory_equal(back, bytes, sizeof(bytes));
	assert_true(hf_unhex(back, 2, "aBFf"));
	assert_memory_equal(back, "\xab\xff", 2);
	assert_true(hf_unhex(back, 0, ""));
	assert_string_equal(hf_hex(text, sizeof(text) - 1, bytes, sizeof(bytes)), "");
	assert_string_equal(hf_hex(text, 1, bytes, 0), "");
	text[0] = 'x';
	(void)hf_hex(text, 0, bytes, 0);
	assert_int_equal(text[0], 'x');
	for (i = 0; i < HF_COUNT(wrong); i++)
		assert_false(hf_unhex(back, 1, wrong[i]));
}

static void compares(void **state)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 };
	unsigned bit;

	(void)state;
	assert_true(hf_mem_equal(a, b, sizeof(a)));
	for (bit = 0; bit < 8 * sizeof(a); bit++) {
		a[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(hf_mem_equal(a, b, sizeof(a)));
		assert_true(hf_mem_equal(a, b, bit / 8));
		a[bit / 8] = 0;
	}
}

static void copies(void **state)
{
	char out[4] = "old";

	(void)state;
	assert_true(hf_copy(out, sizeof(out), "abc"));
	assert_string_equal(out, "abc");
	assert_false(hf_copy(out, sizeof(out), "abcd"));
	assert_string_equal(out, "");
	assert_true(hf_copy(out, 1, ""));
	assert_false(hf_copy(out, 0, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_up_to_its_limit), cmocka_unit_test(stays_bad),
		cmocka_unit_test(length_does_not_overflow), cmocka_unit_test(formats),
		cmocka_unit_test(hex), cmocka_unit_test(compares), cmocka_unit_test(copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
