/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast convert: what a PKI hands out becomes PEM files, and a key in a token. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/file.h"
#include "cli/bundle.h"
#include "cli/certview.h"
#include "cli/chain.h"
#include "cli/import.h"
#include "cli/keyjson.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/views.h"

const struct hf_option hf_convert_options[] = {
	{ "password-file", "FILE", "the first line of FILE is the password" },
	{ "key", "ID", "put the private key into a token, under this name" },
	{ "token", "TOKEN", "token to put it into (else the default token)" },
	{ "usage", "LIST",
	  "of the key: sign, decrypt, derive; or ca alone (else as its certificate)" },
	{ "out", "PATH", "write what is no secret to PATH, a directory or the file of the chain" },
	{ "trust-out", "FILE", "write the root CA to FILE, for the trust bundle" },
	{ NULL, NULL, NULL },
};

struct conversion {
	struct hf_cli *c;
	struct hf_bundle b;
	struct hf_chain chain;
	json_object *notes, *written;
	hf_KeyInfo key; /* with --key: what is in the token now */
	bool has_key;
};

static void note(struct conversion *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(struct conversion *v, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_object_array_add(v->notes, json_object_new_string(text));
}

static X509 *cert_at(const struct conversion *v, int i)
{
	return sk_X509_value(v->b.certs, i);
}

static unsigned private_keys(const struct conversion *v)
{
	return v->b.n_keys + (v->b.soft.tss2.n ? 1 : 0);
}

/* ---------------------------------------------------------------- what is in it */

static void describe_certs(struct conversion *v)
{
	json_object *list = json_object_new_array();
	time_t now = time(NULL);
	char name[HF_NAME_MAX];
	int i;

	for (i = 0; i < sk_X509_num(v->b.certs); i++) {
		json_object *o = hf_certview_json(cert_at(v, i), now);
		enum hf_chain_role role = hf_chain_role(v->b.certs, &v->chain, i);

		json_object_object_add(o, "role", json_object_new_string(hf_chain_role_text(role)));
		json_object_array_add(list, o);
		(void)hf_copy(name, sizeof(name), hf_out_get(o, "subject"));
		if (hf_certview_time(X509_get0_notAfter(cert_at(v, i))) <= now)
			note(v, "%s has expired: ask for a new one", name);
		else if (hf_certview_time(X509_get0_notBefore(cert_at(v, i))) > now)
			note(v, "%s is not valid yet; is the clock right?", name);
	}
	json_object_object_add(v->c->result, "certificates", list);
}

static void describe_keys(struct conversion *v)
{
	json_object *list = json_object_new_array();
	char text[80];
	unsigned i;
	int j;

	for (i = 0; i < v->b.n_keys; i++) {
		json_object *o = json_object_new_object();

		hf_out_text(o, "algorithm",
			    hf_certview_algorithm(v->b.keys[i], text, sizeof(text)));
		for (j = 0; j < sk_X509_num(v->b.certs); j++)
			if (hf_certview_same_key(X509_get0_pubkey(cert_at(v, j)), v->b.keys[i]))
				break;
		json_object_object_add(o, "certificate",
				       j < sk_X509_num(v->b.certs) ? json_object_new_int(j) : NULL);
		json_object_array_add(list, o);
	}
	if (v->b.soft.tss2.n) {
		json_object *o = json_object_new_object();

		hf_out_text(o, "algorithm", "TSS2 PRIVATE KEY");
		json_object_array_add(list, o);
	}
	json_object_object_add(v->c->result, "keys", list);
	if (v->b.n_keys && sk_X509_num(v->b.certs) && !v->chain.has_key)
		note(v, "the private key belongs to none of the certificates");
}

static void describe_request(struct conversion *v)
{
	json_object *o = json_object_new_object();
	EVP_PKEY *key = X509_REQ_get0_pubkey(v->b.request);
	char text[HF_NAME_MAX];
	bool good = key && X509_REQ_verify(v->b.request, key) == 1;

	ERR_clear_error();
	hf_out_text(o, "subject",
		    hf_certview_name(X509_REQ_get_subject_name(v->b.request), text, sizeof(text)));
	hf_out_text(o, "algorithm", hf_certview_algorithm(key, text, sizeof(text)));
	json_object_object_add(o, "signature", json_object_new_boolean(good));
	json_object_object_add(v->c->result, "request", o);
	note(v, "a certificate request is what a CA gets: send it there, and convert what comes "
		"back");
	if (!good)
		note(v, "the request's signature is wrong: no CA will take it");
}

static void describe_chain(struct conversion *v)
{
	char subject[HF_NAME_MAX], issuer[HF_NAME_MAX];
	int i, others = 0, roots = 0;

	for (i = 0; i < sk_X509_num(v->b.certs); i++) {
		enum hf_chain_role role = hf_chain_role(v->b.certs, &v->chain, i);

		others += role == HF_CHAIN_OTHER;
		roots += role == HF_CHAIN_ROOT;
	}
	if (v->chain.n && !v->chain.complete) {
		X509 *last = cert_at(v, v->chain.path[v->chain.n - 1]);

		note(v,
		     "%s was issued by %s, which is not in the file: ask for the full chain, "
		     "unless "
		     "that is the root CA that everybody has",
		     hf_certview_name(X509_get_subject_name(last), subject, sizeof(subject)),
		     hf_certview_name(X509_get_issuer_name(last), issuer, sizeof(issuer)));
	}
	if (v->chain.n && !v->chain.has_key && hf_certview_is_ca(cert_at(v, v->chain.path[0])))
		note(v,
		     "a CA's certificate without its key: what is issued by it leads there, so it "
		     "may be what belongs into the trust bundle");
	if (roots)
		note(v, "the root CA belongs into the trust bundle, not into the chain: "
			"trust_bundle_cert in config.toml names its file");
	if (others)
		note(v, "%d certificate%s to the chain, and %s left out", others,
		     others == 1 ? " does not belong" : "s do not belong",
		     others == 1 ? "is" : "are");
}

static void describe_rest(struct conversion *v)
{
	if (v->b.references)
		note(v, "there is a key reference in it, whose key is in a token already");
	if (v->b.publics)
		note(v, "there is a public key in it, which is of no use here");
	if (v->b.crls)
		note(v, "there is a CRL in it, which is left out");
	if (v->b.other[0])
		note(v, "there is a '%s' in it, which is not known and left out", v->b.other);
	if (v->b.n_requests > 1)
		note(v, "of %u requests the first one is taken", v->b.n_requests);
	if (private_keys(v) && !hf_cli_option(v->c, "key"))
		note(v,
		     "the private key belongs into a token and is written to no file: 'holdfast "
		     "convert %s --key ID' puts it there",
		     v->b.path);
	if (private_keys(v) && !sk_X509_num(v->b.certs))
		note(v, "its certificate is another file");
	if (sk_X509_num(v->b.certs) && !hf_cli_option(v->c, "out"))
		note(v, "'--out DIR' writes the certificates as PEM, in the order that programs "
			"want");
}

static enum hf_rc describe(struct conversion *v, struct hf_err *e)
{
	int certs = sk_X509_num(v->b.certs);

	hf_out_text(v->c->result, "file", v->b.path);
	hf_out_text(v->c->result, "format", v->b.format);
	if (!certs && !private_keys(v) && !v->b.request && !v->b.references && !v->b.publics &&
	    !v->b.crls)
		return hf_fail(e, HF_ARGUMENT, "%s: no certificate, key or request in it%s%s%s",
			       v->b.path, v->b.other[0] ? ", but '" : "", v->b.other,
			       v->b.other[0] ? "'" : "");
	describe_certs(v);
	describe_keys(v);
	if (v->b.request)
		describe_request(v);
	describe_chain(v);
	describe_rest(v);
	return HF_OK;
}

/* ---------------------------------------------------------------- the key */

static bool has_generation(const hf_KeyInfo *key, const uint8_t hash[32])
{
	pb_size_t i;

	for (i = 0; i < key->generations_count; i++)
		if (key->generations[i].spki_sha256.size == 32 &&
		    !memcmp(key->generations[i].spki_sha256.bytes, hash, 32))
			return true;
	return false;
}

static bool key_hash(EVP_PKEY *key, uint8_t out[32])
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(key, &der);
	bool done = n > 0 && EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)n, out, NULL) == 1;

	OPENSSL_free(der);
	return done;
}

