/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tss2.h: the public key in a `TSS2 PRIVATE KEY` (draft-bottomley-tpm2-keys). The private half
 * is for a TPM, and here nobody opens it: a broker that knows the public key has it too.
 */
#ifndef HF_PROVIDER_TSS2_H
#define HF_PROVIDER_TSS2_H

#include <stdbool.h>

#include <openssl/evp.h>

#include "base/buf.h"

#define HF_TSS2_PEM "TSS2 PRIVATE KEY"
#define HF_TSS2_MAX 8192 /* bytes of DER */

/* Cheap, and enough to leave other people's DER alone: it begins as such a key does. */
bool hf_tss2_is(struct hf_view der);

/*
 * The public key, of @libctx. NULL: not such a key, or of a kind that is none of ours. Leaves
 * nothing on the error queue: it may be a key that another provider understands.
 */
EVP_PKEY *hf_tss2_public(OSSL_LIB_CTX *libctx, struct hf_view der);

#endif
