/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>
#include <string.h>

#include "est/base64.h"
#include "est/csrattrs.h"
#include "est/header.h"
#include "est/job.h"
#include "est/names.h"
#include "est/tlv.h"
#include "est/url.h"

/* ---------------------------------------------------------------- URLs */

static const struct {
	const char *url, *op; /* op: URL of cacerts; NULL: refused */
} urls[] = {
	{ "https://a", "https://a:443/.well-known/est/cacerts" },
	{ "HTTPS://A.example:8443/", "https://A.example:8443/.well-known/est/cacerts" },
	{ "https://a/.well-known/est", "https://a:443/.well-known/est/cacerts" },
	{ "https://a/.well-known/est/", "https://a:443/.well-known/est/cacerts" },
	{ "https://a/.well-known/est/label%201/",
	  "https://a:443/.well-known/est/label%201/cacerts" },
	{ "https://192.0.2.1:1", "https://192.0.2.1:1/.well-known/est/cacerts" },
	{ "https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443/.well-known/est/cacerts" },
	{ "", NULL },
	{ "a", NULL },
	{ "http://a", NULL },
	{ "https://", NULL },
	{ "https:///x", NULL },
	{ "https://a:0", NULL },
	{ "https://a:65536", NULL },
	{ "https://a:4x", NULL },
	{ "https://a:", NULL },
	{ "https://u@a", NULL },
	{ "https://a\\@b", NULL },
	{ "https://a b", NULL },
	{ "https://[::1", NULL },
	{ "https://[::1]x", NULL },
	{ "https://a?x", NULL },
	{ "https://a/.well-known/est?x", NULL },
	{ "https://a/.well-known/est#x", NULL },
	{ "https://a/est", NULL },
	{ "https://a/.well-known/estx", NULL },
	{ "https://a/.well-known/est/cacerts", NULL },
	{ "https://a/.well-known/est/simplereenroll/", NULL },
	{ "https://a/.well-known/est/l/m", NULL },
	{ "https://a/.well-known/est/..", NULL },
};

static void test_urls(void **state)
{
	char out[HF_URL_MAX];
	struct hf_url url;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(urls); i++) {
		struct hf_err e = HF_ERR_INIT;
		enum hf_rc rc = hf_est_url_parse(urls[i].url, &url, &e);

		if (!urls[i].op) {
			assert_int_equal(rc, HF_ARGUMENT);
			continue;
		}
		assert_string_equal(e.msg, "");
		hf_est_url_op(&url, "cacerts", out);
		assert_string_equal(out, urls[i].op);
	}
}

static void test_url_keeps_passwords_to_itself(void **state)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_url url;

	(void)state;
	assert_int_equal(hf_est_url_parse("https://user:secret@a", &url, &e), HF_ARGUMENT);
	assert_null(strstr(e.msg, "secret"));
}

static const struct {
	const char *location, *to; /* NULL: refused */
} redirects[] = {
	{ "/x", "https://a.example:443/x" },
	{ "https://A.EXAMPLE/x?y", "https://a.example:443/x?y" },
	{ "https://a.example:443/x", "https://a.example:443/x" },
	{ "//a.example/x", "https://a.example:443/x" },
	{ "x", "https://a.example:443/.well-known/est/x" },
	{ "https://a.example", "https://a.example:443/" },
	{ "", NULL },
	{ "https://a.example:8443/x", NULL },
	{ "https://a.example.evil/x", NULL },
	{ "https://evil/https://a.example/", NULL },
	{ "https://a.example@evil/", NULL },
	{ "https://evil@a.example/", NULL },
	{ "https://a.example\\@evil/", NULL },
	{ "https://a.example#@evil/", NULL },
	{ "http://a.example/x", NULL },
	{ "//evil/x", NULL },
	{ "ftp://a.example/x", NULL },
	{ "/x y", NULL },
	{ "/x\r\nHost: evil", NULL },
	{ "/\x7f", NULL },
	{ "/\xc3\xa4", NULL },
};

static void test_redirects(void **state)
{
	char out[HF_URL_MAX];
	struct hf_url url;
	size_t i;

	(void)state;
	assert_int_equal(hf_est_url_parse("https://a.example", &url, NULL), HF_OK);
	for (i = 0; i < HF_COUNT(redirects); i++) {
		enum hf_rc rc =
			hf_est_url_redirect(&url, "https://a.example:443/.well-known/est/cacerts",
					    redirects[i].location, out, NULL);

		assert_int_equal(rc == HF_OK, redirects[i].to != NULL);
		if (!rc)
			assert_string_equal(out, redirects[i].to);
	}
}

/* ---------------------------------------------------------------- headers */

