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

#include "keeper/der.h"
#include "keeper/keyfile.h"

/* Made by holdfast on swtpm, and read by tpm2-openssl 1.1.1. */
static const char golden[] =
	"-----BEGIN TSS2 PRIVATE KEY-----\n"
	"MIHwBgZngQUKAQOgAwEB/wIEQAAAAQRYAFYAIwALAAQEcgAAABAAEAADABAAIJn9\n"
	"4LIWRa3mTsTl1obA3aHzXCltVqkRTuwIcti7iBZqACBVhRQWTPbnypcjlsy/4+gO\n"
	"3IjFgu580xytPsYJyRV0JQSBgAB+ACCgM+bVgjTB+1LHWbWHDx6WIMuIyzmIyCvD\n"
	"l2+XdckqggAQhbyz5jU676pLgMVes/vghHM+pBK8LVYwZ/K38elK4bpN7PNSLZl7\n"
	"zwARnpnKfKhVpB3MzHE83up6qpXhGLk8wuYG9A631CCBCTXhmx9l7/Xo1o0j1fFa\n"
	"2EgA\n"
	"-----END TSS2 PRIVATE KEY-----\n";

#define LOADABLE "\x67\x81\x05\x0a\x01\x03"

static const uint8_t pub[] = { 0, 3, 'p', 'u', 'b' }, priv[] = { 0, 4, 'p', 'r', 'i', 'v' };

static struct hf_view text(const char *s)
{
	return (struct hf_view){ (const uint8_t *)s, strlen(s) };
}

static enum hf_rc decode(struct hf_view in, uint32_t *parent)
{
	HF_AUTO_BUF der = HF_BUF(HF_KEYFILE_MAX);
	struct hf_err e = HF_ERR_INIT;
	struct hf_keyfile f;
	enum hf_rc rc = hf_keyfile_decode(in, &der, &f, &e);

	assert_int_equal(rc, e.rc);
	if (rc)
		assert_true(e.msg[0] && !f.pub.p && !f.priv.p);
	else
		assert_true(f.pub.n > 2 && f.priv.n > 2 && f.pub.p >= der.p &&
			    f.priv.p + f.priv.n <= der.p + der.n);
	if (parent)
		*parent = f.parent;
	return rc;
}

static void test_golden(void **state)
{
	HF_AUTO_BUF der = HF_BUF(HF_KEYFILE_MAX);
	HF_AUTO_BUF pem = HF_BUF(HF_KEYFILE_MAX);
	struct hf_err e = HF_ERR_INIT;
	struct hf_keyfile f;

	(void)state;
	assert_int_equal(hf_keyfile_decode(text(golden), &der, &f, &e), HF_OK);
	assert_int_equal(f.parent, 0x40000001);
	assert_int_equal(f.pub.n, 88);
	assert_int_equal(f.priv.n, 128);
	assert_int_equal(hf_keyfile_encode(&f, &pem, &e), HF_OK);
	assert_string_equal((const char *)pem.p, golden);
	assert_int_equal(decode(HF_VIEW_BUF(&der), NULL), HF_OK); /* bare DER as well */
}

/* How a file is written: what comes before the parent, the parent, and what follows. */
struct form {
	const char *name;
	enum hf_rc rc;
	uint32_t parent_read;
	const char *oid;
	const char *options;
	size_t options_n;
	const char *parent;
	size_t parent_n;
	const char *behind; /* inside the SEQUENCE */
	const char *after;  /* the SEQUENCE */
};

#define OPT(s) s, sizeof(s) - 1
#define IMPORTABLE "\x67\x81\x05\x0a\x01\x04"
#define SECRET "\xa2\x06\x04\x04\x00\x02xx"
#define AUTH "\xa0\x03\x01\x01\xff"
#define OWNER OPT("\x02\x04\x40\x00\x00\x01")

