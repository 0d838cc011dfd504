/* SPDX-License-Identifier: Apache-2.0 */
/* ops_key.c: the operations on the catalogue. */
#include <string.h>
#include <time.h>

#include "broker/ops.h"
#include "broker/worker.h"

static void fill_generation(hf_Generation *to, const struct hf_key *k,
			    const struct hf_generation *g)
{
	(void)HF_PB_SET(to->spki_sha256, g->id, HF_ID_SIZE);
	(void)hf_copy(to->algorithm, sizeof(to->algorithm), g->algorithm->name);
	to->created = g->created;
	to->imported = g->imported;
	to->retire_at = g->retire_at;
	to->state = g == &k->generations[k->current] ? hf_Generation_State_CURRENT
		    : g->retire_at		     ? hf_Generation_State_RETIRING
						     : hf_Generation_State_STAGED;
}

static void fill_exchanges(hf_KeyInfo *i, const struct hf_key *k, const struct hf_generation *g)
{
	const struct hf_exchange *x;

	for (x = hf_exchanges; x->name; x++) {
		if (x->family != g->algorithm->family || !(k->usage & x->usage))
			continue;
		if (x->usage == HF_USAGE_DERIVE && i->agreements_count < HF_COUNT(i->agreements))
			(void)hf_copy(i->agreements[i->agreements_count++],
				      sizeof(i->agreements[0]), x->name);
		if (x->usage == HF_USAGE_DECRYPT && i->ciphers_count < HF_COUNT(i->ciphers))
			(void)hf_copy(i->ciphers[i->ciphers_count++], sizeof(i->ciphers[0]),
				      x->name);
	}
}

void hf_ops_key_info(struct hf_broker *b, const struct hf_key *k, const struct hf_generation *g)
{
	hf_KeyInfo *i = &b->reply.result.key;
	const struct hf_scheme *s;
	size_t n;

	memset(&b->reply, 0, sizeof(b->reply));
	b->reply.which_result = hf_Reply_key_tag;
	(void)hf_copy(i->name, sizeof(i->name), k->name);
	(void)hf_copy(i->token, sizeof(i->token), k->token);
	(void)hf_copy(i->algorithm, sizeof(i->algorithm), g->algorithm->name);
	i->usage = k->usage;
	i->issuer_not_after = k->issuer_not_after;
	(void)HF_PB_SET(i->spki_sha256, g->id, HF_ID_SIZE);
	(void)HF_PB_SET(i->spki, g->spki.p, g->spki.n);
	for (n = 0; n < k->n && n < HF_COUNT(i->generations); n++)
		fill_generation(&i->generations[n], k, &k->generations[n]);
	i->generations_count = (pb_size_t)n;
	i->exported = k->exported;
	fill_exchanges(i, k, g);
	if (!(k->usage & (HF_USAGE_SIGN | HF_USAGE_CA)))
		return;
	for (s = hf_schemes; s->name && i->schemes_count < HF_COUNT(i->schemes); s++)
		if (s->family == g->algorithm->family &&
		    !((k->usage & HF_USAGE_CA) && s->hash_len == 20)) /* SHA-1 */
			(void)hf_copy(i->schemes[i->schemes_count++], sizeof(i->schemes[0]),
				      s->name);
}

enum hf_rc hf_op_key_list(struct hf_call *c)
{
	hf_KeyListReply *r = &c->b->reply.result.key_list;
	const struct hf_catalogue *cat = &c->b->catalogue;
	size_t i;

	c->b->reply.which_result = hf_Reply_key_list_tag;
	for (i = hf_catalogue_after(cat, c->b->request.op.key_list.after); i < cat->n; i++) {
		const struct hf_key *k = cat->keys[i];
		const struct hf_generation *g = &k->generations[k->current];
		hf_KeySummary *to;

		if (!hf_policy_allows(c->b->settings, &c->conn->who, k->name, HF_RIGHT_PUBLIC))
			continue;
		if (r->keys_count == HF_COUNT(r->keys)) {
			r->more = true;
			break;
		}
		to = &r->keys[r->keys_count++];
		(void)hf_copy(to->name, sizeof(to->name), k->name);
		(void)hf_copy(to->token, sizeof(to->token), k->token);
		(void)hf_copy(to->algorithm, sizeof(to->algorithm), g->algorithm->name);
		to->usage = k->usage;
		to->generations = (uint32_t)k->n;
		to->created = g->created;
		(void)HF_PB_SET(to->spki_sha256, g->id, HF_ID_SIZE);
	}
	return HF_OK;
}

