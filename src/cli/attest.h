/* SPDX-License-Identifier: Apache-2.0 */
/* attest.h: the commands by which a TPM shows to somebody far away what it is and what it made. */
#ifndef HF_CLI_ATTEST_H
#define HF_CLI_ATTEST_H

#include "base/buf.h"
#include "cli/cli.h"

extern const struct hf_option hf_key_attest_options[];
extern const struct hf_option hf_key_verify_options[];
extern const struct hf_option hf_token_activate_options[];

enum hf_rc hf_key_attest(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_key_verify(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_token_activate(struct hf_cli *c, struct hf_err *e);

/* From --nonce or --nonce-file; @out stays empty if neither was given. 8 to 32 bytes. */
enum hf_rc hf_attest_nonce(const struct hf_cli *c, struct hf_buf *out, struct hf_err *e);

#endif
