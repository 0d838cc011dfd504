/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/ops.h"

#include <string.h>
#include <sys/random.h>

#include "base/process.h"
#include "broker/audit.h"
#include "broker/conn.h"
#include "broker/worker.h"

static enum hf_rc op_hello(struct hf_call *c)
{
	const hf_Hello *h = &c->b->request.op.hello;
	hf_HelloReply *r = &c->b->reply.result.hello;

	if (h->version < 1)
		return hf_fail(&c->err, HF_UNSUPPORTED,
			       "protocol version %u is not spoken here; %u is",
			       (unsigned)h->version, HF_WIRE_VERSION);
	c->conn->greeted = true;
	c->b->reply.which_result = hf_Reply_hello_tag;
	r->version = HF_WIRE_VERSION;
	r->packet_max = c->b->settings->limits.packet;
	(void)hf_copy(r->software, sizeof(r->software), "holdfastd " HF_VERSION);
	return HF_OK;
}

#define ANY_RIGHT (HF_RIGHT_ADMIN * 2 - 1)

static const struct hf_op ops[] = {
	{ hf_Request_hello_tag, "hello", HF_TARGET_NONE, 0, true, op_hello },
	{ hf_Request_key_list_tag, "key-list", HF_TARGET_NONE, HF_RIGHT_PUBLIC, true,
	  hf_op_key_list },
	{ hf_Request_key_get_tag, "key-get", HF_TARGET_KEY, HF_RIGHT_PUBLIC, true, hf_op_key_get },
	{ hf_Request_key_create_tag, "key-create", HF_TARGET_NEW, HF_RIGHT_CREATE, false,
	  hf_op_key_create },
	{ hf_Request_key_stage_tag, "key-stage", HF_TARGET_KEY, HF_RIGHT_ROTATE, false,
	  hf_op_key_stage },
	{ hf_Request_key_current_tag, "key-current", HF_TARGET_KEY, HF_RIGHT_ROTATE, false,
	  hf_op_key_current },
	{ hf_Request_key_retire_tag, "key-retire", HF_TARGET_KEY, HF_RIGHT_ROTATE, false,
	  hf_op_key_retire },
	{ hf_Request_key_delete_tag, "key-delete", HF_TARGET_KEY, HF_RIGHT_DELETE, false,
	  hf_op_key_delete },
	{ hf_Request_key_issuer_tag, "key-issuer", HF_TARGET_KEY, HF_RIGHT_ROTATE, false,
	  hf_op_key_issuer },
	{ hf_Request_decrypt_tag, "decrypt", HF_TARGET_KEY, HF_RIGHT_DECRYPT, false,
	  hf_op_decrypt },
	{ hf_Request_derive_tag, "derive", HF_TARGET_KEY, HF_RIGHT_DERIVE, false, hf_op_derive },
	{ hf_Request_token_wrap_tag, "token-wrap", HF_TARGET_NONE, HF_RIGHT_CREATE, false,
	  hf_op_token_wrap },
	{ hf_Request_key_import_tag, "key-import", HF_TARGET_NEW, HF_RIGHT_CREATE, false,
	  hf_op_key_import },
	{ hf_Request_key_export_tag, "key-export", HF_TARGET_KEY, HF_RIGHT_ADMIN, false,
	  hf_op_key_export },
	{ hf_Request_key_attest_tag, "key-attest", HF_TARGET_KEY, HF_RIGHT_ADMIN, false,
	  hf_op_key_attest },
	{ hf_Request_token_activate_tag, "token-activate", HF_TARGET_NONE, HF_RIGHT_ADMIN, false,
	  hf_op_token_activate },
	{ hf_Request_sign_tag, "sign", HF_TARGET_KEY, HF_RIGHT_USE, false, hf_op_sign },
	{ hf_Request_token_list_tag, "token-list", HF_TARGET_NONE, ANY_RIGHT, true,
	  hf_op_token_list },
	{ hf_Request_status_get_tag, "status", HF_TARGET_NONE, ANY_RIGHT, true, hf_op_status },
	{ hf_Request_policy_explain_tag, "policy-explain", HF_TARGET_NONE, HF_RIGHT_ADMIN, false,
	  hf_op_policy_explain },
	{ hf_Request_token_provision_tag, "token-provision", HF_TARGET_NONE, HF_RIGHT_ADMIN, false,
	  hf_op_provision },
};

