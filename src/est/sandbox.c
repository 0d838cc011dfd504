/* SPDX-License-Identifier: Apache-2.0 */
#include "est/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "confine/landlock.h"
#include "confine/self.h"

#ifndef __SANITIZE_ADDRESS__

/* Those that are not on an architecture are left out there. */
static const char *const allowed[] = {
	/* memory, time, threads (libcurl resolves names in one) */
	"brk",
	"mmap",
	"munmap",
	"mprotect",
	"mremap",
	"madvise",
	"futex",
	"rseq",
	"set_robust_list",
	"get_robust_list",
	"sched_yield",
	"sched_getaffinity",
	"clock_gettime",
	"clock_getres",
	"clock_nanosleep",
	"nanosleep",
	"gettimeofday",
	"time",
	"getrandom",
	"membarrier",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigaltstack",
	"restart_syscall",
	"exit",
	"exit_group",
	"getpid",
	"getppid",
	"gettid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"uname",
	"sysinfo",
	"getrlimit",
	/* descriptors */
	"read",
	"readv",
	"pread64",
	"write",
	"writev",
	"close",
	"lseek",
	"fstat",
	"fstat64",
	"newfstatat",
	"fstatat64",
	"stat",
	"lstat",
	"statx",
	"access",
	"faccessat",
	"faccessat2",
	"readlink",
	"readlinkat",
	"getdents64",
	"getcwd",
	"dup",
	"poll",
	"ppoll",
	"select",
	"pselect6",
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"eventfd2",
	"pipe",
	"pipe2",
	"socketpair",
	"fadvise64",
	/* the same on 32-bit machines */
	"mmap2",
	"_llseek",
	"_newselect",
	"send",
	"recv",
	"ugetrlimit",
	"clock_gettime64",
	"clock_getres_time64",
	"clock_nanosleep_time64",
	"futex_time64",
	"ppoll_time64",
	"pselect6_time64",
	"recvmmsg_time64",
	/* sockets; which ones may be made is below */
	"connect",
	"bind",
	"getsockname",
	"getpeername",
	"getsockopt",
	"setsockopt",
	"sendto",
	"recvfrom",
	"sendmsg",
	"recvmsg",
	"sendmmsg",
	"recvmmsg",
	"shutdown",
};

/* Not FIOSETOWN. */
static const unsigned long controls[] = { FIONBIO, FIONREAD, TCGETS };

static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

/* Allows a call if its argument @n, under @mask, is @value. */
static int allow_if(scmp_filter_ctx f, int call, unsigned n, scmp_datum_t mask, scmp_datum_t value)
{
	const struct scmp_arg_cmp arg = { n, SCMP_CMP_MASKED_EQ, mask, value };

	return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, call, 1, &arg);
}

static int add_rules(scmp_filter_ctx f)
{
	const scmp_datum_t writing = O_ACCMODE | O_CREAT | O_TRUNC;
	int failed = 0;
	size_t i;

	for (i = 0; i < HF_COUNT(allowed); i++) {
		int n = seccomp_syscall_resolve_name(allowed[i]);

		if (n != __NR_SCMP_ERROR)
			failed |= seccomp_rule_add(f, SCMP_ACT_ALLOW, n, 0);
	}
	for (i = 0; i < HF_COUNT(controls); i++)
		failed |= allow_if(f, SCMP_SYS(ioctl), 1, UINT32_MAX, controls[i]);
	for (i = 0; i < HF_COUNT(families); i++)
		failed |= allow_if(f, SCMP_SYS(socket), 0, UINT32_MAX, (scmp_datum_t)families[i]);
	failed |= allow_if(f, SCMP_SYS(open), 1, writing, 0);
	failed |= allow_if(f, SCMP_SYS(openat), 2, writing, 0);
	failed |= allow_if(f, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD);
	/* its flags are in memory, where a filter cannot look; libc then uses clone */
	failed |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	failed |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0);
	return failed | hf_confine_self(f);
}

static enum hf_rc limit(struct hf_err *e)
{
	static const struct {
		int what;
		rlim_t most;
	} limits[] = {
		{ RLIMIT_AS, 512u << 20 },
		{ RLIMIT_FSIZE, 8u << 20 }, /* the result, if descriptor 1 is a file */
		{ RLIMIT_NOFILE, 64 },
		{ RLIMIT_CPU, 120 },
	};
	size_t i;

	for (i = 0; i < HF_COUNT(limits); i++) {
		struct rlimit have;

		if (getrlimit((__rlimit_resource_t)limits[i].what, &have))
			return hf_fail_errno(e, HF_FAILED, "getrlimit");
		if (have.rlim_max == RLIM_INFINITY || have.rlim_max > limits[i].most)
			have.rlim_max = limits[i].most;
		have.rlim_cur = have.rlim_max;
		if (setrlimit((__rlimit_resource_t)limits[i].what, &have))
			return hf_fail_errno(e, HF_FAILED, "setrlimit");
	}
	return HF_OK;
}

enum hf_rc hf_est_sandbox(struct hf_err *e)
{
	scmp_filter_ctx f;
	int failed;

	if (limit(e) || hf_landlock(NULL, 0, e))
		return e->rc;
	f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	failed = !f || add_rules(f) || hf_confine_load(f);
	if (f)
		seccomp_release(f);
	return failed ? hf_fail(e, HF_FAILED, "the sandbox (seccomp) cannot be closed") : HF_OK;
}

#else
/* A sanitizer makes processes, traces itself, and takes terabytes of address space. */
enum hf_rc hf_est_sandbox(struct hf_err *e)
{
	(void)e;
	return HF_OK;
}
#endif
