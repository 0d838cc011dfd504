/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy against an evaluator that was written independently: who gives it, by which pattern,
 * over every cell of a matrix, under many sets of grants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/glob.h"
#include "broker/policy.h"

static void globs(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool match;
	} rows[] = {
		{ "*", "", true },           { "*", "edge-ca", true },      { "", "", true },
		{ "", "a", false },          { "edge-ca", "edge-ca", true }, { "edge-ca", "edge-cb", false },
		{ "edge-*", "edge-", true }, { "edge-*", "edge", false },   { "?", "a", true },
		{ "?", "", false },          { "?", "ab", false },          { "a*b*c", "axxbyyc", true },
		{ "a*b*c", "axxbyy", false }, { "*a", "bbba", true },       { "*a", "bbbab", false },
		{ "[a]", "a", false },       { "[a]", "[a]", true },        { "\\*", "*", false },
		{ "*.*", "a.b", true },      { "**", "x", true },           { "a?c*", "abcdef", true },
		{ "a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++)
		assert_int_equal(hf_glob(rows[i].pattern, rows[i].text), rows[i].match);
}

/* The independent evaluator: one cell, spelt out, its own recursive matcher. */
static bool matches(const char *p, const char *t)
{
	if (*p == '*')
		return matches(p + 1, t) || (*t && matches(p, t + 1));
	if (!*p || !*t)
		return *p == *t;
	return (*p == '?' || *p == *t) && matches(p + 1, t + 1);
}

static bool is_his(const struct hf_grant *g, const struct hf_principal *w)
{
	bool user = g->uid == (int64_t)w->uid, group = false, anybody = g->uid == -1 && g->gid == -1;
	bool nameless = w->uid == 65534 || w->uid == UINT32_MAX; /* the kernel's nobody, and none */
	size_t i;

	for (i = 0; i < w->n_groups; i++)
		group |= g->gid == (int64_t)w->groups[i] && g->gid != 65534;
	return !nameless && !anybody && (user || g->uid == -1) && (group || g->gid == -1) &&
	       (!*g->socket || !strcmp(g->socket, w->socket));
}

static bool is_for(const struct hf_grant *g, const char *scheme)
{
	bool fits = !scheme || !*scheme || !g->n_schemes;
	size_t i;

	for (i = 0; i < g->n_schemes; i++)
		fits |= scheme && matches(g->schemes[i], scheme);
	return fits;
}

/* Backwards, so that what is left is the first: the grant's index, -1 if there is none. */
static long expected(const struct hf_settings *s, const struct hf_principal *w, const char *key,
		     unsigned right, const char *scheme, const char **pattern)
{
	long i, k, found = -1;

	for (i = (long)s->n_grants - 1; i >= 0; i--) {
		const struct hf_grant *g = &s->grants[i];

		for (k = (long)g->n_keys - 1; k >= 0; k--)
			if (is_his(g, w) && is_for(g, scheme) && (g->rights & right) &&
			    matches(g->keys[k], key)) {
				found = i;
				*pattern = g->keys[k];
			}
	}
	return found;
}

#define GRANTS 5
#define KEYS   3
#define SETS   150

static uint32_t seed = 1;

static size_t below(size_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

#define ONE_OF(list) ((list)[below(HF_COUNT(list))])

/* As many grants as below(), each with something out of everything. */
static void deal(struct hf_settings *s, char names[GRANTS][KEYS][HF_NAME_SIZE])
{
	static const char *const keys[] = { "*", "edge-*", "x?", "edge-ca", "*-ca", "z", "?*" };
	static const char *const schemes[] = { "ecdsa-*", "rsa-pss-sha256", "*", "ecd?", "rsa-*" };
	static const char *const sockets[] = { "", "main", "mod" };
	static const int64_t uids[] = { -1, 0, 1000, 1000, 65534 }, gids[] = { -1, -1, 0, 7, 65534 };
	size_t i, k;

	s->n_grants = below(GRANTS + 1);
	for (i = 0; i < s->n_grants; i++) {
		struct hf_grant *g = &s->grants[i];

		*g = (struct hf_grant){ .uid = ONE_OF(uids), .gid = ONE_OF(gids), .keys = names[i],
					.n_keys = 1 + below(KEYS), .n_schemes = below(3),
					.rights = (unsigned)(below(512) | below(512)) };
		assert_true(hf_copy(g->socket, sizeof(g->socket), ONE_OF(sockets)));
		for (k = 0; k < g->n_keys; k++)
			assert_true(hf_copy(names[i][k], sizeof(names[i][k]), ONE_OF(keys)));
		for (k = 0; k < g->n_schemes; k++)
			assert_true(hf_copy(g->schemes[k], sizeof(g->schemes[k]), ONE_OF(schemes)));
	}
}

/* What the cells have said: how often by which grant, by which of its patterns; never by any. */
static size_t by_grant[GRANTS], by_pattern[KEYS], by_nobody, held, not_held;

static void compare(const struct hf_settings *s, const struct hf_principal *who, unsigned right)
{
	static const char *const keys[] = { "edge-ca", "edge-1", "xy", "z", "" };
	static const char *const schemes[] = { NULL, "", "ecdsa-sha256", "rsa-pss-sha256", "ecdh" };
	const char *pattern, *wanted;
	size_t k, c;

	for (k = 0; k < HF_COUNT(keys); k++)
	for (c = 0; c < HF_COUNT(schemes); c++) {
		const struct hf_grant *g;
		long want;

		pattern = wanted = NULL;
		want = expected(s, who, keys[k], right, schemes[c], &wanted);
		g = hf_policy_grant(s, who, keys[k], right, schemes[c], &pattern);
		assert_ptr_equal(g, want < 0 ? NULL : &s->grants[want]);
		assert_ptr_equal(pattern, wanted); /* the very one, not one that reads the same */
		assert_ptr_equal(hf_policy_grant(s, who, keys[k], right, schemes[c], NULL), g);
		if (!schemes[c])
			assert_int_equal(hf_policy_allows(s, who, keys[k], right), want >= 0);
		if (g) {
			by_grant[want]++;
			by_pattern[(pattern - g->keys[0]) / HF_NAME_SIZE]++;
		} else {
			by_nobody++;
		}
	}
}

/* Of no key, and of all of them. */
static void compare_wide(const struct hf_settings *s, const struct hf_principal *who,
			 unsigned right)
{
	bool any = false, all = false;
	size_t i, k;

	for (i = 0; i < s->n_grants; i++)
		for (k = 0; k < s->grants[i].n_keys; k++)
			if (is_his(&s->grants[i], who) && (s->grants[i].rights & right)) {
				any = true;
				all |= !strcmp(s->grants[i].keys[k], "*");
			}
	assert_int_equal(hf_policy_holds(s, who, right), any);
	assert_int_equal(hf_policy_on_all(s, who, right), all);
	held += all;
	not_held += any && !all;
}

static void every_cell(void **state)
{
	static const uid_t uids[] = { 0, 1000, 65534, (uid_t)-1 };
	static const gid_t groups[][2] = { { 5, 6 }, { 5, 7 }, { 0, 5 }, { 65534, 7 }, { 65534, 65534 } };
	static char names[GRANTS][KEYS][HF_NAME_SIZE];
	static struct hf_grant grants[GRANTS];
	static struct hf_settings s;
	size_t set, u, g, c, r;

	(void)state;
	s.grants = grants;
	for (set = 0; set < SETS; set++) {
		deal(&s, names);
		for (u = 0; u < HF_COUNT(uids); u++)
		for (g = 0; g < HF_COUNT(groups); g++)
		for (c = 0; c < 2; c++)
		for (r = 0; r < 9; r++) {
			struct hf_principal who = { .uid = uids[u], .n_groups = 2,
						    .groups = { groups[g][0], groups[g][1] } };

			assert_true(hf_copy(who.socket, sizeof(who.socket), c ? "main" : "mod"));
			compare(&s, &who, 1u << r);
			compare_wide(&s, &who, 1u << r);
		}
	}
	for (g = 0; g < GRANTS; g++)
		assert_true(by_grant[g] > 500);
	for (g = 0; g < KEYS; g++)
		assert_true(by_pattern[g] > 500);
	assert_true(by_nobody > 5000 && held > 500 && not_held > 500); /* there are all answers */
}

static void nobody(void **state)
{
	static char all[][HF_NAME_SIZE] = { "*" };
	struct hf_grant grant = { .uid = 65534, .gid = -1, .rights = ~0u, .keys = all, .n_keys = 1 };
	static struct hf_settings s;
	struct hf_principal who = { .uid = 65534, .n_groups = 1 };

	(void)state;
	s.grants = &grant;
	s.n_grants = 1;
	assert_false(hf_policy_allows(&s, &who, "k", HF_RIGHT_PUBLIC));
	grant.uid = 0; /* root has what is granted to it, and only that */
	who.uid = 0;
	assert_true(hf_policy_allows(&s, &who, "k", HF_RIGHT_PUBLIC));
	grant.uid = -1;
	grant.gid = 65534; /* nor a group: all those that a namespace hides are in it */
	who.groups[0] = 65534;
	assert_false(hf_policy_allows(&s, &who, "k", HF_RIGHT_PUBLIC));
	s.n_grants = 0;
	assert_false(hf_policy_allows(&s, &who, "k", HF_RIGHT_PUBLIC));
	assert_false(hf_policy_holds(&s, &who, ~0u));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs),
		cmocka_unit_test(every_cell),
		cmocka_unit_test(nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
