/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/x509.h>

#include "base/log.h"
#include "wire/client.h"
#include "wire/mech.h"

#define CALL_MS	  20000u
#define CREATE_MS 200000u /* an RSA key on a slow chip */

struct hf_keys {
	char socket[108];
	OSSL_LIB_CTX *lib;
	OSSL_PROVIDER *providers[2];
	hf_Request req, asked; /* 64 KiB each */
	hf_Reply rep;
};

char *hf_keys_why(char *out, size_t size)
{
	const char *data = NULL, *best = NULL;
	unsigned long code, first = 0;
	int flags = 0;

	(void)hf_copy(out, size, "libcrypto does not say why");
	while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags))) {
		const char *said = flags & ERR_TXT_STRING && data[0] ? data : NULL;

		if (!first || (said && !best)) {
			const char *text = said ? said : ERR_reason_error_string(code);

			best = said;
			first = code;
			if (text)
				hf_escape(out, size, text, strlen(text));
		}
	}
	return out;
}

static enum hf_rc load_providers(struct hf_keys *k, struct hf_err *e)
{
	char why[200];

	k->lib = OSSL_LIB_CTX_new();
	if (!k->lib)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	/* Default first, and preferred: provider/provider.h says why. */
	k->providers[0] = OSSL_PROVIDER_load(k->lib, "default");
	if (k->providers[0] && EVP_set_default_properties(k->lib, "?provider=default") == 1)
		k->providers[1] = OSSL_PROVIDER_load(k->lib, "holdfast");
	if (k->providers[1])
		return HF_OK;
	return hf_fail(e, HF_FAILED,
		       "cannot load holdfast.so, OpenSSL's provider of holdfast: %s; is it "
		       "installed where libcrypto looks (or OPENSSL_MODULES says)?",
		       hf_keys_why(why, sizeof(why)));
}

struct hf_keys *hf_keys_new(const char *socket, struct hf_err *e)
{
	struct hf_keys *k = calloc(1, sizeof(*k));

	if (!k) {
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
		return NULL;
	}
	(void)hf_copy(k->socket, sizeof(k->socket), socket);
	(void)setenv("HOLDFAST_SOCKET", socket, 1); /* the provider's, and holdfast-est's */
	if (!load_providers(k, e))
		return k;
	hf_keys_free(k);
	return NULL;
}

void hf_keys_free(struct hf_keys *k)
{
	size_t i;

	if (!k)
		return;
	for (i = HF_COUNT(k->providers); i--;)
		if (k->providers[i])
			(void)OSSL_PROVIDER_unload(k->providers[i]);
	OSSL_LIB_CTX_free(k->lib);
	free(k);
}

OSSL_LIB_CTX *hf_keys_lib(const struct hf_keys *k)
{
	return k->lib;
}

/* ---------------------------------------------------------------- the wire */

/* On a connection of its own: such calls are rare, and may take long. Twice, if that helps. */
static enum hf_rc call(struct hf_keys *k, const char *name, unsigned timeout_ms, pb_size_t want,
		       struct hf_err *e)
{
	enum hf_rc rc = HF_FAILED;
	unsigned i;

	k->asked = k->req;
	for (i = 0; i < 2; i++) {
		HF_AUTO_FD fd = -1;

		k->req = k->asked;
		rc = hf_client_open(k->socket, "holdfast-agent " HF_VERSION, 5000, &fd, e);
		if (!rc)
			rc = hf_client_call(fd, &k->req, &k->rep, timeout_ms, e);
		if (rc != HF_UNAVAILABLE)
			break;
	}
	if (!rc && want && k->rep.which_result != want)
		rc = hf_fail(e, HF_PROTOCOL, "an answer of another kind came from the broker");
	if (rc && e && !strstr(e->msg, name))
		(void)hf_within(e, "key %s", name);
	return rc;
}

static void begin(struct hf_keys *k, pb_size_t op)
{
	memset(&k->req, 0, sizeof(k->req));
	k->req.which_op = op;
}

static enum hf_rc take_state(const struct hf_keys *k, struct hf_key_state *out, struct hf_err *e)
{
	const hf_KeyInfo *info = &k->rep.result.key;
	size_t i;

	memset(out, 0, sizeof(*out));
	(void)hf_copy(out->name, sizeof(out->name), info->name);
	(void)hf_copy(out->token, sizeof(out->token), info->token);
	(void)hf_copy(out->algorithm, sizeof(out->algorithm), info->algorithm);
	for (i = 0; i < info->generations_count && i < HF_GENERATIONS_MAX; i++) {
		struct hf_generation *g = &out->generations[out->n];

		if (info->generations[i].spki_sha256.size != 32)
			return hf_fail(e, HF_PROTOCOL, "key %s: the broker's answer is damaged",
				       info->name);
		memcpy(g->spki_sha256, info->generations[i].spki_sha256.bytes, 32);
		g->state = (int)info->generations[i].state;
		g->created = (int64_t)info->generations[i].created;
		if (info->generations[i].state == hf_Generation_State_CURRENT)
			memcpy(out->current, g->spki_sha256, 32);
		out->n++;
	}
	return HF_OK;
}

enum hf_rc hf_keys_get(struct hf_keys *k, const char *name, struct hf_key_state *out,
		       struct hf_err *e)
{
	enum hf_rc rc;

	begin(k, hf_Request_key_get_tag);
	k->req.op.key_get.has_key = true;
	(void)hf_copy(k->req.op.key_get.key.name, sizeof(k->req.op.key_get.key.name), name);
	rc = call(k, name, CALL_MS, hf_Reply_key_tag, e);
	return rc ? rc : take_state(k, out, e);
}

