/* SPDX-License-Identifier: Apache-2.0 */
/* softkey.h: reading private keys from files of other programs, on their way into a token. */
#ifndef HF_CLI_SOFTKEY_H
#define HF_CLI_SOFTKEY_H

#include <openssl/evp.h>
#include <openssl/provider.h>

#include "base/buf.h"
#include "base/err.h"
#include "cli/cli.h"

#define HF_SOFTKEY_MAX (256u * 1024) /* bytes of a file */

struct hf_softkey {
	OSSL_PROVIDER *providers[2]; /* default, and legacy for PKCS#12 files of old */
	OSSL_LIB_CTX *ctx;	     /* where the key lives: no configuration, no other provider */
	EVP_PKEY *pkey;		     /* a key in software; NULL: @tss2 */
	struct hf_buf tss2;	     /* a TSS2 PRIVATE KEY as it was in the file */
};

void hf_softkey_init(struct hf_softkey *k);
/* Makes k->ctx. hf_softkey_free() is due in any case. */
enum hf_rc hf_softkey_open(struct hf_softkey *k, struct hf_err *e);

/*
 * PKCS#8, PKCS#1, SEC1 (PEM or DER, encrypted as well), PKCS#12, TSS2 PRIVATE KEY. Asks for a
 * password on the terminal if one is needed, unless --password-file says where it is.
 * HF_ARGUMENT, with what the file is and what to do, for anything else.
 */
enum hf_rc hf_softkey_read(const struct hf_cli *c, const char *path, struct hf_softkey *out,
			   struct hf_err *e);
void hf_softkey_free(struct hf_softkey *k);

/* What is readable of @file without asking for a password; the caller's, or NULL. */
EVP_PKEY *hf_softkey_glance(const struct hf_buf *file);

/* "ec-p256" …; NULL if no token has such keys. */
const struct hf_algorithm *hf_softkey_algorithm(const EVP_PKEY *pkey);

#endif
