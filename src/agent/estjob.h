/* SPDX-License-Identifier: Apache-2.0 */
/* estjob.h: what holdfast-est is told, and what it says (docs/EST.md). No I/O but for files of
 * trust. */
#ifndef HF_AGENT_ESTJOB_H
#define HF_AGENT_ESTJOB_H

#include "agent/credential.h"
#include "base/buf.h"

/*
 * Appends the job to @out: @key is certified for @c. Re-enrolment if @replace (then the certificate
 * held is replaced), else enrolment. @anchors: CA certificates accepted earlier, PEM, or "".
 * HF_IO: a file of trust or the password file cannot be read.
 */
enum hf_rc hf_estjob_write(const struct hf_credential *c, const uint8_t spki_sha256[32],
			   const struct hf_credential *as, bool replace, const char *anchors,
			   int64_t now, struct hf_buf *out, struct hf_err *e);

struct hf_estjob_result {
	char status[24], message[400];
	int64_t retry_after_s;
	char *certificates, *cacerts; /* PEM, owned; NULL if absent */
};

/* HF_CORRUPT: that is no result. Finish in any case. */
enum hf_rc hf_estjob_read(struct hf_estjob_result *r, const void *p, size_t n, struct hf_err *e);
void hf_estjob_finish(struct hf_estjob_result *r);

/* The job cannot succeed with this identity, but might with another one. */
bool hf_estjob_refused(const struct hf_estjob_result *r);

#endif
