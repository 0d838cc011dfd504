/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up the schema's rows, and walking a file with them. */
#include "conf/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "conf/nearest.h"

#define PATH_SIZE 192 /* longer ones name no section */

const struct hf_conf_section *hf_conf_section_find(const char *path)
{
	const struct hf_conf_section *s;

	for (s = hf_conf_sections; s->path; s++)
		if (!strcmp(s->path, path))
			return s;
	return NULL;
}

const struct hf_conf_key *hf_conf_key_find(const struct hf_conf_section *s, const char *name)
{
	const struct hf_conf_key *k;
	size_t i;

	for (i = 0; s && i < HF_COUNT(s->keys); i++)
		for (k = s->keys[i]; k && k->name; k++)
			if (!strcmp(k->name, name) || !strcmp(k->name, "*"))
				return k;
	return NULL;
}

char *hf_conf_section_text(const struct hf_conf_section *s, char *out, size_t size)
{
	if (!s->path[0])
		(void)snprintf(out, size, "the top of the file");
	else
		(void)snprintf(out, size, s->shape == HF_CONF_TABLES ? "[[%s]]" : "[%s]", s->path);
	return out;
}

/* The last component of a section directly below @parent; NULL if it is elsewhere. */
static const char *below(const struct hf_conf_section *s, const char *parent)
{
	size_t n = strlen(parent);
	const char *rest = s->path;

	if (n) {
		if (strncmp(s->path, parent, n) || s->path[n] != '.')
			return NULL;
		rest = s->path + n + 1;
	}
	return rest[0] && !strchr(rest, '.') ? rest : NULL;
}

static void known_names(const struct hf_conf_section *s, char *out, size_t size)
{
	const struct hf_conf_section *sub;
	const struct hf_conf_key *k;
	size_t i, used = 0;

	out[0] = '\0';
	for (i = 0; i < HF_COUNT(s->keys); i++)
		for (k = s->keys[i]; k && k->name && used < size; k++)
			used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "",
						 k->name);
	for (sub = hf_conf_sections; sub->path && used < size; sub++)
		if (below(sub, s->path))
			used += (size_t)snprintf(out + used, size - used, "%s[%s]",
						 used ? ", " : "", sub->path);
}

/* What may be meant by @n in @s: *@key, or *@section if it is one; both NULL: no idea. */
static void guess(const struct hf_conf_section *s, const struct hf_node *n, const char **key,
		  const struct hf_conf_section **section)
{
	const struct hf_conf_section *sub;
	const struct hf_conf_key *k;
	struct hf_nearest best;
	size_t i;

	*section = NULL;
	hf_nearest_init(&best, n->key);
	for (i = 0; i < HF_COUNT(s->keys); i++)
		for (k = s->keys[i]; k && k->name; k++)
			hf_nearest_try(&best, k->name);
	*key = best.best;
	for (sub = hf_conf_sections; sub->path; sub++) {
		const char *name = below(sub, s->path), *before = best.best;

		if (name)
			hf_nearest_try(&best, name);
		*section = best.best != before ? sub : *section;
	}
	*key = *section ? NULL : *key;
}

/* threshold in [edge_ca]: it is a key of a section below. NULL if there is nothing like it. */
static const struct hf_conf_section *deeper(const struct hf_conf_section *s,
					    const struct hf_node *n, const char **key)
{
	const struct hf_conf_section *sub;
	const struct hf_conf_key *k;
	struct hf_nearest best;

	if (!s->path[0])
		return NULL;
	for (sub = hf_conf_sections; sub->path; sub++) {
		if (!below(sub, s->path))
			continue;
		hf_nearest_init(&best, n->key);
		for (k = sub->keys[0]; k && k->name; k++)
			hf_nearest_try(&best, k->name);
		*key = best.best;
		if (best.best)
			return sub;
	}
	return NULL;
}

static void no_idea(const struct hf_conf_section *s, const struct hf_node *n, const char *where,
		    struct hf_problems *p)
{
	char known[400];

	if (!s->path[0] && !strncmp(n->key, "homedir", 7))
		hf_problem_add(
			p, HF_PROBLEM_ERROR, n,
			"'%s' belongs in the configuration of a single IoT Edge daemon; holdfast "
			"reads /etc/aziot/config.toml, out of which those are made",
			n->key);
	else if (s->path[0] && hf_conf_key_find(hf_conf_section_find(""), n->key))
		hf_problem_add(
			p, HF_PROBLEM_ERROR, n,
			"'%s' is not known in %s; it has to stand before the first [section] "
			"of the file",
			n->key, where);
	else if (!s->path[0])
		hf_problem_add(
			p, HF_PROBLEM_ERROR, n,
			"'%.80s' is not known in %s; 'holdfast config explain' tells what is",
			n->key, where);
	else {
		known_names(s, known, sizeof(known));
		hf_problem_add(p, HF_PROBLEM_ERROR, n, "'%.80s' is not known in %s; known are: %s",
			       n->key, where, known);
	}
}

