/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/pkcs11_uri.h"

#include <openssl/pem.h>
#include <string.h>

#include "keeper/der.h"

#define LABEL	 "PKCS#11 PROVIDER URI"
#define ABOUT	 "PKCS#11 Provider URI v1.0"
#define DER_TEXT 0x1a /* VisibleString */
#define DER_UTF8 0x0c
#define SCHEME	 "pkcs11:"

static bool read_der(struct hf_view in, char uri[HF_P11_URI_MAX])
{
	struct hf_view seq, about, text;

	if (!hf_der_take(&in, HF_DER_SEQUENCE, &seq) || in.n ||
	    !hf_der_take(&seq, DER_TEXT, &about) || !hf_der_take(&seq, DER_UTF8, &text) || seq.n)
		return false;
	if (about.n != strlen(ABOUT) || memcmp(about.p, ABOUT, about.n))
		return false;
	if (text.n >= HF_P11_URI_MAX || text.n < strlen(SCHEME) ||
	    memcmp(text.p, SCHEME, strlen(SCHEME)) || memchr(text.p, 0, text.n))
		return false;
	memcpy(uri, text.p, text.n);
	uri[text.n] = '\0';
	return true;
}

enum hf_rc hf_p11_file_decode(struct hf_view pem, char uri[HF_P11_URI_MAX], struct hf_err *e)
{
	BIO *in = pem.n && pem.n <= 8192 ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	char *label = NULL, *header = NULL;
	unsigned char *der = NULL;
	bool good;
	long n;

	good = in && PEM_read_bio(in, &label, &header, &der, &n) == 1 && !strcmp(label, LABEL) &&
	       !header[0] && n > 0 && read_der((struct hf_view){ der, (size_t)n }, uri);
	OPENSSL_free(label);
	OPENSSL_free(header);
	OPENSSL_free(der);
	BIO_free(in);
	return good ? HF_OK : hf_fail(e, HF_CORRUPT, "key file: not the PEM file of a " LABEL);
}

enum hf_rc hf_p11_file_encode(const char *uri, struct hf_buf *pem, struct hf_err *e)
{
	HF_AUTO_BUF seq = HF_BUF(HF_P11_URI_MAX + 64);
	HF_AUTO_BUF der = HF_BUF(HF_P11_URI_MAX + 64);
	BIO *out = BIO_new(BIO_s_mem());
	long n = 0;
	char *p;

	hf_der_put(&seq, DER_TEXT, (const uint8_t *)ABOUT, strlen(ABOUT));
	hf_der_put(&seq, DER_UTF8, (const uint8_t *)uri, strlen(uri));
	hf_der_put(&der, HF_DER_SEQUENCE, seq.p, seq.n);
	if (out && !seq.bad && !der.bad && strlen(uri) < HF_P11_URI_MAX &&
	    PEM_write_bio(out, LABEL, "", der.p, (long)der.n) > 0)
		n = BIO_get_mem_data(out, &p);
	if (n > 0)
		hf_buf_add(pem, p, (size_t)n);
	BIO_free(out);
	return n > 0 && !pem->bad ? HF_OK : hf_fail(e, HF_FAILED, "key file: the URI is too long");
}
