/* SPDX-License-Identifier: Apache-2.0 */
/* header.h: what HTTP headers mean: Retry-After, Content-Type, WWW-Authenticate. Pure. */
#ifndef HF_EST_HEADER_H
#define HF_EST_HEADER_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"

#define HF_RETRY_MIN 60u
#define HF_RETRY_MAX 86400u

/*
 * Seconds or an HTTP-date (RFC 9110, section 10.2.3), within HF_RETRY_MIN … HF_RETRY_MAX.
 * False if it is neither; then @seconds is HF_RETRY_MIN.
 */
bool hf_retry_after(const char *text, time_t now, uint32_t *seconds);

/* Is the media type of @header (with or without parameters) @type? */
bool hf_media_type(const char *header, const char *type);

enum hf_digest_alg { HF_DIGEST_NONE, HF_DIGEST_MD5, HF_DIGEST_SHA256 };

/* Which schemes the server takes, and of the best Digest its parameters. */
struct hf_challenge {
	bool basic, bearer;
	enum hf_digest_alg digest;
	bool sess, qop_auth;
	bool stale; /* the password was right, the nonce was old */
	char realm[256], nonce[512], opaque[512];
	uint32_t count; /* of requests with this nonce */
};

/* Adds what one WWW-Authenticate header says (RFC 9110, section 11.6.1); what is not understood is
 * left out. */
void hf_challenge_add(struct hf_challenge *c, const char *header);

/* Value of Authorization. @cnonce: 16 random bytes as hex. HF_UNSUPPORTED if libcrypto lacks the
 * hash. */
enum hf_rc hf_digest_answer(struct hf_challenge *c, const char *user, const char *password,
			    const char *method, const char *path, const char *cnonce,
			    struct hf_buf *out, struct hf_err *e);

#endif
