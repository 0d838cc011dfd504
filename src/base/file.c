/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the names of temporary files. Nobody else's look like that: edge-ca.pem.backup does not. */
#define TEMPORARY ".~"

enum hf_rc hf_path_join(char *out, const char *dir, const char *name, struct hf_err *e)
{
	int n = snprintf(out, HF_PATH_MAX, "%s/%s", dir, name);

	if (n < 0 || n >= HF_PATH_MAX)
		return hf_fail(e, HF_ARGUMENT, "path %.64s.../%.64s is too long", dir, name);
	return HF_OK;
}

enum hf_rc hf_file_read(const char *path, bool nofollow, struct hf_buf *out, struct hf_err *e)
{
	HF_AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
					   (nofollow ? O_NOFOLLOW : 0));
	struct stat st;
	uint8_t chunk[4096];
	ssize_t n;

	if (fd < 0)
		return hf_fail_errno(e, HF_IO, "%s", path);
	if (fstat(fd, &st))
		return hf_fail_errno(e, HF_IO, "%s", path);
	if (!S_ISREG(st.st_mode))
		return hf_fail(e, HF_IO, "%s: not a regular file", path);
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hf_fail_errno(e, HF_IO, "%s", path);
		hf_buf_add(out, chunk, (size_t)n);
		explicit_bzero(chunk, (size_t)n);
		if (out->bad)
			return hf_fail(e, HF_CORRUPT, "%s: larger than %zu bytes", path, out->max);
	}
	return HF_OK;
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

static enum hf_rc parent_of(char *out, const char *path, struct hf_err *e)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (n >= HF_PATH_MAX)
		return hf_fail(e, HF_ARGUMENT, "path %.64s... is too long", path);
	if (!slash)
		memcpy(out, ".", 2);
	else if (!n)
		memcpy(out, "/", 2);
	else {
		memcpy(out, path, n);
		out[n] = '\0';
	}
	return HF_OK;
}

enum hf_rc hf_dir_sync(const char *dir, struct hf_err *e)
{
	HF_AUTO_FD fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd))
		return hf_fail_errno(e, HF_IO, "%s", dir);
	return HF_OK;
}

enum hf_rc hf_file_replace(const char *path, const void *p, size_t n, mode_t mode, struct hf_err *e)
{
	return hf_file_replace_as(path, p, n, mode, (uid_t)-1, (gid_t)-1, e);
}

enum hf_rc hf_file_replace_as(const char *path, const void *p, size_t n, mode_t mode, uid_t uid,
			      gid_t gid, struct hf_err *e)
{
	bool chown_it = uid != (uid_t)-1 || gid != (gid_t)-1;
	char tmp[HF_PATH_MAX], dir[HF_PATH_MAX];
	HF_AUTO_FD fd = -1;
	int len;

	if (parent_of(dir, path, e))
		return e ? e->rc : HF_ARGUMENT;
	len = snprintf(tmp, sizeof(tmp), "%s" TEMPORARY "XXXXXX", path);
	if (len < 0 || (size_t)len >= sizeof(tmp))
		return hf_fail(e, HF_ARGUMENT, "path %.64s... is too long", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return hf_fail_errno(e, HF_IO, "cannot write beside %s", path);
	/* chown before chmod: it clears set-id bits, and the mode is for the new owner. */
	if ((chown_it && fchown(fd, uid, gid)) || fchmod(fd, mode) || write_all(fd, p, n) ||
	    fsync(fd) || rename(tmp, path)) {
		(void)hf_fail_errno(e, HF_IO, "cannot write %s", path);
		(void)unlink(tmp);
		return e ? e->rc : HF_IO;
	}
	return hf_dir_sync(dir, e);
}

void hf_dir_sweep(const char *dir, const char *prefix)
{
	const size_t mark = strlen(TEMPORARY), tail = mark + 6;
	char full[HF_PATH_MAX];
	struct dirent *entry;
	DIR *d = opendir(dir);

	while (d && (entry = readdir(d))) {
		size_t n = strlen(entry->d_name);

		if (n > tail && !strncmp(entry->d_name, prefix, strlen(prefix)) &&
		    !strncmp(entry->d_name + n - tail, TEMPORARY, mark) &&
		    !hf_path_join(full, dir, entry->d_name, NULL))
			(void)unlink(full);
	}
	if (d)
		(void)closedir(d);
}

void hf_file_sweep(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[HF_PATH_MAX], prefix[HF_PATH_MAX];

	if (!parent_of(dir, path, NULL) && hf_copy(prefix, HF_PATH_MAX, slash ? slash + 1 : path) &&
	    strlen(prefix) + sizeof(TEMPORARY) <= sizeof(prefix)) {
		(void)strcat(prefix, TEMPORARY);
		hf_dir_sweep(dir, prefix);
	}
}

enum hf_rc hf_dir_make(const char *dir, mode_t mode, struct hf_err *e)
{
	char part[HF_PATH_MAX];
	char *slash;
	struct stat st;

	if (!hf_copy(part, sizeof(part), dir))
		return hf_fail(e, HF_ARGUMENT, "path %.64s... is too long", dir);
	for (slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) && errno != EEXIST)
			return hf_fail_errno(e, HF_IO, "cannot make directory %s", part);
		*slash = '/';
	}
	if (mkdir(dir, mode) == 0)
		return HF_OK;
	if (errno != EEXIST || stat(dir, &st))
		return hf_fail_errno(e, HF_IO, "cannot make directory %s", dir);
	if (!S_ISDIR(st.st_mode))
		return hf_fail(e, HF_IO, "%s is in the way: not a directory", dir);
	return HF_OK;
}

static enum hf_rc component_trusted(const char *path, struct hf_err *e)
{
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT ? HF_OK : hf_fail_errno(e, HF_IO, "%s", path);
	if (S_ISLNK(st.st_mode))
		return hf_fail(e, HF_REFUSED, "%s is a symbolic link; give the real path", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return hf_fail(e, HF_REFUSED, "%s belongs to uid %u, not to root or us", path,
			       (unsigned)st.st_uid);
	if ((st.st_mode & 022) && S_ISDIR(st.st_mode) && !(st.st_mode & S_ISVTX))
		return hf_fail(e, HF_REFUSED, "%s may be written by others (mode %04o); chmod it",
			       path, (unsigned)st.st_mode & 07777);
	return HF_OK;
}

enum hf_rc hf_path_trusted(const char *path, struct hf_err *e)
{
	char part[HF_PATH_MAX];
	char *slash;
	enum hf_rc rc;

	if (path[0] != '/')
		return hf_fail(e, HF_ARGUMENT, "%s: not an absolute path", path);
	if (!hf_copy(part, sizeof(part), path))
		return hf_fail(e, HF_ARGUMENT, "path %.64s... is too long", path);
	for (slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		rc = component_trusted(part, e);
		if (rc)
			return rc;
		*slash = '/';
	}
	return component_trusted(path, e);
}

ssize_t hf_fd_send(int sock, const void *p, size_t n, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t sent;

	memset(&control, 0, sizeof(control));
	if (fd >= 0) {
		m.msg_control = control.space;
		m.msg_controllen = sizeof(control.space);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		sent = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent;
}

ssize_t hf_fd_recv(int sock, void *p, size_t n, int *fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { p, n };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.space,
			    .msg_controllen = sizeof(control.space) };
	struct cmsghdr *c;
	ssize_t got;

	*fd = -1;
	do
		got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -1;
	for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		hf_fd_close(fd);
		errno = EMSGSIZE;
		return -1;
	}
	return got;
}

void hf_fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}
