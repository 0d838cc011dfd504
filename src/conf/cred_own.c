/* SPDX-License-Identifier: Apache-2.0 */
/* cred_own.c: [[credential]], for any certificate that IoT Edge has no section for. */
#include <arpa/inet.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "conf/credmake.h"
#include "conf/nearest.h"
#include "conf/value.h"

#define SECTION "credential"

static void take_method(struct hf_creds *c, struct hf_cred *k, const struct hf_node *t)
{
	const struct hf_node *issuer = hf_node_get(t, "issuer"), *method = hf_node_get(t, "method");
	const char *word = method ? method->text : issuer ? "local_ca" : "";

	k->method = !strcmp(word, "est")	   ? HF_CRED_EST
		    : !strcmp(word, "files")	   ? HF_CRED_FILES
		    : !strcmp(word, "self_signed") ? HF_CRED_SELF_SIGNED
						   : HF_CRED_LOCAL_CA;
	if (!word[0])
		hf_problem_add(
			c->m->p, HF_PROBLEM_ERROR, t,
			"[[credential]] \"%s\" says not who issues it; write issuer = \"ID\" "
			"of a CA, or method = \"est\", \"self_signed\" or \"files\"",
			k->id);
	if (issuer && k->method != HF_CRED_LOCAL_CA)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, issuer,
			       "an issuer is for method = \"local_ca\"; leave out one of them");
	if (k->method == HF_CRED_LOCAL_CA)
		(void)hf_copy(k->issuer, sizeof(k->issuer), issuer ? issuer->text : "local-ca");
	if (hf_node_get(t, "est") && k->method != HF_CRED_EST)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, hf_node_get(t, "est"),
			       "[credential.est] is for method = \"est\"; write that, or leave it "
			       "out");
}

static void take_accounts(struct hf_creds *c, struct hf_cred *k, const struct hf_node *t)
{
	const struct hf_node *owner = hf_node_get(t, "owner"), *group = hf_node_get(t, "group");

	if (owner)
		k->owner = owner->text;
	if (group)
		k->group = group->text;
	if (owner && !getpwnam(owner->text))
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, owner,
			       "owner: there is no user \"%s\" on this system", owner->text);
	if (group && !getgrnam(group->text))
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, group,
			       "group: there is no group \"%s\" on this system", group->text);
}

static void take_files(struct hf_creds *c, struct hf_cred *k, const struct hf_node *t)
{
	const char *file = hf_cred_text(t, "file"), *reference = hf_cred_text(t, "reference");
	const struct hf_node *key = hf_node_get(t, "key");
	struct hf_making_table table = { hf_conf_section_find(SECTION), t };

	if (file)
		(void)hf_copy(k->file, sizeof(k->file), file);
	if (reference)
		(void)hf_copy(k->reference, sizeof(k->reference), reference);
	if (k->method == HF_CRED_FILES && !file)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, t,
			       "[[credential]] \"%s\" is of files: write file = \"/PATH\" of its "
			       "certificate",
			       k->id);
	if (k->method == HF_CRED_FILES && !key)
		k->key.name[0] = k->reference[0] = '\0';
	take_accounts(c, k, t);
	(void)hf_value_mode(hf_making_text(&table, "mode"), &k->mode);
}

static void take_key(struct hf_cred *k, const struct hf_node *t)
{
	const struct hf_node *ca = hf_node_get(t, "ca"), *pathlen = hf_node_get(t, "pathlen");

	hf_cred_key(k, hf_node_get(t, "key"));
	k->key.token = hf_cred_word(t, SECTION, "token");
	k->key.algorithm = hf_cred_word(t, SECTION, "algorithm");
	k->ca = k->key.ca = ca && ca->number;
	k->pathlen = k->ca ? (pathlen ? (int)pathlen->number : 0) : -1;
}

/* ---------------------------------------------------------------- names */

static const char *const name_kinds[] = { "DNS:", "IP:", "URI:", "email:" };

