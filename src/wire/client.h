/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h: the client's side of a connection to the broker. Used by the CLI as
 * it is; the provider and the PKCS#11 module add what threads and forks ask for (uplink.h).
 */
#ifndef HF_WIRE_CLIENT_H
#define HF_WIRE_CLIENT_H

#include <stdint.h>

#include "base/err.h"
#include "wire/packet.h"

#define HF_SOCKET_DEFAULT "/run/holdfast/holdfast.sock"

/* HOLDFAST_SOCKET unless the process is set-id, else HF_SOCKET_DEFAULT. Never NULL. */
const char *hf_client_socket(void);

/*
 * Connects (close-on-exec), checks that the server is root, our own user or the
 * user of the key daemon, and says hello. *@fd is the caller's. @timeout_ms bounds
 * the whole of it. HF_UNAVAILABLE: nobody listens. HF_DENIED: no permission. HF_BUSY:
 * somebody does, but has too much to do or is just going away; trying again may help.
 */
enum hf_rc hf_client_open(const char *path, const char *software, unsigned timeout_ms, int *fd,
			  struct hf_err *e);

/*
 * One request, one reply. Fills in @req->id. A reply with a status other than OK
 * becomes that result, with the broker's message in @e. After any result other
 * than the broker's own status the connection is no longer usable: close @fd.
 */
enum hf_rc hf_client_call(int fd, hf_Request *req, hf_Reply *rep, unsigned timeout_ms,
			  struct hf_err *e);

/* Status and message of a reply as a result. */
enum hf_rc hf_client_result(const hf_Reply *rep, struct hf_err *e);

#endif
