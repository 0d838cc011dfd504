/* SPDX-License-Identifier: Apache-2.0 */
/* provider_host_keys.c: the commands of provider-host that are about keys, not about processes. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <openssl/x509.h>

#include "provider_host.h"

static int params_cb(const OSSL_PARAM params[], void *arg)
{
	(void)params;
	++*(int *)arg;
	return 1;
}

/* What libcrypto asks of keys, in both orders of arguments. */
int cmd_semantics(const char *uri, int n)
{
	EVP_PKEY *key = host_load(uri), *again = host_load(uri), *pub, *dup;
	OSSL_PARAM *params = NULL;
	unsigned char *der = NULL;
	BIGNUM *secret = NULL;
	int called = 0;

	(void)n;
	CHECK(key && again);
	pub = host_public(key);
	CHECK(EVP_PKEY_eq(key, pub) == 1 && EVP_PKEY_eq(pub, key) == 1);
	CHECK(EVP_PKEY_eq(key, again) == 1 && EVP_PKEY_eq(key, key) == 1);
	dup = EVP_PKEY_dup(key);
	CHECK(dup && EVP_PKEY_eq(dup, key) == 1);
	EVP_PKEY_free(again);
	EVP_PKEY_free(key);
	CHECK(host_sign(dup));
	CHECK(!host_sign(pub));
	ERR_clear_error();
	/* the private half leaves in no form */
	CHECK(EVP_PKEY_todata(dup, EVP_PKEY_KEYPAIR, &params) != 1);
	CHECK(EVP_PKEY_export(dup, EVP_PKEY_KEYPAIR, params_cb, &called) != 1 && !called);
	CHECK(i2d_PrivateKey(dup, &der) <= 0);
	CHECK(!EVP_PKEY2PKCS8(dup));
	CHECK(EVP_PKEY_get_bn_param(dup, OSSL_PKEY_PARAM_PRIV_KEY, &secret) != 1);
	CHECK(EVP_PKEY_get_bn_param(dup, OSSL_PKEY_PARAM_RSA_D, &secret) != 1);
	ERR_clear_error();
	CHECK(EVP_PKEY_todata(dup, EVP_PKEY_PUBLIC_KEY, &params) == 1 && params);
	OSSL_PARAM_free(params);
	CHECK(EVP_PKEY_get_bits(dup) == EVP_PKEY_get_bits(pub));
	CHECK(EVP_PKEY_get_security_bits(dup) == EVP_PKEY_get_security_bits(pub));
	CHECK(EVP_PKEY_get_size(dup) == EVP_PKEY_get_size(pub));
	CHECK(EVP_PKEY_get_id(dup) == EVP_PKEY_get_id(pub));
	EVP_PKEY_free(pub);
	EVP_PKEY_free(dup);
	return 0;
}

/* Contexts: the key freed first, a context used twice, copies in the middle, sizes. */
int cmd_contexts(const char *uri, int n)
{
	EVP_PKEY *key = host_load(uri), *pub = host_public(key);
	EVP_MD_CTX *a = EVP_MD_CTX_new(), *b = EVP_MD_CTX_new(), *v = EVP_MD_CTX_new();
	const EVP_MD *md = EVP_PKEY_is_a(pub, "ED25519") ? NULL : EVP_sha256();
	unsigned char sig[1024];
	size_t len = 0;

	(void)n;
	CHECK(EVP_DigestSignInit(a, NULL, md, NULL, key) > 0);
	EVP_PKEY_free(key);
	CHECK(EVP_DigestSignUpdate(a, "one ", 4) > 0);
	CHECK(EVP_MD_CTX_copy_ex(b, a));
	CHECK(EVP_DigestSignUpdate(a, "two", 3) > 0 && EVP_DigestSignUpdate(b, "2", 1) > 0);
	CHECK(EVP_DigestSignFinal(a, NULL, &len) > 0 && len > 0 && len <= sizeof(sig));
	CHECK(EVP_DigestSignFinal(a, sig, &len) > 0);
	CHECK(EVP_DigestVerifyInit(v, NULL, md, NULL, pub) > 0);
	CHECK(EVP_DigestVerify(v, sig, len, (const unsigned char *)"one two", 7) == 1);
	len = sizeof(sig);
	CHECK(EVP_DigestSignFinal(b, sig, &len) > 0);
	EVP_MD_CTX_free(v);
	v = EVP_MD_CTX_new();
	CHECK(EVP_DigestVerifyInit(v, NULL, md, NULL, pub) > 0);
	CHECK(EVP_DigestVerify(v, sig, len, (const unsigned char *)"one 2", 5) == 1);
	len = 10; /* too little room is an error, and no request */
	CHECK(EVP_DigestSignFinal(b, sig, &len) <= 0);
	ERR_clear_error();
	EVP_MD_CTX_free(a);
	EVP_MD_CTX_free(b);
	EVP_MD_CTX_free(v);
	EVP_PKEY_free(pub);
	return 0;
}