/* The same command again, after something else went wrong, finds its key there. */
static enum hf_rc look_for_key(struct conversion *v, const char *id, bool *there, struct hf_err *e)
{
	struct hf_err why = HF_ERR_INIT;
	uint8_t hash[32];
	hf_KeyRef ref;

	*there = false;
	if (hf_session_key(&ref, id, e))
		return e->rc;
	if (hf_session_get(v->c, id, &why))
		return why.rc == HF_NO_KEY ? HF_OK : hf_fail(e, why.rc, "%s", why.msg);
	if (!v->b.n_keys || !key_hash(v->b.keys[0], hash))
		return HF_OK;
	*there = has_generation(&v->c->session->rep.result.key, hash);
	if (*there)
		return HF_OK;
	return hf_fail(e, HF_EXISTS,
		       "there is a key %s already, and it is not the one of %s: choose another "
		       "name, or delete it first ('holdfast key delete %s')",
		       id, v->b.path, id);
}

/* A key of this token tells its public half only now. */
static void match_token_key(struct conversion *v)
{
	uint8_t hash[32];

	if (!v->chain.has_key && v->chain.n &&
	    hf_certview_spki_sha256(cert_at(v, v->chain.path[0]), hash))
		v->chain.has_key = has_generation(&v->c->session->rep.result.key, hash);
}

