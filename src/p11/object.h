/* SPDX-License-Identifier: Apache-2.0 */
/* object.h: keys, certificates and derived secrets as PKCS#11 objects, and their attributes. */
#ifndef HF_P11_OBJECT_H
#define HF_P11_OBJECT_H

#include <openssl/x509.h>

#include "p11/p11.h"
#include "wire/mech.h"

/*
 * As much of the SHA-256 of an SPKI as a CKA_ID has: NSS keeps and asks for 20 bytes, which are
 * a SHA-1 elsewhere, and does not find what has more.
 */
#define HF_P11_ID 20u

/* Immutable once it is in the list, apart from the last two. */
struct hf_p11_key {
	char name[64];
	uint8_t id[32]; /* SHA-256 of its SPKI */
	const struct hf_algorithm *algorithm;
	uint32_t usage;
	bool imported, exported;
	EVP_PKEY *pub;
	uint8_t *spki; /* DER */
	size_t n_spki;
	unsigned seen;	    /* the last round in which it was current, or had a certificate */
	unsigned certified; /* the last one in which it had */
};

/* A certificate of one of the keys, from the directory of certificates. */
struct hf_p11_cert {
	uint8_t id[32];
	X509 *x;
	uint8_t *der;
	size_t n_der;
	char label[64];
	unsigned seen;
};

/* What C_DeriveKey made. Belongs to a session. */
struct hf_p11_secret {
	struct hf_p11_secret *next;
	unsigned long number;
	ck_session_handle_t session;
	ck_key_type_t type;
	bool sensitive, extractable;
	bool base_inside; /* the private key has never been outside of a token */
	size_t n;
	uint8_t value[72];
};

/* One object, looked up. */
struct hf_p11_object {
	ck_object_class_t class;
	const struct hf_p11_key *key;	    /* of CKO_PRIVATE_KEY, CKO_PUBLIC_KEY */
	const struct hf_p11_cert *cert;	    /* of CKO_CERTIFICATE */
	const struct hf_p11_secret *secret; /* of CKO_SECRET_KEY */
};

/*
 * Handles: what and which, and never another meaning while the process lives. A key that
 * the broker no longer has keeps its handle, and fails when it is used.
 */
#define HF_P11_PUBLIC  0x01000000ul
#define HF_P11_PRIVATE 0x02000000ul
#define HF_P11_CERT    0x03000000ul
#define HF_P11_SECRET  0x04000000ul

bool hf_p11_object(const struct hf_p11 *p, ck_object_handle_t handle, struct hf_p11_object *out);

/*
 * Brings the list up to date with the broker and the directory of certificates, at most
 * twice a second. The lock is held before and after, and given up meanwhile.
 */
enum hf_rc hf_p11_refresh(struct hf_p11 *p, struct hf_err *e);
void hf_p11_objects_free(struct hf_p11 *p);
/* The secrets of one session (0: of all) are wiped and gone. */
void hf_p11_secrets_free(struct hf_p11 *p, ck_session_handle_t session);

/* Fills @out with the handles of what is there now and matches. False: out of memory. */
bool hf_p11_match(const struct hf_p11 *p, const struct ck_attribute *templ, unsigned long n,
		  ck_object_handle_t **out, size_t *n_out);

/* As C_GetAttributeValue for one attribute. */
ck_rv_t hf_p11_attribute(const struct hf_p11_object *o, struct ck_attribute *a);

/* Certificates of the directory that belong to @keys. Called without the lock. */
struct hf_p11_cert **hf_p11_certs_read(OSSL_LIB_CTX *ctx, const char *directory, size_t *n);
void hf_p11_cert_free(struct hf_p11_cert *c);

#endif
