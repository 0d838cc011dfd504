/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider.h: holdfast.so, as libcrypto sees it.
 *
 * A key is (name or hash, public EVP_PKEY). The public half is the business of the
 * default provider, in a private library context that knows no other; the private
 * half is the business of the broker. Here is only the post office between the two:
 * digests and signatures, never a secret.
 *
 * Operations are published under a name of our own that the key management points
 * to (query_operation_name): no property query is needed, and nobody else's keys are
 * ever taken over. Loading the provider does no I/O, starts no thread and does not
 * fail because something is missing: it may be active in every process of a machine.
 */
#ifndef HF_PROVIDER_PROVIDER_H
#define HF_PROVIDER_PROVIDER_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/types.h>

#include "base/err.h"

#define HF_PROVIDER_NAME  "holdfast"
#define HF_PROPERTIES	  "provider=holdfast"
#define HF_OPERATION_NAME "HOLDFAST" /* of all our operations on private keys */

/*
 * One entry of a dispatch table. A function that does not have the type which libcrypto
 * is going to call it by does not compile.
 */
#define HF_FN(id, type, fn)                                                                        \
	{                                                                                          \
		OSSL_FUNC_##id, (void (*)(void))(1 ? (fn) : (OSSL_FUNC_##type##_fn *)NULL)         \
	}
#define HF_FN_END                                                                                  \
	{                                                                                          \
		0, NULL                                                                            \
	}

struct hf_uplink;

struct hf_provider {
	const OSSL_CORE_HANDLE *core;
	OSSL_FUNC_core_new_error_fn *new_error;
	OSSL_FUNC_core_set_error_debug_fn *set_error_debug;
	OSSL_FUNC_core_vset_error_fn *vset_error;
	OSSL_LIB_CTX *libctx;	 /* ours, with the default provider and no configuration */
	OSSL_PROVIDER *software; /* the default provider in it */
	struct hf_uplink *link;
};

/* Puts @e on OpenSSL's error queue; returns 0, as a failing provider function does. */
int hf_provider_raise(const struct hf_provider *p, const char *file, int line, const char *func,
		      const struct hf_err *e);
#define HF_RAISE(provider, e) hf_provider_raise((provider), __FILE__, __LINE__, __func__, (e))

/* Works, and the broker answers. */
int hf_provider_self_test(void *provctx);

/* The tables of algorithms, each ended by a row of NULLs. */
extern const OSSL_ALGORITHM hf_keymgmts[];
extern const OSSL_ALGORITHM hf_signatures[];
extern const OSSL_ALGORITHM hf_ciphers[];
extern const OSSL_ALGORITHM hf_keyexchs[];
extern const OSSL_ALGORITHM hf_stores[];
extern const OSSL_ALGORITHM hf_decoders[];
extern const OSSL_ALGORITHM hf_encoders[];

#endif
