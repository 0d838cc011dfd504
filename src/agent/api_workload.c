/* SPDX-License-Identifier: Apache-2.0 */
/* The workload API of IoT Edge, as far as it is about certificates. */
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>

#include "agent/api.h"
#include "agent/bundle.h"
#include "agent/ca.h"
#include "agent/modules.h"
#include "base/log.h"

/* ---------------------------------------------------------------- keys */

/* Where the private key is, and what the module is told of it. */
struct module_key {
	EVP_PKEY *key;
	struct hf_buf secret; /* PEM; wiped */
};

static enum hf_rc key_of_csr(struct hf_api_call *c, const char *csr, struct module_key *k,
			     struct hf_err *e)
{
	X509_REQ *req = NULL;
	enum hf_rc rc = hf_module_csr_read(csr, hf_keys_lib(c->a->keys), &req, e);

	if (!rc)
		k->key = X509_REQ_get_pubkey(req);
	X509_REQ_free(req);
	return rc;
}

static enum hf_rc key_of_token(struct hf_api_call *c, struct hf_module_record *r,
			       struct module_key *k, struct hf_err *e)
{
	struct hf_key_state state;
	char uri[HF_ID_SIZE + 16];
	enum hf_rc rc;

	hf_modules_key_name(&r->module, r->key);
	rc = hf_keys_create(c->a->keys, r->key, "", c->a->settings->module.algorithm, "sign",
			    &state, e);
	if (rc)
		return rc;
	(void)snprintf(uri, sizeof(uri), "holdfast:%s", r->key);
	k->key = hf_keys_load(c->a->keys, uri, e);
	return k->key ? HF_OK : e->rc;
}

static EVP_PKEY *generate(OSSL_LIB_CTX *lib, const char *algorithm)
{
	if (!strcmp(algorithm, "ed25519"))
		return EVP_PKEY_Q_keygen(lib, NULL, "ED25519");
	if (!strncmp(algorithm, "rsa-", 4))
		return EVP_PKEY_Q_keygen(lib, NULL, "RSA",
					 (size_t)strtoul(algorithm + 4, NULL, 10));
	return EVP_PKEY_Q_keygen(lib, NULL, "EC",
				 !strcmp(algorithm, "ec-p384")	 ? "P-384"
				 : !strcmp(algorithm, "ec-p521") ? "P-521"
								 : "P-256");
}

/* IoT Edge's contract: the key leaves the device's memory for the module's. */
static enum hf_rc key_to_return(struct hf_api_call *c, const struct hf_module_record *r,
				struct module_key *k, struct hf_err *e)
{
	BIO *out = BIO_new(BIO_s_secmem());
	char *p = NULL, why[200];
	long n;

	k->key = generate(hf_keys_lib(c->a->keys), c->a->settings->module.algorithm);
	if (k->key && out &&
	    PEM_write_bio_PKCS8PrivateKey(out, k->key, NULL, NULL, 0, NULL, NULL)) {
		n = BIO_get_mem_data(out, &p);
		hf_buf_add(&k->secret, p, n > 0 ? (size_t)n : 0);
	}
	BIO_free(out);
	if (!k->secret.n || k->secret.bad)
		return hf_fail(e, HF_FAILED, "cannot make a key in memory: %s",
			       hf_keys_why(why, sizeof(why)));
	hf_log(HF_LOG_WARN,
	       "module %s: its private key is made in memory and returned (module_keys = "
	       "\"returned\"); no token protects it",
	       r->module.id);
	return HF_OK;
}

static enum hf_rc choose_key(struct hf_api_call *c, struct hf_module_record *r,
			     struct module_key *k, struct hf_err *e)
{
	const char *keys = c->a->settings->module.keys, *csr;

	if (hf_api_text(c, "csr", false, &csr, e))
		return e->rc;
	if (csr[0])
		return key_of_csr(c, csr, k, e);
	if (!strcmp(keys, "token"))
		return key_of_token(c, r, k, e);
	if (!strcmp(keys, "returned"))
		return key_to_return(c, r, k, e);
	return hf_fail(e, HF_ARGUMENT,
		       "modules make their own keys here: send a certificate request as csr, or "
		       "configure module_keys = \"token\" (or \"returned\")");
}

/* ---------------------------------------------------------------- answers */

/* Text of base64 and newlines, which is what PEM is, as JSON. */
static void add_pem(struct hf_buf *out, const char *member, const char *pem, size_t n)
{
	size_t i, from = 0;

	hf_buf_fmt(out, "\"%s\":\"", member);
	for (i = 0; i < n; i++) {
		if (pem[i] != '\n')
			continue;
		hf_buf_add(out, pem + from, i - from);
		hf_buf_str(out, "\\n");
		from = i + 1;
	}
	hf_buf_add(out, pem + from, n - from);
	hf_buf_str(out, "\"");
}

