/* SPDX-License-Identifier: Apache-2.0 */
/* DER says nowhere what it is: one kind after the other is tried, the strictest first. */
#include <string.h>

#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>

#include "cli/bundle.h"

static enum hf_rc take_certs(struct hf_bundle *b, STACK_OF(X509) * list, struct hf_err *e)
{
	enum hf_rc rc = HF_OK;
	int i;

	for (i = 0; !rc && i < sk_X509_num(list); i++) {
		X509 *cert = sk_X509_value(list, i);

		rc = X509_up_ref(cert) == 1 ? hf_bundle_take_cert(b, cert, e)
					    : hf_fail(e, HF_FAILED, "%s", b->path);
	}
	return rc;
}

/* Signed data with certificates, whatever it has signed (RFC 5652; certs-only: RFC 8551, 3.8). */
enum hf_rc hf_bundle_pkcs7(struct hf_bundle *b, const uint8_t *der, size_t n, struct hf_err *e)
{
	const unsigned char *p = der;
	PKCS7 *p7 = d2i_PKCS7(NULL, &p, (long)n);
	STACK_OF(X509) *list = NULL;
	enum hf_rc rc;

	if (p7 && PKCS7_type_is_signed(p7) && p7->d.sign)
		list = p7->d.sign->cert;
	if (!list || !sk_X509_num(list))
		rc = hf_fail(e, p7 ? HF_ARGUMENT : HF_CORRUPT,
			     p7 ? "%s: PKCS#7 without a certificate in it"
				: "%s: PKCS#7 that is damaged or cut off",
			     b->path);
	else
		rc = take_certs(b, list, e);
	PKCS7_free(p7);
	return rc;
}

enum hf_rc hf_bundle_encrypted(struct hf_bundle *b, const X509_SIG *sig, struct hf_err *e)
{
	const X509_ALGOR *alg;
	PKCS8_PRIV_KEY_INFO *info = NULL;
	EVP_PKEY *key = NULL;
	char word[HF_PASSWORD_MAX];
	int n;

	X509_SIG_get0(sig, &alg, NULL);
	if (hf_bundle_rounds(b, alg, e))
		return e->rc;
	n = hf_password_get(word, sizeof(word), 0, &b->password);
	if (n >= 0)
		info = PKCS8_decrypt_ex(sig, word, n, b->soft.ctx, NULL);
	explicit_bzero(word, sizeof(word));
	if (info)
		key = EVP_PKCS82PKEY_ex(info, b->soft.ctx, NULL);
	PKCS8_PRIV_KEY_INFO_free(info);
	return key ? hf_bundle_take_key(b, key, e) : hf_bundle_locked(b, e);
}

/* ---------------------------------------------------------------- kinds */

/* Each: *@mine tells whether it is one; if so the result says what became of it. */
static enum hf_rc try_cert(struct hf_bundle *b, const uint8_t *der, size_t n, bool *mine,
			   struct hf_err *e)
{
	const unsigned char *p = der, *end = der + n;
	enum hf_rc rc = HF_OK;
	X509 *cert;

	for (cert = d2i_X509(NULL, &p, (long)n); cert && !rc;
	     cert = p < end ? d2i_X509(NULL, &p, end - p) : NULL) {
		*mine = true;
		rc = hf_bundle_take_cert(b, cert, e);
	}
	if (*mine && !rc && p != end)
		rc = hf_fail(e, HF_CORRUPT, "%s: there is something else behind the certificate",
			     b->path);
	return rc;
}

static enum hf_rc try_request(struct hf_bundle *b, const uint8_t *der, size_t n, bool *mine,
			      struct hf_err *e)
{
	const unsigned char *p = der;
	X509_REQ *request = d2i_X509_REQ(NULL, &p, (long)n);

	(void)e;
	*mine = request && p == der + n;
	b->n_requests += *mine;
	if (*mine && !b->request)
		b->request = request;
	else
		X509_REQ_free(request);
	return HF_OK;
}

static enum hf_rc try_pkcs12(struct hf_bundle *b, const uint8_t *der, size_t n, bool *mine,
			     struct hf_err *e)
{
	const unsigned char *p = der;
	PKCS12 *made = PKCS12_init_ex(NID_pkcs7_data, b->soft.ctx, NULL), *p12 = made;

