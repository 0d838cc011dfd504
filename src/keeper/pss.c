/* SPDX-License-Identifier: Apache-2.0 */
/* libcrypto has this too, behind RSA_ functions that are deprecated and want an RSA object. */
#include "keeper/pss.h"

#include <openssl/rand.h>
#include <string.h>

#include "keeper/public.h"

#define HASH_MAX 64u
#define SEED_MAX 1024u /* of OAEP the rest of the modulus */

bool hf_mgf1(uint8_t *p, size_t n, const char *hash, size_t hash_len, const uint8_t *seed,
	     size_t seed_n)
{
	uint8_t text[SEED_MAX + 4] = { 0 }, block[HASH_MAX];
	size_t done, i;

	if (!hash_len || hash_len > HASH_MAX || seed_n > SEED_MAX)
		return false;
	memcpy(text, seed, seed_n);
	for (done = 0; done < n; done += hash_len) {
		if (hf_hash(hash, (struct hf_view){ text, seed_n + 4 }, block, NULL))
			return false;
		for (i = 0; i < hash_len && done + i < n; i++)
			p[done + i] ^= block[i];
		text[seed_n +
		     3]++; /* 4 KiB of mask would need more than a byte; moduli are shorter */
	}
	explicit_bzero(text, sizeof(text));
	return true;
}

bool hf_pss_encode(uint8_t *em, size_t n, unsigned bits, const struct hf_scheme *scheme,
		   const uint8_t *digest)
{
	size_t h = scheme->hash_len, db = n - h - 1;
	uint8_t text[8 + 2 * HASH_MAX] = { 0 };
	uint8_t *salt = text + 8 + h, *hash = em + db;

	/* A modulus of a multiple of 8 bits: emLen is its length, one bit on top is cleared. */
	if (!h || h > HASH_MAX || bits % 8 || bits / 8 != n || n < 2 * h + 2)
		return false;
	memcpy(text + 8, digest, h);
	if (RAND_bytes(salt, (int)h) != 1 ||
	    hf_hash(scheme->hash, (struct hf_view){ text, 8 + 2 * h }, hash, NULL))
		return false;
	memset(em, 0, db);
	em[db - h - 1] = 1;
	memcpy(em + db - h, salt, h);
	if (!hf_mgf1(em, db, scheme->hash, h, hash, h))
		return false;
	em[0] &= 0x7f;
	em[n - 1] = 0xbc;
	return true;
}
