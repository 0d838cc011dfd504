/* SPDX-License-Identifier: Apache-2.0 */
/* The job goes through a pipe, where no other process can read it: not argv, not the environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/est.h"

#define PROGRAM	   "holdfast-est"
#define RESULT_MAX (8u * 1024 * 1024)

/* In a build tree the one that was built with us, else the installed one. */
static void find_program(char *out)
{
	static const char tail[] = "/src/cli/holdfast";
	char self[HF_PATH_MAX] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t len = n > 0 ? (size_t)n : 0;

	if (len > sizeof(tail) && !strcmp(self + len - (sizeof(tail) - 1), tail)) {
		self[len - (sizeof(tail) - 1)] = '\0';
		(void)snprintf(out, HF_PATH_MAX, "%.900s/src/est/" PROGRAM, self);
		if (!access(out, X_OK))
			return;
	}
	(void)snprintf(out, HF_PATH_MAX, "%s/" PROGRAM, HF_LIBEXECDIR);
}

static enum hf_rc feed(int fd, const char *p, size_t n, struct hf_err *e)
{
	ssize_t done;

	for (; n; p += done, n -= (size_t)done) {
		done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			done = 0;
		else if (done < 0)
			return hf_fail_errno(e, HF_UNAVAILABLE, PROGRAM " does not take its job");
	}
	return HF_OK;
}

static enum hf_rc drain(int fd, struct hf_buf *out, struct hf_err *e)
{
	char piece[8192];
	ssize_t n;

	for (;;) {
		n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hf_fail_errno(e, HF_UNAVAILABLE, PROGRAM " cannot be heard");
		if (!n)
			return HF_OK;
		hf_buf_add(out, piece, (size_t)n);
		if (out->bad)
			return hf_fail(e, HF_PROTOCOL, PROGRAM " says too much");
	}
}

static void be_child(const struct hf_cli *c, const char *program, int in, int out)
{
	const char *socket = hf_cli_option(c, "socket");

	socket = socket ? socket : c->root[0] ? c->paths.socket : NULL;
	if (socket)
		(void)setenv("HOLDFAST_SOCKET", socket, 1);
	(void)signal(SIGPIPE, SIG_DFL);
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(127);
	(void)execl(program, program, (char *)NULL);
	_exit(127);
}

static enum hf_rc read_result(const struct hf_buf *text, json_object **result, const char *program,
			      int status, struct hf_err *e)
{
	json_object *o = text->n ? json_tokener_parse((const char *)text->p) : NULL;

	if (json_object_is_type(o, json_type_object)) {
		*result = o;
		return HF_OK;
	}
	json_object_put(o);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return hf_fail(e, HF_UNAVAILABLE, "%s cannot be run: is it installed?", program);
	if (WIFSIGNALED(status))
		return hf_fail(e, HF_UNAVAILABLE, "%s was ended by signal %d; nothing was accepted",
			       program, WTERMSIG(status));
	return hf_fail(e, HF_UNAVAILABLE, "%s ended without a result (exit status %d)", program,
		       WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static enum hf_rc talk(pid_t pid, const char *program, int in, int out, const char *job,
		       json_object **result, struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(RESULT_MAX);
	struct hf_err fed = HF_ERR_INIT;
	int status = 0;
	enum hf_rc rc;

	(void)feed(in, job, strlen(job), &fed);
	hf_fd_close(&in);
	rc = drain(out, &text, e);
	hf_fd_close(&out);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return rc ? rc : read_result(&text, result, program, status, e);
}

enum hf_rc hf_est_spawn(struct hf_cli *c, json_object *job, json_object **result, struct hf_err *e)
{
	const char *text = json_object_to_json_string_ext(job, JSON_C_TO_STRING_PLAIN);
	int in[2], out[2];
	char program[HF_PATH_MAX];
	void (*before)(int);
	enum hf_rc rc;
	pid_t pid;

	*result = NULL;
	find_program(program);
	if (!text || pipe2(in, O_CLOEXEC))
		return hf_fail_errno(e, HF_FAILED, "pipe");
	if (pipe2(out, O_CLOEXEC)) {
		(void)hf_fail_errno(e, HF_FAILED, "pipe");
		hf_fd_close(&in[0]);
		hf_fd_close(&in[1]);
		return e->rc;
	}
	before = signal(SIGPIPE, SIG_IGN);
	pid = fork();
	if (!pid)
		be_child(c, program, in[0], out[1]);
	hf_fd_close(&in[0]);
	hf_fd_close(&out[1]);
	if (pid < 0) {
		rc = hf_fail_errno(e, HF_FAILED, "fork");
		hf_fd_close(&in[1]);
		hf_fd_close(&out[0]);
	} else {
		rc = talk(pid, program, in[1], out[0], text, result, e);
	}
	(void)signal(SIGPIPE, before);
	return rc;
}
