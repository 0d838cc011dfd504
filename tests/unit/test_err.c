/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: filled, prefixed, cut but never overrun; what goes to a log stays one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

static void fills_and_prefixes(void **state)
{
	struct hf_err e = HF_ERR_INIT;

	(void)state;
	assert_int_equal(hf_fail(&e, HF_CORRUPT, "line %d", 7), HF_CORRUPT);
	assert_int_equal(hf_within(&e, "key %s", "edge-ca"), HF_CORRUPT);
	assert_string_equal(e.msg, "key edge-ca: line 7");
	assert_int_equal(hf_fail(NULL, HF_BUSY, "%s", "x"), HF_BUSY);
	assert_int_equal(hf_within(NULL, "x"), HF_FAILED);
}

static void of_errno(void **state)
{
	struct hf_err e = HF_ERR_INIT;

	(void)state;
	errno = ENOENT;
	assert_int_equal(hf_fail_errno(&e, HF_IO, "%s", "/x"), HF_IO);
	assert_string_equal(e.msg, "/x: No such file or directory");
	assert_int_equal(errno, ENOENT);
	errno = ENOMEM;
	assert_int_equal(hf_fail_errno(&e, HF_IO, "x"), HF_NO_MEMORY);
	assert_int_equal(hf_fail_errno(NULL, HF_IO, "x"), HF_NO_MEMORY);
}

static void long_texts_are_cut(void **state)
{
	struct hf_err e = HF_ERR_INIT;
	char text[2000];
	int i;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(hf_fail(&e, HF_IO, "%s", text), HF_IO);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	errno = EIO;
	(void)hf_fail_errno(&e, HF_IO, "%s", text);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	(void)hf_fail(&e, HF_IO, "the end");
	for (i = 0; i < 300; i++)
		assert_int_equal(hf_within(&e, "layer"), HF_IO);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	assert_memory_equal(e.msg, "layer: layer: ", 14);
}

static void every_code_has_text_and_exit(void **state)
{
	int rc;

	(void)state;
	for (rc = 0; rc <= HF_IO; rc++) {
		assert_true(strlen(hf_rc_text((enum hf_rc)rc)) > 3);
		assert_in_range(hf_rc_exit((enum hf_rc)rc), rc ? 1 : 0, rc ? 4 : 0);
	}
	for (rc = -3; rc < 0; rc++)
		assert_string_equal(hf_rc_text((enum hf_rc)rc), "unknown error");
	assert_string_equal(hf_rc_text((enum hf_rc)(HF_IO + 1)), "unknown error");
	assert_int_equal(hf_rc_exit((enum hf_rc)9999), 1);
	assert_int_equal(hf_rc_exit(HF_NO_KEY), 3);
	assert_int_equal(hf_rc_exit(HF_UNAVAILABLE), 4);
	assert_int_equal(hf_rc_exit(HF_ARGUMENT), 2);
}

static void escapes(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *want;
	} rows[] = {
		{ "", 0, "" },
		{ "edge-ca", 7, "edge-ca" },
		{ "a\nb", 3, "a\\x0ab" },
		{ "a\0b", 3, "a\\x00b" },
		{ "\"\\", 2, "\\x22\\x5c" },
		{ "\x1b[2J\x7f\xff", 6, "\\x1b[2J\\x7f\\xff" },
	};
	char out[64], small[8];
	size_t i, size;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(hf_escape(out, sizeof(out), rows[i].text, rows[i].n), rows[i].want);
	for (size = 1; size <= sizeof(small); size++) {
		memset(small, 'z', sizeof(small));
		(void)hf_escape(small, size, "\n\n\n\n", 4);
		assert_true(strlen(small) < size);
	}
	(void)hf_escape(small, 0, "\n", 1);
}

/* What hf_log writes for a message of a client's making. */
static void logged(const char *message, char *line, size_t size)
{
	int ends[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe(ends), 0);
	assert_true(saved >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
	(void)close(ends[1]);
	errno = EXDEV;
	hf_log(HF_LOG_NOTICE, "%s", message);
	assert_int_equal(errno, EXDEV);
	hf_log(HF_LOG_DEBUG, "dropped");
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	(void)close(saved);
	n = read(ends[0], line, size - 1);
	(void)close(ends[0]);
	assert_true(n > 0);
	line[n] = '\0';
}

static void log_is_one_line(void **state)
{
	char line[8192], text[5000];
	size_t i;

	(void)state;
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
	hf_log_init("test", HF_LOG_INFO);
	logged("key edge\nforged: line", line, sizeof(line));
	assert_string_equal(line, "test: key edge\\x0aforged: line\n");
	for (i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)(i % 2 ? '\n' : 'a');
	text[sizeof(text) - 1] = '\0';
	logged(text, line, sizeof(line));
	assert_true(strlen(line) <= 4096);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	assert_int_equal(setenv("JOURNAL_STREAM", "1:2", 1), 0);
	hf_log_init("test", HF_LOG_INFO);
	logged("x", line, sizeof(line));
	assert_string_equal(line, "<5>test: x\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_and_prefixes), cmocka_unit_test(of_errno),
		cmocka_unit_test(long_texts_are_cut), cmocka_unit_test(every_code_has_text_and_exit),
		cmocka_unit_test(escapes), cmocka_unit_test(log_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