static enum hf_rc register_issuer(struct conversion *v, const char *id, struct hf_err *e)
{
	if (!v->chain.has_key || !(v->c->session->rep.result.key.usage & HF_USAGE_CA))
		return HF_OK;
	return hf_key_set_issuer(v->c, id, cert_at(v, v->chain.path[0]), e);
}

static enum hf_rc store_key(struct conversion *v, const char *id, struct hf_err *e)
{
	struct hf_import what = { id, v->b.path, hf_cli_option(v->c, "token"),
				  hf_cli_option(v->c, "usage"), false };
	json_object *o = json_object_new_object();
	bool there = false;
	enum hf_rc rc;

	json_object_object_add(v->c->result, "key", o);
	if (!private_keys(v))
		return hf_fail(
			e, HF_ARGUMENT,
			"there is no private key in %s to become the key %s; leave out --key",
			v->b.path, id);
	if (private_keys(v) > 1)
		return hf_fail(e, HF_ARGUMENT,
			       "%s holds %u private keys; put the one you mean into a file of its "
			       "own",
			       v->b.path, private_keys(v));
	if (!what.usage && v->chain.has_key && hf_certview_is_ca(cert_at(v, v->chain.path[0])))
		what.usage = "ca";
	rc = look_for_key(v, id, &there, e);
	v->b.soft.pkey = v->b.n_keys ? v->b.keys[0] : NULL; /* lent */
	if (!rc && !there)
		rc = hf_import(v->c, &what, &v->b.soft, e);
	v->b.soft.pkey = NULL;
	if (!rc)
		match_token_key(v);
	if (!rc)
		rc = register_issuer(v, id, e);
	if (rc)
		return rc;
	v->key = v->c->session->rep.result.key;
	v->has_key = true;
	hf_keyjson_info(o, &v->key);
	json_object_object_add(o, "was_there", json_object_new_boolean(there));
	return HF_OK;
}

/* ---------------------------------------------------------------- the files */

/* As root, the owner of a new file is that of its directory: who reads the others reads it. */
static enum hf_rc write_file(struct conversion *v, const char *what, const char *path,
			     const struct hf_buf *text, struct hf_err *e)
{
	json_object *o = json_object_new_object();
	const char *slash = strrchr(path, '/');
	char dir[HF_PATH_MAX] = ".";
	struct stat st, old;
	enum hf_rc rc;

	if (text->bad)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	if (slash)
		(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path + 1), path);
	if (geteuid() == 0 && strcmp(path, "-") && !stat(dir, &st) &&
	    (lstat(path, &old) || S_ISREG(old.st_mode)))
		rc = hf_file_replace_as(path, text->p, text->n, 0644, st.st_uid, st.st_gid, e);
	else
		rc = hf_out_file(path, text->p, text->n, e);
	hf_out_text(o, "what", what);
	hf_out_text(o, "file", path);
	json_object_array_add(v->written, o);
	return rc;
}

static void add_pem(const struct conversion *v, enum hf_chain_role role, struct hf_buf *pem)
{
	int i;

	for (i = 0; i < sk_X509_num(v->b.certs); i++)
		if (hf_chain_role(v->b.certs, &v->chain, i) == role)
			hf_certview_pem(cert_at(v, i), pem);
}

