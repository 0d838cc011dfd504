/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.h: configuration as a tree that remembers file and line of everything in it.
 * A parser (toml.cc) fills it; schema, merge and the writers read it.
 */
#ifndef HF_CONF_NODE_H
#define HF_CONF_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hf_node_kind {
	HF_NODE_TABLE,
	HF_NODE_ARRAY,
	HF_NODE_STRING,
	HF_NODE_INTEGER,
	HF_NODE_BOOLEAN,
	HF_NODE_OTHER, /* floats, dates and times: nothing of ours has such a value */
};

struct hf_node {
	enum hf_node_kind kind;
	char *key;	  /* NULL in arrays and at the root */
	const char *file; /* borrowed, outlives the tree */
	unsigned line;	  /* from 1; 0: unknown */
	char *text;	  /* of STRING; never NULL then */
	int64_t number;	  /* of INTEGER, and 0 or 1 of BOOLEAN */
	struct hf_node *children, *last, *next;
};

/* Copies @key (may be NULL) and @text (STRING only, else NULL). NULL: out of memory. */
struct hf_node *hf_node_new(enum hf_node_kind kind, const char *key, const char *text,
			    const char *file, unsigned line);
/* The whole tree below; NULL is fine. */
void hf_node_free(struct hf_node *n);

/* Appends @child, which @parent owns from now on. */
void hf_node_add(struct hf_node *parent, struct hf_node *child);

/* Direct child of a table; NULL if there is none, or @table is NULL or not a table. */
const struct hf_node *hf_node_get(const struct hf_node *table, const char *key);

/*
 * Puts @from (a table; consumed) over @into (a table): tables merge, arrays
 * concatenate, everything else replaces, as in the original's drop-in files.
 */
void hf_node_merge(struct hf_node *into, struct hf_node *from);

/* "a table", "text", "a number"…; never NULL. */
const char *hf_node_kind_text(enum hf_node_kind kind);

#endif
