/* SPDX-License-Identifier: Apache-2.0 */
/* tokens.h: PINs that config.toml has in a URI, which IoT Edge's own words allow. */
#ifndef HF_CONF_TOKENS_H
#define HF_CONF_TOKENS_H

#include <json-c/json.h>

#include "conf/node.h"
#include "conf/paths.h"
#include "conf/problem.h"

/* {path: PIN} of the files that holdfastd.json names; @root has made one. The caller's. */
json_object *hf_conf_pins(const struct hf_node *root, const struct hf_paths *paths,
			  struct hf_problems *p);

#endif
