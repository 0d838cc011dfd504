/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/certview.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/output.h"
#include "cli/softkey.h"
#include "wire/mech.h"

#define FILE_MAX  (1u << 20)
#define CERTS_MAX 128

char *hf_certview_name(const X509_NAME *name, char *out, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	size_t used = 0;
	long n = 0, i;

	/* With ESC_CTRL and ESC_MSB everything that is not ASCII is \XX, a NUL as well. */
	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~XN_FLAG_DN_REV) >= 0)
		n = BIO_get_mem_data(bio, &text);
	for (i = 0; i < n && used + 1 < size; i++)
		out[used++] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
	out[used] = '\0';
	BIO_free(bio);
	return out;
}

char *hf_certview_cn(const X509_NAME *name, char *out, size_t size)
{
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1), n;
	unsigned char *utf8 = NULL;

	out[0] = '\0';
	if (at < 0)
		return out;
	n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (n > 0 && !memchr(utf8, 0, (size_t)n))
		(void)hf_copy(out, size, (const char *)utf8);
	if (n >= 0)
		OPENSSL_free(utf8);
	ERR_clear_error();
	return out;
}

char *hf_certview_algorithm(const EVP_PKEY *key, char *out, size_t size)
{
	const struct hf_algorithm *a = key ? hf_softkey_algorithm(key) : NULL;
	char group[64] = "";
	const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;
	size_t n;

	if (a)
		(void)hf_copy(out, size, a->name);
	else if (key && EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group,
						       sizeof(group), &n))
		(void)snprintf(out, size, "%s %s", type ? type : "?", group);
	else
		(void)snprintf(out, size, "%s %d", type ? type : "unknown",
			       key ? EVP_PKEY_get_bits(key) : 0);
	return out;
}

int64_t hf_certview_time(const ASN1_TIME *t)
{
	struct tm tm;

	if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
		return -1;
	return timegm(&tm);
}

bool hf_certview_is_ca(X509 *cert)
{
	return X509_check_ca(cert) == 1;
}

bool hf_certview_is_own(X509 *cert)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	bool own = key && !X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) &&
		   X509_verify(cert, key) == 1;

	ERR_clear_error();
	return own;
}

bool hf_certview_issued_by(X509 *cert, X509 *issuer)
{
	EVP_PKEY *key = X509_get0_pubkey(issuer);
	bool yes = key &&
		   !X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(issuer)) &&
		   X509_verify(cert, key) == 1;

	ERR_clear_error();
	return yes;
}

X509 *hf_certview_issuer(X509 *cert, STACK_OF(X509) * list)
{
	int i;

	for (i = 0; i < sk_X509_num(list); i++)
		if (hf_certview_issued_by(cert, sk_X509_value(list, i)))
			return sk_X509_value(list, i);
	return NULL;
}

bool hf_certview_same_key(const EVP_PKEY *a, const EVP_PKEY *b)
{
	unsigned char *da = NULL, *db = NULL;
	int na = a ? i2d_PUBKEY(a, &da) : -1, nb = b ? i2d_PUBKEY(b, &db) : -1;
	bool same = na > 0 && na == nb && !memcmp(da, db, (size_t)na);

	OPENSSL_free(da);
	OPENSSL_free(db);
	ERR_clear_error();
	return same;
}

/* To the broker an RSA-PSS key is an RSA key (docs/ARCHITECTURE.md, The provider). */
static int rsa_form(const EVP_PKEY *pss, unsigned char **der)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *rsa = NULL;
	int n = -1;

	if (ctx && EVP_PKEY_todata(pss, EVP_PKEY_PUBLIC_KEY, &params) == 1 &&
	    EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &rsa, EVP_PKEY_PUBLIC_KEY, params) == 1)
		n = i2d_PUBKEY(rsa, der);
	OSSL_PARAM_free(params);
	EVP_PKEY_free(rsa);
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return n;
}

