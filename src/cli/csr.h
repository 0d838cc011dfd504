/* SPDX-License-Identifier: Apache-2.0 */
/* csr.h: a certificate request for a key in a token, signed by the broker. */
#ifndef HF_CLI_CSR_H
#define HF_CLI_CSR_H

#include "base/buf.h"
#include "cli/cli.h"

/*
 * A PKCS#10 request in PEM, for key @id, with @subject ("CN=web,O=Example") and the --san options
 * of this invocation.
 */
enum hf_rc hf_csr_make(struct hf_cli *c, const char *id, const char *subject, struct hf_buf *pem,
		       struct hf_err *e);

#endif
