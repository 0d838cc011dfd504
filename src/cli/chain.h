/* SPDX-License-Identifier: Apache-2.0 */
/* chain.h: which of some certificates is whose. Pure, but for what libcrypto caches in them. */
#ifndef HF_CLI_CHAIN_H
#define HF_CLI_CHAIN_H

#include <openssl/x509.h>
#include <stdbool.h>

#define HF_CHAIN_MAX 16

enum hf_chain_role {
	HF_CHAIN_LEAF,
	HF_CHAIN_INTERMEDIATE,
	HF_CHAIN_ROOT,
	HF_CHAIN_OTHER, /* of another chain */
	HF_CHAIN_AGAIN, /* a copy of one before */
};

struct hf_chain {
	int path[HF_CHAIN_MAX]; /* indices: leaf first, each issued by the next; no root but a leaf
				   that is one */
	unsigned n;
	bool complete; /* the last one's issuer is among the certificates, or it is its own */
	bool has_key;  /* the leaf is that of the key */
};

/*
 * The chain of the certificate that belongs to one of @keys, else of the first one that has
 * issued none of the others and is no root; @keys may hold NULL.
 */
void hf_chain_find(STACK_OF(X509) * certs, EVP_PKEY *const *keys, unsigned n_keys,
		   struct hf_chain *out);

/* What certificate @i is in it. */
enum hf_chain_role hf_chain_role(STACK_OF(X509) * certs, const struct hf_chain *chain, int i);
const char *hf_chain_role_text(enum hf_chain_role role);

/* Index of the issuer of @i among @certs, -1 if it is not there. Itself, if it is its own. */
int hf_chain_issuer(STACK_OF(X509) * certs, int i);

#endif
