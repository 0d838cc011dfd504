/* SPDX-License-Identifier: Apache-2.0 */
/* Files are replaced whole or not at all, read within bounds, and trusted only where they may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static char dir[64];

static const char *in(const char *name)
{
	static char path[4][HF_PATH_MAX];
	static unsigned turn;
	char *p = path[turn++ % 4];

	assert_int_equal(hf_path_join(p, dir, name, NULL), HF_OK);
	return p;
}

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/hf-file.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static unsigned entries(void)
{
	char command[128], line[32] = "";
	FILE *p;

	(void)snprintf(command, sizeof(command), "ls -A '%s' | wc -l", dir);
	p = popen(command, "r");
	assert_non_null(p);
	assert_non_null(fgets(line, sizeof(line), p));
	assert_int_equal(pclose(p), 0);
	return (unsigned)atoi(line);
}

static void replaces_and_reads(void **state)
{
	HF_AUTO_BUF b = HF_BUF(100);
	struct hf_err e = HF_ERR_INIT;
	struct stat st;

	(void)state;
	assert_int_equal(hf_file_replace(in("a"), "one", 3, 0640, &e), HF_OK);
	assert_int_equal(hf_file_replace(in("a"), "two\0x", 5, 0604, &e), HF_OK);
	assert_int_equal(stat(in("a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
	assert_int_equal(hf_file_read(in("a"), true, &b, &e), HF_OK);
	assert_int_equal(b.n, 5);
	assert_memory_equal(b.p, "two\0x", 5);
	assert_int_equal(entries(), 1);
}

static void failed_replacement_leaves_the_old(void **state)
{
	HF_AUTO_BUF b = HF_BUF(100);
	struct hf_err e = HF_ERR_INIT;

	(void)state;
	assert_int_equal(hf_file_replace(in("none/a"), "x", 1, 0600, &e), HF_IO);
	assert_non_null(strstr(e.msg, "none/a"));
	assert_int_equal(mkdir(in("d"), 0700), 0);
	assert_int_equal(hf_file_replace(in("d"), "x", 1, 0600, &e), HF_IO);
	assert_int_equal(entries(), 1); /* no temporary file is left */
	assert_int_equal(hf_file_replace(in("a"), "old", 3, 0600, &e), HF_OK);
	assert_int_equal(hf_file_replace_as(in("a"), "new", 3, 0600, (uid_t)-2, (gid_t)-2, &e),
			 geteuid() ? HF_IO : HF_OK);
	assert_int_equal(hf_file_read(in("a"), false, &b, &e), HF_OK);
	assert_int_equal(b.n, 3);
}

static void what_a_crash_left_is_swept(void **state)
{
	/* Of a replacement that was cut off; somebody's copies, of any name, stay. */
	static const char *const names[] = { "a.pem.~x1Y2z3", "a.pem.~abcdef", "b.pem.~abcdef",
					     "a.pem.backup",  "a.pem.x1Y2z3",  "a.pem",
					     ".~abcdef" };
	struct hf_err e = HF_ERR_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(names); i++)
		assert_int_equal(hf_file_replace(in(names[i]), "x", 1, 0600, &e), HF_OK);
	hf_file_sweep(in("a.pem"));
	assert_int_equal(entries(), HF_COUNT(names) - 2);
	assert_int_equal(access(in("b.pem.~abcdef"), F_OK), 0);
	hf_dir_sweep(dir, "c");
	assert_int_equal(entries(), HF_COUNT(names) - 2);
	hf_dir_sweep(dir, "");
	assert_int_equal(entries(), HF_COUNT(names) - 3);
	assert_int_equal(access(in("a.pem.backup"), F_OK), 0);
	hf_dir_sweep(in("none"), "");
}

static void reading_is_bounded(void **state)
{
	HF_AUTO_BUF small = HF_BUF(9);
	HF_AUTO_BUF exact = HF_BUF(10);
	HF_AUTO_BUF any = HF_BUF(100);
	struct hf_err e = HF_ERR_INIT;

	(void)state;
	assert_int_equal(hf_file_replace(in("a"), "0123456789", 10, 0600, &e), HF_OK);
	assert_int_equal(hf_file_read(in("a"), false, &small, &e), HF_CORRUPT);
	assert_int_equal(hf_file_read(in("a"), false, &exact, &e), HF_OK);
	assert_int_equal(symlink("a", in("link")), 0);
	assert_int_equal(hf_file_read(in("link"), true, &any, &e), HF_IO);
	assert_int_equal(hf_file_read(in("link"), false, &any, &e), HF_OK);
	assert_int_equal(mkfifo(in("fifo"), 0600), 0);
	assert_int_equal(hf_file_read(in("fifo"), false, &any, &e), HF_IO); /* and does not hang */
	assert_non_null(strstr(e.msg, "not a regular file"));
	assert_int_equal(hf_file_read(dir, false, &any, &e), HF_IO);
	assert_int_equal(hf_file_read(in("none"), false, &any, &e), HF_IO);
	assert_non_null(strstr(e.msg, "No such file"));
}

