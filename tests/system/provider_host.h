/* SPDX-License-Identifier: Apache-2.0 */
/* provider_host.h: what the parts of provider-host share. */
#ifndef HF_TESTS_PROVIDER_HOST_H
#define HF_TESTS_PROVIDER_HOST_H

#include <openssl/evp.h>

#define CHECK(x) ((x) ? (void)0 : host_fail(__FILE__, __LINE__, #x))

/* Says what and what OpenSSL has to say, and ends the process. */
void host_fail(const char *file, int line, const char *what);

/* A key by its URI, or from a file in PEM; NULL if there is none. */
EVP_PKEY *host_load(const char *uri);
/* Whether it signs something that verifies. */
int host_sign(EVP_PKEY *key);
/* Its public half, of the default provider. */
EVP_PKEY *host_public(EVP_PKEY *key);

/* Commands: what libcrypto and its users do with a key. */
int cmd_semantics(const char *uri, int n);
int cmd_contexts(const char *uri, int n);
int cmd_secret(const char *uri, int n);
int cmd_write(const char *uri, int n);
int cmd_params(const char *uri, int n);
int cmd_message(const char *uri, int n);
int cmd_search(const char *name, int n);

#endif
