/* SPDX-License-Identifier: Apache-2.0 */
/* key.h: keys in a token, through the provider. There are no others here. */
#ifndef HF_EST_KEY_H
#define HF_EST_KEY_H

#include "est/est.h"

/* Loads default and holdfast into libcrypto; whatever openssl.cnf says is not read. */
enum hf_est_status hf_key_init(struct hf_est *x);
void hf_key_finish(struct hf_est *x); /* after the last key has been freed */

/* Loads the key of a holdfast: URI. HF_EST_KEY, with the provider's words. */
enum hf_est_status hf_key_load(struct hf_est *x, const char *uri, EVP_PKEY **key);

/* "EC P-256", "RSA 2048": for messages. Returns @out. */
char *hf_key_kind(EVP_PKEY *key, char *out, size_t size);

/* DER of its SubjectPublicKeyInfo (malloc'ed by libcrypto), or -1. */
int hf_key_spki(EVP_PKEY *key, unsigned char **der);

/* The first error that libcrypto holds, as one line; empties its queue. Returns @out. */
char *hf_key_errors(char *out, size_t size);

#endif
