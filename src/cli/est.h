/* SPDX-License-Identifier: Apache-2.0 */
/* est.h: the commands that run holdfast-est, and their options. */
#ifndef HF_CLI_EST_H
#define HF_CLI_EST_H

#include "cli/cli.h"

extern const struct hf_option hf_est_ask_options[];	 /* cacerts, csrattrs */
extern const struct hf_option hf_est_enroll_options[];	 /* enroll */
extern const struct hf_option hf_est_reenroll_options[]; /* reenroll */

enum hf_rc hf_est_ask(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_est_enroll(struct hf_cli *c, struct hf_err *e);

/*
 * The --san options as a list "sans" of @to: "DNS:web.local". A name without its type has the one
 * that it looks like.
 */
void hf_est_add_sans(const struct hf_cli *c, json_object *to);

/*
 * Runs holdfast-est with @job. *@result is its answer, the caller's. HF_UNAVAILABLE if it ends
 * without one.
 */
enum hf_rc hf_est_spawn(struct hf_cli *c, json_object *job, json_object **result, struct hf_err *e);

#endif
