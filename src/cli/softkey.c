/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/softkey.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include "base/file.h"
#include "cli/password.h"
#include "wire/mech.h"

#define TSS2_LABEL "-----BEGIN TSS2 PRIVATE KEY-----"

/* ---- what it is */

static bool has(const struct hf_buf *file, const char *text)
{
	return file->n && memmem(file->p, file->n, text, strlen(text));
}

/* SEQUENCE, then one of the object identifiers 2.23.133.10.1.x */
static bool is_tss2(const struct hf_buf *file)
{
	static const uint8_t oid[] = { 0x06, 0x06, 0x67, 0x81, 0x05, 0x0a, 0x01 };

	return has(file, TSS2_LABEL) ||
	       (file->n > 16 && file->p[0] == 0x30 && memmem(file->p, 12, oid, sizeof(oid)));
}

static unsigned count_keys(const struct hf_buf *file)
{
	static const char end[] = " PRIVATE KEY-----", plain[] = "-----BEGIN PRIVATE KEY-----";
	const char *p = (const char *)file->p, *line;
	unsigned n = 0;

	while (p && (p = strstr(p, "-----BEGIN "))) {
		line = p;
		p += strlen("-----BEGIN ");
		n += !strncmp(line, plain, strlen(plain)) ||
		     (strstr(line, end) && strstr(line, end) < strchr(line, '\n'));
	}
	return n;
}

/* ---- reading */

static EVP_PKEY *read_pem(const struct hf_softkey *k, const struct hf_buf *file,
			  struct hf_password *p)
{
	BIO *bio = BIO_new_mem_buf(file->p, (int)file->n);
	EVP_PKEY *pkey =
		bio ? PEM_read_bio_PrivateKey_ex(bio, NULL, hf_password_get, p, k->ctx, NULL)
		    : NULL;

	BIO_free(bio);
	return pkey;
}

static EVP_PKEY *read_pkcs12(const struct hf_softkey *k, const struct hf_buf *file,
			     struct hf_password *p)
{
	const unsigned char *at = file->p;
	PKCS12 *p12 = PKCS12_init_ex(NID_pkcs7_data, k->ctx, NULL), *read = p12;
	EVP_PKEY *pkey = NULL;
	X509 *cert = NULL;
	char buf[1024] = "";
	int n = 0;

	read = d2i_PKCS12(&p12, &at, (long)file->n);
	if (read && !PKCS12_verify_mac(read, "", 0) && !PKCS12_verify_mac(read, NULL, 0))
		n = hf_password_get(buf, sizeof(buf) - 1, 0, p);
	if (read && n >= 0) {
		buf[n] = '\0';
		(void)PKCS12_parse(read, buf, &pkey, &cert, NULL);
	}
	explicit_bzero(buf, sizeof(buf));
	X509_free(cert);
	PKCS12_free(p12);
	return pkey;
}

static EVP_PKEY *read_encrypted_der(const struct hf_softkey *k, const struct hf_buf *file,
				    struct hf_password *p)
{
	const unsigned char *at = file->p;
	X509_SIG *sig = d2i_X509_SIG(NULL, &at, (long)file->n);
	PKCS8_PRIV_KEY_INFO *info = NULL;
	EVP_PKEY *pkey = NULL;
	char buf[1024];
	int n = sig ? hf_password_get(buf, sizeof(buf), 0, p) : -1;

	if (n >= 0)
		info = PKCS8_decrypt_ex(sig, buf, n, k->ctx, NULL);
	if (info)
		pkey = EVP_PKCS82PKEY_ex(info, k->ctx, NULL);
	explicit_bzero(buf, sizeof(buf));
	PKCS8_PRIV_KEY_INFO_free(info);
	X509_SIG_free(sig);
	return pkey;
}

static EVP_PKEY *read_der(const struct hf_softkey *k, const struct hf_buf *file,
			  struct hf_password *p)
{
	const unsigned char *at = file->p;
	EVP_PKEY *pkey = d2i_AutoPrivateKey_ex(NULL, &at, (long)file->n, k->ctx, NULL);

	if (!pkey)
		pkey = read_pkcs12(k, file, p);
	return pkey || p->asked ? pkey : read_encrypted_der(k, file, p);
}

static enum hf_rc unreadable(const char *path, const struct hf_buf *file,
			     const struct hf_password *p, struct hf_err *e)
{
	if (p->none)
		return hf_fail(
			e, HF_ARGUMENT,
			"%s is encrypted, and there is no password: give --password-file, or "
			"run this on a terminal",
			path);
	if (p->asked)
		return hf_fail(e, HF_ARGUMENT, "%s: wrong password, or damaged", path);
	if (has(file, "-----BEGIN HOLDFAST KEY REFERENCE"))
		return hf_fail(e, HF_ARGUMENT, "%s only refers to a key that is in a token already",
			       path);
	if (has(file, "-----BEGIN CERTIFICATE") && !has(file, "PRIVATE KEY"))
		return hf_fail(e, HF_ARGUMENT, "%s is a certificate; the key is another file",
			       path);
	if (has(file, "-----BEGIN PUBLIC KEY"))
		return hf_fail(e, HF_ARGUMENT, "%s is a public key; the private one is needed",
			       path);
	return hf_fail(
		e, HF_ARGUMENT,
		"%s: no private key in it that can be read (PKCS#8, PKCS#1, SEC1, PKCS#12 or "
		"TSS2 PRIVATE KEY, PEM or DER)",
		path);
}