static const struct form forms[] = {
	{ "minimal", HF_OK, 0x40000001, LOADABLE, OPT(AUTH), OWNER, "", "" },
	{ "TRUE as 01", HF_OK, 0x40000001, LOADABLE, OPT("\xa0\x03\x01\x01\x01"), OWNER, "", "" },
	{ "no emptyAuth", HF_UNSUPPORTED, 0, LOADABLE, OPT(""), OWNER, "", "" },
	{ "emptyAuth FALSE", HF_UNSUPPORTED, 0, LOADABLE, OPT("\xa0\x03\x01\x01\x00"), OWNER, "", "" },
	{ "description", HF_OK, 0x40000001, LOADABLE, OPT(AUTH "\xa4\x05\x0c\x03key"), OWNER, "", "" },
	{ "unknown option", HF_OK, 0x40000001, LOADABLE, OPT(AUTH "\xa9\x02\x05\x00"), OWNER, "", "" },
	{ "parent's Name", HF_OK, 0x40000001, LOADABLE, OPT(AUTH "\xa6\x04\x04\x02xy"), OWNER, "", "" },
	{ "rsaParent FALSE", HF_OK, 0x40000001, LOADABLE, OPT(AUTH "\xa5\x03\x01\x01\x00"), OWNER, "", "" },
	{ "rsaParent TRUE", HF_OK, 0x40000001, LOADABLE, OPT(AUTH "\xa5\x03\x01\x01\xff"), OWNER, "", "" },
	{ "policy", HF_UNSUPPORTED, 0, LOADABLE, OPT(AUTH "\xa1\x02\x30\x00"), OWNER, "", "" },
	{ "secret that is none", HF_CORRUPT, 0, LOADABLE, OPT(AUTH "\xa2\x04\x04\x02xx"), OWNER, "", "" },
	{ "secret of a loadable key", HF_CORRUPT, 0, LOADABLE, OPT(AUTH SECRET), OWNER, "", "" },
	{ "authPolicy", HF_UNSUPPORTED, 0, LOADABLE, OPT(AUTH "\xa3\x02\x30\x00"), OWNER, "", "" },
	{ "options out of order", HF_CORRUPT, 0, LOADABLE, OPT("\xa4\x02\x0c\x00" AUTH), OWNER, "", "" },
	{ "option twice", HF_CORRUPT, 0, LOADABLE, OPT(AUTH AUTH), OWNER, "", "" },
	{ "option of the wrong type", HF_CORRUPT, 0, LOADABLE, OPT("\xa0\x02\x05\x00"), OWNER, "", "" },
	{ "importable without", HF_CORRUPT, 0, IMPORTABLE, OPT(AUTH), OWNER, "", "" },
	{ "importable", HF_UNSUPPORTED, 0, IMPORTABLE, OPT(AUTH SECRET), OWNER, "", "" },
	{ "sealed", HF_UNSUPPORTED, 0, "\x67\x81\x05\x0a\x01\x05", OPT(AUTH), OWNER, "", "" },
	{ "parent 0", HF_OK, 0x40000001, LOADABLE, OPT(AUTH), OPT("\x02\x01\x00"), "", "" },
	{ "persistent, positive", HF_OK, 0x81000001, LOADABLE, OPT(AUTH), OPT("\x02\x05\x00\x81\x00\x00\x01"), "", "" },
	{ "persistent, negative", HF_OK, 0x81000001, LOADABLE, OPT(AUTH), OPT("\x02\x04\x81\x00\x00\x01"), "", "" },
	{ "parent of 5 bytes", HF_CORRUPT, 0, LOADABLE, OPT(AUTH), OPT("\x02\x05\x01\x81\x00\x00\x01"), "", "" },
	{ "parent of 6 bytes", HF_CORRUPT, 0, LOADABLE, OPT(AUTH), OPT("\x02\x06\x00\x00\x40\x00\x00\x01"), "", "" },
	{ "parent -1", HF_CORRUPT, 0, LOADABLE, OPT(AUTH), OPT("\x02\x01\xff"), "", "" },
	{ "parent empty", HF_CORRUPT, 0, LOADABLE, OPT(AUTH), OPT("\x02\x00"), "", "" },
	{ "no parent", HF_CORRUPT, 0, LOADABLE, OPT(AUTH), OPT(""), "", "" },
	{ "more inside", HF_CORRUPT, 0, LOADABLE, OPT(AUTH), OWNER, "\x05", "" },
	{ "more behind", HF_CORRUPT, 0, LOADABLE, OPT(AUTH), OWNER, "", "\x05" },
};

