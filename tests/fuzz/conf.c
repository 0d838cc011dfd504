/* SPDX-License-Identifier: Apache-2.0 */
/* config.toml, from its text to both files of the daemons: whatever somebody writes. */
#include <stdlib.h>
#include <string.h>

#include "conf/agentfile.h"
#include "conf/daemonfile.h"
#include "conf/schema.h"
#include "conf/tokens.h"
#include "conf/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void make(struct hf_making *m, const struct hf_host *host)
{
	json_object *daemon, *agent, *pins, *keys;
	struct hf_creds creds;

	hf_creds_make(&creds, m, host);
	m->creds = &creds;
	m->host = host;
	daemon = hf_daemonfile_make(m);
	agent = daemon ? hf_agentfile_make(&creds, host) : NULL;
	keys = agent ? hf_agentfile_keys(&creds) : NULL;
	pins = hf_conf_pins(m);
	if (!agent != (m->p->errors != 0))
		abort(); /* a file without an error, or the other way round */
	json_object_put(keys);
	json_object_put(pins);
	json_object_put(agent);
	json_object_put(daemon);
	hf_creds_finish(&creds);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct hf_host host = { "pump-7", 64125, 64127, 64128 };
	static struct hf_problems problems;
	struct hf_err e = HF_ERR_INIT;
	struct hf_making m;
	struct hf_paths paths;
	struct hf_node *root;

	memset(&problems, 0, sizeof(problems));
	if (hf_paths_init(&paths, NULL, &e))
		abort();
	root = hf_toml_parse((const char *)p, n, "config.toml", &problems);
	m = (struct hf_making){ root, &paths, &problems, NULL, NULL };
	if (root)
		hf_conf_check(root, &problems);
	if (!problems.errors)
		make(&m, &host);
	hf_node_free(root);
	return 0;
}
