/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decoder.c: key references become keys, in two steps: PEM to DER of a structure that only
 * we know, and that to a key. One step would do for PEM_read_bio_PrivateKey(), but not for
 * OpenSSL's file store, which feeds decoders what looks like DER to it ("--" does).
 *
 * Whatever is not a key reference is none of our business: then the answer is "carry on"
 * (1), and nothing is left on the error queue. Other people's keys come through here. So do
 * `TSS2 PRIVATE KEY`s, which are ours if the broker knows the public key; else they are left to
 * tpm2-openssl. They must not be passed on before that is known: libcrypto takes it for success
 * and asks nobody else.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>

#include "key.h"
#include "tss2.h"

#define STRUCTURE "holdfast"

static void *dec_newctx(void *provctx)
{
	return provctx;
}

static void dec_freectx(void *ctx)
{
	(void)ctx;
}

/* Named or not, it is a key that is asked for. */
static int dec_does_selection(void *provctx, int selection)
{
	(void)provctx;
	return !selection || (selection & OSSL_KEYMGMT_SELECT_KEYPAIR);
}

static int pass_der(const unsigned char *der, long n, OSSL_CALLBACK *cb, void *cbarg)
{
	int type = OSSL_OBJECT_PKEY;
	char structure[] = STRUCTURE;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
		OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, structure, 0),
		OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, (void *)(uintptr_t)der,
						  (size_t)n),
		OSSL_PARAM_construct_end(),
	};

	return cb(params, cbarg);
}

/* The label says that it is meant for us: what is wrong with it is told here, and is fatal. */
static int check_reference(const struct hf_provider *p, const unsigned char *der, long n)
{
	struct hf_reference *ref = malloc(sizeof(*ref));
	struct hf_err e = HF_ERR_INIT;

	if (!ref)
		(void)hf_fail(&e, HF_NO_MEMORY, "out of memory");
	else
		(void)hf_reference_decode(der, (size_t)n, ref, &e);
	free(ref);
	return e.rc ? HF_RAISE(p, &e) : 1;
}

/*
 * The broker's key of the same public key as the TPM key in @der, of @type if that is not NULL.
 * NULL: not one, or it does not know it, or does not answer; that is no error, since somebody
 * else may open it.
 */
static struct hf_key *key_of_tss2(const struct hf_provider *p, struct hf_view der, const char *type)
{
	EVP_PKEY *pub = hf_tss2_public(p->libctx, der);
	struct hf_err e = HF_ERR_INIT;
	struct hf_key *key = NULL;

	if (pub && (!type || EVP_PKEY_is_a(pub, type)))
		(void)hf_key_open_known(p, pub, &key, &e);
	EVP_PKEY_free(pub);
	return key;
}

/* As if there were a key reference in the file. */
static int pass_tss2(const struct hf_provider *p, struct hf_view der, OSSL_CALLBACK *cb,
		     void *cbarg)
{
	struct hf_key *key = key_of_tss2(p, der, NULL);
	HF_AUTO_BUF ref = HF_BUF(HF_REFERENCE_MAX);
	struct hf_err e = HF_ERR_INIT;
	int ok = 1;

	if (key && !hf_reference_encode(&key->ref, &ref, &e))
		ok = pass_der(ref.p, (long)ref.n, cb, cbarg);
	hf_key_free(key);
	return ok;
}

static int dec_pem(void *ctx, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *cb, void *cbarg,
		   OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg)
{
	const struct hf_provider *p = ctx;
	BIO *bio = BIO_new_from_core_bio(p->libctx, in);
	char *name = NULL, *header = NULL;
	unsigned char *data = NULL;
	long n = 0;
	int ok = 1;

	(void)selection;
	(void)pw_cb;
	(void)pw_cbarg;
	if (!bio)
		return 0;
	ERR_set_mark();
	if (PEM_read_bio(bio, &name, &header, &data, &n) <= 0)
		name = NULL;
	ERR_pop_to_mark();
	if (name && !strcmp(name, HF_REFERENCE_PEM))
		ok = check_reference(p, data, n) && pass_der(data, n, cb, cbarg);
	else if (name && !strcmp(name, HF_TSS2_PEM) && !header[0])
		ok = pass_tss2(p, (struct hf_view){ data, (size_t)n }, cb, cbarg);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(data);
	BIO_free(bio);
	return ok;
}

