/* SPDX-License-Identifier: Apache-2.0 */
/* cred_est.c: how a certificate is got from an EST server, and with which identity. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conf/credmake.h"

#define EST "cert_issuance.est"

static const char *const auth_keys[] = {
	"username",	 "password",	"password_file",	   "token_file",
	"identity_cert", "identity_pk", "bootstrap_identity_cert", "bootstrap_identity_pk"
};

static bool has_auth(const struct hf_node *table)
{
	size_t i;

	for (i = 0; i < HF_COUNT(auth_keys); i++)
		if (hf_node_get(table, auth_keys[i]))
			return true;
	return false;
}

/* Half of a pair is dropped by the original without a word: then nothing authenticates. */
static bool pair(struct hf_creds *c, const struct hf_node *table, const char *one,
		 const char *other)
{
	const struct hf_node *a = hf_node_get(table, one), *b = hf_node_get(table, other);

	if ((a != NULL) != (b != NULL))
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, a ? a : b,
			       "%s is of no use without %s; write both, or none", a ? one : other,
			       a ? other : one);
	return a && b;
}

static void take_password(struct hf_creds *c, struct hf_cred *k, const struct hf_node *auth)
{
	const struct hf_node *file = hf_node_get(auth, "password_file");
	const struct hf_node *token = hf_node_get(auth, "token_file");

	k->est.token_file = token ? token->text : "";
	if (file && hf_node_get(auth, "password"))
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, file,
			       "there are both password and password_file; write one of them");
	if (!pair(c, auth, "username", file ? "password_file" : "password"))
		return;
	k->est.username = hf_cred_text(auth, "username");
	if (file)
		k->est.password_file = file->text;
	else
		k->est.password = hf_cred_text(auth, "password");
}

static const char *url_of(const struct hf_creds *c, const struct hf_cred *k)
{
	const struct hf_node *urls = hf_cred_table(c, EST ".urls");
	const char *url = hf_cred_text(urls, k->id);

	if (!url && k->alias[0])
		url = hf_cred_text(urls, k->alias);
	if (!url)
		url = hf_cred_text(urls, "default");
	return url ? url : hf_cred_text(hf_cred_table(c, EST ".auth"), "url");
}

static void take_url(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table)
{
	const char *url = hf_cred_text(table, "url");

	if (!url)
		url = url_of(c, k);
	if (url)
		k->est.url = url;
	else
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, table ? table : k->at,
			       "nothing says which EST server issues %s; write url = "
			       "\"https://...\" there, or default = \"https://...\" in [" EST
			       ".urls]",
			       k->id);
}

static const char *option(const struct hf_creds *c, const struct hf_node *table, const char *key)
{
	const char *text = hf_cred_text(table, key);

	return text ? text : hf_cred_word(hf_cred_table(c, EST), EST, key);
}

static void take_options(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table)
{
	const struct hf_node *all = hf_cred_table(c, EST);
	const struct hf_node *own = hf_node_get(table, "follow_redirects");
	const struct hf_node *follow = own ? own : hf_node_get(all, "follow_redirects");
	const struct hf_node *certs = hf_node_get(table, "trusted_certs");
	const struct hf_node *tolerate = hf_node_get(table, "tolerate");
	const char *cacerts = hf_cred_text(table, "cacerts_file");

	k->est.tolerate = tolerate ? tolerate : hf_node_get(all, "tolerate");
	k->est.csrattrs = option(c, table, "csrattrs");
	k->est.cacerts_file = cacerts ? cacerts : "";

	k->est.fingerprint = option(c, certs ? NULL : table, "fingerprint");
	if (hf_cred_text(table, "fingerprint"))
		all = NULL; /* another server: what is trusted elsewhere is not meant */
	if (certs)
		k->est.fingerprint = "";
	k->est.trusted = certs ? certs : hf_node_get(all, "trusted_certs");
	if (k->est.trusted && !k->est.trusted->children)
		k->est.trusted = NULL;
	k->est.client_chain = option(c, table, "client_chain");
	k->est.binding = option(c, table, "binding");
	k->est.proxy = option(c, table, "proxy");
	k->est.follow_redirects = follow && follow->number;
}