static void decrypts(EVP_PKEY *key, EVP_PKEY *pub, int padding)
{
	EVP_PKEY_CTX *e = EVP_PKEY_CTX_new_from_pkey(NULL, pub, NULL), *d, *copy;
	unsigned char cipher[1024], plain[1024];
	size_t n = sizeof(cipher), m = sizeof(plain);

	CHECK(e && EVP_PKEY_encrypt_init(e) > 0 && EVP_PKEY_CTX_set_rsa_padding(e, padding) > 0);
	CHECK(EVP_PKEY_encrypt(e, cipher, &n, (const unsigned char *)"a secret", 8) > 0);
	d = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	CHECK(d && EVP_PKEY_decrypt_init(d) > 0 && EVP_PKEY_CTX_set_rsa_padding(d, padding) > 0);
	copy = EVP_PKEY_CTX_dup(d);
	EVP_PKEY_CTX_free(d);
	CHECK(copy && EVP_PKEY_decrypt(copy, plain, &m, cipher, n) > 0);
	CHECK(m == 8 && !memcmp(plain, "a secret", 8));
	EVP_PKEY_CTX_free(copy);
	EVP_PKEY_CTX_free(e);
}

static size_t derived(EVP_PKEY *key, EVP_PKEY *peer, unsigned char out[80])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	size_t n = 80;

	CHECK(ctx && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_derive_set_peer(ctx, peer) > 0);
	CHECK(EVP_PKEY_derive(ctx, out, &n) > 0);
	EVP_PKEY_CTX_free(ctx);
	return n;
}

static void agrees(EVP_PKEY *key, EVP_PKEY *pub)
{
	EVP_PKEY *other = EVP_EC_gen("P-256"), *peer;
	unsigned char a[80], b[80];
	size_t n;

	CHECK(other);
	peer = host_public(other);
	n = derived(key, peer, a);
	CHECK(n == 32 && derived(other, pub, b) == n && !memcmp(a, b, n));
	EVP_PKEY_free(peer);
	EVP_PKEY_free(other);
}

static void *secrets(void *arg)
{
	EVP_PKEY *key = arg, *pub = host_public(key);

	if (EVP_PKEY_is_a(key, "RSA")) {
		decrypts(key, pub, RSA_PKCS1_PADDING);
		decrypts(key, pub, RSA_PKCS1_OAEP_PADDING);
	} else {
		agrees(key, pub);
	}
	EVP_PKEY_free(pub);
	return NULL;
}

