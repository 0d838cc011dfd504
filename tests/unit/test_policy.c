/* SPDX-License-Identifier: Apache-2.0 */
/* The policy against an evaluator that was written independently, over every cell of a matrix. */
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

static bool expected(const struct hf_grant *g, size_t n, const struct hf_principal *w,
		     const char *key, unsigned right)
{
	size_t i, k;

	for (i = 0; i < n && w->uid != 65534; i++, g++) {
		bool about = (g->uid == -1 || g->uid == (int64_t)w->uid) && !(g->uid == -1 && g->gid == -1);
		bool grouped = g->gid == -1;

		for (k = 0; k < w->n_groups; k++)
			grouped = grouped || g->gid == (int64_t)w->groups[k];
		about = about && grouped && (!*g->socket || !strcmp(g->socket, w->socket));
		for (k = 0; about && k < g->n_keys; k++)
			if (matches(g->keys[k], key) && (g->rights & right))
				return true;
	}
	return false;
}

static void every_cell(void **state)
{
	static char all[][HF_NAME_SIZE] = { "*" }, edge[][HF_NAME_SIZE] = { "edge-*", "x?" };
	static const int64_t uids[] = { -1, 0, 1000, 65534 }, gids[] = { -1, 0, 7 };
	static const char *const sockets[] = { "", "main", "mod" }, *const keys[] = { "edge-ca", "xy", "z" };
	static struct hf_settings s;
	struct hf_grant grants[2] = { { .uid = 1000, .gid = -1, .rights = HF_RIGHT_SIGN, .keys = edge,
					.n_keys = 2 } };
	size_t u, g, c, k, pu, pg, ps, r, yes = 0, no = 0;

	(void)state;
	s.grants = grants;
	s.n_grants = 2;
	for (u = 0; u < 4; u++)
	for (g = 0; g < 3; g++)
	for (c = 0; c < 3; c++)
	for (pu = 1; pu < 4; pu++)
	for (pg = 1; pg < 3; pg++)
	for (ps = 1; ps < 3; ps++)
	for (k = 0; k < 3; k++)
	for (r = 0; r < 9; r++) {
		struct hf_principal who = { .uid = (uid_t)uids[pu], .groups = { 5, (gid_t)gids[pg] },
					    .n_groups = 2 };
		bool want;

		grants[1] = (struct hf_grant){ .uid = uids[u], .gid = gids[g], .keys = all, .n_keys = 1,
					       .rights = HF_RIGHT_PUBLIC | HF_RIGHT_DELETE };
		strcpy(grants[1].socket, sockets[c]);
		strcpy(who.socket, sockets[ps]);
		want = expected(grants, 2, &who, keys[k], 1u << r);
		assert_int_equal(hf_policy_allows(&s, &who, keys[k], 1u << r), want);
		yes += want;
		no += !want;
	}
	assert_true(yes > 500 && no > 500); /* the matrix has both answers */
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