/* Of a further generation: the name has to be there, and another right is needed. */
static const struct hf_op import_stage = {
	hf_Request_key_import_tag, "key-import", HF_TARGET_KEY,
	HF_RIGHT_ROTATE,	   false,	 hf_op_key_import_stage
};

static const struct hf_op *find_op(const hf_Request *r)
{
	pb_size_t tag = r->which_op;
	size_t i;

	if (tag == hf_Request_key_import_tag && r->op.key_import.stage)
		return &import_stage;

	for (i = 0; i < HF_COUNT(ops); i++)
		if (ops[i].tag == tag)
			return &ops[i];
	return NULL;
}

/* What the request names: a name, an id, or both. */
static void target_of(const hf_Request *r, const char **name, const hf_KeyRef **ref)
{
	*name = "";
	*ref = NULL;
	switch (r->which_op) {
	case hf_Request_key_get_tag:
		*ref = &r->op.key_get.key;
		break;
	case hf_Request_key_current_tag:
		*ref = &r->op.key_current.key;
		break;
	case hf_Request_key_retire_tag:
		*ref = &r->op.key_retire.key;
		break;
	case hf_Request_key_issuer_tag:
		*ref = &r->op.key_issuer.key;
		break;
	case hf_Request_sign_tag:
		*ref = &r->op.sign.key;
		break;
	case hf_Request_decrypt_tag:
		*ref = &r->op.decrypt.key;
		break;
	case hf_Request_derive_tag:
		*ref = &r->op.derive.key;
		break;
	case hf_Request_key_export_tag:
		*ref = &r->op.key_export.key;
		break;
	case hf_Request_key_attest_tag:
		*ref = &r->op.key_attest.key;
		break;
	case hf_Request_key_import_tag:
		*name = r->op.key_import.name;
		break;
	case hf_Request_key_create_tag:
		*name = r->op.key_create.name;
		break;
	case hf_Request_key_stage_tag:
		*name = r->op.key_stage.name;
		break;
	case hf_Request_key_delete_tag:
		*name = r->op.key_delete.name;
		break;
	default:
		break;
	}
	if (*ref)
		*name = (*ref)->name;
}

static void look_up(struct hf_call *c, const char *name, const hf_KeyRef *ref)
{
	struct hf_found f = { NULL, NULL };
	bool by_id = ref && ref->spki_sha256.size == HF_ID_SIZE;

	if (ref && ref->spki_sha256.size && !by_id)
		return;
	if (name[0])
		f.key = hf_catalogue_find(&c->b->catalogue, name);
	else if (by_id)
		f = hf_catalogue_find_id(&c->b->catalogue, ref->spki_sha256.bytes);
	if (f.key && name[0])
		f.generation = by_id ? hf_key_generation(f.key, ref->spki_sha256.bytes)
				     : &f.key->generations[f.key->current];
	if (f.generation) {
		c->key = f.key;
		c->generation = f.generation;
	}
}

static unsigned right_to_use(const struct hf_key *k)
{
	return k->usage & HF_USAGE_CA ? HF_RIGHT_CA : HF_RIGHT_SIGN;
}

/* What it would be done with; NULL where that is no question. */
static const char *scheme_of(const hf_Request *r)
{
	switch (r->which_op) {
	case hf_Request_sign_tag:
		return r->op.sign.scheme;
	case hf_Request_decrypt_tag:
		return r->op.decrypt.scheme;
	case hf_Request_derive_tag:
		return r->op.derive.scheme;
	default:
		return NULL;
	}
}

/* What costs the token something; looking at keys does not. */
static enum hf_rc check_rate(struct hf_call *c, const struct hf_grant *g, unsigned right)
{
	size_t rule = (size_t)(g - c->b->settings->grants);

	if (!g->rate || right == HF_RIGHT_PUBLIC ||
	    hf_peer_rate(c->conn->peer, rule, g->rate, hf_now_ms()))
		return HF_OK;
	return hf_fail(&c->err, HF_BUSY,
		       "more than %u operations a second, which is what config.toml allows; try "
		       "again in a moment",
		       (unsigned)g->rate);
}

/* Unknown and forbidden look the same, but to who administers keys of that name. */
static enum hf_rc decide_key(struct hf_call *c)
{
	const struct hf_settings *s = c->b->settings;
	const struct hf_principal *who = &c->conn->who;
	const char *name;
	const hf_KeyRef *ref;
	unsigned right = c->op->right;
	const struct hf_grant *grant;

