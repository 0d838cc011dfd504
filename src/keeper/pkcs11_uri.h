/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11_uri.h: the file of a key in a PKCS#11 token: its RFC 7512 URI in PEM, as
 * pkcs11-provider writes and reads it, so that nobody is locked in. Pure.
 */
#ifndef HF_KEEPER_PKCS11_URI_H
#define HF_KEEPER_PKCS11_URI_H

#include "base/buf.h"
#include "base/err.h"

#define HF_P11_URI_MAX 1024u

/* HF_CORRUPT: malformed. @uri is NUL-terminated. */
enum hf_rc hf_p11_file_decode(struct hf_view pem, char uri[HF_P11_URI_MAX], struct hf_err *e);
enum hf_rc hf_p11_file_encode(const char *uri, struct hf_buf *pem, struct hf_err *e);

#endif
