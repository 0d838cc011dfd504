/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c: holdfast: URIs. Opening one only reads it; the broker is asked when the object
 * is loaded. It never prompts.
 *
 * There is no export_object on purpose: with one, libcrypto would import our keys into
 * whichever provider comes first, without their private half.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/store.h>

#include "wire/broker.h"
#include "key.h"

#define CERT_MAX (256u * 1024)
#define SPKI_MAX 4096u

/*
 * A load that failed must not look like the end of the store (libcrypto asks eof() at once
 * to tell the two apart), but then it is over: programs loop until eof().
 */
enum state { STATE_OPEN, STATE_FAILED, STATE_END };

struct store {
	const struct hf_provider *provider;
	struct hf_uri uri;
	int expect; /* OSSL_STORE_INFO_*; 0: anything */
	bool search;
	enum state state;
	hf_KeyListReply *list; /* of HF_URI_ALL */
	pb_size_t at;
	struct hf_buf file; /* that cert= names */
	BIO *certs;	    /* what was not read of it yet */
	unsigned char *der; /* the next of its certificates */
	long der_n;
	const char *type; /* of the public half that comes next, NULL: none */
	struct hf_buf spki;
};

static void *store_open(void *provctx, const char *text)
{
	const struct hf_provider *p = provctx;
	struct store *s = calloc(1, sizeof(*s));
	struct hf_err e = HF_ERR_INIT;

	if (!s)
		return NULL;
	s->provider = p;
	s->file.max = CERT_MAX;
	s->spki.max = SPKI_MAX;
	if (hf_uri_parse(text, &s->uri, &e)) {
		free(s);
		(void)HF_RAISE(p, &e);
		return NULL;
	}
	return s;
}

static const OSSL_PARAM *store_settable(void *provctx)
{
	static const OSSL_PARAM settable[] = {
		OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL),
		OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_ALIAS, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_DIGEST, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_STORE_PARAM_FINGERPRINT, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provctx;
	return settable;
}

/*
 * Searching: a key's alias is its name, its fingerprint the SHA-256 of its SubjectPublicKeyInfo.
 * Both are for "holdfast:", which is all keys.
 */
static enum hf_rc search(struct store *s, const OSSL_PARAM params[], struct hf_err *e)
{
	const OSSL_PARAM *alias = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_ALIAS);
	const OSSL_PARAM *print = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_FINGERPRINT);
	const OSSL_PARAM *digest = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_DIGEST);
	const char *text = NULL;
	EVP_MD *md = NULL;
	bool sha256;

	if (!alias && !print)
		return HF_OK;
	if (s->uri.kind != HF_URI_ALL)
		return hf_fail(e, HF_UNSUPPORTED, "a search is for holdfast: only");
	if (alias) {
		if (!OSSL_PARAM_get_utf8_string_ptr(alias, &text) || !text || !hf_key_name_ok(text))
			return hf_fail(e, HF_ARGUMENT, "the alias is not a name of a key");
		(void)hf_copy(s->uri.name, sizeof(s->uri.name), text);
		s->uri.kind = HF_URI_NAME;
		s->search = true;
		return HF_OK;
	}
	if (digest && OSSL_PARAM_get_utf8_string_ptr(digest, &text) && text)
		md = EVP_MD_fetch(s->provider->libctx, text, NULL);
	sha256 = digest ? md && EVP_MD_is_a(md, "SHA256") : true;
	EVP_MD_free(md);
	if (!sha256 || print->data_type != OSSL_PARAM_OCTET_STRING || !print->data ||
	    print->data_size != sizeof(s->uri.spki_sha256))
		return hf_fail(e, HF_UNSUPPORTED,
			       "the fingerprint of a key is the SHA256 of its public key");
	memcpy(s->uri.spki_sha256, print->data, sizeof(s->uri.spki_sha256));
	s->uri.kind = HF_URI_GENERATION;
	s->search = true;
	return HF_OK;
}

static int store_set_params(void *ctx, const OSSL_PARAM params[])
{
	struct store *s = ctx;
	struct hf_err e = HF_ERR_INIT;
	const OSSL_PARAM *p =
		params ? OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT) : NULL;

	if (p && !OSSL_PARAM_get_int(p, &s->expect))
		return 0;
	if (params && search(s, params, &e))
		return HF_RAISE(s->provider, &e);
	return 1;
}

