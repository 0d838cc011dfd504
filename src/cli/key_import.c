/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast key import, export: keys that were elsewhere, and the files that tokens made of keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/file.h"
#include "cli/broker.h"
#include "cli/import.h"
#include "cli/keyjson.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/softkey.h"
#include "cli/wrap.h"
#include "wire/mech.h"

struct import {
	hf_KeyRef ref;
	const char *token, *path;
	unsigned usage;
	bool stage;
	const char *format;
	struct hf_buf blob, spki;
	bool software;
};

static enum hf_rc read_options(struct hf_cli *c, const struct hf_import *what, struct import *i,
			       struct hf_err *e)
{
	const char *usage = what->usage ? what->usage : "sign";

	i->token = what->token ? what->token : "";
	i->path = what->path;
	i->stage = what->stage;
	i->usage = hf_usage_parse(usage);
	if (hf_session_key(&i->ref, what->id, e))
		return e->rc;
	if (!i->ref.name[0])
		return hf_fail(e, HF_ARGUMENT, "an imported key needs a name, not a hash");
	if (!i->usage)
		return hf_fail(
			e, HF_ARGUMENT,
			"--usage %.40s: write sign, decrypt, derive, separated by commas; or "
			"ca alone",
			usage);
	if (strlen(i->token) >= sizeof(c->session->req.op.key_import.token))
		return hf_fail(e, HF_ARGUMENT, "--token %.40s... is too long for a name", i->token);
	return HF_OK;
}

static enum hf_rc ask_wrap(struct hf_cli *c, const struct import *i, hf_WrapInfo *wrap,
			   struct hf_err *e)
{
	enum hf_rc rc = hf_session_open(c, e);

	if (rc)
		return rc;
	c->session->req.which_op = hf_Request_token_wrap_tag;
	(void)hf_copy(c->session->req.op.token_wrap.token,
		      sizeof(c->session->req.op.token_wrap.token), i->token);
	c->session->doing = "asking the token how keys are wrapped for it...";
	rc = hf_session_call(c, HF_CREATE_MS, hf_Reply_wrap_tag, e);
	if (!rc)
		*wrap = c->session->rep.result.wrap;
	return rc;
}

static enum hf_rc wrap_key(struct hf_cli *c, struct import *i, struct hf_softkey *k,
			   struct hf_err *e)
{
	unsigned char *der = NULL;
	hf_WrapInfo wrap;
	struct hf_view to;
	int n;

	if (!hf_softkey_algorithm(k->pkey))
		return hf_fail(
			e, HF_UNSUPPORTED,
			"%s: no token has such keys (RSA of 2048, 3072 or 4096 bits with the "
			"exponent 65537, P-256, P-384, P-521, Ed25519)",
			i->path);
	if (ask_wrap(c, i, &wrap, e))
		return e->rc;
	to = (struct hf_view){ wrap.public_key.bytes, wrap.public_key.size };
	i->software = true;
	n = i2d_PUBKEY(k->pkey, &der);
	if (n > 0)
		hf_buf_add(&i->spki, der, (size_t)n);
	OPENSSL_free(der);
	if (n <= 0 || i->spki.bad)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	if (!strcmp(wrap.type, "tpm2")) {
		i->format = "tss2";
		return hf_wrap_tpm2(k->ctx, k->pkey, i->usage, to, wrap.parent, &i->blob, e);
	}
	if (strcmp(wrap.type, "pkcs11"))
		return hf_fail(e, HF_UNSUPPORTED, "token %s: keys cannot be wrapped for type '%s'",
			       wrap.token, wrap.type);
	i->format = "kwp";
	return hf_wrap_kwp(k->ctx, k->pkey, to, &i->blob, e);
}

static enum hf_rc take(struct hf_cli *c, struct import *i, struct hf_softkey *k, struct hf_err *e)
{
	if (!k) { /* it is in the token already */
		i->format = "uri";
		hf_buf_str(&i->blob, i->path);
		return HF_OK;
	}
	if (k->pkey)
		return wrap_key(c, i, k, e);
	i->format = "tss2";
	hf_buf_add(&i->blob, k->tss2.p, k->tss2.n);
	return HF_OK;
}

static enum hf_rc send_import(struct hf_cli *c, const struct import *i, struct hf_err *e)
{
	hf_KeyImport *q;
	enum hf_rc rc = hf_session_open(c, e);

	if (rc)
		return rc;
	q = &c->session->req.op.key_import;
	c->session->req.which_op = hf_Request_key_import_tag;
	(void)hf_copy(q->name, sizeof(q->name), i->ref.name);
	(void)hf_copy(q->token, sizeof(q->token), i->token);
	(void)hf_copy(q->format, sizeof(q->format), i->format);
	q->usage = i->usage;
	q->stage = i->stage;
	(void)HF_PB_SET(q->spki, i->spki.p, i->spki.n);
	if (i->blob.bad || !HF_PB_SET(q->blob, i->blob.p, i->blob.n))
		return hf_fail(e, HF_ARGUMENT, "%s: the key is longer than %zu bytes", i->path,
			       sizeof(q->blob.bytes));
	c->session->doing = "the token is taking the key...";
	return hf_session_call(c, HF_CREATE_MS, hf_Reply_key_tag, e);
}

