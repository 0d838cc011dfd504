/* SPDX-License-Identifier: Apache-2.0 */
/* paths.h: where things are, on the system or below --root DIR (docs/ARCHITECTURE.md, Files). */
#ifndef HF_CONF_PATHS_H
#define HF_CONF_PATHS_H

#include "base/err.h"
#include "base/file.h"

struct hf_paths {
	char config[HF_PATH_MAX];      /* config.toml, which people write */
	char legacy[HF_PATH_MAX];      /* config.yaml of IoT Edge 1.1 */
	char config_dir[HF_PATH_MAX];  /* its drop-ins, config.d */
	char daemon_file[HF_PATH_MAX]; /* holdfastd.json, which `config apply` writes */
	char agent_file[HF_PATH_MAX];  /* agent.json, likewise, with the same owner's secrets */
	char agent_state[HF_PATH_MAX]; /* of the certificate agent */
	char agent_run[HF_PATH_MAX];   /* its status and sockets */
	char certs[HF_PATH_MAX];       /* certificates and key references */
	char state[HF_PATH_MAX];
	char socket[HF_PATH_MAX];
	bool system; /* not below a --root */
};

/* @root: an absolute directory, or NULL for the system. HF_ARGUMENT if too long or relative. */
enum hf_rc hf_paths_init(struct hf_paths *p, const char *root, struct hf_err *e);

#endif
