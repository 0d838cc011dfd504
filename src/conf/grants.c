/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants.c: what the certificate agent may do with its keys, and what its CAs may issue. Both
 * follow from the certificates, so that nobody has to write them, and nothing more is allowed.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "conf/credential.h"

static void add_texts(json_object *o, const char *name, const char *words)
{
	json_object *list = json_object_new_array();
	size_t len;

	for (; *words; words += len + (words[len] == ' ')) {
		len = strcspn(words, " ");
		json_object_array_add(list, json_object_new_string_len(words, (int)len));
	}
	json_object_object_add(o, name, list);
}

/* @keys is consumed; nothing is granted on none. */
static void grant(json_object *list, const struct hf_host *host, json_object *keys,
		  const char *rights)
{
	json_object *o;

	if (!json_object_array_length(keys)) {
		json_object_put(keys);
		return;
	}
	o = json_object_new_object();
	hf_making_set_number(o, "uid", host->certs_uid);
	hf_making_set_number(o, "gid", -1);
	hf_making_set_text(o, "socket", "main");
	json_object_object_add(o, "keys", keys);
	add_texts(o, "rights", rights);
	add_texts(o, "schemes", "");
	hf_making_set_number(o, "rate", 0);
	json_object_array_add(list, o);
}

static json_object *keys_of(const struct hf_creds *c, bool ca, bool files)
{
	json_object *keys = json_object_new_array();
	size_t i;

	for (i = 0; i < c->n; i++) {
		const struct hf_cred *k = c->list[i];

		if (k->key.name[0] && k->key.ca == ca && (k->method == HF_CRED_FILES) == files)
			json_object_array_add(keys, json_object_new_string(k->key.name));
	}
	return keys;
}

const char *hf_making_module_keys(const struct hf_making *m)
{
	const struct hf_node *own = hf_node_get(hf_node_get(m->root, "module"), "keys");
	const struct hf_node *top = hf_node_get(m->root, "module_keys");
	struct hf_making_table t = { hf_conf_section_find("module"), NULL };

	return own ? own->text : top ? top->text : hf_making_text(&t, "keys");
}

void hf_making_grants(const struct hf_making *m, json_object *principals)
{
	json_object *keys;

	if (!m->creds || m->host->certs_uid < 0)
		return;
	if (m->host->certs_uid == 0) /* below a --root: the same user for everything */
		return;
	grant(principals, m->host, keys_of(m->creds, false, false), "public sign create rotate");
	grant(principals, m->host, keys_of(m->creds, true, false), "public ca create rotate");
	/*
	 * rotate: who replaces the files by hand has imported a further generation, and the agent
	 * makes it the current one; of a ca key it registers the certificate.
	 */
	grant(principals, m->host, keys_of(m->creds, false, true), "public sign rotate");
	grant(principals, m->host, keys_of(m->creds, true, true), "public ca rotate");
	keys = json_object_new_array();
	if (!strcmp(hf_making_module_keys(m), "token"))
		json_object_array_add(keys, json_object_new_string("module-*"));
	grant(principals, m->host, keys, "public sign create rotate delete");
}

/* ---------------------------------------------------------------- profiles */

/* The longest that @ca has to issue: modules' certificates, or those that name it. */
static int64_t longest(const struct hf_making *m, const struct hf_cred *ca)
{
	struct hf_making_table t = { hf_conf_section_find("module"),
				     hf_node_get(m->root, "module") };
	int64_t days = strcmp(ca->id, "edge-ca") ? 0 : hf_making_number(&t, "days");
	size_t i;

	for (i = 0; i < m->creds->n; i++) {
		const struct hf_cred *k = m->creds->list[i];

		if (k->method == HF_CRED_LOCAL_CA && !strcmp(k->issuer, ca->id) && k->days > days)
			days = k->days;
	}
	return days ? days : 90;
}

