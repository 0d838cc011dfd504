/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of modules, by a CA in memory; and who may have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/module.h"
#include "agent/principal.h"

#define NOW 1800000000
#define DAY 86400

static EVP_PKEY *ca_key, *key;
static X509 *ca;

static X509 *make_ca(int64_t days)
{
	X509_NAME *name = X509_NAME_new();
	struct hf_err err = HF_ERR_INIT;
	X509 *cert;

	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"ca", -1,
					 -1, 0);
	cert = hf_issue(
		&(struct hf_issue){
			.subject = name, .key = ca_key, .ca = true, .days = days, .now = NOW },
		&err);
	X509_NAME_free(name);
	return cert;
}

static int setup(void **state)
{
	(void)state;
	ca_key = EVP_EC_gen("P-256");
	key = EVP_EC_gen("P-256");
	ca = make_ca(90);
	return !ca;
}

static int teardown(void **state)
{
	(void)state;
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return 0;
}

static X509 *issue(const struct hf_module *m, X509 *by, int64_t days, int64_t now, struct hf_err *e)
{
	const struct hf_module_device device = { "hub", "dev" };
	const struct hf_module_issuer issuer = {
		.cert = by, .key = ca_key, .days = days, .now = now
	};

	return hf_module_issue(m, &device, key, &issuer, e);
}

static void validity(void **state)
{
	/* days asked for, from when; days that come out */
	static const struct {
		int64_t days, after, got;
	} rows[] = { { 30, 0, 30 },  { 30, 59, 30 }, { 30, 60, 30 },
		     { 30, 61, 29 }, { 30, 89, 1 },  { 3650, 0, 90 } };
	const struct hf_module m = {
		.server = true, .id = "m", .generation = "1", .common_name = "a"
	};
	struct hf_err err = HF_ERR_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t now = NOW + rows[i].after * DAY;
		X509 *cert = issue(&m, ca, rows[i].days, now, &err);

		assert_non_null(cert);
		assert_int_equal(
			ASN1_TIME_cmp_time_t(X509_get0_notAfter(cert), now + rows[i].got * DAY), 0);
		/* Back-dated, but not to before the CA. */
		assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notBefore(cert), now - 300), 0);
		assert_int_equal(X509_verify(cert, ca_key), 1);
		X509_free(cert);
	}
	assert_null(issue(&m, ca, 30, NOW + 90 * DAY, &err));
	assert_int_equal(err.rc, HF_REFUSED);
}

static void names(void **state)
{
	static const struct {
		const char *id, *cn;
		bool good;
	} rows[] = { { "m", "a", true },
		     { "$edgeHub", "a-b_c.example", true },
		     { "m", "192.0.2.1", true },
		     { "m", "::1", true },
		     { "m", "*.example", true },
		     { "m", "", false },
		     { "", "a", false },
		     { "m", "a b", false },
		     { "m\n", "a", false },
		     { "m", "a..b", false },
		     { "m", ".a", false },
		     { "m", "a.", false },
		     { "m", "*", false },
		     { "m", "a,DNS:b", false },
		     { "m", "a/b", false },
		     { "m", "\xc3\xa9", false },
		     { "m", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		       false } };
	struct hf_module m = { .server = true, .generation = "1" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hf_err err = HF_ERR_INIT;
		X509 *cert;

		assert_true(hf_copy(m.id, sizeof(m.id), rows[i].id));
		assert_true(hf_copy(m.common_name, sizeof(m.common_name), rows[i].cn));
		cert = issue(&m, ca, 30, NOW, &err);
		if ((cert != NULL) != rows[i].good)
			fail_msg("%s %s: %s", rows[i].id, rows[i].cn, err.msg);
		if (!cert)
			assert_int_equal(err.rc, HF_ARGUMENT);
		X509_free(cert);
	}
}

static void keys(void **state)
{
	static const struct {
		const char *type, *group;
		unsigned bits;
		bool good;
	} rows[] = { { "EC", "P-256", 0, true },   { "EC", "P-384", 0, true },
		     { "EC", "P-521", 0, true },   { "EC", "secp256k1", 0, false },
		     { "EC", "P-224", 0, false },  { "RSA", NULL, 2048, true },
		     { "RSA", NULL, 1024, false }, { "ED25519", NULL, 0, true },
		     { "X25519", NULL, 0, false }, { "ED448", NULL, 0, false } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hf_err err = HF_ERR_INIT;
		EVP_PKEY *k = rows[i].group ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", rows[i].group)
			      : rows[i].bits
				      ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)rows[i].bits)
				      : EVP_PKEY_Q_keygen(NULL, NULL, rows[i].type);

		assert_non_null(k);
		assert_int_equal(hf_module_key_check(k, &err), rows[i].good ? HF_OK : HF_ARGUMENT);
		EVP_PKEY_free(k);
	}
}

static void who(void **state)
{
	static struct hf_agent_grant grants[] = {
		{ .uid = 7,
		  .certs = { "a/*", "b" },
		  .n_certs = 2,
		  .modules = { "cam*" },
		  .n_modules = 1 },
		{ .uid = 7, .certs = { "c" }, .n_certs = 1 },
		{ .uid = 65534,
		  .certs = { "*" },
		  .n_certs = 1,
		  .modules = { "*" },
		  .n_modules = 1 },
	};
	static const struct hf_agent_settings s = { .principals = grants, .n_principals = 3 };
	static const struct {
		uid_t uid;
		enum hf_agent_right right;
		const char *name;
		bool may;
	} rows[] = {
		{ 7, HF_RIGHT_CERT, "a/x", true },	 { 7, HF_RIGHT_CERT, "b", true },
		{ 7, HF_RIGHT_CERT, "c", true },	 { 7, HF_RIGHT_CERT, "ax", false },
		{ 7, HF_RIGHT_CERT, "camera", false },	 { 7, HF_RIGHT_MODULE, "camera", true },
		{ 7, HF_RIGHT_MODULE, "b", false },	 { 7, HF_RIGHT_ADMIN, "", false },
		{ 7, HF_RIGHT_NOBODY_ASKS, "", true },	 { 8, HF_RIGHT_CERT, "b", false },
		{ 8, HF_RIGHT_MODULE, "camera", false }, { 65534, HF_RIGHT_CERT, "b", false },
		{ 65534, HF_RIGHT_MODULE, "m", false },	 { 0, HF_RIGHT_CERT, "x", true },
		{ 0, HF_RIGHT_MODULE, "x", true },	 { 0, HF_RIGHT_ADMIN, "", true },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].uid != geteuid() || rows[i].uid == 0)
			assert_int_equal(
				hf_principal_may(&s, rows[i].uid, rows[i].right, rows[i].name),
				rows[i].may);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(validity), cmocka_unit_test(names),
					    cmocka_unit_test(keys), cmocka_unit_test(who) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
