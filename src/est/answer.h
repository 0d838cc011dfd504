/* SPDX-License-Identifier: Apache-2.0 */
/* answer.h: is the certificate that came the one that was asked for? Nothing else is accepted. */
#ifndef HF_EST_ANSWER_H
#define HF_EST_ANSWER_H

#include "est/csr.h"
#include "est/est.h"

/*
 * Finds the certificate of our key among @certs and checks all of security.md's P29: key, names,
 * usage, CA or not, dates, path, and a signature made by the key now. x->issued gets it and its
 * chain. HF_EST_ANSWER names what is wrong.
 */
enum hf_est_status hf_answer_take(struct hf_est *x, const struct hf_csr_plan *plan,
				  STACK_OF(X509) * certs);

#endif
