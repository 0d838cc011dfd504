/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confined.c: what somebody could do who has taken over one of our processes.
 * usage: confined broker STATE_DIR CONFIG DIR | keeper TCTI DIR | module CONFINE DIR |
 * agent STATE_DIR DIR | est | warden; a line for each try.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "agent/agent.h"
#include "broker/confined.h"
#include "confine/confine.h"
#include "est/sandbox.h"
#include "keeper/confined.h"

/* Another process of the same user, which waits: the broker as a keeper sees it. */
static pid_t victim;
static int victim_pidfd = -1;
static const char *state_dir = "/tmp", *outside = "/tmp";

static long try_socket(int family)
{
	return socket(family, SOCK_STREAM, 0);
}

static long try_inet(void)
{
	return try_socket(AF_INET);
}

static long try_unix(void)
{
	return try_socket(AF_UNIX);
}

static long try_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long try_read_passwd(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static long try_read_root(void)
{
	return open("/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static long try_write(const char *dir, const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long try_write_state(void)
{
	return try_write(state_dir, "written");
}

static long try_write_outside(void)
{
	return try_write(outside, "hf-confined-escaped");
}

static long try_exec(void)
{
	char *argv[] = { (char[]){ "true" }, NULL };

	return execve("/bin/true", argv, argv + 1);
}

static long try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return pid;
}

static long try_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long try_mount(void)
{
	return mount("none", "/mnt", "tmpfs", 0, NULL);
}

static long try_device(void)
{
	return mknod("/tmp/hf-confined-device", S_IFCHR | 0600, 0x0103);
}

static long try_device_in_state(void)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/device", state_dir);
	return mknod(path, S_IFCHR | 0600, 0x0103);
}

static long try_signal(void)
{
	return kill(victim, 0);
}

static long try_signal_all(void)
{
	return kill(-1, 0);
}

static long try_tgkill(void)
{
	return syscall(SYS_tgkill, victim, victim, 0);
}

static long try_tkill(void)
{
	return syscall(SYS_tkill, victim, 0);
}

static long try_sigqueue(void)
{
	return sigqueue(victim, 0, (union sigval){ 0 });
}

static long try_pidfd_signal(void)
{
	return syscall(SYS_pidfd_send_signal, victim_pidfd, 0, NULL, 0);
}

static long try_pidfd_getfd(void)
{
	return syscall(SYS_pidfd_getfd, victim_pidfd, 0, 0);
}

static long try_read_memory(void)
{
	char there;
	struct iovec mine = { &there, 1 }, its = { &victim, 1 };

	return process_vm_readv(victim, &mine, 1, &its, 1, 0);
}

static long try_limit(void)
{
	struct rlimit r;

	return prlimit(victim, RLIMIT_CPU, NULL, &r);
}

static long try_priority(void)
{
	return setpriority(PRIO_PROCESS, (id_t)victim, 19);
}

static long try_affinity(void)
{
	unsigned long all[16] = { ~0ul };

	return syscall(SYS_sched_setaffinity, victim, sizeof(all), all);
}

/* What a socket tells its owner is a signal: does the victim get one that ends it? */
static long signal_by_socket(long (*own)(int fd), long (*arm)(int fd))
{
	int ends[2], status;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || own(ends[0]) < 0 || arm(ends[0]) < 0 ||
	    write(ends[1], "x", 1) != 1)
		return -1;
	return waitpid(victim, &status, WNOHANG) == victim ? 0 : -1;
}

static long own_by_fcntl(int fd)
{
	return fcntl(fd, F_SETSIG, SIGKILL) | fcntl(fd, F_SETOWN, victim);
}

static long own_by_ioctl(int fd)
{
	int pid = victim;

	return ioctl(fd, FIOSETOWN, &pid) & ioctl(fd, SIOCSPGRP, &pid);
}

static long arm_by_fcntl(int fd)
{
	return fcntl(fd, F_SETFL, O_ASYNC);
}

static long arm_by_ioctl(int fd)
{
	return ioctl(fd, FIOASYNC, &(int){ 1 });
}

static long set_owner(long (*own)(int fd))
{
	int ends[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) ? -1 : own(ends[0]);
}

static long try_setown(void)
{
	return set_owner(own_by_fcntl);
}

static long try_setown_ioctl(void)
{
	return set_owner(own_by_ioctl);
}

static long try_async(void)
{
	return set_owner(arm_by_fcntl);
}

static long try_async_ioctl(void)
{
	return set_owner(arm_by_ioctl);
}

static long try_signal_by_socket(void)
{
	return signal_by_socket(own_by_fcntl, arm_by_fcntl);
}

/* What it may still do to itself, and has to: abort(), its own limits, non-blocking sockets. */
static long try_itself(void)
{
	struct rlimit r;
	int ends[2];

	return syscall(SYS_tgkill, getpid(), getpid(), 0) | kill(getpid(), 0) |
	       getrlimit(RLIMIT_NOFILE, &r) | socketpair(AF_UNIX, SOCK_STREAM, 0, ends) |
	       fcntl(ends[0], F_SETFL, O_NONBLOCK) | fcntl(ends[0], F_SETFD, FD_CLOEXEC);
}

