/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h: holdfastd.json, as `holdfast config apply` wrote it, in a struct.
 * Everything is bounded; a member that is not known is an error with its name.
 */
#ifndef HF_BROKER_SETTINGS_H
#define HF_BROKER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/file.h"

#define HF_TOKENS_MAX	   8
#define HF_WORKERS_MAX	   8 /* keepers of one token */
#define HF_ENVIRONMENT_MAX 8
#define HF_PRELOADED_MAX   32
#define HF_SOCKETS_MAX	   32
#define HF_GRANTS_MAX	   1024
#define HF_PATTERNS_MAX	   256
#define HF_PROFILES_MAX	   64
#define HF_NAME_SIZE	   64 /* of keys, tokens and sockets, with the NUL */

/* A key that the token has already, and that gets a name here. */
struct hf_preloaded {
	char name[HF_NAME_SIZE], uri[512], usage[64];
};

struct hf_token_conf {
	char name[HF_NAME_SIZE], type[16];
	uint32_t timeout_ms; /* a signature that takes longer means a dead token */
	uint32_t workers;    /* keepers; 1 for a TPM */
	/* tpm2 */
	char tcti[512];
	uint32_t primary_handle;
	/* pkcs11 */
	char module[HF_PATH_MAX], uri[512];
	char pin[HF_PATH_MAX]; /* path; credential:NAME; "": the token wants none */
	char environment[HF_ENVIRONMENT_MAX][256]; /* NAME=VALUE, for the module */
	char confine[16];			   /* "": by the warden's deny-list alone */
	struct hf_preloaded keys[HF_PRELOADED_MAX];
	size_t n_environment, n_keys;
};

struct hf_socket_conf {
	char name[HF_NAME_SIZE], path[108], owner[HF_NAME_SIZE], group[HF_NAME_SIZE];
	uint32_t mode;
};

/* One [[principal]]: who, on which socket, may do what with which keys. */
struct hf_grant {
	int64_t uid, gid;	   /* -1: any; both -1: nobody */
	char socket[HF_NAME_SIZE]; /* "": any */
	unsigned rights;	   /* enum hf_right bits */
	char (*keys)[HF_NAME_SIZE];
	size_t n_keys;
	char schemes[8][24]; /* patterns; none: any */
	size_t n_schemes;
	uint32_t rate; /* operations on keys a second; 0: no limit */
};

struct hf_profile {
	char key[HF_NAME_SIZE]; /* pattern */
	uint32_t max_days, self_max_days, pathlen;
	uint32_t ca_levels; /* of CAs below it that it may issue */
	char names[16][128];
	size_t n_names;
};

struct hf_limits {
	uint32_t connections, connections_per_principal, queue_per_principal, idle_s;
	uint32_t queue;	 /* requests that wait, of all; beyond it everybody may have one */
	uint32_t packet; /* largest request */
	uint32_t bytes;	 /* queued requests and unread replies; of one principal a quarter */
};

struct hf_settings {
	char state_dir[HF_PATH_MAX];
	char default_token[HF_NAME_SIZE];
	struct hf_token_conf tokens[HF_TOKENS_MAX];
	struct hf_socket_conf sockets[HF_SOCKETS_MAX];
	struct hf_socket_conf metrics[1]; /* if any: a stream socket */
	struct hf_grant *grants;
	struct hf_profile *profiles;
	size_t n_metrics, n_tokens, n_sockets, n_grants, n_profiles;
	struct hf_limits limits;
};

/* NULL and @e on failure: HF_IO (no file), HF_ARGUMENT (not what it has to be). */
struct hf_settings *hf_settings_load(const char *path, struct hf_err *e);
/*
 * Loads @path again, for a process that goes on with the tokens, sockets and state_dir that it has:
 * of these the fresh ones keep @old's, and *@restart says that they differ.
 */
struct hf_settings *hf_settings_reload(const char *path, const struct hf_settings *old,
				       bool *restart, struct hf_err *e);
/* From memory; @where is for messages. */
struct hf_settings *hf_settings_parse(const char *text, size_t n, const char *where,
				      struct hf_err *e);
void hf_settings_free(struct hf_settings *s);

/* The profile of a ca key: the first that matches, else the default one. Never NULL. */
const struct hf_profile *hf_settings_profile(const struct hf_settings *s, const char *key);

#endif
