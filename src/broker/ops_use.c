/* SPDX-License-Identifier: Apache-2.0 */
/* ops_use.c: the operations that use keys. */
#include <string.h>

#include "broker/ops.h"
#include "broker/worker.h"

void hf_ops_fill_key(hf_KeeperKey *to, const struct hf_key *k, const struct hf_generation *g)
{
	(void)HF_PB_SET(to->blob, g->blob.p, g->blob.n);
	(void)HF_PB_SET(to->spki, g->spki.p, g->spki.n);
	(void)HF_PB_SET(to->spki_sha256, g->id, HF_ID_SIZE);
	to->usage = k->usage;
}

static void fill_profile(hf_KeeperSign *to, const struct hf_profile *p, const struct hf_key *k)
{
	size_t i;

	to->has_profile = true;
	to->profile.max_days = p->max_days;
	to->profile.self_max_days = p->self_max_days;
	to->profile.pathlen = p->pathlen;
	to->profile.ca_levels = p->ca_levels;
	to->profile.names_count = (pb_size_t)p->n_names;
	for (i = 0; i < p->n_names && i < HF_COUNT(to->profile.names); i++)
		(void)hf_copy(to->profile.names[i], sizeof(to->profile.names[i]), p->names[i]);
	to->issuer_not_after = k->issuer_not_after;
	(void)HF_PB_SET(to->issuer_subject, k->issuer_subject.p, k->issuer_subject.n);
}

/* What a ca key is about to let out is written down first. */
static enum hf_rc record_issued(struct hf_broker *b, struct hf_job *j, const hf_KeeperSigned *s,
				struct hf_err *e)
{
	struct hf_key *k = hf_catalogue_find(&b->catalogue, j->name);
	const hf_Issued *i = &s->issued;
	struct hf_issued line = { .not_after = i->not_after, .subject = i->subject };
	enum hf_rc rc;

	if (!k || !s->has_issued || s->input_sha256.size != 32)
		return hf_fail(e, HF_FAILED, "the keeper did not say what it signed");
	if (i->kind != hf_Issued_Kind_CERTIFICATE && i->kind != hf_Issued_Kind_SELF)
		return i->kind == hf_Issued_Kind_NONE
			       ? hf_fail(e, HF_FAILED, "the keeper did not say what it signed")
			       : HF_OK;
	if (i->serial.size > sizeof(line.serial) || i->spki_sha256.size != 32)
		return hf_fail(e, HF_FAILED, "the keeper did not say what it issued");
	line.n_serial = (uint8_t)i->serial.size;
	memcpy(line.serial, i->serial.bytes, i->serial.size);
	memcpy(line.tbs_sha256, s->input_sha256.bytes, 32);
	memcpy(line.spki_sha256, i->spki_sha256.bytes, 32);
	rc = hf_journals_add(&b->journals, j->name, &line, e);
	if (!rc && i->kind == hf_Issued_Kind_SELF)
		rc = hf_catalogue_set_issuer(
			&b->catalogue, k, i->not_after,
			(struct hf_view){ i->subject_der.bytes, i->subject_der.size }, e);
	return rc;
}

static void signature_made(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
			   struct hf_err *e)
{
	const hf_KeeperSigned *s = rep ? &rep->result.signature : NULL;
	struct hf_outcome outcome = hf_ops_outcome(rep);
	enum hf_rc rc = e->rc;

	memset(&b->reply, 0, sizeof(b->reply));
	if (rc == HF_OK && rep->which_result != hf_KeeperReply_signature_tag)
		rc = hf_fail(e, HF_FAILED, "the keeper answered without a signature");
	if (rc == HF_OK && (j->usage & HF_USAGE_CA))
		rc = record_issued(b, j, s, e);
	if (rc == HF_OK) {
		b->reply.which_result = hf_Reply_signature_tag;
		(void)HF_PB_SET(b->reply.result.signature.signature, s->signature.bytes,
				s->signature.size);
		(void)HF_PB_SET(b->reply.result.signature.spki_sha256, j->generation, HF_ID_SIZE);
	} else {
		(void)hf_within(e, "key %s", j->name);
	}
	hf_ops_answer(b, j, rc, e, &outcome);
}

static enum hf_rc check_sign(struct hf_call *c, const hf_Sign *r)
{
	const struct hf_scheme *s = hf_scheme_find(r->scheme);
	const struct hf_key *k = c->key;