static long try_abstract(void)
{
	static const struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "\0hf-confined" };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	return fd < 0 ? fd : connect(fd, (const struct sockaddr *)&at, sizeof(at));
}

static long try_bpf(void)
{
	return syscall(SYS_bpf, 0, NULL, 0);
}

static long try_unshare(void)
{
	return syscall(SYS_unshare, 0x10000000);
}

static long try_setuid(void)
{
	return setuid(65534);
}

static long try_chroot(void)
{
	return chroot("/");
}

static const struct {
	const char *name;
	long (*run)(void);
} tries[] = {
	{ "inet", try_inet },
	{ "unix", try_unix },
	{ "netlink", try_netlink },
	{ "read-etc", try_read_passwd },
	{ "read-root", try_read_root },
	{ "write-state", try_write_state },
	{ "write-outside", try_write_outside },
	{ "fork", try_fork },
	{ "ptrace", try_ptrace },
	{ "mount", try_mount },
	{ "device", try_device },
	{ "device-in-state", try_device_in_state },
	{ "signal", try_signal },
	{ "signal-all", try_signal_all },
	{ "tgkill", try_tgkill },
	{ "tkill", try_tkill },
	{ "sigqueue", try_sigqueue },
	{ "pidfd-signal", try_pidfd_signal },
	{ "pidfd-getfd", try_pidfd_getfd },
	{ "read-memory", try_read_memory },
	{ "limit", try_limit },
	{ "priority", try_priority },
	{ "affinity", try_affinity },
	{ "setown", try_setown },
	{ "setown-ioctl", try_setown_ioctl },
	{ "async", try_async },
	{ "async-ioctl", try_async_ioctl },
	{ "itself", try_itself },
	{ "abstract", try_abstract },
	{ "bpf", try_bpf },
	{ "unshare", try_unshare },
	{ "chroot", try_chroot },
	{ "setuid", try_setuid },
	{ "signal-by-socket", try_signal_by_socket }, /* it might end the victim */
	{ "exec", try_exec }, /* the last: it might succeed */
};

static enum hf_rc confine_agent(const char *state, struct hf_err *e)
{
	static struct hf_agent_settings settings;
	static struct hf_agent agent = { .settings = &settings };

	(void)hf_copy(settings.state_dir, sizeof(settings.state_dir), state);
	(void)hf_copy(settings.run_dir, sizeof(settings.run_dir), state);
	(void)hf_copy(settings.certs_dir, sizeof(settings.certs_dir), state);
	return hf_agent_confine(&agent, e);
}

static enum hf_rc confine(int argc, char **argv, struct hf_err *e)
{
	static hf_KeeperOpen conf = { .type = "tpm2" };
	const char *what = argc > 1 ? argv[1] : "";

	outside = argv[argc - 1];
	if (argc == 5 && !strcmp(what, "broker")) {
		state_dir = argv[2];
		return hf_broker_confine(argv[2], argv[3], e);
	}
	if (argc == 4 && !strcmp(what, "keeper")) {
		(void)hf_copy(conf.tcti, sizeof(conf.tcti), argv[2]);
		return hf_keeper_confine(&conf, e);
	}
	if (argc == 4 && !strcmp(what, "module")) {
		(void)hf_copy(conf.type, sizeof(conf.type), "pkcs11");
		(void)hf_copy(conf.confine, sizeof(conf.confine), argv[2]);
		return hf_keeper_confine(&conf, e);
	}
	if (argc == 4 && !strcmp(what, "agent")) {
		state_dir = argv[2];
		return confine_agent(argv[2], e);
	}
	if (argc == 3 && !strcmp(what, "est"))
		return hf_est_sandbox(e);
	if (argc == 3 && !strcmp(what, "warden"))
		return hf_warden_confine(e);
	return hf_fail(e, HF_ARGUMENT, "usage");
}

/* The victim and the abstract socket, both outside of what will be confined. It ends with us: by a
 * pipe, since our death is a signal, too. */
static void make_victim(void)
{
	static const struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "\0hf-confined" };
	int ready[2], end[2];
	char c;

	if (pipe(ready) || pipe(end))
		exit(1);
	victim = fork();
	if (!victim) {
		int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

		(void)bind(fd, (const struct sockaddr *)&at, sizeof(at));
		(void)!write(ready[1], "", 1);
		(void)close(end[1]);
		(void)!read(end[0], &c, 1);
		_exit(0);
	}
	(void)close(end[0]);
	(void)fcntl(end[1], F_SETFD, FD_CLOEXEC);
	(void)!read(ready[0], &c, 1);
	victim_pidfd = (int)syscall(SYS_pidfd_open, victim, 0);
}

int main(int argc, char **argv)
{
	struct hf_err e = HF_ERR_INIT;
	int landlock = hf_confine_landlock(); /* confined, nobody may ask */
	size_t i;

	make_victim();
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* as hf_process_harden() does in all of them */
	if (confine(argc, argv, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		return 1;
	}
	printf("landlock %d\n", landlock);
	for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		bool last = i + 1 == sizeof(tries) / sizeof(tries[0]);

		if (last) {
			printf("exec denied-or-gone\n");
			fflush(stdout);
		}
		printf("%s %s\n", tries[i].name, tries[i].run() < 0 ? "denied" : "allowed");
		fflush(stdout);
	}
	return 0;
}