static void test_retry_after(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint32_t seconds;
	} rows[] = {
		{ "120", true, 120 },
		{ " 120 ", true, 120 },
		{ "0", true, 60 },
		{ "86401", true, 86400 },
		{ "99999999999999999999999999", true, 86400 },
		{ "", false, 60 },
		{ "-5", false, 60 },
		{ "12x", false, 60 },
		{ "Thu, 01 Jan 1970 01:00:00 GMT", true, 3600 - 1000 },
		{ "Thu, 01 Jan 1970 00:00:00 GMT", true, 60 },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", true, 86400 },
		{ "Thu, 01 Jan 1970 01:00:00 CET", false, 60 },
		{ "Thu, 01 Jan 1970 01:00:00 GMT ", true, 3600 - 1000 },
		{ "Thursday, 01-Jan-70 01:00:00 GMT", true, 3600 - 1000 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", true, 86400 },
		{ "Thursday, 01-Jan-70 01:00:00", false, 60 },
		{ "Thu Jan  1 01:00:00 1970", true, 3600 - 1000 },
		{ "Sun Nov 16 08:49:37 1994", true, 86400 },
		{ "Thu Jan  1 01:00:00 1970 GMT", false, 60 },
	};
	uint32_t seconds;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		assert_int_equal(hf_retry_after(rows[i].text, 1000, &seconds), rows[i].ok);
		assert_int_equal(seconds, rows[i].seconds);
	}
}

static void test_media_types(void **state)
{
	(void)state;
	assert_true(hf_media_type("application/pkcs7-mime", "application/pkcs7-mime"));
	assert_true(hf_media_type(" Application/PKCS7-mime; x=y", "application/pkcs7-mime"));
	assert_false(hf_media_type("application/pkcs7-mimex", "application/pkcs7-mime"));
	assert_false(hf_media_type("", "application/pkcs7-mime"));
}

