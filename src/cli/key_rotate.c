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

static enum hf_rc stage(struct hf_cli *c, struct rotation *r, struct hf_err *e)
{
	const char *algorithm = hf_cli_option(c, "algorithm");
	hf_KeyStage *q = &c->session->req.op.key_stage;
	const hf_KeyInfo *key = &c->session->rep.result.key;
	enum hf_rc rc;

	c->session->req.which_op = hf_Request_key_stage_tag;
	(void)hf_copy(q->name, sizeof(q->name), r->old.name);
	if (algorithm && !hf_algorithm_find(algorithm))
		return hf_fail(e, HF_ARGUMENT,
			       "there is no algorithm '%.40s'; see 'holdfast key create --help'",
			       algorithm);
	if (algorithm)
		(void)hf_copy(q->algorithm, sizeof(q->algorithm), algorithm);
	q->transaction.size = sizeof(q->transaction.bytes);
	if (getrandom(q->transaction.bytes, sizeof(q->transaction.bytes), 0) !=
	    (ssize_t)sizeof(q->transaction.bytes))
		return hf_fail_errno(e, HF_FAILED, "getrandom");
	c->session->doing = "the token is making the new key...";
	rc = hf_session_call(c, HF_CREATE_MS, hf_Reply_key_tag, e);
	if (rc)
		return rc;
	r->fresh = r->old;
	memcpy(&r->fresh.spki_sha256, &key->spki_sha256, sizeof(key->spki_sha256));
	return HF_OK;
}

static enum hf_rc make_current(struct hf_cli *c, struct rotation *r, struct hf_err *e)
{
	struct hf_err ignored = HF_ERR_INIT;
	hf_KeyCurrent *q = &c->session->req.op.key_current;
	enum hf_rc rc;

	c->session->req.which_op = hf_Request_key_current_tag;
	q->has_key = true;
	q->key = r->fresh;
	q->grace_s = r->grace_s;
	rc = hf_session_call(c, HF_CALL_MS, hf_Reply_key_tag, e);
	if (!rc)
		return HF_OK;
	/* Not a word about this one: what failed is the rotation, and nothing was lost. */
	c->session->req.which_op = hf_Request_key_retire_tag;
	c->session->req.op.key_retire.has_key = true;
	c->session->req.op.key_retire.key = r->fresh;
	(void)hf_session_call(c, HF_CALL_MS, 0, &ignored);
	return hf_within(e, "the old key stays in use");
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
		rc = hf_session_get(c, c->words[0], e);
	if (rc)
		return rc;
	memcpy(&r.old.spki_sha256, &c->session->rep.result.key.spki_sha256,
	       sizeof(r.old.spki_sha256));
	rc = stage(c, &r, e);
	if (!rc)
		rc = make_current(c, &r, e);
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
