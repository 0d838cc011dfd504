/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/scheme.h"

#include <string.h>

/* 2.16.840.1.101.3.4.2.x with NULL parameters: x is 1 for SHA-256, 2 for -384, 3 for -512. */
#define HASH_ID(x)                                                                                 \
	0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, (x), 0x05, 0x00
/* ecdsa-with-SHA2 1.2.840.10045.4.3.x */
#define ECDSA_ID(x) 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, (x)
/* PKCS #1 1.2.840.113549.1.1.x */
#define PKCS1_OID(x) 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, (x)
#define RSA_ID(x)    0x30, 0x0d, PKCS1_OID(x), 0x05, 0x00
#define PSS_ID(x, salt)                                                                            \
	0x30, 0x41, PKCS1_OID(10), 0x30, 0x34, 0xa0, 0x0f, HASH_ID(x), 0xa1, 0x1c, 0x30, 0x1a,     \
		PKCS1_OID(8), HASH_ID(x), 0xa2, 0x03, 0x02, 0x01, (salt)
#define DIGEST_INFO(x, n) 0x30, (n) + 17, HASH_ID(x), 0x04, (n)

/* id-sha1 1.3.14.3.2.26 */
#define SHA1_INFO                                                                                  \
	0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14

#define BYTES(...)                                                                                 \
	{                                                                                          \
		(const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })         \
	}

static const struct {
	const char *name;
	struct hf_view id, digest_info;
} encodings[] = {
	{ "ecdsa-sha256", BYTES(ECDSA_ID(2)), { NULL, 0 } },
	{ "ecdsa-sha384", BYTES(ECDSA_ID(3)), { NULL, 0 } },
	{ "ecdsa-sha512", BYTES(ECDSA_ID(4)), { NULL, 0 } },
	{ "rsa-pkcs1-sha1", BYTES(RSA_ID(5)), BYTES(SHA1_INFO) },
	{ "rsa-pkcs1-sha256", BYTES(RSA_ID(11)), BYTES(DIGEST_INFO(1, 32)) },
	{ "rsa-pkcs1-sha384", BYTES(RSA_ID(12)), BYTES(DIGEST_INFO(2, 48)) },
	{ "rsa-pkcs1-sha512", BYTES(RSA_ID(13)), BYTES(DIGEST_INFO(3, 64)) },
	{ "rsa-pss-sha256", BYTES(PSS_ID(1, 32)), { NULL, 0 } },
	{ "rsa-pss-sha384", BYTES(PSS_ID(2, 48)), { NULL, 0 } },
	{ "rsa-pss-sha512", BYTES(PSS_ID(3, 64)), { NULL, 0 } },
	{ "ed25519", BYTES(0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70), { NULL, 0 } },
};

struct hf_view hf_scheme_algorithm_id(const struct hf_scheme *scheme)
{
	size_t i;

	for (i = 0; i < HF_COUNT(encodings); i++)
		if (!strcmp(encodings[i].name, scheme->name))
			return encodings[i].id;
	return (struct hf_view){ NULL, 0 };
}

const struct hf_scheme *hf_scheme_of_digest_info(struct hf_view info, struct hf_view *digest)
{
	size_t i;

	for (i = 0; i < HF_COUNT(encodings); i++) {
		const struct hf_scheme *s = hf_scheme_find(encodings[i].name);
		struct hf_view prefix = encodings[i].digest_info;

		if (!prefix.n || !s || info.n != prefix.n + s->hash_len ||
		    memcmp(info.p, prefix.p, prefix.n) != 0)
			continue;
		*digest = (struct hf_view){ info.p + prefix.n, s->hash_len };
		return s;
	}
	return NULL;
}
