/* SPDX-License-Identifier: Apache-2.0 */
/* cred_check.c: what only shows when all certificates are known. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "conf/credmake.h"
#include "conf/nearest.h"

/* Those that libcrypto knows and that people put into subjects. */
static const char *const attributes[] = {
	"CN",
	"C",
	"ST",
	"L",
	"O",
	"OU",
	"DC",
	"UID",
	"SN",
	"GN",
	"title",
	"initials",
	"street",
	"serialNumber",
	"postalCode",
	"pseudonym",
	"dnQualifier",
	"description",
	"name",
	"emailAddress",
	"unstructuredName",
	"commonName",
	"countryName",
	"stateOrProvinceName",
	"localityName",
	"organizationName",
	"organizationalUnitName",
	"domainComponent",
	"userId",
	"surname",
	"givenName",
	"streetAddress",
	"businessCategory",
	"generationQualifier",
};

static bool known(const char *type)
{
	size_t i;

	for (i = 0; i < HF_COUNT(attributes); i++)
		if (!strcmp(attributes[i], type))
			return true;
	return false;
}

/* "2.5.4.5" */
static bool is_oid(const char *type)
{
	return type[0] >= '0' && type[0] <= '2' && type[1] == '.' &&
	       strspn(type, "0123456789.") == strlen(type);
}

static void check_subject(struct hf_creds *c, const struct hf_cred *k)
{
	struct hf_nearest near;
	size_t i, j;

	for (i = 0; i < k->n_subject; i++) {
		const char *type = k->subject[i].type, *value = k->subject[i].value;

		if (!value[0])
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, k->at,
				       "the subject of %s has an empty %s; leave it out", k->id,
				       type);
		if (!strcmp(type, "C") && strlen(value) != 2)
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, k->at,
				       "the C of %s is \"%s\"; write the two letters of a country",
				       k->id, value);
		if (known(type) || is_oid(type))
			continue;
		hf_nearest_init(&near, type);
		for (j = 0; j < HF_COUNT(attributes); j++)
			hf_nearest_try(&near, attributes[j]);
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, k->at,
			       "the subject of %s has '%.40s', which is no attribute of a "
			       "name%s%s%s",
			       k->id, type, near.best ? "; did you mean '" : "",
			       near.best ? near.best : "; CN, O, OU, L, ST, C are some",
			       near.best ? "'?" : "");
	}
}

/* ---------------------------------------------------------------- renewal */

static uint64_t seconds_of(const struct hf_cred_when *w, uint64_t life)
{
	return w->percent ? life * w->percent / 100 : w->seconds;
}

static void check_renewal(struct hf_creds *c, const struct hf_cred *k)
{
	const struct hf_cred_renew *r = &k->renew;
	uint64_t life = (uint64_t)k->days * 86400, left;
	const struct hf_node *threshold = hf_node_get(r->at, "threshold");
	const struct hf_node *retry = hf_node_get(r->at, "retry");

	if (!r->enabled || k->method == HF_CRED_FILES)
		return;
	if (!life) {
		if (r->threshold.seconds)
			hf_problem_add(
				c->m->p, HF_PROBLEM_NOTE, threshold,
				"how long the EST server makes %s valid is not known here: if "
				"that is less than %s, renewal begins at half of it, and the "
				"agent warns",
				k->id, threshold->text);
		return;
	}
	if (r->threshold.seconds >= life) {
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, threshold,
			       "the threshold %s is not shorter than the %lld days that %s is "
			       "valid: it would be renewed all the time. Write a shorter one, or "
			       "such as \"80%%\"",
			       threshold->text, (long long)k->days, k->id);
		return;
	}
	/* schedule.c of the agent */
	if (r->threshold.seconds >= life - life / 10)
		hf_problem_add(
			c->m->p, HF_PROBLEM_WARNING, threshold,
			"the threshold %s leaves %s less than a tenth of its %lld days: it is "
			"renewed at half of them instead. Write a shorter one, or such as "
			"\"80%%\"",
			threshold->text, k->id, (long long)k->days);
	left = r->threshold.percent ? life - seconds_of(&r->threshold, life) : r->threshold.seconds;
	if (retry && seconds_of(&r->retry, life) > left)
		hf_problem_add(c->m->p, HF_PROBLEM_WARNING, retry,
			       "the retry %s is longer than what is left of %s when its renewal "
			       "begins: one failure lets it expire",
			       retry->text, k->id);
}

