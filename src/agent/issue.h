/* SPDX-License-Identifier: Apache-2.0 */
/* issue.h: certificates that are made here: by their own key, or by a CA of ours. RFC 5280. */
#ifndef HF_AGENT_ISSUE_H
#define HF_AGENT_ISSUE_H

#include <openssl/x509v3.h>

#include "agent/settings.h"

/* What goes into one. Everything is borrowed. */
struct hf_issue {
	OSSL_LIB_CTX *lib;
	X509_NAME *subject;
	EVP_PKEY *key;	       /* of the subject; the public half is enough with an issuer */
	GENERAL_NAMES *sans;   /* NULL: none */
	const char (*eku)[64]; /* names or OIDs */
	size_t n_eku;
	bool ca;
	int64_t pathlen; /* of a CA; -1: none */
	int64_t days, now;
	X509 *issuer; /* NULL: self-signed with @key */
	EVP_PKEY *issuer_key;
};

/*
 * A v3 certificate with a random serial number of 16 octets, notBefore a little in the past, and
 * notAfter not after the issuer's. NULL and @e. The key's refusal is HF_REFUSED or whatever it
 * says.
 */
X509 *hf_issue(const struct hf_issue *i, struct hf_err *e);

/* The subject of a configuration, in its order. NULL and @e. */
X509_NAME *hf_issue_subject(const struct hf_credential_conf *c, struct hf_err *e);
/* The names of one; *@out is NULL if there are none. */
enum hf_rc hf_issue_sans(const struct hf_credential_conf *c, GENERAL_NAMES **out, struct hf_err *e);

#endif