/* "est-id" of all, or "est-id-edge-ca" of one. */
static bool name(struct hf_creds *c, const char *kind, const struct hf_cred *of,
		 char out[HF_CRED_ID_MAX])
{
	int n = snprintf(out, HF_CRED_ID_MAX, "%s%s%s", kind, of ? "-" : "", of ? of->id : "");

	if (n >= HF_CRED_ID_MAX)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, of ? of->at : NULL,
			       "%s is too long an id for a certificate with an EST identity of its "
			       "own; choose one of at most 40 characters",
			       of ? of->id : kind);
	return n < HF_CRED_ID_MAX;
}

static void set_alias(struct hf_cred *k, const char *kind, const struct hf_cred *of)
{
	if (of && of->alias[0] &&
	    snprintf(k->alias, sizeof(k->alias), "%s-%s", kind, of->alias) >= (int)sizeof(k->alias))
		k->alias[0] = '\0';
}

static void add_files(struct hf_creds *c, const char *kind, const char *role,
		      const struct hf_cred *of, const struct hf_node *auth, const char *cert,
		      const char *pk)
{
	const struct hf_node *file = hf_node_get(auth, cert);
	char id[HF_CRED_ID_MAX];
	struct hf_cred *k;

	if (!name(c, kind, of, id) || (!of && hf_creds_find(c, id)))
		return;
	k = hf_cred_add(c, id, role, file);
	if (!k)
		return;
	set_alias(k, kind, of);
	hf_cred_files(c, k, file, hf_node_get(auth, pk));
}

/* The identity that the bootstrap certificate is for: issued, and renewed, by the server. */
static void add_identity(struct hf_creds *c, const struct hf_cred *user, const struct hf_cred *of,
			 const struct hf_node *auth)
{
	static const char *const client[] = { "clientAuth", NULL };
	const struct hf_node *urls = hf_cred_table(c, EST ".urls");
	const char *cn = hf_cred_cn(user), *url;
	char id[HF_CRED_ID_MAX];
	struct hf_cred *k;

	if (!name(c, "est-id", of, id) || (!of && hf_creds_find(c, id)))
		return;
	k = hf_cred_add(c, id, "est_id", hf_node_get(auth, "bootstrap_identity_cert"));
	if (!k)
		return;
	set_alias(k, "est-id", of);
	k->method = HF_CRED_EST;
	memcpy(k->subject, user->subject, sizeof(k->subject));
	k->n_subject = user->n_subject;
	if (cn)
		(void)hf_cred_set_cn(k, cn);
	k->eku_standard = client;
	k->est = user->est;
	k->est.cacerts_file = ""; /* the user's own */
	url = of ? NULL : hf_cred_text(urls, "est-id");
	url = url || of ? url : hf_cred_text(urls, "default");
	if (url)
		k->est.url = url;
	hf_cred_renewal(c, k, hf_cred_table(c, EST ".identity_auto_renew"), true);
}

/* Once, though several certificates have the identity. */
static void warn_not_renewed(struct hf_creds *c)
{
	const struct hf_node *renew = hf_cred_table(c, EST ".identity_auto_renew");
	const struct hf_node *yes = hf_node_get(renew, "enabled");
	size_t i, users = 0;

	for (i = 0; i < c->n; i++)
		users += !strcmp(c->list[i]->est.identity, "est-id");
	if (users == 1 && renew && (!yes || yes->number))
		hf_problem_add(c->m->p, HF_PROBLEM_WARNING, renew,
			       "an EST identity of files is not renewed: identity_auto_renew does "
			       "nothing. Write the files as bootstrap_identity_cert and "
			       "bootstrap_identity_pk, to have an identity issued and renewed");
}

