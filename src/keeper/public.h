/* SPDX-License-Identifier: Apache-2.0 */
/*
 * public.h: public keys: the recorded SubjectPublicKeyInfo as a libcrypto key that
 * verifies what a token signed, and what makes a public key too weak to use.
 */
#ifndef HF_KEEPER_PUBLIC_H
#define HF_KEEPER_PUBLIC_H

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/mech.h"

struct hf_public {
	unsigned refs;
	EVP_PKEY *pkey;
	enum hf_family family;
	unsigned bits;
	EVP_PKEY_CTX *verifier; /* set up for @scheme, kept: setting up costs as much as P-256 */
	const struct hf_scheme *scheme;
};

/*
 * Message digests, fetched once: a fetch per use is dearer than hashing 32 bytes.
 * NULL if @name is none of SHA1, SHA2-256, SHA2-384, SHA2-512.
 */
const EVP_MD *hf_digest(const char *name);
/* @out has EVP_MD's size. */
enum hf_rc hf_hash(const char *name, struct hf_view in, uint8_t *out, struct hf_err *e);

/* From DER, nothing behind it. HF_CORRUPT: malformed. HF_REFUSED: weak. One reference. */
enum hf_rc hf_public_new(struct hf_public **out, struct hf_view spki, struct hf_err *e);
struct hf_public *hf_public_ref(struct hf_public *p);
void hf_public_free(struct hf_public *p); /* drops a reference; NULL is fine */

/*
 * HF_OK if @sig is a signature of @digest (of the message, if the scheme has no hash) by @p.
 * HF_FAILED if not. The signature is the token's, so a wrong one is a fault or an attack on it.
 */
enum hf_rc hf_public_verify(struct hf_public *p, const struct hf_scheme *scheme,
			    struct hf_view digest, struct hf_view sig, struct hf_err *e);

/*
 * HF_REFUSED, with the reason, for anything but RSA of 2048 to 8192 bits with an odd
 * exponent of at least 65537 and without the mark of CVE-2017-15361 (ROCA), P-256,
 * P-384, P-521, Ed25519, Ed448. The key of a certificate to be issued, or our own.
 */
enum hf_rc hf_public_strong(const EVP_PKEY *pkey, struct hf_err *e);

#endif
