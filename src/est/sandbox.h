/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.h: what is left to a process that reads what strangers send. */
#ifndef HF_EST_SANDBOX_H
#define HF_EST_SANDBOX_H

#include "base/err.h"

/*
 * From here on: no program is run, no process made, nobody signalled or traced, no file opened for
 * writing, no socket listened on; memory, files and time are bounded. What a resolver (of libc,
 * with its modules) and libcurl need stays. Nothing of it can be undone.
 */
enum hf_rc hf_est_sandbox(struct hf_err *e);

#endif