enum hf_rc hf_op_key_get(struct hf_call *c)
{
	hf_ops_key_info(c->b, c->key, c->generation);
	return HF_OK;
}

/* What the keeper made, or why that cannot be it. */
static enum hf_rc made_of(const hf_KeeperReply *rep, struct hf_made *m, struct hf_err *e)
{
	const hf_KeeperCreated *k = &rep->result.created;

	if (rep->which_result != hf_KeeperReply_created_tag || k->spki_sha256.size != HF_ID_SIZE ||
	    !k->blob.size || !k->spki.size)
		return hf_fail(e, HF_FAILED, "the keeper answered without a key");
	*m = (struct hf_made){
		.spki = { k->spki.bytes, k->spki.size },
		.blob = { k->blob.bytes, k->blob.size },
		.creation_data = { k->creation_data.bytes, k->creation_data.size },
		.creation_hash = { k->creation_hash.bytes, k->creation_hash.size },
		.creation_ticket = { k->creation_ticket.bytes, k->creation_ticket.size },
		.id = k->spki_sha256.bytes,
		.imported = k->imported,
		.outside = k->outside,
	};
	return HF_OK;
}

/* What an algorithm cannot do; signing they all can. */
static bool usage_fits(unsigned usage, const struct hf_algorithm *a)
{
	return (!(usage & HF_USAGE_DECRYPT) || a->family == HF_FAMILY_RSA) &&
	       (!(usage & HF_USAGE_DERIVE) || a->family == HF_FAMILY_EC);
}

/* Of an imported key the keeper tells; of one that was to be made it is known. */
static enum hf_rc algorithm_of(struct hf_job *j, const hf_KeeperReply *rep, struct hf_made *made,
			       struct hf_err *e)
{
	if (!j->algorithm)
		j->algorithm = hf_algorithm_find(rep->result.created.algorithm);
	if (!j->algorithm)
		return hf_fail(e, HF_FAILED, "the keeper did not say what it is");
	if (!usage_fits(j->usage, j->algorithm))
		return hf_fail(e, HF_FAILED, "the keeper took an %s key for a usage it cannot have",
			       j->algorithm->name);
	made->algorithm = j->algorithm;
	return HF_OK;
}

void hf_ops_created(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		    struct hf_err *e)
{
	enum hf_rc rc = e->rc;
	struct hf_made made;
	struct hf_key *k = NULL;

	memset(&b->reply, 0, sizeof(b->reply));
	if (!rc)
		rc = made_of(rep, &made, e);
	if (!rc)
		rc = algorithm_of(j, rep, &made, e);
	if (!rc)
		rc = hf_catalogue_create(&b->catalogue, j->name, j->worker->token->name, j->usage,
					 &made, &k, e);
	if (!rc) {
		memcpy(j->generation, made.id, HF_ID_SIZE);
		hf_ops_key_info(b, k, &k->generations[0]);
	}
	hf_ops_answer(b, j, rc, e, NULL);
	if (rc)
		hf_ops_discard(b, j, rep);
}

