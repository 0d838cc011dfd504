/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd.h: socket activation (sd_listen_fds(3)) and readiness (sd_notify(3)), which
 * are protocols of environment variables; the library would bring libgcrypt along.
 */
#ifndef HF_BASE_SYSTEMD_H
#define HF_BASE_SYSTEMD_H

#define HF_SYSTEMD_FIRST_FD 3
#define HF_SYSTEMD_NAME	    64 /* bytes of a name, with the NUL */

/*
 * The sockets that were handed over are HF_SYSTEMD_FIRST_FD and following; their
 * number, at most @max, and their names. Close-on-exec is set, the variables are unset.
 */
int hf_systemd_sockets(char names[][HF_SYSTEMD_NAME], int max);

/* "READY=1" and the like; nothing happens where nobody listens. */
void hf_systemd_notify(const char *text);

#endif
