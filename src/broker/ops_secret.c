/* SPDX-License-Identifier: Apache-2.0 */
/* ops_secret.c: decryption and agreement: the answers are secrets, and wiped once they are sent. */
#include <string.h>

#include "broker/ops.h"
#include "broker/worker.h"

/* A result of another size than the scheme's is none: a client may have no room for it. */
static enum hf_rc check_secret(const struct hf_job *j, const hf_KeeperReply *rep, struct hf_err *e)
{
	const struct hf_exchange *x = hf_exchange_find(j->scheme);
	const hf_KeeperSecret *s = &rep->result.secret;

	if (rep->which_result != hf_KeeperReply_secret_tag || s->input_sha256.size != HF_ID_SIZE)
		return hf_fail(e, HF_FAILED, "the keeper answered without a result");
	if (!x || !hf_exchange_gives(x, j->algorithm->bits, s->data.size))
		return hf_fail(e, HF_FAILED,
			       "the keeper answered with %u bytes, which %s never are",
			       (unsigned)s->data.size, j->scheme);
	return HF_OK;
}

static void secret_made(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
			struct hf_err *e)
{
	const hf_KeeperSecret *s = rep ? &rep->result.secret : NULL;
	struct hf_outcome outcome = { NULL, NULL };
	enum hf_rc rc = e->rc;

	memset(&b->reply, 0, sizeof(b->reply));
	if (rc == HF_OK)
		rc = check_secret(j, rep, e);
	if (rc == HF_OK) {
		outcome.input_sha256 = s->input_sha256.bytes;
		b->reply.which_result = hf_Reply_secret_tag;
		(void)HF_PB_SET(b->reply.result.secret.data, s->data.bytes, s->data.size);
		(void)HF_PB_SET(b->reply.result.secret.spki_sha256, j->generation, HF_ID_SIZE);
	} else {
		(void)hf_within(e, "key %s", j->name);
	}
	hf_ops_answer(b, j, rc, e, &outcome);
	explicit_bzero(b->reply.result.secret.data.bytes,
		       sizeof(b->reply.result.secret.data.bytes));
}

/* The scheme fits the key, and the key was made for it. */
static enum hf_rc check_use(struct hf_call *c, const char *scheme, unsigned usage, const char *verb,
			    const struct hf_exchange **x)
{
	const struct hf_key *k = c->key;

	if (!(k->usage & usage))
		return hf_fail(&c->err, HF_REFUSED, "key %s was not made to %s", k->name, verb);
	*x = hf_exchange_find(scheme);
	if (!*x || (*x)->usage != usage || (*x)->family != c->generation->algorithm->family)
		return hf_fail(&c->err, HF_ARGUMENT,
			       "key %s (%s) does not %s with '%s'; see 'holdfast key show'",
			       k->name, c->generation->algorithm->name, verb, scheme);
	return HF_OK;
}

static enum hf_rc submit(struct hf_call *c, const char *scheme, struct hf_view data)
{
	struct hf_worker *w = hf_worker_find(c->b, c->key->token);
	struct hf_job *j;

	if (!w)
		return hf_fail(&c->err, HF_UNAVAILABLE,
			       "key %s is in token %s, which is not configured", c->key->name,
			       c->key->token);
	j = hf_ops_job(c, w, data);
	if (!j)
		return c->err.rc;
	(void)hf_copy(j->scheme, sizeof(j->scheme), scheme);
	j->usage = c->key->usage;
	j->algorithm = c->generation->algorithm;
	j->done = secret_made;
	c->pending = true;
	hf_worker_submit(c->b, j);
	return HF_OK;
}

enum hf_rc hf_op_decrypt(struct hf_call *c)
{
	const hf_Decrypt *r = &c->b->request.op.decrypt;
	hf_KeeperDecrypt *d = &c->b->keeper_request.op.decrypt;
	const struct hf_exchange *x;

	if (check_use(c, r->scheme, HF_USAGE_DECRYPT, "decrypt", &x))
		return c->err.rc;
	if (r->data.size != c->generation->algorithm->bits / 8)
		return hf_fail(&c->err, HF_ARGUMENT,
			       "key %s decrypts %u bytes at once, these are %u", c->key->name,
			       c->generation->algorithm->bits / 8, (unsigned)r->data.size);
	if (r->label.size && x->pad != HF_PAD_OAEP)
		return hf_fail(&c->err, HF_ARGUMENT, "%s has no label", x->name);
	c->b->keeper_request = (hf_KeeperRequest){ .which_op = hf_KeeperRequest_decrypt_tag };
	d->has_key = true;
	hf_ops_fill_key(&d->key, c->key, c->generation);
	(void)hf_copy(d->scheme, sizeof(d->scheme), x->name);
	(void)HF_PB_SET(d->label, r->label.bytes, r->label.size);
	d->tls_client_version = r->tls_client_version;
	d->tls_negotiated_version = r->tls_negotiated_version;
	return submit(c, x->name, (struct hf_view){ r->data.bytes, r->data.size });
}

enum hf_rc hf_op_derive(struct hf_call *c)
{
	const hf_Derive *r = &c->b->request.op.derive;
	hf_KeeperDerive *d = &c->b->keeper_request.op.derive;
	size_t point = 2 * ((c->generation->algorithm->bits + 7) / 8) + 1;
	const struct hf_exchange *x;

	if (check_use(c, r->scheme, HF_USAGE_DERIVE, "agree on secrets", &x))
		return c->err.rc;
	if (r->peer.size != point || r->peer.bytes[0] != 0x04)
		return hf_fail(
			&c->err, HF_ARGUMENT,
			"key %s agrees with an uncompressed point of %zu bytes; this is none",
			c->key->name, point);
	c->b->keeper_request = (hf_KeeperRequest){ .which_op = hf_KeeperRequest_derive_tag };
	d->has_key = true;
	hf_ops_fill_key(&d->key, c->key, c->generation);
	(void)hf_copy(d->scheme, sizeof(d->scheme), x->name);
	return submit(c, x->name, (struct hf_view){ r->peer.bytes, r->peer.size });
}
