/* SPDX-License-Identifier: Apache-2.0 */
/* result.h: what holdfast-est tells (docs/EST.md). */
#ifndef HF_EST_RESULT_H
#define HF_EST_RESULT_H

#include "est/est.h"

/* One JSON object and a newline on @fd. False if it cannot be written. */
bool hf_est_result_write(const struct hf_est *x, enum hf_est_status status, int fd);

#endif
