/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11_pin.c: C_Login, with a record of it on disk. Several keepers of one token share
 * the record, and log in one after the other: a wrong PIN is tried once by all of them.
 */
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/pkcs11.h"
#include "keeper/pkcs11_error.h"
#include "keeper/pkcs11_key.h"
#include "keeper/pkcs11_login.h"

#define PIN_MAX 255u

/* Else it is a copy of our socket, which keeps the number (main.c). */
static bool handed_over(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode);
}

static enum hf_rc record_read(struct hf_p11_logins *l, struct hf_err *e)
{
	char text[HF_P11_RECORD];
	ssize_t n = pread(HF_P11_LOGINS_FD, text, sizeof(text), 0);

	if (n < 0)
		return hf_fail_errno(e, HF_UNAVAILABLE,
				     "the record of logins cannot be read, so the PIN is not "
				     "tried");
	hf_p11_logins_read(l, text, (size_t)n);
	return HF_OK;
}

/* Between keepers of one token. It goes with the process, if the module takes that along. */
static enum hf_rc record_lock(struct hf_err *e)
{
	if (!flock(HF_P11_LOGINS_FD, LOCK_EX))
		return HF_OK;
	return hf_fail_errno(e, HF_UNAVAILABLE,
			     "the record of logins cannot be locked, so the PIN is not tried");
}

void hf_p11_logins_hold(bool hold)
{
	if (handed_over(HF_P11_LOGINS_FD))
		(void)flock(HF_P11_LOGINS_FD, hold ? LOCK_EX : LOCK_UN);
}

/* One write within one sector, and on disk: before and after the token is told the PIN. */
static enum hf_rc record_write(const struct hf_p11_logins *l, struct hf_err *e)
{
	char text[HF_P11_RECORD];

	hf_p11_logins_write(l, text);
	if (pwrite(HF_P11_LOGINS_FD, text, sizeof(text), 0) != (ssize_t)sizeof(text) ||
	    fdatasync(HF_P11_LOGINS_FD))
		return hf_fail_errno(e, HF_IO,
				     "the record of logins cannot be written, so the PIN is not "
				     "tried");
	return HF_OK;
}

static enum hf_rc pin_read(struct hf_buf *pin, struct hf_err *e)
{
	char text[PIN_MAX + 2];
	ssize_t n;

	if (!handed_over(HF_P11_PIN_FD))
		return hf_fail(e, HF_UNAVAILABLE,
			       "the token wants a PIN, and there is none: write pin_file or "
			       "pin_credential for it; if that is there, see the log of holdfastd");
	n = pread(HF_P11_PIN_FD, text, sizeof(text), 0);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	if (n > 0 && n <= (ssize_t)PIN_MAX)
		hf_buf_add(pin, text, (size_t)n);
	explicit_bzero(text, sizeof(text));
	if (!pin->n || memchr(pin->p, '\n', pin->n))
		return hf_fail(e, HF_UNAVAILABLE,
			       "the PIN file is empty, has more than one line, or more than %u "
			       "bytes",
			       PIN_MAX);
	return HF_OK;
}

/* What it says is not enough: a session that stays public shows no private key. */
static CK_RV log_in(struct hf_p11 *t, CK_USER_TYPE user, const struct hf_buf *pin)
{
	CK_RV rv = t->f->C_Login(t->session, user, pin->p, (CK_ULONG)pin->n);

	if (user == CKU_USER && (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN))
		rv = hf_p11_session_state(t);
	return rv;
}

/*
 * Was it the PIN? A bridge to a token on the network, or a driver after a timeout, says
 * 'general error' for a PIN that was counted: then the token's flags tell. What a vendor's
 * own value means, nobody knows.
 */
static bool refused(struct hf_p11 *t, CK_RV rv, CK_FLAGS before)
{
	const CK_FLAGS counted =
		CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
	const struct hf_p11_meaning *m = hf_p11_meaning(rv);
	CK_TOKEN_INFO info;

	if (m->class == HF_P11_PIN || m->rv != rv || (rv & CKR_VENDOR_DEFINED))
		return true;
	memset(&info, 0, sizeof(info));
	return t->f->C_GetTokenInfo(t->slot, &info) == CKR_OK && (info.flags & ~before & counted);
}

