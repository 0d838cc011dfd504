/* SPDX-License-Identifier: Apache-2.0 */
/* making.h: what the makers of holdfastd.json share. A missing value is the schema's default. */
#ifndef HF_CONF_MAKING_H
#define HF_CONF_MAKING_H

#include <json-c/json.h>

#include "conf/paths.h"
#include "conf/schema.h"

struct hf_creds;
struct hf_host;

struct hf_making {
	const struct hf_node *root;
	const struct hf_paths *paths;
	struct hf_problems *p;
	const struct hf_creds *creds; /* NULL: without those of the certificate agent */
	const struct hf_host *host;
};

/* One table of a section while it becomes JSON. */
struct hf_making_table {
	const struct hf_conf_section *section;
	const struct hf_node *node; /* NULL: everything has its default */
};

/* Of the file, else the schema's default, else "" and 0. Borrowed. */
const char *hf_making_text(const struct hf_making_table *t, const char *key);
int64_t hf_making_number(const struct hf_making_table *t, const char *key);
uint64_t hf_making_duration(const struct hf_making_table *t, const char *key); /* ms */

void hf_making_set_text(json_object *to, const char *name, const char *value);
void hf_making_set_number(json_object *to, const char *name, int64_t value);
/* A list of texts; if absent, the words of the schema's default. */
void hf_making_set_list(json_object *to, const char *name, const struct hf_making_table *t,
			const char *key);

/* The first element of [[section]]; NULL if there is none. */
const struct hf_node *hf_making_tables(const struct hf_making *m, const char *section);
/* Names have to be different, and not more than @max. */
void hf_making_check_names(const struct hf_making *m, const char *section, const char *key,
			   size_t max);

/* tokens.c: "tokens" and "default_token". */
void hf_making_tokens(const struct hf_making *m, json_object *out);
/* "tpm2" or "pkcs11" of the token @name ("": the default one); NULL if there is none. */
const char *hf_making_token_type(const struct hf_making *m, const char *name);
/* The nearest of the names that there are; NULL: none is near. */
const char *hf_making_token_nearest(const struct hf_making *m, const char *name);

/* "csr", "token" or "returned". */
const char *hf_making_module_keys(const struct hf_making *m);

/* grants.c: the agent's, after all that people wrote, which thereby comes first. */
void hf_making_grants(const struct hf_making *m, json_object *principals);
void hf_making_profiles(const struct hf_making *m, json_object *profiles);

#endif
