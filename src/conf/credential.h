/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential.h: the certificates that config.toml asks for: IoT Edge's and those of
 * [[credential]], in one form. agentfile.c writes them down for the certificate agent.
 */
#ifndef HF_CONF_CREDENTIAL_H
#define HF_CONF_CREDENTIAL_H

#include "conf/making.h"

#define HF_CREDS_MAX	    64
#define HF_CRED_ID_MAX	    64 /* with the NUL, as names of keys */
#define HF_CRED_SUBJECT_MAX 16
#define HF_CRED_CN_MAX	    64 /* characters: ub-common-name of RFC 5280 */

enum hf_cred_method {
	HF_CRED_SELF_SIGNED,
	HF_CRED_LOCAL_CA,
	HF_CRED_EST,
	HF_CRED_FILES, /* it is there already, and somebody else's to renew */
};

struct hf_cred_when {
	unsigned percent; /* of the lifetime, or */
	uint64_t seconds;
};

struct hf_cred_renew {
	bool enabled, rotate_key;
	struct hf_cred_when threshold, retry;
	int from_min, to_min; /* of the day; -1: at any time */
	const struct hf_node *at;
};

/* Texts of all these are the configuration's, never NULL. */
struct hf_cred_est {
	const char *url;
	const struct hf_node *trusted;	/* list of file:/// or NULL */
	const struct hf_node *tolerate; /* list of words, or NULL */
	const char *fingerprint, *username, *password, *password_file, *token_file;
	char identity[HF_CRED_ID_MAX], bootstrap[HF_CRED_ID_MAX];
	const char *client_chain, *binding, *csrattrs, *proxy, *cacerts_file;
	bool follow_redirects;
};

struct hf_cred {
	char id[HF_CRED_ID_MAX], alias[HF_CRED_ID_MAX]; /* "": none */
	const char *role;
	struct {
		char name[HF_CRED_ID_MAX]; /* "": certificate without a key */
		const char *token, *algorithm, *uri;
		bool ca;
	} key;
	char file[HF_PATH_MAX], reference[HF_PATH_MAX];
	const char *owner, *group;
	unsigned mode;
	enum hf_cred_method method;
	bool quickstart;
	int64_t days;
	char issuer[HF_CRED_ID_MAX];
	struct {
		const char *type, *value;
	} subject[HF_CRED_SUBJECT_MAX];
	size_t n_subject;
	char cn[HF_CRED_CN_MAX * 4 + 1]; /* what a subject of ours points to */
	char subject_text[1024];	 /* likewise */
	const struct hf_node *sans, *eku;
	const char *const *eku_standard; /* without @eku; ends with NULL; NULL: none */
	bool ca;
	int pathlen;
	struct hf_cred_est est;
	struct hf_cred_renew renew;
	const struct hf_node *hook;
	const struct hf_node *at; /* where it was asked for; NULL: nowhere */
};

/* What is known of the machine, beside the files. */
struct hf_host {
	char name[256];
	int64_t certs_uid, edged_uid, identity_uid; /* -1: there is none */
};

struct hf_creds {
	const struct hf_making *m;
	struct {
		char id[256], registration[256], hostname[256], hub[256];
	} device;
	struct hf_cred *list[HF_CREDS_MAX];
	size_t n;
	bool auth_used; /* [cert_issuance.est.auth], by one of them */
};

void hf_host_find(struct hf_host *h, const struct hf_paths *paths);

/*
 * Everything that @m->root asks for. What is wrong, or forbidden, is added to @m->p. @c
 * borrows from @m; finish it in any case.
 */
void hf_creds_make(struct hf_creds *c, const struct hf_making *m, const struct hf_host *host);
void hf_creds_finish(struct hf_creds *c);

/* By id or alias; NULL if there is none. */
struct hf_cred *hf_creds_find(const struct hf_creds *c, const char *id);

#endif
