/* SPDX-License-Identifier: Apache-2.0 */
/* keyjson.h: what the broker says about keys, as JSON. */
#ifndef HF_CLI_KEYJSON_H
#define HF_CLI_KEYJSON_H

#include "cli/cli.h"

/* Adds the members of a key to @o. */
void hf_keyjson_info(json_object *o, const hf_KeyInfo *key);
json_object *hf_keyjson_summary(const hf_KeySummary *key);
/* @usage bits as a list of words. */
json_object *hf_keyjson_usage(unsigned usage);
/* The name of the one of @keys (as `key show` has them) with this generation (hex), or NULL. */
const char *hf_keyjson_holder(json_object *keys, const char *sha256);

#endif