static int pass(OSSL_CALLBACK *cb, void *cbarg, int type, const char *data_type,
		const char *structure, const char *what, const void *p, size_t n)
{
	OSSL_PARAM params[5], *at = params;

	*at++ = OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type);
	if (data_type)
		*at++ = OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE,
							 (char *)(uintptr_t)data_type, 0);
	if (structure)
		*at++ = OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE,
							 (char *)(uintptr_t)structure, 0);
	*at++ = n ? OSSL_PARAM_construct_octet_string(what, (void *)(uintptr_t)p, n)
		  : OSSL_PARAM_construct_utf8_string(what, (char *)(uintptr_t)p, 0);
	*at = OSSL_PARAM_construct_end();
	return cb(params, cbarg);
}

static int pass_public(struct store *s, OSSL_CALLBACK *cb, void *cbarg)
{
	int ok = pass(cb, cbarg, OSSL_OBJECT_PKEY, s->type, "SubjectPublicKeyInfo",
		      OSSL_OBJECT_PARAM_DATA, s->spki.p, s->spki.n);

	s->type = NULL;
	return ok;
}

/*
 * Who wants a public key gets one of the default provider: it is faster and knows more. Who does
 * not say what he wants gets the key, and then its public half: BIND takes a pair.
 */
static int pass_key(struct store *s, struct hf_key *key, OSSL_CALLBACK *cb, void *cbarg)
{
	const char *type = hf_key_type(key);
	int ok;

	hf_buf_add(&s->spki, key->ref.spki, key->ref.spki_n);
	s->type = s->spki.bad || s->expect == OSSL_STORE_INFO_PKEY ? NULL : type;
	if (s->expect != OSSL_STORE_INFO_PUBKEY)
		ok = pass(cb, cbarg, OSSL_OBJECT_PKEY, type, NULL, OSSL_OBJECT_PARAM_REFERENCE,
			  &key, sizeof(key));
	else
		ok = s->type && pass_public(s, cb, cbarg);
	hf_key_free(key); /* NULL if km_load() has taken it */
	return ok;
}

/* What is read to the end of a file leaves an error on the queue that is nobody's business. */
static void next_cert(struct store *s)
{
	char *name, *header;
	bool found = false;

	OPENSSL_free(s->der);
	s->der = NULL;
	ERR_set_mark();
	while (!found && PEM_read_bio(s->certs, &name, &header, &s->der, &s->der_n) > 0) {
		found = !strcmp(name, PEM_STRING_X509) || !strcmp(name, PEM_STRING_X509_OLD) ||
			!strcmp(name, PEM_STRING_X509_TRUSTED);
		OPENSSL_free(name);
		OPENSSL_free(header);
		if (found)
			break;
		OPENSSL_free(s->der);
		s->der = NULL;
	}
	ERR_pop_to_mark();
}

static enum hf_rc open_certs(struct store *s, struct hf_err *e)
{
	if (hf_file_read(s->uri.cert, false, &s->file, e))
		return e->rc;
	s->certs = BIO_new_mem_buf(s->file.p ? (const void *)s->file.p : "", (int)s->file.n);
	if (!s->certs)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	if (s->file.n && s->file.p[0] == 0x30) { /* DER: one, and nothing else */
		s->der_n = (long)s->file.n;
		s->der = OPENSSL_memdup(s->file.p, s->file.n);
	} else {
		next_cert(s);
	}
	return s->der ? HF_OK : hf_fail(e, HF_CORRUPT, "%s: no certificate in it", s->uri.cert);
}

/* The certificates of the file that cert= names, one by one; needs no broker. */
static int load_cert(struct store *s, OSSL_CALLBACK *cb, void *cbarg, struct hf_err *e)
{
	int ok;

	if (!s->uri.cert[0])
		return 1; /* none is known: an empty store */
	if (!s->certs && open_certs(s, e))
		return 0;
	ok = pass(cb, cbarg, OSSL_OBJECT_CERT, NULL, NULL, OSSL_OBJECT_PARAM_DATA, s->der,
		  (size_t)s->der_n);
	next_cert(s);
	return ok;
}

