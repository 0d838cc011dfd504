/* SPDX-License-Identifier: Apache-2.0 */
/* ops_policy.c: why somebody may do something, or may not. */
#include <string.h>

#include "broker/ops.h"

static void tell_grant(hf_PolicyDecision *to, const struct hf_grant *g)
{
	const char *name;
	unsigned right;
	size_t i;

	to->uid = g->uid;
	to->gid = g->gid;
	to->rate = g->rate;
	(void)hf_copy(to->socket, sizeof(to->socket), g->socket);
	for (i = 0; (name = hf_right_name(i, &right)); i++)
		if (g->rights & right)
			(void)hf_copy(to->rights[to->rights_count++], sizeof(to->rights[0]), name);
	for (i = 0; i < g->n_schemes; i++)
		(void)hf_copy(to->schemes[to->schemes_count++], sizeof(to->schemes[0]),
			      g->schemes[i]);
}

enum hf_rc hf_op_policy_explain(struct hf_call *c)
{
	const hf_PolicyExplain *r = &c->b->request.op.policy_explain;
	hf_PolicyDecision *to = &c->b->reply.result.policy;
	const struct hf_settings *s = c->b->settings;
	struct hf_principal who = { .uid = r->uid };
	unsigned right = hf_right_parse(r->right);
	const struct hf_grant *g;
	const char *pattern = "";

	if (!right)
		return hf_fail(&c->err, HF_ARGUMENT, "there is no right '%s'", r->right);
	(void)hf_copy(who.socket, sizeof(who.socket), r->socket[0] ? r->socket : "main");
	for (; who.n_groups < r->gids_count && who.n_groups < HF_GROUPS_MAX; who.n_groups++)
		who.groups[who.n_groups] = r->gids[who.n_groups];
	c->b->reply.which_result = hf_Reply_policy_tag;
	g = hf_policy_grant(s, &who, r->name, right, r->scheme, &pattern);
	if (!g)
		return HF_OK;
	to->allowed = true;
	to->rule = (uint32_t)(g - s->grants) + 1;
	(void)hf_copy(to->pattern, sizeof(to->pattern), pattern);
	tell_grant(to, g);
	return HF_OK;
}
