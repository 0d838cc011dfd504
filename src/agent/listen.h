/* SPDX-License-Identifier: Apache-2.0 */
/* listen.h: a listening UNIX socket with an owner, a group and a mode. */
#ifndef HF_AGENT_LISTEN_H
#define HF_AGENT_LISTEN_H

#include "agent/settings.h"

/*
 * Notes the sockets that systemd has handed over (FileDescriptorName= is their name here). Once, in
 * the first process. HF_ARGUMENT: one is none of ours.
 */
enum hf_rc hf_listen_take(struct hf_agent_settings *s, struct hf_err *e);

/*
 * Replaces a socket that nobody answers at; nothing else is removed. HF_BUSY: somebody does. A
 * group that is not ours to give is said, and the mode is set all the same. One that was handed
 * over is as it is.
 */
enum hf_rc hf_listen_open(const struct hf_agent_socket *s, int *fd, struct hf_err *e);

#endif