/* ---------------------------------------------------------------- others */

static const struct hf_cred *other(struct hf_creds *c, const struct hf_cred *k, const char *id,
				   const char *what)
{
	const struct hf_cred *found = hf_creds_find(c, id);
	struct hf_nearest near;
	size_t i;

	if (found && found != k)
		return found;
	hf_nearest_init(&near, id);
	for (i = 0; i < c->n; i++)
		if (c->list[i] != k)
			hf_nearest_try(&near, c->list[i]->id);
	hf_problem_add(c->m->p, HF_PROBLEM_ERROR, k->at,
		       "%s names \"%s\" as its %s, but there is no %s certificate of that id%s%s%s",
		       k->id, id, what, found ? "other" : "such",
		       near.best ? "; did you mean \"" : "", near.best ? near.best : "",
		       near.best ? "\"?" : "");
	return NULL;
}

static void check_issuer(struct hf_creds *c, const struct hf_cred *k)
{
	const struct hf_cred *issuer;

	if (k->method != HF_CRED_LOCAL_CA)
		return;
	if (!strcmp(k->issuer, "local-ca") && !hf_creds_find(c, "local-ca")) {
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, k->at,
			       "%s is issued by the local CA, but there is none; write "
			       "[cert_issuance.local_ca] with cert and pk",
			       k->id);
		return;
	}
	issuer = other(c, k, k->issuer, "issuer");
	if (issuer && !issuer->ca)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, k->at,
			       "%s cannot be issued by %s, which is no CA; write ca = true there, "
			       "or another issuer",
			       k->id, issuer->id);
	if (issuer && issuer->method == HF_CRED_SELF_SIGNED && issuer->days < k->days)
		hf_problem_add(c->m->p, HF_PROBLEM_WARNING, k->at,
			       "%s is to be valid for %lld days, but its issuer %s for %lld only: "
			       "it will end with that",
			       k->id, (long long)k->days, issuer->id, (long long)issuer->days);
}

static void check_est(struct hf_creds *c, const struct hf_cred *k)
{
	if (k->method != HF_CRED_EST)
		return;
	if (!strncmp(k->est.url, "http://", 7))
		hf_problem_add(
			c->m->p, HF_PROBLEM_ERROR, k->at,
			"the EST server of %s has an http:// address; write https://, EST is "
			"nothing without TLS",
			k->id);
	if (k->est.identity[0] && strcmp(k->est.identity, k->id))
		(void)other(c, k, k->est.identity, "identity");
	if (k->est.bootstrap[0])
		(void)other(c, k, k->est.bootstrap, "bootstrap identity");
}

static void check_uri(struct hf_creds *c, const struct hf_cred *k)
{
	char path[HF_PATH_MAX];

	if (!strncmp(k->key.uri, "file:", 5) && !hf_cred_uri_path(k->key.uri, path))
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, k->at,
			       "the private key of %s is at a file:/// URI with a %% that is not "
			       "followed by two hex digits (write %%25)",
			       k->id);
}

static void check_token(struct hf_creds *c, const struct hf_cred *k)
{
	const char *type, *near;

	if (!k->key.name[0])
		return;
	type = hf_making_token_type(c->m, k->key.token);
	if (!type) {
		near = hf_making_token_nearest(c->m, k->key.token);
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, k->at,
			       "the key of %s is to be in the token \"%s\", but there is no "
			       "[[token]] of that name%s%s%s",
			       k->id, k->key.token, near ? "; did you mean \"" : "",
			       near ? near : "", near ? "\"?" : "");
	} else if (!strcmp(type, "tpm2") && !strcmp(k->key.algorithm, "ed25519")) {
		hf_problem_add(
			c->m->p, HF_PROBLEM_ERROR, k->at,
			"%s is to have an Ed25519 key, which no TPM makes; write algorithm = "
			"\"ec-p256\", or a token of type pkcs11",
			k->id);
	}
}

