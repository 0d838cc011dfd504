/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/service.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

#define SYSTEMCTL "/usr/bin/systemctl"

/* With nothing of our environment; what it prints goes to stderr, since stdout may be JSON. */
static enum hf_rc systemctl(const char *verb, const char *daemon, int *code, struct hf_err *e)
{
	char name[] = "systemctl", quiet[] = "--quiet", unit[64], word[32];
	char *argv[] = { name, quiet, word, unit, NULL }, *none[] = { NULL };
	posix_spawn_file_actions_t actions;
	int status, failed;
	pid_t pid;

	(void)hf_copy(word, sizeof(word), verb);
	(void)snprintf(unit, sizeof(unit), "%s.service", daemon);
	failed = posix_spawn_file_actions_init(&actions);
	if (failed) {
		errno = failed;
		return hf_fail_errno(e, HF_FAILED, SYSTEMCTL);
	}
	failed = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	if (!failed)
		failed = posix_spawn(&pid, SYSTEMCTL, &actions, NULL, argv, none);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (failed) {
		errno = failed;
		return hf_fail_errno(e, HF_FAILED, SYSTEMCTL);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return hf_fail_errno(e, HF_FAILED, SYSTEMCTL);
	*code = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
	return HF_OK;
}

enum hf_rc hf_service_take(const char *daemon, bool restart, enum hf_service *what,
			   struct hf_err *e)
{
	enum hf_rc rc;
	int code;

	*what = HF_SERVICE_ALONE;
	if (access("/run/systemd/system", F_OK)) /* as sd_booted(3) has it */
		return HF_OK;
	rc = systemctl("is-active", daemon, &code, e);
	if (rc)
		return rc;
	if (code == 3 || code == 4) { /* systemctl(1): not active, no such unit */
		*what = HF_SERVICE_STOPPED;
		rc = code == 4 ? HF_OK : systemctl("is-failed", daemon, &code, e);
		if (rc || code)
			return rc;
		rc = systemctl("restart", daemon, &code, e);
		restart = true;
	} else if (!code)
		rc = systemctl(restart ? "try-restart" : "try-reload-or-restart", daemon, &code, e);
	if (!rc && code)
		rc = hf_fail(e, HF_FAILED,
			     "%s did not %s (systemctl says %d): see 'journalctl -u %s', then "
			     "repeat 'holdfast config apply'",
			     daemon, restart ? "restart" : "reload", code, daemon);
	if (!rc)
		*what = restart ? HF_SERVICE_RESTARTED : HF_SERVICE_RELOADED;
	return rc;
}
