/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/mech.h"

#include <stdio.h>
#include <string.h>

#include "wire/packet.h"

const struct hf_algorithm hf_algorithms[] = {
	{ "ec-p256", HF_FAMILY_EC, 256, "P-256", 1 },
	{ "ec-p384", HF_FAMILY_EC, 384, "P-384", 2 },
	{ "ec-p521", HF_FAMILY_EC, 521, "P-521", 3 },
	{ "rsa-2048", HF_FAMILY_RSA, 2048, NULL, 5 },
	{ "rsa-3072", HF_FAMILY_RSA, 3072, NULL, 12 },
	{ "rsa-4096", HF_FAMILY_RSA, 4096, NULL, 25 },
	{ "ed25519", HF_FAMILY_ED25519, 255, "ED25519", 1 },
	{ NULL, HF_FAMILY_EC, 0, NULL, 0 },
};

const struct hf_scheme hf_schemes[] = {
	{ "ecdsa-sha256", HF_FAMILY_EC, HF_PAD_NONE, "SHA2-256", "SHA256", 32 },
	{ "ecdsa-sha384", HF_FAMILY_EC, HF_PAD_NONE, "SHA2-384", "SHA384", 48 },
	{ "ecdsa-sha512", HF_FAMILY_EC, HF_PAD_NONE, "SHA2-512", "SHA512", 64 },
	{ "rsa-pkcs1-sha1", HF_FAMILY_RSA, HF_PAD_PKCS1, "SHA1", "SHA1", 20 },
	{ "rsa-pkcs1-sha256", HF_FAMILY_RSA, HF_PAD_PKCS1, "SHA2-256", "SHA256", 32 },
	{ "rsa-pkcs1-sha384", HF_FAMILY_RSA, HF_PAD_PKCS1, "SHA2-384", "SHA384", 48 },
	{ "rsa-pkcs1-sha512", HF_FAMILY_RSA, HF_PAD_PKCS1, "SHA2-512", "SHA512", 64 },
	{ "rsa-pss-sha256", HF_FAMILY_RSA, HF_PAD_PSS, "SHA2-256", "SHA256", 32 },
	{ "rsa-pss-sha384", HF_FAMILY_RSA, HF_PAD_PSS, "SHA2-384", "SHA384", 48 },
	{ "rsa-pss-sha512", HF_FAMILY_RSA, HF_PAD_PSS, "SHA2-512", "SHA512", 64 },
	{ "ed25519", HF_FAMILY_ED25519, HF_PAD_NONE, NULL, NULL, 0 },
	{ NULL, HF_FAMILY_EC, HF_PAD_NONE, NULL, NULL, 0 },
};

const struct hf_exchange hf_exchanges[] = {
	{ "rsa-pkcs1", HF_FAMILY_RSA, HF_USAGE_DECRYPT, HF_PAD_PKCS1, NULL, 0 },
	{ "rsa-pkcs1-tls", HF_FAMILY_RSA, HF_USAGE_DECRYPT, HF_PAD_TLS, NULL, 0 },
	{ "rsa-oaep-sha1", HF_FAMILY_RSA, HF_USAGE_DECRYPT, HF_PAD_OAEP, "SHA1", 20 },
	{ "rsa-oaep-sha256", HF_FAMILY_RSA, HF_USAGE_DECRYPT, HF_PAD_OAEP, "SHA2-256", 32 },
	{ "rsa-oaep-sha384", HF_FAMILY_RSA, HF_USAGE_DECRYPT, HF_PAD_OAEP, "SHA2-384", 48 },
	{ "rsa-oaep-sha512", HF_FAMILY_RSA, HF_USAGE_DECRYPT, HF_PAD_OAEP, "SHA2-512", 64 },
	{ "ecdh", HF_FAMILY_EC, HF_USAGE_DERIVE, HF_PAD_NONE, NULL, 0 },
	{ NULL, HF_FAMILY_EC, 0, HF_PAD_NONE, NULL, 0 },
};

const struct hf_algorithm *hf_algorithm_find(const char *name)
{
	const struct hf_algorithm *a;

	for (a = hf_algorithms; a->name; a++)
		if (!strcmp(a->name, name))
			return a;
	return NULL;
}

const struct hf_scheme *hf_scheme_find(const char *name)
{
	const struct hf_scheme *s;

	for (s = hf_schemes; s->name; s++)
		if (!strcmp(s->name, name))
			return s;
	return NULL;
}

const struct hf_exchange *hf_exchange_find(const char *name)
{
	const struct hf_exchange *x;

	for (x = hf_exchanges; x->name; x++)
		if (!strcmp(x->name, name))
			return x;
	return NULL;
}

bool hf_exchange_gives(const struct hf_exchange *x, unsigned bits, size_t n)
{
	size_t width = (bits + 7) / 8, padding = x->pad == HF_PAD_OAEP ? 2 * x->hash_len + 2 : 11;

	if (x->usage == HF_USAGE_DERIVE)
		return n == width;
	if (x->pad == HF_PAD_TLS)
		return n == HF_TLS_PREMASTER;
	return n + padding <= width;
}

const struct hf_scheme *hf_scheme_for(enum hf_family family, enum hf_padding pad, size_t hash_len)
{
	const struct hf_scheme *s;

	for (s = hf_schemes; s->name; s++)
		if (s->family == family && s->pad == pad && s->hash_len == hash_len)
			return s;
	return NULL;
}

static bool alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool hf_key_name_ok(const char *name)
{
	size_t i;

	if (!alnum(name[0]))
		return false;
	for (i = 1; name[i]; i++)
		if (i >= 63 || (!alnum(name[i]) && !strchr("._-", name[i])))
			return false;
	return true;
}

static const struct {
	const char *name;
	unsigned bit;
} usages[] = {
	{ "sign", HF_USAGE_SIGN },
	{ "ca", HF_USAGE_CA },
	{ "decrypt", HF_USAGE_DECRYPT },
	{ "derive", HF_USAGE_DERIVE },
};

unsigned hf_usage_parse(const char *text)
{
	unsigned usage = 0;
	size_t n, i;

	for (;; text += n + 1) {
		n = strcspn(text, ",");
		for (i = 0; i < sizeof(usages) / sizeof(usages[0]); i++)
			if (n == strlen(usages[i].name) && !strncmp(text, usages[i].name, n))
				break;
		if (i == sizeof(usages) / sizeof(usages[0]))
			return 0;
		usage |= usages[i].bit;
		if (!text[n])
			break;
	}
	if ((usage & HF_USAGE_CA) && usage != HF_USAGE_CA)
		return 0;
	return usage;
}

void hf_usage_text(char out[64], unsigned usage)
{
	size_t i, used = 0;

	out[0] = '\0';
	for (i = 0; i < sizeof(usages) / sizeof(usages[0]); i++)
		if (usage & usages[i].bit)
			used += (size_t)snprintf(out + used, 64 - used, "%s%s", used ? "," : "",
						 usages[i].name);
}
