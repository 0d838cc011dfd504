/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modules.h: the modules that have certificates of the Edge CA: one JSON file each below
 * state_dir/modules. When the Edge CA is another one, all of them get new certificates for the
 * keys that they have, and who they are is said in the log and to the hook.
 */
#ifndef HF_AGENT_MODULES_H
#define HF_AGENT_MODULES_H

#include "agent/agent.h"
#include "agent/module.h"

#define HF_MODULES_MAX 512

struct hf_module_record {
	struct hf_module module;
	char key[HF_ID_SIZE];		       /* in the token; "": the module has it */
	char issuer[65];		       /* fingerprint of the CA's certificate, hex */
	char serial[48];		       /* hex */
	int64_t not_before, not_after, issued; /* issued: how many for it so far */
	char certificate[32768];	       /* PEM: leaf and chain */
};

/* Signs one for @key, and writes its record (and, for a key in the token, its files). @r has
 * the module and key; the rest is filled in. */
enum hf_rc hf_modules_issue(struct hf_agent *a, struct hf_module_record *r, EVP_PKEY *key,
			    struct hf_err *e);

/* What was issued last to @r->module. HF_NO_KEY: nothing. */
enum hf_rc hf_modules_get(struct hf_agent *a, struct hf_module_record *r, struct hf_err *e);

/* The module is gone: so are its record and, from the token, its key. HF_NO_KEY: it has none. */
enum hf_rc hf_modules_forget(struct hf_agent *a, const struct hf_module *m, struct hf_err *e);

/* All of them, in no order, to @each; damaged ones are set aside. Returns how many there are. */
size_t hf_modules_each(struct hf_agent *a,
		       void (*each)(struct hf_agent *a, struct hf_module_record *r, void *arg),
		       void *arg);

/* Issues again what has to be: all of an Edge CA that is not the one of now; those whose keys are
 * in the token, in time. Cheap if nothing is due. */
void hf_modules_look(struct hf_agent *a);

/* The hook of the issuer has been told whose certificates were issued again. */
void hf_modules_told(struct hf_agent *a);

/* The name of a module's key in the token. */
void hf_modules_key_name(const struct hf_module *m, char out[HF_ID_SIZE]);

#endif
