/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.h: the agent's keys. What they do goes through the provider, as for any other program; the
 * wire is for what OpenSSL has no words for: making, staging, making current, retiring.
 */
#ifndef HF_AGENT_KEYS_H
#define HF_AGENT_KEYS_H

#include <openssl/evp.h>

#include "agent/settings.h"

#define HF_GENERATIONS_MAX 16

struct hf_keys;

/* One key pair. */
struct hf_generation {
	uint8_t spki_sha256[32];
	int state; /* hf_Generation_State */
	int64_t created;
};

/* What the broker knows of a key. */
struct hf_key_state {
	char name[HF_ID_SIZE], token[HF_ID_SIZE], algorithm[24];
	struct hf_generation generations[HF_GENERATIONS_MAX];
	size_t n;
	uint8_t current[32];
};

/* Loads the provider into a library context of its own; it speaks to the broker at @socket. */
struct hf_keys *hf_keys_new(const char *socket, struct hf_err *e);
void hf_keys_free(struct hf_keys *k);
OSSL_LIB_CTX *hf_keys_lib(const struct hf_keys *k);

/* HF_NO_KEY: there is none, or it is not ours to know. */
enum hf_rc hf_keys_get(struct hf_keys *k, const char *name, struct hf_key_state *out,
		       struct hf_err *e);

/* The generation of that public key; NULL if there is none. */
const struct hf_generation *hf_keys_generation(const struct hf_key_state *key,
					       const uint8_t spki_sha256[32]);

/* Makes the key; one that is there already is as good. @usage: "sign", "ca", "sign,decrypt"… */
enum hf_rc hf_keys_create(struct hf_keys *k, const char *name, const char *token,
			  const char *algorithm, const char *usage, struct hf_key_state *out,
			  struct hf_err *e);

/* A further generation; the same for the same @transaction. @algorithm "": the key's own. */
enum hf_rc hf_keys_stage(struct hf_keys *k, const char *name, const char *algorithm,
			 const uint8_t transaction[16], uint8_t spki_sha256[32], struct hf_err *e);

/* Makes @spki_sha256 the current one; the one before is usable for another @grace_s. */
enum hf_rc hf_keys_current(struct hf_keys *k, const char *name, const uint8_t spki_sha256[32],
			   uint32_t grace_s, struct hf_err *e);

/* Removes one that is not current. */
enum hf_rc hf_keys_retire(struct hf_keys *k, const char *name, const uint8_t spki_sha256[32],
			  struct hf_err *e);

/* Removes the key with all its generations; one that is not there is removed. */
enum hf_rc hf_keys_delete(struct hf_keys *k, const char *name, struct hf_err *e);

/* "holdfast:NAME" or "holdfast:sha256:HEX" as a private key; the caller's. NULL and @e. */
EVP_PKEY *hf_keys_load(struct hf_keys *k, const char *uri, struct hf_err *e);
EVP_PKEY *hf_keys_load_generation(struct hf_keys *k, const uint8_t spki_sha256[32],
				  struct hf_err *e);

/* SHA-256 of the DER SubjectPublicKeyInfo. */
bool hf_keys_spki_sha256(EVP_PKEY *key, uint8_t out[32]);

/* All that libcrypto has to say about the last error, in one line; its queue is empty then. */
char *hf_keys_why(char *out, size_t size);

#endif