static bool good_name(const char *text)
{
	unsigned char address[16];

	if (!strncmp(text, "IP:", 3))
		return inet_pton(AF_INET, text + 3, address) == 1 ||
		       inet_pton(AF_INET6, text + 3, address) == 1;
	if (!strncmp(text, "email:", 6))
		return strchr(text + 6, '@') != NULL;
	if (!strncmp(text, "URI:", 4))
		return strchr(text + 4, ':') != NULL;
	return text[4] && strspn(text + 4, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789.-_*") == strlen(text + 4);
}

/* Those of RFC 5280 and a few that people use, by the names that libcrypto has for them. */
static const char *const purposes[] = { "serverAuth",	   "clientAuth",      "codeSigning",
					"emailProtection", "timeStamping",    "OCSPSigning",
					"ipsecIKE",	   "msSmartcardLogin" };

static void check_purpose(struct hf_creds *c, const struct hf_cred *k, const struct hf_node *n)
{
	struct hf_nearest near;
	size_t i;

	if (k->method != HF_CRED_EST &&
	    (!strcmp(n->text, "OCSPSigning") || !strcmp(n->text, "1.3.6.1.5.5.7.3.9")))
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, n,
			       "eku of %s has OCSPSigning, which would speak for its issuer: no CA "
			       "on this device signs that; leave it out",
			       k->id);
	if (n->text[0] >= '0' && n->text[0] <= '2' && n->text[1] == '.' && n->text[2] &&
	    strspn(n->text, "0123456789.") == strlen(n->text))
		return;
	hf_nearest_init(&near, n->text);
	for (i = 0; i < HF_COUNT(purposes); i++)
		hf_nearest_try(&near, purposes[i]);
	if (near.best && !strcmp(near.best, n->text))
		return;
	hf_problem_add(c->m->p, HF_PROBLEM_ERROR, n,
		       "eku of %s has \"%s\", which is no purpose%s%s%s", k->id, n->text,
		       near.best ? "; did you mean \""
				 : "; write such as \"serverAuth\", or an OID",
		       near.best ? near.best : "", near.best ? "\"?" : "");
}

static void take_names(struct hf_creds *c, struct hf_cred *k, const struct hf_node *t)
{
	const struct hf_node *n;
	size_t i;

	k->sans = hf_node_get(t, "sans");
	k->eku = hf_node_get(t, "eku");
	for (n = k->sans ? k->sans->children : NULL; n; n = n->next) {
		for (i = 0; i < HF_COUNT(name_kinds); i++)
			if (!strncmp(n->text, name_kinds[i], strlen(name_kinds[i])))
				break;
		if (i == HF_COUNT(name_kinds) || !good_name(n->text))
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, n,
				       "sans of %s has \"%s\"; write \"DNS:NAME\", \"IP:ADDRESS\", "
				       "\"URI:...\" or \"email:NAME@HOST\"",
				       k->id, n->text);
	}
	for (n = k->eku ? k->eku->children : NULL; n; n = n->next)
		check_purpose(c, k, n);
	hf_cred_subject(c, k, t);
	if (!k->n_subject && !hf_node_get(t, "subject") && !(k->sans && k->sans->children) &&
	    k->method != HF_CRED_FILES)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, t,
			       "[[credential]] \"%s\" has no name; write common_name, subject or "
			       "sans",
			       k->id);
}

/* ---------------------------------------------------------------- one */

static void credential(struct hf_creds *c, const struct hf_node *t)
{
	struct hf_cred *k = hf_cred_add(c, hf_cred_text(t, "id"), "other", t);
	const struct hf_node *days = hf_node_get(t, "days"), *renew = hf_node_get(t, "renew");

	if (!k)
		return;
	take_method(c, k, t);
	take_key(k, t);
	take_files(c, k, t);
	take_names(c, k, t);
	k->days = k->method == HF_CRED_EST || k->method == HF_CRED_FILES ? 0
		  : days						 ? days->number
									 : 90;
	if (days && !k->days)
		hf_problem_add(c->m->p, HF_PROBLEM_WARNING, days,
			       "days of %s counts for nothing: somebody else issues it", k->id);
	hf_cred_renewal(c, k, renew, k->method != HF_CRED_FILES);
	if (renew && k->method == HF_CRED_FILES)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, renew,
			       "%s is of files, which are not renewed; leave out renew, or write "
			       "another method",
			       k->id);
	k->hook = hf_node_get(t, "hook");
	if (k->method == HF_CRED_EST)
		hf_cred_enroll(c, k, hf_node_get(t, "est"));
}

void hf_creds_own(struct hf_creds *c)
{
	const struct hf_node *t;

	for (t = hf_making_tables(c->m, SECTION); t; t = t->next)
		credential(c, t);
}
