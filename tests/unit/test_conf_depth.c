/* SPDX-License-Identifier: Apache-2.0 */
/* Counting the parts of keys, among strings and comments that have dots as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "conf/depth.h"
#include "conf/node.h"
#include "conf/problem.h"
#include "conf/toml.h"

#define TEN	 "a.a.a.a.a.a.a.a.a.a."
#define DEEPEST	 TEN TEN TEN "a.a" /* 32 parts */
#define TOO_DEEP DEEPEST ".a"
#define DOTS	 "................................................................"

static const struct {
	const char *text;
	unsigned line;
} rows[] = {
	{ "", 0 },
	{ DEEPEST " = 1", 0 },
	{ TOO_DEEP " = 1", 1 },
	{ "[" DEEPEST "]\n" DEEPEST " = 1", 0 },
	{ "\n\n[" TOO_DEEP "]", 3 },
	{ "[[" TOO_DEEP "]]", 1 },
	{ "x = { " TOO_DEEP " = 1 }", 1 },
	{ "x = { y = 1, " TOO_DEEP " = 1 }", 1 },
	{ "x = { " DEEPEST " = 1, " DEEPEST " = 2 }", 0 },
	{ "x = \"" DOTS "\"", 0 },
	{ "x = '" DOTS "'", 0 },
	{ "x = \"\\\"" DOTS "\"", 0 },
	{ "x = '\\'\n" TOO_DEEP " = 1", 2 }, /* no escapes in this kind */
	{ "x = \"\\\\\"\n" TOO_DEEP " = 1", 2 },
	{ "x = \"\"\"\n" DOTS "\n\"\" \\\"\"\" \"\"\"\n" TOO_DEEP " = 1", 4 },
	{ "x = \"\"\"\n" DOTS "\"\"\"\"\"\n" TOO_DEEP " = 1", 3 },
	{ "x = '''\n" DOTS "\n'''\n" TOO_DEEP " = 1", 4 },
	{ "x = \"\"\n" TOO_DEEP " = 1", 2 },
	{ "# " DOTS "\nx = 1 # it's \" " DOTS "\n" TOO_DEEP " = 1", 3 },
	{ "\"" DOTS "\".b = 1", 0 },
	{ "'" DOTS "'.\"a\" . " TOO_DEEP " = 1", 1 },
	{ "x = [1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, "
	  "1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5]",
	  0 },
	{ "x = \"never ends " DOTS "\n" TOO_DEEP " = 1", 2 },
	{ "x = '''never ends " DOTS "\n" TOO_DEEP " = 1", 0 },
	{ "x = \"\\", 0 },
};

/* Each text also without its end, in a block of its own size: ASan sees a read beyond it. */
static void parts_are_counted(void **state)
{
	size_t i, n;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		size_t len = strlen(rows[i].text);
		unsigned line = hf_depth_check(rows[i].text, len);

		if (line != rows[i].line)
			fail_msg("row %zu: line %u, want %u", i, line, rows[i].line);
		for (n = 0; n < len; n++) {
			char *part = malloc(n + 1);

			assert_non_null(part);
			memcpy(part, rows[i].text, n);
			line = hf_depth_check(part, n);
			assert_true(line == 0 || line == rows[i].line);
			free(part);
		}
	}
}

/* @unit, 1 MiB of it: more than the stack could take, if a table became of each. */
static void refuse(const char *start, const char *unit, const char *want)
{
	HF_AUTO_BUF text = HF_BUF(1u << 20);
	struct hf_problems p;

	memset(&p, 0, sizeof(p));
	hf_buf_str(&text, start);
	while (text.n + strlen(unit) <= text.max)
		hf_buf_str(&text, unit);
	assert_false(text.bad);
	assert_null(hf_toml_parse((const char *)text.p, text.n, "f", &p));
	assert_int_equal(p.errors, 1);
	assert_int_equal(p.list[0].line, 1);
	if (!strstr(p.list[0].text, want))
		fail_msg("'%s' does not say '%s'", p.list[0].text, want);
}

static void deep_keys_are_refused(void **state)
{
	(void)state;
	refuse("", "a.", "more than 32 parts");
	refuse("[", "a.", "more than 32 parts");
	refuse("[[", "'a'.", "more than 32 parts");
	refuse("x = {", " \"a\" .\t", "more than 32 parts");
}

/* As deep as toml++ and the count of dots let through together: 200 * 32. */
static void deep_values_are_refused(void **state)
{
	HF_AUTO_BUF text = HF_BUF(1u << 20);
	struct hf_problems p;
	int i;

	(void)state;
	memset(&p, 0, sizeof(p));
	hf_buf_str(&text, DEEPEST " = ");
	for (i = 0; i < 200; i++)
		hf_buf_str(&text, "{ " DEEPEST " = ");
	hf_buf_str(&text, "1");
	for (i = 0; i < 200; i++)
		hf_buf_str(&text, " }");
	assert_null(hf_toml_parse((const char *)text.p, text.n, "f", &p));
	assert_non_null(strstr(p.list[0].text, "too deeply"));
}

static void what_is_deep_enough_is_taken(void **state)
{
	static const char text[] = DEEPEST " = [[[[1]]]]";
	struct hf_problems p;
	struct hf_node *root;
	const struct hf_node *n;
	int depth = 0;

	(void)state;
	memset(&p, 0, sizeof(p));
	root = hf_toml_parse(text, strlen(text), "f", &p);
	assert_non_null(root);
	for (n = root->children; n->kind == HF_NODE_TABLE || n->kind == HF_NODE_ARRAY;
	     n = n->children)
		depth++;
	assert_int_equal(depth, 31 + 4);
	assert_int_equal(n->number, 1);
	hf_node_free(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_counted),
		cmocka_unit_test(deep_keys_are_refused),
		cmocka_unit_test(deep_values_are_refused),
		cmocka_unit_test(what_is_deep_enough_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
