/* SPDX-License-Identifier: Apache-2.0 */
/* ops_attest.c: what a token says of itself to those who do not know it. */
#include <string.h>

#include "broker/ops.h"
#include "broker/worker.h"

static enum hf_rc check_attested(const hf_KeeperReply *rep, struct hf_err *e)
{
	const hf_KeeperAttested *a = &rep->result.attested;

	if (rep->which_result != hf_KeeperReply_attested_tag || !a->has_attestation ||
	    !a->attestation.statement.size || !a->attestation.signature.size ||
	    a->input_sha256.size != HF_ID_SIZE)
		return hf_fail(e, HF_FAILED, "the keeper answered without a statement");
	return HF_OK;
}

static void attested(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		     struct hf_err *e)
{
	struct hf_outcome outcome = { NULL, NULL };
	enum hf_rc rc = e->rc;

	memset(&b->reply, 0, sizeof(b->reply));
	if (!rc)
		rc = check_attested(rep, e);
	if (!rc) {
		outcome.input_sha256 = rep->result.attested.input_sha256.bytes;
		b->reply.which_result = hf_Reply_attestation_tag;
		b->reply.result.attestation = rep->result.attested.attestation;
		(void)HF_PB_SET(b->reply.result.attestation.spki_sha256, j->generation, HF_ID_SIZE);
	} else {
		(void)hf_within(e, "key %s", j->name);
	}
	hf_ops_answer(b, j, rc, e, &outcome);
}

/* What once was outside of the token is no key of which the token could say that only it has it. */
static enum hf_rc check_origin(struct hf_call *c)
{
	const char *name = c->key->name;

	if (c->generation->imported)
		return hf_fail(&c->err, HF_REFUSED,
			       "key %s was imported: it has been in software, where copies may be, "
			       "so nothing is attested; 'holdfast key rotate %s' makes one that "
			       "never was",
			       name, name);
	if (c->key->exported)
		return hf_fail(
			&c->err, HF_REFUSED,
			"the file of key %s is, or was, outside of holdfast, past its rules, "
			"so nothing is attested; make a key of another name",
			name);
	return HF_OK;
}

enum hf_rc hf_op_key_attest(struct hf_call *c)
{
	const hf_KeyAttest *r = &c->b->request.op.key_attest;
	hf_KeeperAttest *a = &c->b->keeper_request.op.attest;
	struct hf_worker *w = hf_worker_find(c->b, c->key->token);
	HF_AUTO_BUF data = HF_BUF(sizeof(a->creation_data.bytes));
	HF_AUTO_BUF ticket = HF_BUF(sizeof(a->creation_ticket.bytes));
	struct hf_job *j;

	if (check_origin(c))
		return c->err.rc;
	if (!w)
		return hf_fail(&c->err, HF_UNAVAILABLE,
			       "key %s is in token %s, which is not configured", c->key->name,
			       c->key->token);
	if (hf_catalogue_evidence(&c->b->catalogue, c->key, c->generation, &data, &ticket, &c->err))
		return hf_within(&c->err, "key %s", c->key->name);
	memset(&c->b->keeper_request, 0, sizeof(c->b->keeper_request));
	c->b->keeper_request.which_op = hf_KeeperRequest_attest_tag;
	a->has_key = true;
	hf_ops_fill_key(&a->key, c->key, c->generation);
	(void)HF_PB_SET(a->nonce, r->nonce.bytes, r->nonce.size);
	(void)HF_PB_SET(a->creation_data, data.p, data.n);
	(void)HF_PB_SET(a->creation_ticket, ticket.p, ticket.n);
	j = hf_ops_job(c, w, (struct hf_view){ NULL, 0 });
	if (!j)
		return c->err.rc;
	hf_ops_allow_time(c, j); /* the endorsement key may be an RSA one, and is made anew */
	j->done = attested;
	c->pending = true;
	hf_worker_submit(c->b, j);
	return HF_OK;
}

static void activated(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		      struct hf_err *e)
{
	const hf_KeeperSecret *s = rep ? &rep->result.secret : NULL;
	struct hf_outcome outcome = { NULL, NULL };
	enum hf_rc rc = e->rc;

	memset(&b->reply, 0, sizeof(b->reply));
	if (!rc && (rep->which_result != hf_KeeperReply_secret_tag || !s->data.size ||
		    s->input_sha256.size != HF_ID_SIZE))
		rc = hf_fail(e, HF_FAILED, "the keeper answered without a secret");
	if (!rc) {
		outcome.input_sha256 = s->input_sha256.bytes;
		b->reply.which_result = hf_Reply_secret_tag;
		(void)HF_PB_SET(b->reply.result.secret.data, s->data.bytes, s->data.size);
	}
	hf_ops_answer(b, j, rc, e, &outcome);
	explicit_bzero(b->reply.result.secret.data.bytes,
		       sizeof(b->reply.result.secret.data.bytes));
}

/* Who answers for the TPM answers for all of its keys. */
static bool may_answer(const struct hf_call *c)
{
	/* Fits no pattern but those that fit every key. */
	static const char whatever[] = "////////////////////////////////";

	return hf_policy_allows(c->b->settings, &c->conn->who, whatever, HF_RIGHT_ADMIN);
}

enum hf_rc hf_op_token_activate(struct hf_call *c)
{
	const hf_TokenActivate *r = &c->b->request.op.token_activate;
	hf_KeeperActivate *a = &c->b->keeper_request.op.activate;
	struct hf_worker *w = hf_worker_find(c->b, r->token);
	struct hf_job *j;

	if (!may_answer(c))
		return hf_fail(&c->err, HF_DENIED,
			       "no [[principal]] in config.toml gives this user (uid %u) the right "
			       "admin on all keys (\"*\")",
			       (unsigned)c->conn->who.uid);
	if (!w)
		return hf_fail(&c->err, HF_ARGUMENT,
			       "there is no token '%s'; see 'holdfast token list'", r->token);
	memset(&c->b->keeper_request, 0, sizeof(c->b->keeper_request));
	c->b->keeper_request.which_op = hf_KeeperRequest_activate_tag;
	(void)HF_PB_SET(a->credential, r->credential.bytes, r->credential.size);
	(void)HF_PB_SET(a->seed, r->seed.bytes, r->seed.size);
	j = hf_ops_job(c, w, (struct hf_view){ NULL, 0 });
	if (!j)
		return c->err.rc;
	hf_ops_allow_time(c, j);
	j->done = activated;
	c->pending = true;
	hf_worker_submit(c->b, j);
	return HF_OK;
}
