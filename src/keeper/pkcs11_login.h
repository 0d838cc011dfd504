/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11_login.h: may a PIN be tried? A token that has seen three wrong ones locks itself
 * for good, and a daemon that restarts tries its PIN again and again. So an attempt is on
 * disk before it is made: pure functions of that record, the token's flags and the PIN.
 */
#ifndef HF_KEEPER_PKCS11_LOGIN_H
#define HF_KEEPER_PKCS11_LOGIN_H

#include <p11-kit/pkcs11.h>

#include "base/buf.h"
#include "base/err.h"

#define HF_P11_RECORD 64u /* bytes of it, always */

enum hf_p11_attempt {
	HF_P11_NEVER,	/* or the last one was good */
	HF_P11_TRYING,	/* how it ended is not known: the power went, the module hung, crashed or
			   said something that is not about the PIN */
	HF_P11_REFUSED, /* the token did not take it */
};

struct hf_p11_logins {
	enum hf_p11_attempt last;
	unsigned unfinished; /* TRYING: how many in a row */
	/*
	 * REFUSED: tells that PIN from the next one. Two bytes of a salted hash: enough to see
	 * a change, and no help for who has stolen the disk and guesses.
	 */
	uint8_t salt[8], mark[2];
};

/* An empty or damaged record is HF_P11_NEVER: the token's flags still count. */
void hf_p11_logins_read(struct hf_p11_logins *l, const char *p, size_t n);
void hf_p11_logins_write(const struct hf_p11_logins *l, char out[HF_P11_RECORD]);

/* HF_OK: try it. HF_LOCKOUT: do not, and why. @flags: of C_GetTokenInfo, just now. */
enum hf_rc hf_p11_logins_decide(const struct hf_p11_logins *l, CK_FLAGS flags, struct hf_view pin,
				struct hf_err *e);

/* The record of an attempt that begins, and of one that ended. */
void hf_p11_logins_begin(struct hf_p11_logins *l);
enum hf_rc hf_p11_logins_refused(struct hf_p11_logins *l, struct hf_view pin, struct hf_err *e);

#endif
