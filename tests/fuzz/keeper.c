/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the keeper reads without a token: key files of other programs, public keys, and whatever
 * somebody wants a ca key to sign. The first byte chooses.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "keeper/caprofile.h"
#include "keeper/der.h"
#include "keeper/keyfile.h"
#include "keeper/public.h"
#include "fuzz.h"

#define NOW  1800000000 /* 2027-01-15, as in tests/unit/cafixture.h */
#define DAYS 90

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool same(struct hf_view a, struct hf_view b)
{
	return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}

/* What is accepted is the same key after it was written and read again. */
static void fuzz_keyfile(struct hf_view in)
{
	HF_AUTO_BUF der = HF_BUF(HF_KEYFILE_MAX);
	HF_AUTO_BUF pem = HF_BUF(HF_KEYFILE_MAX);
	HF_AUTO_BUF again = HF_BUF(HF_KEYFILE_MAX);
	struct hf_keyfile key, second;
	struct hf_err e = HF_ERR_INIT;

	if (hf_keyfile_decode(in, &der, &key, &e) || hf_keyfile_encode(&key, &pem, &e))
		return;
	if (hf_keyfile_decode(HF_VIEW_BUF(&pem), &again, &second, &e) ||
	    key.parent != second.parent || !same(key.pub, second.pub) ||
	    !same(key.priv, second.priv))
		abort();
}

static void fuzz_keyfile_any(struct hf_view in)
{
	HF_AUTO_BUF der = HF_BUF(HF_KEYFILE_MAX);
	struct hf_err e = HF_ERR_INIT;
	struct hf_keyfile key;

	(void)hf_keyfile_decode_any(in, &der, &key, &e);
}

static void fuzz_public(struct hf_view in)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_public *pub;

	if (hf_public_new(&pub, in, &e))
		return;
	if (hf_public_strong(pub->pkey, &e)) /* taken, but weak */
		abort();
	hf_public_free(pub);
}

/* DER of SEQUENCE { @tbs, algorithm, BIT STRING {} }: enough for libcrypto to look inside. */
static X509 *certificate_of(struct hf_view tbs)
{
	static const uint8_t tail[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
					0x3d, 0x04, 0x03, 0x02, 0x03, 0x01, 0x00 };
	size_t body = tbs.n + sizeof(tail);
	uint8_t *der = malloc(body + 4);
	const uint8_t *at = der;
	X509 *x;

	if (!der || body > 0xffff)
		abort();
	memcpy(der, (uint8_t[]){ 0x30, 0x82, (uint8_t)(body >> 8), (uint8_t)body }, 4);
	memcpy(der + 4, tbs.p, tbs.n);
	memcpy(der + 4 + tbs.n, tail, sizeof(tail));
	x = d2i_X509(NULL, &at, (long)body + 4);
	free(der);
	return x;
}

/* A second opinion, by libcrypto, about a certificate for somebody else's key. */
static void judge(struct hf_view tbs)
{
	X509 *x = certificate_of(tbs);
	const ASN1_INTEGER *serial = x ? X509_get0_serialNumber(x) : NULL;
	time_t latest = NOW + 5 * 60 + (DAYS + 1) * 86400;

	if (!x || X509_get_version(x) != 2 || X509_check_ca(x) ||
	    X509_cmp_time(X509_get0_notAfter(x), &latest) > 0 || serial->length < 8 ||
	    serial->length > 20 || (serial->type & V_ASN1_NEG))
		abort();
	X509_free(x);
}

/* Two bytes: how long the signer's SPKI is, which comes first; the rest is to be signed. */
static void fuzz_ca(struct hf_view in)
{
	hf_CaProfile profile = { .max_days = DAYS, .self_max_days = 3650 };
	struct hf_ca_input ca = { .profile = &profile, .now = NOW };
	struct hf_err e = HF_ERR_INIT;
	hf_Issued out = hf_Issued_init_zero;
	size_t n;

	if (in.n < 2 || (n = (size_t)(in.p[0] << 8 | in.p[1])) > in.n - 2 || in.n > 60000)
		return;
	ca.spki = (struct hf_view){ in.p + 2, n };
	ca.data = (struct hf_view){ in.p + 2 + n, in.n - 2 - n };
	ca.scheme = hf_scheme_find("ecdsa-sha256");
	if (!hf_ca_check(&ca, &out, &e) && out.kind == hf_Issued_Kind_CERTIFICATE)
		judge(ca.data);
}

static void fuzz_issuer(struct hf_view in)
{
	hf_KeeperParsed out = hf_KeeperParsed_init_zero;
	struct hf_err e = HF_ERR_INIT;
	size_t n;

	if (in.n < 2 || (n = (size_t)(in.p[0] << 8 | in.p[1])) > in.n - 2)
		return;
	(void)hf_ca_certificate((struct hf_view){ in.p + 2, n },
				(struct hf_view){ in.p + 2 + n, in.n - 2 - n }, &out, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static void (*const readers[])(struct hf_view) = {
		fuzz_keyfile, fuzz_keyfile_any, fuzz_public, fuzz_ca, fuzz_issuer,
	};
	uint8_t *copy;

	if (n < 2)
		return 0;
	copy = fuzz_input(p, n, false);
	readers[p[0] % HF_COUNT(readers)]((struct hf_view){ copy, n - 1 });
	ERR_clear_error();
	free(copy);
	return 0;
}
