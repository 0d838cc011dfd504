/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "keeper/der.h"

#define V(s) { (const uint8_t *)(s), sizeof(s) - 1 }

static const struct {
	const char *what;
	struct hf_view der;
	bool ok;
} rows[] = {
	{ "empty", V(""), false },
	{ "one byte", V("\x30"), false },
	{ "empty sequence", V("\x30\x00"), true },
	{ "more behind", V("\x30\x00\x05\x00"), false },
	{ "indefinite length", V("\x30\x80\x00\x00"), false },
	{ "long form of a short length", V("\x04\x81\x01x"), false },
	{ "padded length", V("\x04\x82\x00\x01x"), false },
	{ "length past the end", V("\x04\x05" "abc"), false },
	{ "length of 4 bytes", V("\x04\x84\x00\x00\x00\x01x"), false },
	{ "long tag", V("\x1f\x81\x01\x00"), false },
	{ "end of contents", V("\x00\x00"), false },
	{ "TRUE", V("\x01\x01\xff"), true },
	{ "TRUE as 1", V("\x01\x01\x01"), false },
	{ "BOOLEAN of two bytes", V("\x01\x02\xff\xff"), false },
	{ "INTEGER 0", V("\x02\x01\x00"), true },
	{ "INTEGER 128", V("\x02\x02\x00\x80"), true },
	{ "INTEGER with a zero too many", V("\x02\x02\x00\x7f"), false },
	{ "INTEGER with a one too many", V("\x02\x02\xff\x80"), false },
	{ "INTEGER empty", V("\x02\x00"), false },
	{ "BIT STRING", V("\x03\x02\x05\xa0"), true },
	{ "BIT STRING empty", V("\x03\x01\x00"), true },
	{ "BIT STRING, unused bits of nothing", V("\x03\x01\x01"), false },
	{ "BIT STRING, padding not zero", V("\x03\x02\x05\xa1"), false },
	{ "BIT STRING, 8 unused bits", V("\x03\x02\x08\x00"), false },
	{ "BIT STRING constructed", V("\x23\x03\x03\x01\x00"), false },
	{ "OCTET STRING constructed", V("\x24\x03\x04\x01x"), false },
	{ "NULL", V("\x05\x00"), true },
	{ "NULL with a value", V("\x05\x01\x00"), false },
	{ "OID", V("\x06\x03\x55\x04\x03"), true },
	{ "OID cut", V("\x06\x03\x55\x04\x83"), false },
	{ "OID padded", V("\x06\x04\x55\x04\x80\x03"), false },
	{ "OID empty", V("\x06\x00"), false },
	{ "UTCTime", V("\x17\x0d" "260101000000Z"), true },
	{ "UTCTime without seconds", V("\x17\x0b" "2601010000Z"), false },
	{ "UTCTime with an offset", V("\x17\x11" "260101000000+0100"), false },
	{ "GeneralizedTime", V("\x18\x0f" "20500101000000Z"), true },
	{ "GeneralizedTime with a fraction", V("\x18\x11" "20500101000000.1Z"), false },
	{ "SEQUENCE primitive", V("\x10\x00"), false },
	{ "SET sorted", V("\x31\x06\x02\x01\x01\x02\x01\x02"), true },
	{ "SET not sorted", V("\x31\x06\x02\x01\x02\x02\x01\x01"), false },
	{ "deep inside", V("\x30\x06\xa0\x04\x30\x02\x05\x01"), false },
};

static void test_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++)
		if (hf_der_strict(rows[i].der) != rows[i].ok)
			fail_msg("%s: should be %s", rows[i].what, rows[i].ok ? "DER" : "refused");
}

static void test_depth(void **state)
{
	uint8_t deep[200];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(deep) / 2; i++) {
		deep[2 * i] = 0x30;
		deep[2 * i + 1] = (uint8_t)(sizeof(deep) - 2 * i - 2);
		if (deep[2 * i + 1] > 127) /* keep the short form */
			deep[2 * i + 1] = 127;
	}
	assert_true(hf_der_strict((struct hf_view){ deep + 200 - 20, 20 }));
	assert_false(hf_der_strict((struct hf_view){ deep + 200 - 100, 100 }));
}

static void test_put(void **state)
{
	static const size_t sizes[] = { 0, 1, 127, 128, 255, 256, 65535, 65536 };
	static uint8_t zeros[65536];
	struct hf_view in, body;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(sizes); i++) {
		HF_AUTO_BUF b = HF_BUF(70000);

		hf_der_put(&b, HF_DER_OCTET_STRING, zeros, sizes[i]);
		in = HF_VIEW_BUF(&b);
		assert_true(hf_der_take(&in, HF_DER_OCTET_STRING, &body));
		assert_int_equal(body.n, sizes[i]);
		assert_int_equal(in.n, 0);
		in = HF_VIEW_BUF(&b);
		assert_false(hf_der_take(&in, HF_DER_SEQUENCE, &body));
		assert_int_equal(in.n, b.n); /* left as it was */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_put),
	};

	return cmocka_run_group_tests_name("der", tests, NULL, NULL);
}
