/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.toml as a whole: what is right gives the expected holdfastd.json, what is wrong
 * gives its line and the right word, and no text whatever crashes the parser.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "conf/daemonfile.h"
#include "conf/schema.h"
#include "conf/toml.h"

#define DATA HF_TEST_DATA

/* Parses, checks and translates; the text of the JSON, or NULL and @p. The caller frees. */
static char *translate(const char *text, size_t n, struct hf_problems *p)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_paths paths;
	struct hf_node *root;
	json_object *json = NULL;
	char *out = NULL;

	memset(p, 0, sizeof(*p));
	assert_int_equal(hf_paths_init(&paths, NULL, &e), HF_OK);
	root = hf_toml_parse(text, n, "config.toml", p);
	if (root) {
		hf_conf_check(root, p);
		json = hf_daemonfile_make(&(struct hf_making){ root, &paths, p, NULL, NULL });
	}
	if (json)
		out = strdup(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
	json_object_put(json);
	hf_node_free(root);
	assert_true(out || p->errors);
	return out;
}

static const struct hf_problem *first_error(struct hf_problems *p)
{
	size_t i;

	hf_problem_sort(p);
	for (i = 0; i < p->n; i++)
		if (p->list[i].severity == HF_PROBLEM_ERROR)
			return &p->list[i];
	fail_msg("there is no error");
	return NULL;
}

static void full_config(void **state)
{
	HF_AUTO_BUF toml = HF_BUF(1u << 20), want = HF_BUF(1u << 20);
	struct hf_err e = HF_ERR_INIT;
	struct hf_problems p;
	json_object *expected;
	char *got;

	(void)state;
	assert_int_equal(hf_file_read(DATA "/config-full.toml", false, &toml, &e), HF_OK);
	assert_int_equal(hf_file_read(DATA "/config-full.json", false, &want, &e), HF_OK);
	got = translate((const char *)toml.p, toml.n, &p);
	if (!got)
		fail_msg("%u: %s", p.list[0].line, p.list[0].text);
	expected = json_tokener_parse((const char *)want.p);
	assert_non_null(expected);
	assert_string_equal(got, json_object_to_json_string_ext(expected, JSON_C_TO_STRING_PLAIN));
	json_object_put(expected);
	free(got);
}

static void empty_config(void **state)
{
	static const char want[] =
		"{\"version\":1,\"state_dir\":\"\\/var\\/lib\\/"
		"holdfast\",\"default_token\":\"tpm\","
		"\"tokens\":[{\"name\":\"tpm\",\"type\":\"tpm2\",\"tcti\":\"device:\\/dev\\/"
		"tpmrm0\","
		"\"primary_handle\":2164260993,\"timeout_ms\":10000}],"
		"\"sockets\":[{\"name\":\"main\",\"path\":\"\\/run\\/holdfast\\/holdfast.sock\","
		"\"owner\":\"\",\"group\":\"" HF_KEYS_USER "\",\"mode\":432}],\"metrics\":[],"
		"\"principals\":[{\"uid\":0,\"gid\":-1,\"socket\":\"main\",\"keys\":[\"*\"],"
		"\"rights\":[\"public\",\"sign\",\"ca\",\"decrypt\",\"derive\",\"create\","
		"\"rotate\","
		"\"delete\",\"admin\"]}],\"profiles\":[],"
		"\"limits\":{\"connections\":512,\"connections_per_principal\":64,"
		"\"queue_per_principal\":64,\"queue\":2048,\"packet\":65536,\"bytes\":8388608,\"idle_s\":0}}";
	struct hf_problems p;
	char *got;

	(void)state;
	got = translate("", 0, &p);
	assert_string_equal(got, want);
	free(got);
}

