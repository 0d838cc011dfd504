/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keymgmt.c: what libcrypto asks about keys. One table serves all algorithms, since each
 * question about the public half goes to the default provider's key.
 *
 * It must never export a selection with the private half in it, not even the public part
 * of it: libcrypto would take that for the key and try to sign with a hollow one.
 */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "keygen.h"

#define PRIVATE OSSL_KEYMGMT_SELECT_PRIVATE_KEY
#define PUBLIC	OSSL_KEYMGMT_SELECT_PUBLIC_KEY

static void *km_new(void *provctx)
{
	return hf_key_new(provctx);
}

static void km_free(void *keydata)
{
	hf_key_free(keydata);
}

/* A reference, in OpenSSL's sense, is a pointer to our key; its owner gives it away. */
static void *km_load(const void *reference, size_t size)
{
	struct hf_key *key, *none = NULL;

	if (size != sizeof(key))
		return NULL;
	memcpy(&key, reference, sizeof(key));
	memcpy((void *)(uintptr_t)reference, &none, sizeof(none));
	return key;
}

static int km_has(const void *keydata, int selection)
{
	const struct hf_key *key = keydata;

	if (!key || !key->pub)
		return 0;
	return key->remote || !(selection & PRIVATE);
}

static int km_match(const void *keydata1, const void *keydata2, int selection)
{
	const struct hf_key *a = keydata1, *b = keydata2;

	if (!a->pub || !b->pub || a->family != b->family)
		return 0;
	/* Two private halves are the same if their public ones are. */
	if (selection & OSSL_KEYMGMT_SELECT_KEYPAIR)
		return EVP_PKEY_eq(a->pub, b->pub) == 1;
	return a->family != HF_FAMILY_EC || EVP_PKEY_parameters_eq(a->pub, b->pub) == 1;
}

static int km_validate(const void *keydata, int selection, int checktype)
{
	const struct hf_key *key = keydata;
	EVP_PKEY_CTX *ctx;
	int ok;

	(void)checktype;
	if (!key->pub || ((selection & PRIVATE) && !key->remote))
		return 0;
	ctx = EVP_PKEY_CTX_new_from_pkey(key->provider->libctx, key->pub, NULL);
	ok = ctx && EVP_PKEY_public_check(ctx) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static int import(void *keydata, const char *type, int selection, const OSSL_PARAM params[])
{
	struct hf_key *key = keydata;
	EVP_PKEY_CTX *ctx;
	EVP_PKEY *pub = NULL;
	struct hf_err e = HF_ERR_INIT;
	int ok;

	/* A private key in software is no business of ours. */
	if (key->pub || OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PRIV_KEY) ||
	    OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_D) || !(selection & PUBLIC))
		return 0;
	ctx = EVP_PKEY_CTX_new_from_name(key->provider->libctx, type, NULL);
	ok = ctx && EVP_PKEY_fromdata_init(ctx) > 0 &&
	     EVP_PKEY_fromdata(ctx, &pub, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params) > 0;
	EVP_PKEY_CTX_free(ctx);
	return ok && !hf_key_set_public(key, pub, &e);
}

static int km_export(void *keydata, int selection, OSSL_CALLBACK *cb, void *cbarg)
{
	const struct hf_key *key = keydata;

	if (!key->pub || (selection & PRIVATE))
		return 0;
	return EVP_PKEY_export(key->pub, selection, cb, cbarg);
}

static const OSSL_PARAM *km_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_END,
	};

	return selection & PRIVATE ? NULL : types;
}

static void *km_dup(const void *keydata, int selection)
{
	const struct hf_key *key = keydata;

	if (!key->pub)
		return NULL;
	if (selection & PRIVATE)
		return hf_key_up((struct hf_key *)(uintptr_t)key);
	return hf_key_public_only(key);
}

static const OSSL_PARAM *km_gettable(void *provctx)
{
	static const OSSL_PARAM gettable[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_X, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_Y, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_FIELD_TYPE, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_P, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_A, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_B, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_EC_GENERATOR, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_ORDER, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_COFACTOR, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_EC_SEED, NULL, 0),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, NULL),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, NULL, 0),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, NULL),
		OSSL_PARAM_END,
	};

	(void)provctx;
	return gettable;
}

static int km_get_params(void *keydata, OSSL_PARAM params[])
{
	const struct hf_key *key = keydata;

	return key->pub && EVP_PKEY_get_params(key->pub, params);
}

/*
 * Another point on the curve of a copy without the private half: how libcrypto makes the peer's
 * key in CMS. Without this it would believe that the point was set (evp_keymgmt_set_params()).
 */
static int km_set_params(void *keydata, const OSSL_PARAM params[])
{
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);
	struct hf_key *key = keydata;
	EVP_PKEY *pub;

	if (!p)
		return 1;
	if (key->remote || !key->pub || p->data_type != OSSL_PARAM_OCTET_STRING || !p->data)
		return 0;
	pub = EVP_PKEY_new();
	if (pub && EVP_PKEY_copy_parameters(pub, key->pub) > 0 &&
	    EVP_PKEY_set1_encoded_public_key(pub, p->data, p->data_size) > 0) {
		EVP_PKEY_free(key->pub);
		key->pub = pub;
		return 1;
	}
	EVP_PKEY_free(pub);
	return 0;
}