/* Two certificates in one file, or of one key that one of them rotates, destroy each other. */
static void check_shared(struct hf_creds *c, size_t i)
{
	const struct hf_cred *a = c->list[i], *b;
	size_t j;

	for (j = 0; j < i; j++) {
		b = c->list[j];
		if (!strcmp(a->file, b->file) &&
		    (a->method != HF_CRED_FILES || b->method != HF_CRED_FILES))
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, a->at,
				       "%s and %s are both in %s; write another file", b->id, a->id,
				       a->file);
		if (a->key.name[0] && !strcmp(a->key.name, b->key.name) &&
		    (a->method != HF_CRED_FILES || b->method != HF_CRED_FILES))
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, a->at,
				       "%s and %s have one key \"%s\", which each would rotate for "
				       "itself; write another key",
				       b->id, a->id, a->key.name);
		if (a->key.name[0] && !strcmp(a->key.name, b->key.name) && a->key.ca != b->key.ca)
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, a->at,
				       "%s and %s have one key \"%s\", but only one is a CA: a key "
				       "is for one or the other",
				       b->id, a->id, a->key.name);
	}
}

/* A CA below another one, for which that one's own certificate leaves no room. */
static void check_depth(struct hf_creds *c, const struct hf_cred *k)
{
	const struct hf_cred *issuer = hf_creds_find(c, k->issuer);

	if (k->method != HF_CRED_LOCAL_CA || !k->ca || !issuer || !issuer->ca || issuer == k)
		return;
	if (issuer->method != HF_CRED_FILES && k->pathlen >= issuer->pathlen)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, k->at,
			       "%s is a CA with pathlen %d below %s, which has pathlen %d; write a "
			       "larger pathlen there, or a smaller one here",
			       k->id, k->pathlen, issuer->id, issuer->pathlen);
}

/* Issuers in a circle would wait for each other. */
static void check_circle(struct hf_creds *c, const struct hf_cred *k)
{
	const struct hf_cred *at = k;
	size_t steps;

	for (steps = 0; at && at->method == HF_CRED_LOCAL_CA && steps <= c->n; steps++)
		at = hf_creds_find(c, at->issuer);
	if (steps > c->n)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, k->at,
			       "%s is issued by %s, which in the end is issued by %s itself", k->id,
			       k->issuer, k->id);
}

static void check_bundles(struct hf_creds *c)
{
	const struct hf_node *certs = hf_node_get(c->m->root, "preloaded_certs"), *n, *item, *of;

	for (n = certs ? certs->children : NULL; n; n = n->next)
		for (item = n->kind == HF_NODE_ARRAY ? n->children : NULL; item;
		     item = item->next) {
			of = hf_node_get(certs, item->text);
			if (!of && !hf_creds_find(c, item->text) &&
			    strcmp(item->text, "trust-bundle-user"))
				hf_problem_add(c->m->p, HF_PROBLEM_ERROR, item,
					       "%s names a certificate \"%s\" that there is not",
					       n->key, item->text);
			if (of && of->kind == HF_NODE_ARRAY)
				hf_problem_add(c->m->p, HF_PROBLEM_ERROR, item,
					       "%s has the list %s in it; write its certificates "
					       "instead",
					       n->key, item->text);
		}
}

static void check_hook(struct hf_creds *c, const struct hf_cred *k)
{
	const struct hf_node *exec = hf_node_get(k->hook, "exec");
	const struct hf_node *user = hf_node_get(k->hook, "user");

	if (exec && (!exec->children || exec->children->text[0] != '/'))
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, exec,
			       "the hook of %s has to be a program by its absolute path, and its "
			       "arguments: exec = [\"/PATH\", ...]",
			       k->id);
	if (user && !getpwnam(user->text))
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, user,
			       "hook: there is no user \"%s\" on this system", user->text);
}

/* ---------------------------------------------------------------- what the unit allows */

static bool is_member(const char *group)
{
	const struct passwd *pw = getpwnam(HF_CERTS_USER);
	const struct group *gr = getgrnam(group);
	gid_t groups[64];
	int n = HF_COUNT(groups), i;

	if (!pw || !gr || getgrouplist(HF_CERTS_USER, pw->pw_gid, groups, &n) < 0)
		return false;
	for (i = 0; i < n; i++)
		if (groups[i] == gr->gr_gid)
			return true;
	return false;
}