/* RFC 7616, section 3.9.1; and without qop, as in RFC 2069 */
static void test_digest(void **state)
{
	HF_AUTO_BUF out = HF_BUF(4096);
	struct hf_challenge c = { 0 };

	(void)state;
	hf_challenge_add(&c,
			 "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", "
			 "algorithm=MD5, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "
			 "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"");
	hf_challenge_add(
		&c, "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", "
		    "algorithm=SHA-256, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "
		    "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"");
	assert_int_equal(c.digest, HF_DIGEST_SHA256);
	assert_int_equal(hf_digest_answer(&c, "Mufasa", "Circle of Life", "GET", "/dir/index.html",
					  "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", &out,
					  NULL),
			 HF_OK);
	assert_non_null(strstr((char *)out.p,
			       "response=\"753927fa0e85d155564e2e272a28d1802ca10daf449"
			       "6794697cf8db5856cb6c1\""));
	hf_buf_finish(&out);
	memset(&c, 0, sizeof(c));
	hf_challenge_add(&c,
			 "Digest realm=\"testrealm@host.com\",nonce=\"dcd98b7102dd2f0e8b11d0f600b"
			 "fb0c093\"");
	assert_int_equal(hf_digest_answer(&c, "Mufasa", "CircleOfLife", "GET", "/dir/index.html",
					  "x", &out, NULL),
			 HF_OK);
	assert_non_null(strstr((char *)out.p, "response=\"1949323746fe6a43ef61f9606e7febea\""));
}

static void test_challenges(void **state)
{
	static const struct {
		const char *header;
		bool basic, bearer, digest;
	} rows[] = {
		{ "Basic realm=\"x\"", true, false, false },
		{ "basic", true, false, false },
		{ "Negotiate abc==, Basic realm=x, Bearer", true, true, false },
		{ "Digest nonce=a", false, false, true },
		{ "Digest realm=\"Basic\"", false, false, false },
		{ "Digest nonce=a, algorithm=SHA-512-256", false, false, false },
		{ "Digest nonce=a, qop=auth-int", false, false, false },
		{ "Digest nonce=a, Digest nonce=b, algorithm=XYZ", false, false, true },
		{ "Custom x=\"Basic realm=\\\"y\\\"\"", false, false, false },
		{ "\"Basic\"", false, false, false },
		{ "Digest nonce=\"", false, false, false },
		{ ",,, ,", false, false, false },
		{ "=", false, false, false },
		{ "", false, false, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		struct hf_challenge c = { 0 };

		hf_challenge_add(&c, rows[i].header);
		assert_int_equal(c.basic, rows[i].basic);
		assert_int_equal(c.bearer, rows[i].bearer);
		assert_int_equal(c.digest != HF_DIGEST_NONE, rows[i].digest);
	}
}

/* ---------------------------------------------------------------- base64 */

static void test_base64(void **state)
{
	uint8_t bytes[200];
	size_t n, i;
	bool nul;

	(void)state;
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	for (n = 0; n < sizeof(bytes); n++) {
		HF_AUTO_BUF text = HF_BUF(400);
		HF_AUTO_BUF back = HF_BUF(400);

		hf_est_base64_encode(bytes, n, &text);
		assert_int_equal(text.n, HF_EST_BASE64_LEN(n));
		assert_int_equal(hf_est_base64_decode(text.p, text.n, &back, &nul, NULL), HF_OK);
		assert_int_equal(back.n, n);
		assert_false(nul);
		if (n)
			assert_memory_equal(back.p, bytes, n);
	}
}

static void test_base64_from_strangers(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *bytes; /* NULL: refused */
		bool nul;
	} rows[] = {
		{ "aGk=", 4, "hi", false },
		{ "aGk", 3, "hi", false },
		{ "a G\tk\r\n=\n", 9, "hi", false },
		{ "aGk=\0", 5, "hi", true },
		{ "aGk=\0\n\0", 7, "hi", true },
		{ "\0", 1, "", true },
		{ "a\0Gk=", 5, NULL, false },
		{ "aGk==", 5, NULL, false },
		{ "aG=k", 4, NULL, false },
		{ "a", 1, NULL, false },
		{ "=", 1, NULL, false },
		{ "aGk=aGk=", 8, NULL, false },
		{ "aG-_", 4, NULL, false },
		{ "aGk.", 4, NULL, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		HF_AUTO_BUF out = HF_BUF(100);
		bool nul = false;
		enum hf_rc rc = hf_est_base64_decode(rows[i].text, rows[i].n, &out, &nul, NULL);

		assert_int_equal(rc, rows[i].bytes ? HF_OK : HF_CORRUPT);
		if (rc)
			continue;
		assert_int_equal(out.n, strlen(rows[i].bytes));
		assert_int_equal(nul, rows[i].nul);
		if (out.n)
			assert_memory_equal(out.p, rows[i].bytes, out.n);
	}
}

/* ---------------------------------------------------------------- BER */

static void test_indefinite_lengths(void **state)
{
	uint8_t deep[64];
	struct hf_view in;
	struct hf_tlv t;
	size_t i;

	(void)state;
	in = (struct hf_view){ (const uint8_t *)"\x30\x80\x04\x01x\x24\x80\x04\x00\0\0\0\0\x05",
			       14 };
	assert_true(hf_tlv_next(&in, &t));
	assert_int_equal(t.body.n, 9);
	assert_int_equal(t.all.n, 13);
	assert_int_equal(in.n, 1);
	in = (struct hf_view){ (const uint8_t *)"\x04\x80\0\0", 4 }; /* not constructed */
	assert_false(hf_tlv_next(&in, &t));
	memset(deep, 0, sizeof(deep)); /* 8 levels are followed, 9 are not */
	for (i = 0; i < 9; i++) {
		deep[2 * i] = 0x30;
		deep[2 * i + 1] = 0x80;
	}
	in = (struct hf_view){ deep, sizeof(deep) };
	assert_false(hf_tlv_next(&in, &t));
	in = (struct hf_view){ deep + 2, sizeof(deep) - 2 };
	assert_true(hf_tlv_next(&in, &t));
}

/* ---------------------------------------------------------------- csrattrs */

static const uint8_t template[] = {
	0x30, 0x3f, 0x30, 0x3d, 0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x09, 0x10, 0x02, 0x3d, 0x31, 0x2e, 0x30, 0x2c, 0x02, 0x01, 0x00, 0x30, 0x12,
	0x31, 0x07, 0x30, 0x05, 0x06, 0x03, 0x55, 0x04, 0x03, 0x31, 0x07, 0x30, 0x05,
	0x06, 0x03, 0x55, 0x04, 0x0a, 0xa0, 0x13, 0x30, 0x11, 0x06, 0x07, 0x2a, 0x86,
	0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x06, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
};

/* Every truncation and every flipped bit: refused or understood, never more than that. */
static void test_csrattrs_damaged(void **state)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_csrattrs a;
	uint8_t *copy;
	size_t n, bit;

	(void)state;
	for (n = 0; n <= sizeof(template); n++) {
		copy = malloc(n ? n : 1); /* exactly as long, for the sanitizer */
		assert_non_null(copy);
		memcpy(copy, template, n);
		assert_int_equal(hf_csrattrs_read(&a, (struct hf_view){ copy, n }, &e) == HF_OK,
				 n == sizeof(template));
		hf_csrattrs_finish(&a);
		free(copy);
	}
	for (bit = 0; bit < 8 * sizeof(template); bit++) {
		copy = malloc(sizeof(template));
		assert_non_null(copy);
		memcpy(copy, template, sizeof(template));
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		(void)hf_csrattrs_read(&a, (struct hf_view){ copy, sizeof(template) }, &e);
		hf_csrattrs_finish(&a);
		free(copy);
	}
}

static void test_csrattrs_of_libest(void **state)
{
	/* its built-in ones: EC on P-256... with OIDs that nobody else knows */
	static const uint8_t der[] = { 0x30, 0x26, 0x06, 0x07, 0x2b, 0x06, 0x01, 0x01, 0x01, 0x01,
				       0x16, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
				       0x09, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x06,
				       0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02 };
	struct hf_csrattrs a;

	(void)state;
	assert_int_equal(hf_csrattrs_read(&a, (struct hf_view){ der, sizeof(der) }, NULL), HF_OK);
	assert_false(a.challenge_password || a.n_keys || a.n_digests || a.template);
	assert_int_equal(a.unknown, 4);
	hf_csrattrs_finish(&a);
}

/* ---------------------------------------------------------------- names, jobs */

static void test_names(void **state)
{
	static const struct {
		const char *text;
		int entries; /* -1: refused */
	} rows[] = {
		{ "CN=a", 1 },	     { "CN=a,O=b c,C=DE", 3 },
		{ "CN=a\\,b", 1 },   { "/CN=a/O=b,c", 2 },
		{ " CN=a, O=b", 2 }, { "2.5.4.3=a", 1 },
		{ "", 0 },	     { "CN", -1 },
		{ "=a", -1 },	     { "CN=", -1 },
		{ "CX=a", -1 },	     { "C=Germany", -1 },
		{ "CN=a,,O=b", -1 }, { "CN=\xff", -1 },
		{ "CN=a,O", -1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		struct hf_err e = HF_ERR_INIT;
		X509_NAME *name = NULL;
		enum hf_rc rc = hf_name_read(rows[i].text, &name, &e);

		assert_int_equal(rc == HF_OK, rows[i].entries >= 0);
		if (!rc)
			assert_int_equal(X509_NAME_entry_count(name), rows[i].entries);
		X509_NAME_free(name);
	}
}

#define HEAD "{\"version\":1,\"url\":\"https://a\",\"trust\":{\"mode\":\"system\"},"

static void test_jobs(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{ HEAD "\"op\":\"cacerts\"}", true },
		{ HEAD "\"op\":\"enroll\",\"key\":\"k\",\"subject\":\"CN=a\"}", true },
		{ HEAD "\"op\":\"enroll\",\"key\":\"k\"}", false },
		{ HEAD "\"op\":\"enroll\",\"subject\":\"CN=a\"}", false },
		{ HEAD "\"op\":\"reenroll\",\"key\":\"k\",\"replace_pem\":\"x\"}", true },
		{ HEAD "\"op\":\"reenroll\",\"key\":\"k\"}", false },
		{ HEAD "\"op\":\"delete\"}", false },
		{ HEAD "\"op\":\"cacerts\",\"more\":1}", false },
		{ HEAD "\"op\":\"cacerts\",\"time\":-1}", false },
		{ HEAD "\"op\":\"cacerts\",\"timeout_ms\":\"5\"}", false },
		{ HEAD "\"op\":\"cacerts\",\"auth\":{\"tls\":{\"key\":\"k\"}}}", false },
		{ HEAD "\"op\":\"cacerts\",\"auth\":[]}", false },
		{ HEAD "\"op\":\"cacerts\",\"sans\":\"DNS:a\"}", false },
		{ HEAD "\"op\":\"cacerts\",\"tolerate\":[\"key\"]}", false },
		{ HEAD "\"op\":\"cacerts\",\"proxy\":\"a\\u0000b\"}", false },
		{ HEAD "\"op\":\"cacerts\"}\n", true },
		{ HEAD "\"op\":\"cacerts\"}}", false },
		{ "{\"version\":2,\"url\":\"https://"
		  "a\",\"trust\":{\"mode\":\"system\"},\"op\":\"cacerts\"}",
		  false },
		{ "{\"op\":\"cacerts\"}", false },
		{ "[]", false },
		{ "", false },
		{ "{", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		struct hf_err e = HF_ERR_INIT;
		struct hf_est_job job;
		enum hf_rc rc = hf_est_job_read(&job, rows[i].text, strlen(rows[i].text), &e);

		assert_int_equal(rc == HF_OK, rows[i].ok);
		assert_int_equal(e.msg[0] == '\0', rows[i].ok);
		hf_est_job_finish(&job);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_url_keeps_passwords_to_itself),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_media_types),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_challenges),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_base64_from_strangers),
		cmocka_unit_test(test_indefinite_lengths),
		cmocka_unit_test(test_csrattrs_damaged),
		cmocka_unit_test(test_csrattrs_of_libest),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
