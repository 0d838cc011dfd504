/* SPDX-License-Identifier: Apache-2.0 */
/* load.h: config.toml and its drop-ins, read, checked and merged into one tree. */
#ifndef HF_CONF_LOAD_H
#define HF_CONF_LOAD_H

#include "base/err.h"
#include "conf/node.h"
#include "conf/paths.h"
#include "conf/problem.h"

#define HF_CONFIG_FILES_MAX 256
#define HF_CONFIG_FILE_MAX  (1u << 20)

struct hf_config {
	struct hf_node *root; /* an empty table if there is no file */
	char *files[HF_CONFIG_FILES_MAX];
	size_t n_files;
};

/*
 * @file: instead of config.toml (then it has to exist), or NULL. Drop-ins *.toml
 * are read in the order of their names. What is wrong is added to @p; the result is
 * an error only if a file cannot be read or memory ran out. Finish @c in any case.
 */
enum hf_rc hf_config_load(struct hf_config *c, const struct hf_paths *paths, const char *file,
			  struct hf_problems *p, struct hf_err *e);
void hf_config_finish(struct hf_config *c);

#endif
