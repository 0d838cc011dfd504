/* SPDX-License-Identifier: Apache-2.0 */
/* broker.h: what programs ask the broker, over an uplink. */
#ifndef HF_WIRE_BROKER_H
#define HF_WIRE_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/uplink.h"

/* Which key: by name ("" for none), by generation (NULL for the current one), or both. */
struct hf_broker_key {
	const char *name;
	const uint8_t *spki_sha256; /* 32 bytes */
};

/* What is to be signed: a digest, or (@message) the whole of it. */
struct hf_broker_job {
	struct hf_broker_key key;
	const char *scheme;
	bool message;
	struct hf_view data; /* at most HF_DATA_MAX bytes */
};

/* @info is 8 KiB; it is untouched unless the result is HF_OK. */
enum hf_rc hf_broker_key_get(struct hf_uplink *l, const struct hf_broker_key *key, hf_KeyInfo *info,
			     struct hf_err *e);

/*
 * Whether the broker has a key of that public half. For files that are somebody else's, most
 * likely: it is asked for HF_BROKER_KNOWN_MS at most.
 */
#define HF_BROKER_KNOWN_MS 1000u
enum hf_rc hf_broker_key_known(struct hf_uplink *l, const uint8_t spki_sha256[32], hf_KeyInfo *info,
			       struct hf_err *e);

/* Up to 32 keys with names greater than @after. */
enum hf_rc hf_broker_key_list(struct hf_uplink *l, const char *after, hf_KeyListReply *list,
			      struct hf_err *e);

/* The signature as in X.509, at most @size bytes, made by exactly the generation asked for. */
enum hf_rc hf_broker_sign(struct hf_uplink *l, const struct hf_broker_job *job, uint8_t *sig,
			  size_t size, size_t *n, struct hf_err *e);

/* What is to be decrypted (@scheme rsa-...), or whom to agree with (@scheme ecdh). */
struct hf_broker_secret {
	struct hf_broker_key key;
	const char *scheme;
	const uint8_t *data; /* the ciphertext, or the other's public key */
	size_t n;
	const uint8_t *label; /* of OAEP, at most 512 bytes */
	size_t n_label;
	unsigned tls_client_version, tls_negotiated_version; /* of rsa-pkcs1-tls */
};

/* @out has at least HF_SECRET_MAX bytes, and is wiped by who asked. */
#define HF_SECRET_MAX 1024u
enum hf_rc hf_broker_decrypt(struct hf_uplink *l, const struct hf_broker_secret *what, uint8_t *out,
			     size_t *n, struct hf_err *e);
enum hf_rc hf_broker_derive(struct hf_uplink *l, const struct hf_broker_secret *what, uint8_t *out,
			    size_t *n, struct hf_err *e);

/*
 * Makes a key, on a connection of its own: it may take minutes, and is not repeated. After
 * HF_UNAVAILABLE or HF_TIMEOUT the key may be there nevertheless.
 */
enum hf_rc hf_broker_key_create(struct hf_uplink *l, const hf_KeyCreate *what, hf_KeyInfo *info,
				struct hf_err *e);

/* "edge-ca", or "sha256:0123456789abcdef..." for messages. Returns @out. */
const char *hf_broker_key_label(char out[80], const struct hf_broker_key *key);

#endif
