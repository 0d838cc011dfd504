/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bundle.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/file.h"
#include "base/log.h"

#define BLOCKS_MAX 512u /* of PEM */

enum hf_rc hf_bundle_take_cert(struct hf_bundle *b, X509 *cert, struct hf_err *e)
{
	if (sk_X509_num(b->certs) < HF_BUNDLE_CERTS_MAX && sk_X509_push(b->certs, cert) > 0)
		return HF_OK;
	X509_free(cert);
	return hf_fail(e, HF_ARGUMENT, "%s: more than %d certificates", b->path,
		       HF_BUNDLE_CERTS_MAX);
}

enum hf_rc hf_bundle_take_key(struct hf_bundle *b, EVP_PKEY *key, struct hf_err *e)
{
	if (b->n_keys < HF_BUNDLE_KEYS_MAX) {
		b->keys[b->n_keys++] = key;
		return HF_OK;
	}
	EVP_PKEY_free(key);
	return hf_fail(e, HF_ARGUMENT, "%s: more than %d private keys", b->path,
		       HF_BUNDLE_KEYS_MAX);
}

enum hf_rc hf_bundle_count(struct hf_bundle *b, const ASN1_INTEGER *rounds, struct hf_err *e)
{
	uint64_t n = 0;

	if (rounds && (ASN1_INTEGER_get_uint64(&n, rounds) != 1 || n > HF_BUNDLE_ROUNDS_MAX))
		n = HF_BUNDLE_ROUNDS_MAX + 1;
	b->rounds += n;
	ERR_clear_error();
	if (b->rounds <= HF_BUNDLE_ROUNDS_MAX)
		return HF_OK;
	return hf_fail(e, HF_ARGUMENT,
		       "%s: its password is to be hashed more than %u times, which nobody does who "
		       "wants the file to be opened",
		       b->path, HF_BUNDLE_ROUNDS_MAX);
}

/* PBKDF2 or scrypt (RFC 8018, RFC 7914). */
static enum hf_rc count_kdf(struct hf_bundle *b, const X509_ALGOR *kdf, struct hf_err *e)
{
	enum hf_rc rc = HF_OK;

	if (OBJ_obj2nid(kdf->algorithm) == NID_id_pbkdf2) {
		PBKDF2PARAM *p =
			ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), kdf->parameter);

		rc = hf_bundle_count(b, p ? p->iter : NULL, e);
		PBKDF2PARAM_free(p);
	} else if (OBJ_obj2nid(kdf->algorithm) == NID_id_scrypt) {
		SCRYPT_PARAMS *p =
			ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(SCRYPT_PARAMS), kdf->parameter);
		uint64_t cost = 0, parallel = 0;

		/* libcrypto bounds the memory, N * r, to 32 MiB; not p. */
		if (p && (ASN1_INTEGER_get_uint64(&cost, p->costParameter) != 1 ||
			  ASN1_INTEGER_get_uint64(&parallel, p->parallelizationParameter) != 1 ||
			  parallel > 64 || cost > HF_BUNDLE_ROUNDS_MAX))
			rc = hf_fail(e, HF_ARGUMENT, "%s: scrypt with such parameters has no end",
				     b->path);
		SCRYPT_PARAMS_free(p);
	}
	ERR_clear_error();
	return rc;
}

enum hf_rc hf_bundle_rounds(struct hf_bundle *b, const X509_ALGOR *alg, struct hf_err *e)
{
	enum hf_rc rc;

	if (!alg || !alg->parameter || alg->parameter->type != V_ASN1_SEQUENCE)
		return HF_OK; /* nothing that libcrypto would open */
	/* The parameters of both begin with the key derivation (RFC 8018, A.4 and A.5). */
	if (OBJ_obj2nid(alg->algorithm) == NID_pbes2 || OBJ_obj2nid(alg->algorithm) == NID_pbmac1) {
		PBE2PARAM *p = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), alg->parameter);

		rc = p ? count_kdf(b, p->keyfunc, e) : HF_OK;
		PBE2PARAM_free(p);
	} else {
		PBEPARAM *p = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), alg->parameter);

		rc = hf_bundle_count(b, p ? p->iter : NULL, e);
		PBEPARAM_free(p);
	}
	ERR_clear_error();
	return rc;
}

