/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What config.toml says about certificates: what is forbidden gives its line and what to write,
 * the agent gets the rights that follow, and no text whatever crashes the mapping.
 * tests/system/test_iot_edge.py compares the rest with the original.
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
#include "conf/agentfile.h"
#include "conf/daemonfile.h"
#include "conf/schema.h"
#include "conf/toml.h"

#define DATA HF_TEST_DATA

static const struct hf_host host = { "pump-7", 64125, 64127, 64128 };

struct made {
	json_object *holdfastd, *agent; /* NULL: there was an error */
};

static struct made translate(const char *text, size_t n, struct hf_problems *p)
{
	struct made out = { NULL, NULL };
	struct hf_err e = HF_ERR_INIT;
	struct hf_creds creds;
	struct hf_paths paths;
	struct hf_node *root;
	struct hf_making m;

	memset(p, 0, sizeof(*p));
	assert_int_equal(hf_paths_init(&paths, NULL, &e), HF_OK);
	root = hf_toml_parse(text, n, "config.toml", p);
	m = (struct hf_making){ root, &paths, p, NULL, NULL };
	if (root)
		hf_conf_check(root, p);
	if (!p->errors) {
		hf_creds_make(&creds, &m, &host);
		m.creds = &creds;
		m.host = &host;
		out.holdfastd = hf_daemonfile_make(&m);
		if (out.holdfastd)
			out.agent = hf_agentfile_make(&creds, &host);
		hf_creds_finish(&creds);
	}
	hf_node_free(root);
	assert_true(out.agent || p->errors);
	return out;
}

static void drop(struct made m)
{
	json_object_put(m.holdfastd);
	json_object_put(m.agent);
}

static const struct hf_problem *first(struct hf_problems *p, enum hf_severity severity)
{
	size_t i;

	hf_problem_sort(p);
	for (i = 0; i < p->n; i++)
		if (p->list[i].severity == severity)
			return &p->list[i];
	return NULL;
}

#define DPS                                                                                        \
	"[provisioning]\nsource = \"dps\"\n[provisioning.attestation]\nmethod = \"x509\"\n"        \
	"registration_id = \"dev\"\n"
#define MANUAL                                                                                     \
	"[provisioning]\nsource = \"manual\"\ndevice_id = \"dev\"\n"                               \
	"[provisioning.authentication]\nmethod = \"x509\"\n"
#define DPS_CERT    DPS "[provisioning.attestation.identity_cert]\n"
#define MANUAL_CERT MANUAL "[provisioning.authentication.identity_cert]\n"
#define AUTH	    "[cert_issuance.est.auth]\nusername = \"u\"\npassword = \"geheim\"\n"
#define URLS	    "[cert_issuance.est.urls]\ndefault = \"https://est.example.org/\"\n"
#define CREDENTIAL  "[[credential]]\nid = \"web\"\n"

