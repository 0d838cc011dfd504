/* SPDX-License-Identifier: Apache-2.0 */
/* import.h: a key that was made elsewhere goes into a token, and what belongs to it. */
#ifndef HF_CLI_IMPORT_H
#define HF_CLI_IMPORT_H

#include <openssl/x509.h>

#include "cli/softkey.h"

struct hf_import {
	const char *id;
	const char *path;  /* of the file that it comes from, for messages; or a pkcs11: URI */
	const char *token; /* NULL: the default token */
	const char *usage; /* NULL: sign */
	bool stage;	   /* a further generation of a key that there is, not yet current */
};

/*
 * Wraps @k for the token and puts it there; NULL: what->path is the URI of a key that is in the
 * token. c->session->rep.result.key is about it then. Only the wrapped form leaves the process.
 */
enum hf_rc hf_import(struct hf_cli *c, const struct hf_import *what, struct hf_softkey *k,
		     struct hf_err *e);

/* Registers @cert as that of the ca key @id; session->rep.result.key is about it then. */
enum hf_rc hf_key_set_issuer(struct hf_cli *c, const char *id, X509 *cert, struct hf_err *e);

/* The key reference of @key; @cert: the certificate beside it, or NULL. */
enum hf_rc hf_key_reference_pem(const hf_KeyInfo *key, const char *cert, struct hf_buf *pem,
				struct hf_err *e);

#endif
