/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mech.h: what keys there are and what they do: tables and their look-ups.
 * Names are wire ABI. Key names live here too: they travel and become file names.
 */
#ifndef HF_WIRE_MECH_H
#define HF_WIRE_MECH_H

#include <stdbool.h>
#include <stddef.h>

enum hf_family { HF_FAMILY_RSA, HF_FAMILY_EC, HF_FAMILY_ED25519 };
enum hf_padding { HF_PAD_NONE, HF_PAD_PKCS1, HF_PAD_PSS, HF_PAD_OAEP, HF_PAD_TLS };

struct hf_algorithm {
	const char *name; /* "ec-p256" */
	enum hf_family family;
	unsigned bits;	   /* of the modulus or the field */
	const char *group; /* OpenSSL's name of the curve: "P-256"; NULL for RSA */
	unsigned cost;	   /* of one signature, P-256 = 1; for fair queues */
};

/* SHA-1 is for old peers that know nothing else; ca keys never sign with it. */
struct hf_scheme {
	const char *name; /* "rsa-pss-sha256" */
	enum hf_family family;
	enum hf_padding pad;  /* PSS: MGF1 with the same hash, salt as long as the hash */
	const char *hash;     /* OpenSSL's name: "SHA2-256"; NULL: signs the message itself */
	const char *tls_hash; /* as people write it: "SHA256" */
	size_t hash_len;      /* bytes of a digest; 0 if hash is NULL */
};

/* How a key decrypts, or agrees on a secret. */
struct hf_exchange {
	const char *name; /* "rsa-oaep-sha256" */
	enum hf_family family;
	unsigned usage; /* HF_USAGE_DECRYPT or HF_USAGE_DERIVE */
	enum hf_padding
		pad; /* OAEP: MGF1 with the same hash; TLS: a premaster secret, RFC 5246 7.4.7.1 */
	const char *hash; /* of OAEP, OpenSSL's name; else NULL */
	size_t hash_len;
};

#define HF_TLS_PREMASTER 48u /* bytes, RFC 5246 7.4.7.1 */

extern const struct hf_algorithm hf_algorithms[]; /* ends with name == NULL */
extern const struct hf_scheme hf_schemes[];	  /* ends with name == NULL */
extern const struct hf_exchange hf_exchanges[];	  /* ends with name == NULL */

/* NULL if there is none of that name. */
const struct hf_algorithm *hf_algorithm_find(const char *name);
const struct hf_scheme *hf_scheme_find(const char *name);
const struct hf_exchange *hf_exchange_find(const char *name);
/* Whether a result of @n bytes can be one of @x with a key of @bits. */
bool hf_exchange_gives(const struct hf_exchange *x, unsigned bits, size_t n);
/* The scheme of a family, padding and digest length; NULL if there is none. */
const struct hf_scheme *hf_scheme_for(enum hf_family family, enum hf_padding pad, size_t hash_len);

/*
 * A key's name: 1 to 63 of A-Z a-z 0-9 . _ -, the first one a letter or digit.
 * Safe as a file name, in a URI and in a log line.
 */
bool hf_key_name_ok(const char *name);

/*
 * Usage as text: "sign,ca" <-> HF_USAGE_* bits. Parsing gives 0 for anything
 * unknown, and for ca together with sign: then ca would protect nothing.
 */
unsigned hf_usage_parse(const char *text);
void hf_usage_text(char out[64], unsigned usage);

#endif
