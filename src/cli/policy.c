/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast policy explain: what the broker would say to somebody, and why. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/session.h"

#define GROUPS_MAX 64

/* A user by --uid or --user, with the groups that a process of his has. */
static enum hf_rc find_user(const struct hf_cli *c, hf_PolicyExplain *q, struct hf_err *e)
{
	const char *uid = hf_cli_option(c, "uid"), *user = hf_cli_option(c, "user");
	gid_t groups[GROUPS_MAX];
	int i, n = GROUPS_MAX;
	struct passwd *pw;
	char *end = NULL;
	unsigned long id;

	if (!uid == !user)
		return hf_fail(e, HF_ARGUMENT, "whose rights? Give --uid or --user");
	errno = 0;
	id = uid ? strtoul(uid, &end, 10) : 0;
	if (uid && (errno || *end || !uid[0] || uid[0] == '-' || id > 4294967294ul))
		return hf_fail(e, HF_ARGUMENT, "--uid %.40s: that is no user id", uid);
	pw = uid ? getpwuid((uid_t)id) : getpwnam(user);
	if (!pw && user)
		return hf_fail(e, HF_ARGUMENT, "--user %.60s: there is no such user", user);
	q->uid = pw ? pw->pw_uid : (uint32_t)id;
	if (!pw || getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) < 0)
		n = 0;
	for (i = 0; i < n; i++)
		q->gids[q->gids_count++] = groups[i];
	return HF_OK;
}

static enum hf_rc take(const struct hf_cli *c, const char *option, char *to, size_t size,
		       struct hf_err *e)
{
	const char *value = hf_cli_option(c, option);

	if (!value || hf_copy(to, size, value))
		return HF_OK;
	return hf_fail(e, HF_ARGUMENT, "--%s %.40s... is too long", option, value);
}

static json_object *list_of(const char *first, size_t size, size_t n)
{
	json_object *list = json_object_new_array();
	size_t i;

	for (i = 0; i < n; i++)
		json_object_array_add(list, json_object_new_string(first + i * size));
	return list;
}

static json_object *rule_of(const hf_PolicyDecision *d)
{
	json_object *o = json_object_new_object();

	hf_out_number(o, "number", d->rule);
	if (d->uid >= 0)
		hf_out_number(o, "uid", (uint64_t)d->uid);
	if (d->gid >= 0)
		hf_out_number(o, "gid", (uint64_t)d->gid);
	if (d->socket[0])
		hf_out_text(o, "socket", d->socket);
	hf_out_text(o, "keys", d->pattern);
	json_object_object_add(o, "rights",
			       list_of(d->rights[0], sizeof(d->rights[0]), d->rights_count));
	json_object_object_add(o, "schemes",
			       list_of(d->schemes[0], sizeof(d->schemes[0]), d->schemes_count));
	if (d->rate)
		hf_out_number(o, "rate", d->rate);
	return o;
}

enum hf_rc hf_policy_explain(struct hf_cli *c, struct hf_err *e)
{
	hf_PolicyExplain q = hf_PolicyExplain_init_zero;
	const hf_PolicyDecision *d;
	enum hf_rc rc = find_user(c, &q, e);

	if (!rc && (!hf_cli_option(c, "key") || !hf_cli_option(c, "right")))
		rc = hf_fail(e, HF_ARGUMENT, "which right on which key? Give --key and --right");
	if (!rc)
		rc = take(c, "key", q.name, sizeof(q.name), e);
	if (!rc)
		rc = take(c, "right", q.right, sizeof(q.right), e);
	if (!rc)
		rc = take(c, "via", q.socket, sizeof(q.socket), e);
	if (!rc)
		rc = take(c, "scheme", q.scheme, sizeof(q.scheme), e);
	if (!rc)
		rc = hf_session_open(c, e);
	if (rc)
		return rc;
	c->session->req.which_op = hf_Request_policy_explain_tag;
	c->session->req.op.policy_explain = q;
	rc = hf_session_call(c, HF_CALL_MS, hf_Reply_policy_tag, e);
	if (rc)
		return rc;
	d = &c->session->rep.result.policy;
	hf_out_number(c->result, "uid", q.uid);
	hf_out_text(c->result, "key", q.name);
	hf_out_text(c->result, "right", q.right);
	hf_out_text(c->result, "via", q.socket[0] ? q.socket : "main");
	json_object_object_add(c->result, "allowed", json_object_new_boolean(d->allowed));
	if (d->allowed)
		json_object_object_add(c->result, "rule", rule_of(d));
	return HF_OK;
}

/* The words of a list, with a blank between them. */
static void print_list(const char *title, json_object *list)
{
	size_t i, n = json_object_array_length(list);

	for (i = 0; i < n; i++)
		printf("%s %s", i ? "" : title,
		       json_object_get_string(json_object_array_get_idx(list, i)));
}

void hf_policy_explain_show(const struct hf_cli *c)
{
	json_object *rule = json_object_object_get(c->result, "rule");

	if (!rule) {
		printf("denied: no [[principal]] gives uid %s the right %s on key %s, on socket "
		       "%s\n",
		       hf_out_get(c->result, "uid"), hf_out_get(c->result, "right"),
		       hf_out_get(c->result, "key"), hf_out_get(c->result, "via"));
		return;
	}
	printf("allowed by rule %s: ", hf_out_get(rule, "number"));
	if (hf_out_get(rule, "uid")[0])
		printf("uid %s, ", hf_out_get(rule, "uid"));
	if (hf_out_get(rule, "gid")[0])
		printf("gid %s, ", hf_out_get(rule, "gid"));
	printf("socket %s, keys %s",
	       hf_out_get(rule, "socket")[0] ? hf_out_get(rule, "socket") : "any",
	       hf_out_get(rule, "keys"));
	print_list(", rights", json_object_object_get(rule, "rights"));
	print_list(", schemes", json_object_object_get(rule, "schemes"));
	if (hf_out_get(rule, "rate")[0])
		printf(", at most %s a second", hf_out_get(rule, "rate"));
	printf("\n");
}
