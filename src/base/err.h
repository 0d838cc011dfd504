/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h: the one result type, from the TPM up to libcrypto.
 *
 * An error is filled where it happens (hf_fail), prefixed by each layer that
 * knows more (hf_within) and logged once, at the top. The text is of fixed
 * size, so that failing cannot fail.
 */
#ifndef HF_BASE_ERR_H
#define HF_BASE_ERR_H

/* value, name, text that may go to anybody, exit code of a command */
#define HF_RC_LIST(X)                                                                              \
	X(0, OK, "success", 0)                                                                     \
	X(1, FAILED, "the operation failed", 1)                                                    \
	X(2, PROTOCOL, "malformed message", 1)                                                     \
	X(3, ARGUMENT, "invalid argument", 2)                                                      \
	X(4, NO_KEY, "no such key, or not yours", 3)                                               \
	X(5, DENIED, "not permitted", 3)                                                           \
	X(6, EXISTS, "exists already", 1)                                                          \
	X(7, UNSUPPORTED, "not supported", 2)                                                      \
	X(8, REFUSED, "refused by the profile of the key", 3)                                      \
	X(9, BUSY, "too much at once, try again", 4)                                               \
	X(10, UNAVAILABLE, "the token or the broker is not available", 4)                          \
	X(11, TIMEOUT, "no answer in time", 4)                                                     \
	X(12, CORRUPT, "damaged data", 1)                                                          \
	X(13, GONE, "the key does not belong to this token", 1)                                    \
	X(14, LOCKOUT, "the token is locked out", 4)                                               \
	X(15, NO_MEMORY, "out of memory", 1)                                                       \
	X(16, IO, "input or output failed", 1)

#define HF_RC_ENUM(value, name, text, exit) HF_##name = (value),
/* Values are wire ABI (enum Status in holdfast.proto): append, never renumber. */
enum hf_rc { HF_RC_LIST(HF_RC_ENUM) };
#undef HF_RC_ENUM

struct hf_err {
	enum hf_rc rc;
	char msg[512]; /* always NUL-terminated; "" after HF_ERR_INIT */
};

#define HF_ERR_INIT                                                                                \
	{                                                                                          \
		HF_OK, ""                                                                          \
	}

/* Sets rc and message; returns rc. @e may be NULL. @rc must not be HF_OK. */
enum hf_rc hf_fail(struct hf_err *e, enum hf_rc rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As hf_fail, with ": " and the text of errno appended; maps ENOMEM to HF_NO_MEMORY. */
enum hf_rc hf_fail_errno(struct hf_err *e, enum hf_rc rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "text: " in front of the message; returns e->rc (HF_FAILED if @e is NULL). */
enum hf_rc hf_within(struct hf_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Short fixed text without detail; never NULL, also for unknown values. */
const char *hf_rc_text(enum hf_rc rc);

/* Exit code of a command that ended with @rc: 0 ok, 1 failed, 2 usage, 3 denied, 4 unavailable. */
int hf_rc_exit(enum hf_rc rc);

#endif
