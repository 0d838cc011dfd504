/* SPDX-License-Identifier: Apache-2.0 */
/* estjob.h: what holdfast-est is told, and what it says (docs/EST.md). No I/O but for files of
 * trust. */
#ifndef HF_AGENT_ESTJOB_H
#define HF_AGENT_ESTJOB_H

#include "agent/credential.h"
#include "base/buf.h"

#define HF_ESTJOB_TRUST_MAX (256u * 1024)

/* What is wanted. */
struct hf_estjob {
	const struct hf_credential *c;	/* the certificate */
	const struct hf_credential *as; /* shown to the server; NULL: none */
	const uint8_t *spki_sha256;	/* of the key to be certified */
	bool replace;			/* re-enrolment of what @c holds, else enrolment */
	const char *trust, *anchors;	/* PEM: of the configuration, accepted earlier; or "" */
	int64_t now;
};

/* Appends the files of CA certificates that the configuration names. HF_IO, HF_ARGUMENT. */
enum hf_rc hf_estjob_trust(const struct hf_est_conf *est, struct hf_buf *pem, struct hf_err *e);

/* User and password are configured; the name may be empty (RFC 7030, section 3.2.3). */
bool hf_estjob_basic(const struct hf_est_conf *est);

/* Appends the job to @out. HF_IO: the password file cannot be read. */
enum hf_rc hf_estjob_write(const struct hf_estjob *job, struct hf_buf *out, struct hf_err *e);

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
