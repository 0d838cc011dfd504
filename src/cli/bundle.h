/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.h: whatever a PKI hands out, told apart by its content and taken apart. Everything in it
 * comes from strangers: sizes, counts and the work of opening it are bounded.
 */
#ifndef HF_CLI_BUNDLE_H
#define HF_CLI_BUNDLE_H

#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "cli/password.h"
#include "cli/softkey.h"

#define HF_BUNDLE_MAX	     (1u << 20) /* bytes of a file */
#define HF_BUNDLE_CERTS_MAX  256
#define HF_BUNDLE_KEYS_MAX   8
#define HF_BUNDLE_ROUNDS_MAX 20000000u /* of password hashing, for a whole file */

struct hf_bundle {
	const char *path, *format; /* format: "PKCS#12", "PEM", "certificate in DER"… */
	STACK_OF(X509) * certs;
	X509_REQ *request; /* the first one */
	EVP_PKEY *keys[HF_BUNDLE_KEYS_MAX];
	unsigned n_keys, n_requests;
	unsigned references, publics, crls; /* key references of ours, public keys, CRLs */
	char other[64];		/* label of the first PEM block of another kind, escaped */
	struct hf_softkey soft; /* where private keys live; a TSS2 PRIVATE KEY; no pkey */
	struct hf_password password;
	uint64_t rounds; /* of password hashing so far */
};

/* HF_ARGUMENT, HF_CORRUPT: what is wrong with the file. hf_bundle_free() is due in any case. */
enum hf_rc hf_bundle_read(const struct hf_cli *c, const char *path, struct hf_bundle *b,
			  struct hf_err *e);
/* The same for what is in memory; @path is for messages. */
enum hf_rc hf_bundle_memory(const struct hf_cli *c, const char *path, const struct hf_buf *file,
			    struct hf_bundle *b, struct hf_err *e);
void hf_bundle_free(struct hf_bundle *b);

/* For the readers: what they find. Ownership moves; too many is HF_ARGUMENT. */
enum hf_rc hf_bundle_take_cert(struct hf_bundle *b, X509 *cert, struct hf_err *e);
enum hf_rc hf_bundle_take_key(struct hf_bundle *b, EVP_PKEY *key, struct hf_err *e);
/* HF_ARGUMENT if opening what @alg encrypts would take for ever. */
enum hf_rc hf_bundle_rounds(struct hf_bundle *b, const X509_ALGOR *alg, struct hf_err *e);
/* The same for a number that is known. */
enum hf_rc hf_bundle_count(struct hf_bundle *b, const ASN1_INTEGER *rounds, struct hf_err *e);
/* HF_ARGUMENT: no password, or a wrong one. */
enum hf_rc hf_bundle_locked(const struct hf_bundle *b, struct hf_err *e);

/* bundle_p12.c: consumes @p12. */
enum hf_rc hf_bundle_pkcs12(struct hf_bundle *b, PKCS12 *p12, struct hf_err *e);
/* bundle_der.c: the whole of @der, which is one thing, or certificates one after another. */
enum hf_rc hf_bundle_der(struct hf_bundle *b, const uint8_t *der, size_t n, struct hf_err *e);
enum hf_rc hf_bundle_pkcs7(struct hf_bundle *b, const uint8_t *der, size_t n, struct hf_err *e);
enum hf_rc hf_bundle_encrypted(struct hf_bundle *b, const X509_SIG *sig, struct hf_err *e);

#endif
