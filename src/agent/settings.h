/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h: agent.json, as `holdfast config apply` wrote it, in structs. docs/ARCHITECTURE.md,
 * The agent, has its members; there are no defaults here.
 */
#ifndef HF_AGENT_SETTINGS_H
#define HF_AGENT_SETTINGS_H

#include <stdbool.h>

#include "base/file.h"

#define HF_CREDENTIALS_MAX  64
#define HF_AGENT_GRANTS_MAX 1024
#define HF_ID_SIZE	    64 /* of credentials and keys, with the NUL */

/* One of them is not 0: a share of the lifetime, or a time before its end. */
struct hf_when {
	int64_t percent, seconds;
};

struct hf_renew {
	bool enabled, rotate_key;
	struct hf_when threshold, retry;
	struct {
		int64_t from_min, to_min; /* minutes of the local day; -1: any time */
	} window;
};

struct hf_est_conf {
	char url[1024], cacerts_file[HF_PATH_MAX]; /* the latter for other programs */
	struct {
		char mode[16], files[16][HF_PATH_MAX], sha256[65];
		size_t n_files;
	} trust;
	char username[256], password[256], password_file[HF_PATH_MAX], token_file[HF_PATH_MAX];
	char identity[HF_ID_SIZE], bootstrap[HF_ID_SIZE]; /* credentials; "": none */
	char client_chain[16], binding[16], csrattrs[16], tolerate[3][16], proxy[256];
	size_t n_tolerate;
	bool follow_redirects;
};

struct hf_credential_conf {
	char id[HF_ID_SIZE], aliases[4][HF_ID_SIZE], role[16];
	size_t n_aliases;
	struct {
		char name[HF_ID_SIZE], token[HF_ID_SIZE], algorithm[24], usage[64], uri[512];
	} key;
	char file[HF_PATH_MAX], reference[HF_PATH_MAX], owner[64], group[64];
	int64_t mode, days, pathlen;
	char method[16]; /* self_signed, local_ca, est, files */
	bool quickstart, ca;
	char issuer[HF_ID_SIZE];
	char subject[16][2][256]; /* attribute, value; in the order of the certificate */
	char sans[32][256], eku[8][64];
	size_t n_subject, n_sans, n_eku;
	struct hf_est_conf est;
	struct hf_renew renew;
	struct {
		char exec[16][512], user[64];
		size_t n_exec;
		int64_t timeout_s;
	} hook;
};

struct hf_agent_socket {
	char name[HF_ID_SIZE], path[108], owner[64], group[64];
	int64_t mode;
	int given; /* by systemd, which listens on it already; 0: it is to be made */
};

/* Who may ask the agent for which certificates. */
struct hf_agent_grant {
	int64_t uid;
	char certs[64][128], modules[16][128];
	size_t n_certs, n_modules;
};

/* Certificates that are asked for together, by their ids. */
struct hf_agent_bundle {
	char id[HF_ID_SIZE], of[16][HF_ID_SIZE];
	size_t n_of;
};

struct hf_agent_settings {
	int64_t version;
	char state_dir[HF_PATH_MAX], run_dir[HF_PATH_MAX], certs_dir[HF_PATH_MAX];
	char broker_socket[108];
	struct {
		char device_id[129], registration_id[129], hostname[254], hub[254];
	} device;
	struct {
		bool wait_for_ntp;
	} clock;
	struct {
		char user_file[HF_PATH_MAX], file[HF_PATH_MAX];
		bool system_store;
	} bundle;
	struct {
		char keys[16], algorithm[24], issuer[HF_ID_SIZE];
		int64_t days;
	} module;
	struct hf_agent_socket sockets[8];
	struct hf_agent_grant *principals;
	struct hf_agent_bundle *bundles;
	struct hf_credential_conf *credentials;
	size_t n_sockets, n_bundles, n_principals, n_credentials;
};

/* NULL and @e on failure: HF_IO (no file), HF_ARGUMENT (not what it has to be). */
struct hf_agent_settings *hf_agent_settings_load(const char *path, struct hf_err *e);
struct hf_agent_settings *hf_agent_settings_parse(const char *text, size_t n, const char *where,
						  struct hf_err *e);
void hf_agent_settings_free(struct hf_agent_settings *s);

/* By id or alias; NULL if there is none. */
const struct hf_credential_conf *hf_agent_settings_find(const struct hf_agent_settings *s,
							const char *id);

#endif