	if (!(k->usage & (HF_USAGE_SIGN | HF_USAGE_CA)))
		return hf_fail(&c->err, HF_REFUSED, "key %s was not made for signing", k->name);
	if (!s || s->family != c->generation->algorithm->family)
		return hf_fail(&c->err, HF_ARGUMENT,
			       "key %s (%s) does not sign with '%s'; see 'holdfast key show'",
			       k->name, c->generation->algorithm->name, r->scheme);
	if ((k->usage & HF_USAGE_CA) && !r->message)
		return hf_fail(&c->err, HF_REFUSED,
			       "key %s is a ca key: it signs certificates and "
			       "revocation lists that it can read, never a digest",
			       k->name);
	if (!r->message && !s->hash)
		return hf_fail(&c->err, HF_ARGUMENT, "%s signs messages, not digests", s->name);
	if (!r->message && r->data.n != s->hash_len)
		return hf_fail(&c->err, HF_ARGUMENT,
			       "%s wants a digest of %zu bytes, this one has %zu", s->name,
			       s->hash_len, r->data.n);
	return HF_OK;
}

enum hf_rc hf_op_sign(struct hf_call *c)
{
	const hf_Sign *r = &c->b->request.op.sign;
	hf_KeeperSign *s = &c->b->keeper_request.op.sign;
	struct hf_worker *w = hf_worker_find(c->b, c->key->token);
	struct hf_job *j;
	enum hf_rc rc = check_sign(c, r);

	if (rc)
		return rc;
	if (!w)
		return hf_fail(&c->err, HF_UNAVAILABLE,
			       "key %s is in token %s, which is not configured", c->key->name,
			       c->key->token);
	c->b->keeper_request = (hf_KeeperRequest){ .which_op = hf_KeeperRequest_sign_tag };
	s->has_key = true;
	hf_ops_fill_key(&s->key, c->key, c->generation);
	(void)hf_copy(s->scheme, sizeof(s->scheme), r->scheme);
	s->message = r->message;
	if (c->key->usage & HF_USAGE_CA)
		fill_profile(s, hf_settings_profile(c->b->settings, c->key->name), c->key);
	j = hf_ops_job(c, w, r->data);
	if (!j)
		return c->err.rc;
	(void)hf_copy(j->scheme, sizeof(j->scheme), r->scheme);
	j->usage = c->key->usage;
	j->done = signature_made;
	c->pending = true;
	hf_worker_submit(c->b, j);
	return HF_OK;
}

/* ---------------------------------------------------------------- issuer */

static void issuer_parsed(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
			  struct hf_err *e)
{
	struct hf_key *k = hf_catalogue_find(&b->catalogue, j->name);
	struct hf_generation *g = k ? hf_key_generation(k, j->generation) : NULL;
	const hf_KeeperParsed *p = rep ? &rep->result.parsed : NULL;
	enum hf_rc rc = e->rc;

	memset(&b->reply, 0, sizeof(b->reply));
	if (!rc && rep->which_result != hf_KeeperReply_parsed_tag)
		rc = hf_fail(e, HF_FAILED, "the keeper did not read the certificate");
	if (!rc && !g)
		rc = hf_fail(e, HF_NO_KEY, "key %s was deleted meanwhile", j->name);
	if (!rc)
		rc = hf_catalogue_set_issuer(
			&b->catalogue, k, p->not_after,
			(struct hf_view){ p->subject_der.bytes, p->subject_der.size }, e);
	if (!rc)
		hf_ops_key_info(b, k, g);
	else
		(void)hf_within(e, "key %s", j->name);
	hf_ops_answer(b, j, rc, e, NULL);
}

enum hf_rc hf_op_key_issuer(struct hf_call *c)
{
	const hf_KeyIssuer *r = &c->b->request.op.key_issuer;
	hf_KeeperCertificate *k = &c->b->keeper_request.op.certificate;
	struct hf_worker *w = hf_worker_find(c->b, c->key->token);
	struct hf_job *j;

	if (!(c->key->usage & HF_USAGE_CA))
		return hf_fail(&c->err, HF_REFUSED,
			       "key %s is not a ca key: it has no issuer certificate",
			       c->key->name);
	if (!w)
		return hf_fail(&c->err, HF_UNAVAILABLE,
			       "key %s is in token %s, which is not configured", c->key->name,
			       c->key->token);
	memset(&c->b->keeper_request, 0, sizeof(c->b->keeper_request));
	c->b->keeper_request.which_op = hf_KeeperRequest_certificate_tag;
	(void)HF_PB_SET(k->spki, c->generation->spki.p, c->generation->spki.n);
	(void)HF_PB_SET(k->certificate, r->certificate.bytes, r->certificate.size);
	j = hf_ops_job(c, w, (struct hf_view){ NULL, 0 });
	if (!j)
		return c->err.rc;
	j->done = issuer_parsed;
	j->anyway = true; /* no token is needed to read a certificate */
	c->pending = true;
	hf_worker_submit(c->b, j);
	return HF_OK;
}