/* The CAs below @ca, however deep. */
static int64_t levels(const struct hf_making *m, const struct hf_cred *ca, size_t depth)
{
	int64_t most = 0, n;
	size_t i;

	for (i = 0; depth < m->creds->n && i < m->creds->n; i++) {
		const struct hf_cred *k = m->creds->list[i];

		if (!k->ca || k->method != HF_CRED_LOCAL_CA || strcmp(k->issuer, ca->id))
			continue;
		n = 1 + levels(m, k, depth + 1);
		most = n > most ? n : most;
	}
	return most;
}

static const struct hf_node *profile_of(const struct hf_making *m, const char *key)
{
	const struct hf_node *n;

	for (n = hf_making_tables(m, "ca_profile"); n; n = n->next)
		if (!fnmatch(hf_node_get(n, "key")->text, key, 0))
			return n;
	return NULL;
}

/* Somebody's own profile counts; but then it has to allow what the rest of the file asks for. */
static void compare(const struct hf_making *m, const struct hf_cred *ca, const struct hf_node *own,
		    int64_t days)
{
	struct hf_making_table t = { hf_conf_section_find("ca_profile"), own };
	int64_t max = hf_making_number(&t, "max_days"),
		self = hf_making_number(&t, "self_max_days");

	if (max < days)
		hf_problem_add(
			m->p, HF_PROBLEM_ERROR, own,
			"this [[ca_profile]] lets %s issue for %lld days, but certificates of "
			"%lld days are asked of it; write max_days = %lld",
			ca->key.name, (long long)max, (long long)days, (long long)days);
	if (hf_making_number(&t, "ca_levels") < levels(m, ca, 0))
		hf_problem_add(
			m->p, HF_PROBLEM_ERROR, own,
			"this [[ca_profile]] lets %s issue no CAs, or not deep enough, but one "
			"is asked of it; write ca_levels = %lld",
			ca->key.name, (long long)levels(m, ca, 0));
	if (ca->method == HF_CRED_SELF_SIGNED && self < ca->days)
		hf_problem_add(
			m->p, HF_PROBLEM_ERROR, own,
			"this [[ca_profile]] lets %s sign itself for %lld days, but it is to "
			"be valid for %lld; write self_max_days = %lld",
			ca->key.name, (long long)self, (long long)ca->days, (long long)ca->days);
}

/*
 * Does the profile that every ca key has do for it? Then nothing is said about a CA that nobody
 * configured: people may use a key of that name for purposes of their own.
 */
static bool standard_fits(const struct hf_making *m, const struct hf_cred *ca, int64_t days)
{
	struct hf_making_table t = { hf_conf_section_find("ca_profile"), NULL };

	return !ca->at && !levels(m, ca, 0) && days <= hf_making_number(&t, "max_days") &&
	       ca->days <= hf_making_number(&t, "self_max_days") &&
	       ca->pathlen <= hf_making_number(&t, "pathlen");
}

void hf_making_profiles(const struct hf_making *m, json_object *profiles)
{
	const struct hf_node *own;
	json_object *o;
	size_t i;

	for (i = 0; m->creds && i < m->creds->n; i++) {
		const struct hf_cred *ca = m->creds->list[i];
		int64_t days = longest(m, ca);

		if (!ca->ca || !ca->key.name[0] || standard_fits(m, ca, days))
			continue;
		own = profile_of(m, ca->key.name);
		if (own) {
			compare(m, ca, own, days);
			continue;
		}
		o = json_object_new_object();
		hf_making_set_text(o, "key", ca->key.name);
		hf_making_set_number(o, "max_days", days);
		hf_making_set_number(o, "self_max_days", ca->days ? ca->days : 1);
		hf_making_set_number(o, "pathlen", ca->pathlen > 0 ? ca->pathlen : 0);
		hf_making_set_number(o, "ca_levels", levels(m, ca, 0));
		json_object_object_add(o, "names", json_object_new_array());
		json_object_array_add(profiles, o);
	}
}
