/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LD_PRELOAD for tests: a wall clock with an offset, and a fault at the n-th step. What is wanted is
 * in a struct in the file that HOLDFAST_TEST_CLOCK names; it is mapped before any sandbox closes
 * and may be written to at any time. A step is a call that leaves something behind: on the disk, or
 * at a peer. Of the monotonic clocks only CLOCK_BOOTTIME is ever changed.
 *
 * HOLDFAST_TEST_TIMER names a FIFO that stands for timers of the wall clock: a byte in it is the
 * kernel's word that the clock was set.
 *
 * An EST server listens on the loopback alone.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* agentlib.py writes it. */
struct wish {
	int64_t offset;	 /* of the clock, in seconds */
	int64_t count;	 /* steps of this program so far */
	int64_t at;	 /* at this step: */
	int64_t error;	 /* errno for it and all that follow on the disk; 0: SIGKILL */
	int64_t victim;	 /* who is killed; 0: this program */
	int64_t program; /* only in this process; 0: in none; -1: in the first agent that takes a
			    step */
	int64_t boot;	 /* seconds that CLOCK_BOOTTIME has gone ahead, asleep */
	int64_t synced;	 /* the kernel says that the clock is synchronised; -1: it must not be asked */
};

static struct wish *wish;

__attribute__((constructor)) static void map(void)
{
	const char *path = getenv("HOLDFAST_TEST_CLOCK");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = MAP_FAILED;

	if (fd >= 0)
		p = mmap(NULL, sizeof(*wish), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		(void)close(fd);
	if (p != MAP_FAILED)
		wish = p;
}

/* The agent proper; its launcher takes no step before there is something to launch. */
static int is_agent(void)
{
	return !strcmp(program_invocation_short_name, "holdfast-agent");
}

/* 0: go on; else errno. @disk: it may fail for want of space. */
static int step(int disk)
{
	if (!wish || !wish->program)
		return 0;
	if (wish->program == -1 && is_agent())
		wish->program = getpid();
	if (getpid() != (pid_t)wish->program)
		return 0;
	wish->count++;
	if (!wish->at || wish->count < wish->at)
		return 0;
	if (wish->error)
		return disk ? (int)wish->error : 0;
	if (wish->count == wish->at)
		(void)kill(wish->victim ? (pid_t)wish->victim : getpid(), SIGKILL);
	return 0;
}

/* One that stands in for libc's: a step, then the real one. */
#define STEP(type, name, parameters, arguments, disk)                                              \
	EXPORT type name parameters                                                                \
	{                                                                                          \
		static type(*real) parameters;                                                     \
		int fault = step(disk);                                                            \
                                                                                                   \
		if (!real)                                                                         \
			*(void **)&real = dlsym(RTLD_NEXT, #name);                                 \
		if (fault) {                                                                       \
			errno = fault;                                                             \
			return -1;                                                                 \
		}                                                                                  \
		return real arguments;                                                             \
	}

STEP(int, rename, (const char *from, const char *to), (from, to), 1)
STEP(int, unlink, (const char *path), (path), 0)
STEP(int, fsync, (int fd), (fd), 1)
STEP(int, mkdir, (const char *path, mode_t mode), (path, mode), 1)
STEP(int, link, (const char *from, const char *to), (from, to), 1)
STEP(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), 1)
STEP(int, fchmod, (int fd, mode_t mode), (fd, mode), 1)
/* Is mkostemp64 where file offsets have 64 bits. */
STEP(int, mkostemp, (char *path, int flags), (path, flags), 1)
STEP(int, connect, (int fd, __CONST_SOCKADDR_ARG to, socklen_t n), (fd, to, n), 0)
STEP(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), 0)
STEP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), 0)
STEP(int, shutdown, (int fd, int how), (fd, how), 0)

/* To files; what is written to a log, a pipe or a terminal leaves nothing behind. */
EXPORT ssize_t write(int fd, const void *p, size_t n)
{
	struct stat st;
	int fault = wish && fd > 2 && !fstat(fd, &st) && S_ISREG(st.st_mode) ? step(1) : 0;

	if (!fault)
		return syscall(SYS_write, fd, p, n);
	errno = fault;
	return -1;
}

/* A test's EST server would listen on every address, with a password that everybody knows. */
EXPORT int bind(int fd, __CONST_SOCKADDR_ARG to, socklen_t n)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} a;

	if (n < sizeof(a.any) || n > sizeof(a) ||
	    strcmp(program_invocation_short_name, "estserver"))
		return (int)syscall(SYS_bind, fd, to.__sockaddr__, n);
	memcpy(&a, to.__sockaddr__, n);
	if (a.any.sa_family == AF_INET)
		a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (a.any.sa_family == AF_INET6)
		(void)inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.in6.sin6_addr);
	return (int)syscall(SYS_bind, fd, &a, n);
}

EXPORT int clock_gettime(clockid_t id, struct timespec *t)
{
	int rc = (int)syscall(SYS_clock_gettime, id, t);

	if (!rc && wish && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		t->tv_sec += wish->offset;
	if (!rc && wish && id == CLOCK_BOOTTIME)
		t->tv_sec += wish->boot;
	return rc;
}

EXPORT time_t time(time_t *out)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}

EXPORT int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}

/* The kernel is asked in any case, since a sandbox may forbid it. */
EXPORT int adjtimex(struct timex *t)
{
	int rc = (int)syscall(SYS_clock_adjtime, CLOCK_REALTIME, t);

	if (wish && wish->synced < 0) {
		errno = EPERM;
		return -1;
	}
	if (rc >= 0 && wish)
		t->status = wish->synced ? STA_PLL : STA_UNSYNC;
	return rc;
}

/* systemd-timesyncd's word is a file beside ours. */
EXPORT int access(const char *path, int mode)
{
	const char *clock = getenv("HOLDFAST_TEST_CLOCK");
	char ours[4096];

	if (clock && !strcmp(path, "/run/systemd/timesync/synchronized")) {
		(void)snprintf(ours, sizeof(ours), "%s.timesync", clock);
		path = ours;
	}
	return faccessat(AT_FDCWD, path, mode, 0);
}

static int timer = -1;

EXPORT int timerfd_create(int id, int flags)
{
	const char *path = id == CLOCK_REALTIME ? getenv("HOLDFAST_TEST_TIMER") : NULL;

	if (!path)
		return (int)syscall(SYS_timerfd_create, id, flags);
	timer = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return timer;
}

/* Nobody is told who did not ask for it. */
EXPORT int timerfd_settime(int fd, int flags, const struct itimerspec *t, struct itimerspec *old)
{
	if (fd != timer)
		return (int)syscall(SYS_timerfd_settime, fd, flags, t, old);
	if (!(flags & TFD_TIMER_CANCEL_ON_SET))
		abort();
	return 0;
}

EXPORT ssize_t read(int fd, void *p, size_t n)
{
	ssize_t got = syscall(SYS_read, fd, p, n);

	if (got <= 0 || fd != timer)
		return got;
	errno = ECANCELED;
	return -1;
}