static int load_key(struct store *s, OSSL_CALLBACK *cb, void *cbarg, struct hf_err *e)
{
	struct hf_key *key;

	if (hf_key_open_uri(s->provider, &s->uri, &key, e)) {
		if (!s->search || e->rc != HF_NO_KEY)
			return 0;
		*e = (struct hf_err)HF_ERR_INIT; /* nothing was found: an empty store */
		return 1;
	}
	return pass_key(s, key, cb, cbarg);
}

/* holdfast: is a directory: its entries are URIs. */
static int load_name(struct store *s, OSSL_CALLBACK *cb, void *cbarg, struct hf_err *e)
{
	char uri[80], after[64] = "";
	const hf_KeySummary *k;

	if (s->list && s->at == s->list->keys_count && s->list->more && s->at)
		(void)hf_copy(after, sizeof(after), s->list->keys[s->at - 1].name);
	if (!s->list || after[0]) {
		if (!s->list)
			s->list = malloc(sizeof(*s->list));
		s->at = 0;
		if (!s->list || hf_broker_key_list(s->provider->link, after, s->list, e)) {
			if (s->list)
				s->list->keys_count = s->list->more = 0;
			return 0;
		}
	}
	if (s->at >= s->list->keys_count)
		return 1;
	k = &s->list->keys[s->at++];
	snprintf(uri, sizeof(uri), HF_URI_SCHEME ":%s", k->name);
	return pass(cb, cbarg, OSSL_OBJECT_NAME, NULL, NULL, OSSL_OBJECT_PARAM_DATA, uri, 0);
}

static bool more(const struct store *s)
{
	return s->der || s->type ||
	       (s->uri.kind == HF_URI_ALL && s->list &&
		(s->at < s->list->keys_count || s->list->more));
}

static int store_load(void *ctx, OSSL_CALLBACK *cb, void *cbarg, OSSL_PASSPHRASE_CALLBACK *pw_cb,
		      void *pw_cbarg)
{
	struct store *s = ctx;
	struct hf_err e = HF_ERR_INIT;
	int ok;

	(void)pw_cb;
	(void)pw_cbarg;
	if (s->state != STATE_OPEN)
		return 0;
	if (s->uri.kind == HF_URI_ALL)
		ok = load_name(s, cb, cbarg, &e);
	else if (s->expect == OSSL_STORE_INFO_CERT)
		ok = load_cert(s, cb, cbarg, &e);
	else if (s->expect == OSSL_STORE_INFO_CRL || s->expect == OSSL_STORE_INFO_PARAMS)
		ok = 1;
	else if (s->type)
		ok = pass_public(s, cb, cbarg);
	else
		ok = load_key(s, cb, cbarg, &e);
	s->state = !ok ? STATE_FAILED : more(s) ? STATE_OPEN : STATE_END;
	if (e.rc)
		(void)HF_RAISE(s->provider, &e);
	return ok;
}

static int store_eof(void *ctx)
{
	struct store *s = ctx;

	if (s->state == STATE_FAILED) {
		s->state = STATE_END;
		return 0;
	}
	return s->state == STATE_END;
}

static int store_close(void *ctx)
{
	struct store *s = ctx;

	BIO_free(s->certs);
	OPENSSL_free(s->der);
	hf_buf_finish(&s->file);
	hf_buf_finish(&s->spki);
	free(s->list);
	free(s);
	return 1;
}

static const OSSL_DISPATCH functions[] = {
	HF_FN(STORE_OPEN, store_open, store_open),
	HF_FN(STORE_SETTABLE_CTX_PARAMS, store_settable_ctx_params, store_settable),
	HF_FN(STORE_SET_CTX_PARAMS, store_set_ctx_params, store_set_params),
	HF_FN(STORE_LOAD, store_load, store_load),
	HF_FN(STORE_EOF, store_eof, store_eof),
	HF_FN(STORE_CLOSE, store_close, store_close),
	HF_FN_END,
};

const OSSL_ALGORITHM hf_stores[] = {
	{ HF_URI_SCHEME, HF_PROPERTIES, functions, "keys of the holdfast broker" },
	{ NULL, NULL, NULL, NULL },
};