/* @line 0: about no line */
static const struct {
	const char *text;
	unsigned line;
	const char *message;
} forbidden[] = {
	/* what the article forbids */
	{ MANUAL_CERT "method = \"est\"\n" AUTH URLS, 7, "EST is not for manual provisioning" },
	{ MANUAL_CERT "method = \"self_signed\"\nauto_renew = { rotate_key = true }\n", 8,
	  "auto_renew is not for manual provisioning" },
	{ "[edge_ca]\nmethod = \"est\"\nauto_renew = { enabled = false }\n" AUTH URLS, 3,
	  "must not be disabled" },
	{ "hostname = \"gate\"\n[edge_ca]\ncommon_name = \"gate\"\n", 2,
	  "must not be the hostname \"gate\"" },
	{ "[edge_ca]\ncommon_name = \"PUMP-7\"\n", 1, "must not be the hostname" },
	{ "[edge_ca]\ncommon_name = \"dev\"\n[provisioning]\ndevice_id = \"dev\"\n", 1,
	  "must not be the device_id" },
	{ DPS_CERT "method = \"est\"\ncommon_name = \"other\"\n" AUTH URLS, 6,
	  "has to be the registration_id: write \"dev\", not \"other\"" },
	{ MANUAL_CERT "method = \"self_signed\"\nsubject = { CN = \"other\" }\n", 6,
	  "has to be the device_id" },
	{ "[provisioning]\nsource = \"dps\"\n[provisioning.attestation]\nmethod = \"x509\"\n"
	  "[provisioning.attestation.identity_cert]\nmethod = \"self_signed\"\n",
	  5, "write registration_id" },
	/* what the original drops without a word */
	{ "[cert_issuance.est.auth]\nusername = \"u\"\n[edge_ca]\nmethod = \"est\"\n" URLS, 2,
	  "username is of no use without password" },
	{ "[edge_ca]\nmethod = \"est\"\npassword = \"geheim\"\n" URLS, 3, "without username" },
	{ "[edge_ca]\nmethod = \"est\"\nidentity_cert = \"file:///a\"\n" URLS, 3,
	  "without identity_pk" },
	{ "[edge_ca]\nmethod = \"est\"\nbootstrap_identity_pk = \"file:///a\"\n" URLS, 3,
	  "without bootstrap_identity_cert" },
	{ "[edge_ca]\ncert = \"file:///a\"\n", 2, "cert without pk" },
	{ "[edge_ca]\npk = \"file:///a\"\n", 2, "pk without cert" },
	{ DPS "identity_cert = \"file:///a\"\n", 6, "identity_pk" },
	{ DPS, 3, "has no identity_cert" },
	{ "[provisioning.attestation]\nmethod = \"tpm\"\nidentity_cert = \"file:///a\"\n", 3,
	  "method = \"x509\"" },
	{ "[cert_issuance.local_ca]\ncert = \"file:///a\"\n", 2, "there is no pk" },
	{ "[cert_issuance.local_ca]\npk = \"file:///a\"\n", 1, "has no cert" },
	{ DPS_CERT "common_name = \"dev\"\n", 6, "write method" },
	{ "[cert_issuance.est.auth]\nidentity_cert = \"file:///a\"\n", 2, "without identity_pk" },
	{ "[cert_issuance.est.auth]\npassword_file = \"/x\"\n", 2, "without username" },
	{ URLS "devise-id = \"https://x\"\n" DPS_CERT "method = \"self_signed\"\n", 3,
	  "did you mean 'device-id'" },
	/* what cannot be */
	{ "[edge_ca]\nmethod = \"est\"\ncert = \"file:///a\"\npk = \"file:///b\"\n" AUTH URLS, 3,
	  "both a method and cert" },
	{ "[edge_ca]\nmethod = \"est\"\nauto_generated_edge_ca_expiry_days = 1\n" AUTH URLS, 3,
	  "write expiry_days" },
	{ "[edge_ca]\nexpiry_days = 10\n", 2, "needs a method" },
	{ "[edge_ca]\nurl = \"https://x\"\n", 2, "needs a method" },
	{ "[edge_ca]\nmethod = \"local_ca\"\n", 1, "write [cert_issuance.local_ca]" },
	{ "[edge_ca]\nmethod = \"est\"\n" AUTH, 1, "default = \"https://...\"" },
	{ "[edge_ca]\nmethod = \"est\"\nurl = \"http://x\"\n" AUTH, 1, "write https://" },
	{ "[cert_issuance.est.urls]\ndefault = \"http://x\"\n", 2, "write https://" },
	{ "[cert_issuance.local_ca.cert]\nmethod = \"local_ca\"\n", 2, "its own certificate" },
	{ "[edge_ca]\ncommon_name = \"a\"\nsubject = { CN = \"a\" }\n", 2, "both common_name" },
	{ "[edge_ca]\nsubject = { cn = \"a\" }\n", 1, "did you mean 'CN'" },
	{ "[edge_ca]\nsubject = { CN = \"a\", C = \"Germany\" }\n", 1, "two letters" },
	{ "[edge_ca]\nsubject = { CN = \"a\", O = \"\" }\n", 1, "empty O" },
	/* renewal */
	{ "[edge_ca]\nauto_generated_edge_ca_expiry_days = 5\n[edge_ca.auto_renew]\n"
	  "threshold = \"5d\"\n",
	  4, "not shorter than the 5 days" },
	{ "[edge_ca.auto_renew]\nthreshold = \"90day\"\n", 2, "Write a shorter one" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\ndays = 1\n"
		     "renew = { threshold = \"24h\" }\n",
	  6, "not shorter than the 1 days" },
	/* ours */
	{ CREDENTIAL "common_name = \"x\"\n", 1, "says not who issues it" },
	{ CREDENTIAL "method = \"self_signed\"\n", 1, "write common_name, subject or sans" },
	{ CREDENTIAL "method = \"files\"\n", 1, "write file" },
	{ CREDENTIAL "method = \"files\"\nfile = \"/x\"\nrenew = {}\n", 5, "are not renewed" },
	{ CREDENTIAL "method = \"est\"\nissuer = \"a\"\ncommon_name = \"x\"\n" AUTH URLS, 4,
	  "leave out one" },
	{ CREDENTIAL "issuer = \"edge-cb\"\ncommon_name = \"x\"\n[edge_ca]\n", 1,
	  "did you mean \"edge-ca\"" },
	{ CREDENTIAL "issuer = \"web\"\ncommon_name = \"x\"\n", 1, "no other certificate" },
	{ CREDENTIAL "issuer = \"b\"\ncommon_name = \"x\"\n[[credential]]\nid = \"b\"\n"
		     "method = \"self_signed\"\ncommon_name = \"y\"\n",
	  1, "which is no CA" },
	{ CREDENTIAL "issuer = \"b\"\ncommon_name = \"x\"\nca = true\n[[credential]]\nid = \"b\"\n"
		     "issuer = \"web\"\ncommon_name = \"y\"\nca = true\n",
	  1, "in the end is issued by web itself" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\n" CREDENTIAL
		     "method = \"self_signed\"\ncommon_name = \"x\"\n",
	  5, "already" },
	{ "[[credential]]\nid = \"edge-ca\"\nmethod = \"self_signed\"\ncommon_name = \"x\"\n"
	  "[edge_ca]\n",
	  1, "already" },
	{ CREDENTIAL "method = \"self_signed\"\nsubject = \"pump-7\"\n", 4, "O=Example,CN=NAME" },
	{ CREDENTIAL "method = \"self_signed\"\nsubject = \"CN=a,b\"\n", 4, "O=Example,CN=NAME" },
	{ CREDENTIAL "method = \"self_signed\"\nsubject = \"a,CN=b\"\n", 4, "O=Example,CN=NAME" },
	{ CREDENTIAL "method = \"self_signed\"\nsubject = \"cn=b\"\n", 1, "did you mean 'CN'" },
	{ CREDENTIAL "method = \"self_signed\"\nsubject = \"CN=\"\n", 1, "empty CN" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\nsans = [\n\"x.org\"]\n", 6,
	  "\"DNS:NAME\"" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\neku = [\"serverauth\"]\n", 5,
	  "did you mean \"serverAuth\"" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\neku = [\"1.2.3.\", \"web\"]\n",
	  5, "or an OID" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\neku = [\"OCSPSigning\"]\n", 5,
	  "speak for its issuer" },
	{ CREDENTIAL "method = \"self_signed\"\nsans = [\"IP:300.1.1.1\"]\n", 4, "IP:ADDRESS" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\n"
		     "hook = { exec = [\"reload\"] }\n",
	  5, "absolute path" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\nfile = \"/a\"\n"
		     "[[credential]]\nid = \"b\"\nmethod = \"self_signed\"\ncommon_name = \"x\"\n"
		     "file = \"/a\"\n",
	  6, "both in /a" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\nkey = \"k\"\n"
		     "[[credential]]\nid = \"b\"\nmethod = \"self_signed\"\ncommon_name = \"x\"\n"
		     "key = \"k\"\n",
	  6, "have one key" },
	{ CREDENTIAL "method = \"est\"\ncommon_name = \"x\"\n"
		     "est = { identity = \"none\", url = \"https://x\" }\n",
	  1, "as its identity" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\n"
		     "est = { url = \"https://x\" }\n",
	  5, "[credential.est] is for method = \"est\"" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\nowner = \"no-such-user\"\n", 5,
	  "there is no user" },
	{ "[[ca_profile]]\nkey = \"edge-*\"\nmax_days = 10\n[edge_ca]\n", 1,
	  "write max_days = 30" },
	{ "[[ca_profile]]\nkey = \"*\"\nself_max_days = 10\n[edge_ca]\n", 1,
	  "write self_max_days = 90" },
	{ "[edge_ca]\nmethod = \"local_ca\"\n[cert_issuance.local_ca.cert]\n"
	  "method = \"self_signed\"\nexpiry_days = 60\n[[ca_profile]]\nkey = \"local-ca\"\n",
	  6, "write ca_levels = 1" },
	{ "[[credential]]\nid = \"root\"\nmethod = \"self_signed\"\nca = true\ncommon_name = "
	  "\"r\"\n[[credential]]\nid = \"sub\"\nissuer = \"root\"\nca = true\ncommon_name = "
	  "\"s\"\n",
	  6, "larger pathlen" },
	{ "[edge_ca]\ntoken = \"tmp\"\n", 1, "did you mean \"tpm\"" },
	{ "[[token]]\nname = \"chip\"\n[edge_ca]\ntoken = \"tpm\"\n", 3,
	  "no [[token]] of that name" },
	{ "[edge_ca]\nalgorithm = \"ed25519\"\n", 1, "which no TPM makes" },
	{ "[preloaded_certs]\nall = [\n\"a\"]\n", 3,
	  "names a certificate \"a\" that there is not" },
	{ "[preloaded_certs]\n\"a b\" = \"file:///x\"\n", 2, "cannot be the id" },
	{ "[preloaded_certs]\na = \"file:///x%zz\"\n", 2, "two hex digits" },
	{ "[preloaded_certs]\naziot-edged-ca = \"file:///x\"\n", 2, "cert without pk" },
	{ "[preloaded_certs]\nedge-ca = \"file:///x\"\n", 2, "already" },
	{ "[preloaded_certs]\naziot-edged-ca = \"file:///x\"\n[edge_ca]\nmethod = \"est\"\n" AUTH
		  URLS,
	  2, "already" },
	{ "[[principal]]\ngid = 5\ncerts = [\"a\"]\n", 1, "needs a uid or a user" },
	{ "[certificates]\nrenew_window = \"2-4\"\n", 2, "\"02:00-04:00\"" },
	{ "[certificates]\nrenew_window = \"02:00-02:00\"\n", 2, "\"02:00-04:00\"" },
	{ "[edge_ca]\ncert = \"file:///a\"\npk = \"pkcs11:token=x;object=y\"\n", 1,
	  "not configured" },
};

static void what_is_forbidden(void **state)
{
	struct hf_problems p;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(forbidden); i++) {
		const struct hf_problem *bad;

		drop(translate(forbidden[i].text, strlen(forbidden[i].text), &p));
		bad = first(&p, HF_PROBLEM_ERROR);
		if (!bad)
			fail_msg("row %zu: no error (want %s)", i, forbidden[i].message);
		else if (bad->line != forbidden[i].line || !strstr(bad->text, forbidden[i].message))
			fail_msg("row %zu: line %u (want %u): %s (want %s)", i, bad->line,
				 forbidden[i].line, bad->text, forbidden[i].message);
		assert_null(strstr(bad->text, "geheim"));
	}
}

static const struct {
	const char *text;
	enum hf_severity severity;
	unsigned line;
	const char *message;
} said[] = {
	{ "[edge_ca]\ncert = \"file:///a\"\npk = \"file:///b\"\nauto_renew = {}\n",
	  HF_PROBLEM_WARNING, 4, "is not renewed" },
	{ "[edge_ca]\nmethod = \"est\"\nurl = \"https://x\"\n", HF_PROBLEM_WARNING, 1,
	  "nothing tells the EST server who asks" },
	{ "[edge_ca]\nmethod = \"est\"\nurl = \"https://x\"\nidentity_cert = \"file:///a\"\n"
	  "identity_pk = \"file:///b\"\nbootstrap_identity_cert = \"file:///c\"\n"
	  "bootstrap_identity_pk = \"file:///d\"\n",
	  HF_PROBLEM_WARNING, 4, "is not used" },
	{ "[edge_ca]\nmethod = \"est\"\nurl = \"https://x\"\n[cert_issuance.est.auth]\n"
	  "identity_cert = \"file:///a\"\nidentity_pk = \"file:///b\"\n"
	  "[cert_issuance.est.identity_auto_renew]\nrotate_key = true\n",
	  HF_PROBLEM_WARNING, 7, "of files is not renewed" },
	{ URLS "plant-7-web = \"https://x\"\n", HF_PROBLEM_WARNING, 3,
	  "there is no certificate \"plant-7-web\"" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\nowner = \"root\"\n",
	  HF_PROBLEM_WARNING, 1, "leave out owner" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\ngroup = \"root\"\n",
	  HF_PROBLEM_WARNING, 1, "usermod -aG root" },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\nfile = \"/etc/x.pem\"\n",
	  HF_PROBLEM_WARNING, 1, "ReadWritePaths=/etc " },
	{ CREDENTIAL "method = \"self_signed\"\ncommon_name = \"x\"\n"
		     "hook = { exec = [\"/bin/true\"], user = \"root\" }\n",
	  HF_PROBLEM_WARNING, 5, "holdfast-hook@web.path" },
	{ "[edge_ca]\nalgorithm = \"ed25519\"\n[aziot_keys]\npkcs11_lib_path = \"/x.so\"\n"
	  "pkcs11_base_slot = \"pkcs11:token=t\"\n",
	  HF_PROBLEM_NOTE, 1, "not for production" },
	{ "[edge_ca]\ntoken = \"h\"\n[[token]]\nname = \"t\"\n[[token]]\nname = \"h\"\n"
	  "type = \"pkcs11\"\nmodule = \"/x.so\"\nuri = \"pkcs11:token=t\"\n",
	  HF_PROBLEM_NOTE, 1, "not for production" },
	{ "[edge_ca.auto_renew]\nthreshold = \"1h\"\nretry = \"2h\"\n", HF_PROBLEM_WARNING, 3,
	  "one failure" },
	{ "[edge_ca]\nmethod = \"est\"\nauto_renew = { threshold = \"10d\" }\n" AUTH URLS,
	  HF_PROBLEM_NOTE, 3, "the agent warns" },
	{ DPS_CERT "method = \"est\"\n" AUTH URLS, HF_PROBLEM_NOTE, 6, "enrolment group" },
	{ "", HF_PROBLEM_NOTE, 0, "not for production" },
	{ "[edge_ca]\ncommon_name = \"1234567890123456789012345678901234567890123456789012345678901"
	  "2345\"\n",
	  HF_PROBLEM_WARNING, 2, "more than 64 characters" },
	{ "[edge_ca]\nmethod = \"local_ca\"\nexpiry_days = 90\n[cert_issuance.local_ca.cert]\n"
	  "method = \"self_signed\"\nexpiry_days = 60\n",
	  HF_PROBLEM_WARNING, 1, "it will end with that" },
};

static void what_is_said(void **state)
{
	struct hf_problems p;
	struct made m;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(said); i++) {
		const struct hf_problem *found;

		m = translate(said[i].text, strlen(said[i].text), &p);
		found = first(&p, said[i].severity);
		if (p.errors || !found)
			fail_msg("row %zu: %s", i,
				 p.errors ? first(&p, HF_PROBLEM_ERROR)->text : "-");
		else if (found->line != said[i].line || !strstr(found->text, said[i].message))
			fail_msg("row %zu: line %u (want %u): %s (want %s)", i, found->line,
				 said[i].line, found->text, said[i].message);
		drop(m);
	}
}

/* ---------------------------------------------------------------- rights */

static void expect(json_object *got, const char *want)
{
	json_object *parsed = json_tokener_parse(want);

	assert_non_null(parsed);
	assert_string_equal(json_object_to_json_string_ext(got, JSON_C_TO_STRING_PLAIN),
			    json_object_to_json_string_ext(parsed, JSON_C_TO_STRING_PLAIN));
	json_object_put(parsed);
}

/* What the agent may do, and no more; a file's key is never rotated. */
static void rights_of_the_agent(void **state)
{
	static const char text[] =
		MANUAL "identity_cert = \"file:///a\"\nidentity_pk = \"file:///b\"\n"
		       "[[credential]]\nid = \"web\"\nissuer = \"edge-ca\"\ncommon_name = "
		       "\"x\"\ndays = 95\n"
		       "[module]\nkeys = \"token\"\n"
		       "[[principal]]\nuid = 7\nkeys = [\"k\"]\nrights = [\"sign\"]\n";
	struct hf_problems p;
	struct made m = translate(text, strlen(text), &p);
	json_object *list, *own;

	(void)state;
	assert_non_null(m.agent);
	list = json_object_object_get(m.holdfastd, "principals");
	assert_int_equal(json_object_array_length(list), 6); /* root, uid 7, and these */
	own = json_object_new_array();
	while (json_object_array_length(list) > 2) {
		json_object_array_add(own, json_object_get(json_object_array_get_idx(list, 2)));
		json_object_array_del_idx(list, 2, 1);
	}
	expect(own,
	       "[{\"uid\":64125,\"gid\":-1,\"socket\":\"main\",\"keys\":[\"web\"],\"rights\":"
	       "[\"public\",\"sign\",\"create\",\"rotate\"],\"schemes\":[],\"rate\":0},"
	       "{\"uid\":64125,\"gid\":-1,\"socket\":\"main\",\"keys\":[\"edge-ca\"],\"rights\":"
	       "[\"public\",\"ca\",\"create\",\"rotate\"],\"schemes\":[],\"rate\":0},"
	       "{\"uid\":64125,\"gid\":-1,\"socket\":\"main\",\"keys\":[\"device-id\"],"
	       "\"rights\":[\"public\",\"sign\",\"rotate\"],\"schemes\":[],\"rate\":0},"
	       "{\"uid\":64125,\"gid\":-1,\"socket\":\"main\",\"keys\":[\"module-*\"],"
	       "\"rights\":[\"public\",\"sign\",\"create\",\"rotate\",\"delete\"],"
	       "\"schemes\":[],\"rate\":0}]");
	json_object_put(own);
	expect(json_object_object_get(m.holdfastd, "profiles"),
	       "[{\"key\":\"edge-ca\",\"max_days\":95,\"self_max_days\":90,\"pathlen\":0,"
	       "\"ca_levels\":0,\"names\":[]}]");
	expect(json_object_object_get(m.agent, "principals"),
	       "[{\"uid\":64127,\"certs\":[\"aziot-edged-ca\",\"aziot-edged/module/*\"],"
	       "\"modules\":[\"*\"]},{\"uid\":64128,\"certs\":[\"device-id\"],\"modules\":[]}]");
	drop(m);
}

/* ---------------------------------------------------------------- hostile texts */

static const char *const files[] = {
	"config-full.toml",
	"device-dps-est.toml",
	"device-dps-tpm-local-ca.toml",
	"device-manual-x509-hsm.toml",
	"iot-edge/iotedge-apply/ca-certs-est/super-config.toml",
	"iot-edge/iis-apply/dps-x509-est-bootstrap-auto-renew/config.toml",
	"iot-edge/iis-apply/manual-x509-pkcs11/config.toml",
};

static void read_file(const char *name, struct hf_buf *out)
{
	struct hf_err e = HF_ERR_INIT;
	char path[HF_PATH_MAX];

	assert_int_equal(hf_path_join(path, DATA, name, &e), HF_OK);
	assert_int_equal(hf_file_read(path, false, out, &e), HF_OK);
}

static void files_are_good(void **state)
{
	struct hf_problems p;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(files); i++) {
		HF_AUTO_BUF text = HF_BUF(1u << 20);

		read_file(files[i], &text);
		drop(translate((const char *)text.p, text.n, &p));
		if (p.errors)
			fail_msg("%s: %s", files[i], first(&p, HF_PROBLEM_ERROR)->text);
	}
}

