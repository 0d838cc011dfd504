/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csr.h: the request. What is in it is decided once (plan), from the job and from what the
 * server wants; it is signed for each connection, since it may name that connection.
 */
#ifndef HF_EST_CSR_H
#define HF_EST_CSR_H

#include "est/est.h"

struct hf_csr_plan {
	X509_NAME *subject;
	STACK_OF(X509_EXTENSION) * exts;
	const EVP_MD *md; /* NULL: of the key's algorithm */
};

/*
 * HF_EST_KEY if the key is not what the server demands (never another key instead), HF_EST_JOB if
 * names cannot be encoded. hf_csr_finish() in any case.
 */
enum hf_est_status hf_csr_plan(struct hf_est *x, struct hf_csr_plan *plan);
void hf_csr_finish(struct hf_csr_plan *plan);

/* Signs a request. @binding: challengePassword, or NULL. *@req is the caller's. HF_EST_KEY. */
enum hf_est_status hf_csr_sign(struct hf_est *x, const struct hf_csr_plan *plan,
			       const char *binding, X509_REQ **req);

/* No request of this plan is larger, in DER, with a binding of at most 255 bytes. 0: failed. */
size_t hf_csr_bound(struct hf_est *x, const struct hf_csr_plan *plan);

#endif
