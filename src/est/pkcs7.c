/* SPDX-License-Identifier: Apache-2.0 */
#include "est/pkcs7.h"

#include <openssl/x509v3.h>

#include "est/tlv.h"

#define OID_SIGNED_DATA "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
#define OID_DATA	"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"

static bool have(STACK_OF(X509) * list, X509 *cert)
{
	int i;

	for (i = 0; i < sk_X509_num(list); i++)
		if (!X509_cmp(sk_X509_value(list, i), cert))
			return true;
	return false;
}

static enum hf_rc add(struct hf_view der, unsigned max, STACK_OF(X509) * out, struct hf_err *e)
{
	const unsigned char *p = der.p;
	X509 *cert = d2i_X509(NULL, &p, (long)der.n);

	/* X509_check_purpose() fills in what is cached, and finds extensions that are broken. */
	if (!cert || p != der.p + der.n || X509_check_purpose(cert, -1, 0) != 1) {
		X509_free(cert);
		return hf_fail(e, HF_PROTOCOL, "the answer has a broken certificate in it");
	}
	if (have(out, cert)) {
		X509_free(cert);
		return HF_OK;
	}
	if (sk_X509_num(out) >= (int)max || !sk_X509_push(out, cert)) {
		X509_free(cert);
		return hf_fail(e, HF_PROTOCOL, "the answer has more than %u certificates in it",
			       max);
	}
	return HF_OK;
}

static enum hf_rc certificates(struct hf_view in, unsigned max, STACK_OF(X509) * out,
			       const char **odd, struct hf_err *e)
{
	struct hf_tlv t;

	while (in.n) {
		if (!hf_tlv_next(&in, &t))
			return hf_fail(e, HF_PROTOCOL, "the PKCS#7 of the answer is broken");
		if (t.tag != HF_TLV_SEQUENCE)
			*odd = "sends something else than certificates among them";
		else if (add(t.all, max, out, e))
			return e->rc;
	}
	return HF_OK;
}

/* EncapsulatedContentInfo: id-data; RFC 5272 wants no content, some send an empty one. */
static bool no_content(struct hf_view in, const char **odd)
{
	struct hf_tlv t, inner;

	if (!hf_tlv_want(&in, HF_TLV_OID, &t) || !HF_TLV_IS(&t, OID_DATA))
		return false;
	if (!in.n)
		return true;
	if (!hf_tlv_want(&in, HF_TLV_CONTEXT(0), &t) || in.n)
		return false;
	*odd = "sends a PKCS#7 with an empty content instead of none";
	return hf_tlv_next(&t.body, &inner) && (inner.tag & ~0x20) == HF_TLV_OCTETS &&
	       !inner.body.n && !t.body.n;
}

enum hf_rc hf_est_pkcs7(struct hf_view der, unsigned max, STACK_OF(X509) * out, const char **odd,
			struct hf_err *e)
{
	struct hf_tlv info, type, outer, data, t, certs = { 0 };
	struct hf_view in;

	*odd = NULL;
	if (!hf_tlv_want(&der, HF_TLV_SEQUENCE, &info) || der.n)
		return hf_fail(e, HF_PROTOCOL, "the answer is no PKCS#7");
	in = info.body;
	if (!hf_tlv_want(&in, HF_TLV_OID, &type) || !HF_TLV_IS(&type, OID_SIGNED_DATA) ||
	    !hf_tlv_want(&in, HF_TLV_CONTEXT(0), &outer) || in.n)
		return hf_fail(e, HF_PROTOCOL, "the answer is no PKCS#7 of the kind SignedData");
	if (!hf_tlv_want(&outer.body, HF_TLV_SEQUENCE, &data) || outer.body.n)
		return hf_fail(e, HF_PROTOCOL, "the PKCS#7 of the answer is broken");
	in = data.body;
	if (!hf_tlv_want(&in, HF_TLV_INTEGER, &t) || !hf_tlv_want(&in, HF_TLV_SET, &t) ||
	    !hf_tlv_want(&in, HF_TLV_SEQUENCE, &t))
		return hf_fail(e, HF_PROTOCOL, "the PKCS#7 of the answer is broken");
	if (!no_content(t.body, odd))
		return hf_fail(e, HF_PROTOCOL,
			       "the PKCS#7 of the answer has content, certificates only were due");
	if (in.n && in.p[0] == HF_TLV_CONTEXT(0) && !hf_tlv_next(&in, &certs))
		return hf_fail(e, HF_PROTOCOL, "the PKCS#7 of the answer is broken");
	if (in.n && in.p[0] == HF_TLV_CONTEXT(1) && !hf_tlv_next(&in, &t)) /* CRLs */
		return hf_fail(e, HF_PROTOCOL, "the PKCS#7 of the answer is broken");
	if (!hf_tlv_want(&in, HF_TLV_SET, &t) || in.n)
		return hf_fail(e, HF_PROTOCOL, "the PKCS#7 of the answer is broken");
	if (t.body.n)
		return hf_fail(e, HF_PROTOCOL,
			       "the PKCS#7 of the answer is signed, certificates only were due");
	if (certificates(certs.body, max, out, odd, e))
		return e->rc;
	if (!sk_X509_num(out))
		return hf_fail(e, HF_PROTOCOL, "there is no certificate in the answer");
	return HF_OK;
}
