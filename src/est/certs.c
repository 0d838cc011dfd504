/* SPDX-License-Identifier: Apache-2.0 */
#include "est/certs.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/log.h"

enum hf_rc hf_certs_read(const char *pem, unsigned max, STACK_OF(X509) * out, struct hf_err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	enum hf_rc rc = bio ? HF_OK : hf_fail(e, HF_NO_MEMORY, "out of memory");
	unsigned long last;
	X509 *cert;

	ERR_clear_error();
	while (!rc && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		if (X509_check_purpose(cert, -1, 0) != 1)
			rc = hf_fail(e, HF_ARGUMENT, "has a certificate with broken extensions");
		else if (sk_X509_num(out) >= (int)max)
			rc = hf_fail(e, HF_ARGUMENT, "has more than %u certificates", max);
		else if (!hf_certs_add(out, cert))
			rc = hf_fail(e, HF_NO_MEMORY, "out of memory");
		X509_free(cert);
	}
	last = ERR_peek_last_error();
	if (!rc &&
	    (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE))
		rc = hf_fail(e, HF_ARGUMENT, "has a certificate that cannot be read");
	if (!rc && !sk_X509_num(out))
		rc = hf_fail(e, HF_ARGUMENT, "has no certificate in it (PEM is needed)");
	ERR_clear_error();
	BIO_free(bio);
	return rc;
}

void hf_certs_write(STACK_OF(X509) * list, struct hf_buf *pem)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;
	int i;

	for (i = 0; bio && i < sk_X509_num(list); i++)
		if (!PEM_write_bio_X509(bio, sk_X509_value(list, i)))
			pem->bad = true;
	n = bio ? BIO_get_mem_data(bio, &text) : -1;
	if (n < 0)
		pem->bad = true;
	else
		hf_buf_add(pem, text, (size_t)n);
	BIO_free(bio);
}

bool hf_certs_have(STACK_OF(X509) * list, X509 *cert)
{
	int i;

	for (i = 0; i < sk_X509_num(list); i++)
		if (!X509_cmp(sk_X509_value(list, i), cert))
			return true;
	return false;
}

bool hf_certs_add(STACK_OF(X509) * list, X509 *cert)
{
	if (hf_certs_have(list, cert))
		return true;
	if (!sk_X509_push(list, cert))
		return false;
	return X509_up_ref(cert) == 1;
}

bool hf_cert_is_root(X509 *cert)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	bool root;

	if (!key || X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)))
		return false;
	root = X509_verify(cert, key) == 1;
	ERR_clear_error();
	return root;
}

bool hf_cert_is_valid(X509 *cert, time_t now)
{
	time_t late = now + 300;

	return X509_cmp_time(X509_get0_notBefore(cert), &late) < 0 &&
	       X509_cmp_time(X509_get0_notAfter(cert), &now) > 0;
}

char *hf_cert_name(X509 *cert, char *out, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n = 0;

	if (bio &&
	    X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
			       XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB & ~XN_FLAG_SPC_EQ) >= 0)
		n = BIO_get_mem_data(bio, &text);
	hf_escape(out, size, n > 0 ? text : "?", n > 0 ? (size_t)n : 1);
	BIO_free(bio);
	return out;
}

bool hf_cert_sha256(X509 *cert, uint8_t out[32])
{
	unsigned n = 0;

	return X509_digest(cert, EVP_sha256(), out, &n) == 1 && n == 32;
}

void hf_certs_param(X509_VERIFY_PARAM *param, time_t now)
{
	X509_VERIFY_PARAM_set_time(param, now);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_depth(param, 8);
	/* 112 bits: no SHA-1, no RSA below 2048, whatever the system's configuration allows */
	X509_VERIFY_PARAM_set_auth_level(param, 2);
}

enum hf_rc hf_certs_verify(X509 *cert, STACK_OF(X509) * anchors, STACK_OF(X509) * others,
			   time_t now, STACK_OF(X509) * *chain, struct hf_err *e)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	enum hf_rc rc = HF_OK;
	char name[160];

	if (chain)
		*chain = NULL;
	if (!ctx || X509_STORE_CTX_init(ctx, NULL, cert, others) != 1) {
		X509_STORE_CTX_free(ctx);
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	}
	X509_STORE_CTX_set0_trusted_stack(ctx, anchors);
	hf_certs_param(X509_STORE_CTX_get0_param(ctx), now);
	if (X509_verify_cert(ctx) != 1) {
		X509 *at = X509_STORE_CTX_get_current_cert(ctx);

		rc = hf_fail(e, HF_REFUSED, "%s (at %s)",
			     X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)),
			     hf_cert_name(at ? at : cert, name, sizeof(name)));
	} else if (chain) {
		*chain = X509_STORE_CTX_get1_chain(ctx);
		if (!*chain)
			rc = hf_fail(e, HF_NO_MEMORY, "out of memory");
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return rc;
}

void hf_certs_free(STACK_OF(X509) * list)
{
	sk_X509_pop_free(list, X509_free);
}
