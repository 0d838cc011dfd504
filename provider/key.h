/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key.h: a key of ours: which one it is, and its public half as an EVP_PKEY of the
 * default provider. Immutable once made, apart from what is learnt about its usage,
 * and so shared: dup is a reference.
 */
#ifndef HF_PROVIDER_KEY_H
#define HF_PROVIDER_KEY_H

#include <stdatomic.h>
#include <stdbool.h>

#include <openssl/evp.h>

#include "provider.h"
#include "reference.h"
#include "uri.h"
#include "wire/broker.h"
#include "wire/mech.h"
#include "wire/packet.h"

struct hf_key {
	atomic_uint refs;
	const struct hf_provider *provider; /* libcrypto keeps it alive as long as its keys */
	EVP_PKEY *pub;			    /* NULL only between new and import */
	enum hf_family family;
	bool pss;		 /* rsassaPss: PSS only, perhaps within bounds; pub tells which */
	bool remote;		 /* the broker has the private half; else public only */
	struct hf_reference ref; /* name may be "", for a key known by its hash */
	uint8_t spki_sha256[32]; /* as the broker knows it: an rsassaPss key is an RSA key there */
	_Atomic uint32_t usage;	 /* HF_USAGE_*; 0: not learnt yet */
};

/* What OpenSSL calls keys of this kind: "RSA", "RSA-PSS", "EC", "ED25519". */
const char *hf_key_type(const struct hf_key *key);

/* An empty public key, for import. NULL: out of memory. */
struct hf_key *hf_key_new(const struct hf_provider *p);
struct hf_key *hf_key_up(struct hf_key *key);
void hf_key_free(struct hf_key *key); /* NULL is fine */

/* Takes @pub over, also on failure. */
enum hf_rc hf_key_set_public(struct hf_key *key, EVP_PKEY *pub, struct hf_err *e);

/* Asks the broker once. Pins the generation that is current now, or the certificate's. */
enum hf_rc hf_key_open_uri(const struct hf_provider *p, const struct hf_uri *uri,
			   struct hf_key **key, struct hf_err *e);

/* The same for @pub, taken from a file that may be somebody else's: see hf_broker_key_known(). */
enum hf_rc hf_key_open_known(const struct hf_provider *p, const EVP_PKEY *pub, struct hf_key **key,
			     struct hf_err *e);

/* Does not talk to the broker. The certificate that @ref names wins where it is readable. */
enum hf_rc hf_key_open_reference(const struct hf_provider *p, const struct hf_reference *ref,
				 struct hf_key **key, struct hf_err *e);

/* A key without the private half, of the same public one. NULL: out of memory. */
struct hf_key *hf_key_public_only(const struct hf_key *key);

/* Usage of the key; asks the broker the first time. */
enum hf_rc hf_key_usage(struct hf_key *key, uint32_t *usage, struct hf_err *e);

/* Makes an RSA key an RSA-PSS key, with the restrictions in @params (digest, mgf1-digest, saltlen).
 */
enum hf_rc hf_key_restrict(struct hf_key *key, const OSSL_PARAM params[], struct hf_err *e);

/* Has a key made; see hf_broker_key_create(). */
enum hf_rc hf_key_create(const struct hf_provider *p, const hf_KeyCreate *what, struct hf_key **key,
			 struct hf_err *e);

/* See hf_broker_decrypt() and hf_broker_derive(); @what->key is filled in here. */
enum hf_rc hf_key_decrypt(struct hf_key *key, struct hf_broker_secret *what, uint8_t *out,
			  size_t *n, struct hf_err *e);
enum hf_rc hf_key_derive(struct hf_key *key, struct hf_broker_secret *what, uint8_t *out, size_t *n,
			 struct hf_err *e);

/* See hf_broker_sign(). */
enum hf_rc hf_key_sign(struct hf_key *key, const struct hf_scheme *scheme, bool message,
		       struct hf_view data, uint8_t *sig, size_t size, size_t *n, struct hf_err *e);

#endif