static const OSSL_PARAM *km_settable(void *provctx)
{
	static const OSSL_PARAM settable[] = {
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provctx;
	return settable;
}

static const char *km_operation_name(int operation)
{
	/* Of all operations that use the private half. */
	return operation == OSSL_OP_SIGNATURE || operation == OSSL_OP_ASYM_CIPHER ||
			       operation == OSSL_OP_KEYEXCH
		       ? HF_OPERATION_NAME
		       : NULL;
}

/* One table per algorithm: libcrypto does not tell by which of its names one was called. */
#define KEYMGMT(suffix, family, type, pss)                                                         \
	static void *km_gen_##suffix(void *provctx, int selection, const OSSL_PARAM params[])      \
	{                                                                                          \
		return hf_keygen_new(provctx, family, pss, selection, params);                     \
	}                                                                                          \
	static int km_import_##suffix(void *key, int selection, const OSSL_PARAM params[])         \
	{                                                                                          \
		return import(key, type, selection, params);                                       \
	}                                                                                          \
	static const OSSL_DISPATCH suffix##_functions[] = {                                        \
		HF_FN(KEYMGMT_NEW, keymgmt_new, km_new),                                           \
		HF_FN(KEYMGMT_FREE, keymgmt_free, km_free),                                        \
		HF_FN(KEYMGMT_LOAD, keymgmt_load, km_load),                                        \
		HF_FN(KEYMGMT_HAS, keymgmt_has, km_has),                                           \
		HF_FN(KEYMGMT_MATCH, keymgmt_match, km_match),                                     \
		HF_FN(KEYMGMT_VALIDATE, keymgmt_validate, km_validate),                            \
		HF_FN(KEYMGMT_IMPORT, keymgmt_import, km_import_##suffix),                         \
		HF_FN(KEYMGMT_IMPORT_TYPES, keymgmt_import_types, km_types),                       \
		HF_FN(KEYMGMT_EXPORT, keymgmt_export, km_export),                                  \
		HF_FN(KEYMGMT_EXPORT_TYPES, keymgmt_export_types, km_types),                       \
		HF_FN(KEYMGMT_DUP, keymgmt_dup, km_dup),                                           \
		HF_FN(KEYMGMT_GETTABLE_PARAMS, keymgmt_gettable_params, km_gettable),              \
		HF_FN(KEYMGMT_GET_PARAMS, keymgmt_get_params, km_get_params),                      \
		HF_FN(KEYMGMT_SETTABLE_PARAMS, keymgmt_settable_params, km_settable),              \
		HF_FN(KEYMGMT_SET_PARAMS, keymgmt_set_params, km_set_params),                      \
		HF_FN(KEYMGMT_QUERY_OPERATION_NAME, keymgmt_query_operation_name,                  \
		      km_operation_name),                                                          \
		HF_FN(KEYMGMT_GEN_INIT, keymgmt_gen_init, km_gen_##suffix),                        \
		HF_FN(KEYMGMT_GEN_SET_TEMPLATE, keymgmt_gen_set_template, hf_keygen_set_template), \
		HF_FN(KEYMGMT_GEN_SET_PARAMS, keymgmt_gen_set_params, hf_keygen_set_params),       \
		HF_FN(KEYMGMT_GEN_SETTABLE_PARAMS, keymgmt_gen_settable_params,                    \
		      hf_keygen_settable),                                                         \
		HF_FN(KEYMGMT_GEN, keymgmt_gen, hf_keygen_run),                                    \
		HF_FN(KEYMGMT_GEN_CLEANUP, keymgmt_gen_cleanup, hf_keygen_free),                   \
		HF_FN_END,                                                                         \
	}

KEYMGMT(rsa, HF_FAMILY_RSA, "RSA", false);
KEYMGMT(pss, HF_FAMILY_RSA, "RSA-PSS", true);
KEYMGMT(ec, HF_FAMILY_EC, "EC", false);
KEYMGMT(ed25519, HF_FAMILY_ED25519, "ED25519", false);

const OSSL_ALGORITHM hf_keymgmts[] = {
	{ "RSA:rsaEncryption:1.2.840.113549.1.1.1", HF_PROPERTIES, rsa_functions,
	  "RSA key of a token" },
	{ "RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10", HF_PROPERTIES, pss_functions,
	  "RSA key of a token that signs with PSS only" },
	{ "EC:id-ecPublicKey:1.2.840.10045.2.1", HF_PROPERTIES, ec_functions, "EC key of a token" },
	{ "ED25519:1.3.101.112", HF_PROPERTIES, ed25519_functions, "Ed25519 key of a token" },
	{ NULL, NULL, NULL, NULL },
};
