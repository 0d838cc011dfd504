/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.h: the file system, less what is not needed (landlock(7)); for confine.c. */
#ifndef HF_CONFINE_LANDLOCK_H
#define HF_CONFINE_LANDLOCK_H

#include "confine/confine.h"

/* Version of the kernel's Landlock; 0: it has none. */
int hf_landlock_version(void);

/* No signals beyond the process and what it starts; of the file system, and of abstract sockets,
 * only
 * @places, all if NULL. HF_OK also where the kernel has none. */
enum hf_rc hf_landlock(const struct hf_confine_place *places, size_t n, struct hf_err *e);

#endif