/* @message: part of the first error */
static const struct {
	const char *text;
	unsigned line;
	const char *message;
} mistaken[] = {
	{ "hostname = x", 1, "not TOML" },
	{ "hostname = x", 1, "quotes" },
	{ "a = 1\na = 2", 2, "not TOML" },
	{ "hostnam = \"x\"", 1, "did you mean 'hostname'" },
	{ "\n[edge_cas]\n", 2, "did you mean [edge_ca]" },
	{ "[[tokn]]", 1, "did you mean [[token]]" },
	{ "[token]\nname = \"x\"", 1, "write [[token]]" },
	{ "token = [1]", 1, "write [[token]]" },
	{ "limits = 3", 1, "write [limits]" },
	{ "[[limits]]", 1, "write [limits]" },
	{ "[[token]]\nname = \"t\"\ntimout = \"1s\"", 3, "did you mean 'timeout'" },
	{ "[[token]]\nname = \"t\"\ntimeout = 10", 3, "timeout is 10; write a duration" },
	{ "[[token]]\nname = \"t\"\ntimeout = \"1h\"", 3, "600s" },
	{ "[[token]]\nname = \"t\"\ntype = \"tpm\"", 3, "did you mean \"tpm2\"" },
	{ "[[token]]\nname = \"t\"\nprimary_handle = 1", 3, "0x81000000" },
	{ "[[token]]\n", 1, "has no 'name'" },
	{ "[[token]]\nname = \"a b\"", 2, "write a name" },
	{ "[[token]]\nname = \"a\"\n[[token]]\nname = \"a\"", 4, "already (config.toml:2)" },
	{ "[[token]]\nname = \"a\"\ndefault = true\n[[token]]\nname = \"b\"\ndefault = "
	  "true",
	  6, "the default already" },
	{ "[[socket]]\nname = \"main\"\npath = \"run/x\"", 3, "absolute path" },
	{ "[[socket]]\nname = \"main\"\npath = \"/x\"\nmode = 660", 4, "\"0660\"" },
	{ "[[socket]]\nname = \"main\"\npath = \"/x\"\nmode = \"0777\"", 4, "\"0660\"" },
	{ "[[socket]]\nname = \"main\"\npath = \"/x\"\ngroup = \"no-such-group\"", 4,
	  "there is no group \"no-such-group\"" },
	{ "[[principal]]\nkeys = [\"a\"]", 1, "says nobody" },
	{ "[[principal]]\nuid = 65534\nkeys = [\"a\"]", 2, "whoever the kernel cannot name" },
	{ "[[principal]]\ngid = 65534\nkeys = [\"a\"]", 2, "whoever the kernel cannot name" },
	{ "[[principal]]\nuser = \"nobody\"\nkeys = [\"a\"]", 2, "whoever the kernel cannot name" },
	{ "[[principal]]\nuid = 1", 1, "has no 'keys'" },
	{ "[[principal]]\nuid = 1\nuser = \"root\"\nkeys = []", 3, "both uid and user" },
	{ "[[principal]]\nuser = \"no-such-user\"\nkeys = []", 2, "there is no user" },
	{ "[[principal]]\nuid = 4294967295\nkeys = []", 2, "write a number" },
	{ "[[principal]]\nuid = -1\nkeys = []", 2, "write a number" },
	{ "[[principal]]\nuid = 1\nkeys = \"a\"", 3, "write a list" },
	{ "[[principal]]\nuid = 1\nkeys = [\"a/b\"]", 3, "write a list" },
	{ "[[principal]]\nuid = 1\nkeys = [\"a\"]\nrights = [\n\"sign\",\n\"sing\"]", 6,
	  "did you mean \"sign\"" },
	{ "[[principal]]\nuid = 1\nkeys = [\"a\"]\nsocket = \"mian\"", 4, "did you mean \"main\"" },
	{ "[[ca_profile]]\nkey = \"a b\"", 2, "cannot be the name" },
	{ "[[ca_profile]]\nkey = \"a\"\nmax_days = 0", 3, "from 1 to" },
	{ "[limits]\nconnections = \"many\"", 2, "write a number" },
	{ "[edge_ca]\ncert = \"/var/x.pem\"", 2, "file:///PATH" },
	{ "[edge_ca]\nmethod = \"EST\"", 2, "did you mean \"est\"" },
	{ "[edge_ca]\nthreshold = \"80%\"", 2, "in [edge_ca.auto_renew]" },
	{ "[edge_ca]\ntrust_bundle_cert = \"file:///x\"", 2, "before the first [section]" },
	{ "[edge_ca.auto_renew]\nthreshold = \"100%\"", 2, "1 to 99" },
	{ "[cert_issuance.est.urls]\ndefault = \"ftp://x\"", 2, "https://" },
	{ "[cert_issuance.est]\ntrusted_certs = \"file:///x\"", 2, "[\"file:///PATH\"" },
	{ "[provisioning.attestation]\nidentity_cert = 3", 2, "file:///PATH" },
	{ "[provisioning.attestation.identity_cert]\nmethd = \"est\"", 2, "did you mean 'method'" },
	{ "[moby_runtime.content_trst]", 1, "did you mean [moby_runtime.content_trust]" },
	{ "homedir_path = \"/x\"", 1, "single IoT Edge daemon" },
	{ "hostname = 1979-05-27", 1, "a date" },
};