	target_of(&c->b->request, &name, &ref);
	if (c->op->target == HF_TARGET_KEY) {
		look_up(c, name, ref);
		if (c->key && right == HF_RIGHT_USE)
			right = right_to_use(c->key);
		name = c->key ? c->key->name : name;
	} else if (!hf_key_name_ok(name)) {
		return hf_fail(&c->err, HF_ARGUMENT,
			       "a key's name has 1 to 63 letters, digits, dots, "
			       "underscores and hyphens, and starts with a letter or digit");
	}
	grant = hf_policy_grant(s, who, name, right == HF_RIGHT_USE ? HF_RIGHT_SIGN : right,
				scheme_of(&c->b->request), NULL);
	if (grant && (c->key || c->op->target == HF_TARGET_NEW))
		return check_rate(c, grant, right);
	if (!hf_policy_allows(s, who, name, HF_RIGHT_ADMIN))
		return hf_fail(&c->err, HF_NO_KEY, "no such key, or not yours");
	if (!c->key && c->op->target == HF_TARGET_KEY) /* clients put "key NAME" before the rest */
		return hf_fail(&c->err, HF_NO_KEY,
			       "%s%s: no such key; 'holdfast key list' shows all",
			       name[0] ? "key " : "", name[0] ? name : "of that fingerprint");
	return hf_fail(&c->err, HF_NO_KEY,
		       "key %s: no [[principal]] gives uid %u the right to %s on "
		       "socket %s",
		       name, (unsigned)who->uid, c->op->name, who->socket);
}

static enum hf_rc decide(struct hf_call *c)
{
	const struct hf_principal *who = &c->conn->who;

	c->op = find_op(&c->b->request);
	if (!c->op)
		return hf_fail(&c->err, HF_UNSUPPORTED,
			       "this broker (%s) does not know that operation", HF_VERSION);
	if (!c->conn->greeted && c->b->request.which_op != hf_Request_hello_tag) {
		c->conn->closing = true;
		return hf_fail(&c->err, HF_PROTOCOL, "hello has to come first");
	}
	if (c->op->target != HF_TARGET_NONE)
		return decide_key(c);
	/* What is about no key is about all of them: who administers some has no part in it. */
	if (!c->op->right ||
	    (c->op->right == HF_RIGHT_ADMIN ? hf_policy_on_all(c->b->settings, who, HF_RIGHT_ADMIN)
					    : hf_policy_holds(c->b->settings, who, c->op->right)))
		return HF_OK;
	return hf_fail(&c->err, HF_DENIED,
		       "no [[principal]] in config.toml gives this user (uid %u) "
		       "any right to %s%s",
		       (unsigned)who->uid, c->op->name,
		       c->op->right == HF_RIGHT_ADMIN ? ", which is admin on \"*\"" : "");
}

static void audit_call(struct hf_call *c, enum hf_rc rc)
{
	const char *name = "";
	const hf_KeyRef *ref = NULL;
	const struct hf_principal *who = &c->conn->who;
	struct hf_audit a = { .uid = who->uid,
			      .pid = who->pid,
			      .socket = who->socket,
			      .rc = rc,
			      .started_us = c->started_us };

	if (!c->op)
		hf_audit_stray(c->b, who, "unknown", rc);
	if (!c->op || (c->op->quiet && !rc))
		return;
	target_of(&c->b->request, &name, &ref);
	a.op = c->op->name;
	a.key = name;
	a.generation = ref && ref->spki_sha256.size == HF_ID_SIZE ? ref->spki_sha256.bytes : NULL;
	a.scheme = scheme_of(&c->b->request);
	hf_audit_write(c->b, &a);
}

void hf_ops_run(struct hf_broker *b, struct hf_conn *conn)
{
	struct hf_call c = { .b = b, .conn = conn, .started_us = hf_audit_now_us() };
	uint32_t id = b->request.id;
	enum hf_rc rc;

	memset(&b->reply, 0, sizeof(b->reply));
	rc = decide(&c);
	if (!rc)
		rc = c.op->run(&c);
	if (c.pending)
		return;
	b->operations++;
	hf_metrics_count(&b->metrics, c.op ? c.op->name : "unknown", rc,
			 hf_audit_now_us() - c.started_us);
	b->refusals += rc == HF_NO_KEY || rc == HF_DENIED || rc == HF_REFUSED;
	audit_call(&c, rc);
	hf_conn_reply(b, conn, id, rc, &c.err);
}