static void make(struct hf_buf *der, const struct form *f)
{
	HF_AUTO_BUF seq = HF_BUF(4096);

	hf_der_put(&seq, HF_DER_OID, f->oid, strlen(f->oid));
	hf_buf_add(&seq, f->options, f->options_n);
	hf_buf_add(&seq, f->parent, f->parent_n);
	hf_der_put(&seq, HF_DER_OCTET_STRING, pub, sizeof(pub));
	hf_der_put(&seq, HF_DER_OCTET_STRING, priv, sizeof(priv));
	hf_buf_str(&seq, f->behind);
	hf_der_put(der, HF_DER_SEQUENCE, seq.p, seq.n);
	hf_buf_str(der, f->after);
	assert_false(seq.bad || der->bad);
}

static void test_forms(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(forms); i++) {
		HF_AUTO_BUF der = HF_BUF(4096);
		uint32_t parent = 0;

		make(&der, &forms[i]);
		if (decode(HF_VIEW_BUF(&der), &parent) != forms[i].rc)
			fail_msg("%s: wrong result", forms[i].name);
		if (!forms[i].rc && parent != forms[i].parent_read)
			fail_msg("%s: parent 0x%x", forms[i].name, parent);
	}
}

static void test_importable(void **state)
{
	const struct form form = { "", HF_OK, 0, IMPORTABLE, OPT(AUTH SECRET), OWNER, "", "" };
	HF_AUTO_BUF in = HF_BUF(4096);
	HF_AUTO_BUF der = HF_BUF(4096);
	struct hf_keyfile f;

	(void)state;
	make(&in, &form);
	assert_int_equal(hf_keyfile_decode_any(HF_VIEW_BUF(&in), &der, &f, NULL), HF_OK);
	assert_int_equal(f.secret.n, 4);
	assert_memory_equal(f.secret.p, "\0\2xx", 4);
	assert_int_equal(f.pub.n, sizeof(pub));
}

/* What only an import takes, and what it is told of it. */
static void test_other_programs(void **state)
{
	static const struct {
		const char *options;
		size_t n;
		bool empty_auth, rsa_parent;
		size_t name_n;
	} rows[] = {
		{ OPT(""), false, false, 0 },
		{ OPT("\xa0\x03\x01\x01\x00"), false, false, 0 }, /* tpm2_encodeobject: no password */
		{ OPT("\xa0\x03\x01\x01\x01"), true, false, 0 },
		{ OPT(AUTH "\xa5\x03\x01\x01\xff"), true, true, 0 },
		{ OPT(AUTH "\xa5\x03\x01\x01\x00\xa6\x04\x04\x02xy"), true, false, 2 },
		{ OPT(AUTH "\xa6\x04\x02\x02xy"), true, false, 0 }, /* something else that is called 6 */
		{ OPT(AUTH "\xa6\x06\x04\x02xy\x05\x00"), true, false, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		struct form form = { "", HF_OK, 0, LOADABLE, rows[i].options, rows[i].n, OWNER, "", "" };
		HF_AUTO_BUF in = HF_BUF(4096);
		HF_AUTO_BUF der = HF_BUF(4096);
		struct hf_keyfile f;

		make(&in, &form);
		assert_int_equal(hf_keyfile_decode_any(HF_VIEW_BUF(&in), &der, &f, NULL), HF_OK);
		assert_int_equal(f.empty_auth, rows[i].empty_auth);
		assert_int_equal(f.rsa_parent, rows[i].rsa_parent);
		assert_int_equal(f.parent_name.n, rows[i].name_n);
		hf_buf_finish(&der);
		assert_int_equal(hf_keyfile_decode(HF_VIEW_BUF(&in), &der, &f, NULL),
				 rows[i].empty_auth ? HF_OK : HF_UNSUPPORTED);
	}
}

static void test_written_parents(void **state)
{
	static const uint32_t parents[] = { 0x40000001, 0x81000001, 0x817fffff, 0x7f, 0x80, 0xffffffff };
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(parents); i++) {
		struct hf_keyfile f = { .parent = parents[i], .pub = { pub, sizeof(pub) },
					.priv = { priv, sizeof(priv) } };
		HF_AUTO_BUF pem = HF_BUF(4096);
		uint32_t parent = 0;

		assert_int_equal(hf_keyfile_encode(&f, &pem, NULL), HF_OK);
		assert_int_equal(decode(HF_VIEW_BUF(&pem), &parent), HF_OK);
		assert_int_equal(parent, parents[i]);
	}
}

