/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define CREDENTIAL "credential:"
#define FIRST_FREE 16 /* above every descriptor that has a meaning */

/* Of the environment: what finds the libraries of a keeper, and tells its fate. */
static const char *const passed[] = { "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS",
				      "LSAN_OPTIONS", "JOURNAL_STREAM" };

static enum hf_rc pin_path(const struct hf_token_conf *t, char path[HF_PATH_MAX], struct hf_err *e)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY"), *name;

	if (strncmp(t->pin, CREDENTIAL, strlen(CREDENTIAL)))
		return hf_copy(path, HF_PATH_MAX, t->pin) ? HF_OK : HF_ARGUMENT;
	name = t->pin + strlen(CREDENTIAL);
	if (!dir)
		return hf_fail(e, HF_UNAVAILABLE,
			       "its PIN is the credential %s, but systemd has passed none; write "
			       "LoadCredential=%s:PATH into a drop-in of holdfastd.service",
			       name, name);
	return hf_path_join(path, dir, name, e);
}

enum hf_rc hf_launch_open_pin(const struct hf_token_conf *t, int *fd, struct hf_err *e)
{
	char path[HF_PATH_MAX];
	struct stat st;

	*fd = -1;
	if (pin_path(t, path, e))
		return e ? e->rc : HF_UNAVAILABLE;
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (*fd < 0)
		return hf_fail_errno(e, HF_UNAVAILABLE, "its PIN file %s", path);
	if (!fstat(*fd, &st) && S_ISREG(st.st_mode) && !(st.st_mode & 0027))
		return HF_OK;
	hf_fd_close(fd);
	return hf_fail(e, HF_REFUSED,
		       "its PIN file %s may be read by everybody, or changed by others, or is no "
		       "file; 'chmod 0600 %s' (0640 if a group has to read it)",
		       path, path);
}

static enum hf_rc open_logins(const struct hf_token_conf *t, const char *state_dir, int *fd,
			      struct hf_err *e)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX + HF_NAME_SIZE + 8];
	enum hf_rc rc = hf_dir_make(state_dir, 0700, e);

	if (!rc)
		rc = hf_path_join(dir, state_dir, "tokens", e);
	if (!rc)
		rc = hf_dir_make(dir, 0700, e);
	if (rc)
		return rc;
	(void)snprintf(path, sizeof(path), "%s/%s.login", dir, t->name);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0)
		return hf_fail_errno(e, HF_IO, "%s", path);
	return hf_dir_sync(dir, e);
}

/* What cannot be opened stays closed: the keeper says that the token is not available, and why
 * that is stands in our log. */
static void open_files(const struct hf_token_conf *t, const char *state_dir, int *pin, int *logins)
{
	struct hf_err err = HF_ERR_INIT;

	if (!t->pin[0])
		return;
	if (hf_launch_open_pin(t, pin, &err))
		hf_log(HF_LOG_ERR, "token %s: %s", t->name, err.msg);
	if (open_logins(t, state_dir, logins, &err))
		hf_log(HF_LOG_ERR, "token %s: %s", t->name, err.msg);
}

static void place(int fd, int at)
{
	if (fd >= 0 && dup2(fd, at) < 0)
		_exit(127);
	if (fd < 0)
		(void)close(at);
}

static int lift(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE);
}

static void run(const char *path, const struct hf_token_conf *t, bool unconfined)
{
	char kept[HF_COUNT(passed)][512];
	char *env[HF_COUNT(passed) + HF_ENVIRONMENT_MAX + 5];
	char *argv[] = { (char[]){ "holdfast-keeper" }, NULL };
	size_t i, n = 0;

	env[n++] = (char[]){ "OPENSSL_CONF=/dev/null" }; /* or it would load our provider */
	env[n++] = (char[]){ "TSS2_LOG=all+none" };
	env[n++] = (char[]){ "PATH=/usr/bin:/bin" };
	if (unconfined)
		env[n++] = (char[]){ "HOLDFAST_UNCONFINED=1" };
	for (i = 0; i < HF_COUNT(passed); i++) {
		const char *value = getenv(passed[i]);

		if (value && snprintf(kept[i], sizeof(kept[i]), "%s=%s", passed[i], value) <
				     (int)sizeof(kept[i]))
			env[n++] = kept[i];
	}
	for (i = 0; i < t->n_environment; i++)
		env[n++] = (char *)(uintptr_t)t->environment[i];
	env[n] = NULL;
	(void)execve(path, argv, env);
}

void hf_launch_keeper(const char *path, int fd, const struct hf_token_conf *t,
		      const char *state_dir, bool unconfined)
{
	int pin = -1, logins = -1;
	sigset_t none;

	open_files(t, state_dir, &pin, &logins);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	fd = lift(fd);
	pin = lift(pin);
	logins = lift(logins);
	if (fd < 0)
		_exit(127);
	place(fd, HF_KEEPER_BROKER);
	place(pin, HF_KEEPER_PIN);
	place(logins, HF_KEEPER_LOGINS);
	(void)close_range(HF_KEEPER_LOGINS + 1, ~0u, 0);
	run(path, t, unconfined);
	hf_log(HF_LOG_ERR, "cannot run %s: %s", path, strerror(errno));
	_exit(127);
}
