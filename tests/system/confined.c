/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confined.c: what somebody could do who has taken over one of our processes.
 * usage: confined broker STATE_DIR CONFIG | keeper TCTI DIR | module CONFINE DIR |
 * warden; a line for each try.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/confined.h"
#include "confine/confine.h"
#include "keeper/confined.h"

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
	return kill(getppid(), 0);
}

static long try_signal_all(void)
{
	return kill(-1, 0);
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
	{ "bpf", try_bpf },
	{ "unshare", try_unshare },
	{ "chroot", try_chroot },
	{ "setuid", try_setuid },
	{ "exec", try_exec }, /* the last: it might succeed */
};

static enum hf_rc confine(int argc, char **argv, struct hf_err *e)
{
	static hf_KeeperOpen conf = { .type = "tpm2" };

	if (argc == 5 && !strcmp(argv[1], "broker")) {
		state_dir = argv[2];
		outside = argv[4];
		return hf_broker_confine(argv[2], argv[3], e);
	}
	if (argc == 4 && !strcmp(argv[1], "keeper")) {
		outside = argv[3];
		(void)hf_copy(conf.tcti, sizeof(conf.tcti), argv[2]);
		return hf_keeper_confine(&conf, e);
	}
	if (argc == 4 && !strcmp(argv[1], "module")) {
		outside = argv[3];
		(void)hf_copy(conf.type, sizeof(conf.type), "pkcs11");
		(void)hf_copy(conf.confine, sizeof(conf.confine), argv[2]);
		return hf_keeper_confine(&conf, e);
	}
	if (argc == 2 && !strcmp(argv[1], "warden"))
		return hf_warden_confine(e);
	return hf_fail(e, HF_ARGUMENT, "usage");
}

int main(int argc, char **argv)
{
	struct hf_err e = HF_ERR_INIT;
	size_t i;

	if (confine(argc, argv, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		return 1;
	}
	printf("landlock %s\n", hf_confine_has_landlock() ? "yes" : "no");
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
