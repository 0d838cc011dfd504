/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast config explain: the schema, told. holdfast-config(5) says the same. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cli/output.h"
#include "conf/nearest.h"
#include "conf/schema.h"

static const char *const owners[] = {
	[HF_CONF_OURS] = "holdfastd",
	[HF_CONF_AGENT] = "certificates",
	[HF_CONF_MIXED] = "other",
	[HF_CONF_OTHERS] = "other",
};

/* "token.timeout", "edge_ca.pk", "hostname". */
static void full_name(const struct hf_conf_section *s, const char *key, char *out, size_t size)
{
	(void)snprintf(out, size, "%s%s%s", s->path, s->path[0] ? "." : "", key);
}

static json_object *key_json(const struct hf_conf_section *s, const struct hf_conf_key *k)
{
	json_object *o = json_object_new_object();
	char text[400];

	full_name(s, k->name, text, sizeof(text));
	hf_out_text(o, "key", text);
	hf_out_text(o, "section", hf_conf_section_text(s, text, sizeof(text)));
	hf_out_text(o, "name", k->name);
	hf_out_text(o, "owner", owners[s->owner]);
	hf_out_text(o, "value", hf_conf_want(k, text, sizeof(text)));
	json_object_object_add(
		o, "required",
		json_object_new_boolean(k->standard && !strcmp(k->standard, HF_CONF_REQUIRED)));
	if (k->standard && strcmp(k->standard, HF_CONF_REQUIRED))
		hf_out_text(o, "default", k->standard);
	hf_out_text(o, "doc", k->doc);
	return o;
}

/* Is @wanted the key, its section, or the name alone? NULL: everything of ours. */
static bool matches(const struct hf_conf_section *s, const struct hf_conf_key *k,
		    const char *wanted)
{
	char full[256];

	if (!wanted)
		return true;
	full_name(s, k->name, full, sizeof(full));
	return !strcmp(full, wanted) || !strcmp(s->path, wanted) || !strcmp(k->name, wanted);
}

static json_object *section_json(const struct hf_conf_section *s, const char *wanted)
{
	json_object *o = json_object_new_object(), *keys = json_object_new_array();
	const struct hf_conf_key *k;
	char text[200];
	size_t i;

	hf_out_text(o, "section", hf_conf_section_text(s, text, sizeof(text)));
	hf_out_text(o, "path", s->path);
	hf_out_text(o, "owner", owners[s->owner]);
	hf_out_text(o, "doc", s->doc);
	for (i = 0; i < HF_COUNT(s->keys); i++)
		for (k = s->keys[i]; k && k->name; k++)
			if (matches(s, k, wanted))
				json_object_array_add(keys, key_json(s, k));
	json_object_object_add(o, "keys", keys);
	if (!wanted || !strcmp(s->path, wanted) || json_object_array_length(keys))
		return o;
	json_object_put(o);
	return NULL;
}

static enum hf_rc nothing(const char *wanted, struct hf_err *e)
{
	const struct hf_conf_section *s;
	const struct hf_conf_key *k;
	struct hf_nearest near;
	char full[256], best[256] = "";
	size_t i;

	hf_nearest_init(&near, wanted);
	for (s = hf_conf_sections; s->path; s++) {
		hf_nearest_try(&near, s->path);
		for (i = 0; i < HF_COUNT(s->keys); i++)
			for (k = s->keys[i]; k && k->name; k++) {
				unsigned before = near.distance;

				hf_nearest_try(&near, k->name);
				full_name(s, k->name, full, sizeof(full));
				hf_nearest_try(&near, full);
				if (near.best == full && near.distance < before)
					(void)hf_copy(best, sizeof(best), full);
				if (near.best == full)
					near.best = best;
			}
	}
	return hf_fail(e, HF_ARGUMENT, "there is no section or key '%.60s'%s%s%s", wanted,
		       near.best ? "; did you mean '" : "; see 'holdfast config explain'",
		       near.best ? near.best : "", near.best ? "'?" : "");
}

enum hf_rc hf_config_run_explain(struct hf_cli *c, struct hf_err *e)
{
	json_object *list = json_object_new_array();
	const struct hf_conf_section *s;
	char wanted[128] = "";
	size_t n;

	/* "[token]" and "[[token]]" are fine as well. */
	n = c->words[0] ? strspn(c->words[0], "[") : 0;
	if (c->words[0] && !hf_copy(wanted, sizeof(wanted), c->words[0] + n))
		return hf_fail(e, HF_ARGUMENT, "'%.60s...' is too long for a key", c->words[0]);
	wanted[strcspn(wanted, "]")] = '\0';
	for (s = hf_conf_sections; s->path; s++) {
		json_object *o = section_json(s, c->words[0] ? wanted : NULL);

		if (o)
			json_object_array_add(list, o);
	}
	json_object_object_add(c->result, "sections", list);
	return json_object_array_length(list) ? HF_OK : nothing(wanted, e);
}

static void show_key(json_object *k)
{
	const char *standard = hf_out_get(k, "default");
	bool required = json_object_get_boolean(json_object_object_get(k, "required"));

	printf("  %s = %s%s%s%s\n      %s\n", hf_out_get(k, "name"), hf_out_get(k, "value"),
	       required ? "; required" : "", standard[0] ? "; default " : "", standard,
	       hf_out_get(k, "doc"));
}

void hf_config_explain_show(const struct hf_cli *c)
{
	json_object *list = json_object_object_get(c->result, "sections");
	size_t i, j;

	for (i = 0; i < json_object_array_length(list); i++) {
		json_object *s = json_object_array_get_idx(list, i);
		json_object *keys = json_object_object_get(s, "keys");

		printf("%s%s  %s\n", i ? "\n" : "", hf_out_get(s, "section"), hf_out_get(s, "doc"));
		for (j = 0; j < json_object_array_length(keys); j++)
			show_key(json_object_array_get_idx(keys, j));
	}
}
