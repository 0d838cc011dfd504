/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inventory.h: the credentials of this device, as agent.json wants them, as the agent tells of them
 * in its status.json, and as their files are. Each of the three may be missing.
 */
#ifndef HF_CLI_INVENTORY_H
#define HF_CLI_INVENTORY_H

#include <openssl/x509.h>

#include "cli/cli.h"

struct hf_credview {
	const char *id, *role, *file;
	json_object *conf, *status; /* borrowed; NULL if there is none */
	STACK_OF(X509) * certs;	    /* of the file; NULL: @cert_err says why */
	struct hf_err cert_err;
};

struct hf_inventory {
	char agent_path[HF_PATH_MAX], status_path[HF_PATH_MAX];
	json_object *agent, *status; /* NULL: *_err says why */
	struct hf_err agent_err, status_err;
	bool alive; /* the process that wrote status.json is there */
	struct hf_credview *list;
	size_t n;
};

/* HF_NO_MEMORY alone; what is missing or damaged is in @out. */
enum hf_rc hf_inventory_load(const struct hf_cli *c, struct hf_inventory *out, struct hf_err *e);
void hf_inventory_finish(struct hf_inventory *i);

/* By id or alias; NULL. */
struct hf_credview *hf_inventory_find(const struct hf_inventory *i, const char *id);

/* Members by a path such as "est.url"; NULL, "" and 0 if there is nothing. */
json_object *hf_inventory_at(json_object *o, const char *path);
const char *hf_inventory_text(json_object *o, const char *path);
int64_t hf_inventory_number(json_object *o, const char *path);
bool hf_inventory_true(json_object *o, const char *path);

#endif