void hf_ops_staged(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		   struct hf_err *e)
{
	struct hf_key *k = hf_catalogue_find(&b->catalogue, j->name);
	enum hf_rc rc = e->rc;
	struct hf_made made;

	memset(&b->reply, 0, sizeof(b->reply));
	if (!rc)
		rc = made_of(rep, &made, e);
	if (!rc && (!k || k->usage != j->usage || strcmp(k->token, j->worker->token->name)))
		rc = hf_fail(e, HF_NO_KEY, "key %s was deleted meanwhile", j->name);
	if (!rc)
		rc = algorithm_of(j, rep, &made, e);
	if (!rc) {
		made.transaction = j->has_transaction ? j->transaction : NULL;
		rc = hf_catalogue_stage(&b->catalogue, k, &made, e);
	}
	if (!rc) {
		memcpy(j->generation, made.id, HF_ID_SIZE);
		hf_ops_key_info(b, k, &k->generations[k->n - 1]);
	}
	hf_ops_answer(b, j, rc, e, NULL);
	if (rc)
		hf_ops_discard(b, j, rep);
}

/* Asks the keeper of @w for a key pair. */
static enum hf_rc ask_create(struct hf_call *c, struct hf_worker *w, const char *name,
			     const struct hf_algorithm *a, unsigned usage, struct hf_job **out)
{
	hf_KeeperCreate *k = &c->b->keeper_request.op.create;
	bool slow = a->family == HF_FAMILY_RSA;
	struct hf_job *j;

	if (slow && c->conn->peer->making >= HF_MAKING_MAX)
		return hf_fail(&c->err, HF_BUSY,
			       "an RSA key of yours is being made and another one waits; try again "
			       "when they are there");
	memset(&c->b->keeper_request, 0, sizeof(c->b->keeper_request));
	c->b->keeper_request.which_op = hf_KeeperRequest_create_tag;
	(void)hf_copy(k->algorithm, sizeof(k->algorithm), a->name);
	(void)hf_copy(k->name, sizeof(k->name), name);
	k->usage = usage;
	j = hf_ops_making(c, w, (struct hf_view){ NULL, 0 });
	if (!j)
		return c->err.rc;
	j->item.cost = slow ? HF_COST_LONG : 10;
	j->making = slow;
	j->peer->making += slow;
	j->algorithm = a;
	j->usage = usage;
	*out = j;
	return HF_OK;
}

static enum hf_rc token_makes(struct hf_call *c, const struct hf_worker *w, const char *algorithm)
{
	HF_AUTO_BUF list = HF_BUF(512);
	size_t i;

	if (!w->info.algorithms_count)
		return HF_OK; /* not seen yet: the keeper knows */
	for (i = 0; i < w->info.algorithms_count; i++) {
		if (!strcmp(w->info.algorithms[i], algorithm))
			return HF_OK;
		hf_buf_fmt(&list, "%s%s", i ? ", " : "", w->info.algorithms[i]);
	}
	return hf_fail(&c->err, HF_UNSUPPORTED, "token %s has no %s; it has %s", w->token->name,
		       algorithm, list.p ? (const char *)list.p : "nothing");
}

enum hf_rc hf_ops_check_usage(struct hf_call *c, unsigned usage)
{
	char text[64];

	hf_usage_text(text, usage);
	if (usage && hf_usage_parse(text) == usage)
		return HF_OK;
	return hf_fail(&c->err, HF_ARGUMENT,
		       "usage %u makes no sense: ca goes alone, others are sign, decrypt, derive",
		       usage);
}

enum hf_rc hf_op_key_create(struct hf_call *c)
{
	const hf_KeyCreate *r = &c->b->request.op.key_create;
	const struct hf_algorithm *a = hf_algorithm_find(r->algorithm);
	struct hf_worker *w = hf_worker_find(c->b, r->token);
	char name[HF_NAME_SIZE];
	struct hf_job *j;
	enum hf_rc rc;

	if (!a)
		return hf_fail(&c->err, HF_ARGUMENT, "algorithm '%s' is not known", r->algorithm);
	if (!w)
		return hf_fail(&c->err, HF_ARGUMENT,
			       "there is no token '%s'; see 'holdfast token list'", r->token);
	if (hf_ops_check_usage(c, r->usage))
		return c->err.rc;
	if (hf_catalogue_find(&c->b->catalogue, r->name))
		return hf_fail(&c->err, HF_EXISTS,
			       "key %s exists already; 'holdfast key rotate' makes a "
			       "new generation of it",
			       r->name);
	rc = token_makes(c, w, a->name);
	if (rc)
		return rc;
	(void)hf_copy(name, sizeof(name), r->name);
	rc = ask_create(c, w, name, a, r->usage, &j);
	if (rc)
		return rc;
	(void)hf_copy(j->name, sizeof(j->name), name);
	j->done = hf_ops_created;
	c->pending = true;
	hf_worker_submit(c->b, j);
	return HF_OK;
}

