/* SPDX-License-Identifier: Apache-2.0 */
/* toml.h: TOML 1.0 text into a tree. The only door to C++; the CLI alone goes through it. */
#ifndef HF_CONF_TOML_H
#define HF_CONF_TOML_H

#include "base/err.h"
#include "conf/node.h"
#include "conf/problem.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Parses @n bytes. NULL, and an error with its line added to @p, if they are not TOML,
 * not UTF-8, nested too deeply or hold a NUL. @file is borrowed by the tree.
 */
struct hf_node *hf_toml_parse(const char *text, size_t n, const char *file, struct hf_problems *p);

#ifdef __cplusplus
}
#endif

#endif
