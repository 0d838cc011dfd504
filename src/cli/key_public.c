/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast key public, reference, issuer: where keys meet files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/file.h"
#include "cli/import.h"
#include "cli/keyjson.h"
#include "cli/output.h"
#include "cli/session.h"
#include "reference.h"

/* The text goes to --out, or becomes what is printed. */
static enum hf_rc deliver(struct hf_cli *c, const char *member, const char *text, size_t n,
			  struct hf_err *e)
{
	const char *out = hf_cli_option(c, "out");
	json_object *v = json_object_new_string_len(text, (int)n);

	if (out && strcmp(out, "-")) {
		hf_out_text(c->result, "file", out);
		json_object_object_add(c->result, member, v);
		return hf_out_file(out, text, n, e);
	}
	json_object_object_add(c->result, c->json ? member : "text", v);
	return HF_OK;
}

/* The broker's answer has to be of one piece before a certificate is built on it. */
static enum hf_rc check_spki(const hf_KeyInfo *key, struct hf_err *e)
{
	unsigned char hash[32];
	const unsigned char *p = key->spki.bytes;
	EVP_PKEY *pkey = NULL;
	bool good =
		EVP_Q_digest(NULL, "SHA256", NULL, key->spki.bytes, key->spki.size, hash, NULL) &&
		key->spki_sha256.size == 32 && !memcmp(hash, key->spki_sha256.bytes, 32);

	if (good)
		pkey = d2i_PUBKEY(NULL, &p, key->spki.size);
	good = pkey && p == key->spki.bytes + key->spki.size;
	EVP_PKEY_free(pkey);
	return good ? HF_OK
		    : hf_fail(e, HF_CORRUPT, "key %s: the broker's public key is damaged",
			      key->name);
}

enum hf_rc hf_key_public(struct hf_cli *c, struct hf_err *e)
{
	enum hf_rc rc = hf_session_get(c, c->words[0], e);
	const hf_KeyInfo *key;
	BIO *bio = NULL;
	char *text;
	long n;

	if (!rc)
		rc = check_spki(&c->session->rep.result.key, e);
	if (rc)
		return rc;
	key = &c->session->rep.result.key;
	bio = BIO_new(BIO_s_mem());
	if (bio && PEM_write_bio(bio, "PUBLIC KEY", "", key->spki.bytes, key->spki.size) > 0) {
		n = BIO_get_mem_data(bio, &text);
		hf_out_text(c->result, "name", key->name);
		hf_out_hex(c->result, "sha256", key->spki_sha256.bytes, key->spki_sha256.size);
		rc = deliver(c, "public", text, (size_t)n, e);
	} else {
		rc = hf_fail(e, HF_NO_MEMORY, "out of memory");
	}
	BIO_free(bio);
	return rc;
}

/* The first certificate of a file, PEM or DER; NULL if there is none. */
static X509 *read_certificate(const char *path, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(1u << 20);
	const unsigned char *p;
	X509 *cert = NULL;
	BIO *bio;

	if (hf_file_read(path, false, &file, e))
		return NULL;
	bio = file.n ? BIO_new_mem_buf(file.p, (int)file.n) : NULL;
	if (bio)
		cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	p = file.p;
	if (!cert && file.n)
		cert = d2i_X509(NULL, &p, (long)file.n);
	if (!cert)
		(void)hf_fail(e, HF_ARGUMENT, "%s: there is no certificate in it (PEM or DER)",
			      path);
	return cert;
}

/* A reference to a certificate of another key would sign with neither: say so at once. */
static void warn_of_other_key(const hf_KeyInfo *key, const char *path)
{
	struct hf_err ignored = HF_ERR_INIT;
	unsigned char *der = NULL, hash[32];
	X509 *cert = read_certificate(path, &ignored);
	int n = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;
	bool found = n <= 0 || !EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)n, hash, NULL);
	pb_size_t i;

	for (i = 0; i < key->generations_count && !found; i++)
		found = key->generations[i].spki_sha256.size == 32 &&
			!memcmp(key->generations[i].spki_sha256.bytes, hash, 32);
	if (!found)
		(void)fprintf(
			stderr,
			"holdfast: warning: %s is not a certificate of the key %s; as long as "
			"it is there, the reference will not work\n",
			path, key->name);
	OPENSSL_free(der);
	X509_free(cert);
}

