/* SPDX-License-Identifier: Apache-2.0 */
/* Values written as text, near words, paths, and what merging does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "conf/nearest.h"
#include "conf/node.h"
#include "conf/paths.h"
#include "conf/value.h"

static void durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {
		{ "0s", 0 },
		{ "1500ms", 1500 },
		{ "10s", 10000 },
		{ "5min", 300000 },
		{ "24h", 86400000 },
		{ "7d", 604800000 },
		{ "3650d", 315360000000 },
		{ "007s", 7000 },
	};
	static const char *const bad[] = {
		"",
		"s",
		"10",
		"10 s",
		" 10s",
		"-1s",
		"+1s",
		"1.5s",
		"10m",
		"10S",
		"10ss",
		"3651d",
		"18446744073709551616s",
		"99999999999999999999999ms",
		"1s\n",
		"0x10s",
	};
	uint64_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(good); i++) {
		assert_true(hf_value_duration(good[i].text, &ms));
		assert_int_equal(ms, good[i].ms);
	}
	for (i = 0; i < HF_COUNT(bad); i++)
		assert_false(hf_value_duration(bad[i], &ms));
}

static void modes(void **state)
{
	static const char *const bad[] = { "",	   "0",	    "660",  "066", "00660",
					   "0668", "0o660", "1660", "06 0" };
	unsigned mode;
	size_t i;

	(void)state;
	assert_true(hf_value_mode("0660", &mode));
	assert_int_equal(mode, 0660);
	assert_true(hf_value_mode("0000", &mode));
	assert_int_equal(mode, 0);
	for (i = 0; i < HF_COUNT(bad); i++)
		assert_false(hf_value_mode(bad[i], &mode));
}

static void renewals(void **state)
{
	static const struct {
		const char *text;
		unsigned percent;
		uint64_t seconds;
	} good[] = {
		{ "1%", 1, 0 },		{ "99%", 99, 0 },	{ "10d", 0, 864000 },
		{ "10day", 0, 864000 }, { "4days", 0, 345600 }, { "12h", 0, 43200 },
		{ "90min", 0, 5400 },
	};
	static const char *const bad[] = { "",	  "%",	"0%",	 "100%", "0d",	 "-5%",
					   "5 %", "10", "1year", "10m",	 "80%%", "99999999999d" };
	unsigned percent;
	uint64_t seconds;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(good); i++) {
		assert_true(hf_value_renewal(good[i].text, &percent, &seconds));
		assert_int_equal(percent, good[i].percent);
		assert_int_equal(seconds, good[i].seconds);
	}
	for (i = 0; i < HF_COUNT(bad); i++)
		assert_false(hf_value_renewal(bad[i], &percent, &seconds));
}

static void names(void **state)
{
	char longest[65];

	(void)state;
	memset(longest, 'a', 64);
	longest[64] = '\0';
	assert_false(hf_value_name(longest));
	assert_true(hf_value_name(longest + 1));
	assert_true(hf_value_name("edge-ca_1.2"));
	assert_false(hf_value_name(""));
	assert_false(hf_value_name("-a"));
	assert_false(hf_value_name("a/b"));
	assert_false(hf_value_name("a*"));
	assert_false(hf_value_name("\xc3\xa4"));
	assert_true(hf_value_pattern("*"));
	assert_true(hf_value_pattern("est-*-?"));
	assert_false(hf_value_pattern(""));
	assert_false(hf_value_pattern("a b"));
}

static void near_words(void **state)
{
	struct hf_nearest n;

	(void)state;
	assert_int_equal(hf_nearest_distance("token", "token"), 0);
	assert_int_equal(hf_nearest_distance("tokne", "token"), 1); /* neighbours swapped */
	assert_int_equal(hf_nearest_distance("", "abc"), 3);
	assert_int_equal(hf_nearest_distance("kitten", "sitting"), 3);
	hf_nearest_init(&n, "thresold");
	hf_nearest_try(&n, "retry");
	assert_null(n.best);
	hf_nearest_try(&n, "threshold");
	hf_nearest_try(&n, "rotate_key");
	assert_string_equal(n.best, "threshold");
	hf_nearest_init(&n, "xyz");
	hf_nearest_try(&n, "uid");
	assert_null(n.best);
}

