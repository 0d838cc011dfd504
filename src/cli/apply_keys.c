/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys that config.toml names by their files: `config apply` puts those into the token
 * that are not there yet, as `holdfast key import` does. A file is never deleted by us: who put
 * it there may have no other copy.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/sha.h>
#include <openssl/x509.h>

#include "cli/certview.h"
#include "cli/config.h"
#include "cli/import.h"
#include "cli/output.h"
#include "cli/session.h"

#define GRACE_S	    86400u /* the old key stays usable, as with key rotate */
#define PATIENCE_MS 10000u /* a broker that was restarted just now */

/* One of the keys, and what becomes of it. */
struct wanted {
	const char *name, *file, *usage, *token, *certificate;
	bool certain; /* it belongs to a certificate; others may be no key pairs at all */
	const char *state;
	struct hf_err e;
};

static bool is_there(const char *path)
{
	return !access(path, F_OK);
}

/* Is the key pair of @k one of those that the broker has under this name? */
static bool is_known(const struct hf_cli *c, const struct hf_softkey *k)
{
	const hf_KeyInfo *key = &c->session->rep.result.key;
	unsigned char *der = NULL, hash[SHA256_DIGEST_LENGTH];
	int n = k->pkey ? i2d_PUBKEY(k->pkey, &der) : -1;
	bool found = !k->pkey; /* a file that some token made: nothing to compare */
	size_t i;

	if (n > 0 && SHA256(der, (size_t)n, hash))
		for (i = 0; i < key->generations_count; i++)
			found = found ||
				!memcmp(key->generations[i].spki_sha256.bytes, hash, sizeof(hash));
	OPENSSL_free(der);
	return found;
}

static enum hf_rc make_current(struct hf_cli *c, const struct wanted *w, struct hf_err *e)
{
	const hf_KeyInfo fresh = c->session->rep.result.key;
	hf_KeyCurrent *q = &c->session->req.op.key_current;

	c->session->req.which_op = hf_Request_key_current_tag;
	q->has_key = true;
	(void)hf_copy(q->key.name, sizeof(q->key.name), w->name);
	q->key.spki_sha256.size = fresh.spki_sha256.size;
	memcpy(q->key.spki_sha256.bytes, fresh.spki_sha256.bytes, fresh.spki_sha256.size);
	q->grace_s = GRACE_S;
	return hf_session_call(c, HF_CALL_MS, hf_Reply_key_tag, e);
}

/*
 * The certificate decides which generation is the current one: a key that came before its
 * certificate stays staged, and the agent takes it up when that is there. What a CA's key
 * issues is bound to its certificate.
 */
static enum hf_rc follow(struct hf_cli *c, const struct wanted *w, const struct hf_softkey *k,
			 bool known, struct hf_err *e)
{
	STACK_OF(X509) *certs = NULL;
	enum hf_rc rc;
	X509 *leaf;

	if (!w->certificate[0] || !is_there(w->certificate) || !k->pkey)
		return HF_OK;
	rc = hf_certview_read(w->certificate, &certs, e);
	if (rc) {
		hf_certview_free(certs);
		return rc;
	}
	leaf = sk_X509_value(certs, 0);
	if (X509_get0_pubkey(leaf) && hf_certview_same_key(X509_get0_pubkey(leaf), k->pkey)) {
		if (known)
			rc = make_current(c, w, e);
		if (!rc && !strcmp(w->usage, "ca"))
			rc = hf_key_set_issuer(c, w->name, leaf, e);
	}
	hf_certview_free(certs);
	return rc;
}

/* @known: there is a key of this name; a further one of it is the new one of somebody's PKI. */
static enum hf_rc take(struct hf_cli *c, struct wanted *w, bool known, struct hf_err *e)
{
	struct hf_import what = { w->name, w->file, w->token, w->usage, known };
	struct hf_softkey k;
	enum hf_rc rc;