/* The same numbers each time: xorshift. */
static uint32_t dice(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Each line is left out with a chance of one to eight; what is left may be anything. */
static void without_some_lines(void **state)
{
	uint32_t seed = 2463534242;
	struct hf_problems p;
	size_t i, k;

	(void)state;
	for (i = 0; i < HF_COUNT(files); i++) {
		HF_AUTO_BUF text = HF_BUF(1u << 20);

		read_file(files[i], &text);
		for (k = 0; k < 400; k++) {
			HF_AUTO_BUF left = HF_BUF(1u << 20);
			const char *line = (const char *)text.p, *end;

			for (; (end = strchr(line, '\n')); line = end + 1)
				if (dice(&seed) % 8)
					hf_buf_add(&left, line, (size_t)(end + 1 - line));
			drop(translate(left.p ? (const char *)left.p : "", left.n, &p));
		}
	}
}

/* Keys of one section under the heading of another. */
static void with_lines_exchanged(void **state)
{
	uint32_t seed = 88172645;
	struct hf_problems p;
	size_t i, k;

	(void)state;
	for (i = 0; i < HF_COUNT(files); i++) {
		HF_AUTO_BUF text = HF_BUF(1u << 20);

		read_file(files[i], &text);
		for (k = 0; k < 200; k++) {
			HF_AUTO_BUF left = HF_BUF(1u << 20);
			const char *line, *end;
			uint32_t from = dice(&seed) % 60, n = 0;

			for (line = (const char *)text.p; (end = strchr(line, '\n'));
			     line = end + 1)
				if (n++ >= from)
					hf_buf_add(&left, line, (size_t)(end + 1 - line));
			n = 0;
			for (line = (const char *)text.p; (end = strchr(line, '\n'));
			     line = end + 1)
				if (n++ < from)
					hf_buf_add(&left, line, (size_t)(end + 1 - line));
			drop(translate((const char *)left.p, left.n, &p));
		}
	}
}

static void too_many(void **state)
{
	HF_AUTO_BUF text = HF_BUF(1u << 20);
	struct hf_problems p;
	size_t i;

	(void)state;
	for (i = 0; i < HF_CREDS_MAX + 1; i++)
		hf_buf_fmt(&text,
			   "[[credential]]\nid = \"c%zu\"\nmethod = \"self_signed\"\n"
			   "common_name = \"x\"\n",
			   i);
	drop(translate((const char *)text.p, text.n, &p));
	assert_non_null(strstr(first(&p, HF_PROBLEM_ERROR)->text, "more than"));
	assert_int_equal(first(&p, HF_PROBLEM_ERROR)->line, HF_CREDS_MAX * 4 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_forbidden),
		cmocka_unit_test(what_is_said),
		cmocka_unit_test(rights_of_the_agent),
		cmocka_unit_test(files_are_good),
		cmocka_unit_test(without_some_lines),
		cmocka_unit_test(with_lines_exchanged),
		cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
