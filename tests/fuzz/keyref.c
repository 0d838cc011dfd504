/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program that uses a key hands to the provider: a key reference, a TSS2 key of somebody, a
 * holdfast: URI; and the pkcs11: URIs of a configuration. The first byte chooses.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "conf/p11uri.h"
#include "reference.h"
#include "tss2.h"
#include "uri.h"
#include "wire/mech.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* There is one encoding of a reference. */
static void fuzz_reference(const uint8_t *p, size_t n)
{
	HF_AUTO_BUF out = HF_BUF(HF_REFERENCE_MAX);
	static struct hf_reference ref;
	struct hf_err e = HF_ERR_INIT;

	if (hf_reference_decode(p, n, &ref, &e))
		return;
	if (hf_reference_encode(&ref, &out, &e) || out.n != n || memcmp(out.p, p, n))
		abort();
}

static void fuzz_tss2(const uint8_t *p, size_t n)
{
	struct hf_view der = { p, n };

	if (hf_tss2_is(der))
		EVP_PKEY_free(hf_tss2_public(NULL, der));
	if (ERR_peek_error())
		abort(); /* another provider may understand it, and its user sees our errors */
}

static void fuzz_uri(const uint8_t *p, size_t n)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_uri uri;

	(void)n;
	if (hf_uri_parse((const char *)p, &uri, &e))
		return;
	if (uri.kind == HF_URI_NAME && !hf_key_name_ok(uri.name)) /* it becomes a file's name */
		abort();
}

static void fuzz_p11uri(const uint8_t *p, size_t n)
{
	struct hf_p11uri uri;

	(void)n;
	/* what is left of it after the PIN was taken out is one again */
	if (!hf_p11uri_parse(&uri, (const char *)p) && !hf_p11uri_within("pkcs11:", uri.token))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static void (*const readers[])(const uint8_t *, size_t) = {
		fuzz_reference,
		fuzz_tss2,
		fuzz_uri,
		fuzz_p11uri,
	};
	uint8_t *copy;

	if (!n)
		return 0;
	copy = fuzz_input(p, n, true);
	readers[p[0] % HF_COUNT(readers)](copy, n - 1);
	ERR_clear_error();
	free(copy);
	return 0;
}
