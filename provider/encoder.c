/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encoder.c: what people see of a key. Where a private key would be written, a key
 * reference is: `openssl pkey -in holdfast:x` prints something that works as a key file
 * and is no secret. There is no import: these encoders are for our own keys only.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "key.h"

struct encoder {
	const struct hf_provider *provider;
	bool encrypt; /* somebody asked for a cipher */
};

static void *enc_newctx(void *provctx)
{
	struct encoder *enc = calloc(1, sizeof(*enc));

	if (enc)
		enc->provider = provctx;
	return enc;
}

static void enc_freectx(void *ctx)
{
	free(ctx);
}

static const OSSL_PARAM *enc_settable(void *provctx)
{
	static const OSSL_PARAM settable[] = {
		OSSL_PARAM_utf8_string(OSSL_ENCODER_PARAM_CIPHER, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provctx;
	return settable;
}

static int enc_set_params(void *ctx, const OSSL_PARAM params[])
{
	struct encoder *enc = ctx;
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_ENCODER_PARAM_CIPHER);
	const char *name = NULL;

	if (p)
		enc->encrypt = OSSL_PARAM_get_utf8_string_ptr(p, &name) && name && name[0];
	return 1;
}

static int private_selected(void *provctx, int selection)
{
	(void)provctx;
	return !selection || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY);
}

static int public_selected(void *provctx, int selection)
{
	(void)provctx;
	return !selection || ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) &&
			      !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY));
}

static int any_selected(void *provctx, int selection)
{
	(void)provctx;
	return !selection || (selection & OSSL_KEYMGMT_SELECT_ALL);
}

static int write_reference(const struct encoder *enc, BIO *out, const struct hf_key *key,
			   int selection)
{
	HF_AUTO_BUF pem = HF_BUF(3 * HF_REFERENCE_MAX);
	struct hf_err e = HF_ERR_INIT;

	(void)selection;
	if (enc->encrypt)
		(void)hf_fail(
			&e, HF_UNSUPPORTED,
			"key %s: a key reference holds no secret, there is nothing to encrypt",
			key->ref.name);
	else if (!key->remote)
		(void)hf_fail(&e, HF_ARGUMENT, "this is a public key only");
	else if (!hf_reference_pem(&key->ref, &pem, &e))
		return BIO_write(out, pem.p, (int)pem.n) == (int)pem.n;
	return HF_RAISE(enc->provider, &e);
}

static int write_spki_pem(const struct encoder *enc, BIO *out, const struct hf_key *key,
			  int selection)
{
	(void)enc;
	(void)selection;
	return PEM_write_bio_PUBKEY(out, key->pub);
}

static int write_spki_der(const struct encoder *enc, BIO *out, const struct hf_key *key,
			  int selection)
{
	(void)enc;
	(void)selection;
	return i2d_PUBKEY_bio(out, key->pub);
}

static int write_text(const struct encoder *enc, BIO *out, const struct hf_key *key, int selection)
{
	char hash[65];

	(void)enc;
	if (key->remote && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) &&
	    BIO_printf(out,
		       "Key in a token, by holdfast\nName: %s\nSHA-256 of its public key: %s\n",
		       key->ref.name, hf_hex(hash, sizeof(hash), key->spki_sha256, 32)) <= 0)
		return 0;
	if (key->remote && key->ref.cert[0] && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) &&
	    BIO_printf(out, "Certificate: %s\n", key->ref.cert) <= 0)
		return 0;
	return EVP_PKEY_print_public(out, key->pub, 0, NULL) > 0;
}

static int encode(void *ctx, OSSL_CORE_BIO *cout, const void *keydata, const OSSL_PARAM abstract[],
		  int selection,
		  int (*write)(const struct encoder *, BIO *, const struct hf_key *, int))
{
	struct encoder *enc = ctx;
	const struct hf_key *key = keydata;
	BIO *out;
	int ok;

	if (!key || abstract || !key->pub)
		return 0;
	out = BIO_new_from_core_bio(enc->provider->libctx, cout);
	ok = out && write(enc, out, key, selection);
	BIO_free(out);
	return ok;
}

/* One dispatch table per way of writing; all of them serve all algorithms. */
#define ENCODER(suffix, selected)                                                                  \
	static int enc_##suffix(void *ctx, OSSL_CORE_BIO *out, const void *key,                    \
				const OSSL_PARAM abstract[], int selection,                        \
				OSSL_PASSPHRASE_CALLBACK *cb, void *cbarg)                         \
	{                                                                                          \
		(void)cb;                                                                          \
		(void)cbarg;                                                                       \
		return encode(ctx, out, key, abstract, selection, write_##suffix);                 \
	}                                                                                          \
	static const OSSL_DISPATCH suffix##_functions[] = {                                        \
		HF_FN(ENCODER_NEWCTX, encoder_newctx, enc_newctx),                                 \
		HF_FN(ENCODER_FREECTX, encoder_freectx, enc_freectx),                              \
		HF_FN(ENCODER_SETTABLE_CTX_PARAMS, encoder_settable_ctx_params, enc_settable),     \
		HF_FN(ENCODER_SET_CTX_PARAMS, encoder_set_ctx_params, enc_set_params),             \
		HF_FN(ENCODER_DOES_SELECTION, encoder_does_selection, selected),                   \
		HF_FN(ENCODER_ENCODE, encoder_encode, enc_##suffix),                               \
		HF_FN_END,                                                                         \
	}

ENCODER(reference, private_selected);
ENCODER(spki_pem, public_selected);
ENCODER(spki_der, public_selected);
ENCODER(text, any_selected);

#define ROW(names, how, functions)                                                                 \
	{                                                                                          \
		names, HF_PROPERTIES ",output=" how, functions, "key of a token"                   \
	}

const OSSL_ALGORITHM hf_encoders[] = {
	ROW("RSA:rsaEncryption", "pem,structure=PrivateKeyInfo", reference_functions),
	ROW("RSA:rsaEncryption", "pem,structure=SubjectPublicKeyInfo", spki_pem_functions),
	ROW("RSA:rsaEncryption", "der,structure=SubjectPublicKeyInfo", spki_der_functions),
	ROW("RSA:rsaEncryption", "text", text_functions),
	ROW("RSA-PSS:RSASSA-PSS", "pem,structure=PrivateKeyInfo", reference_functions),
	ROW("RSA-PSS:RSASSA-PSS", "pem,structure=SubjectPublicKeyInfo", spki_pem_functions),
	ROW("RSA-PSS:RSASSA-PSS", "der,structure=SubjectPublicKeyInfo", spki_der_functions),
	ROW("RSA-PSS:RSASSA-PSS", "text", text_functions),
	ROW("EC:id-ecPublicKey", "pem,structure=PrivateKeyInfo", reference_functions),
	ROW("EC:id-ecPublicKey", "pem,structure=SubjectPublicKeyInfo", spki_pem_functions),
	ROW("EC:id-ecPublicKey", "der,structure=SubjectPublicKeyInfo", spki_der_functions),
	ROW("EC:id-ecPublicKey", "text", text_functions),
	ROW("ED25519", "pem,structure=PrivateKeyInfo", reference_functions),
	ROW("ED25519", "pem,structure=SubjectPublicKeyInfo", spki_pem_functions),
	ROW("ED25519", "der,structure=SubjectPublicKeyInfo", spki_der_functions),
	ROW("ED25519", "text", text_functions),
	{ NULL, NULL, NULL, NULL },
};
