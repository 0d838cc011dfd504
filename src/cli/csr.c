/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/csr.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "cli/est.h"
#include "cli/output.h"
#include "cli/session.h"
#include "est/names.h"
#include "wire/scheme.h"

#define SANS_MAX 64u

static enum hf_rc add_extension(STACK_OF(X509_EXTENSION) * exts, int nid, void *value,
				struct hf_err *e)
{
	X509_EXTENSION *x = value ? X509V3_EXT_i2d(nid, 0, value) : NULL;

	if (x && sk_X509_EXTENSION_push(exts, x) > 0)
		return HF_OK;
	X509_EXTENSION_free(x);
	return hf_fail(e, HF_NO_MEMORY, "out of memory");
}

static enum hf_rc add_sans(const struct hf_cli *c, STACK_OF(X509_EXTENSION) * exts,
			   struct hf_err *e)
{
	json_object *o = json_object_new_object(), *list;
	const char *texts[SANS_MAX];
	GENERAL_NAMES *names = NULL;
	enum hf_rc rc = HF_OK;
	size_t i, n;

	hf_est_add_sans(c, o);
	list = json_object_object_get(o, "sans");
	n = json_object_array_length(list);
	for (i = 0; i < n && i < SANS_MAX; i++)
		texts[i] = json_object_get_string(json_object_array_get_idx(list, i));
	if (n)
		rc = hf_sans_read(texts, (unsigned)i, &names, e);
	if (n && !rc)
		rc = add_extension(exts, NID_subject_alt_name, names, e);
	GENERAL_NAMES_free(names);
	json_object_put(o);
	return rc;
}

static enum hf_rc add_eku(const struct hf_cli *c, STACK_OF(X509_EXTENSION) * exts, struct hf_err *e)
{
	const char *list = hf_cli_option(c, "eku");
	EXTENDED_KEY_USAGE *eku = list ? EXTENDED_KEY_USAGE_new() : NULL;
	enum hf_rc rc = HF_OK;
	char word[64];
	size_t n;

	for (; !rc && list && *list; list += n + (list[n] == ',')) {
		ASN1_OBJECT *oid = NULL;

		n = strcspn(list, ",");
		if (n < sizeof(word)) {
			memcpy(word, list, n);
			word[n] = '\0';
			oid = OBJ_txt2obj(word, 0);
		}
		if (!oid || sk_ASN1_OBJECT_push(eku, oid) <= 0) {
			ASN1_OBJECT_free(oid);
			rc = hf_fail(e, HF_ARGUMENT,
				     "--eku %.60s: write serverAuth, clientAuth or an OID", list);
		}
	}
	if (!rc && eku)
		rc = add_extension(exts, NID_ext_key_usage, eku, e);
	EXTENDED_KEY_USAGE_free(eku);
	return rc;
}

static enum hf_rc fill(struct hf_cli *c, X509_REQ *req, const char *subject, struct hf_err *e)
{
	STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
	const hf_KeyInfo *key = &c->session->rep.result.key;
	const unsigned char *p = key->spki.bytes;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &p, key->spki.size);
	X509_NAME *name = NULL;
	enum hf_rc rc = hf_name_read(subject, &name, e);

	if (!rc &&
	    (!pkey || X509_REQ_set_version(req, 0) != 1 ||
	     X509_REQ_set_subject_name(req, name) != 1 || X509_REQ_set_pubkey(req, pkey) != 1))
		rc = hf_fail(e, HF_FAILED, "key %s: no request can be made for it", key->name);
	if (!rc)
		rc = add_sans(c, exts, e);
	if (!rc)
		rc = add_eku(c, exts, e);
	if (!rc && sk_X509_EXTENSION_num(exts) && X509_REQ_add_extensions(req, exts) != 1)
		rc = hf_fail(e, HF_NO_MEMORY, "out of memory");
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_NAME_free(name);
	EVP_PKEY_free(pkey);
	return rc;
}

