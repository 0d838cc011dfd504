/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.h: how the warden makes a process a keeper. A keeper opens no file of ours:
 * what it may read or write it gets as a descriptor, and of the environment nothing
 * but what finds its libraries and what the administrator wrote for a module.
 */
#ifndef HF_BROKER_LAUNCH_H
#define HF_BROKER_LAUNCH_H

#include "broker/settings.h"

/*
 * Descriptors of a keeper. PIN and LOGINS are of PKCS#11 tokens: the file of the PIN, from its
 * start; and the record of attempts to log in, which has to outlive the keeper.
 */
enum { HF_KEEPER_BROKER = 3, HF_KEEPER_PIN = 4, HF_KEEPER_LOGINS = 5 };

/* In a child: becomes the program @path with @fd as its socket. Does not return. */
void hf_launch_keeper(const char *path, int fd, const struct hf_token_conf *t,
		      const char *state_dir, bool unconfined) __attribute__((noreturn));

/*
 * The file of the PIN, open for reading. HF_UNAVAILABLE: not there or not readable;
 * HF_REFUSED: others may read or write it.
 */
enum hf_rc hf_launch_open_pin(const struct hf_token_conf *t, int *fd, struct hf_err *e);

#endif
