/* SPDX-License-Identifier: Apache-2.0 */
#include "confine/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "confine/landlock.h"
#include "confine/self.h"

/* Of all processes. Names that an architecture does not have are left out there. */
static const char common[] =
	"brk mmap munmap mprotect mremap madvise futex rseq set_robust_list get_robust_list "
	"sched_yield sched_getaffinity clock_gettime clock_getres clock_nanosleep nanosleep "
	"gettimeofday time getrandom membarrier rt_sigaction rt_sigprocmask rt_sigreturn "
	"sigaltstack restart_syscall exit exit_group getpid getppid gettid getuid geteuid "
	"getgid getegid getgroups prctl getrlimit setrlimit uname sysinfo umask "
	"read readv pread64 write writev pwrite64 close close_range lseek fstat fstat64 "
	"newfstatat fstatat64 stat lstat statx access faccessat faccessat2 readlink readlinkat "
	"getcwd dup dup2 dup3 poll ppoll select pselect6 pipe2 eventfd2 "
	"epoll_create1 epoll_ctl epoll_wait epoll_pwait signalfd4 timerfd_create "
	"timerfd_settime sendto recvfrom sendmsg recvmsg send recv shutdown accept accept4 "
	"getsockopt setsockopt getsockname getpeername socketpair "
	/* the same on 32-bit machines, which libseccomp does not translate */
	"mmap2 _llseek _newselect ugetrlimit sigreturn sigprocmask set_tls cacheflush stat64 "
	"lstat64 getuid32 geteuid32 getgid32 getegid32 getgroups32 clock_gettime64 "
	"clock_getres_time64 clock_nanosleep_time64 futex_time64 ppoll_time64 pselect6_time64 "
	"timerfd_settime64";

/* What belongs to one set. */
static const struct {
	unsigned set;
	const char *names;
} sets[] = {
	{ HF_CONFINE_READ, "getdents64 getdents fadvise64 fadvise64_64 arm_fadvise64_64 flock" },
	{ HF_CONFINE_WRITE,
	  "open openat creat mkdir mkdirat rename renameat renameat2 unlink unlinkat rmdir "
	  "fsync fdatasync ftruncate fallocate chmod fchmod fchmodat chown lchown fchown "
	  "fchownat link linkat utimensat utimensat_time64 ftruncate64 chown32 fchown32 lchown32" },
	{ HF_CONFINE_UNIX, "connect bind listen" },
	{ HF_CONFINE_INET, "connect" },
	{ HF_CONFINE_DEVICE, "ioctl" },
	{ HF_CONFINE_CLOCK, "adjtimex clock_adjtime clock_adjtime64" },
};

/* What no program of ours does: for the warden, and for keepers with a vendor's module. */
static const char never[] =
	"ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd "
	"move_pages migrate_pages kcmp mount umount umount2 pivot_root chroot "
	"move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr swapon swapoff reboot "
	"kexec_load kexec_file_load init_module finit_module delete_module bpf perf_event_open "
	"userfaultfd keyctl add_key request_key acct quotactl settimeofday clock_settime "
	"clock_settime64 adjtimex clock_adjtime clock_adjtime64 mknod mknodat setns unshare "
	"open_by_handle_at name_to_handle_at iopl ioperm vhangup syslog io_uring_setup "
	"io_uring_enter io_uring_register sethostname setdomainname nfsservctl lookup_dcookie";

/* Every word of @names. */
static int add_names(scmp_filter_ctx f, uint32_t action, const char *names)
{
	char name[32];
	int failed = 0;

	while (*names) {
		size_t n = 0;
		int call;

		while (names[n] && names[n] != ' ')
			n++;
		if (n >= sizeof(name))
			return -1;
		for (size_t i = 0; i < n; i++)
			name[i] = names[i];
		name[n] = '\0';
		call = seccomp_syscall_resolve_name(name);
		if (call != __NR_SCMP_ERROR)
			failed |= seccomp_rule_add(f, action, call, 0);
		names += n + (names[n] == ' ');
	}
	return failed;
}

/* Opening for reading alone: neither to write, nor to make, nor to empty. */
static int add_open_to_read(scmp_filter_ctx f)
{
	const scmp_datum_t writing = O_ACCMODE | O_CREAT | O_TRUNC;
	int failed;

	failed = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
				  SCMP_A2(SCMP_CMP_MASKED_EQ, writing, 0));
	failed |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
				   SCMP_A1(SCMP_CMP_MASKED_EQ, writing, 0));
	return failed;
}

static int add_family(scmp_filter_ctx f, int family)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0));
}

/* In one place, so that one failure is not missed among many. */
static int allow(scmp_filter_ctx f, unsigned wanted)
{
	int failed = add_names(f, SCMP_ACT_ALLOW, common);
	size_t i;

	for (i = 0; i < HF_COUNT(sets); i++)
		if (wanted & sets[i].set)
			failed |= add_names(f, SCMP_ACT_ALLOW, sets[i].names);
	if ((wanted & HF_CONFINE_READ) && !(wanted & HF_CONFINE_WRITE))
		failed |= add_open_to_read(f);
	if (wanted & HF_CONFINE_DEVICE) /* a TPM is opened to read and write */
		failed |= add_names(f, SCMP_ACT_ALLOW,
				    wanted & HF_CONFINE_WRITE ? "" : "openat open");
	if (wanted & (HF_CONFINE_UNIX | HF_CONFINE_INET))
		failed |= add_family(f, AF_UNIX);
	if (wanted & HF_CONFINE_INET)
		failed |= add_family(f, AF_INET) | add_family(f, AF_INET6);
	if (wanted & HF_CONFINE_THREAD)
		failed |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
					   SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	/* Their arguments are in memory, where a filter cannot look; libc then uses the old ones.
	 */
	failed |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	failed |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0);
	return failed | hf_confine_self(f);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED false
#endif

enum hf_rc hf_confine(const struct hf_confine *c, struct hf_err *e)
{
	scmp_filter_ctx f;
	int failed;

	if (SANITIZED)
		return HF_OK;
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (hf_landlock(c->places, c->n_places, e))
		return hf_within(e, "%s: confinement", c->name);
	f = seccomp_init(c->sets ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW);
	if (c->sets)
		failed = !f || allow(f, c->sets) || hf_confine_load(f);
	else
		failed = !f || add_names(f, SCMP_ACT_ERRNO(EPERM), never) || seccomp_load(f);
	if (f)
		seccomp_release(f);
	return failed ? hf_fail(e, HF_FAILED,
				"%s: the kernel does not take its confinement (seccomp); "
				"holdfastd --unconfined does without",
				c->name)
		      : HF_OK;
}

int hf_confine_landlock(void)
{
	return SANITIZED ? 0 : hf_landlock_version();
}