static struct hf_generation *find_transaction(struct hf_key *k, const uint8_t transaction[16])
{
	size_t i;

	for (i = 0; i < k->n; i++)
		if (!memcmp(k->generations[i].transaction, transaction, 16))
			return &k->generations[i];
	return NULL;
}

enum hf_rc hf_op_key_stage(struct hf_call *c)
{
	const hf_KeyStage *r = &c->b->request.op.key_stage;
	const struct hf_algorithm *a = c->key->generations[c->key->current].algorithm;
	struct hf_worker *w = hf_worker_find(c->b, c->key->token);
	struct hf_generation *again;
	struct hf_job *j;
	enum hf_rc rc;

	if (r->transaction.size != 0 && r->transaction.size != 16)
		return hf_fail(&c->err, HF_ARGUMENT, "a transaction has 16 bytes");
	again = r->transaction.size ? find_transaction(c->key, r->transaction.bytes) : NULL;
	if (again) {
		hf_ops_key_info(c->b, c->key, again);
		return HF_OK;
	}
	if (r->algorithm[0])
		a = hf_algorithm_find(r->algorithm);
	if (!a)
		return hf_fail(&c->err, HF_ARGUMENT, "algorithm '%s' is not known", r->algorithm);
	if (!usage_fits(c->key->usage, a))
		return hf_fail(&c->err, HF_ARGUMENT,
			       "key %s is to decrypt or to agree on secrets, which no %s key does",
			       c->key->name, a->name);
	if (!w)
		return hf_fail(&c->err, HF_UNAVAILABLE,
			       "key %s is in token %s, which is not configured", c->key->name,
			       c->key->token);
	if (c->key->n == HF_GENERATIONS_MAX)
		return hf_fail(&c->err, HF_REFUSED, "key %s has %d generations already; retire one",
			       c->key->name, HF_GENERATIONS_MAX);
	rc = token_makes(c, w, a->name);
	if (!rc)
		rc = ask_create(c, w, c->key->name, a, c->key->usage, &j);
	if (rc)
		return rc;
	j->has_transaction = r->transaction.size == 16;
	memcpy(j->transaction, r->transaction.bytes, sizeof(j->transaction));
	j->done = hf_ops_staged;
	c->pending = true;
	hf_worker_submit(c->b, j);
	return HF_OK;
}

enum hf_rc hf_op_key_current(struct hf_call *c)
{
	const hf_KeyCurrent *r = &c->b->request.op.key_current;
	uint64_t now = (uint64_t)time(NULL);
	enum hf_rc rc;

	if (!r->key.spki_sha256.size)
		return hf_fail(&c->err, HF_ARGUMENT,
			       "which generation of %s? Its fingerprint is missing", c->key->name);
	rc = hf_catalogue_make_current(&c->b->catalogue, c->key, c->generation, now, r->grace_s,
				       &c->err);
	if (rc)
		return rc;
	c->b->collect_at = hf_catalogue_collect(&c->b->catalogue, now);
	hf_ops_key_info(c->b, c->key, &c->key->generations[c->key->current]);
	return HF_OK;
}

enum hf_rc hf_op_key_retire(struct hf_call *c)
{
	if (!c->b->request.op.key_retire.key.spki_sha256.size)
		return hf_fail(&c->err, HF_ARGUMENT,
			       "which generation of %s? Its fingerprint is missing", c->key->name);
	return hf_catalogue_retire(&c->b->catalogue, c->key, c->generation, &c->err);
}

enum hf_rc hf_op_key_delete(struct hf_call *c)
{
	return hf_catalogue_delete(&c->b->catalogue, c->key, &c->err);
}