bool hf_certview_spki_sha256(X509 *cert, uint8_t out[32])
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	unsigned char *der = NULL;
	bool done;
	int n;

	if (key && EVP_PKEY_is_a(key, "RSA-PSS"))
		n = rsa_form(key, &der);
	else
		n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	done = n > 0 && EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)n, out, NULL) == 1;
	OPENSSL_free(der);
	return done;
}

static void add_serial(json_object *o, X509 *cert)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	char text[2 * 32 + 2] = "-";
	bool negative = ASN1_STRING_type(serial) & V_ASN1_NEG;
	int n = ASN1_STRING_length(serial);

	if (n > 32)
		(void)hf_copy(text, sizeof(text), "too long");
	else
		hf_hex(text + negative, sizeof(text) - 1, ASN1_STRING_get0_data(serial), (size_t)n);
	hf_out_text(o, "serial", text);
}

json_object *hf_certview_json(X509 *cert, time_t now)
{
	int64_t from = hf_certview_time(X509_get0_notBefore(cert));
	int64_t until = hf_certview_time(X509_get0_notAfter(cert));
	json_object *o = json_object_new_object();
	char text[HF_NAME_MAX];
	uint8_t hash[32];

	hf_out_text(o, "subject",
		    hf_certview_name(X509_get_subject_name(cert), text, sizeof(text)));
	hf_out_text(o, "issuer", hf_certview_name(X509_get_issuer_name(cert), text, sizeof(text)));
	add_serial(o, cert);
	if (from >= 0)
		hf_out_time(o, "not_before", (uint64_t)from);
	if (until >= 0)
		hf_out_time(o, "not_after", (uint64_t)until);
	json_object_object_add(o, "days_left", json_object_new_int64((until - now) / 86400));
	hf_out_text(o, "algorithm",
		    hf_certview_algorithm(X509_get0_pubkey(cert), text, sizeof(text)));
	if (X509_digest(cert, EVP_sha256(), hash, NULL) == 1)
		hf_out_hex(o, "sha256", hash, sizeof(hash));
	if (hf_certview_spki_sha256(cert, hash))
		hf_out_hex(o, "spki_sha256", hash, sizeof(hash));
	json_object_object_add(o, "ca", json_object_new_boolean(hf_certview_is_ca(cert)));
	return o;
}

void hf_certview_pem(X509 *cert, struct hf_buf *pem)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	if (bio && PEM_write_bio_X509(bio, cert) == 1) {
		n = BIO_get_mem_data(bio, &text);
		hf_buf_add(pem, text, (size_t)n);
	} else {
		pem->bad = true;
	}
	BIO_free(bio);
}

enum hf_rc hf_certview_read(const char *path, STACK_OF(X509) * *out, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(FILE_MAX);
	unsigned long last;
	X509 *cert;
	BIO *bio;

	*out = NULL;
	if (hf_file_read(path, false, &file, e))
		return e->rc;
	if (!file.n)
		return hf_fail(e, HF_CORRUPT, "%s is empty", path);
	bio = BIO_new_mem_buf(file.p, (int)file.n);
	*out = sk_X509_new_null();
	if (!bio || !*out) {
		BIO_free(bio);
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	}
	ERR_clear_error();
	while (sk_X509_num(*out) < CERTS_MAX && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) &&
	       sk_X509_push(*out, cert) > 0)
		;
	last = ERR_peek_last_error();
	BIO_free(bio);
	ERR_clear_error();
	if (last && ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
		return hf_fail(e, HF_CORRUPT, "%s: certificate %d is damaged", path,
			       sk_X509_num(*out) + 1);
	if (!sk_X509_num(*out))
		return hf_fail(e, HF_CORRUPT,
			       "%s: there is no certificate in PEM form in it ('holdfast convert "
			       "%s' tells what it is)",
			       path, path);
	return HF_OK;
}

void hf_certview_free(STACK_OF(X509) * list)
{
	sk_X509_pop_free(list, X509_free);
}
