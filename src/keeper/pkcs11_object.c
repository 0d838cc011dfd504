/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11_object.c: finding objects and reading their attributes, suspiciously. */
#include <openssl/x509.h>
#include <string.h>

#include "keeper/pkcs11.h"
#include "keeper/pkcs11_error.h"
#include "keeper/pkcs11_key.h"
#include "keeper/pkcs11_public.h"
#include "keeper/public.h"

CK_RV hf_p11_get(struct hf_p11 *t, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type,
		 struct hf_p11_answer *a)
{
	CK_ATTRIBUTE get = { type, a->bytes, HF_P11_ANSWER };
	CK_RV rv;

	hf_p11_answer_begin(a, HF_P11_ANSWER);
	rv = t->f->C_GetAttributeValue(t->session, o, &get, 1);
	a->n = get.ulValueLen;
	if (rv == CKR_OK && get.pValue != a->bytes)
		rv = HF_P11_RV_LIED;
	rv = hf_p11_answer_end(a, HF_P11_ANSWER, rv);
	if (rv != CKR_OK)
		a->n = 0;
	return rv;
}

bool hf_p11_is_true(struct hf_p11 *t, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type)
{
	struct hf_p11_answer a;

	return hf_p11_get(t, o, type, &a) == CKR_OK && a.n == sizeof(CK_BBOOL) &&
	       a.bytes[0] == CK_TRUE;
}

static CK_RV get_number(struct hf_p11 *t, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, CK_ULONG *out)
{
	struct hf_p11_answer a;
	CK_RV rv = hf_p11_get(t, o, type, &a);

	if (rv == CKR_OK && a.n != sizeof(*out))
		rv = HF_P11_RV_LIED;
	if (rv == CKR_OK)
		memcpy(out, a.bytes, sizeof(*out));
	return rv;
}

CK_RV hf_p11_find(struct hf_p11 *t, CK_ATTRIBUTE *match, CK_ULONG n_match, CK_OBJECT_HANDLE *out,
		  CK_ULONG max, CK_ULONG *n)
{
	CK_OBJECT_HANDLE one;
	CK_RV rv = t->f->C_FindObjectsInit(t->session, match, n_match), end;
	CK_ULONG got = 1;

	*n = 0;
	if (rv != CKR_OK)
		return rv;
	/* One by one: there is nothing to overrun, and some modules return fewer than there are. */
	while (rv == CKR_OK && got == 1 && *n <= max) {
		got = 0;
		one = CK_INVALID_HANDLE;
		rv = t->f->C_FindObjects(t->session, &one, 1, &got);
		if (rv == CKR_OK && got > 1)
			rv = HF_P11_RV_LIED;
		if (rv == CKR_OK && got == 1) {
			if (*n < max)
				out[*n] = one;
			(*n)++;
		}
	}
	end = t->f->C_FindObjectsFinal(t->session);
	if (rv == CKR_OK)
		rv = end;
	/* Without a login, that nothing is seen means nothing. */
	return rv == CKR_OK && !*n ? hf_p11_session_state(t) : rv;
}

static enum hf_rc from_rsa(struct hf_p11 *t, CK_OBJECT_HANDLE o, struct hf_buf *out,
			   struct hf_err *e)
{
	struct hf_p11_answer n, x;
	CK_RV rv = hf_p11_get(t, o, CKA_MODULUS, &n);

	if (rv == CKR_OK)
		rv = hf_p11_get(t, o, CKA_PUBLIC_EXPONENT, &x);
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "read the public key");
	return hf_p11_rsa_spki((struct hf_view){ n.bytes, n.n }, (struct hf_view){ x.bytes, x.n },
			       out, e);
}

static enum hf_rc from_ec(struct hf_p11 *t, CK_OBJECT_HANDLE o, struct hf_buf *out,
			  struct hf_err *e)
{
	struct hf_p11_answer params, point;
	CK_RV rv = hf_p11_get(t, o, CKA_EC_PARAMS, &params);

	if (rv == CKR_OK)
		rv = hf_p11_get(t, o, CKA_EC_POINT, &point);
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "read the public key");
	return hf_p11_ec_spki((struct hf_view){ params.bytes, params.n },
			      (struct hf_view){ point.bytes, point.n }, out, e);
}

static enum hf_rc from_certificate(struct hf_p11 *t, CK_OBJECT_HANDLE o, struct hf_buf *out,
				   struct hf_err *e)
{
	struct hf_p11_answer a;
	CK_RV rv = hf_p11_get(t, o, CKA_VALUE, &a);
	const unsigned char *p = a.bytes;
	unsigned char *der = NULL;
	X509 *cert;
	int n = 0;

	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "read the certificate");
	cert = d2i_X509(NULL, &p, (long)a.n);
	if (cert && X509_get0_pubkey(cert))
		n = i2d_PUBKEY(X509_get0_pubkey(cert), &der);
	if (n > 0)
		hf_buf_add(out, der, (size_t)n);
	OPENSSL_free(der);
	X509_free(cert);
	return n > 0 && !out->bad
		       ? HF_OK
		       : hf_fail(e, HF_CORRUPT, "the certificate beside the key is malformed");
}

enum hf_rc hf_p11_spki(struct hf_p11 *t, CK_OBJECT_HANDLE o, struct hf_buf *out, struct hf_err *e)
{
	CK_ULONG class = 0, type = 0;
	CK_RV rv = get_number(t, o, CKA_CLASS, &class);

	if (rv == CKR_OK && class == CKO_CERTIFICATE)
		return from_certificate(t, o, out, e);
	if (rv == CKR_OK)
		rv = get_number(t, o, CKA_KEY_TYPE, &type);
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "read the kind of key");
	if (type == CKK_RSA)
		return from_rsa(t, o, out, e);
	if (type == CKK_EC || type == CKK_EC_EDWARDS)
		return from_ec(t, o, out, e);
	return hf_fail(e, HF_UNSUPPORTED, "the key is neither RSA nor EC (CKK 0x%lx)",
		       (unsigned long)type);
}