static void test_pem_forms(void **state)
{
	static const struct {
		const char *before, *after;
		enum hf_rc rc;
	} rows[] = {
		{ "a key of holdfast\n\n", "", HF_OK },
		{ "", "\n \r\n\t", HF_OK },
		{ "", "x", HF_CORRUPT },
		{ "", golden, HF_CORRUPT },
		{ "-----BEGIN EC PRIVATE KEY-----\n", "", HF_OK }, /* text like any other */
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		HF_AUTO_BUF b = HF_BUF(HF_KEYFILE_MAX);

		hf_buf_str(&b, rows[i].before);
		hf_buf_str(&b, golden);
		hf_buf_str(&b, rows[i].after);
		assert_int_equal(decode(HF_VIEW_BUF(&b), NULL), rows[i].rc);
	}
	assert_int_equal(decode(text(""), NULL), HF_CORRUPT);
	assert_int_equal(decode(text("-----BEGIN TSS2 KEY BLOB-----\nAAAA\n-----END TSS2 KEY BLOB-----\n"),
				NULL), HF_CORRUPT);
	assert_int_equal(decode(text("-----BEGIN TSS2 PRIVATE KEY-----\n-----END TSS2 PRIVATE KEY-----\n"),
				NULL), HF_CORRUPT);
	assert_int_equal(decode(text("-----BEGIN TSS2 PRIVATE KEY-----\nA=AA\n"
				     "-----END TSS2 PRIVATE KEY-----\n"), NULL), HF_CORRUPT);
}

static void test_too_long(void **state)
{
	static uint8_t zeros[HF_KEYFILE_MAX + 1];
	struct hf_keyfile f = { .parent = 0x40000001, .pub = { zeros, 7000 },
				.priv = { priv, sizeof(priv) } };
	HF_AUTO_BUF pem = HF_BUF(HF_KEYFILE_MAX);

	(void)state;
	assert_int_equal(decode((struct hf_view){ zeros, sizeof(zeros) }, NULL), HF_CORRUPT);
	assert_int_equal(hf_keyfile_encode(&f, &pem, NULL), HF_FAILED);
}

/* Each copy in a block of its own size: a sanitizer sees any read past the end. */
static enum hf_rc decode_copy(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	enum hf_rc rc;

	assert_non_null(copy);
	memcpy(copy, p, n);
	rc = decode((struct hf_view){ copy, n }, NULL);
	free(copy);
	return rc;
}

static void test_every_truncation(void **state)
{
	HF_AUTO_BUF der = HF_BUF(4096);
	size_t i;

	(void)state;
	make(&der, &forms[0]);
	for (i = 0; i < der.n; i++)
		assert_int_not_equal(decode_copy(der.p, i), HF_OK);
	for (i = 0; i < sizeof(golden) - 2; i++)
		assert_int_not_equal(decode_copy((const uint8_t *)golden, i), HF_OK);
}

static void test_every_flipped_bit(void **state)
{
	HF_AUTO_BUF der = HF_BUF(4096);
	uint8_t pem[sizeof(golden) - 1];
	size_t i;

	(void)state;
	make(&der, &forms[5]);
	for (i = 0; i < der.n * 8; i++) {
		der.p[i / 8] ^= (uint8_t)(1u << (i % 8));
		(void)decode_copy(der.p, der.n); /* decode() checks what a success has to look like */
		der.p[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	memcpy(pem, golden, sizeof(pem));
	for (i = 0; i < sizeof(pem) * 8; i++) {
		pem[i / 8] ^= (uint8_t)(1u << (i % 8));
		(void)decode_copy(pem, sizeof(pem));
		pem[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_importable),
		cmocka_unit_test(test_other_programs),
		cmocka_unit_test(test_written_parents),
		cmocka_unit_test(test_pem_forms),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_every_flipped_bit),
	};

	return cmocka_run_group_tests_name("keyfile", tests, NULL, NULL);
}
