/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast-est: one job from descriptor 0, one result to descriptor 1 (docs/EST.md). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "est/est.h"
#include "est/result.h"
#include "est/sandbox.h"

/* What libcrypto and the provider need; a proxy, say, or another trust store is the job's to name.
 */
static void clean_environment(void)
{
	static const char *const kept[] = { "OPENSSL_MODULES", "HOLDFAST_SOCKET" };
	char *values[HF_COUNT(kept)];
	size_t i;

	for (i = 0; i < HF_COUNT(kept); i++) {
		const char *value = getenv(kept[i]);

		values[i] = value ? strdup(value) : NULL;
	}
	(void)clearenv();
	for (i = 0; i < HF_COUNT(kept); i++) {
		if (values[i])
			(void)setenv(kept[i], values[i], 1);
		free(values[i]);
	}
}

static enum hf_rc read_job(struct hf_buf *job, struct hf_err *e)
{
	uint8_t piece[8192];
	ssize_t n;

	for (;;) {
		n = read(STDIN_FILENO, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hf_fail_errno(e, HF_IO, "the job cannot be read from descriptor 0");
		if (!n)
			break;
		hf_buf_add(job, piece, (size_t)n);
		if (job->bad)
			return hf_fail(e, HF_ARGUMENT, "the job is longer than %u bytes",
				       HF_EST_JOB_MAX);
	}
	explicit_bzero(piece, sizeof(piece));
	return HF_OK;
}

static enum hf_est_status work(struct hf_est *x, struct hf_est_job *job)
{
	HF_AUTO_BUF text = HF_BUF(HF_EST_JOB_MAX);
	enum hf_est_status status;

	if (read_job(&text, &x->err) || hf_est_job_read(job, text.p, text.n, &x->err))
		return HF_EST_JOB;
	hf_buf_finish(&text);
	status = hf_est_open(x, job);
	if (!status && hf_est_sandbox(&x->err))
		status = HF_EST_INTERNAL;
	return status ? status : hf_est_run(x);
}

int main(int argc, char **argv)
{
	struct hf_est_job job = { 0 };
	struct hf_est x = { 0 };
	enum hf_est_status status;
	bool written;

	(void)argv;
	hf_log_init("holdfast-est", HF_LOG_INFO);
	hf_process_harden();
	clean_environment();
	if (argc > 1) {
		(void)fprintf(stderr,
			      "holdfast-est takes no arguments: it reads a job from standard "
			      "input, as docs/EST.md describes; people use 'holdfast est'\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	status = work(&x, &job);
	written = hf_est_result_write(&x, status, STDOUT_FILENO);
	if (!written)
		hf_log(HF_LOG_ERR, "the result cannot be written to descriptor 1");
	hf_est_close(&x);
	hf_est_job_finish(&job);
	return written ? hf_est_status_exit(status) : 1;
}
