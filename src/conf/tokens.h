/* SPDX-License-Identifier: Apache-2.0 */
/* tokens.h: PINs that config.toml has in a URI, which IoT Edge's own words allow. */
#ifndef HF_CONF_TOKENS_H
#define HF_CONF_TOKENS_H

#include "conf/making.h"

/* {path: PIN} of the files that holdfastd.json names; @m has made one. The caller's. */
json_object *hf_conf_pins(const struct hf_making *m);

#endif
