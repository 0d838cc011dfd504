/* SPDX-License-Identifier: Apache-2.0 */
/* keygen.h: keys made through OpenSSL (EVP_PKEY_keygen, `openssl genpkey`), for keymgmt.c. */
#ifndef HF_PROVIDER_KEYGEN_H
#define HF_PROVIDER_KEYGEN_H

#include "key.h"

/*
 * Makes a key in a token, and never one in software: without holdfast-key there is an error.
 * Parameters: holdfast-key (its name), holdfast-token, holdfast-usage ("sign", "sign,derive",
 * "ca"...), and the ordinary ones: group, bits, primes.
 */
#define HF_KEYGEN_KEY	"holdfast-key"
#define HF_KEYGEN_TOKEN "holdfast-token"
#define HF_KEYGEN_USAGE "holdfast-usage"

/* @pss: an RSA key that is to be used with PSS only; digest, mgf1-digest, saltlen restrict it. */
void *hf_keygen_new(void *provctx, enum hf_family family, bool pss, int selection,
		    const OSSL_PARAM params[]);
void hf_keygen_free(void *gen);
int hf_keygen_set_params(void *gen, const OSSL_PARAM params[]);
const OSSL_PARAM *hf_keygen_settable(void *gen, void *provctx);
/* Takes the curve over from a key. */
int hf_keygen_set_template(void *gen, void *key);
void *hf_keygen_run(void *gen, OSSL_CALLBACK *progress, void *arg);

#endif
