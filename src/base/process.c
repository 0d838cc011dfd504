/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

void hf_process_harden(void)
{
	struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)umask(077);
}

uint64_t hf_process_files(uint64_t want)
{
	struct rlimit have;

	if (getrlimit(RLIMIT_NOFILE, &have))
		return 0;
	if (have.rlim_cur < want) {
		rlim_t before = have.rlim_cur;

		have.rlim_cur = have.rlim_max < want ? have.rlim_max : (rlim_t)want;
		if (setrlimit(RLIMIT_NOFILE, &have))
			return before;
	}
	return have.rlim_cur;
}

uint64_t hf_now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
