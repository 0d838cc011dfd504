/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/making.h"

#include <stdlib.h>
#include <string.h>

#include "conf/value.h"

static const char *standard(const struct hf_making_table *t, const char *key)
{
	const struct hf_conf_key *k = hf_conf_key_find(t->section, key);

	return k && k->standard ? k->standard : "";
}

const char *hf_making_text(const struct hf_making_table *t, const char *key)
{
	const struct hf_node *n = hf_node_get(t->node, key);

	return n && n->kind == HF_NODE_STRING ? n->text : standard(t, key);
}

int64_t hf_making_number(const struct hf_making_table *t, const char *key)
{
	const struct hf_node *n = hf_node_get(t->node, key);

	return n && n->kind == HF_NODE_INTEGER ? n->number : strtoll(standard(t, key), NULL, 0);
}

uint64_t hf_making_duration(const struct hf_making_table *t, const char *key)
{
	uint64_t ms = 0;

	(void)hf_value_duration(hf_making_text(t, key), &ms);
	return ms;
}

void hf_making_set_text(json_object *to, const char *name, const char *value)
{
	json_object_object_add(to, name, json_object_new_string(value));
}

void hf_making_set_number(json_object *to, const char *name, int64_t value)
{
	json_object_object_add(to, name, json_object_new_int64(value));
}

void hf_making_set_list(json_object *to, const char *name, const struct hf_making_table *t,
			const char *key)
{
	const struct hf_node *list = hf_node_get(t->node, key), *n;
	json_object *array = json_object_new_array();
	const char *w = standard(t, key);
	size_t len;

	for (n = list ? list->children : NULL; n; n = n->next)
		json_object_array_add(array, json_object_new_string(n->text));
	for (; !list && *w; w += len + (w[len] == ' ')) {
		len = strcspn(w, " ");
		json_object_array_add(array, json_object_new_string_len(w, (int)len));
	}
	json_object_object_add(to, name, array);
}

const struct hf_node *hf_making_tables(const struct hf_making *m, const char *section)
{
	const struct hf_node *array = hf_node_get(m->root, section);

	return array && array->kind == HF_NODE_ARRAY ? array->children : NULL;
}

void hf_making_check_names(const struct hf_making *m, const char *section, const char *key,
			   size_t max)
{
	const struct hf_node *a, *b;
	size_t n = 0;

	for (a = hf_making_tables(m, section); a; a = a->next) {
		const struct hf_node *name = hf_node_get(a, key);

		if (++n > max) {
			hf_problem_add(m->p, HF_PROBLEM_ERROR, a, "more than %zu [[%s]]", max,
				       section);
			return;
		}
		for (b = hf_making_tables(m, section); name && b != a; b = b->next) {
			const struct hf_node *other = hf_node_get(b, key);

			if (other && !strcmp(other->text, name->text))
				hf_problem_add(m->p, HF_PROBLEM_ERROR, name,
					       "there is a [[%s]] with %s = \"%s\" already (%s:%u)",
					       section, key, name->text, other->file, other->line);
		}
	}
}
