/* SPDX-License-Identifier: Apache-2.0 */
/* depth.h: how deep the tables of a TOML text go, found out before anybody builds them. */
#ifndef HF_CONF_DEPTH_H
#define HF_CONF_DEPTH_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HF_KEY_PARTS_MAX 32 /* of a.b.c; the deepest that IoT Edge knows has 6 */

/*
 * The line of the first key with more than HF_KEY_PARTS_MAX parts; 0: there is none.
 * Of a text that is not TOML, what comes after the first error may be judged wrongly.
 */
unsigned hf_depth_check(const char *text, size_t n);

#ifdef __cplusplus
}
#endif

#endif
