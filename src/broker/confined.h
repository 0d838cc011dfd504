/* SPDX-License-Identifier: Apache-2.0 */
/* confined.h: what the two processes of holdfastd give up. */
#ifndef HF_BROKER_CONFINED_H
#define HF_BROKER_CONFINED_H

#include "base/err.h"

/* The warden starts keepers, which inherit this: only what no token's module ever needs. */
enum hf_rc hf_warden_confine(struct hf_err *e);

/* The broker reads its configuration and writes its state; it makes no socket and no process. */
enum hf_rc hf_broker_confine(const char *state_dir, const char *config, struct hf_err *e);

#endif