/* Nobody means anything by a key that we do not know: a misspelt limit would be no limit. */
static void unknown(const struct hf_conf_section *s, const struct hf_node *n, struct hf_problems *p)
{
	char where[PATH_SIZE + 4], there[PATH_SIZE + 4];
	const struct hf_conf_section *section;
	const char *key;

	(void)hf_conf_section_text(s, where, sizeof(where));
	guess(s, n, &key, &section);
	if (section)
		hf_problem_add(p, HF_PROBLEM_ERROR, n,
			       "'%.80s' is not known in %s; did you mean %s?", n->key, where,
			       hf_conf_section_text(section, there, sizeof(there)));
	else if (key)
		hf_problem_add(p, HF_PROBLEM_ERROR, n,
			       "'%.80s' is not known in %s; did you mean '%s'?", n->key, where,
			       key);
	else if ((section = deeper(s, n, &key)))
		hf_problem_add(p, HF_PROBLEM_ERROR, n,
			       "'%.80s' is not known in %s; did you mean '%s' in %s?", n->key,
			       where, key, hf_conf_section_text(section, there, sizeof(there)));
	else
		no_idea(s, n, where, p);
}

static void check_table(const struct hf_conf_section *s, const struct hf_node *table,
			struct hf_problems *p);

static void check_array(const struct hf_conf_section *sub, const struct hf_node *n,
			struct hf_problems *p)
{
	const struct hf_node *item;

	for (item = n->children; item; item = item->next)
		if (item->kind == HF_NODE_TABLE)
			check_table(sub, item, p);
		else
			hf_problem_add(p, HF_PROBLEM_ERROR, item,
				       "%s is a list of tables: write [[%s]]", sub->path,
				       sub->path);
}

static void check_section(const struct hf_conf_section *sub, const struct hf_node *n,
			  struct hf_problems *p)
{
	char text[PATH_SIZE + 4];

	if (sub->owner == HF_CONF_OTHERS) {
		hf_problem_add(p, HF_PROBLEM_NOTE, n, "[%s] belongs to another daemon: skipped",
			       sub->path);
	} else if (sub->shape == HF_CONF_TABLE && n->kind == HF_NODE_TABLE) {
		check_table(sub, n, p);
	} else if (sub->shape == HF_CONF_TABLES && n->kind == HF_NODE_ARRAY) {
		check_array(sub, n, p);
	} else {
		hf_problem_add(p, HF_PROBLEM_ERROR, n, "%s is %s; write %s", sub->path,
			       hf_node_kind_text(n->kind),
			       hf_conf_section_text(sub, text, sizeof(text)));
	}
}

static void check_required(const struct hf_conf_section *s, const struct hf_node *table,
			   struct hf_problems *p)
{
	char where[PATH_SIZE + 4], want[300];
	const struct hf_conf_key *k;

	for (k = s->keys[0]; k && k->name; k++)
		if (k->standard && !strcmp(k->standard, HF_CONF_REQUIRED) &&
		    !hf_node_get(table, k->name))
			hf_problem_add(p, HF_PROBLEM_ERROR, table, "%s has no '%s'; write %s = %s",
				       hf_conf_section_text(s, where, sizeof(where)), k->name,
				       k->name, hf_conf_want(k, want, sizeof(want)));
}

static void check_table(const struct hf_conf_section *s, const struct hf_node *table,
			struct hf_problems *p)
{
	const struct hf_conf_section *sub;
	const struct hf_conf_key *key;
	const struct hf_node *n;
	char path[PATH_SIZE];

	for (n = table->children; n; n = n->next) {
		size_t len = (size_t)snprintf(path, sizeof(path), "%s%s%s", s->path,
					      s->path[0] ? "." : "", n->key);

		sub = len < sizeof(path) ? hf_conf_section_find(path) : NULL;
		key = hf_conf_key_find(s, n->key);
		/* identity_cert may be either: text, or a table of its own. */
		if (sub && (!key || n->kind == HF_NODE_TABLE))
			check_section(sub, n, p);
		else if (key)
			(void)hf_conf_check_value(key, n, p);
		else
			unknown(s, n, p);
	}
	check_required(s, table, p);
}

void hf_conf_check(const struct hf_node *root, struct hf_problems *p)
{
	check_table(hf_conf_section_find(""), root, p);
}
