/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "conf/p11uri.h"

static void parts(void **state)
{
	struct hf_p11uri u;

	(void)state;
	assert_null(hf_p11uri_parse(&u, "pkcs11:slot-id=0;object=device%20id?pin-value=12%3434"));
	assert_string_equal(u.token, "pkcs11:slot-id=0");
	assert_string_equal(u.object, "object=device%20id");
	assert_string_equal(u.pin, "12434");
	assert_null(hf_p11uri_parse(&u, "pkcs11:id=%01;token=a%3bb;type=private;serial=7"
					"?module-path=/usr/lib/m.so&pin-source=file:///run/pin"));
	assert_string_equal(u.token, "pkcs11:token=a%3bb;serial=7");
	assert_string_equal(u.object, "id=%01;type=private");
	assert_string_equal(u.module, "/usr/lib/m.so");
	assert_string_equal(u.pin_file, "/run/pin");
	assert_string_equal(u.pin, "");
	assert_null(hf_p11uri_parse(&u, "pkcs11:token=a?pin-source=/run/pin&module-name=x"));
	assert_string_equal(u.pin_file, "/run/pin");
	assert_null(hf_p11uri_parse(&u, "pkcs11:token=a?pin-source=file:/run/p%20n"));
	assert_string_equal(u.pin_file, "/run/p n");
	assert_null(hf_p11uri_parse(&u, "pkcs11:"));
	assert_string_equal(u.token, "pkcs11:");
}

static void wrong(void **state)
{
	static const char *const bad[] = {
		"", "file:///x", "PKCS11:token=a", "pkcs11:token", "pkcs11:=a", "pkcs11:colour=red",
		"pkcs11:token=a b", "pkcs11:token=%4", "pkcs11:token=%zz", "pkcs11:token=a;;id=%01",
		"pkcs11:token=a?pin-value=", "pkcs11:token=a?pin-value=%00", "pkcs11:token=a?=b",
		"pkcs11:token=a?pin-source=http://x", "pkcs11:token=a?pin-source=relative",
		"pkcs11:token=a?pin-value=%4", "pkcs11:token=a\nb",
	};
	struct hf_p11uri u;
	char longer[2000];
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(bad); i++)
		if (!hf_p11uri_parse(&u, bad[i]))
			fail_msg("%s is taken", bad[i]);
	memset(longer, 'x', sizeof(longer));
	memcpy(longer, "pkcs11:token=", 13);
	longer[sizeof(longer) - 1] = '\0';
	assert_string_equal(hf_p11uri_parse(&u, longer), "is too long");
	memcpy(longer, "pkcs11:token=a?pin-value=", 25);
	assert_non_null(hf_p11uri_parse(&u, longer));
	memcpy(longer, "pkcs11:token=a?pin-source=/", 27);
	assert_non_null(hf_p11uri_parse(&u, longer));
}

static void sameness(void **state)
{
	struct hf_p11uri a, b;

	(void)state;
	assert_null(hf_p11uri_parse(&a, "pkcs11:token=a;serial=1;object=x"));
	assert_null(hf_p11uri_parse(&b, "pkcs11:serial=1;token=a?pin-value=1"));
	assert_true(hf_p11uri_within(a.token, b.token) && hf_p11uri_within(b.token, a.token));
	assert_null(hf_p11uri_parse(&b, "pkcs11:serial=1;token=ab"));
	assert_false(hf_p11uri_within(a.token, b.token) || hf_p11uri_within(b.token, a.token));
	assert_null(hf_p11uri_parse(&b, "pkcs11:serial=1"));
	assert_false(hf_p11uri_within(a.token, b.token));
	assert_true(hf_p11uri_within(b.token, a.token));
	assert_true(hf_p11uri_within("pkcs11:", a.token));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts),
		cmocka_unit_test(wrong),
		cmocka_unit_test(sameness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
