/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h: the encoding of EST messages (RFC 8951, section 3). Pure. */
#ifndef HF_EST_BASE64_H
#define HF_EST_BASE64_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Lines of 64 characters, each with an LF: libest answers 400 to a single line without one.
 * For @n bytes HF_EST_BASE64_LEN(n) characters.
 */
void hf_est_base64_encode(const void *p, size_t n, struct hf_buf *out);
#define HF_EST_BASE64_LEN(n) (((n) + 2) / 3 * 4 + (((n) + 2) / 3 * 4 + 63) / 64)

/*
 * White space anywhere is fine (RFC 8951, section 3.1), so are NULs at the end: libest counts
 * that of its C string. *@nul tells whether there were any. HF_CORRUPT otherwise.
 */
enum hf_rc hf_est_base64_decode(const void *p, size_t n, struct hf_buf *out, bool *nul,
				struct hf_err *e);

#endif
