/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent remembers on the disk, damaged in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/record.h"
#include "base/log.h"

static char dir[] = "/tmp/hf-record.XXXXXX";

static struct hf_record full(void)
{
	struct hf_record r;

	hf_record_init(&r);
	memset(r.transaction, 'a', 32);
	memset(r.staged, 'b', 64);
	memset(r.settings, 'c', 64);
	memset(r.hook_old, 'd', 64);
	r.hook_due = r.wanted = true;
	r.tried = r.last = 1800000000;
	r.failures = 7;
	r.failed = 12;
	r.renewals = 3;
	(void)hf_copy(r.result, sizeof(r.result), "network");
	(void)hf_copy(r.message, sizeof(r.message),
		      "a \"message\"\n with \\ what JSON escapes \x01");
	return r;
}

static char *path_of(char *out, size_t size)
{
	(void)snprintf(out, size, "%s/id.json", dir);
	return out;
}

static size_t read_it(char *out, size_t size)
{
	char path[64];
	FILE *f = fopen(path_of(path, sizeof(path)), "r");
	size_t n;

	assert_non_null(f);
	n = fread(out, 1, size, f);
	(void)fclose(f);
	return n;
}

static void write_it(const char *p, size_t n)
{
	char path[64];
	FILE *f = fopen(path_of(path, sizeof(path)), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	(void)fclose(f);
}

static void comes_back_as_it_was(void **state)
{
	struct hf_record r = full(), back;

	(void)state;
	assert_int_equal(hf_record_save(&r, dir, "id", NULL), HF_OK);
	hf_record_load(&back, dir, "id");
	assert_memory_equal(&r.failures, &back.failures, sizeof(r.failures));
	assert_string_equal(r.message, back.message);
	assert_string_equal(r.staged, back.staged);
	assert_true(back.wanted && back.hook_due && !back.rotate);
	assert_int_equal(back.tried, r.tried);
}

/* As the first version wrote it: an update forgets neither a pending request nor a failure. */
static void of_an_older_version(void **state)
{
	static const char old[] = "{\"version\":1,\"transaction\":\"aa\",\"staged\":\"bb\","
				  "\"wanted\":true,\"tried\":1800000000,\"failures\":7}";
	static const char none[] = "{\"transaction\":\"aa\"}";
	struct hf_record r;
	char path[80];

	(void)state;
	write_it(old, sizeof(old) - 1);
	hf_record_load(&r, dir, "id");
	assert_string_equal(r.transaction, "aa");
	assert_string_equal(r.staged, "bb");
	assert_true(r.wanted && !r.rotate && !r.hook_due);
	assert_int_equal(r.failures, 7);
	assert_int_equal(r.renewals, 0);
	assert_string_equal(r.hook_result, "");
	(void)snprintf(path, sizeof(path), "%s/id.json.damaged", dir);
	assert_int_not_equal(access(path, F_OK), 0);
	write_it(none, sizeof(none) - 1); /* but of what version it is has to be said */
	hf_record_load(&r, dir, "id");
	assert_string_equal(r.transaction, "");
	assert_int_equal(unlink(path), 0);
}

static void missing_is_empty(void **state)
{
	struct hf_record r;

	(void)state;
	hf_record_load(&r, dir, "nothing");
	assert_int_equal(r.version, 1);
	assert_string_equal(r.staged, "");
}

/* Each bit of each byte: a record that is one, or an empty one and the file set aside. */
static void every_bit_flipped(void **state)
{
	struct hf_record r = full();
	static char text[4096], bad[4096];
	size_t n, i, aside = 0;
	unsigned bit;
	char path[80];

	(void)state;
	assert_int_equal(hf_record_save(&r, dir, "id", NULL), HF_OK);
	n = read_it(text, sizeof(text));
	assert_in_range(n, 300, 2000);
	for (i = 0; i < n; i++)
		for (bit = 0; bit < 8; bit++) {
			struct hf_record back;

			memcpy(bad, text, n);
			bad[i] = (char)(bad[i] ^ (1 << bit));
			write_it(bad, n);
			hf_record_load(&back, dir, "id");
			assert_int_equal(back.version, 1);
			assert_true(strlen(back.staged) <= 64 && strlen(back.transaction) <= 32);
			assert_true(strlen(back.message) < sizeof(back.message));
			assert_true(back.failures >= 0 && back.tried >= 0);
			(void)snprintf(path, sizeof(path), "%s/id.json.damaged", dir);
			aside += !unlink(path);
		}
	assert_true(aside > n); /* most of them are seen */
}

static void every_length(void **state)
{
	struct hf_record r = full(), back;
	static char text[4096];
	size_t n, i;
	char path[80];

	(void)state;
	assert_int_equal(hf_record_save(&r, dir, "id", NULL), HF_OK);
	n = read_it(text, sizeof(text));
	for (i = 0; i < n; i++) {
		write_it(text, i);
		hf_record_load(&back, dir, "id");
		assert_string_equal(back.staged, "");
		(void)snprintf(path, sizeof(path), "%s/id.json.damaged", dir);
		assert_int_equal(unlink(path), 0);
	}
}

static int begin(void **state)
{
	(void)state;
	hf_log_init("test", (enum hf_log_level)0);
	return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
	char path[80];

	(void)state;
	(void)unlink(path_of(path, sizeof(path)));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back_as_it_was), cmocka_unit_test(of_an_older_version),
		cmocka_unit_test(missing_is_empty),	cmocka_unit_test(every_bit_flipped),
		cmocka_unit_test(every_length),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
