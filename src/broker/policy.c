/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/policy.h"

#include <string.h>

#include "base/glob.h"

static const struct {
	const char *name;
	unsigned right;
} rights[] = {
	{ "public", HF_RIGHT_PUBLIC }, { "sign", HF_RIGHT_SIGN },
	{ "ca", HF_RIGHT_CA },	       { "decrypt", HF_RIGHT_DECRYPT },
	{ "derive", HF_RIGHT_DERIVE }, { "create", HF_RIGHT_CREATE },
	{ "rotate", HF_RIGHT_ROTATE }, { "delete", HF_RIGHT_DELETE },
	{ "admin", HF_RIGHT_ADMIN },
};

unsigned hf_right_parse(const char *name)
{
	size_t i;

	for (i = 0; i < HF_COUNT(rights); i++)
		if (!strcmp(rights[i].name, name))
			return rights[i].right;
	return 0;
}

const char *hf_right_name(size_t index, unsigned *right)
{
	if (index >= HF_COUNT(rights))
		return NULL;
	*right = rights[index].right;
	return rights[index].name;
}

static bool is_about(const struct hf_grant *g, const struct hf_principal *who)
{
	size_t i;

	if (who->uid == HF_UID_OVERFLOW || who->uid == (uid_t)-1)
		return false;
	if (g->uid < 0 && g->gid < 0)
		return false;
	if (g->socket[0] && strcmp(g->socket, who->socket))
		return false;
	if (g->uid >= 0 && (uid_t)g->uid != who->uid)
		return false;
	if (g->gid < 0)
		return true;
	if ((gid_t)g->gid == HF_GID_OVERFLOW)
		return false;
	for (i = 0; i < who->n_groups; i++)
		if (who->groups[i] == (gid_t)g->gid)
			return true;
	return false;
}

static bool has_scheme(const struct hf_grant *g, const char *scheme)
{
	size_t i;

	for (i = 0; i < g->n_schemes; i++)
		if (hf_glob(g->schemes[i], scheme))
			return true;
	return !g->n_schemes;
}

const struct hf_grant *hf_policy_grant(const struct hf_settings *s, const struct hf_principal *who,
				       const char *key, unsigned right, const char *scheme,
				       const char **pattern)
{
	size_t i, k;

	for (i = 0; i < s->n_grants; i++) {
		const struct hf_grant *g = &s->grants[i];

		if (!(g->rights & right) || !is_about(g, who) ||
		    (scheme && scheme[0] && !has_scheme(g, scheme)))
			continue;
		for (k = 0; k < g->n_keys; k++)
			if (hf_glob(g->keys[k], key)) {
				if (pattern)
					*pattern = g->keys[k];
				return g;
			}
	}
	return NULL;
}

bool hf_policy_allows(const struct hf_settings *s, const struct hf_principal *who, const char *key,
		      unsigned right)
{
	return hf_policy_grant(s, who, key, right, NULL, NULL);
}

bool hf_policy_on_all(const struct hf_settings *s, const struct hf_principal *who, unsigned right)
{
	size_t i, k;

	for (i = 0; i < s->n_grants; i++) {
		const struct hf_grant *g = &s->grants[i];

		for (k = 0; (g->rights & right) && k < g->n_keys; k++)
			if (!strcmp(g->keys[k], "*") && is_about(g, who))
				return true;
	}
	return false;
}

bool hf_policy_holds(const struct hf_settings *s, const struct hf_principal *who, unsigned wanted)
{
	size_t i;

	for (i = 0; i < s->n_grants; i++)
		if ((s->grants[i].rights & wanted) && is_about(&s->grants[i], who))
			return true;
	return false;
}
