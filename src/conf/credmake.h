/* SPDX-License-Identifier: Apache-2.0 */
/* credmake.h: what the makers of credentials (cred_*.c) share. */
#ifndef HF_CONF_CREDMAKE_H
#define HF_CONF_CREDMAKE_H

#include "conf/credential.h"

/* One more, with everything at its default; NULL (and an error) if there is one of that id. */
struct hf_cred *hf_cred_add(struct hf_creds *c, const char *id, const char *role,
			    const struct hf_node *at);

/* Text of @key in @table, or NULL. */
const char *hf_cred_text(const struct hf_node *table, const char *key);
/* The same, or the default that the schema has for it in @section. */
const char *hf_cred_word(const struct hf_node *table, const char *section, const char *key);
/* A table at "a.b.c" below the root; NULL if there is none. */
const struct hf_node *hf_cred_table(const struct hf_creds *c, const char *path);
/* "file:///a%20b" into "/a b"; false and an error at @n if it is none. */
bool hf_cred_path(struct hf_creds *c, const struct hf_node *n, char out[HF_PATH_MAX]);

/* The same without an error; false for any other URI as well. */
bool hf_cred_uri_path(const char *uri, char out[HF_PATH_MAX]);

/* The certificate is in @cert, its key at @pk (NULL: it has none). */
void hf_cred_files(struct hf_creds *c, struct hf_cred *k, const struct hf_node *cert,
		   const struct hf_node *pk);
/* method, expiry_days, subject, algorithm, token, EST and renewal of a table of IoT Edge's. */
void hf_cred_issued(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table);
/* Takes @pk for the key: a URI, or the name of a key. */
void hf_cred_key(struct hf_cred *k, const struct hf_node *pk);

/* common_name or subject of @table. */
void hf_cred_subject(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table);
/* Sets CN, cut at 64 characters (false: it was). The others stay. */
bool hf_cred_set_cn(struct hf_cred *k, const char *cn);
/* NULL if there is none. */
const char *hf_cred_cn(const struct hf_cred *k);

/* @table: auto_renew or renew, may be NULL: @enabled and the usual values. */
void hf_cred_renewal(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table,
		     bool enabled);

/*
 * How @k is got from an EST server. @table has keys of its own for that, or is NULL. Adds
 * the identities that are needed for it.
 */
void hf_cred_enroll(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table);

/* [cert_issuance.est.auth] if nothing uses it: what is wrong in it would be found too late. */
void hf_cred_unused_auth(struct hf_creds *c);

/* The makers. */
void hf_creds_device(struct hf_creds *c);
void hf_creds_local_ca(struct hf_creds *c);
void hf_creds_edge_ca(struct hf_creds *c);
void hf_creds_preloaded(struct hf_creds *c);
void hf_creds_own(struct hf_creds *c);

/* What only shows when all are there: cred_check.c. */
void hf_creds_check(struct hf_creds *c);

#endif
