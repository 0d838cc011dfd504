/* SPDX-License-Identifier: Apache-2.0 */
/* ops_import.c: keys that come from elsewhere, and key files that go out. */
#include <string.h>

#include "base/log.h"

#include "broker/ops.h"
#include "broker/worker.h"

static enum hf_rc check_wrap(const struct hf_job *j, const hf_KeeperReply *rep, struct hf_err *e)
{
	const hf_WrapInfo *w = &rep->result.wrap;

	if (rep->which_result != hf_KeeperReply_wrap_tag || !w->public_key.size ||
	    strcmp(w->type, j->worker->token->type))
		return hf_fail(e, HF_FAILED, "the keeper answered without a public key");
	return HF_OK;
}

static void wrap_told(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		      struct hf_err *e)
{
	enum hf_rc rc = e->rc;

	memset(&b->reply, 0, sizeof(b->reply));
	if (!rc)
		rc = check_wrap(j, rep, e);
	if (!rc) {
		b->reply.which_result = hf_Reply_wrap_tag;
		b->reply.result.wrap = rep->result.wrap;
		(void)hf_copy(b->reply.result.wrap.token, sizeof(b->reply.result.wrap.token),
			      j->worker->token->name);
	}
	hf_ops_answer(b, j, rc, e, NULL);
}

static enum hf_rc find_token(struct hf_call *c, const char *token, struct hf_worker **w)
{
	*w = hf_worker_find(c->b, token);
	return *w ? HF_OK
		  : hf_fail(&c->err, HF_ARGUMENT,
			    "there is no token '%s'; see 'holdfast token list'", token);
}

enum hf_rc hf_op_token_wrap(struct hf_call *c)
{
	struct hf_worker *w;
	struct hf_job *j;

	if (find_token(c, c->b->request.op.token_wrap.token, &w))
		return c->err.rc;
	memset(&c->b->keeper_request, 0, sizeof(c->b->keeper_request));
	c->b->keeper_request.which_op = hf_KeeperRequest_wrap_tag;
	j = hf_ops_job(c, w, (struct hf_view){ NULL, 0 });
	if (!j)
		return c->err.rc;
	hf_ops_allow_time(c, j); /* a PKCS#11 token makes its wrapping key now */
	j->done = wrap_told;
	c->pending = true;
	hf_worker_submit(c->b, j);
	return HF_OK;
}

/* For a new key, or (c->key) a further generation of one. */
static enum hf_rc ask_import(struct hf_call *c, struct hf_worker *w, unsigned usage,
			     struct hf_job **out)
{
	const hf_KeyImport *r = &c->b->request.op.key_import;
	hf_KeeperImport *k = &c->b->keeper_request.op.import_key;
	struct hf_job *j;

	memset(&c->b->keeper_request, 0, sizeof(c->b->keeper_request));
	c->b->keeper_request.which_op = hf_KeeperRequest_import_key_tag;
	(void)hf_copy(k->format, sizeof(k->format), r->format);
	(void)hf_copy(k->name, sizeof(k->name), r->name);
	(void)HF_PB_SET(k->spki, r->spki.bytes, r->spki.size);
	k->usage = usage;
	j = hf_ops_making(c, w, (struct hf_view){ r->blob.bytes, r->blob.size });
	if (!j)
		return c->err.rc;
	(void)hf_copy(j->name, sizeof(j->name), r->name);
	j->item.cost = 25;
	j->usage = usage;
	*out = j;
	return HF_OK;
}

enum hf_rc hf_op_key_import(struct hf_call *c)
{
	const hf_KeyImport *r = &c->b->request.op.key_import;
	struct hf_worker *w;
	struct hf_job *j;

	if (hf_catalogue_find(&c->b->catalogue, r->name))
		return hf_fail(&c->err, HF_EXISTS, "there is a key %s already; delete it first",
			       r->name);
	if (hf_ops_check_usage(c, r->usage) || find_token(c, r->token, &w) ||
	    ask_import(c, w, r->usage, &j))
		return c->err.rc;
	j->done = hf_ops_created;
	c->pending = true;
	hf_worker_submit(c->b, j);
	return HF_OK;
}

enum hf_rc hf_op_key_import_stage(struct hf_call *c)
{
	struct hf_worker *w;
	struct hf_job *j;

	if (c->key->n == HF_GENERATIONS_MAX)
		return hf_fail(&c->err, HF_REFUSED, "key %s has %d generations already; retire one",
			       c->key->name, HF_GENERATIONS_MAX);
	if (find_token(c, c->key->token, &w) || ask_import(c, w, c->key->usage, &j))
		return c->err.rc;
	memset(j->generation, 0, sizeof(j->generation));
	j->done = hf_ops_staged;
	c->pending = true;
	hf_worker_submit(c->b, j);
	return HF_OK;
}

enum hf_rc hf_op_key_export(struct hf_call *c)
{
	hf_KeyFile *r = &c->b->reply.result.key_file;
	struct hf_worker *w = hf_worker_find(c->b, c->key->token);
	enum hf_rc rc = hf_catalogue_set_exported(&c->b->catalogue, c->key, &c->err);

	if (rc)
		return rc;
	if (!HF_PB_SET(r->blob, c->generation->blob.p, c->generation->blob.n))
		return hf_fail(&c->err, HF_CORRUPT, "the file of key %s is too long", c->key->name);
	(void)hf_copy(r->format, sizeof(r->format),
		      w && !strcmp(w->token->type, "pkcs11") ? "uri" : "tss2");
	c->b->reply.which_result = hf_Reply_key_file_tag;
	return HF_OK;
}

/* ---- keys that the configuration says a token has */