/* Decrypts, or agrees with somebody, in @n threads at once. */
int cmd_secret(const char *uri, int n)
{
	EVP_PKEY *key = host_load(uri);
	pthread_t t[16];
	int i;

	CHECK(key && n <= 16);
	for (i = 0; i < n; i++)
		CHECK(!pthread_create(&t[i], NULL, secrets, key));
	for (i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	EVP_PKEY_free(key);
	return 0;
}

/* Programs write the keys that they have, and read them again. */
int cmd_write(const char *uri, int n)
{
	EVP_PKEY *key = host_load(uri), *again;
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;

	CHECK(key && bio);
	for (; n >= 0; n--) {
		BIO_reset(bio);
		CHECK(n ? PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) > 0
			: PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) > 0);
		CHECK(BIO_get_mem_data(bio, &text) > 0 && strstr(text, "KEY REFERENCE"));
		again = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
		CHECK(again && EVP_PKEY_eq(key, again) == 1 && host_sign(again));
		EVP_PKEY_free(again);
	}
	BIO_reset(bio);
	CHECK(PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_256_cbc(), "x", 1, NULL, NULL) <= 0);
	CHECK(i2d_PKCS8PrivateKey_bio(bio, key, NULL, NULL, 0, NULL, NULL) <= 0);
	CHECK(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL) <= 0);
	ERR_clear_error();
	CHECK(PEM_write_bio_PUBKEY(bio, key) > 0 && i2d_PUBKEY_bio(bio, key) > 0);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return 0;
}

/* What the default provider tells about the public key, we tell as well, and the same. */
int cmd_params(const char *uri, int n)
{
	EVP_PKEY *key = host_load(uri), *pub;
	const OSSL_PARAM *row;
	unsigned char a[2048], b[2048];
	int told = 0;

	CHECK(key);
	pub = host_public(key);
	for (row = EVP_PKEY_gettable_params(pub); row && row->key; row++) {
		OSSL_PARAM theirs[2] = { *row, OSSL_PARAM_construct_end() };
		OSSL_PARAM ours[2] = { *row, OSSL_PARAM_construct_end() };
		size_t size = row->data_type == OSSL_PARAM_INTEGER ? sizeof(int) : sizeof(a);

		memset(a, 0, sizeof(a));
		memset(b, 0, sizeof(b));
		theirs[0].data = a;
		ours[0].data = b;
		theirs[0].data_size = ours[0].data_size = size;
		theirs[0].return_size = ours[0].return_size = OSSL_PARAM_UNMODIFIED;
		ERR_set_mark();
		if (!EVP_PKEY_get_params(pub, theirs) || !OSSL_PARAM_modified(&theirs[0])) {
			ERR_pop_to_mark();
			continue;
		}
		ERR_pop_to_mark();
		if (!OSSL_PARAM_locate_const(EVP_PKEY_gettable_params(key), row->key))
			host_fail(__FILE__, __LINE__, row->key);
		if (!EVP_PKEY_get_params(key, ours) || !OSSL_PARAM_modified(&ours[0]))
			host_fail(__FILE__, __LINE__, row->key);
		CHECK(ours[0].return_size == theirs[0].return_size && !memcmp(a, b, sizeof(a)));
		told++;
	}
	CHECK(told >= n);
	EVP_PKEY_free(pub);
	EVP_PKEY_free(key);
	return 0;
}

#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
static const unsigned char message[] = "a message of two parts";

static void verify_message(EVP_PKEY *key, EVP_SIGNATURE *how, unsigned char *sig, size_t len,
			   bool pieces)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

	CHECK(EVP_PKEY_verify_message_init(ctx, how, NULL) > 0);
	CHECK(EVP_PKEY_verify(ctx, sig, len, message, sizeof(message)) == 1);
	CHECK(EVP_PKEY_verify(ctx, sig, len, message, 4) != 1);
	ERR_clear_error();
	if (pieces) { /* not Ed25519 */
		CHECK(EVP_PKEY_verify_message_init(ctx, how, NULL) > 0);
		CHECK(EVP_PKEY_CTX_set_signature(ctx, sig, len) > 0);
		CHECK(EVP_PKEY_verify_message_update(ctx, message, sizeof(message)) > 0);
		CHECK(EVP_PKEY_verify_message_final(ctx) == 1);
	}
	EVP_PKEY_CTX_free(ctx);
}
#endif

