/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/paths.h"

#include <stddef.h>
#include <string.h>

static const struct {
	size_t offset;
	const char *system, *below;
} layout[] = {
	{ offsetof(struct hf_paths, config), "/etc/aziot/config.toml", "etc/config.toml" },
	{ offsetof(struct hf_paths, legacy), "/etc/iotedge/config.yaml", "etc/config.yaml" },
	{ offsetof(struct hf_paths, config_dir), "/etc/aziot/config.d", "etc/config.d" },
	{ offsetof(struct hf_paths, daemon_file), "/etc/holdfast/holdfastd.json",
	  "etc/holdfastd.json" },
	{ offsetof(struct hf_paths, agent_file), "/etc/holdfast/agent.json", "etc/agent.json" },
	{ offsetof(struct hf_paths, agent_state), "/var/lib/holdfast-agent", "agent" },
	{ offsetof(struct hf_paths, agent_run), "/run/holdfast-agent", "run/agent" },
	{ offsetof(struct hf_paths, certs), "/var/aziot/certs", "certs" },
	{ offsetof(struct hf_paths, state), "/var/lib/holdfast", "state" },
	{ offsetof(struct hf_paths, socket), "/run/holdfast/holdfast.sock", "run/holdfast.sock" },
};

enum hf_rc hf_paths_init(struct hf_paths *p, const char *root, struct hf_err *e)
{
	enum hf_rc rc = HF_OK;
	size_t i;

	memset(p, 0, sizeof(*p));
	p->system = !root;
	if (root && root[0] != '/')
		return hf_fail(e, HF_ARGUMENT, "root %s: not an absolute path", root);
	for (i = 0; i < HF_COUNT(layout) && !rc; i++) {
		char *out = (char *)p + layout[i].offset;

		if (root)
			rc = hf_path_join(out, root, layout[i].below, e);
		else
			(void)hf_copy(out, HF_PATH_MAX, layout[i].system);
	}
	return rc;
}