enum hf_rc hf_bundle_locked(const struct hf_bundle *b, struct hf_err *e)
{
	if (b->password.none)
		return hf_fail(e, HF_ARGUMENT,
			       "%s is encrypted, and there is no password: give --password-file, "
			       "or run this on a terminal",
			       b->path);
	return hf_fail(e, HF_ARGUMENT, "%s: wrong password, or damaged", b->path);
}

/* ---------------------------------------------------------------- PEM */

struct block {
	char *name, *header;
	unsigned char *data;
	long n;
};

static void block_free(struct block *k)
{
	OPENSSL_free(k->name);
	OPENSSL_free(k->header);
	OPENSSL_clear_free(k->data, (size_t)k->n);
}

/* The key of an old form may be encrypted by its headers (RFC 1421). */
static enum hf_rc pem_key(struct hf_bundle *b, struct block *k, struct hf_err *e)
{
	EVP_CIPHER_INFO cipher;
	const unsigned char *p;
	EVP_PKEY *key = NULL;

	if (PEM_get_EVP_CIPHER_INFO(k->header, &cipher) != 1)
		return hf_fail(e, HF_CORRUPT, "%s: the header of a private key is damaged",
			       b->path);
	if (PEM_do_header(&cipher, k->data, &k->n, hf_password_get, &b->password) != 1)
		return hf_bundle_locked(b, e);
	p = k->data;
	key = d2i_AutoPrivateKey_ex(NULL, &p, k->n, b->soft.ctx, NULL);
	if (!key && b->password.asked)
		return hf_bundle_locked(b, e);
	if (!key)
		return hf_fail(e, HF_CORRUPT,
			       "%s: a private key of it is damaged, or of a kind "
			       "that is not known",
			       b->path);
	return hf_bundle_take_key(b, key, e);
}

static enum hf_rc pem_cert(struct hf_bundle *b, struct block *k, struct hf_err *e)
{
	const unsigned char *p = k->data;
	X509 *cert = !strcmp(k->name, PEM_STRING_X509_TRUSTED) ? d2i_X509_AUX(NULL, &p, k->n)
							       : d2i_X509(NULL, &p, k->n);

	if (!cert || p != k->data + k->n) {
		X509_free(cert);
		return hf_fail(e, HF_CORRUPT, "%s: certificate %d of it is damaged", b->path,
			       sk_X509_num(b->certs) + 1);
	}
	return hf_bundle_take_cert(b, cert, e);
}

static enum hf_rc pem_request(struct hf_bundle *b, struct block *k, struct hf_err *e)
{
	return hf_bundle_der(b, k->data, (size_t)k->n, e);
}

static enum hf_rc pem_pkcs7(struct hf_bundle *b, struct block *k, struct hf_err *e)
{
	return hf_bundle_pkcs7(b, k->data, (size_t)k->n, e);
}

static enum hf_rc pem_encrypted(struct hf_bundle *b, struct block *k, struct hf_err *e)
{
	const unsigned char *p = k->data;
	X509_SIG *sig = d2i_X509_SIG(NULL, &p, k->n);
	enum hf_rc rc = sig ? hf_bundle_encrypted(b, sig, e)
			    : hf_fail(e, HF_CORRUPT, "%s: a private key of it is damaged", b->path);

	X509_SIG_free(sig);
	return rc;
}

/* As it is, for the token that made it. */
static enum hf_rc pem_tss2(struct hf_bundle *b, struct block *k, struct hf_err *e)
{
	if (b->soft.tss2.n)
		return hf_fail(e, HF_ARGUMENT, "%s: more than one TSS2 PRIVATE KEY", b->path);
	hf_buf_add(&b->soft.tss2, k->data, (size_t)k->n);
	return HF_OK;
}

