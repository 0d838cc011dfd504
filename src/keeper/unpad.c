/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/unpad.h"

#include <string.h>

#include "keeper/pss.h"
#include "keeper/public.h"

#define EM_MAX 1024u

/* Without this a compiler could find out that a mask has two values only, and branch on it. */
static uint32_t opaque(uint32_t mask)
{
	__asm__("" : "+r"(mask));
	return mask;
}

/* All ones if @v is 0, else 0. */
static uint32_t is_zero(uint32_t v)
{
	return opaque((uint32_t)0 - ((~v & (v - 1)) >> 31));
}

static uint32_t equal(uint32_t a, uint32_t b)
{
	return is_zero(a ^ b);
}

static uint32_t choose(uint32_t mask, uint32_t a, uint32_t b)
{
	return (mask & a) | (~mask & b);
}

/* Both masks for a < b, of numbers below 2^31. */
static uint32_t less(uint32_t a, uint32_t b)
{
	return opaque((uint32_t)0 - ((a - b) >> 31));
}

/* Moves the last n - @from bytes of @em to the front of @out. @from is secret until now. */
static bool take(const uint8_t *em, size_t n, uint32_t good, uint32_t from, uint8_t *out,
		 size_t *out_n)
{
	*out_n = 0;
	if (!good)
		return false;
	*out_n = n - from;
	memcpy(out, em + from, *out_n);
	return true;
}

bool hf_unpad_oaep(const uint8_t *em, size_t n, const struct hf_exchange *x, struct hf_view label,
		   uint8_t *out, size_t *out_n)
{
	uint8_t b[EM_MAX], want[64];
	uint32_t good, searching = ~0u, start = 0, i;
	size_t h = x->hash_len;
	bool ok;

	*out_n = 0;
	if (n > sizeof(b) || n < 2 * h + 2 || h > sizeof(want) ||
	    hf_hash(x->hash, label, want, NULL))
		return false;
	memcpy(b, em, n);
	if (!hf_mgf1(b + 1, h, x->hash, h, b + 1 + h, n - h - 1) ||
	    !hf_mgf1(b + 1 + h, n - h - 1, x->hash, h, b + 1, h))
		return false;
	good = is_zero(b[0]);
	for (i = 0; i < h; i++)
		good &= equal(b[1 + h + i], want[i]);
	for (i = (uint32_t)(2 * h + 1); i < n; i++) {
		start = choose(searching & equal(b[i], 1), i + 1, start);
		good &= ~searching | is_zero(b[i]) | equal(b[i], 1);
		searching &= is_zero(b[i]);
	}
	good &= ~searching;
	ok = take(b, n, good, start, out, out_n);
	explicit_bzero(b, sizeof(b));
	return ok;
}

/* 00 02 PS 00 M, PS without zeros and of at least 8 bytes; *@start is where M begins. */
static uint32_t check_pkcs1(const uint8_t *em, size_t n, uint32_t *start)
{
	uint32_t good = is_zero(em[0]) & equal(em[1], 2), searching = ~0u, i;

	*start = 0;
	for (i = 2; i < n; i++) {
		*start = choose(searching & is_zero(em[i]), i + 1, *start);
		searching &= ~is_zero(em[i]);
	}
	return good & ~searching & ~less(*start, 11);
}

bool hf_unpad_pkcs1(const uint8_t *em, size_t n, uint8_t *out, size_t *out_n)
{
	uint32_t start, good;

	*out_n = 0;
	if (n < 11 || n > EM_MAX)
		return false;
	good = check_pkcs1(em, n, &start);
	return take(em, n, good, start, out, out_n);
}

void hf_unpad_tls(const uint8_t *em, size_t n, uint32_t client, uint32_t negotiated,
		  const uint8_t random[static HF_TLS_PREMASTER],
		  uint8_t out[static HF_TLS_PREMASTER])
{
	uint32_t start, good, version, i;
	const uint8_t *m;

	if (n < HF_TLS_PREMASTER + 11 || n > EM_MAX) {
		memcpy(out, random, HF_TLS_PREMASTER);
		return;
	}
	/* The length is fixed, and so is the place. */
	m = em + n - HF_TLS_PREMASTER;
	good = check_pkcs1(em, n, &start) & equal(start, (uint32_t)(n - HF_TLS_PREMASTER));
	version = (uint32_t)m[0] << 8 | m[1];
	good &= equal(version, client) | (equal(version, negotiated) & ~is_zero(negotiated));
	for (i = 0; i < HF_TLS_PREMASTER; i++)
		out[i] = (uint8_t)choose(good, m[i], random[i]);
}
