/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selftest.c: OSSL_PROVIDER_self_test(), which programs call on purpose only. What we do
 * ourselves is digests, so one of known outcome is made; the rest is the broker's, so it is
 * asked for its keys.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "provider.h"
#include "wire/broker.h"

/* FIPS 180-4's example: SHA-256 of "abc". */
static const uint8_t of_abc[32] = {
	0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
	0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
	0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
};

int hf_provider_self_test(void *provctx)
{
	const struct hf_provider *p = provctx;
	hf_KeyListReply *list = malloc(sizeof(*list));
	struct hf_err e = HF_ERR_INIT;
	uint8_t md[32];
	size_t n = sizeof(md);

	if (!list)
		(void)hf_fail(&e, HF_NO_MEMORY, "out of memory");
	else if (!EVP_Q_digest(p->libctx, "SHA256", NULL, "abc", 3, md, &n) ||
		 memcmp(md, of_abc, sizeof(md)) != 0)
		(void)hf_fail(&e, HF_FAILED, "self-test: SHA-256 gives a wrong digest");
	else if (hf_broker_key_list(p->link, "", list, &e))
		(void)hf_within(&e, "self-test");
	free(list);
	return e.rc ? HF_RAISE(p, &e) : 1;
}
