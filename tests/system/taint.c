/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For test_constant_time.py, under valgrind: what RSA left is marked as not initialised, so that
 * each jump and each address that depends on it is reported (Langley's ctgrind).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "keeper/unpad.h"

#define N 256u

static uint8_t em[N], out[N], noise[HF_TLS_PREMASTER];
static volatile uint8_t sink;

/* 00 02 PS 00, then @n bytes of message; @how: one of the things that can be wrong. */
static void fill(size_t n, const char *how)
{
	memset(em, 0x5a, N);
	em[0] = 0;
	em[1] = 2;
	em[N - n - 1] = 0;
	em[N - n] = em[N - n + 1] = 3;
	if (!strcmp(how, "head"))
		em[0] = 1;
	else if (!strcmp(how, "early"))
		em[5] = 0;
	else if (!strcmp(how, "none"))
		em[N - n - 1] = 1;
}

/* What the test has to find: leaves at the first zero. */
static size_t naive(void)
{
	size_t i = 2;

	while (i < N && em[i])
		i++;
	return i;
}

static bool once(const char *what, const char *how)
{
	const struct hf_exchange *x = hf_exchange_find("rsa-oaep-sha256");
	struct hf_view label = { (const uint8_t *)"label", 5 };
	size_t n = 0;

	/* libcrypto makes its tables before anything is secret. */
	(void)hf_unpad_oaep(em, N, x, label, out, &n);
	fill(48, how);
	VALGRIND_MAKE_MEM_UNDEFINED(em, N);
	if (!strcmp(what, "tls"))
		hf_unpad_tls(em, N, 0x0303, 0, noise, out);
	else if (!strcmp(what, "pkcs1"))
		(void)hf_unpad_pkcs1(em, N, out, &n);
	else if (!strcmp(what, "oaep"))
		(void)hf_unpad_oaep(em, N, x, label, out, &n);
	else if (!strcmp(what, "naive"))
		sink = (uint8_t)naive();
	else
		return false;
	VALGRIND_MAKE_MEM_DEFINED(em, N);
	return true;
}

int main(int argc, char **argv)
{
	static const char *const wrong[] = { "", "head", "early", "none" };
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (!once(argc > 1 ? argv[1] : "", wrong[i]))
			return 2;
	return 0;
}
