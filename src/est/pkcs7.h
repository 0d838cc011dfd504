/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs7.h: the certs-only message (RFC 5272, section 4.1). Its shell is read here, so that
 * libcrypto sees nothing but single certificates: its CMS and PKCS#7 code, where the
 * advisories are, is not used at all.
 */
#ifndef HF_EST_PKCS7_H
#define HF_EST_PKCS7_H

#include <openssl/x509.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Adds the certificates in @der to @out, at most @max, duplicates once. *@odd: NULL, or what
 * is wrong with the message although it does no harm. HF_PROTOCOL: no certs-only message.
 */
enum hf_rc hf_est_pkcs7(struct hf_view der, unsigned max, STACK_OF(X509) * out, const char **odd,
			struct hf_err *e);

#endif
