/* SPDX-License-Identifier: Apache-2.0 */
/* views.h: the commands that look at certificates. */
#ifndef HF_CLI_VIEWS_H
#define HF_CLI_VIEWS_H

#include "cli/cli.h"

extern const struct hf_option hf_convert_options[];
extern const struct hf_option hf_check_options[];

enum hf_rc hf_convert(struct hf_cli *c, struct hf_err *e);
void hf_convert_show(const struct hf_cli *c);

enum hf_rc hf_check(struct hf_cli *c, struct hf_err *e);
void hf_check_show(const struct hf_cli *c);

#endif