void hf_softkey_init(struct hf_softkey *k)
{
	*k = (struct hf_softkey){ .tss2 = HF_BUF(HF_SOFTKEY_MAX) };
}

enum hf_rc hf_softkey_open(struct hf_softkey *k, struct hf_err *e)
{
	k->ctx = OSSL_LIB_CTX_new();
	k->providers[0] = k->ctx ? OSSL_PROVIDER_load(k->ctx, "default") : NULL;
	if (!k->providers[0])
		return hf_fail(e, HF_FAILED, "OpenSSL's default provider cannot be loaded");
	ERR_set_mark();
	k->providers[1] = OSSL_PROVIDER_load(k->ctx, "legacy");
	ERR_pop_to_mark();
	return HF_OK;
}

enum hf_rc hf_softkey_read(const struct hf_cli *c, const char *path, struct hf_softkey *out,
			   struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(HF_SOFTKEY_MAX);
	struct hf_password password = { .cli = c, .path = path };
	unsigned keys;

	hf_softkey_init(out);
	if (hf_file_read(path, false, &file, e))
		return e->rc;
	if (is_tss2(&file)) {
		hf_buf_add(&out->tss2, file.p, file.n);
		return out->tss2.bad ? hf_fail(e, HF_NO_MEMORY, "out of memory") : HF_OK;
	}
	keys = has(&file, "-----BEGIN ") ? count_keys(&file) : 0;
	if (keys > 1)
		return hf_fail(
			e, HF_ARGUMENT,
			"%s holds %u private keys; put the one you mean into a file of its own",
			path, keys);
	if (hf_softkey_open(out, e))
		return e->rc;
	ERR_set_mark();
	if (file.n)
		out->pkey =
			keys ? read_pem(out, &file, &password) : read_der(out, &file, &password);
	ERR_pop_to_mark();
	hf_password_wipe(&password);
	return out->pkey ? HF_OK : unreadable(path, &file, &password, e);
}

void hf_softkey_free(struct hf_softkey *k)
{
	size_t i;

	EVP_PKEY_free(k->pkey);
	hf_buf_finish(&k->tss2);
	for (i = 0; i < HF_COUNT(k->providers); i++)
		if (k->providers[i])
			(void)OSSL_PROVIDER_unload(k->providers[i]);
	OSSL_LIB_CTX_free(k->ctx);
	*k = (struct hf_softkey){ .tss2 = HF_BUF(0) };
}

static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

EVP_PKEY *hf_softkey_glance(const struct hf_buf *file)
{
	const unsigned char *p = file->p;
	BIO *bio = BIO_new_mem_buf(file->p, (int)file->n);
	EVP_PKEY *key = NULL;

	if (memmem(file->p, file->n, "PRIVATE KEY-----", 16))
		key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	else if (file->n && file->p[0] == 0x30)
		key = d2i_AutoPrivateKey(NULL, &p, (long)file->n);
	BIO_free(bio);
	ERR_clear_error();
	return key;
}

/* A TPM has room for others, but no token that we know makes or takes them without a fuss. */
static bool usual_exponent(const EVP_PKEY *pkey)
{
	BIGNUM *e = NULL;
	bool ok = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) && BN_is_word(e, 65537);

	BN_free(e);
	return ok;
}

const struct hf_algorithm *hf_softkey_algorithm(const EVP_PKEY *pkey)
{
	static const char *const groups[] = { "prime256v1", "secp384r1", "secp521r1" };
	int bits = EVP_PKEY_get_bits(pkey);
	const struct hf_algorithm *a;
	char group[64] = "";
	size_t i, n;

	(void)EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
					     &n);
	for (i = 0; i < HF_COUNT(groups) && strcmp(group, groups[i]); i++)
		;
	for (a = hf_algorithms; a->name; a++) {
		if (a->family == HF_FAMILY_ED25519 && EVP_PKEY_is_a(pkey, "ED25519"))
			return a;
		if (a->family == HF_FAMILY_RSA && EVP_PKEY_is_a(pkey, "RSA") &&
		    bits == (int)a->bits && usual_exponent(pkey))
			return a;
		if (a->family == HF_FAMILY_EC && i < HF_COUNT(groups) && bits == (int)a->bits)
			return a;
	}
	return NULL;
}
