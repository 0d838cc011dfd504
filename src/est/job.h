/* SPDX-License-Identifier: Apache-2.0 */
/* job.h: what holdfast-est is told (docs/EST.md). */
#ifndef HF_EST_JOB_H
#define HF_EST_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define HF_EST_JOB_MAX	(1024u * 1024)
#define HF_EST_SANS_MAX 100u
#define HF_EST_EKUS_MAX 16u

enum hf_est_op { HF_EST_CACERTS, HF_EST_CSRATTRS, HF_EST_ENROLL, HF_EST_REENROLL };
enum hf_est_trust { HF_EST_PINNED, HF_EST_FINGERPRINT, HF_EST_SYSTEM };
enum hf_est_binding {
	HF_EST_BIND_AUTO,
	HF_EST_BIND_UNIQUE,
	HF_EST_BIND_EXPORTER,
	HF_EST_BIND_NONE
};

/* Texts are "" when absent and live as long as the job. */
struct hf_est_job {
	void *json; /* json_object, owned */
	uint32_t op, trust, binding;
	const char *url;
	const char *trust_pem, *anchors_pem, *fingerprint;
	uint8_t sha256[32];
	bool basic;
	const char *username, *password, *bearer;
	const char *tls_cert_pem, *tls_key;
	const char *key, *subject, *replace_pem;
	const char *sans[HF_EST_SANS_MAX], *ekus[HF_EST_EKUS_MAX];
	uint32_t n_sans, n_ekus;
	bool ca;
	int64_t pathlen;
	bool any_subject, any_san, any_eku;
	bool ignore_csrattrs, leaf_only, follow_redirects;
	const char *proxy;
	int64_t connect_timeout_ms, timeout_ms, time;
};

/*
 * Reads a job from @p. HF_ARGUMENT names the member. hf_est_job_finish() in any case; it
 * wipes what it can.
 */
enum hf_rc hf_est_job_read(struct hf_est_job *job, const void *p, size_t n, struct hf_err *e);
void hf_est_job_finish(struct hf_est_job *job);

const char *hf_est_op_name(enum hf_est_op op);

#endif
