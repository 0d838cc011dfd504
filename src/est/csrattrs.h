/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csrattrs.h: what the server wants to see in a CSR (RFC 7030, section 4.5; RFC 9908). Only
 * read here: csr.c decides what becomes of it. Pure.
 */
#ifndef HF_EST_CSRATTRS_H
#define HF_EST_CSRATTRS_H

#include <openssl/x509.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define HF_CSRATTRS_EXTS_MAX 32u
#define HF_CSRATTRS_RDNS_MAX 32u
#define HF_CSRATTRS_KEYS_MAX 16u /* more kinds of keys, or digests, are not looked at */

/* One RDN of a template: with a value it is to be used, without to be filled in. */
struct hf_csr_rdn {
	int set; /* attributes of one RDN have the same number */
	ASN1_OBJECT *type;
	ASN1_TYPE *value; /* NULL: fill in */
};

struct hf_csr_ext {
	ASN1_OBJECT *type;
	bool critical;
	ASN1_OCTET_STRING *value; /* NULL: fill in */
};

enum { HF_CSR_OTHER, HF_CSR_EC, HF_CSR_RSA };

/* A kind of key that will do. */
struct hf_csr_key {
	int type;  /* HF_CSR_… */
	int curve; /* NID; 0: any, -1: one that libcrypto does not know */
	int bits;  /* of an RSA key; 0: any */
};

struct hf_csrattrs {
	bool challenge_password; /* proof of possession is demanded */
	struct hf_csr_key keys[HF_CSRATTRS_KEYS_MAX];
	unsigned n_keys; /* one of these; none: any */
	int digests[HF_CSRATTRS_KEYS_MAX];
	unsigned n_digests; /* NIDs; one of these; none: any */
	bool template;	    /* RFC 9908, section 3.4: then nothing else counted */
	struct hf_csr_rdn rdns[HF_CSRATTRS_RDNS_MAX];
	unsigned n_rdns;
	struct hf_csr_ext exts[HF_CSRATTRS_EXTS_MAX];
	unsigned n_exts;
	unsigned unknown; /* attributes that are not understood, and were left out */
};

/* Reads CsrAttrs. HF_PROTOCOL if malformed. hf_csrattrs_finish() in any case. */
enum hf_rc hf_csrattrs_read(struct hf_csrattrs *a, struct hf_view der, struct hf_err *e);
void hf_csrattrs_finish(struct hf_csrattrs *a);

/* For people: "EC prime256v1", "RSA 2048", "RSA", "of another kind". Returns @out. */
char *hf_csr_key_text(const struct hf_csr_key *key, char *out, size_t size);

#endif