static enum hf_rc absolute(const char *path, char out[HF_PATH_MAX], struct hf_err *e)
{
	char cwd[HF_PATH_MAX];

	if (path[0] == '/' && hf_copy(out, HF_PATH_MAX, path))
		return HF_OK;
	if (!path[0] || path[0] == '/')
		return hf_fail(e, HF_ARGUMENT, "--cert %.60s: no path, or too long a one", path);
	if (!getcwd(cwd, sizeof(cwd)))
		return hf_fail_errno(e, HF_IO, "working directory");
	return hf_path_join(out, cwd, path, e);
}

enum hf_rc hf_key_reference_pem(const hf_KeyInfo *key, const char *cert, struct hf_buf *pem,
				struct hf_err *e)
{
	struct hf_reference ref;

	memset(&ref, 0, sizeof(ref));
	if (check_spki(key, e))
		return e->rc;
	if (cert && absolute(cert, ref.cert, e))
		return e->rc;
	if (cert)
		warn_of_other_key(key, ref.cert);
	(void)hf_copy(ref.name, sizeof(ref.name), key->name);
	memcpy(ref.spki, key->spki.bytes, key->spki.size); /* both at most 4096 */
	ref.spki_n = key->spki.size;
	return hf_reference_pem(&ref, pem, e);
}

enum hf_rc hf_key_reference(struct hf_cli *c, struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(65536);
	const hf_KeyInfo *key;
	enum hf_rc rc = hf_session_get(c, c->words[0], e);

	if (rc)
		return rc;
	key = &c->session->rep.result.key;
	rc = hf_key_reference_pem(key, hf_cli_option(c, "cert"), &pem, e);
	if (rc)
		return rc;
	hf_out_text(c->result, "name", key->name);
	hf_out_hex(c->result, "sha256", key->spki_sha256.bytes, key->spki_sha256.size);
	return deliver(c, "reference", (const char *)pem.p, pem.n, e);
}

enum hf_rc hf_key_set_issuer(struct hf_cli *c, const char *id, X509 *cert, struct hf_err *e)
{
	unsigned char *der = NULL;
	hf_KeyIssuer *q;
	hf_KeyRef ref;
	enum hf_rc rc = hf_session_key(&ref, id, e);
	int n = rc ? -1 : i2d_X509(cert, &der);

	if (!rc && n <= 0)
		rc = hf_fail(e, HF_NO_MEMORY, "out of memory");
	if (!rc)
		rc = hf_session_open(c, e);
	if (!rc) {
		q = &c->session->req.op.key_issuer;
		c->session->req.which_op = hf_Request_key_issuer_tag;
		q->has_key = true;
		q->key = ref;
		if (!HF_PB_SET(q->certificate, der, (size_t)n))
			rc = hf_fail(e, HF_ARGUMENT, "the certificate is larger than %zu bytes",
				     sizeof(q->certificate.bytes));
	}
	OPENSSL_free(der);
	if (!rc)
		rc = hf_session_call(c, HF_CALL_MS, hf_Reply_key_tag, e);
	return rc ? hf_session_about(e, id) : HF_OK;
}

enum hf_rc hf_key_issuer(struct hf_cli *c, struct hf_err *e)
{
	hf_KeyRef ref;
	X509 *cert;
	enum hf_rc rc = hf_session_key(&ref, c->words[0], e);

	if (rc)
		return rc;
	cert = read_certificate(c->words[1], e);
	rc = cert ? hf_key_set_issuer(c, c->words[0], cert, e) : e->rc;
	X509_free(cert);
	if (!rc)
		hf_keyjson_info(c->result, &c->session->rep.result.key);
	return rc;
}
