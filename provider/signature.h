/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signature.h: the state of one signing or verifying, shared by signature.c (what
 * libcrypto calls), sigparams.c (the parameters it sets and asks for) and sigmessage.c (the
 * algorithms, and how OpenSSL 3.4 and later calls them).
 */
#ifndef HF_PROVIDER_SIGNATURE_H
#define HF_PROVIDER_SIGNATURE_H

#include <openssl/evp.h>

#include "base/buf.h"
#include "key.h"

struct hf_sig {
	const struct hf_provider *provider;
	struct hf_key *key;	       /* a reference of our own */
	const struct hf_scheme *fixed; /* by the algorithm's name, as RSA-SHA256; NULL: not */
	bool by_message;	       /* sign() and verify() are given the message */

	/* signing */
	EVP_MD *md;	       /* NULL: none was named */
	bool begun;	       /* some of the message may have come */
	bool whole;	       /* the token wants the message and not its digest */
	EVP_MD_CTX *hash;      /* of what has come so far */
	struct hf_buf message; /* or, if @whole, all of it */
	int pad;	       /* RSA_*_PADDING; of RSA keys */
	int salt;	       /* RSA_PSS_SALTLEN_*, or bytes */
	char mgf1[32];	       /* "": as the digest */

	/* verifying: done by the default provider, parameters and all */
	EVP_PKEY_CTX *verify; /* borrowed from verify_md if that is set */
	EVP_MD_CTX *verify_md;
	struct hf_buf expected; /* what verify_message_final() compares with */
};

/* The scheme that key, padding and digest make. HF_UNSUPPORTED with what would be. */
enum hf_rc hf_sig_scheme(const struct hf_sig *s, const struct hf_scheme **scheme, struct hf_err *e);
/* Digest and padding of s->fixed, and whether the key has such signatures. */
enum hf_rc hf_sig_take_fixed(struct hf_sig *s, struct hf_err *e);
/* Names the digest. */
enum hf_rc hf_sig_set_digest(struct hf_sig *s, const char *name, struct hf_err *e);

/* What libcrypto calls; types as in core_dispatch.h. */
void *hf_sig_newctx(void *provctx, const char *propq);
void hf_sig_freectx(void *ctx);
void *hf_sig_dupctx(void *ctx);
int hf_sig_sign_init(void *ctx, void *keydata, const OSSL_PARAM params[]);
int hf_sig_sign(void *ctx, unsigned char *sig, size_t *siglen, size_t sigsize,
		const unsigned char *tbs, size_t tbslen);
int hf_sig_digest_sign_init(void *ctx, const char *md, void *keydata, const OSSL_PARAM params[]);
int hf_sig_digest_sign_update(void *ctx, const unsigned char *data, size_t n);
int hf_sig_digest_sign_final(void *ctx, unsigned char *sig, size_t *siglen, size_t sigsize);
int hf_sig_verify_init(void *ctx, void *keydata, const OSSL_PARAM params[]);
int hf_sig_verify(void *ctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs,
		  size_t tbslen);
int hf_sig_digest_verify_init(void *ctx, const char *md, void *keydata, const OSSL_PARAM params[]);
int hf_sig_digest_verify_update(void *ctx, const unsigned char *data, size_t n);
int hf_sig_digest_verify_final(void *ctx, const unsigned char *sig, size_t siglen);
extern const OSSL_DISPATCH hf_sig_functions[]; /* of the algorithm that fits any key of ours */

/* Signing of messages by name, since 3.4. */
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
int hf_sig_sign_message_init(void *ctx, void *keydata, const OSSL_PARAM params[]);
int hf_sig_verify_message_init(void *ctx, void *keydata, const OSSL_PARAM params[]);
int hf_sig_verify_message_final(void *ctx);
#define HF_SIG_MESSAGE_FN                                                                          \
	HF_FN(SIGNATURE_SIGN_MESSAGE_INIT, signature_sign_message_init, hf_sig_sign_message_init), \
		HF_FN(SIGNATURE_SIGN_MESSAGE_UPDATE, signature_sign_message_update,                \
		      hf_sig_digest_sign_update),                                                  \
		HF_FN(SIGNATURE_SIGN_MESSAGE_FINAL, signature_sign_message_final,                  \
		      hf_sig_digest_sign_final),                                                   \
		HF_FN(SIGNATURE_VERIFY_MESSAGE_INIT, signature_verify_message_init,                \
		      hf_sig_verify_message_init),                                                 \
		HF_FN(SIGNATURE_VERIFY_MESSAGE_UPDATE, signature_verify_message_update,            \
		      hf_sig_digest_verify_update),                                                \
		HF_FN(SIGNATURE_VERIFY_MESSAGE_FINAL, signature_verify_message_final,              \
		      hf_sig_verify_message_final)
#endif

const OSSL_PARAM *hf_sig_settable(void *ctx, void *provctx);
const OSSL_PARAM *hf_sig_gettable(void *ctx, void *provctx);
int hf_sig_set_params(void *ctx, const OSSL_PARAM params[]);
int hf_sig_get_params(void *ctx, OSSL_PARAM params[]);

#endif
