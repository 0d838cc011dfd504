/* SPDX-License-Identifier: Apache-2.0 */
/* process.h: what a daemon does to itself before it reads anything. */
#ifndef HF_BASE_PROCESS_H
#define HF_BASE_PROCESS_H

#include <stdint.h>

/*
 * No core dump, not traceable (PR_SET_DUMPABLE 0), no new privileges, umask 077.
 * Under a sanitizer the process stays dumpable: LeakSanitizer has to trace it.
 */
void hf_process_harden(void);

/*
 * Raises the soft limit of descriptors to @want, as far as the hard one lets it; never lowers it.
 * Returns what the limit is then.
 */
uint64_t hf_process_files(uint64_t want);

/* Monotonic clock in milliseconds; for deadlines, never for dates. */
uint64_t hf_now_ms(void);

#endif
