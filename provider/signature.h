/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signature.h: the state of one signing or verifying, shared by signature.c (what
 * libcrypto calls) and sigparams.c (the parameters it sets and asks for).
 */
#ifndef HF_PROVIDER_SIGNATURE_H
#define HF_PROVIDER_SIGNATURE_H

#include <openssl/evp.h>

#include "base/buf.h"
#include "key.h"

struct hf_sig {
	const struct hf_provider *provider;
	struct hf_key *key; /* a reference of our own */

	/* signing */
	EVP_MD *md;	       /* NULL: none was named */
	EVP_MD_CTX *hash;      /* of what has come so far; NULL: nothing yet */
	struct hf_buf message; /* the same in full, for keys that sign messages */
	bool whole;	       /* ... which this one does */
	int pad;	       /* RSA_*_PADDING; of RSA keys */
	int salt;	       /* RSA_PSS_SALTLEN_*, or bytes */
	char mgf1[32];	       /* "": as the digest */

	/* verifying: done by the default provider, parameters and all */
	EVP_PKEY_CTX *verify; /* borrowed from verify_md if that is set */
	EVP_MD_CTX *verify_md;
};

/* The scheme that key, padding and digest make. HF_UNSUPPORTED with what would be. */
enum hf_rc hf_sig_scheme(const struct hf_sig *s, const struct hf_scheme **scheme, struct hf_err *e);
/* Names the digest. */
enum hf_rc hf_sig_set_digest(struct hf_sig *s, const char *name, struct hf_err *e);

const OSSL_PARAM *hf_sig_settable(void *ctx, void *provctx);
const OSSL_PARAM *hf_sig_gettable(void *ctx, void *provctx);
int hf_sig_set_params(void *ctx, const OSSL_PARAM params[]);
int hf_sig_get_params(void *ctx, OSSL_PARAM params[]);

#endif
