/* SPDX-License-Identifier: Apache-2.0 */
/* cacerts.h: the CA certificates of the server, and how they may change. */
#ifndef HF_EST_CACERTS_H
#define HF_EST_CACERTS_H

#include "est/est.h"
#include "est/http.h"

/* Body of an answer (base64, certs-only) to certificates; what is odd is warned of. */
enum hf_est_status hf_cacerts_read(struct hf_est *x, struct hf_http *h, unsigned max,
				   STACK_OF(X509) * out);

/*
 * Which of @bundle may be believed (RFC 7030, section 4.1.3). @known: what is trusted already.
 * Roots: all of them if @authentic (who sent it is authenticated by what is pinned), else those
 * known, and those for which @bundle has a certificate that a known one has issued (NewWithOld).
 * Other certificates: those with a path to a believed root or a known anchor. @out: newest root
 * first. *@dropped counts the rest. False: out of memory. Pure.
 */
bool hf_cacerts_choose(STACK_OF(X509) * bundle, STACK_OF(X509) * known, bool authentic, time_t now,
		       STACK_OF(X509) * out, unsigned *dropped);

/* Fetches and judges them: x->cacerts, and x->pinned if it was a fingerprint till now. */
enum hf_est_status hf_cacerts_fetch(struct hf_est *x);

/* What an issued certificate has to chain to; the caller frees. NULL: out of memory. */
STACK_OF(X509) * hf_cacerts_anchors(const struct hf_est *x);

#endif