static void mistakes(void **state)
{
	const struct hf_problem *first;
	struct hf_problems p;
	char *got;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(mistaken); i++) {
		got = translate(mistaken[i].text, strlen(mistaken[i].text), &p);
		assert_null(got);
		first = first_error(&p);
		if (first->line != mistaken[i].line || !strstr(first->text, mistaken[i].message))
			fail_msg("row %zu: line %u (want %u): %s (want %s)", i, first->line,
				 mistaken[i].line, first->text, mistaken[i].message);
		assert_string_equal(first->file, "config.toml");
	}
}

/* Passwords, keys and PINs stay out of messages. */
static void secrets_are_not_shown(void **state)
{
	static const char *const rows[] = {
		"[cert_issuance.est.auth]\npassword = 4711",
		"[cert_issuance.est.auth]\nidentity_pk = \"pkcs12:4711\"",
		"[provisioning.authentication.device_id_pk]\nvalue = 4711",
		"[aziot_keys]\npkcs11_base_slot = 4711",
		"[preloaded_keys]\na = \"x:4711\"",
		"trust_bundle_cert = \"pkcs11:object=x?pin-value=4711\"",
		"[preloaded_certs]\na = \"pkcs11:object=x?pin-value=4711\"",
		"[preloaded_certs]\na = [\"b\", 4711]",
		"[edge_ca]\nurl = \"ftp://me:4711@host/\"",
		"[cert_issuance.est]\ntrusted_certs = [\"pkcs11:pin-value=4711\"]",
		"[cert_issuance.est.auth]\npasword = \"4711\"",
		"[cert_issuance.est.auth]\npassword = 4711x",
		"[cert_issuance.est.auth]\npassword = \"4711",
		"[cert_issuance.est.auth]\npassword = \"4711\"\npassword = \"4711\"",
	};
	struct hf_problems p;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		assert_null(translate(rows[i], strlen(rows[i]), &p));
		assert_null(strstr(first_error(&p)->text, "4711"));
	}
}

/* A drop-in may come from elsewhere; what it says is printed as root. */
static void keys_do_not_steer_the_terminal(void **state)
{
	static const char text[] = "\"\\u001b[2J\\u0007\\n\" = 1\n[limits]\n"
				   "\"a\\rb\" = 1\n\"idle\" = \"\\u001b\\u007f\"";
	struct hf_problems p;
	size_t i;
	const char *c;

	(void)state;
	assert_null(translate(text, strlen(text), &p));
	assert_int_equal(p.errors, 3);
	for (i = 0; i < p.n; i++)
		for (c = p.list[i].text; *c; c++)
			assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
	assert_non_null(strstr(p.list[0].text, "'?[2J?"
					       "?'"));
}

static void sockets_without_main(void **state)
{
	static const char side[] = "\n[[socket]]\nname = \"side\"\npath = \"/s\"\n";
	static const char both[] = "[[socket]]\nname = \"side\"\npath = \"/s\"\n"
				   "[[socket]]\nname = \"main\"\npath = \"/m\"\n";
	struct hf_problems p;

	(void)state;
	free(translate(side, strlen(side), &p));
	assert_int_equal(p.errors, 0);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.list[0].severity, HF_PROBLEM_WARNING);
	assert_int_equal(p.list[0].line, 2);
	assert_non_null(strstr(p.list[0].text, "/run/holdfast/holdfast.sock"));
	free(translate(both, strlen(both), &p));
	assert_int_equal(p.n, 0);
	free(translate("", 0, &p));
	assert_int_equal(p.n, 0);
}