static void makes_directories(void **state)
{
	struct hf_err e = HF_ERR_INIT;
	struct stat st;

	(void)state;
	assert_int_equal(hf_dir_make(in("a/b/c"), 0700, &e), HF_OK);
	assert_int_equal(hf_dir_make(in("a/b/c"), 0700, &e), HF_OK);
	assert_int_equal(stat(in("a/b/c"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(hf_file_replace(in("file"), "", 0, 0600, &e), HF_OK);
	assert_int_equal(hf_dir_make(in("file"), 0700, &e), HF_IO);
	assert_non_null(strstr(e.msg, "not a directory"));
	assert_int_equal(hf_dir_make(in("file/x"), 0700, &e), HF_IO);
}

static void long_paths(void **state)
{
	char name[2 * HF_PATH_MAX], out[HF_PATH_MAX];
	struct hf_err e = HF_ERR_INIT;

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(hf_path_join(out, "/tmp", name, &e), HF_ARGUMENT);
	assert_int_equal(hf_dir_make(name, 0700, &e), HF_ARGUMENT);
	name[0] = '/';
	assert_int_equal(hf_path_trusted(name, &e), HF_ARGUMENT);
	assert_int_equal(hf_file_replace(name, "", 0, 0600, &e), HF_ARGUMENT);
	name[HF_PATH_MAX - 3] = '\0'; /* it fits, with its temporary name it does not */
	assert_int_equal(hf_file_replace(name, "", 0, 0600, &e), HF_ARGUMENT);
}

static void trusts(void **state)
{
	struct hf_err e = HF_ERR_INIT;

	(void)state;
	assert_int_equal(mkdir(in("d"), 0755), 0);
	assert_int_equal(hf_path_trusted(in("d/none"), &e), HF_OK);
	assert_int_equal(hf_path_trusted("relative", &e), HF_ARGUMENT);
	assert_int_equal(symlink("d", in("link")), 0);
	assert_int_equal(hf_path_trusted(in("link/s"), &e), HF_REFUSED);
	assert_non_null(strstr(e.msg, "symbolic link"));
	assert_int_equal(symlink("/etc/passwd", in("d/s")), 0);
	assert_int_equal(hf_path_trusted(in("d/s"), &e), HF_REFUSED);
	assert_int_equal(chmod(in("d"), 0775), 0);
	assert_int_equal(hf_path_trusted(in("d/x"), &e), HF_REFUSED);
	assert_non_null(strstr(e.msg, "written by others"));
	assert_int_equal(chmod(in("d"), 01777), 0);
	assert_int_equal(hf_path_trusted(in("d/x"), &e), HF_OK);
	if (geteuid() == 0) {
		assert_int_equal(chown(in("d"), 12345, (gid_t)-1), 0);
		assert_int_equal(hf_path_trusted(in("d/x"), &e), HF_REFUSED);
		assert_non_null(strstr(e.msg, "12345"));
	}
}

static void descriptors_travel(void **state)
{
	HF_AUTO_FD sent = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct stat a, b;
	char text[8];
	int pair[2], got;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(hf_fd_send(pair[0], "hello", 5, sent), 5);
	assert_int_equal(hf_fd_recv(pair[1], text, sizeof(text), &got), 5);
	assert_true(got >= 0 && got != sent);
	assert_int_equal(fstat(sent, &a) | fstat(got, &b), 0);
	assert_true(a.st_rdev == b.st_rdev);
	assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
	hf_fd_close(&got);
	assert_int_equal(got, -1);
	hf_fd_close(&got);
	assert_int_equal(hf_fd_send(pair[0], "x", 1, -1), 1);
	assert_int_equal(hf_fd_recv(pair[1], text, sizeof(text), &got), 1);
	assert_int_equal(got, -1);
	assert_int_equal(hf_fd_send(pair[0], "too long", 9, sent), 9);
	assert_int_equal(hf_fd_recv(pair[1], text, sizeof(text), &got), -1);
	assert_int_equal(got, -1); /* and is not leaked */
	assert_int_equal(close(pair[1]), 0);
	assert_int_equal(hf_fd_send(pair[0], "x", 1, -1), -1);
	assert_int_equal(close(pair[0]), 0);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(replaces_and_reads), FRESH(failed_replacement_leaves_the_old),
		FRESH(what_a_crash_left_is_swept), FRESH(reading_is_bounded), FRESH(makes_directories),
		FRESH(long_paths),	   FRESH(trusts),
		FRESH(descriptors_travel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
