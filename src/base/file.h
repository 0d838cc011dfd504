/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h: files and descriptors. Reading is bounded; replacing is atomic and
 * durable (temporary file in the same directory, fsync, rename, fsync of the
 * directory), so that a reader sees the old file or the new one, also after a
 * power cut.
 */
#ifndef HF_BASE_FILE_H
#define HF_BASE_FILE_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

#define HF_PATH_MAX 1024

/* "dir/name" into @out (HF_PATH_MAX bytes); HF_ARGUMENT if it does not fit. */
enum hf_rc hf_path_join(char *out, const char *dir, const char *name, struct hf_err *e);

/*
 * Reads a whole regular file into @out (appending, within out->max). Symbolic
 * links are followed unless @nofollow. HF_IO; HF_CORRUPT if larger than out->max.
 */
enum hf_rc hf_file_read(const char *path, bool nofollow, struct hf_buf *out, struct hf_err *e);

/* Atomically and durably replaces @path. Owner is the caller; @mode is exact (no umask). */
enum hf_rc hf_file_replace(const char *path, const void *p, size_t n, mode_t mode,
			   struct hf_err *e);

/* The same, owned by @uid and @gid before it appears; -1: as the caller. */
enum hf_rc hf_file_replace_as(const char *path, const void *p, size_t n, mode_t mode, uid_t uid,
			      gid_t gid, struct hf_err *e);

/*
 * Removes what a killed hf_file_replace() of @path has left beside it. Only for who is the only one
 * that writes @path. Failing is fine.
 */
void hf_file_sweep(const char *path);
/* The same of all files of @dir whose names begin with @prefix ("": all). */
void hf_dir_sweep(const char *dir, const char *prefix);

/* fsync of a directory: makes renames and unlinks in it durable. */
enum hf_rc hf_dir_sync(const char *dir, struct hf_err *e);

/* mkdir with its parents (parents 0755, last one @mode); an existing directory is fine. */
enum hf_rc hf_dir_make(const char *dir, mode_t mode, struct hf_err *e);

/*
 * Refuses a path of which any component is a symbolic link, or is owned by
 * somebody else than root or us, or may be written by others without being
 * sticky (security.md P3). The last component need not exist.
 */
enum hf_rc hf_path_trusted(const char *path, struct hf_err *e);

/* Sends/receives one descriptor with a @n byte message over a UNIX socket. *@fd = -1: none. */
ssize_t hf_fd_send(int sock, const void *p, size_t n, int fd);
ssize_t hf_fd_recv(int sock, void *p, size_t n, int *fd);

void hf_fd_close(int *fd); /* closes if >= 0, sets to -1; errno preserved */
#define HF_AUTO_FD __attribute__((cleanup(hf_fd_close))) int

#endif
