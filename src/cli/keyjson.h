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

#endif
