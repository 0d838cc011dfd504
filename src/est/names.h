/* SPDX-License-Identifier: Apache-2.0 */
/* names.h: subjects and subjectAltNames as people write them, to libcrypto's. */
#ifndef HF_EST_NAMES_H
#define HF_EST_NAMES_H

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/err.h"

/* "CN=a,O=b" (\, for a comma; or "/CN=a/O=b") in the order written. HF_ARGUMENT says what is wrong.
 */
enum hf_rc hf_name_read(const char *text, X509_NAME **out, struct hf_err *e);

/* "DNS:a", "IP:192.0.2.1", "URI:…", "email:…". */
enum hf_rc hf_sans_read(const char *const *sans, unsigned n, GENERAL_NAMES **out, struct hf_err *e);

/* One for messages: "DNS:a". Returns @out. */
char *hf_san_text(const GENERAL_NAME *name, char *out, size_t size);

/* An OID by the name that people write (subjectAltName, clientAuth), else its digits. Returns @out.
 */
char *hf_oid_text(const ASN1_OBJECT *oid, char *out, size_t size);

#endif
