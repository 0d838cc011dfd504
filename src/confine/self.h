/* SPDX-License-Identifier: Apache-2.0 */
/*
 * self.h: the calls that reach other processes of the same user, cut down to the process itself: to
 * signal, to set limits (RLIMIT_CPU is a signal, too), to have the kernel signal the "owner" of a
 * descriptor (fcntl F_SETOWN, O_ASYNC). For filters that allow; the others have Landlock's scope.
 */
#ifndef HF_CONFINE_SELF_H
#define HF_CONFINE_SELF_H

#include <seccomp.h>

/* Adds kill, tgkill, prlimit64 and fcntl to an allow-list. 0, or not 0 if that failed. */
int hf_confine_self(scmp_filter_ctx f);

/* Loads @f, after a second one that takes from ioctl what does the same as F_SETOWN. */
int hf_confine_load(scmp_filter_ctx f);

#endif
