/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum hf_rc hf_fail(struct hf_err *e, enum hf_rc rc, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return rc;
	e->rc = rc;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return rc;
}

enum hf_rc hf_fail_errno(struct hf_err *e, enum hf_rc rc, const char *fmt, ...)
{
	int saved = errno;
	size_t used;
	va_list ap;

	if (saved == ENOMEM)
		rc = HF_NO_MEMORY;
	if (!e)
		return rc;
	e->rc = rc;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	used = strlen(e->msg);
	(void)snprintf(e->msg + used, sizeof(e->msg) - used, ": %s", strerror(saved));
	errno = saved;
	return rc;
}

enum hf_rc hf_within(struct hf_err *e, const char *fmt, ...)
{
	char head[sizeof(e->msg)];
	size_t used;
	va_list ap;

	if (!e)
		return HF_FAILED;
	va_start(ap, fmt);
	(void)vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	used = strlen(head);
	(void)snprintf(head + used, sizeof(head) - used, ": %s", e->msg);
	memcpy(e->msg, head, sizeof(head));
	return e->rc;
}

static const struct {
	const char *text;
	int exit;
} rcs[] = {
#define ROW(value, name, text, exit) [HF_##name] = { text, exit },
	HF_RC_LIST(ROW)
#undef ROW
};

#define N_RCS (sizeof(rcs) / sizeof(rcs[0]))

const char *hf_rc_text(enum hf_rc rc)
{
	return (unsigned)rc < N_RCS ? rcs[rc].text : "unknown error";
}

int hf_rc_exit(enum hf_rc rc)
{
	return (unsigned)rc < N_RCS ? rcs[rc].exit : 1;
}
