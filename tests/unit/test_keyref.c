/* SPDX-License-Identifier: Apache-2.0 */
/* URIs and key references: round trips, every truncation, every flipped bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reference.h"
#include "uri.h"

static void uris_that_are(void **state)
{
	static const struct {
		const char *text;
		enum hf_uri_kind kind;
		const char *name, *cert;
	} rows[] = {
		{ "holdfast:edge-ca", HF_URI_NAME, "edge-ca", "" },
		{ "HoldFast:edge%2dca", HF_URI_NAME, "edge-ca", "" },
		{ "holdfast:a?cert=/var/aziot/certs/a.pem", HF_URI_NAME, "a",
		  "/var/aziot/certs/a.pem" },
		{ "holdfast:a?cert=%2Fx%26y%3F", HF_URI_NAME, "a", "/x&y?" },
		{ "holdfast:", HF_URI_ALL, "", "" },
	};
	struct hf_err e = HF_ERR_INIT;
	struct hf_uri uri;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		assert_int_equal(hf_uri_parse(rows[i].text, &uri, &e), HF_OK);
		assert_int_equal(uri.kind, rows[i].kind);
		assert_string_equal(uri.name, rows[i].name);
		assert_string_equal(uri.cert, rows[i].cert);
	}
	assert_int_equal(hf_uri_parse("holdfast:sha256:"
				      "00112233445566778899aabbccddeeff"
				      "00112233445566778899AABBCCDDEEFF",
				      &uri, &e),
			 HF_OK);
	assert_int_equal(uri.kind, HF_URI_GENERATION);
	assert_int_equal(uri.spki_sha256[31], 0xff);
}

static void uris_that_are_not(void **state)
{
	static const char *const rows[] = {
		"",
		"holdfast",
		"holdfas:x",
		"file:x",
		"holdfast:-x",
		"holdfast:a/b",
		"holdfast:a%",
		"holdfast:a%2",
		"holdfast:a%00",
		"holdfast:%",
		"holdfast:a?x=1",
		"holdfast:a?cert",
		"holdfast:a?cert=",
		"holdfast:a?cert=/x&cert=/y",
		"holdfast:?cert=/x",
		"holdfast://a",
		"holdfast:sha256:",
		"holdfast:sha256:zz",
		"holdfast:a#b",
		"holdfast:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	struct hf_err e;
	struct hf_uri uri;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		e = (struct hf_err)HF_ERR_INIT;
		assert_int_equal(hf_uri_parse(rows[i], &uri, &e), HF_ARGUMENT);
		assert_true(e.msg[0]);
	}
}

static void sample(struct hf_reference *ref, const char *cert)
{
	static const uint8_t spki[] = { 0x30, 0x06, 0x30, 0x01, 0x00, 0x03, 0x01, 0x00 };

	memset(ref, 0, sizeof(*ref));
	hf_copy(ref->name, sizeof(ref->name), "edge-ca");
	hf_copy(ref->cert, sizeof(ref->cert), cert);
	memcpy(ref->spki, spki, sizeof(spki));
	ref->spki_n = sizeof(spki);
}

static void references_come_back(void **state)
{
	static const char *const certs[] = { "", "/var/aziot/certs/edge-ca.pem", "/\xc3\xa4.pem" };
	struct hf_reference a, b;
	struct hf_err e = HF_ERR_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(certs); i++) {
		HF_AUTO_BUF der = HF_BUF(HF_REFERENCE_MAX);

		sample(&a, certs[i]);
		assert_int_equal(hf_reference_encode(&a, &der, &e), HF_OK);
		assert_int_equal(hf_reference_decode(der.p, der.n, &b, &e), HF_OK);
		assert_memory_equal(&a, &b, sizeof(a));
	}
}

static void references_that_are_refused(void **state)
{
	HF_AUTO_BUF der = HF_BUF(HF_REFERENCE_MAX);
	struct hf_reference *ref = malloc(sizeof(*ref));
	struct hf_err e = HF_ERR_INIT;
	uint8_t more[128];
	size_t n, bit;

	(void)state;
	sample(ref, "/c.pem");
	assert_int_equal(hf_reference_encode(ref, &der, &e), HF_OK);
	for (n = 0; n < der.n; n++) {
		uint8_t *cut =
			malloc(n ? n : 1); /* of exact size: a sanitizer sees the byte after */

		memcpy(cut, der.p, n);
		assert_int_not_equal(hf_reference_decode(cut, n, ref, &e), HF_OK);
		free(cut);
	}
	memcpy(more, der.p, der.n);
	more[der.n] = 0;
	assert_int_equal(hf_reference_decode(more, der.n + 1, ref, &e), HF_CORRUPT);
	/* A flipped bit may give another name or key, never anything that does not encode again. */
	for (bit = 0; bit < der.n * 8; bit++) {
		memcpy(more, der.p, der.n);
		more[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (!hf_reference_decode(more, der.n, ref, &e)) {
			HF_AUTO_BUF again = HF_BUF(HF_REFERENCE_MAX);

			assert_int_equal(hf_reference_encode(ref, &again, &e), HF_OK);
			assert_int_equal(again.n, der.n);
			assert_memory_equal(again.p, more, der.n);
		}
	}
	sample(ref, "relative.pem");
	assert_int_equal(hf_reference_encode(ref, &der, &e), HF_ARGUMENT);
	sample(ref, "");
	ref->name[0] = '/';
	assert_int_equal(hf_reference_encode(ref, &der, &e), HF_ARGUMENT);
	free(ref);
}

static void pem_says_what_it_is(void **state)
{
	HF_AUTO_BUF pem = HF_BUF(65536);
	struct hf_reference ref;
	struct hf_err e = HF_ERR_INIT;

	(void)state;
	sample(&ref, "/c.pem");
	assert_int_equal(hf_reference_pem(&ref, &pem, &e), HF_OK);
	assert_non_null(strstr((char *)pem.p, "'edge-ca'"));
	assert_non_null(strstr((char *)pem.p, "-----BEGIN HOLDFAST KEY REFERENCE-----\n"));
	assert_null(strstr((char *)pem.p, "PRIVATE KEY"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uris_that_are),
		cmocka_unit_test(uris_that_are_not),
		cmocka_unit_test(references_come_back),
		cmocka_unit_test(references_that_are_refused),
		cmocka_unit_test(pem_says_what_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