const struct hf_generation *hf_keys_generation(const struct hf_key_state *key,
					       const uint8_t spki_sha256[32])
{
	size_t i;

	for (i = 0; i < key->n; i++)
		if (hf_mem_equal(key->generations[i].spki_sha256, spki_sha256, 32))
			return &key->generations[i];
	return NULL;
}

enum hf_rc hf_keys_create(struct hf_keys *k, const char *name, const char *token,
			  const char *algorithm, const char *usage, struct hf_key_state *out,
			  struct hf_err *e)
{
	hf_KeyCreate *q = &k->req.op.key_create;
	enum hf_rc rc;

	begin(k, hf_Request_key_create_tag);
	if (!hf_copy(q->name, sizeof(q->name), name) ||
	    !hf_copy(q->token, sizeof(q->token), token) ||
	    !hf_copy(q->algorithm, sizeof(q->algorithm), algorithm) || !hf_usage_parse(usage))
		return hf_fail(e, HF_ARGUMENT, "key %s: algorithm or usage is none", name);
	q->usage = hf_usage_parse(usage);
	rc = call(k, name, CREATE_MS, hf_Reply_key_tag, e);
	if (rc && rc != HF_EXISTS)
		return rc;
	return hf_keys_get(k, name, out, e);
}

enum hf_rc hf_keys_stage(struct hf_keys *k, const char *name, const char *algorithm,
			 const uint8_t transaction[16], uint8_t spki_sha256[32], struct hf_err *e)
{
	hf_KeyStage *q = &k->req.op.key_stage;
	enum hf_rc rc;

	begin(k, hf_Request_key_stage_tag);
	(void)hf_copy(q->name, sizeof(q->name), name);
	if (!hf_copy(q->algorithm, sizeof(q->algorithm), algorithm))
		return hf_fail(e, HF_ARGUMENT, "key %s: no algorithm has so long a name", name);
	q->transaction.size = 16;
	memcpy(q->transaction.bytes, transaction, 16);
	rc = call(k, name, CREATE_MS, hf_Reply_key_tag, e);
	if (!rc && k->rep.result.key.spki_sha256.size != 32)
		rc = hf_fail(e, HF_PROTOCOL, "key %s: the broker's answer is damaged", name);
	if (!rc)
		memcpy(spki_sha256, k->rep.result.key.spki_sha256.bytes, 32);
	return rc;
}

static void fill_ref(hf_KeyRef *ref, const char *name, const uint8_t spki_sha256[32])
{
	(void)hf_copy(ref->name, sizeof(ref->name), name);
	ref->spki_sha256.size = 32;
	memcpy(ref->spki_sha256.bytes, spki_sha256, 32);
}

enum hf_rc hf_keys_current(struct hf_keys *k, const char *name, const uint8_t spki_sha256[32],
			   uint32_t grace_s, struct hf_err *e)
{
	begin(k, hf_Request_key_current_tag);
	k->req.op.key_current.has_key = true;
	fill_ref(&k->req.op.key_current.key, name, spki_sha256);
	k->req.op.key_current.grace_s = grace_s;
	return call(k, name, CALL_MS, hf_Reply_key_tag, e);
}

enum hf_rc hf_keys_retire(struct hf_keys *k, const char *name, const uint8_t spki_sha256[32],
			  struct hf_err *e)
{
	begin(k, hf_Request_key_retire_tag);
	k->req.op.key_retire.has_key = true;
	fill_ref(&k->req.op.key_retire.key, name, spki_sha256);
	return call(k, name, CALL_MS, 0, e);
}

enum hf_rc hf_keys_delete(struct hf_keys *k, const char *name, struct hf_err *e)
{
	enum hf_rc rc;

	begin(k, hf_Request_key_delete_tag);
	(void)hf_copy(k->req.op.key_delete.name, sizeof(k->req.op.key_delete.name), name);
	rc = call(k, name, CALL_MS, 0, e);
	return rc == HF_NO_KEY ? HF_OK : rc;
}

/* ---------------------------------------------------------------- the provider */

EVP_PKEY *hf_keys_load(struct hf_keys *k, const char *uri, struct hf_err *e)
{
	OSSL_STORE_CTX *store;
	EVP_PKEY *key = NULL;
	char why[300];

	ERR_clear_error();
	store = OSSL_STORE_open_ex(uri, k->lib, NULL, NULL, NULL, NULL, NULL, NULL);
	if (store)
		(void)OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
	while (store && !key && !OSSL_STORE_eof(store)) {
		OSSL_STORE_INFO *info = OSSL_STORE_load(store);

		if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
			key = OSSL_STORE_INFO_get1_PKEY(info);
		OSSL_STORE_INFO_free(info);
	}
	(void)OSSL_STORE_close(store);
	if (!key)
		(void)hf_fail(e, HF_UNAVAILABLE, "key %s: %s", uri, hf_keys_why(why, sizeof(why)));
	ERR_clear_error();
	return key;
}

EVP_PKEY *hf_keys_load_generation(struct hf_keys *k, const uint8_t spki_sha256[32],
				  struct hf_err *e)
{
	char uri[96] = "holdfast:sha256:";

	(void)hf_hex(uri + strlen(uri), 65, spki_sha256, 32);
	return hf_keys_load(k, uri, e);
}

bool hf_keys_spki_sha256(EVP_PKEY *key, uint8_t out[32])
{
	X509_PUBKEY *spki = NULL;
	unsigned char *der = NULL;
	int n = X509_PUBKEY_set(&spki, key) ? i2d_X509_PUBKEY(spki, &der) : -1;
	bool good = n > 0 && EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)n, out, NULL);

	OPENSSL_free(der);
	X509_PUBKEY_free(spki);
	return good;
}