static void take_certificates(struct hf_creds *c, struct hf_cred *k, const struct hf_node *auth,
			      const struct hf_cred *of)
{
	bool identity = pair(c, auth, "identity_cert", "identity_pk");
	bool bootstrap = pair(c, auth, "bootstrap_identity_cert", "bootstrap_identity_pk");

	if (identity && bootstrap)
		hf_problem_add(c->m->p, HF_PROBLEM_WARNING, hf_node_get(auth, "identity_cert"),
			       "identity_cert is not used, as there is a bootstrap_identity_cert: "
			       "with that the identity is got from the EST server");
	if (!identity && !bootstrap)
		return;
	(void)name(c, "est-id", of, k->est.identity);
	if (bootstrap) {
		(void)name(c, "est-bootstrap-id", of, k->est.bootstrap);
		add_files(c, "est-bootstrap-id", "est_bootstrap", of, auth,
			  "bootstrap_identity_cert", "bootstrap_identity_pk");
		add_identity(c, k, of, auth);
	} else {
		add_files(c, "est-id", "est_id", of, auth, "identity_cert", "identity_pk");
		warn_not_renewed(c);
	}
}

void hf_cred_unused_auth(struct hf_creds *c)
{
	const struct hf_node *auth = hf_cred_table(c, EST ".auth");

	if (c->auth_used || !auth)
		return;
	(void)pair(c, auth, "username",
		   hf_node_get(auth, "password_file") ? "password_file" : "password");
	(void)pair(c, auth, "identity_cert", "identity_pk");
	(void)pair(c, auth, "bootstrap_identity_cert", "bootstrap_identity_pk");
}

/* Up to the path: host and port. */
static size_t authority(const char *url, const char **from)
{
	const char *after = strstr(url, "://");

	*from = after ? after + 3 : url;
	return strcspn(*from, "/");
}

/* What was written for one server goes to whatever another certificate's URL names. */
static void warn_of_secret(struct hf_creds *c, const struct hf_cred *k, const struct hf_node *table)
{
	const char *own = hf_cred_text(table, "url"), *all = url_of(c, k), *here, *there;
	bool secret = k->est.password[0] || k->est.password_file[0] || k->est.token_file[0];
	size_t n, m;

	if (!secret || !own || !all)
		return;
	n = authority(own, &here);
	m = authority(all, &there);
	if (n == m && !strncasecmp(here, there, n))
		return;
	hf_problem_add(c->m->p, HF_PROBLEM_WARNING, hf_node_get(table, "url"),
		       "%.*s is told the password or token of [" EST ".auth], like %.*s; if it is "
		       "not meant for both, write one for %s beside its url",
		       (int)n, here, (int)m, there, k->id);
}

void hf_cred_enroll(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table)
{
	const struct hf_node *auth = has_auth(table) ? table : hf_cred_table(c, EST ".auth");
	const char *identity = hf_cred_text(table, "identity");
	const char *bootstrap = hf_cred_text(table, "bootstrap");

	c->auth_used = c->auth_used || auth != table;
	take_url(c, k, table);
	take_options(c, k, table);
	take_password(c, k, auth);
	if (auth != table)
		warn_of_secret(c, k, table);
	if (identity)
		(void)hf_copy(k->est.identity, sizeof(k->est.identity), identity);
	if (bootstrap)
		(void)hf_copy(k->est.bootstrap, sizeof(k->est.bootstrap), bootstrap);
	if (!identity && !bootstrap)
		take_certificates(c, k, auth, auth == table ? k : NULL);
	if (!k->est.username[0] && !k->est.password[0] && !k->est.password_file[0] &&
	    !k->est.token_file[0] && !k->est.identity[0] && !k->est.bootstrap[0] &&
	    !c->m->p->errors)
		hf_problem_add(c->m->p, HF_PROBLEM_WARNING, table ? table : k->at,
			       "nothing tells the EST server who asks for %s; write username and "
			       "password, or bootstrap_identity_cert and bootstrap_identity_pk, "
			       "into [" EST ".auth]",
			       k->id);
}
