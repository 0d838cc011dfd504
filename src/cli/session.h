/* SPDX-License-Identifier: Apache-2.0 */
/* session.h: the connection of one command to the broker. */
#ifndef HF_CLI_SESSION_H
#define HF_CLI_SESSION_H

#include "base/buf.h"
#include "cli/cli.h"
#include "wire/mech.h"

#define HF_CALL_MS   20000u
#define HF_CREATE_MS 600000u /* a chip may take minutes to find the primes of an RSA key */

struct hf_session {
	int fd;
	hf_Request req;
	hf_Reply rep;
	struct hf_buf data; /* what req.op.sign.data is a view of */
	const char *doing; /* shown while it takes long, on a terminal; NULL: nothing */
};

/* Connects. The socket is --socket, or that of --root, or HOLDFAST_SOCKET, or the usual one. */
enum hf_rc hf_session_open(struct hf_cli *c, struct hf_err *e);
void hf_session_close(struct hf_cli *c); /* c->session may be NULL */

/*
 * Connects again if the broker has gone meanwhile. Sends session->req, in which the caller has set
 * the operation, and waits for session->rep. What may be repeated is, once, if its answer got lost
 * or was UNAVAILABLE. The request is empty afterwards. A result of another kind than @want is
 * HF_PROTOCOL; @want == 0: none.
 */
enum hf_rc hf_session_call(struct hf_cli *c, unsigned timeout_ms, pb_size_t want, struct hf_err *e);

/* Puts the key's name in front of the message, unless the broker has named it; returns e->rc. */
enum hf_rc hf_session_about(struct hf_err *e, const char *key);

/* Fills @ref from what people write: a name, or sha256:HEX. */
enum hf_rc hf_session_key(hf_KeyRef *ref, const char *text, struct hf_err *e);

/* key_get: session->rep.result.key is then about @id. Opens the session if need be. */
enum hf_rc hf_session_get(struct hf_cli *c, const char *id, struct hf_err *e);

/* The scheme @wanted, or (NULL) the usual one of such a key, if the key has it. */
enum hf_rc hf_sign_scheme(const hf_KeyInfo *key, const char *wanted,
			  const struct hf_scheme **scheme, struct hf_err *e);

#endif