/* Put together by hand, since json-c would leave copies of a private key behind. */
static void answer(struct hf_api_call *c, const struct hf_module_record *r,
		   const struct module_key *k)
{
	struct hf_buf *out = &c->reply->body;
	char date[32];

	hf_buf_str(out, "{");
	if (k && k->secret.n) {
		hf_buf_str(out, "\"privateKey\":{\"type\":\"key\",");
		add_pem(out, "bytes", (const char *)k->secret.p, k->secret.n);
		hf_buf_str(out, "},");
	} else if (r->key[0]) {
		hf_buf_fmt(out, "\"privateKey\":{\"type\":\"ref\",\"ref\":\"holdfast:%s\"},",
			   r->key);
	}
	add_pem(out, "certificate", r->certificate, strlen(r->certificate));
	hf_buf_fmt(out, ",\"expiration\":\"%s\"}", hf_api_date(date, sizeof(date), r->not_after));
}

static void name_module(const struct hf_api_call *c, bool server, struct hf_module *m)
{
	m->server = server;
	(void)hf_copy(m->id, sizeof(m->id), c->path[0]);
	(void)hf_copy(m->generation, sizeof(m->generation), server ? c->path[1] : "");
}

static enum hf_rc take_names(struct hf_api_call *c, bool server, struct hf_module *m,
			     struct hf_err *e)
{
	const char *cn = "";

	name_module(c, server, m);
	if (server && hf_api_text(c, "commonName", true, &cn, e))
		return e->rc;
	if (!hf_copy(m->common_name, sizeof(m->common_name), cn))
		return hf_fail(e, HF_ARGUMENT, "commonName is longer than %d characters",
			       HF_MODULE_NAME_MAX - 1);
	return hf_module_check(m, e);
}

static enum hf_rc issue(struct hf_api_call *c, bool server, struct hf_err *e)
{
	struct module_key k = { NULL, HF_BUF(16384) };
	struct hf_module_record *r = calloc(1, sizeof(*r)), *last = calloc(1, sizeof(*last));
	struct hf_err none = HF_ERR_INIT;
	enum hf_rc rc = r && last ? HF_OK : hf_fail(e, HF_NO_MEMORY, "out of memory");

	if (!rc)
		rc = take_names(c, server, &r->module, e);
	if (!rc)
		rc = choose_key(c, r, &k, e);
	if (!rc) {
		last->module = r->module;
		if (!hf_modules_get(c->a, last, &none))
			r->issued = last->issued;
		rc = hf_modules_issue(c->a, r, k.key, e);
	}
	if (!rc)
		answer(c, r, &k);
	hf_buf_finish(&k.secret);
	EVP_PKEY_free(k.key);
	free(last);
	free(r);
	return rc;
}

enum hf_rc hf_api_server(struct hf_api_call *c, struct hf_err *e)
{
	return issue(c, true, e);
}

enum hf_rc hf_api_identity(struct hf_api_call *c, struct hf_err *e)
{
	return issue(c, false, e);
}

/* What it has now: after the Edge CA was renewed, the one that was issued again. */
static enum hf_rc give(struct hf_api_call *c, bool server, struct hf_err *e)
{
	struct hf_module_record *r = calloc(1, sizeof(*r));
	enum hf_rc rc = r ? HF_OK : hf_fail(e, HF_NO_MEMORY, "out of memory");

	if (!rc) {
		name_module(c, server, &r->module);
		rc = hf_modules_get(c->a, r, e);
	}
	if (!rc)
		answer(c, r, NULL);
	free(r);
	return rc;
}

enum hf_rc hf_api_server_get(struct hf_api_call *c, struct hf_err *e)
{
	return give(c, true, e);
}

enum hf_rc hf_api_identity_get(struct hf_api_call *c, struct hf_err *e)
{
	return give(c, false, e);
}

static enum hf_rc forget(struct hf_api_call *c, bool server, struct hf_err *e)
{
	struct hf_module m = { 0 };

	name_module(c, server, &m);
	return hf_modules_forget(c->a, &m, e);
}

enum hf_rc hf_api_server_delete(struct hf_api_call *c, struct hf_err *e)
{
	return forget(c, true, e);
}

enum hf_rc hf_api_identity_delete(struct hf_api_call *c, struct hf_err *e)
{
	return forget(c, false, e);
}

enum hf_rc hf_api_bundle(struct hf_api_call *c, struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(1u << 20);
	enum hf_rc rc = hf_bundle_pem(c->a, &pem, e);

	if (!rc)
		hf_api_one(c, "certificate", (const char *)pem.p);
	return rc;
}

/* Who signs deployment manifests, as manifest_trust_bundle_cert says; empty if it does not. */
enum hf_rc hf_api_manifest_bundle(struct hf_api_call *c, struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(1u << 20);
	const struct hf_credential *k = hf_agent_find(c->a, "aziot-edged-manifest-trust-bundle");

	if (k && k->held.leaf)
		hf_ca_chain(k->held.leaf, k, &pem);
	if (pem.bad)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	hf_api_one(c, "certificate", pem.n ? (const char *)pem.p : "");
	return HF_OK;
}

enum hf_rc hf_api_not_ours(struct hf_api_call *c, struct hf_err *e)
{
	(void)c;
	return hf_fail(e, HF_UNSUPPORTED,
		       "holdfast issues certificates; modules, and signing or encrypting with "
		       "their symmetric keys, are aziot-edged's: ask its workload socket");
}
