/* SPDX-License-Identifier: Apache-2.0 */
/* bench-evp URI SECONDS: EVP_DigestSign with a key, as any program does it. */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/store.h>

#include "round.h"

struct signer {
	EVP_PKEY *key;
	unsigned char message[64], sig[1024];
	size_t n;
};

static bool sign(void *arg)
{
	struct signer *s = arg;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok;

	s->message[0]++;
	s->n = sizeof(s->sig);
	ok = ctx && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, s->key, NULL) == 1 &&
	     EVP_DigestSign(ctx, s->sig, &s->n, s->message, sizeof(s->message)) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool verify(const struct signer *s)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx &&
		  EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, s->key, NULL) == 1 &&
		  EVP_DigestVerify(ctx, s->sig, s->n, s->message, sizeof(s->message)) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

static EVP_PKEY *load(const char *uri)
{
	OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
	EVP_PKEY *key = NULL;

	while (store && !key && !OSSL_STORE_eof(store)) {
		OSSL_STORE_INFO *info = OSSL_STORE_load(store);

		if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
			key = OSSL_STORE_INFO_get1_PKEY(info);
		OSSL_STORE_INFO_free(info);
	}
	(void)OSSL_STORE_close(store);
	return key;
}

int main(int argc, char **argv)
{
	struct signer s = { .n = 0 };
	bool ok;

	if (argc != 3) {
		(void)fprintf(stderr, "usage: bench-evp URI SECONDS\n");
		return 2;
	}
	s.key = load(argv[1]);
	/* The first signature loads the key into the TPM; the last one is looked at. */
	ok = s.key && sign(&s) && hf_round_run(strtod(argv[2], NULL), sign, &s) && verify(&s);
	if (!ok)
		ERR_print_errors_fp(stderr);
	EVP_PKEY_free(s.key);
	return ok ? 0 : 1;
}
