/* SPDX-License-Identifier: Apache-2.0 */
/* certview.h: what is said of a certificate, for people and as JSON. Names come from strangers. */
#ifndef HF_CLI_CERTVIEW_H
#define HF_CLI_CERTVIEW_H

#include <json-c/json.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"

#define HF_NAME_MAX 512

/* "CN=device-1,O=Example" in the order of the encoding, all in printable ASCII. Returns @out. */
char *hf_certview_name(const X509_NAME *name, char *out, size_t size);
/* The first CN, or "" if there is none or it is odd (not UTF-8, a NUL in it). Returns @out. */
char *hf_certview_cn(const X509_NAME *name, char *out, size_t size);
/* "ec-p256", "rsa-2048", else what libcrypto calls it. Returns @out. */
char *hf_certview_algorithm(const EVP_PKEY *key, char *out, size_t size);
/* Seconds since 1970; -1 if the time is malformed. */
int64_t hf_certview_time(const ASN1_TIME *t);

bool hf_certview_is_ca(X509 *cert);
/* Issued and signed by itself. */
bool hf_certview_is_own(X509 *cert);
/* By name and signature. */
bool hf_certview_issued_by(X509 *cert, X509 *issuer);
/* The one of @list that has issued @cert, or NULL. */
X509 *hf_certview_issuer(X509 *cert, STACK_OF(X509) * list);
bool hf_certview_same_key(const EVP_PKEY *a, const EVP_PKEY *b);
/* Of the SubjectPublicKeyInfo, as the broker knows generations. */
bool hf_certview_spki_sha256(X509 *cert, uint8_t out[32]);

/* subject, issuer, serial, not_before, not_after, days_left, algorithm, sha256, spki_sha256, ca */
json_object *hf_certview_json(X509 *cert, time_t now);

/* PEM of it appended to @pem. */
void hf_certview_pem(X509 *cert, struct hf_buf *pem);

/*
 * All certificates of the PEM file @path into @out (the caller's; at most 128), in their order.
 * HF_IO; HF_CORRUPT: there is none in it, or a damaged one.
 */
enum hf_rc hf_certview_read(const char *path, STACK_OF(X509) * *out, struct hf_err *e);
void hf_certview_free(STACK_OF(X509) * list);

#endif