static enum hf_rc write_request(struct conversion *v, const char *path, struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(HF_BUNDLE_MAX);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	if (bio && PEM_write_bio_X509_REQ(bio, v->b.request) == 1) {
		n = BIO_get_mem_data(bio, &text);
		hf_buf_add(&pem, text, (size_t)n);
	}
	BIO_free(bio);
	return write_file(v, "request", path, &pem, e);
}

/* "ID" or the file's own name, without its ending and without what files should not be called. */
static void base_name(const struct conversion *v, char *out, size_t size)
{
	const char *id = hf_cli_option(v->c, "key"), *slash = strrchr(v->b.path, '/');
	const char *name = id ? id : slash ? slash + 1 : v->b.path;
	size_t i;
	char *dot;

	(void)snprintf(out, size, "%.63s", name);
	dot = strrchr(out, '.');
	if (!id && dot && dot > out)
		*dot = '\0';
	for (i = 0; out[i]; i++)
		if (!isalnum((unsigned char)out[i]) && !strchr("._-", out[i]))
			out[i] = '_';
	if (!out[0] || out[0] == '.')
		(void)snprintf(out, size, "converted");
}

static enum hf_rc place(char out[HF_PATH_MAX], const char *dir, const char *base, const char *tail,
			struct hf_err *e)
{
	size_t n = strlen(dir);
	int len = snprintf(out, HF_PATH_MAX, "%s%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/",
			   base, tail);

	return len < HF_PATH_MAX ? HF_OK : hf_fail(e, HF_ARGUMENT, "%.60s... is too long", dir);
}

static enum hf_rc write_reference(struct conversion *v, const char *cert, const char *path,
				  struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(65536);
	enum hf_rc rc = hf_key_reference_pem(&v->key, v->chain.has_key ? cert : NULL, &pem, e);

	return rc ? rc : write_file(v, "key reference", path, &pem, e);
}

static enum hf_rc write_dir(struct conversion *v, const char *dir, const struct hf_buf *chain,
			    const struct hf_buf *roots, struct hf_err *e)
{
	char base[80], cert[HF_PATH_MAX], path[HF_PATH_MAX];
	enum hf_rc rc = hf_dir_make(dir, 0755, e);

	base_name(v, base, sizeof(base));
	if (!rc)
		rc = place(cert, dir, base, ".pem", e);
	if (!rc && chain->n)
		rc = write_file(v, "chain", cert, chain, e);
	if (!rc && roots->n && !hf_cli_option(v->c, "trust-out"))
		rc = place(path, dir, base, ".root.pem", e);
	if (!rc && roots->n && !hf_cli_option(v->c, "trust-out"))
		rc = write_file(v, "root", path, roots, e);
	if (!rc && v->b.request)
		rc = place(path, dir, base, ".csr.pem", e);
	if (!rc && v->b.request)
		rc = write_request(v, path, e);
	if (!rc && v->has_key)
		rc = place(path, dir, base, ".key.pem", e);
	return !rc && v->has_key ? write_reference(v, cert, path, e) : rc;
}

static enum hf_rc write_one(struct conversion *v, const char *path, const struct hf_buf *chain,
			    const struct hf_buf *roots, struct hf_err *e)
{
	if (chain->n && roots->n && !hf_cli_option(v->c, "trust-out"))
		note(v, "the root CA is not in %s; '--trust-out FILE' writes it", path);
	if (chain->n)
		return write_file(v, "chain", path, chain, e);
	if (roots->n)
		return write_file(v, "root", path, roots, e);
	if (v->b.request)
		return write_request(v, path, e);
	return hf_fail(e, HF_ARGUMENT, "%s: there is nothing in it that may be written to a file%s",
		       v->b.path, v->has_key ? "; its key is in the token" : "");
}

static enum hf_rc write_all(struct conversion *v, struct hf_err *e)
{
	HF_AUTO_BUF chain = HF_BUF(4 * HF_BUNDLE_MAX), roots = HF_BUF(4 * HF_BUNDLE_MAX);
	const char *out = hf_cli_option(v->c, "out"), *trust = hf_cli_option(v->c, "trust-out");
	size_t n = out ? strlen(out) : 0;
	enum hf_rc rc = HF_OK;
	struct stat st;
	unsigned i;

