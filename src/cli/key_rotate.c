/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holdfast key rotate: stage a generation, make it current, let the old one go after a
 * while. For keys without a certificate; those with one are rotated by their renewal.
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "cli/keyjson.h"
#include "cli/output.h"
#include "cli/session.h"
#include "conf/value.h"
#include "wire/mech.h"

struct rotation {
	hf_KeyRef old, fresh; /* generations */
	uint32_t grace_s;
	char algorithm[24]; /* "": that of the old one */
	uint8_t transaction[16];
};

static enum hf_rc read_grace(struct hf_cli *c, uint32_t *grace_s, struct hf_err *e)
{
	const char *text = hf_cli_option(c, "grace");
	uint64_t ms;

	if (!hf_value_duration(text ? text : "24h", &ms) || ms > 3650ull * 86400000)
		return hf_fail(e, HF_ARGUMENT,
			       "--grace %.40s: write a time such as 24h, 10min, 7d or 0s", text);
	*grace_s = (uint32_t)((ms + 999) / 1000);
	return HF_OK;
}

static enum hf_rc read_algorithm(struct hf_cli *c, struct rotation *r, struct hf_err *e)
{
	const char *algorithm = hf_cli_option(c, "algorithm");

	if (algorithm && (!hf_algorithm_find(algorithm) ||
			  !hf_copy(r->algorithm, sizeof(r->algorithm), algorithm)))
		return hf_fail(e, HF_ARGUMENT,
			       "there is no algorithm '%.40s'; see 'holdfast key create --help'",
			       algorithm);
	if (getrandom(r->transaction, sizeof(r->transaction), 0) != sizeof(r->transaction))
		return hf_fail_errno(e, HF_FAILED, "getrandom");
	return HF_OK;
}

static enum hf_rc stage(struct hf_cli *c, const struct rotation *r, struct hf_err *e)
{
	hf_KeyStage *q = &c->session->req.op.key_stage;

	c->session->req.which_op = hf_Request_key_stage_tag;
	(void)hf_copy(q->name, sizeof(q->name), r->old.name);
	(void)hf_copy(q->algorithm, sizeof(q->algorithm), r->algorithm);
	q->transaction.size = sizeof(q->transaction.bytes);
	memcpy(q->transaction.bytes, r->transaction, sizeof(q->transaction.bytes));
	c->session->doing = "the token is making the new key...";
	return hf_session_call(c, HF_CREATE_MS, hf_Reply_key_tag, e);
}

static enum hf_rc make_current(struct hf_cli *c, const struct rotation *r, struct hf_err *e)
{
	hf_KeyCurrent *q = &c->session->req.op.key_current;

	c->session->req.which_op = hf_Request_key_current_tag;
	q->has_key = true;
	q->key = r->fresh;
	q->grace_s = r->grace_s;
	return hf_session_call(c, HF_CALL_MS, hf_Reply_key_tag, e);
}

static enum hf_rc retire_fresh(struct hf_cli *c, const struct rotation *r, struct hf_err *e)
{
	c->session->req.which_op = hf_Request_key_retire_tag;
	c->session->req.op.key_retire.has_key = true;
	c->session->req.op.key_retire.key = r->fresh;
	return hf_session_call(c, HF_CALL_MS, 0, e);
}

/* Both steps may be asked for again, should the answer get lost: one is known by its
 * transaction, and a generation that is current can be made so once more. */
static enum hf_rc twice(struct hf_cli *c, const struct rotation *r, struct hf_err *e,
			enum hf_rc (*step)(struct hf_cli *, const struct rotation *,
					   struct hf_err *))
{
	enum hf_rc rc = step(c, r, e);

	return rc == HF_UNAVAILABLE ? step(c, r, e) : rc;
}

/*
 * Making it current failed, or so it seems. The broker never retires what is current, so
 * asking for that either cleans up or tells that it was done after all.
 */
static enum hf_rc settle(struct hf_cli *c, const struct rotation *r, struct hf_err *e)
{
	struct hf_err second = HF_ERR_INIT;
	enum hf_rc rc = retire_fresh(c, r, &second);

	if (!rc)
		return hf_within(e, "the old key stays in use");
	if (rc == HF_REFUSED && !hf_session_get(c, r->old.name, &second))
		return HF_OK;
	return hf_within(e, "it is not known which key is in use ('holdfast key show %s' tells)",
			 r->old.name);
}

static void put_generation(struct hf_cli *c, const char *name, const hf_KeyRef *ref)
{
	json_object *o = json_object_new_object();

	hf_out_hex(o, "sha256", ref->spki_sha256.bytes, ref->spki_sha256.size);
	json_object_object_add(c->result, name, o);
}

enum hf_rc hf_key_rotate(struct hf_cli *c, struct hf_err *e)
{
	struct rotation r;
	enum hf_rc rc;

	memset(&r, 0, sizeof(r));
	rc = hf_session_key(&r.old, c->words[0], e);
	if (!rc && !r.old.name[0])
		rc = hf_fail(e, HF_ARGUMENT,
			     "name the key that is to be rotated; a hash will not do");
	if (!rc)
		rc = read_grace(c, &r.grace_s, e);
	if (!rc)
		rc = read_algorithm(c, &r, e);
	if (!rc)
		rc = hf_session_get(c, c->words[0], e);
	if (rc)
		return rc;
	memcpy(&r.old.spki_sha256, &c->session->rep.result.key.spki_sha256,
	       sizeof(r.old.spki_sha256));
	rc = twice(c, &r, e, stage);
	if (!rc) {
		r.fresh = r.old;
		memcpy(&r.fresh.spki_sha256, &c->session->rep.result.key.spki_sha256,
		       sizeof(r.fresh.spki_sha256));
		rc = twice(c, &r, e, make_current);
		if (rc)
			rc = settle(c, &r, e);
	}
	if (rc)
		return hf_session_about(e, r.old.name);
	hf_keyjson_info(c->result, &c->session->rep.result.key);
	put_generation(c, "old", &r.old);
	put_generation(c, "new", &r.fresh);
	hf_out_number(c->result, "grace_s", r.grace_s);
	return HF_OK;
}

void hf_key_rotate_show(const struct hf_cli *c)
{
	json_object *old = json_object_object_get(c->result, "old");
	json_object *fresh = json_object_object_get(c->result, "new");

	printf("key  %s\nold  %s  usable for another %s s\nnew  %s  current\n",
	       hf_out_get(c->result, "name"), hf_out_get(old, "sha256"),
	       hf_out_get(c->result, "grace_s"), hf_out_get(fresh, "sha256"));
}
