/* SPDX-License-Identifier: Apache-2.0 */
/* What `config apply` writes is what the daemons read: the mapping against their own readers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/settings.h"
#include "base/file.h"
#include "broker/settings.h"
#include "conf/agentfile.h"
#include "conf/daemonfile.h"
#include "conf/schema.h"
#include "conf/toml.h"

#define DATA HF_TEST_DATA

static const struct hf_host host = { "pump-7", 64125, 64127, 64128 };

static void read_back(json_object *agent, json_object *holdfastd, const char *what)
{
	const char *text = json_object_to_json_string_ext(agent, JSON_C_TO_STRING_PRETTY);
	struct hf_err e = HF_ERR_INIT;
	struct hf_agent_settings *a = hf_agent_settings_parse(text, strlen(text), "agent.json", &e);
	struct hf_settings *s;

	if (!a)
		fail_msg("%s: %s", what, e.msg);
	assert_int_equal(a->n_credentials,
			 json_object_array_length(json_object_object_get(agent, "credentials")));
	hf_agent_settings_free(a);
	text = json_object_to_json_string_ext(holdfastd, JSON_C_TO_STRING_PRETTY);
	s = hf_settings_parse(text, strlen(text), "holdfastd.json", &e);
	if (!s)
		fail_msg("%s: %s", what, e.msg);
	hf_settings_free(s);
}

static void check(const char *text, size_t n, const char *what)
{
	static struct hf_problems p;
	struct hf_err e = HF_ERR_INIT;
	json_object *holdfastd, *agent;
	struct hf_creds creds;
	struct hf_paths paths;
	struct hf_node *root;
	struct hf_making m;

	memset(&p, 0, sizeof(p));
	assert_int_equal(hf_paths_init(&paths, NULL, &e), HF_OK);
	root = hf_toml_parse(text, n, "config.toml", &p);
	assert_non_null(root);
	hf_conf_check(root, &p);
	m = (struct hf_making){ root, &paths, &p, NULL, NULL };
	hf_creds_make(&creds, &m, &host);
	m.creds = &creds;
	m.host = &host;
	holdfastd = hf_daemonfile_make(&m);
	if (!holdfastd)
		fail_msg("%s: %s", what, p.list[p.n - 1].text);
	agent = hf_agentfile_make(&creds, &host);
	assert_non_null(agent);
	read_back(agent, holdfastd, what);
	json_object_put(agent);
	json_object_put(holdfastd);
	hf_creds_finish(&creds);
	hf_node_free(root);
}

static void files(void **state)
{
	static const char *const names[] = {
		"config-full.toml",
		"device-dps-est.toml",
		"device-dps-tpm-local-ca.toml",
		"device-manual-sas.toml",
		"device-manual-x509-hsm.toml",
		"iot-edge/iotedge-config.template.toml",
		"iot-edge/iis-config.template.toml",
		"iot-edge/iotedge-apply/ca-certs/super-config.toml",
		"iot-edge/iotedge-apply/ca-certs-est/super-config.toml",
		"iot-edge/iotedge-apply/ca-quickstart/super-config.toml",
		"iot-edge/iis-apply/dps-x509-est-bootstrap-auto-renew/config.toml",
		"iot-edge/iis-apply/manual-x509-pkcs11/config.toml",
	};
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(names); i++) {
		HF_AUTO_BUF text = HF_BUF(1u << 20);
		struct hf_err e = HF_ERR_INIT;
		char path[HF_PATH_MAX];

		assert_int_equal(hf_path_join(path, DATA, names[i], &e), HF_OK);
		assert_int_equal(hf_file_read(path, false, &text, &e), HF_OK);
		check((const char *)text.p, text.n, names[i]);
	}
}

/* Everything as long, and as often, as the schema allows. */
static void put_list(struct hf_buf *b, const char *key, const char *first, size_t n, size_t len)
{
	size_t i, k;

	hf_buf_fmt(b, "%s = [", key);
	for (i = 0; i < n; i++) {
		hf_buf_fmt(b, "\"%s", first);
		for (k = strlen(first); k < len; k++)
			hf_buf_str(b, "x");
		hf_buf_str(b, "\",");
	}
	hf_buf_str(b, "]\n");
}

static const char *filled(char *out, const char *first, size_t len)
{
	memset(out, 'x', len);
	out[len] = '\0';
	memcpy(out, first, strlen(first));
	return out;
}

static void extremes(void **state)
{
	HF_AUTO_BUF b = HF_BUF(4u << 20);
	char a[1100], c[1100], d[1100];
	size_t i;

	(void)state;
	hf_buf_fmt(&b, "hostname = \"%s\"\n", filled(a, "", 253));
	hf_buf_fmt(&b, "[[token]]\nname = \"%s\"\n", filled(a, "t", 63));
	hf_buf_fmt(
		&b,
		"[provisioning]\nsource = \"dps\"\niothub_hostname = \"%s\"\ndevice_id = \"%s\"\n",
		filled(a, "", 253), filled(c, "", 128));
	hf_buf_fmt(&b, "[provisioning.attestation]\nmethod = \"tpm\"\nregistration_id = \"%s\"\n",
		   filled(a, "", 128));
	hf_buf_fmt(&b, "[cert_issuance.est.urls]\ndefault = \"%s\"\n", filled(a, "https://", 1000));
	hf_buf_fmt(&b, "[cert_issuance.est.auth]\nusername = \"%s\"\npassword = \"%s\"\n",
		   filled(a, "", 255), filled(c, "", 255));
	hf_buf_fmt(&b, "bootstrap_identity_cert = \"%s\"\nbootstrap_identity_pk = \"%s\"\n",
		   filled(a, "file:///", 1000), filled(c, "file:///", 500));
	hf_buf_str(&b, "[cert_issuance.est]\n");
	put_list(&b, "trusted_certs", "file:///", 16, 1000);
	hf_buf_fmt(&b, "proxy = \"%s\"\n[edge_ca]\nmethod = \"est\"\n", filled(a, "http://", 255));
	hf_buf_fmt(&b, "[certificates]\ncertd_socket = \"%s\"\n", filled(a, "/", 103));
	hf_buf_str(&b, "[[principal]]\nuid = 4294967293\n");
	put_list(&b, "certs", "", 64, 127);
	put_list(&b, "modules", "", 16, 127);
	for (i = 0; i < HF_CREDS_MAX - 3; i++) {
		hf_buf_fmt(&b, "[[credential]]\nid = \"c%zu%s\"\nmethod = \"est\"\n", i,
			   filled(a, "", 60));
		hf_buf_fmt(&b, "file = \"%s%zu\"\nreference = \"%s\"\nmode = \"0644\"\n",
			   filled(a, "/", 998), i % 10 + i / 10 * 10, filled(c, "/", 1000));
		hf_buf_fmt(&b, "token = \"%s\"\nalgorithm = \"ec-p256\"\n", filled(d, "t", 63));
		put_list(&b, "sans", "URI:x:", 32, 255);
		put_list(&b, "eku", "1.3.6.1.4.1.311.20.2.2", 8, 22);
		hf_buf_fmt(&b, "subject = { CN = \"%s\", O = \"%s\" }\n", filled(a, "", 64),
			   filled(c, "", 255));
		hf_buf_str(&b, "[credential.hook]\ntimeout = \"1h\"\n");
		put_list(&b, "exec", "/", 16, 511);
	}
	check((const char *)b.p, b.n, "extremes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),
		cmocka_unit_test(extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
