/* SPDX-License-Identifier: Apache-2.0 */
/* What is left to holdfast-est once it listens to strangers. Each try is in a process of its own.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/process.h"
#include "est/sandbox.h"

static int try_exec(void)
{
	return execl("/bin/true", "true", (char *)NULL);
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid;
}

static int try_clone3(void)
{
	return (int)syscall(SYS_clone3, NULL, 0);
}

static int try_write_file(void)
{
	return open("/tmp/hf-est-sandbox", O_WRONLY | O_CREAT, 0600);
}

static int try_truncate(void)
{
	return open("/dev/null", O_RDWR | O_TRUNC);
}

static int try_unlink(void)
{
	return unlink("/tmp/hf-est-sandbox-that-is-not-there");
}

static int try_kill(void)
{
	return kill(getppid(), 0);
}

static int try_tgkill(void)
{
	return (int)syscall(SYS_tgkill, getppid(), getppid(), 0);
}

/* The kernel signals the owner of a descriptor that is ready, with any signal. */
static int try_owner(void)
{
	int ends[2];

	return pipe(ends) ? 0 : fcntl(ends[0], F_SETOWN, getppid());
}

static int try_owner_ex(void)
{
	struct f_owner_ex owner = { F_OWNER_PID, getppid() };
	int ends[2];

	return pipe(ends) ? 0 : fcntl(ends[0], F_SETOWN_EX, &owner);
}

static int try_signal_of_descriptor(void)
{
	int ends[2];

	return pipe(ends) ? 0 : fcntl(ends[0], F_SETSIG, SIGKILL);
}

static int try_owner_of_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pid = getppid();

	return fd < 0 ? 0 : ioctl(fd, FIOSETOWN, &pid);
}

static int try_prlimit(void)
{
	struct rlimit64 none = { 0, 0 };

	return (int)syscall(SYS_prlimit64, getppid(), RLIMIT_CORE, &none, NULL);
}

static int try_ptrace(void)
{
	return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int try_listen(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? 0 : listen(fd, 1); /* 0: fails the test */
}

static int try_packet_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static int try_chmod(void)
{
	return chmod("/tmp", 01777);
}

static int try_setuid(void)
{
	return setuid(getuid());
}

static int try_limits(void)
{
	struct rlimit more = { RLIM_INFINITY, RLIM_INFINITY };

	return setrlimit(RLIMIT_AS, &more);
}

static int try_memory(void)
{
	return mmap(NULL, (size_t)1 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0) == MAP_FAILED
		       ? -1
		       : 0;
}

static const struct {
	const char *what;
	int (*run)(void);
} forbidden[] = {
	{ "run a program", try_exec },
	{ "fork", try_fork },
	{ "clone3", try_clone3 },
	{ "make a file", try_write_file },
	{ "truncate a file", try_truncate },
	{ "remove a file", try_unlink },
	{ "signal others", try_kill },
	{ "signal threads of others", try_tgkill },
	{ "have others signalled", try_owner },
	{ "have others signalled, in the other way", try_owner_ex },
	{ "choose that signal", try_signal_of_descriptor },
	{ "have others signalled by a socket", try_owner_of_socket },
	{ "limit others", try_prlimit },
	{ "trace others", try_ptrace },
	{ "listen", try_listen },
	{ "read packets", try_packet_socket },
	{ "change modes", try_chmod },
	{ "change the user", try_setuid },
	{ "lift limits", try_limits },
	{ "take a gigabyte", try_memory },
};

static void *idle(void *arg)
{
	return arg;
}

static int allowed_connect(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	return fd < 0 ? -1 : close(fd);
}

static int allowed_read(void)
{
	int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : close(fd);
}

static int allowed_resolve(void)
{
	struct addrinfo *list = NULL;

	if (getaddrinfo("localhost", "443", NULL, &list))
		return -1;
	freeaddrinfo(list);
	return 0;
}

static int allowed_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, idle, NULL) || pthread_join(thread, NULL) ? -1 : 0;
}

static int allowed_raise(void)
{
	return (int)syscall(SYS_tgkill, getpid(), gettid(), 0);
}

static int allowed_nonblocking(void)
{
	int ends[2], yes = 1;

	if (pipe2(ends, O_CLOEXEC) || fcntl(ends[0], F_SETFL, O_NONBLOCK) ||
	    ioctl(ends[1], FIONBIO, &yes))
		return -1;
	return fcntl(ends[0], F_DUPFD_CLOEXEC, 10) < 0 ? -1 : 0;
}

static const struct {
	const char *what;
	int (*run)(void);
} allowed[] = {
	{ "signal itself", allowed_raise },
	{ "make descriptors nonblocking", allowed_nonblocking },
	{ "reach the broker", allowed_connect },
	{ "read a file", allowed_read },
	{ "resolve a name", allowed_resolve },
	{ "make a thread", allowed_thread },
};

/* 0: it could; 1: it could not; 9: the sandbox failed. */
static int in_sandbox(int (*run)(void))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		hf_process_harden();
		if (hf_est_sandbox(NULL))
			_exit(9);
		_exit(run() < 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_forbidden(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(forbidden); i++)
		if (in_sandbox(forbidden[i].run) != 1)
			fail_msg("it can %s", forbidden[i].what);
}

static void test_allowed(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(allowed); i++)
		if (in_sandbox(allowed[i].run) != 0)
			fail_msg("it cannot %s", allowed[i].what);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