static enum hf_rc pem_reference(struct hf_bundle *b, struct block *k, struct hf_err *e)
{
	(void)k;
	(void)e;
	b->references++;
	return HF_OK;
}

static enum hf_rc pem_public(struct hf_bundle *b, struct block *k, struct hf_err *e)
{
	(void)k;
	(void)e;
	b->publics++;
	return HF_OK;
}

static enum hf_rc pem_crl(struct hf_bundle *b, struct block *k, struct hf_err *e)
{
	(void)k;
	(void)e;
	b->crls++;
	return HF_OK;
}

static enum hf_rc pem_nothing(struct hf_bundle *b, struct block *k, struct hf_err *e)
{
	(void)b;
	(void)k;
	(void)e;
	return HF_OK;
}

static const struct {
	const char *label;
	enum hf_rc (*take)(struct hf_bundle *b, struct block *k, struct hf_err *e);
} labels[] = {
	{ PEM_STRING_X509, pem_cert },
	{ PEM_STRING_X509_OLD, pem_cert },
	{ PEM_STRING_X509_TRUSTED, pem_cert },
	{ PEM_STRING_PKCS7, pem_pkcs7 },
	{ PEM_STRING_CMS, pem_pkcs7 },
	{ PEM_STRING_X509_REQ, pem_request },
	{ PEM_STRING_X509_REQ_OLD, pem_request },
	{ PEM_STRING_PKCS8, pem_encrypted },
	{ PEM_STRING_PKCS8INF, pem_key },
	{ PEM_STRING_RSA, pem_key },
	{ PEM_STRING_ECPRIVATEKEY, pem_key },
	{ "TSS2 PRIVATE KEY", pem_tss2 },
	{ "HOLDFAST KEY REFERENCE", pem_reference },
	{ PEM_STRING_PUBLIC, pem_public },
	{ PEM_STRING_X509_CRL, pem_crl },
	{ PEM_STRING_ECPARAMETERS, pem_nothing },
};

static enum hf_rc take_block(struct hf_bundle *b, struct block *k, struct hf_err *e)
{
	size_t i;

	for (i = 0; i < HF_COUNT(labels); i++)
		if (!strcmp(k->name, labels[i].label))
			return labels[i].take(b, k, e);
	if (!b->other[0])
		hf_escape(b->other, sizeof(b->other), k->name, strlen(k->name));
	return HF_OK;
}

static enum hf_rc read_pem(struct hf_bundle *b, const struct hf_buf *file, struct hf_err *e)
{
	BIO *bio = BIO_new_mem_buf(file->p, (int)file->n);
	enum hf_rc rc = bio ? HF_OK : hf_fail(e, HF_NO_MEMORY, "out of memory");
	struct block k;
	unsigned n = 0;

	b->format = "PEM";
	ERR_clear_error();
	while (!rc) {
		memset(&k, 0, sizeof(k));
		if (PEM_read_bio(bio, &k.name, &k.header, &k.data, &k.n) != 1)
			break;
		rc = ++n > BLOCKS_MAX ? hf_fail(e, HF_ARGUMENT, "%s: more than %u parts", b->path,
						BLOCKS_MAX)
				      : take_block(b, &k, e);
		block_free(&k);
	}
	if (!rc && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		rc = hf_fail(e, HF_CORRUPT,
			     "%s: part %u of it is damaged or cut off; get the file once more",
			     b->path, n + 1);
	ERR_clear_error();
	BIO_free(bio);
	return rc;
}

/* ---------------------------------------------------------------- the file */

static bool is_base64(const struct hf_buf *file)
{
	size_t i;

	for (i = 0; i < file->n; i++)
		if (!isalnum(file->p[i]) && !isspace(file->p[i]) && !strchr("+/=", file->p[i]))
			return false;
	return true;
}

/* What some CAs send: the base64 of DER, without the lines around it. */
static enum hf_rc read_base64(struct hf_bundle *b, const struct hf_buf *file, struct hf_err *e)
{
	uint8_t *text = malloc(file->n), *der = malloc(file->n);
	size_t i, n = 0, pad = 0;
	enum hf_rc rc;
	int got = -1;

