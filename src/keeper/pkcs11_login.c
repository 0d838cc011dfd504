/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/pkcs11_login.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "keeper/public.h"

#define FORMAT	       "holdfast-login 1 %c %02u %s %s"
#define UNFINISHED_MAX 3u

#define AGAIN "'holdfast token provision TOKEN' tries it once more"

static const char letters[] = { 'n', 't', 'r' };

void hf_p11_logins_read(struct hf_p11_logins *l, const char *p, size_t n)
{
	char text[HF_P11_RECORD + 1] = "", salt[17], mark[5], letter;
	const char *at;

	memset(l, 0, sizeof(*l));
	if (n != HF_P11_RECORD)
		return;
	memcpy(text, p, n);
	if (sscanf(text, "holdfast-login 1 %c %2u %16[0-9a-f] %4[0-9a-f]", &letter, &l->unfinished,
		   salt, mark) != 4 ||
	    !hf_unhex(l->salt, sizeof(l->salt), salt) ||
	    !hf_unhex(l->mark, sizeof(l->mark), mark) ||
	    !(at = memchr(letters, letter, sizeof(letters)))) {
		memset(l, 0, sizeof(*l));
		return;
	}
	l->last = (enum hf_p11_attempt)(at - letters);
}

void hf_p11_logins_write(const struct hf_p11_logins *l, char out[HF_P11_RECORD])
{
	char salt[17], mark[5], text[HF_P11_RECORD + 32];
	int n = snprintf(text, sizeof(text), FORMAT, letters[l->last],
			 l->unfinished > 99 ? 99 : l->unfinished,
			 hf_hex(salt, sizeof(salt), l->salt, sizeof(l->salt)),
			 hf_hex(mark, sizeof(mark), l->mark, sizeof(l->mark)));

	memset(out, ' ', HF_P11_RECORD);
	memcpy(out, text, (size_t)n);
	out[HF_P11_RECORD - 1] = '\n';
}

static enum hf_rc mark_of(const struct hf_p11_logins *l, struct hf_view pin, uint8_t mark[2],
			  struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(1024);
	uint8_t hash[32];
	enum hf_rc rc;

	hf_buf_add(&text, l->salt, sizeof(l->salt));
	hf_buf_add(&text, pin.p, pin.n);
	rc = text.bad ? hf_fail(e, HF_NO_MEMORY, "out of memory")
		      : hf_hash("SHA2-256", HF_VIEW_BUF(&text), hash, e);
	if (!rc)
		memcpy(mark, hash, sizeof(l->mark));
	return rc;
}

enum hf_rc hf_p11_logins_decide(const struct hf_p11_logins *l, CK_FLAGS flags, struct hf_view pin,
				struct hf_err *e)
{
	uint8_t mark[2];
	enum hf_rc rc;

	if (flags & CKF_USER_PIN_LOCKED)
		return hf_fail(e, HF_LOCKOUT, "the PIN is locked: unlock it with the maker's tool");
	if (flags & CKF_USER_PIN_FINAL_TRY)
		return hf_fail(e, HF_LOCKOUT,
			       "one more wrong PIN would lock the token: holdfast does not try. "
			       "Log in once with the maker's tool (or pkcs11-tool --login), which "
			       "resets that");
	if (l->last == HF_P11_TRYING && (flags & CKF_USER_PIN_COUNT_LOW))
		return hf_fail(e, HF_LOCKOUT,
			       "the last attempt to log in was interrupted, and the token has "
			       "counted a wrong PIN since: look at the PIN, then " AGAIN);
	if (l->last == HF_P11_TRYING && l->unfinished >= UNFINISHED_MAX)
		return hf_fail(e, HF_LOCKOUT,
			       "%u attempts to log in were interrupted, or failed without a word "
			       "about the PIN: the module has its trouble there. When it has not "
			       "any more, " AGAIN,
			       l->unfinished);
	if (l->last != HF_P11_REFUSED)
		return HF_OK;
	rc = mark_of(l, pin, mark, e);
	if (rc)
		return rc;
	if (!hf_mem_equal(mark, l->mark, sizeof(mark)))
		return HF_OK;
	return hf_fail(e, HF_LOCKOUT,
		       "the token has refused this PIN before, and it is not tried again: put the "
		       "right one into its file; " AGAIN);
}

void hf_p11_logins_begin(struct hf_p11_logins *l)
{
	l->unfinished = l->last == HF_P11_TRYING ? l->unfinished + 1 : 1;
	l->last = HF_P11_TRYING;
}

enum hf_rc hf_p11_logins_refused(struct hf_p11_logins *l, struct hf_view pin, struct hf_err *e)
{
	l->last = HF_P11_REFUSED;
	l->unfinished = 0;
	if (RAND_bytes(l->salt, sizeof(l->salt)) != 1)
		return hf_fail(e, HF_FAILED, "no random numbers");
	return mark_of(l, pin, l->mark, e);
}