/* Signing messages by the full name of the signature, since 3.4; before, says so. */
int cmd_message(const char *uri, int n)
{
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
	static const char *const names[] = { "ECDSA-SHA256", "RSA-SHA256", "ED25519" };
	EVP_PKEY *key = host_load(uri), *pub;
	EVP_SIGNATURE *ours = EVP_SIGNATURE_fetch(NULL, names[n], "provider=holdfast");
	EVP_SIGNATURE *theirs = EVP_SIGNATURE_fetch(NULL, names[n], "provider=default");
	EVP_SIGNATURE *other = EVP_SIGNATURE_fetch(NULL, names[!n], "provider=holdfast");
	unsigned char sig[1024];
	EVP_PKEY_CTX *ctx, *copy;
	size_t len = 0;
	int step;

	CHECK(key && ours && theirs && other);
	pub = host_public(key);
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	CHECK(EVP_PKEY_sign_message_init(ctx, other, NULL) <= 0); /* not a signature of this key */
	ERR_clear_error();
	for (step = 0; step < 2; step++) { /* in one piece; in two, finished by a copy */
		CHECK(EVP_PKEY_sign_message_init(ctx, ours, NULL) > 0);
		if (!step) {
			CHECK(EVP_PKEY_sign(ctx, NULL, &len, message, sizeof(message)) > 0);
			CHECK(len && len <= sizeof(sig));
			CHECK(EVP_PKEY_sign(ctx, sig, &len, message, sizeof(message)) > 0);
		} else {
			CHECK(EVP_PKEY_sign_message_update(ctx, message, 5) > 0);
			copy = EVP_PKEY_CTX_dup(ctx);
			EVP_PKEY_CTX_free(ctx);
			ctx = copy;
			CHECK(EVP_PKEY_sign_message_update(ctx, message + 5, sizeof(message) - 5) >
			      0);
			len = sizeof(sig);
			CHECK(EVP_PKEY_sign_message_final(ctx, sig, &len) > 0);
		}
		EVP_PKEY_CTX_free(ctx);
		verify_message(pub, theirs, sig, len, n < 2);
		verify_message(key, ours, sig, len, n < 2);
		ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	}
	EVP_PKEY_CTX_free(ctx);
	EVP_SIGNATURE_free(ours);
	EVP_SIGNATURE_free(theirs);
	EVP_SIGNATURE_free(other);
	EVP_PKEY_free(pub);
	EVP_PKEY_free(key);
	puts("signed");
#else
	(void)uri;
	(void)n;
	puts("not before 3.4");
#endif
	return 0;
}

/* A search of the store: by name, by fingerprint, and for what is not there. */
int cmd_search(const char *name, int n)
{
	const unsigned char unknown[32] = { 0 };
	unsigned char *der = NULL, hash[32];
	char uri[80];
	EVP_PKEY *key, *found;
	int i, len = 0;

	(void)n;
	snprintf(uri, sizeof(uri), "holdfast:%s", name);
	key = host_load(uri);
	CHECK(key && (len = i2d_PUBKEY(key, &der)) > 0);
	CHECK(EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)len, hash, NULL));
	for (i = 0; i < 4; i++) {
		OSSL_STORE_SEARCH *by = i < 2 ? OSSL_STORE_SEARCH_by_alias(i ? "no-such-key" : name)
					      : OSSL_STORE_SEARCH_by_key_fingerprint(
							EVP_sha256(), i == 2 ? hash : unknown, 32);
		OSSL_STORE_CTX *store = OSSL_STORE_open("holdfast:", NULL, NULL, NULL, NULL);
		OSSL_STORE_INFO *info;

		found = NULL;
		CHECK(by && store && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY));
		CHECK(OSSL_STORE_find(store, by));
		while (!found && !OSSL_STORE_eof(store)) {
			info = OSSL_STORE_load(store);
			if (info)
				found = OSSL_STORE_INFO_get1_PKEY(info);
			OSSL_STORE_INFO_free(info);
		}
		CHECK(i % 2 ? !found : found && EVP_PKEY_eq(found, key) == 1);
		CHECK(!OSSL_STORE_error(store));
		EVP_PKEY_free(found);
		OSSL_STORE_close(store);
		OSSL_STORE_SEARCH_free(by);
	}
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	return 0;
}