static bool set_algorithm(X509_REQ *req, const struct hf_scheme *scheme)
{
	struct hf_view der = hf_scheme_algorithm_id(scheme);
	const unsigned char *p = der.p;
	X509_ALGOR *alg = der.n ? d2i_X509_ALGOR(NULL, &p, (long)der.n) : NULL;
	bool done = alg && X509_REQ_set1_signature_algo(req, alg) == 1;

	X509_ALGOR_free(alg);
	return done;
}

/* The digest, or for keys that sign messages the whole of @der. */
/* The request, whole or its digest, to what the session has signed. */
static bool set_data(struct hf_session *s, const struct hf_scheme *scheme, const unsigned char *der,
		     size_t n)
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (!s->req.op.sign.message) {
		if (EVP_Q_digest(NULL, scheme->tls_hash, NULL, der, n, digest, &n) != 1)
			return false;
		der = digest;
	}
	hf_buf_add(&s->data, der, n);
	s->req.op.sign.data = HF_VIEW_BUF(&s->data);
	return !s->data.bad;
}

static bool set_signature(X509_REQ *req, const hf_Signature *s)
{
	ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();

	if (!bits || ASN1_BIT_STRING_set(bits, (unsigned char *)(uintptr_t)s->signature.bytes,
					 (int)s->signature.size) != 1) {
		ASN1_BIT_STRING_free(bits);
		return false;
	}
	/* All eight bits of the last octet count. */
	bits->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 0x07);
	bits->flags |= ASN1_STRING_FLAG_BITS_LEFT;
	X509_REQ_set0_signature(req, bits);
	return true;
}

static enum hf_rc sign(struct hf_cli *c, const char *id, X509_REQ *req, struct hf_err *e)
{
	const hf_KeyInfo *key = &c->session->rep.result.key;
	hf_Sign *q = &c->session->req.op.sign;
	const struct hf_scheme *scheme;
	unsigned char *der = NULL;
	enum hf_rc rc = hf_sign_scheme(key, NULL, &scheme, e);
	int n;

	if (rc)
		return rc;
	n = set_algorithm(req, scheme) ? i2d_re_X509_REQ_tbs(req, &der) : -1;
	c->session->req.which_op = hf_Request_sign_tag;
	q->has_key = true;
	(void)hf_copy(q->key.name, sizeof(q->key.name), key->name);
	memcpy(&q->key.spki_sha256, &key->spki_sha256, sizeof(key->spki_sha256));
	(void)hf_copy(q->scheme, sizeof(q->scheme), scheme->name);
	q->message = (key->usage & HF_USAGE_CA) || !scheme->hash;
	if (n <= 0 || !set_data(c->session, scheme, der, (size_t)n))
		rc = hf_fail(e, HF_ARGUMENT, "key %s: the request cannot be signed", id);
	OPENSSL_free(der);
	if (!rc)
		rc = hf_session_call(c, HF_CALL_MS, hf_Reply_signature_tag, e);
	if (rc)
		return hf_session_about(e, id);
	if (!set_signature(req, &c->session->rep.result.signature) ||
	    X509_REQ_verify(req, X509_REQ_get0_pubkey(req)) != 1)
		rc = hf_fail(e, HF_FAILED, "key %s: its signature of the request is wrong", id);
	return rc;
}

enum hf_rc hf_csr_make(struct hf_cli *c, const char *id, const char *subject, struct hf_buf *pem,
		       struct hf_err *e)
{
	X509_REQ *req = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	enum hf_rc rc = req && bio ? HF_OK : hf_fail(e, HF_NO_MEMORY, "out of memory");
	char *text;
	long n;

	if (!rc)
		rc = hf_session_get(c, id, e);
	if (!rc)
		rc = fill(c, req, subject, e);
	if (!rc)
		rc = sign(c, id, req, e);
	if (!rc && PEM_write_bio_X509_REQ(bio, req) == 1) {
		n = BIO_get_mem_data(bio, &text);
		hf_buf_add(pem, text, (size_t)n);
	} else if (!rc) {
		rc = hf_fail(e, HF_NO_MEMORY, "out of memory");
	}
	ERR_clear_error();
	X509_REQ_free(req);
	BIO_free(bio);
	return rc;
}
