/* SPDX-License-Identifier: Apache-2.0 */
/* config.h: config.toml, read and made into what the daemons read. */
#ifndef HF_CLI_CONFIG_H
#define HF_CLI_CONFIG_H

#include "cli/cli.h"
#include "conf/credential.h"
#include "conf/load.h"

/* Whatever is there is the caller's: hf_prepared_finish(). */
struct hf_prepared {
	json_object *holdfastd, *agent; /* the two files */
	json_object *pins;		/* {path: PIN}, beside them */
	json_object *keys;		/* private keys in files: hf_agentfile_keys() */
};

/* Adds to @p what is wrong with the files that the configuration names. */
void hf_config_check_files(struct hf_creds *c, struct hf_problems *p);

/* Reads and checks all there is; what was found is in c->result. */
enum hf_rc hf_config_prepare(struct hf_cli *c, struct hf_prepared *out, struct hf_err *e);
/* Everything that is made of @config; what only shows then is added to @problems. */
void hf_config_make(const struct hf_cli *c, const struct hf_config *config,
		    struct hf_problems *problems, struct hf_prepared *out);
void hf_prepared_finish(struct hf_prepared *p);

/*
 * Puts the private keys that are in files into their tokens, if they are not there yet; what
 * became of each is in c->result. @restarted: the broker was, so that it may need a moment.
 * Without a broker this is left for later, which is said, and no failure.
 */
enum hf_rc hf_apply_keys(struct hf_cli *c, json_object *keys, bool restarted, struct hf_err *e);

#endif
