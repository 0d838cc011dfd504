/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wrap.h: a software key, wrapped so that only one token can unwrap it. Only this form leaves the
 * process. Pure but for random numbers.
 */
#ifndef HF_CLI_WRAP_H
#define HF_CLI_WRAP_H

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"

#define HF_WRAP_MAX 16384u /* bytes of what comes out, as on the wire */

/*
 * For a TPM: duplication without an inner wrapper, under a fresh seed (TPM 2.0 Library, part 1,
 * 23.3), as an importable TSS2 PRIVATE KEY in DER. @parent is the TPM2B_PUBLIC of a P-256 storage
 * key, @usage HF_USAGE_*. HF_UNSUPPORTED: another kind of parent, or of key.
 */
enum hf_rc hf_wrap_tpm2(OSSL_LIB_CTX *ctx, const EVP_PKEY *pkey, unsigned usage,
			struct hf_view parent, uint32_t handle, struct hf_buf *out,
			struct hf_err *e);

/* For PKCS#11: a fresh AES key under RSA-OAEP, the PKCS#8 under it (RFC 5649). */
enum hf_rc hf_wrap_kwp(OSSL_LIB_CTX *ctx, EVP_PKEY *pkey, struct hf_view wrapping_spki,
		       struct hf_buf *out, struct hf_err *e);

#endif
