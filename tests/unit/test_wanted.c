/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate that came is held against what the configuration asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/issue.h"
#include "agent/wanted.h"

#define NOW 1800000000

static EVP_PKEY *ca_key, *key;
static X509 *ca, *other;

/* Made as @c says, but for what the row says. */
struct row {
	const char *method, *role, *cn, *san;
	int64_t pathlen;
	bool with_ca, with_other;
	const char *says; /* NULL: it is good */
};

static struct hf_credential_conf *conf(const char *cn, const char *san, bool is_ca)
{
	struct hf_credential_conf *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	(void)hf_copy(c->subject[0][0], sizeof(c->subject[0][0]), "CN");
	(void)hf_copy(c->subject[0][1], sizeof(c->subject[0][1]), cn);
	(void)hf_copy(c->sans[0], sizeof(c->sans[0]), san);
	c->n_subject = 1;
	c->n_sans = san[0] != '\0';
	c->ca = is_ca;
	c->pathlen = 0;
	return c;
}

static X509 *make(const struct hf_credential_conf *c, EVP_PKEY *of, int64_t pathlen, X509 *by)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_issue i = { .key = of,
			      .ca = c->ca,
			      .pathlen = pathlen,
			      .days = 9,
			      .now = NOW,
			      .issuer = by,
			      .issuer_key = ca_key };
	X509 *cert;

	i.subject = hf_issue_subject(c, &e);
	assert_int_equal(hf_issue_sans(c, &i.sans, &e), HF_OK);
	cert = hf_issue(&i, &e);
	assert_non_null(cert);
	X509_NAME_free(i.subject);
	GENERAL_NAMES_free(i.sans);
	return cert;
}

static int setup(void **state)
{
	struct hf_credential_conf *c = conf("ca", "", true);

	(void)state;
	ca_key = EVP_EC_gen("P-256");
	key = EVP_EC_gen("P-256");
	ca = make(c, ca_key, 1, NULL);
	other = make(c, key, 1, NULL); /* the same name, another key */
	free(c);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	X509_free(ca);
	X509_free(other);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return 0;
}

static void judged(void **state)
{
	static const struct row rows[] = {
		{ "local_ca", "other", "web", "DNS:a", 0, true, false, NULL },
		{ "local_ca", "other", "web", "DNS:a", 0, false, false, NULL },
		{ "local_ca", "other", "bew", "DNS:a", 0, true, false, "another subject" },
		{ "local_ca", "other", "web", "DNS:b", 0, true, false, "subjectAltNames" },
		{ "local_ca", "other", "web", "", 0, true, false, "subjectAltNames" },
		{ "est", "other", "bew", "DNS:b", 0, true, false, NULL },
		{ "est", "device_id", "web", "DNS:b", 0, true, false, NULL },
		{ "est", "device_id", "bew", "DNS:a", 0, true, false, "common name" },
		{ "est", "edge_ca", "web", "DNS:a", 0, true, false, NULL },
		{ "est", "edge_ca", "web", "DNS:a", 1, true, false, "path length 1, not 0" },
		{ "est", "edge_ca", "web", "DNS:a", -1, true, false, "path length -1, not 0" },
		{ "est", "other", "web", "DNS:a", 0, false, true, "has not issued" },
		{ "est", "other", "web", "DNS:a", 0, true, true, "has not issued" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		const struct row *r = &rows[i];
		bool is_ca = !strcmp(r->role, "edge_ca");
		struct hf_credential_conf *want = conf("web", "DNS:a", is_ca);
		struct hf_credential_conf *got = conf(r->cn, r->san, is_ca);
		STACK_OF(X509) *list = sk_X509_new_null();
		X509 *leaf = make(got, key, r->pathlen, ca);
		struct hf_err e = HF_ERR_INIT;

		(void)hf_copy(want->method, sizeof(want->method), r->method);
		(void)hf_copy(want->role, sizeof(want->role), r->role);
		(void)sk_X509_push(list, leaf);
		if (r->with_ca)
			(void)sk_X509_push(list, ca);
		if (r->with_other)
			(void)sk_X509_push(list, other);
		assert_int_equal(hf_wanted_check(want, list, &e), r->says ? HF_REFUSED : HF_OK);
		if (r->says && !strstr(e.msg, r->says))
			fail_msg("row %zu: %s", i, e.msg);
		sk_X509_free(list);
		X509_free(leaf);
		free(want);
		free(got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(judged) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
