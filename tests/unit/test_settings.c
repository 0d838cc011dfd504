/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/policy.h"
#include "broker/settings.h"

static const char good[] =
	"{ \"version\": 1, \"state_dir\": \"/s\", \"default_token\": \"tpm\",\n"
	"  \"tokens\": [{ \"name\": \"tpm\", \"type\": \"tpm2\", \"tcti\": \"device:/dev/tpmrm0\",\n"
	"    \"primary_handle\": 2164260993, \"timeout_ms\": 10000 }],\n"
	"  \"sockets\": [{ \"name\": \"main\", \"path\": \"/ger\xc3\xa4t/s\", \"owner\": \"\", \"group\": \"\", \"mode\": 432 }],\n"
	"  \"principals\": [{ \"uid\": 0, \"gid\": -1, \"socket\": \"main\", \"keys\": [\"*\", \"a?\"],\n"
	"    \"rights\": [\"public\", \"ca\"] }],\n"
	"  \"profiles\": [{ \"key\": \"edge-*\", \"max_days\": 30, \"self_max_days\": 90, \"pathlen\": 0,\n"
	"    \"names\": [\"*.local\"] }],\n"
	"  \"limits\": { \"connections\": 512, \"connections_per_principal\": 64,\n"
	"    \"queue_per_principal\": 64, \"idle_s\": 0 } }";

static void reads_all(void **state)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_settings *s = hf_settings_parse(good, strlen(good), "f", &e);

	(void)state;
	assert_string_equal(e.msg, "");
	assert_non_null(s);
	assert_string_equal(s->tokens[0].tcti, "device:/dev/tpmrm0");
	assert_int_equal(s->tokens[0].primary_handle, 0x81000081);
	assert_int_equal(s->sockets[0].mode, 0660);
	assert_string_equal(s->sockets[0].path, "/ger\xc3\xa4t/s"); /* json-c 0.18 once refused it */
	assert_int_equal(s->grants[0].n_keys, 2);
	assert_string_equal(s->grants[0].keys[1], "a?");
	assert_int_equal(s->grants[0].rights, HF_RIGHT_PUBLIC | HF_RIGHT_CA);
	assert_int_equal(hf_settings_profile(s, "edge-ca")->max_days, 30);
	assert_int_equal(hf_settings_profile(s, "other")->max_days, 90);
	assert_string_equal(hf_settings_profile(s, "edge-ca")->names[0], "*.local");
	hf_settings_free(s);
}

/* Replaces the first @from of the good text; the error has to name @word. */
static void bad(const char *from, const char *to, const char *word)
{
	struct hf_err e = HF_ERR_INIT;
	const char *at = strstr(good, from);
	char text[4096];

	assert_non_null(at);
	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
	assert_null(hf_settings_parse(text, strlen(text), "f.json", &e));
	assert_int_equal(e.rc, HF_ARGUMENT);
	if (!strstr(e.msg, word))
		fail_msg("'%s' does not name '%s'", e.msg, word);
	assert_non_null(strstr(e.msg, "f.json"));
}

static void refuses(void **state)
{
	(void)state;
	bad("\"version\": 1", "\"version\": 2", "version");
	bad("\"state_dir\"", "\"statedir\"", "statedir");
	bad("\"state_dir\": \"/s\"", "\"state_dir\": \"s\"", "state_dir");
	bad("\"default_token\": \"tpm\"", "\"default_token\": \"hsm\"", "hsm");
	bad("\"timeout_ms\": 10000", "\"timeout_ms\": 1", "tokens[0].timeout_ms");
	bad("\"timeout_ms\": 10000", "\"timeout_ms\": \"10s\"", "tokens[0].timeout_ms");
	bad(", \"timeout_ms\": 10000", "", "tokens[0].timeout_ms");
	bad("\"mode\": 432", "\"mode\": 4095", "sockets[0].mode");
	bad("\"public\"", "\"pubic\"", "rights");
	bad("\"uid\": 0", "\"uid\": -2", "principals[0].uid");
	bad("\"uid\": 0", "\"uid\": 4294967295", "principals[0].uid");
	bad("[\"*\", \"a?\"]", "[\"*\", 7]", "keys");
	bad("[\"*\", \"a?\"]", "\"*\"", "keys");
	bad("\"name\": \"tpm\"", "\"name\": \"../tpm\"", "../tpm");
	bad("\"limits\"", "\"limit\"", "limit");
	bad("\"idle_s\": 0", "\"idle_s\": 0, \"x\": 1", "limits[0].x");
	bad("\"tokens\": [", "\"tokens\": [ [], ", "tokens");
	bad("{ \"version\"", "[ \"version\"", "JSON");
}

static void truncations(void **state)
{
	size_t n;

	(void)state;
	for (n = 0; n < strlen(good); n++) {
		struct hf_err e = HF_ERR_INIT;
		char *part = malloc(n + 1); /* exact size: ASan sees a read beyond */

		memcpy(part, good, n);
		part[n] = '\0';
		assert_null(hf_settings_parse(part, n, "f", &e));
		assert_int_equal(e.rc, HF_ARGUMENT);
		free(part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_all),
		cmocka_unit_test(refuses),
		cmocka_unit_test(truncations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
