/* SPDX-License-Identifier: Apache-2.0 */
/* certs.h: lists of certificates, what is said of one, and path validation. */
#ifndef HF_EST_CERTS_H
#define HF_EST_CERTS_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"

/* Reads all certificates of @pem (at most @max) into @out. HF_ARGUMENT if there is none, or junk.
 */
enum hf_rc hf_certs_read(const char *pem, unsigned max, STACK_OF(X509) * out, struct hf_err *e);
void hf_certs_write(STACK_OF(X509) * list, struct hf_buf *pem);

bool hf_certs_have(STACK_OF(X509) * list, X509 *cert);
/* Adds a reference, unless it is there. False: out of memory. */
bool hf_certs_add(STACK_OF(X509) * list, X509 *cert);

/* Issued and signed by itself. */
bool hf_cert_is_root(X509 *cert);
/* notBefore <= @now + 5 min, @now < notAfter. */
bool hf_cert_is_valid(X509 *cert, time_t now);

/* "CN=device-1" as people write it, escaped, bounded. Returns @out. */
char *hf_cert_name(X509 *cert, char *out, size_t size);
bool hf_cert_sha256(X509 *cert, uint8_t out[32]);

/* Parameters of every path validation here: time, strength, depth. */
void hf_certs_param(X509_VERIFY_PARAM *param, time_t now);

/*
 * RFC 5280 path validation of @cert to one of @anchors (which may be subordinate CAs).
 * @chain (may be NULL) gets the path, owned by the caller. HF_REFUSED tells why not.
 */
enum hf_rc hf_certs_verify(X509 *cert, STACK_OF(X509) * anchors, STACK_OF(X509) * others,
			   time_t now, STACK_OF(X509) * *chain, struct hf_err *e);

void hf_certs_free(STACK_OF(X509) * list);

#endif
