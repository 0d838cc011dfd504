/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine.h: what a process of ours gives up for good, whoever takes it over later: system calls
 * (seccomp), the file system and everybody else's processes (Landlock, where the kernel has it).
 * The same as the systemd units do from outside, for containers and machines without systemd, and
 * tighter.
 *
 * A build with a sanitizer is not confined: it traces itself.
 */
#ifndef HF_CONFINE_CONFINE_H
#define HF_CONFINE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Sets of system calls, beside those that every process needs. */
enum hf_confine_set {
	HF_CONFINE_READ = 1,	/* open for reading, look at directories, map libraries */
	HF_CONFINE_WRITE = 2,	/* make, replace and remove files */
	HF_CONFINE_UNIX = 4,	/* make UNIX sockets and connect them */
	HF_CONFINE_INET = 8,	/* the same for TCP: a TPM simulator on another port */
	HF_CONFINE_THREAD = 16, /* threads; processes never */
	HF_CONFINE_DEVICE = 32, /* ioctl */
	HF_CONFINE_CLOCK = 64,	/* ask the kernel how good its clock is; to set it takes CAP_SYS_TIME */
};

/* A place in the file system and all below it; what is in no place is out of reach. */
struct hf_confine_place {
	const char *path; /* one that is not there is left out */
	bool write;
};

struct hf_confine {
	const char *name;		       /* of the process, for messages */
	unsigned sets;			       /* 0: everything but what no program of ours does */
	const struct hf_confine_place *places; /* NULL: the whole file system */
	size_t n_places;
};

/* For good, and for all that comes of this process. HF_FAILED if seccomp does not take it. */
enum hf_rc hf_confine(const struct hf_confine *c, struct hf_err *e);

/* Version of the kernel's Landlock; 0: none. Files are out of reach from 1 on, other processes (to
 * signal, and by abstract sockets) from HF_LANDLOCK_SCOPES. */
int hf_confine_landlock(void);
#define HF_LANDLOCK_SCOPES 6

#endif
