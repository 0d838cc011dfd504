/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/node.h"

#include <stdlib.h>
#include <string.h>

struct hf_node *hf_node_new(enum hf_node_kind kind, const char *key, const char *text,
			    const char *file, unsigned line)
{
	struct hf_node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->kind = kind;
	n->file = file;
	n->line = line;
	n->key = key ? strdup(key) : NULL;
	n->text = text ? strdup(text) : NULL;
	if ((key && !n->key) || (text && !n->text)) {
		hf_node_free(n);
		return NULL;
	}
	return n;
}

/* Depth is bounded by toml.cc, so recursion is fine. */
void hf_node_free(struct hf_node *n)
{
	struct hf_node *next;

	if (!n)
		return;
	for (; n->children; n->children = next) {
		next = n->children->next;
		hf_node_free(n->children);
	}
	if (n->text)
		explicit_bzero(n->text,
			       strlen(n->text)); /* EST passwords and PINs are among them */
	free(n->text);
	free(n->key);
	free(n);
}

void hf_node_add(struct hf_node *parent, struct hf_node *child)
{
	child->next = NULL;
	if (parent->last)
		parent->last->next = child;
	else
		parent->children = child;
	parent->last = child;
}

const struct hf_node *hf_node_get(const struct hf_node *table, const char *key)
{
	const struct hf_node *n;

	if (!table || table->kind != HF_NODE_TABLE)
		return NULL;
	for (n = table->children; n; n = n->next)
		if (!strcmp(n->key, key))
			return n;
	return NULL;
}

static void replace(struct hf_node *parent, struct hf_node *old, struct hf_node *fresh)
{
	struct hf_node **at = &parent->children;

	while (*at != old)
		at = &(*at)->next;
	fresh->next = old->next;
	*at = fresh;
	if (parent->last == old)
		parent->last = fresh;
	hf_node_free(old);
}

static void append_all(struct hf_node *into, struct hf_node *from)
{
	struct hf_node *child, *next;

	for (child = from->children; child; child = next) {
		next = child->next;
		hf_node_add(into, child);
	}
	from->children = from->last = NULL;
	hf_node_free(from);
}

void hf_node_merge(struct hf_node *into, struct hf_node *from)
{
	struct hf_node *child, *next, *old;

	for (child = from->children; child; child = next) {
		next = child->next;
		for (old = into->children; old && strcmp(old->key, child->key); old = old->next)
			;
		if (!old)
			hf_node_add(into, child);
		else if (old->kind == HF_NODE_TABLE && child->kind == HF_NODE_TABLE)
			hf_node_merge(old, child);
		else if (old->kind == HF_NODE_ARRAY && child->kind == HF_NODE_ARRAY)
			append_all(old, child);
		else
			replace(into, old, child);
	}
	from->children = from->last = NULL;
	hf_node_free(from);
}

const char *hf_node_kind_text(enum hf_node_kind kind)
{
	switch (kind) {
	case HF_NODE_TABLE:
		return "a table";
	case HF_NODE_ARRAY:
		return "a list";
	case HF_NODE_STRING:
		return "text";
	case HF_NODE_INTEGER:
		return "a number";
	case HF_NODE_BOOLEAN:
		return "true or false";
	case HF_NODE_OTHER:
		break;
	}
	return "a date, a time or a fraction";
}