/* What is in the token now has to be what was in the file. */
static enum hf_rc check_same(const struct hf_cli *c, const struct import *i, struct hf_err *e)
{
	const hf_KeyInfo *key = &c->session->rep.result.key;

	if (!i->spki.n ||
	    (key->spki.size == i->spki.n && !memcmp(key->spki.bytes, i->spki.p, i->spki.n)))
		return HF_OK;
	return hf_fail(e, HF_PROTOCOL,
		       "the broker has recorded another key than that of %s; delete it "
		       "('holdfast key delete %s')",
		       i->path, i->ref.name);
}

/* Said on standard error: it is no result, but should not be overlooked. */
static void say_what_it_is_worth(const struct import *i)
{
	if (i->software)
		(void)fprintf(stderr,
			      "holdfast: note: the key %s was in software before. Whoever has ever "
			      "copied "
			      "%s can still use it, and no token can show that nobody did. Delete "
			      "that file "
			      "and its backups now; a key that is made in the token ('holdfast key "
			      "create') "
			      "is better.\n",
			      i->ref.name, i->path);
}

/* The broker does not say which, since not everybody may know; whoever may sees it in the list. */
static enum hf_rc name_holder(struct hf_cli *c, const struct import *i, struct hf_err *e)
{
	json_object *keys = json_object_new_array();
	struct hf_err ignored = HF_ERR_INIT;
	unsigned char hash[32];
	const char *name = NULL;
	char hex[65];

	if (i->spki.n && EVP_Q_digest(NULL, "SHA256", NULL, i->spki.p, i->spki.n, hash, NULL) &&
	    !hf_broker_keys(c, keys, &ignored))
		name = hf_keyjson_holder(keys, hf_hex(hex, sizeof(hex), hash, sizeof(hash)));
	if (name && strcmp(name, i->ref.name) != 0)
		(void)hf_fail(
			e, HF_EXISTS,
			"this key pair is in a token already, as the key %s: use that name, or "
			"delete it first",
			name);
	json_object_put(keys);
	return e->rc;
}

enum hf_rc hf_import(struct hf_cli *c, const struct hf_import *what, struct hf_softkey *k,
		     struct hf_err *e)
{
	struct import i = { .blob = HF_BUF(HF_WRAP_MAX), .spki = HF_BUF(4096) };
	enum hf_rc rc = read_options(c, what, &i, e);

	if (!rc)
		rc = take(c, &i, k, e);
	if (!rc)
		rc = send_import(c, &i, e);
	if (rc == HF_EXISTS)
		rc = name_holder(c, &i, e);
	if (!rc)
		rc = check_same(c, &i, e);
	if (!rc)
		say_what_it_is_worth(&i);
	else if (i.ref.name[0])
		rc = hf_session_about(e, i.ref.name);
	hf_buf_finish(&i.blob);
	hf_buf_finish(&i.spki);
	return rc;
}

enum hf_rc hf_key_import(struct hf_cli *c, struct hf_err *e)
{
	struct hf_import what = { c->words[0], c->words[1], hf_cli_option(c, "token"),
				  hf_cli_option(c, "usage"), false };
	bool uri = !strncmp(what.path, "pkcs11:", 7);
	struct hf_softkey k;
	enum hf_rc rc = HF_OK;

	hf_softkey_init(&k);
	if (uri && strstr(what.path + strcspn(what.path, "?"), "pin-"))
		rc = hf_fail(e, HF_ARGUMENT,
			     "the URI has a PIN in it, which others can see in the list of "
			     "processes: leave it out, the token's own is used");
	else if (!uri)
		rc = hf_softkey_read(c, what.path, &k, e);
	if (!rc)
		rc = hf_import(c, &what, uri ? NULL : &k, e);
	hf_softkey_free(&k);
	if (!rc)
		hf_keyjson_info(c->result, &c->session->rep.result.key);
	return rc;
}

enum hf_rc hf_key_export(struct hf_cli *c, struct hf_err *e)
{
	const char *out = hf_cli_option(c, "out");
	const hf_KeyFile *file;
	hf_KeyRef ref;
	enum hf_rc rc = hf_session_key(&ref, c->words[0], e);

	if (!rc)
		rc = hf_session_open(c, e);
	if (rc)
		return rc;
	c->session->req.which_op = hf_Request_key_export_tag;
	c->session->req.op.key_export.has_key = true;
	c->session->req.op.key_export.key = ref;
	rc = hf_session_call(c, HF_CALL_MS, hf_Reply_key_file_tag, e);
	if (rc)
		return hf_session_about(e, c->words[0]);
	file = &c->session->rep.result.key_file;
	hf_out_text(c->result, "name", c->words[0]);
	hf_out_text(c->result, "format", file->format);
	if (out && strcmp(out, "-")) {
		hf_out_text(c->result, "file", out);
		hf_out_line(
			c,
			"the key file of %s is in %s; it opens with this token alone, but there "
			"with any program",
			c->words[0], out);
		return hf_file_replace(out, file->blob.bytes, file->blob.size, 0600, e);
	}
	json_object_object_add(
		c->result, c->json ? "key_file" : "text",
		json_object_new_string_len((const char *)file->blob.bytes, file->blob.size));
	return HF_OK;
}