struct hf_job *hf_ops_job(struct hf_call *c, struct hf_worker *w, struct hf_view data)
{
	struct hf_job *j = hf_job_new(c->b, w, c->conn, data, &c->err);

	if (!j)
		return NULL;
	j->op = c->op;
	j->started_us = c->started_us;
	if (c->key) {
		(void)hf_copy(j->name, sizeof(j->name), c->key->name);
		memcpy(j->generation, c->generation->id, HF_ID_SIZE);
		j->item.cost = c->generation->algorithm->cost;
	}
	return j;
}

struct hf_job *hf_ops_making(struct hf_call *c, struct hf_worker *w, struct hf_view data)
{
	hf_KeeperRequest *r = &c->b->keeper_request;
	uint8_t id[HF_OBJECT_ID_SIZE];
	struct hf_job *j;

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
		(void)hf_fail(&c->err, HF_FAILED, "no random numbers");
		return NULL;
	}
	if (r->which_op == hf_KeeperRequest_create_tag)
		(void)HF_PB_SET(r->op.create.object_id, id, sizeof(id));
	else
		(void)HF_PB_SET(r->op.import_key.object_id, id, sizeof(id));
	j = hf_ops_job(c, w, data);
	if (!j)
		return NULL;
	j->has_object_id = true;
	memcpy(j->object_id, id, sizeof(id));
	hf_ops_allow_time(c, j);
	return j;
}

void hf_ops_allow_time(const struct hf_call *c, struct hf_job *j)
{
	j->keeper_ms = HF_CREATE_MS;
	j->item.cost = HF_COST_LONG;
	if (!c->b->request.timeout_ms)
		j->deadline += HF_CREATE_MS;
}

static void audit_job(struct hf_broker *b, const struct hf_job *j, enum hf_rc rc,
		      const struct hf_outcome *o)
{
	static const uint8_t none[HF_ID_SIZE];
	struct hf_audit a = { .uid = j->peer->uid,
			      .pid = j->pid,
			      .socket = j->peer->socket,
			      .op = j->op->name,
			      .key = j->name,
			      .scheme = j->scheme,
			      .rc = rc,
			      .gone = !j->conn,
			      .started_us = j->started_us };

	if (!j->name[0])
		a.token = j->worker->token->name;
	if (memcmp(j->generation, none, sizeof(none)))
		a.generation = j->generation;
	if (o) {
		a.input_sha256 = o->input_sha256;
		a.issued = o->issued;
	}
	b->operations++;
	hf_metrics_count(&b->metrics, j->op->name, rc, hf_audit_now_us() - j->started_us);
	b->refusals += rc == HF_REFUSED;
	if (rc || !j->op->quiet)
		hf_audit_write(b, &a);
}

void hf_ops_answer(struct hf_broker *b, struct hf_job *j, enum hf_rc rc, const struct hf_err *e,
		   const struct hf_outcome *o)
{
	if (j->peer)
		audit_job(b, j, rc, o);
	if (j->conn)
		hf_conn_reply(b, j->conn, j->request_id, rc, e);
}

struct hf_outcome hf_ops_outcome(const hf_KeeperReply *rep)
{
	struct hf_outcome o = { NULL, NULL };

	if (rep && rep->which_result == hf_KeeperReply_signature_tag) {
		const hf_KeeperSigned *s = &rep->result.signature;

		o.input_sha256 = s->input_sha256.size == HF_ID_SIZE ? s->input_sha256.bytes : NULL;
		o.issued =
			s->has_issued && s->issued.kind != hf_Issued_Kind_NONE ? &s->issued : NULL;
	} else if (rep && rep->which_result == hf_KeeperReply_secret_tag) {
		const hf_KeeperSecret *s = &rep->result.secret;

		o.input_sha256 = s->input_sha256.size == HF_ID_SIZE ? s->input_sha256.bytes : NULL;
	} else if (rep && rep->which_result == hf_KeeperReply_attested_tag) {
		const hf_KeeperAttested *a = &rep->result.attested;

		o.input_sha256 = a->input_sha256.size == HF_ID_SIZE ? a->input_sha256.bytes : NULL;
	}
	return o;
}

void hf_ops_gone(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep, enum hf_rc rc)
{
	struct hf_outcome o = hf_ops_outcome(rep);

	if (!j->op->quiet)
		audit_job(b, j, rc, &o);
	hf_ops_discard(b, j, rep);
}