	if (!d2i_PKCS12(&p12, &p, (long)n)) {
		if (p12 == made)
			PKCS12_free(made);
		return HF_OK;
	}
	*mine = true;
	return hf_bundle_pkcs12(b, p12, e);
}

static enum hf_rc try_pkcs7(struct hf_bundle *b, const uint8_t *der, size_t n, bool *mine,
			    struct hf_err *e)
{
	/* 1.2.840.113549.1.7.2 within the first bytes, after SEQUENCE and its length */
	static const uint8_t oid[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
				       0xf7, 0x0d, 0x01, 0x07, 0x02 };

	*mine = n > 24 && memmem(der, 18, oid, sizeof(oid));
	return *mine ? hf_bundle_pkcs7(b, der, n, e) : HF_OK;
}

static enum hf_rc try_tss2(struct hf_bundle *b, const uint8_t *der, size_t n, bool *mine,
			   struct hf_err *e)
{
	static const uint8_t oid[] = { 0x06, 0x06, 0x67, 0x81, 0x05, 0x0a, 0x01 };

	(void)e;
	*mine = n > 16 && memmem(der, 12, oid, sizeof(oid));
	if (*mine)
		hf_buf_add(&b->soft.tss2, der, n);
	return HF_OK;
}

static enum hf_rc try_encrypted(struct hf_bundle *b, const uint8_t *der, size_t n, bool *mine,
				struct hf_err *e)
{
	const unsigned char *p = der;
	X509_SIG *sig = d2i_X509_SIG(NULL, &p, (long)n);
	const X509_ALGOR *alg = NULL;
	enum hf_rc rc = HF_OK;

	if (sig)
		X509_SIG_get0(sig, &alg, NULL);
	*mine = alg && alg->parameter && alg->parameter->type == V_ASN1_SEQUENCE;
	if (*mine)
		rc = hf_bundle_encrypted(b, sig, e);
	X509_SIG_free(sig);
	return rc;
}

static enum hf_rc try_key(struct hf_bundle *b, const uint8_t *der, size_t n, bool *mine,
			  struct hf_err *e)
{
	const unsigned char *p = der;
	EVP_PKEY *key = d2i_AutoPrivateKey_ex(NULL, &p, (long)n, b->soft.ctx, NULL);

	*mine = key != NULL;
	return key ? hf_bundle_take_key(b, key, e) : HF_OK;
}

static enum hf_rc try_crl(struct hf_bundle *b, const uint8_t *der, size_t n, bool *mine,
			  struct hf_err *e)
{
	const unsigned char *p = der;
	X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)n);

	(void)e;
	*mine = crl != NULL;
	b->crls += *mine;
	X509_CRL_free(crl);
	return HF_OK;
}

static enum hf_rc try_public(struct hf_bundle *b, const uint8_t *der, size_t n, bool *mine,
			     struct hf_err *e)
{
	const unsigned char *p = der;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)n);

	(void)e;
	*mine = key != NULL;
	b->publics += *mine;
	EVP_PKEY_free(key);
	return HF_OK;
}

static const struct {
	const char *format;
	enum hf_rc (*take)(struct hf_bundle *b, const uint8_t *der, size_t n, bool *mine,
			   struct hf_err *e);
} kinds[] = {
	{ "PKCS#12", try_pkcs12 },
	{ "PKCS#7", try_pkcs7 },
	{ "TSS2 PRIVATE KEY in DER", try_tss2 },
	{ "certificate in DER", try_cert },
	{ "certificate request in DER", try_request },
	{ "CRL in DER", try_crl },
	{ "public key in DER", try_public },
	{ "encrypted private key in DER", try_encrypted },
	{ "private key in DER", try_key },
};

enum hf_rc hf_bundle_der(struct hf_bundle *b, const uint8_t *der, size_t n, struct hf_err *e)
{
	enum hf_rc rc = HF_OK;
	bool mine = false;
	size_t i;

	for (i = 0; n && der[0] == 0x30 && i < HF_COUNT(kinds); i++) {
		rc = kinds[i].take(b, der, n, &mine, e);
		if (!mine)
			continue;
		if (!b->format)
			b->format = kinds[i].format;
		return rc;
	}
	return hf_fail(e, n && der[0] == 0x30 ? HF_CORRUPT : HF_ARGUMENT,
		       "%s: no certificate, key or request that can be read (PEM, DER, PKCS#7 or "
		       "PKCS#12), or one that is damaged or cut off",
		       b->path);
}
