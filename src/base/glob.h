/* SPDX-License-Identifier: Apache-2.0 */
/* glob.h: the patterns of names that configurations have. */
#ifndef HF_BASE_GLOB_H
#define HF_BASE_GLOB_H

#include <stdbool.h>

/* `*` any run of characters, `?` one; everything else literally. */
bool hf_glob(const char *pattern, const char *text);

#endif
