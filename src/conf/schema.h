/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.h: every section and key that config.toml may have. The same rows check a
 * file, give defaults, print `holdfast config explain` and are compared with
 * holdfast-config(5) by a test.
 */
#ifndef HF_CONF_SCHEMA_H
#define HF_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/node.h"
#include "conf/problem.h"

enum hf_conf_type {
	HF_CONF_TEXT, /* min, max: its length */
	HF_CONF_NAME,
	HF_CONF_PATH,	   /* absolute; max: its length */
	HF_CONF_URI,	   /* file:///PATH, pkcs11:… or holdfast:… */
	HF_CONF_FILE_URI,  /* file:///PATH */
	HF_CONF_FILE_URIS, /* list of them */
	HF_CONF_BUNDLE,	   /* a file:///PATH, or a list of certificate ids */
	HF_CONF_URL,	   /* http:// or https:// */
	HF_CONF_NUMBER,	   /* min, max */
	HF_CONF_BOOLEAN,
	HF_CONF_DURATION, /* "10s"; min, max in ms */
	HF_CONF_MODE,	  /* "0660" */
	HF_CONF_RENEWAL,  /* "80%", "10d" */
	HF_CONF_WINDOW,	  /* "02:00-04:00" */
	HF_CONF_KEY,	  /* name of a key, or its URI */
	HF_CONF_CHOICE,	  /* one of @words */
	HF_CONF_CHOICES,  /* list of @words */
	HF_CONF_TEXTS,	  /* list; max: how many; min: how long one may be (0: 127) */
	HF_CONF_PATTERNS, /* list of names with * and ?; max: how many */
	HF_CONF_ANY,	  /* somebody else's business */
};

struct hf_conf_key {
	const char *name; /* "*": any key */
	enum hf_conf_type type;
	const char *standard; /* value if absent, as text; NULL: none. HF_CONF_REQUIRED: must be
				 there */
	int64_t min, max;
	const char *words; /* of CHOICE and CHOICES, separated by spaces */
	const char *doc;
};

#define HF_CONF_REQUIRED ""

enum hf_conf_shape {
	HF_CONF_TABLE, /* [path] */
	HF_CONF_TABLES /* [[path]] */
};

enum hf_conf_owner {
	HF_CONF_OURS,	/* becomes holdfastd.json */
	HF_CONF_AGENT,	/* certificates and keys: checked, and kept for the certificate agent */
	HF_CONF_MIXED,	/* others', but sections below it are the agent's */
	HF_CONF_OTHERS, /* other IoT Edge daemons: known by name, not looked into */
};

struct hf_conf_section {
	const char *path; /* "edge_ca.auto_renew"; "": the top of the file */
	enum hf_conf_shape shape;
	enum hf_conf_owner owner;
	const struct hf_conf_key
		*keys[2]; /* lists that end with name == NULL; NULL: no such list */
	const char *doc;
};

extern const struct hf_conf_section hf_conf_sections[]; /* ends with path == NULL */

/* NULL if there is none. "*" keys are found by any name. */
const struct hf_conf_section *hf_conf_section_find(const char *path);
const struct hf_conf_key *hf_conf_key_find(const struct hf_conf_section *s, const char *name);

/* "[[token]]", "[edge_ca]", "the top of the file" into @out. Returns @out. */
char *hf_conf_section_text(const struct hf_conf_section *s, char *out, size_t size);

/* What to write for a key: `a duration such as "10s"`, `one of "est", "local_ca"`… into @out. */
char *hf_conf_want(const struct hf_conf_key *key, char *out, size_t size);

/* Checks one file's tree; adds to @p. Notes which sections of others were skipped. */
void hf_conf_check(const struct hf_node *root, struct hf_problems *p);

/* Does @node's value fit @key? If not, an error is added. */
bool hf_conf_check_value(const struct hf_conf_key *key, const struct hf_node *node,
			 struct hf_problems *p);

#endif
