/* SPDX-License-Identifier: Apache-2.0 */
/* broker.h: what the broker tells of itself, as JSON. Each opens the session if need be. */
#ifndef HF_CLI_BROKER_H
#define HF_CLI_BROKER_H

#include "cli/cli.h"

/* Members of `holdfast status` into @o. */
enum hf_rc hf_broker_status(struct hf_cli *c, json_object *o, struct hf_err *e);
/* Tokens as `token list` has them, appended to @list. */
enum hf_rc hf_broker_tokens(struct hf_cli *c, json_object *list, struct hf_err *e);
/* Keys as `key list` has them. */
enum hf_rc hf_broker_summaries(struct hf_cli *c, json_object *list, struct hf_err *e);
/* Keys as `key show` has them, with generations. */
enum hf_rc hf_broker_keys(struct hf_cli *c, json_object *list, struct hf_err *e);

#endif