	for (i = 0; text && i < file->n; i++)
		if (!isspace(file->p[i]))
			text[n++] = file->p[i];
	while (text && pad < 2 && n > pad && text[n - 1 - pad] == '=')
		pad++;
	if (text && der && n >= 16 && n % 4 == 0)
		got = EVP_DecodeBlock(der, text, (int)n);
	if (!text || !der)
		rc = hf_fail(e, HF_NO_MEMORY, "out of memory");
	else if (got < 0 || der[0] != 0x30)
		rc = hf_fail(e, HF_ARGUMENT, "%s: there is nothing of a PKI in it", b->path);
	else
		rc = hf_bundle_der(b, der, (size_t)got - pad, e);
	if (text)
		explicit_bzero(text, file->n);
	if (der)
		explicit_bzero(der, file->n);
	free(text);
	free(der);
	return rc;
}

static enum hf_rc read_file(struct hf_bundle *b, const struct hf_buf *file, struct hf_err *e)
{
	if (!file->n)
		return hf_fail(e, HF_ARGUMENT, "%s is empty", b->path);
	if (file->n > 4 &&
	    (!memcmp(file->p, "\xfe\xed\xfe\xed", 4) || !memcmp(file->p, "\xce\xce\xce\xce", 4)))
		return hf_fail(
			e, HF_ARGUMENT,
			"%s is a key store of Java: 'keytool -importkeystore -srckeystore %s "
			"-destkeystore OUT -deststoretype PKCS12' makes a PKCS#12 file of it",
			b->path, b->path);
	if (file->n > 2 && (!memcmp(file->p, "\xff\xfe", 2) || !memcmp(file->p, "\xfe\xff", 2)))
		return hf_fail(e, HF_ARGUMENT,
			       "%s is text in UTF-16; save it as ASCII or UTF-8 (iconv -f UTF-16 "
			       "-t UTF-8)",
			       b->path);
	if (memmem(file->p, file->n, "-----BEGIN ", 11))
		return read_pem(b, file, e);
	if (is_base64(file))
		return read_base64(b, file, e);
	return hf_bundle_der(b, file->p, file->n, e);
}

enum hf_rc hf_bundle_memory(const struct hf_cli *c, const char *path, const struct hf_buf *file,
			    struct hf_bundle *b, struct hf_err *e)
{
	enum hf_rc rc;

	memset(b, 0, sizeof(*b));
	b->path = path;
	b->password = (struct hf_password){ .cli = c, .path = path };
	hf_softkey_init(&b->soft);
	b->certs = sk_X509_new_null();
	if (!b->certs)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = hf_softkey_open(&b->soft, e);
	ERR_set_mark();
	if (!rc)
		rc = read_file(b, file, e);
	ERR_pop_to_mark();
	return rc;
}

enum hf_rc hf_bundle_read(const struct hf_cli *c, const char *path, struct hf_bundle *b,
			  struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(HF_BUNDLE_MAX);

	memset(b, 0, sizeof(*b));
	hf_softkey_init(&b->soft);
	if (hf_file_read(path, false, &file, e))
		return e->rc;
	return hf_bundle_memory(c, path, &file, b, e);
}

void hf_bundle_free(struct hf_bundle *b)
{
	sk_X509_pop_free(b->certs, X509_free);
	X509_REQ_free(b->request);
	while (b->n_keys)
		EVP_PKEY_free(b->keys[--b->n_keys]);
	hf_softkey_free(&b->soft);
	hf_password_wipe(&b->password);
	b->certs = NULL;
	b->request = NULL;
}