static void adopted(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		    struct hf_err *e)
{
	static const struct hf_op op = { .name = "key-adopt" };

	j->op = &op;
	hf_ops_created(b, j, rep, e);
	if (e->rc)
		hf_log(HF_LOG_WARN, "key %s: not taken over from its token: %s", j->name, e->msg);
	else
		hf_log(HF_LOG_NOTICE, "key %s: taken over, as it is in token %s", j->name,
		       j->worker->token->name);
}

static void adopt(struct hf_broker *b, struct hf_worker *w, const struct hf_preloaded *p)
{
	hf_KeeperImport *k = &b->keeper_request.op.import_key;
	struct hf_err err = HF_ERR_INIT;
	struct hf_job *j;

	memset(&b->keeper_request, 0, sizeof(b->keeper_request));
	b->keeper_request.which_op = hf_KeeperRequest_import_key_tag;
	(void)hf_copy(k->format, sizeof(k->format), "uri");
	(void)hf_copy(k->name, sizeof(k->name), p->name);
	k->usage = hf_usage_parse(p->usage);
	j = hf_job_new(b, w, NULL, (struct hf_view){ (const uint8_t *)p->uri, strlen(p->uri) },
		       &err);
	if (!j) {
		hf_log(HF_LOG_WARN, "key %s: not taken over from its token: %s", p->name, err.msg);
		return;
	}
	(void)hf_copy(j->name, sizeof(j->name), p->name);
	j->usage = k->usage;
	j->done = adopted;
	hf_worker_submit(b, j);
}

void hf_ops_adopt(struct hf_broker *b, struct hf_worker *w)
{
	size_t i;

	for (i = 0; i < w->token->n_keys; i++)
		if (!hf_catalogue_find(&b->catalogue, w->token->keys[i].name))
			adopt(b, w, &w->token->keys[i]);
}

/* ---- what a token keeps of a key that the catalogue has let go */

static void destroyed(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		      struct hf_err *e)
{
	(void)b;
	(void)rep;
	if (e->rc)
		hf_log(HF_LOG_WARN, "key %s: left behind in its token: %s", j->name, e->msg);
}

/* b->keeper_request.op.destroy is filled in. */
static void ask_destroy(struct hf_broker *b, struct hf_worker *w, const char *name)
{
	struct hf_err err = HF_ERR_INIT;
	struct hf_job *j;

	b->keeper_request.which_op = hf_KeeperRequest_destroy_tag;
	j = hf_job_new(b, w, NULL, (struct hf_view){ NULL, 0 }, &err);
	if (!j) {
		hf_log(HF_LOG_WARN, "key %s: left behind in its token: %s", name, err.msg);
		return;
	}
	(void)hf_copy(j->name, sizeof(j->name), name);
	j->done = destroyed;
	hf_worker_submit(b, j);
	memset(&b->reply, 0, sizeof(b->reply)); /* a keeper that just died was answered for */
}

/* All of a TPM's key is in its file. */
static bool keeps_keys(const struct hf_worker *w)
{
	return w && strcmp(w->token->type, "tpm2") != 0;
}

void hf_ops_forget(void *broker, const struct hf_key *k, const struct hf_generation *g)
{
	struct hf_broker *b = broker;
	struct hf_worker *w = hf_worker_find(b, k->token);

	if (!keeps_keys(w))
		return;
	memset(&b->keeper_request, 0, sizeof(b->keeper_request));
	b->keeper_request.op.destroy.has_key = true;
	hf_ops_fill_key(&b->keeper_request.op.destroy.key, k, g);
	ask_destroy(b, w, k->name);
}

/*
 * A keeper that died may have made it, and only we know now what it is called. Not asked for at
 * once: whoever told us that it died is in the middle of something, and a keeper that hangs dies
 * in a while only.
 */
static void note_left(const struct hf_job *j)
{
	struct hf_seat *s = j->seat;
	struct hf_left *left;

	if (!j->has_object_id || !s || j->at_keeper || s->n_left == HF_COUNT(s->left))
		return;
	left = &s->left[s->n_left++];
	memcpy(left->name, j->name, sizeof(left->name));
	memcpy(left->object_id, j->object_id, sizeof(left->object_id));
}

void hf_ops_clear_up(struct hf_broker *b, struct hf_seat *s)
{
	struct hf_left left[HF_KEEPER_DEPTH];
	unsigned i, n = s->n_left;

	memcpy(left, s->left, sizeof(left));
	s->n_left = 0;
	for (i = 0; i < n; i++) {
		memset(&b->keeper_request, 0, sizeof(b->keeper_request));
		(void)HF_PB_SET(b->keeper_request.op.destroy.object_id, left[i].object_id,
				HF_OBJECT_ID_SIZE);
		ask_destroy(b, s->worker, left[i].name);
	}
}

void hf_ops_discard(struct hf_broker *b, const struct hf_job *j, const hf_KeeperReply *rep)
{
	const hf_KeeperCreated *made = rep ? &rep->result.created : NULL;
	hf_KeeperKey *k = &b->keeper_request.op.destroy.key;

	if (!keeps_keys(j->worker))
		return;
	if (!rep)
		note_left(j);
	if (!rep || rep->status || rep->which_result != hf_KeeperReply_created_tag)
		return;
	memset(&b->keeper_request, 0, sizeof(b->keeper_request));
	b->keeper_request.op.destroy.has_key = true;
	(void)HF_PB_SET(k->blob, made->blob.bytes, made->blob.size);
	(void)HF_PB_SET(k->spki, made->spki.bytes, made->spki.size);
	(void)HF_PB_SET(k->spki_sha256, made->spki_sha256.bytes, made->spki_sha256.size);
	k->usage = j->usage;
	ask_destroy(b, j->worker, j->name);
}