	for (i = 0; i < v->chain.n; i++)
		hf_certview_pem(cert_at(v, v->chain.path[i]), &chain);
	add_pem(v, HF_CHAIN_ROOT, &roots);
	if (trust && !roots.n)
		return hf_fail(e, HF_ARGUMENT, "--trust-out: there is no root CA in %s", v->b.path);
	if (trust)
		rc = write_file(v, "root", trust, &roots, e);
	if (rc || !out)
		return rc;
	if (n && (out[n - 1] == '/' || (!stat(out, &st) && S_ISDIR(st.st_mode))))
		return write_dir(v, out, &chain, &roots, e);
	return write_one(v, out, &chain, &roots, e);
}

enum hf_rc hf_convert(struct hf_cli *c, struct hf_err *e)
{
	const char *id = hf_cli_option(c, "key");
	struct conversion v = { .c = c };
	enum hf_rc rc;

	v.notes = json_object_new_array();
	v.written = json_object_new_array();
	json_object_object_add(c->result, "notes", v.notes);
	json_object_object_add(c->result, "written", v.written);
	rc = hf_bundle_read(c, c->words[0], &v.b, e);
	if (!rc) {
		hf_chain_find(v.b.certs, v.b.keys, v.b.n_keys, &v.chain);
		rc = describe(&v, e);
	}
	if (!rc && id)
		rc = store_key(&v, id, e);
	if (!rc)
		rc = write_all(&v, e);
	if (rc && v.has_key)
		(void)hf_within(e, "the key %s is in the token, but", id);
	hf_bundle_free(&v.b);
	return rc;
}

/* ---------------------------------------------------------------- shown */

static void show_keys(const struct hf_cli *c)
{
	json_object *keys = json_object_object_get(c->result, "keys"), *v;
	json_object *certs = json_object_object_get(c->result, "certificates");
	char subject[300];
	size_t i;

	for (i = 0; i < json_object_array_length(keys); i++) {
		json_object *o = json_object_array_get_idx(keys, i);
		int at = json_object_object_get_ex(o, "certificate", &v) && v
				 ? json_object_get_int(v)
				 : -1;

		printf("private key: %s%s%s\n", hf_out_get(o, "algorithm"), at < 0 ? "" : ", of ",
		       at < 0 ? ""
			      : hf_out_cell(json_object_array_get_idx(certs, (size_t)at), "subject",
					    subject, sizeof(subject)));
	}
}

void hf_convert_show(const struct hf_cli *c)
{
	static const struct hf_column columns[] = {
		{ "ROLE", "role" },	  { "SUBJECT", "subject" }, { "ISSUER", "issuer" },
		{ "FROM", "not_before" }, { "UNTIL", "not_after" }, { "KEY", "algorithm" },
		{ NULL, NULL },
	};
	json_object *certs = json_object_object_get(c->result, "certificates");
	json_object *notes = json_object_object_get(c->result, "notes");
	json_object *written = json_object_object_get(c->result, "written");
	json_object *request = json_object_object_get(c->result, "request");
	json_object *key = json_object_object_get(c->result, "key");
	const char *out = hf_cli_option(c, "out");
	char text[300];
	size_t i;

	if (out && !strcmp(out, "-"))
		return; /* the PEM is on standard output */
	printf("%s: %s\n\n", hf_out_cell(c->result, "file", text, sizeof(text)),
	       hf_out_get(c->result, "format"));
	if (json_object_array_length(certs))
		hf_out_table(certs, columns);
	if (request)
		printf("request: %s, %s\n", hf_out_get(request, "subject"),
		       hf_out_get(request, "algorithm"));
	show_keys(c);
	printf("\n");
	if (key)
		printf("key %s: %s the token %s\n", hf_out_get(key, "name"),
		       !strcmp(hf_out_get(key, "was_there"), "true") ? "was already in" : "is in",
		       hf_out_get(key, "token"));
	for (i = 0; i < json_object_array_length(written); i++) {
		json_object *o = json_object_array_get_idx(written, i);

		printf("%s: %s\n", hf_out_get(o, "what"),
		       hf_out_cell(o, "file", text, sizeof(text)));
	}
	for (i = 0; i < json_object_array_length(notes); i++)
		printf("note: %s\n", json_object_get_string(json_object_array_get_idx(notes, i)));
}
