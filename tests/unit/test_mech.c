/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of algorithms and schemes, and the names of keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "wire/mech.h"
#include "wire/packet.h"

static void rows_are_found_by_name(void **state)
{
	const struct hf_algorithm *a, *b;
	const struct hf_exchange *x;
	const struct hf_scheme *s;
	size_t n = 0;

	(void)state;
	for (a = hf_algorithms; a->name; a++, n++) {
		assert_ptr_equal(hf_algorithm_find(a->name), a); /* and so no name is there twice */
		assert_in_range(strlen(a->name), 1, 23); /* the bound of the wire */
		assert_true(a->cost > 0 && a->bits > 0);
		assert_int_equal(a->group == NULL, a->family == HF_FAMILY_RSA);
		for (b = hf_algorithms; b < a; b++)
			assert_false(b->family == a->family && b->bits == a->bits);
	}
	assert_int_equal(n, 7);
	for (s = hf_schemes; s->name; s++) {
		assert_ptr_equal(hf_scheme_find(s->name), s);
		assert_in_range(strlen(s->name), 1, 23);
		assert_ptr_equal(hf_scheme_for(s->family, s->pad, s->hash_len), s);
		assert_int_equal(s->hash == NULL, s->hash_len == 0);
		assert_int_equal(s->pad != HF_PAD_NONE, s->family == HF_FAMILY_RSA);
	}
	for (x = hf_exchanges; x->name; x++) {
		assert_ptr_equal(hf_exchange_find(x->name), x);
		assert_null(hf_scheme_find(x->name));
		assert_in_range(strlen(x->name), 1, 23);
		assert_true(x->usage == HF_USAGE_DECRYPT || x->usage == HF_USAGE_DERIVE);
		assert_int_equal(x->hash == NULL, x->hash_len == 0);
		assert_int_equal(x->hash != NULL, x->pad == HF_PAD_OAEP);
	}
	assert_null(hf_exchange_find("rsa-raw"));
	assert_null(hf_algorithm_find(""));
	assert_null(hf_algorithm_find("EC-P256"));
	assert_null(hf_algorithm_find("ec-p256 "));
	assert_null(hf_scheme_find("rsa-pss-sha1"));
	assert_null(hf_scheme_find("ecdsa-sha1"));
	assert_null(hf_scheme_for(HF_FAMILY_EC, HF_PAD_NONE, 20));
	assert_null(hf_scheme_for(HF_FAMILY_EC, HF_PAD_PSS, 32));
	assert_null(hf_scheme_for(HF_FAMILY_RSA, HF_PAD_NONE, 32));
}

static void names_of_keys(void **state)
{
	static const char *const good[] = { "a", "edge-ca", "EST_id.2", "0", "a..b", "a-" };
	static const char *const bad[] = { "", ".", "..", "-a", "_a", "a/b", "../a", "a b", "a\n", "a*",
					   "a?", "\xc3\xa4", "a\x80", "a%2f", "a:", "a~", "a\\" };
	char name[80];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(hf_key_name_ok(good[i]));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(hf_key_name_ok(bad[i]));
	memset(name, 'k', sizeof(name));
	name[63] = '\0';
	assert_true(hf_key_name_ok(name));
	name[63] = 'k';
	name[64] = '\0';
	assert_false(hf_key_name_ok(name));
	for (i = 1; i < 256; i++) { /* every byte, as the second one */
		const char text[] = { 'a', (char)i, '\0' };

		assert_int_equal(hf_key_name_ok(text), !!strchr("abcdefghijklmnopqrstuvwxyz"
								"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
								"0123456789._-", (char)i));
	}
}

static void usages(void **state)
{
	static const char *const bad[] = { "", ",", "sign,", ",sign", "sign,,derive", "Sign", "signs",
					   "sig", "sign ca", "ca,sign", "sign,ca", "ca,decrypt", " sign" };
	char text[64], want[64];
	unsigned u;
	size_t i;

	(void)state;
	for (u = 1; u < 16; u++) {
		hf_usage_text(text, u);
		if (!(u & HF_USAGE_CA) || u == HF_USAGE_CA)
			assert_int_equal(hf_usage_parse(text), u);
		else
			assert_int_equal(hf_usage_parse(text), 0);
	}
	hf_usage_text(want, 15);
	assert_string_equal(want, "sign,ca,decrypt,derive");
	hf_usage_text(want, 0);
	assert_string_equal(want, "");
	assert_int_equal(hf_usage_parse("derive,sign"), HF_USAGE_SIGN | HF_USAGE_DERIVE);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(hf_usage_parse(bad[i]), 0);
}

static void results_have_sizes(void **state)
{
	static const struct {
		const char *scheme;
		unsigned bits;
		size_t least, most;
	} rows[] = {
		{ "rsa-pkcs1", 2048, 0, 245 }, { "rsa-pkcs1", 4096, 0, 501 },
		{ "rsa-pkcs1-tls", 2048, 48, 48 }, { "rsa-oaep-sha1", 2048, 0, 214 },
		{ "rsa-oaep-sha256", 3072, 0, 318 }, { "rsa-oaep-sha512", 2048, 0, 126 },
		{ "ecdh", 256, 32, 32 }, { "ecdh", 384, 48, 48 }, { "ecdh", 521, 66, 66 },
	};
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (n = 0; n < 1024; n++)
			assert_int_equal(hf_exchange_gives(hf_exchange_find(rows[i].scheme), rows[i].bits, n),
					 n >= rows[i].least && n <= rows[i].most);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_found_by_name),
		cmocka_unit_test(names_of_keys),
		cmocka_unit_test(usages),
		cmocka_unit_test(results_have_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