static void check_directory(struct hf_creds *c, const struct hf_cred *k, const char *path)
{
	const char *certs = c->m->paths->certs;
	size_t n = strlen(certs);

	if (path[0] && (strncmp(path, certs, n) || path[n] != '/'))
		hf_problem_add(
			c->m->p, HF_PROBLEM_WARNING, k->at,
			"%s: %s is not below %s, where the agent may write; let " HF_CERTS_USER
			" write there, and add ReadWritePaths=%.*s to holdfast-agent.service "
			"('systemctl edit holdfast-agent')",
			k->id, path, certs, (int)(strrchr(path, '/') - path), path);
}

/* The agent is a user without privileges: what it cannot do, it would fail at each time. */
static void check_places(struct hf_creds *c, const struct hf_cred *k)
{
	const char *user = hf_cred_text(k->hook, "user");

	if (!c->m->paths->system)
		return;
	if (user && strcmp(user, HF_CERTS_USER))
		hf_problem_add(c->m->p, HF_PROBLEM_WARNING, hf_node_get(k->hook, "user"),
			       "the agent runs as " HF_CERTS_USER " and cannot become %s for the "
			       "hook of %s: write the program /etc/holdfast/hooks/%s instead, and "
			       "'systemctl enable --now holdfast-hook@%s.path'",
			       user, k->id, k->id, k->id);
	if (k->method == HF_CRED_FILES)
		return;
	if (strcmp(k->owner, HF_CERTS_USER))
		hf_problem_add(c->m->p, HF_PROBLEM_WARNING, k->at,
			       "the agent runs as " HF_CERTS_USER
			       " and cannot give the files of %s "
			       "to %s; leave out owner: there is no secret in them, and the mode "
			       "says who may read them",
			       k->id, k->owner);
	if (strcmp(k->group, HF_CERTS_USER) && !is_member(k->group))
		hf_problem_add(c->m->p, HF_PROBLEM_WARNING, k->at,
			       "the agent's user " HF_CERTS_USER
			       " is not in the group %s, so that it "
			       "cannot give it the files of %s; leave out group, or 'usermod -aG "
			       "%s " HF_CERTS_USER "'",
			       k->group, k->id, k->group);
	check_directory(c, k, k->file);
	check_directory(c, k, k->reference);
}

/* A slip here would send somebody's request to the default server. */
static void check_url_name(struct hf_creds *c, const struct hf_node *n)
{
	struct hf_nearest near;
	size_t i;

	if (!strcmp(n->key, "default") || !strcmp(n->key, "est-id") || hf_creds_find(c, n->key))
		return;
	hf_nearest_init(&near, n->key);
	hf_nearest_try(&near, "default");
	for (i = 0; i < c->n; i++)
		hf_nearest_try(&near, c->list[i]->id);
	hf_problem_add(c->m->p, near.best ? HF_PROBLEM_ERROR : HF_PROBLEM_WARNING, n,
		       "there is no certificate \"%.63s\" that could be got there%s%s%s", n->key,
		       near.best ? "; did you mean '" : "", near.best ? near.best : "",
		       near.best ? "'?" : "");
}

/* http:// of servers that nothing uses yet. */
static void check_urls(struct hf_creds *c)
{
	const struct hf_node *urls = hf_cred_table(c, "cert_issuance.est.urls"), *n;

	for (n = urls ? urls->children : NULL; n; n = n->next)
		check_url_name(c, n);
	for (n = urls ? urls->children : NULL; n; n = n->next)
		if (!strncmp(n->text, "http://", 7))
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, n,
				       "%s has an http:// address; write https://, EST is nothing "
				       "without TLS",
				       n->key);
}

void hf_creds_check(struct hf_creds *c)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		check_subject(c, c->list[i]);
		check_issuer(c, c->list[i]);
		check_est(c, c->list[i]);
		check_circle(c, c->list[i]);
		check_depth(c, c->list[i]);
		check_shared(c, i);
		check_uri(c, c->list[i]);
		check_token(c, c->list[i]);
		check_renewal(c, c->list[i]);
		check_hook(c, c->list[i]);
		check_places(c, c->list[i]);
	}
	hf_cred_unused_auth(c);
	check_bundles(c);
	check_urls(c);
}