static void far_longer_words(void **state)
{
	char word[400];
	struct hf_nearest n;

	(void)state;
	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	hf_nearest_init(&n, word);
	hf_nearest_try(&n, "aaaa");
	assert_null(n.best);
	hf_nearest_init(&n, "aaaa");
	hf_nearest_try(&n, word);
	assert_null(n.best);
}

static void places(void **state)
{
	char root[HF_PATH_MAX];
	struct hf_err e = HF_ERR_INIT;
	struct hf_paths p;

	(void)state;
	assert_int_equal(hf_paths_init(&p, NULL, &e), HF_OK);
	assert_true(p.system);
	assert_string_equal(p.config, "/etc/aziot/config.toml");
	assert_string_equal(p.daemon_file, "/etc/holdfast/holdfastd.json");
	assert_int_equal(hf_paths_init(&p, "/x", &e), HF_OK);
	assert_false(p.system);
	assert_string_equal(p.config_dir, "/x/etc/config.d");
	assert_string_equal(p.daemon_file, "/x/etc/holdfastd.json");
	assert_string_equal(p.socket, "/x/run/holdfast.sock");
	assert_int_equal(hf_paths_init(&p, "x", &e), HF_ARGUMENT);
	memset(root, '/', sizeof(root));
	root[sizeof(root) - 1] = '\0';
	assert_int_equal(hf_paths_init(&p, root, &e), HF_ARGUMENT);
}

static struct hf_node *text(const char *key, const char *value, const char *file, unsigned line)
{
	return hf_node_new(HF_NODE_STRING, key, value, file, line);
}

/* As the original merges drop-ins: tables merge, arrays concatenate, scalars replace. */
static void merging(void **state)
{
	struct hf_node *a = hf_node_new(HF_NODE_TABLE, NULL, NULL, "a", 1);
	struct hf_node *b = hf_node_new(HF_NODE_TABLE, NULL, NULL, "b", 1);
	struct hf_node *table, *list;
	const struct hf_node *n;

	(void)state;
	hf_node_add(a, text("hostname", "old", "a", 1));
	table = hf_node_new(HF_NODE_TABLE, "limits", NULL, "a", 2);
	hf_node_add(table, text("one", "1", "a", 3));
	hf_node_add(table, text("two", "2", "a", 4));
	hf_node_add(a, table);
	list = hf_node_new(HF_NODE_ARRAY, "list", NULL, "a", 5);
	hf_node_add(list, text(NULL, "x", "a", 5));
	hf_node_add(a, list);

	list = hf_node_new(HF_NODE_ARRAY, "list", NULL, "b", 1);
	hf_node_add(list, text(NULL, "y", "b", 1));
	hf_node_add(b, list);
	table = hf_node_new(HF_NODE_TABLE, "limits", NULL, "b", 2);
	hf_node_add(table, text("two", "zwei", "b", 3));
	hf_node_add(b, table);
	hf_node_add(b, text("hostname", "new", "b", 4));
	hf_node_add(b, text("fresh", "f", "b", 5));

	hf_node_merge(a, b);
	n = hf_node_get(a, "hostname");
	assert_string_equal(n->text, "new");
	assert_string_equal(n->file, "b");
	assert_string_equal(hf_node_get(hf_node_get(a, "limits"), "one")->text, "1");
	assert_string_equal(hf_node_get(hf_node_get(a, "limits"), "two")->text, "zwei");
	assert_string_equal(hf_node_get(a, "list")->children->text, "x");
	assert_string_equal(hf_node_get(a, "list")->children->next->text, "y");
	assert_string_equal(hf_node_get(a, "fresh")->text, "f");
	assert_null(hf_node_get(a, "nothing"));
	assert_null(hf_node_get(NULL, "nothing"));
	hf_node_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),  cmocka_unit_test(modes),
		cmocka_unit_test(renewals),   cmocka_unit_test(names),
		cmocka_unit_test(near_words), cmocka_unit_test(far_longer_words),
		cmocka_unit_test(places),     cmocka_unit_test(merging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
