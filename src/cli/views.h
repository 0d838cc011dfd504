/* SPDX-License-Identifier: Apache-2.0 */
/* views.h: the commands that look at certificates. */
#ifndef HF_CLI_VIEWS_H
#define HF_CLI_VIEWS_H

#include "cli/cli.h"

extern const struct hf_option hf_convert_options[];
extern const struct hf_option hf_check_options[];
extern const struct hf_option hf_cert_list_options[];
extern const struct hf_option hf_cert_renew_options[];
extern const struct hf_option hf_cert_reset_options[];
extern const struct hf_option hf_cert_issue_options[];

enum hf_rc hf_convert(struct hf_cli *c, struct hf_err *e);
void hf_convert_show(const struct hf_cli *c);

enum hf_rc hf_check(struct hf_cli *c, struct hf_err *e);
void hf_check_show(const struct hf_cli *c);

enum hf_rc hf_trust_install(struct hf_cli *c, struct hf_err *e);
void hf_trust_install_show(const struct hf_cli *c);

enum hf_rc hf_clock_run_accept(struct hf_cli *c, struct hf_err *e);
void hf_clock_accept_show(const struct hf_cli *c);

enum hf_rc hf_cert_list(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_cert_show(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_cert_renew(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_cert_reset(struct hf_cli *c, struct hf_err *e);
enum hf_rc hf_cert_issue(struct hf_cli *c, struct hf_err *e);
void hf_cert_list_show(const struct hf_cli *c);
void hf_cert_show_show(const struct hf_cli *c);
void hf_cert_done_show(const struct hf_cli *c);

#endif
