/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cafixture.h: what a client of a ca key makes with libcrypto before it asks for a
 * signature. All of it is relative to NOW; functions fail the test, not the caller.
 */
#ifndef HF_TESTS_CAFIXTURE_H
#define HF_TESTS_CAFIXTURE_H

#include <openssl/x509.h>

#include "base/buf.h"
#include "keeper/caprofile.h"

#define NOW 1800000000 /* 2027-01-15 */
#define DAYS(n) ((int64_t)(n) * 86400)

struct ca_keys {
	EVP_PKEY *own, *other, *rsa_ca, *rsa1024, *rsa2048, *p224, *ed25519;
};
extern struct ca_keys ca_keys;

int ca_set_up(void **state);
int ca_tear_down(void **state);

/* Good ones: for another key, and for our own. */
X509 *ca_new_leaf(void);
X509 *ca_new_self(void);

void ca_set_times(X509 *x, int64_t from, int64_t to);
void ca_set_serial(X509 *x, const char *hex);
void ca_add_name(X509_NAME *name, int nid, const char *value);
/* Replaces; NULL removes. */
void ca_set_ext(X509 *x, int nid, const char *value);
void ca_add_raw(X509 *x, const char *oid, int critical, const char *value, int n);

/* What i2d_ gave, which has to be evaluated before it: hence the pointer. */
struct hf_view ca_der_of(int n, unsigned char **p);
void ca_release(struct hf_view v);
struct hf_view ca_tbs_of(X509 *x, EVP_PKEY *signer, const EVP_MD *md);
struct hf_view ca_issuer_name(void); /* static */

/* Profile: 90 days, 3650 for itself, pathlen 0, @glob if not NULL; the issuer ends in 60 days. */
enum hf_rc ca_check_as(EVP_PKEY *signer, const char *scheme, struct hf_view data, const char *glob,
		       hf_Issued *out, struct hf_err *e);
enum hf_rc ca_check(struct hf_view data, const char *glob, hf_Issued *out, struct hf_err *e);

#endif