	hf_softkey_init(&k);
	rc = hf_softkey_read(c, w->file, &k, e);
	if (!rc && known && is_known(c, &k)) {
		w->state = "there";
	} else if (!rc) {
		rc = hf_import(c, &what, &k, e);
		if (!rc)
			rc = follow(c, w, &k, known, e);
		w->state = known ? "renewed" : "imported";
	}
	hf_softkey_free(&k);
	return rc;
}

static enum hf_rc one(struct hf_cli *c, struct wanted *w)
{
	struct hf_err *e = &w->e;
	enum hf_rc rc = hf_session_get(c, w->name, e);

	if (rc == HF_NO_KEY && !is_there(w->file)) {
		w->state = "missing";
		return HF_OK;
	}
	if (!rc && !is_there(w->file))
		w->state = "there";
	else if (!rc || rc == HF_NO_KEY)
		rc = take(c, w, !rc, e);
	if (!rc)
		return HF_OK;
	w->state = rc == HF_UNAVAILABLE ? "waiting" : w->certain ? "failed" : "skipped";
	return strcmp(w->state, "failed") ? HF_OK : rc;
}

/* For people, on standard error: what is left to do. */
static void say(const struct wanted *w)
{
	const char *left = NULL;

	if (!strcmp(w->state, "there") && is_there(w->file))
		(void)fprintf(stderr,
			      "note: the key %s is in the token; %s is not needed any more: delete "
			      "it, and its backups\n",
			      w->name, w->file);
	if (!strcmp(w->state, "missing"))
		left = "there is no such file, and the token has no key of that name either";
	if (!strcmp(w->state, "waiting") || !strcmp(w->state, "skipped"))
		left = w->e.msg;
	if (left)
		(void)fprintf(stderr,
			      "warning: the key %s of %s was not taken into the token: %s%s\n",
			      w->name, w->file, left,
			      strcmp(w->state, "waiting")
				      ? ""
				      : "; when holdfastd runs, repeat 'holdfast config apply'");
}

static void report(const struct wanted *w, json_object *list)
{
	json_object *o = json_object_new_object();

	hf_out_text(o, "name", w->name);
	hf_out_text(o, "file", w->file);
	hf_out_text(o, "state", w->state);
	hf_out_text(o, "message", strcmp(w->state, "there") ? w->e.msg : "");
	json_object_array_add(list, o);
}

static enum hf_rc patiently(struct hf_cli *c, struct wanted *w, unsigned *left_ms)
{
	const struct hf_err none = HF_ERR_INIT;
	enum hf_rc rc;

	for (;;) {
		w->e = none;
		rc = one(c, w);
		if (strcmp(w->state, "waiting") || !*left_ms)
			return rc;
		*left_ms -= 200;
		(void)usleep(200000);
	}
}

enum hf_rc hf_apply_keys(struct hf_cli *c, json_object *keys, bool restarted, struct hf_err *e)
{
	json_object *list = json_object_new_array();
	unsigned left_ms = restarted ? PATIENCE_MS : 0;
	enum hf_rc rc = HF_OK;
	size_t i;

	json_object_object_add(c->result, "keys", list);
	for (i = 0; i < json_object_array_length(keys); i++) {
		json_object *o = json_object_array_get_idx(keys, i);
		struct wanted w = {
			.name = hf_out_get(o, "name"),
			.file = hf_out_get(o, "file"),
			.usage = hf_out_get(o, "usage"),
			.token = hf_out_get(o, "token"),
			.certificate = hf_out_get(o, "certificate"),
			.certain = hf_out_get(o, "certificate")[0] != '\0',
		};

		if (patiently(c, &w, &left_ms) && !rc) {
			rc = w.e.rc;
			*e = w.e;
			(void)hf_within(e, "the configuration is in place, but");
		}
		report(&w, list);
		if (!c->json)
			say(&w);
	}
	return rc;
}
