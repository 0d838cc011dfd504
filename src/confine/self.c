/* SPDX-License-Identifier: Apache-2.0 */
#include "confine/self.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "base/buf.h"

/* Of fcntl: neither F_SETOWN nor F_SETSIG, no leases, no pipes that grow. */
static const int commands[] = {
	F_GETFD, F_SETFD,  F_GETFL,	F_DUPFD,     F_DUPFD_CLOEXEC, F_GETLK,
	F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW,
#if F_SETLK != 6 /* 32 bits: of a module that was built for small files */
	5,	 6,	   7,
#endif
};

static int if_first(scmp_filter_ctx f, int call, int value)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 1,
				SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)value, 0));
}

static int allow_fcntl(scmp_filter_ctx f, int call)
{
	int failed = seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 2, SCMP_A1(SCMP_CMP_EQ, F_SETFL, 0),
				      SCMP_A2(SCMP_CMP_MASKED_EQ, O_ASYNC, 0));
	size_t i;

	for (i = 0; i < HF_COUNT(commands); i++)
		failed |= seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 1,
					   SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i], 0));
	return failed;
}

int hf_confine_self(scmp_filter_ctx f)
{
	int failed = if_first(f, SCMP_SYS(kill), getpid());

	failed |= if_first(f, SCMP_SYS(tgkill), getpid()); /* raise(), abort() */
	failed |= if_first(f, SCMP_SYS(prlimit64), 0);
	return failed | allow_fcntl(f, SCMP_SYS(fcntl)) | allow_fcntl(f, SCMP_SYS(fcntl64));
}

/* An allow-list cannot say "any but these": and what a vendor's device wants, nobody knows. The
 * kernel looks at 32 bits of the number only, so the filter does, too. */
int hf_confine_load(scmp_filter_ctx f)
{
	static const uint32_t takes[] = { FIOASYNC, FIOSETOWN, SIOCSPGRP };
	scmp_filter_ctx less = seccomp_init(SCMP_ACT_ALLOW);
	int failed = !less;
	size_t i;

	for (i = 0; less && i < HF_COUNT(takes); i++)
		failed |= seccomp_rule_add(less, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
					   SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, takes[i]));
	failed = failed || seccomp_load(less) || seccomp_load(f);
	if (less)
		seccomp_release(less);
	return failed;
}
