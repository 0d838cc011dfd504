/* SPDX-License-Identifier: Apache-2.0 */
/* config.h: config.toml, read and made into what the daemons read. */
#ifndef HF_CLI_CONFIG_H
#define HF_CLI_CONFIG_H

#include "cli/cli.h"

/* Whatever is there is the caller's: hf_prepared_finish(). */
struct hf_prepared {
	json_object *holdfastd, *agent; /* the two files */
	json_object *pins;		/* {path: PIN}, beside them */
};

/* Reads and checks all there is; what was found is in c->result. */
enum hf_rc hf_config_prepare(struct hf_cli *c, struct hf_prepared *out, struct hf_err *e);
void hf_prepared_finish(struct hf_prepared *p);

#endif
