/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigmessage.c: the algorithms of signatures. One, of a name that nobody else has, is what
 * libcrypto finds through the key (see provider.h). Since 3.4 programs may also name the
 * signature in full, RSA-SHA256, and sign messages instead of digests; such names are fetched
 * on purpose only, so having them takes nothing away from anybody.
 */
#include "signature.h"

#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT

int hf_sig_sign_message_init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
	struct hf_sig *s = ctx;

	if (!hf_sig_digest_sign_init(s, NULL, keydata, params))
		return 0;
	s->by_message = true;
	return 1;
}

int hf_sig_verify_message_init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
	struct hf_sig *s = ctx;

	if (!hf_sig_digest_verify_init(s, s->fixed ? s->fixed->hash : NULL, keydata, NULL))
		return 0;
	s->by_message = true;
	return hf_sig_set_params(s, params);
}

int hf_sig_verify_message_final(void *ctx)
{
	const struct hf_sig *s = ctx;

	return s->expected.n && !s->expected.bad &&
	       hf_sig_digest_verify_final(ctx, s->expected.p, s->expected.n);
}

static void *newctx_as(const char *scheme, void *provctx, const char *propq)
{
	struct hf_sig *s = hf_sig_newctx(provctx, propq);

	if (s)
		s->fixed = hf_scheme_find(scheme);
	return s;
}

static const char *rsa_keys[] = { "RSA", NULL };
static const char *ec_keys[] = { "EC", NULL };
static const char *ed25519_keys[] = { "ED25519", NULL };

#define NAMED(suffix, scheme, keys)                                                                \
	static void *newctx_##suffix(void *provctx, const char *propq)                             \
	{                                                                                          \
		return newctx_as(scheme, provctx, propq);                                          \
	}                                                                                          \
	static const char **keys_##suffix(void)                                                    \
	{                                                                                          \
		return keys;                                                                       \
	}                                                                                          \
	static const OSSL_DISPATCH suffix##_functions[] = {                                        \
		HF_FN(SIGNATURE_NEWCTX, signature_newctx, newctx_##suffix),                        \
		HF_FN(SIGNATURE_FREECTX, signature_freectx, hf_sig_freectx),                       \
		HF_FN(SIGNATURE_DUPCTX, signature_dupctx, hf_sig_dupctx),                          \
		HF_FN(SIGNATURE_QUERY_KEY_TYPES, signature_query_key_types, keys_##suffix),        \
		HF_FN(SIGNATURE_SIGN_INIT, signature_sign_init, hf_sig_sign_init),                 \
		HF_FN(SIGNATURE_SIGN, signature_sign, hf_sig_sign),                                \
		HF_FN(SIGNATURE_VERIFY_INIT, signature_verify_init, hf_sig_verify_init),           \
		HF_FN(SIGNATURE_VERIFY, signature_verify, hf_sig_verify),                          \
		HF_SIG_MESSAGE_FN,                                                                 \
		HF_FN(SIGNATURE_SETTABLE_CTX_PARAMS, signature_settable_ctx_params,                \
		      hf_sig_settable),                                                            \
		HF_FN(SIGNATURE_SET_CTX_PARAMS, signature_set_ctx_params, hf_sig_set_params),      \
		HF_FN(SIGNATURE_GETTABLE_CTX_PARAMS, signature_gettable_ctx_params,                \
		      hf_sig_gettable),                                                            \
		HF_FN(SIGNATURE_GET_CTX_PARAMS, signature_get_ctx_params, hf_sig_get_params),      \
		HF_FN_END,                                                                         \
	}

NAMED(rsa_sha1, "rsa-pkcs1-sha1", rsa_keys);
NAMED(rsa_sha256, "rsa-pkcs1-sha256", rsa_keys);
NAMED(rsa_sha384, "rsa-pkcs1-sha384", rsa_keys);
NAMED(rsa_sha512, "rsa-pkcs1-sha512", rsa_keys);
NAMED(ec_sha256, "ecdsa-sha256", ec_keys);
NAMED(ec_sha384, "ecdsa-sha384", ec_keys);
NAMED(ec_sha512, "ecdsa-sha512", ec_keys);
NAMED(ed25519, "ed25519", ed25519_keys);

#define NAMED_ROW(names, suffix)                                                                   \
	{                                                                                          \
		names, HF_PROPERTIES, suffix##_functions, "signatures by keys of a token"          \
	}

#endif

const OSSL_ALGORITHM hf_signatures[] = {
	{ HF_OPERATION_NAME, HF_PROPERTIES, hf_sig_functions, "signatures by keys of a token" },
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
	NAMED_ROW("RSA-SHA1:RSA-SHA-1:sha1WithRSAEncryption:1.2.840.113549.1.1.5", rsa_sha1),
	NAMED_ROW("RSA-SHA2-256:RSA-SHA256:sha256WithRSAEncryption:1.2.840.113549.1.1.11",
		  rsa_sha256),
	NAMED_ROW("RSA-SHA2-384:RSA-SHA384:sha384WithRSAEncryption:1.2.840.113549.1.1.12",
		  rsa_sha384),
	NAMED_ROW("RSA-SHA2-512:RSA-SHA512:sha512WithRSAEncryption:1.2.840.113549.1.1.13",
		  rsa_sha512),
	NAMED_ROW("ECDSA-SHA2-256:ECDSA-SHA256:ecdsa-with-SHA256:1.2.840.10045.4.3.2", ec_sha256),
	NAMED_ROW("ECDSA-SHA2-384:ECDSA-SHA384:ecdsa-with-SHA384:1.2.840.10045.4.3.3", ec_sha384),
	NAMED_ROW("ECDSA-SHA2-512:ECDSA-SHA512:ecdsa-with-SHA512:1.2.840.10045.4.3.4", ec_sha512),
	NAMED_ROW("ED25519:1.3.101.112", ed25519),
#endif
	{ NULL, NULL, NULL, NULL },
};