static void nul_and_not_utf8(void **state)
{
	static const char nul[] = "hostname = \"a\\u0000b\"", key[] = "\n\"a\\u0000\" = 1";
	static const char utf8[] = "hostname = \"\xff\xfe\"";
	struct hf_problems p;

	(void)state;
	assert_null(translate(nul, strlen(nul), &p));
	assert_non_null(strstr(p.list[0].text, "NUL"));
	assert_null(translate(key, strlen(key), &p));
	assert_non_null(strstr(p.list[0].text, "NUL"));
	assert_int_equal(p.list[0].line, 2);
	assert_null(translate(utf8, strlen(utf8), &p));
	assert_non_null(strstr(p.list[0].text, "not TOML"));
	assert_null(translate("a\0b = 1", 7, &p));
}

static void deep_nesting(void **state)
{
	char *text = malloc(200004);
	struct hf_problems p;

	(void)state;
	assert_non_null(text);
	memcpy(text, "a =", 3);
	memset(text + 3, '[', 200000);
	assert_null(translate(text, 200003, &p));
	free(text);
}

/* Every truncation and every flipped bit of a file that has everything: no crash, no leak. */
static void damaged(void **state)
{
	HF_AUTO_BUF toml = HF_BUF(1u << 20);
	struct hf_err e = HF_ERR_INIT;
	struct hf_problems p;
	size_t i;

	(void)state;
	assert_int_equal(hf_file_read(DATA "/config-full.toml", false, &toml, &e), HF_OK);
	for (i = 0; i < toml.n; i++)
		free(translate((const char *)toml.p, i, &p));
	for (i = 0; i < toml.n; i++) {
		toml.p[i] ^= (uint8_t)(1u << (i % 8));
		free(translate((const char *)toml.p, toml.n, &p));
		toml.p[i] ^= (uint8_t)(1u << (i % 8));
	}
}

static void many_errors(void **state)
{
	HF_AUTO_BUF text = HF_BUF(1u << 20);
	struct hf_err e = HF_ERR_INIT;
	struct hf_problems p;
	int i;

	(void)state;
	for (i = 0; i < 100; i++)
		hf_buf_fmt(&text, "zz%d = 1\n", i);
	assert_null(translate((const char *)text.p, text.n, &p));
	assert_int_equal(p.n, HF_PROBLEMS_MAX);
	assert_int_equal(p.errors, 100);
	assert_int_equal(p.more, 100 - HF_PROBLEMS_MAX);
	assert_int_equal(hf_problem_result(&p, &e), HF_ARGUMENT);
	assert_non_null(strstr(e.msg, "99 more"));
}

/* The schema itself: names once, words where there have to be, a text for everybody. */
static void schema_is_sound(void **state)
{
	const struct hf_conf_section *s;
	const struct hf_conf_key *k;
	size_t i;

	(void)state;
	for (s = hf_conf_sections; s->path; s++) {
		assert_ptr_equal(hf_conf_section_find(s->path), s);
		assert_non_null(s->doc);
		for (i = 0; i < HF_COUNT(s->keys); i++)
			for (k = s->keys[i]; k && k->name; k++) {
				assert_ptr_equal(hf_conf_key_find(s, k->name), k);
				assert_true(k->doc && k->doc[strlen(k->doc) - 1] == '.');
				assert_int_equal(k->words != NULL,
						 k->type == HF_CONF_CHOICE ||
							 k->type == HF_CONF_CHOICES);
			}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_config),
		cmocka_unit_test(empty_config),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(secrets_are_not_shown),
		cmocka_unit_test(keys_do_not_steer_the_terminal),
		cmocka_unit_test(sockets_without_main),
		cmocka_unit_test(nul_and_not_utf8),
		cmocka_unit_test(deep_nesting),
		cmocka_unit_test(damaged),
		cmocka_unit_test(many_errors),
		cmocka_unit_test(schema_is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