/* Hands the key over; the callback's side zeroes the pointer if it takes it (km_load). */
static int pass_key(struct hf_key *key, OSSL_CALLBACK *cb, void *cbarg)
{
	int type = OSSL_OBJECT_PKEY, ok;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
		OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE,
						 (char *)(uintptr_t)hf_key_type(key), 0),
		OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof(key)),
		OSSL_PARAM_construct_end(),
	};

	ok = cb(params, cbarg);
	hf_key_free(key);
	return ok;
}

/* False: it is a reference, but not to a key that can be used; then an error is raised. */
static bool open_key(const struct hf_provider *p, const struct hf_buf *der, const char *type,
		     int selection, struct hf_key **key)
{
	struct hf_reference *ref;
	struct hf_err e = HF_ERR_INIT;
	struct hf_key *pub;
	bool ours = false;

	*key = NULL;
	if (hf_tss2_is(HF_VIEW_BUF(der))) {
		*key = key_of_tss2(p, HF_VIEW_BUF(der), type);
	} else {
		ref = malloc(sizeof(*ref));
		ours = ref && !hf_reference_decode(der->p, der->n, ref, &e);
		if (ours)
			(void)hf_key_open_reference(p, ref, key, &e);
		free(ref);
	}
	if (*key && selection && !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)) {
		pub = hf_key_public_only(*key);
		hf_key_free(*key);
		*key = pub;
	}
	if (ours && !*key)
		return HF_RAISE(p, &e);
	return true;
}

static bool read_all(const struct hf_provider *p, OSSL_CORE_BIO *in, struct hf_buf *out)
{
	BIO *bio = BIO_new_from_core_bio(p->libctx, in);
	uint8_t chunk[1024];
	int n;

	ERR_set_mark();
	while (bio && (n = BIO_read(bio, chunk, sizeof(chunk))) > 0 && !out->bad)
		hf_buf_add(out, chunk, (size_t)n);
	ERR_pop_to_mark();
	BIO_free(bio);
	return bio && out->n && !out->bad;
}

static int dec_key(void *ctx, const char *type, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *cb,
		   void *cbarg)
{
	const struct hf_provider *p = ctx;
	HF_AUTO_BUF der = HF_BUF(HF_REFERENCE_MAX);
	struct hf_key *key;

	if (!read_all(p, in, &der))
		return 1;
	if (!open_key(p, &der, type, selection, &key))
		return 0;
	if (!key)
		return 1;
	if (!strcmp(hf_key_type(key), type))
		return pass_key(key, cb, cbarg);
	hf_key_free(key);
	return 1;
}

/* libcrypto does not tell a decoder by which of its names it was called. */
#define KEY_DECODER(suffix, type)                                                                  \
	static int dec_##suffix(void *ctx, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *cb,    \
				void *cbarg, OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg)      \
	{                                                                                          \
		(void)pw_cb;                                                                       \
		(void)pw_cbarg;                                                                    \
		return dec_key(ctx, type, in, selection, cb, cbarg);                               \
	}                                                                                          \
	DECODER(suffix)

#define DECODER(suffix)                                                                            \
	static const OSSL_DISPATCH suffix##_functions[] = {                                        \
		HF_FN(DECODER_NEWCTX, decoder_newctx, dec_newctx),                                 \
		HF_FN(DECODER_FREECTX, decoder_freectx, dec_freectx),                              \
		HF_FN(DECODER_DOES_SELECTION, decoder_does_selection, dec_does_selection),         \
		HF_FN(DECODER_DECODE, decoder_decode, dec_##suffix),                               \
		HF_FN_END,                                                                         \
	}

DECODER(pem);
KEY_DECODER(rsa, "RSA");
KEY_DECODER(pss, "RSA-PSS");
KEY_DECODER(ec, "EC");
KEY_DECODER(ed25519, "ED25519");

#define PEM_IN HF_PROPERTIES ",input=pem"
#define DER_IN HF_PROPERTIES ",input=der,structure=" STRUCTURE

const OSSL_ALGORITHM hf_decoders[] = {
	{ "DER", PEM_IN, pem_functions, "key reference" },
	{ "RSA:rsaEncryption", DER_IN, rsa_functions, "RSA key of a token" },
	{ "RSA-PSS:RSASSA-PSS", DER_IN, pss_functions, "RSA key of a token, for PSS only" },
	{ "EC:id-ecPublicKey", DER_IN, ec_functions, "EC key of a token" },
	{ "ED25519", DER_IN, ed25519_functions, "Ed25519 key of a token" },
	{ NULL, NULL, NULL, NULL },
};