/* An attempt that failed for another reason stays one that did not end: there are few of them. */
static enum hf_rc not_taken(struct hf_p11 *t, CK_RV rv, const struct hf_buf *tried, CK_FLAGS before,
			    struct hf_p11_logins *l, struct hf_err *e)
{
	enum hf_rc rc = hf_p11_fail(t, rv, e, "log in"), written = HF_OK;

	t->pin_good = false;
	t->login_failed = true;
	if (refused(t, rv, before)) {
		written = hf_p11_logins_refused(l, HF_VIEW_BUF(tried), NULL);
		if (rc != HF_LOCKOUT)
			rc = hf_fail(e, HF_LOCKOUT,
				     "log in: %s (CKR 0x%lx). The token may have counted a wrong "
				     "PIN, so this one is not tried again: look at it, then "
				     "'holdfast token provision TOKEN'",
				     hf_p11_meaning(rv)->text, (unsigned long)rv);
	}
	if (written || record_write(l, NULL))
		hf_within(e, "and the record of logins cannot be written");
	return rc;
}

static enum hf_rc try(struct hf_p11 *t, CK_USER_TYPE user, const struct hf_buf *pin,
		      const struct hf_buf *tried, CK_FLAGS before, struct hf_p11_logins *l,
		      struct hf_err *e)
{
	enum hf_rc rc;
	CK_RV rv;

	hf_p11_logins_begin(l);
	/* A PIN that was right is no risk, and flash wears out: sessions may come and go. */
	rc = t->pin_good ? HF_OK : record_write(l, e);
	if (rc)
		return rc;
	rv = log_in(t, user, pin);
	if (rv != CKR_OK)
		return not_taken(t, rv, tried, before, l, e);
	memset(l, 0, sizeof(*l));
	rc = t->pin_good ? HF_OK : record_write(l, e);
	t->pin_good = true;
	return rc;
}

static enum hf_rc decide_and_try(struct hf_p11 *t, CK_USER_TYPE user, const struct hf_buf *pin,
				 struct hf_err *e)
{
	HF_AUTO_BUF tried = HF_BUF(PIN_MAX + 1 + sizeof(t->uri_text));
	struct hf_p11_logins l;
	CK_TOKEN_INFO info;
	enum hf_rc rc;
	CK_RV rv;

	memset(&info, 0, sizeof(info));
	rv = t->f->C_GetTokenInfo(t->slot, &info);
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "look at the token's PIN");
	/* By the URI of the configuration, which may name another token by now; what a token says
	 * of itself does not make a PIN another one. */
	hf_buf_add(&tried, pin->p, pin->n + 1);
	hf_buf_str(&tried, t->uri_text);
	if (tried.bad)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = record_read(&l, e);
	if (!rc)
		rc = hf_p11_logins_decide(&l, info.flags, HF_VIEW_BUF(&tried), e);
	return rc ? rc : try(t, user, pin, &tried, info.flags, &l, e);
}

enum hf_rc hf_p11_login(struct hf_p11 *t, CK_USER_TYPE user, struct hf_err *e)
{
	HF_AUTO_BUF pin = HF_BUF(PIN_MAX);
	enum hf_rc rc;

	if (t->flags & CKF_PROTECTED_AUTHENTICATION_PATH)
		return hf_fail(e, HF_UNSUPPORTED,
			       "the token wants its PIN on a keypad of its own, where no daemon "
			       "can type it");
	rc = pin_read(&pin, e);
	if (rc)
		return rc;
	if (!handed_over(HF_P11_LOGINS_FD))
		return hf_fail(e, HF_UNAVAILABLE,
			       "there is no record of logins, so the PIN is not tried; see the log "
			       "of holdfastd");
	rc = record_lock(e);
	if (rc)
		return rc;
	rc = decide_and_try(t, user, &pin, e);
	(void)flock(HF_P11_LOGINS_FD, LOCK_UN);
	return rc;
}

enum hf_rc hf_p11_login_forgive(struct hf_err *e)
{
	struct hf_p11_logins none = { 0 };

	enum hf_rc rc;

	if (!handed_over(HF_P11_LOGINS_FD))
		return HF_OK;
	rc = record_lock(e);
	if (!rc)
		rc = record_write(&none, e);
	(void)flock(HF_P11_LOGINS_FD, LOCK_UN);
	return rc;
}
