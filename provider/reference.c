/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <string.h>

#include <openssl/asn1t.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "wire/mech.h"

/*
 * The SPKI is kept as it was encoded. The type X509_PUBKEY would decode it at once, in the
 * host's library context, and so come back to our own decoders while they are at work.
 */
struct reference_der {
	ASN1_INTEGER *version;
	ASN1_UTF8STRING *name;
	ASN1_UTF8STRING *cert;
	ASN1_STRING *spki;
};

ASN1_SEQUENCE(REFERENCE) = {
	ASN1_SIMPLE(struct reference_der, version, ASN1_INTEGER),
	ASN1_SIMPLE(struct reference_der, name, ASN1_UTF8STRING),
	ASN1_EXP_OPT(struct reference_der, cert, ASN1_UTF8STRING, 0),
	ASN1_SIMPLE(struct reference_der, spki, ASN1_SEQUENCE),
} static_ASN1_SEQUENCE_END_name(struct reference_der, REFERENCE)

static enum hf_rc check(const struct hf_reference *ref, enum hf_rc rc, struct hf_err *e)
{
	if (!hf_key_name_ok(ref->name))
		return hf_fail(e, rc, "key reference: no valid name of a key in it");
	if (ref->cert[0] && ref->cert[0] != '/')
		return hf_fail(
			e, rc,
			"key reference of %s: the path of the certificate is relative: %.100s",
			ref->name, ref->cert);
	if (!ref->spki_n)
		return hf_fail(e, rc, "key reference of %s: no public key in it", ref->name);
	return HF_OK;
}

static bool copy_text(char *out, size_t size, const ASN1_STRING *s)
{
	size_t n = s ? (size_t)ASN1_STRING_length(s) : 0;

	if (n >= size || (n && memchr(ASN1_STRING_get0_data(s), 0, n)))
		return false;
	if (n)
		memcpy(out, ASN1_STRING_get0_data(s), n);
	out[n] = '\0';
	return true;
}

static enum hf_rc from_der(const struct reference_der *d, struct hf_reference *ref,
			   struct hf_err *e)
{
	size_t n = (size_t)ASN1_STRING_length(d->spki);
	int64_t version;

	if (!ASN1_INTEGER_get_int64(&version, d->version) || version != 1)
		return hf_fail(e, HF_UNSUPPORTED,
			       "key reference: of a later version than this provider knows (1)");
	if (!copy_text(ref->name, sizeof(ref->name), d->name) || n > sizeof(ref->spki) ||
	    !copy_text(ref->cert, sizeof(ref->cert), d->cert) || (d->cert && !ref->cert[0]))
		return hf_fail(e, HF_CORRUPT, "key reference: a field is too long or empty");
	memcpy(ref->spki, ASN1_STRING_get0_data(d->spki), n);
	ref->spki_n = n;
	return check(ref, HF_CORRUPT, e);
}

/* DER and not some BER: what is decoded has to come out the same again. */
static bool is_canonical(const struct reference_der *d, const uint8_t *der, size_t n)
{
	unsigned char *again = NULL;
	int len = ASN1_item_i2d((const ASN1_VALUE *)d, &again, ASN1_ITEM_rptr(REFERENCE));
	bool same = len > 0 && (size_t)len == n && !memcmp(again, der, n);

	OPENSSL_free(again);
	return same;
}

enum hf_rc hf_reference_decode(const uint8_t *der, size_t n, struct hf_reference *ref,
			       struct hf_err *e)
{
	const unsigned char *p = der;
	struct reference_der *d;
	enum hf_rc rc;

	memset(ref, 0, sizeof(*ref));
	if (n > HF_REFERENCE_MAX)
		return hf_fail(e, HF_CORRUPT, "key reference: longer than %d bytes",
			       HF_REFERENCE_MAX);
	ERR_set_mark();
	d = (struct reference_der *)ASN1_item_d2i(NULL, &p, (long)n, ASN1_ITEM_rptr(REFERENCE));
	ERR_pop_to_mark();
	if (!d)
		return hf_fail(e, HF_CORRUPT, "key reference: malformed or truncated");
	if (p != der + n || !is_canonical(d, der, n))
		rc = hf_fail(e, HF_CORRUPT, "key reference: not DER, or something behind it");
	else
		rc = from_der(d, ref, e);
	ASN1_item_free((ASN1_VALUE *)d, ASN1_ITEM_rptr(REFERENCE));
	return rc;
}

static bool fill_der(struct reference_der *d, const struct hf_reference *ref)
{
	if (ref->cert[0]) {
		d->cert = ASN1_UTF8STRING_new();
		if (!d->cert || !ASN1_STRING_set(d->cert, ref->cert, (int)strlen(ref->cert)))
			return false;
	}
	return ASN1_INTEGER_set_int64(d->version, 1) &&
	       ASN1_STRING_set(d->name, ref->name, (int)strlen(ref->name)) &&
	       ASN1_STRING_set(d->spki, ref->spki, (int)ref->spki_n);
}

enum hf_rc hf_reference_encode(const struct hf_reference *ref, struct hf_buf *out, struct hf_err *e)
{
	struct reference_der *d;
	unsigned char *der = NULL;
	int n = -1;

	if (check(ref, HF_ARGUMENT, e))
		return HF_ARGUMENT;
	d = (struct reference_der *)ASN1_item_new(ASN1_ITEM_rptr(REFERENCE));
	if (d && fill_der(d, ref))
		n = ASN1_item_i2d((const ASN1_VALUE *)d, &der, ASN1_ITEM_rptr(REFERENCE));
	if (n > 0)
		hf_buf_add(out, der, (size_t)n);
	OPENSSL_free(der);
	ASN1_item_free((ASN1_VALUE *)d, ASN1_ITEM_rptr(REFERENCE));
	return n > 0 && !out->bad ? HF_OK
				  : hf_fail(e, HF_NO_MEMORY, "key reference: out of memory");
}

enum hf_rc hf_reference_pem(const struct hf_reference *ref, struct hf_buf *out, struct hf_err *e)
{
	HF_AUTO_BUF der = HF_BUF(HF_REFERENCE_MAX);
	BIO *bio;
	char *text;
	long n;

	if (hf_reference_encode(ref, &der, e))
		return e ? e->rc : HF_FAILED;
	bio = BIO_new(BIO_s_mem());
	if (!bio || PEM_write_bio(bio, HF_REFERENCE_PEM, "", der.p, (long)der.n) <= 0) {
		BIO_free(bio);
		return hf_fail(e, HF_NO_MEMORY, "key reference: out of memory");
	}
	n = BIO_get_mem_data(bio, &text);
	hf_buf_fmt(out,
		   "holdfast: the private key of '%s' is in this machine's token; "
		   "this file only refers to it and holds no secret.\n",
		   ref->name);
	hf_buf_add(out, text, (size_t)n);
	BIO_free(bio);
	return out->bad ? hf_fail(e, HF_NO_MEMORY, "key reference: too long") : HF_OK;
}
