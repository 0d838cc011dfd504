/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What config.toml names has to be there, and be what it is named as. A file that is missing is a
 * warning: it may come later. One that is forbidden is an error, before anything relies on it.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "base/file.h"
#include "cli/certview.h"
#include "cli/config.h"
#include "cli/softkey.h"
#include "conf/credmake.h"

struct looking {
	struct hf_creds *c;
	struct hf_problems *p;
	const struct hf_node *seen[HF_CREDS_MAX]; /* lists that several certificates share */
	size_t n_seen;
};

static bool is_missing(struct looking *l, const struct hf_node *at, const char *path,
		       const char *what)
{
	if (!access(path, F_OK))
		return false;
	hf_problem_add(l->p, HF_PROBLEM_WARNING, at, "%s: there is no file %s", what, path);
	return true;
}

/*
 * The file of a certificate is everybody's to read, and so is all that is in it. An @error where it
 * is a key of this device; somebody's CA in one file with its key is his to protect, and works.
 */
static void check_alone(struct looking *l, const struct hf_node *at, const char *path,
			const char *what, bool error)
{
	HF_AUTO_BUF file = HF_BUF(HF_SOFTKEY_MAX);
	struct hf_err ignored = HF_ERR_INIT;

	if (!hf_file_read(path, false, &file, &ignored) &&
	    memmem(file.p, file.n, "PRIVATE KEY-----", 16))
		hf_problem_add(
			l->p, error ? HF_PROBLEM_ERROR : HF_PROBLEM_WARNING, at,
			"%s: %s holds a private key, too, for everybody who may read the "
			"certificate. 'holdfast convert %s --key NAME --out DIR' puts the key "
			"into the token and the certificates into a file",
			what, path, path);
}

/* NULL: it is not there, or damaged, which has been said. */
static STACK_OF(X509) * read_certs(struct looking *l, const struct hf_node *at, const char *path,
				   const char *what, bool ours)
{
	STACK_OF(X509) *certs = NULL;
	struct hf_err e = HF_ERR_INIT;

	if (is_missing(l, at, path, what))
		return NULL;
	check_alone(l, at, path, what, ours);
	if (!hf_certview_read(path, &certs, &e))
		return certs;
	hf_certview_free(certs);
	hf_problem_add(l->p, e.rc == HF_IO ? HF_PROBLEM_WARNING : HF_PROBLEM_ERROR, at, "%s: %s",
		       what, e.msg);
	return NULL;
}

/* ---------------------------------------------------------------- certificates */

static void check_device(struct looking *l, const struct hf_cred *k, const char *cn)
{
	const char *device = l->c->device.id, *registration = l->c->device.registration;

	if ((!device[0] && !registration[0]) || !strcmp(cn, device) || !strcmp(cn, registration))
		return;
	hf_problem_add(l->p, HF_PROBLEM_ERROR, k->at,
		       "the common name in %s is \"%s\", but the device is called \"%s\": the hub "
		       "would refuse it. Have the certificate made for that name",
		       k->file, cn, registration[0] ? registration : device);
}

static void check_edge_ca(struct looking *l, const struct hf_cred *k, const char *cn)
{
	const char *names[] = { l->c->device.hostname, l->c->device.id, l->c->device.registration };
	static const char *const what[] = { "hostname", "device_id", "registration_id" };
	size_t i;

	for (i = 0; i < HF_COUNT(names); i++)
		if (cn[0] && !strcasecmp(cn, names[i])) {
			hf_problem_add(l->p, HF_PROBLEM_ERROR, k->at,
				       "the common name in %s is the %s \"%s\", which an Edge CA "
				       "must not have. Have the certificate made for another name",
				       k->file, what[i], names[i]);
			return;
		}
}

static void check_ca(struct looking *l, const struct hf_cred *k, X509 *leaf)
{
	if (!(X509_get_extension_flags(leaf) & EXFLAG_CA))
		hf_problem_add(l->p, HF_PROBLEM_ERROR, k->at,
			       "%s is not the certificate of a CA (basicConstraints CA:TRUE): what "
			       "it issues, nobody trusts",
			       k->file);
	else if (!(X509_get_key_usage(leaf) & KU_KEY_CERT_SIGN))
		hf_problem_add(
			l->p, HF_PROBLEM_ERROR, k->at,
			"%s may not sign certificates: it has a keyUsage without keyCertSign",
			k->file);
}

/* As the agent will judge it: leaf, its issuer, that one's issuer... */
static void check_order(struct looking *l, const struct hf_cred *k, STACK_OF(X509) * certs)
{
	char subject[HF_NAME_MAX], issuer[HF_NAME_MAX];
	int i;

	for (i = 0; i + 1 < sk_X509_num(certs); i++) {
		X509 *cert = sk_X509_value(certs, i);

		if (hf_certview_issued_by(cert, sk_X509_value(certs, i + 1)))
			continue;
		hf_certview_name(X509_get_subject_name(cert), subject, sizeof(subject));
		hf_certview_name(X509_get_issuer_name(cert), issuer, sizeof(issuer));
		hf_problem_add(
			l->p, HF_PROBLEM_ERROR, k->at,
			"%s: in %s, %s is not followed by its issuer %s: put the device's own "
			"certificate first ('holdfast convert %s' shows the order), and leave "
			"out what does not belong to it",
			k->id, k->file, subject, issuer, k->file);
		return;
	}
}

/* A root that others have is no matter; an issuer in between that nobody has is. */
static void check_issuer(struct looking *l, const struct hf_cred *k, STACK_OF(X509) * certs)
{
	const struct hf_node *bundle = hf_node_get(l->c->m->root, "trust_bundle_cert");
	X509 *last = sk_X509_value(certs, sk_X509_num(certs) - 1);
	STACK_OF(X509) *trust = NULL;
	struct hf_err ignored = HF_ERR_INIT;
	char path[HF_PATH_MAX], issuer[HF_NAME_MAX];

	if (hf_certview_is_own(last) || (sk_X509_num(certs) > 1 && strcmp(k->role, "edge_ca") != 0))
		return;
	if (bundle && hf_cred_path(l->c, bundle, path))
		(void)hf_certview_read(path, &trust, &ignored);
	if (!hf_certview_issuer(last, trust)) {
		hf_certview_name(X509_get_issuer_name(last), issuer, sizeof(issuer));
		hf_problem_add(
			l->p, HF_PROBLEM_WARNING, k->at,
			"%s: %s, who has issued the last certificate in %s, is neither there "
			"nor in trust_bundle_cert: who does not know it cannot build the "
			"chain. Append it there, or write trust_bundle_cert",
			k->id, issuer, k->file);
	}
	hf_certview_free(trust);
}

/* Before it is in a token under the name of this certificate. */
static void check_pair(struct looking *l, const struct hf_cred *k, X509 *leaf)
{
	HF_AUTO_BUF file = HF_BUF(HF_SOFTKEY_MAX);
	struct hf_err ignored = HF_ERR_INIT;
	char path[HF_PATH_MAX];
	EVP_PKEY *key;

	if (!hf_cred_uri_path(k->key.uri, path) || hf_file_read(path, false, &file, &ignored))
		return;
	key = hf_softkey_glance(&file);
	if (key && !hf_certview_same_key(X509_get0_pubkey(leaf), key))
		hf_problem_add(
			l->p, HF_PROBLEM_ERROR, k->at,
			"%s: %s is not the private key of the certificate in %s. Put the two "
			"there that belong together; if the right key is in the token "
			"already, delete %s",
			k->id, path, k->file, path);
	else if (!key && memmem(file.p, file.n, "ENCRYPTED", 9))
		hf_problem_add(
			l->p, HF_PROBLEM_WARNING, k->at,
			"%s: %s is encrypted: 'holdfast config apply' asks for its password, "
			"or takes it from --password-file, until the key is in the token",
			k->id, path);
	EVP_PKEY_free(key);
}

static void check_certificate(struct looking *l, const struct hf_cred *k)
{
	STACK_OF(X509) *certs = read_certs(l, k->at, k->file, k->id, k->key.name[0]);
	char cn[HF_NAME_MAX];
	X509 *leaf;

	if (!certs)
		return;
	leaf = sk_X509_value(certs, 0);
	(void)hf_certview_cn(X509_get_subject_name(leaf), cn, sizeof(cn));
	if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0)
		hf_problem_add(l->p, HF_PROBLEM_WARNING, k->at,
			       "%s: the certificate in %s has ended", k->id, k->file);
	if (k->ca)
		check_ca(l, k, leaf);
	if (!strcmp(k->role, "device_id"))
		check_device(l, k, cn);
	if (!strcmp(k->role, "edge_ca"))
		check_edge_ca(l, k, cn);
	if (k->key.name[0]) {
		check_order(l, k, certs);
		check_issuer(l, k, certs);
		check_pair(l, k, leaf);
	}
	hf_certview_free(certs);
}

/* What the EST server issued last time tells how long it will be valid the next time. */
static void check_threshold(struct looking *l, const struct hf_cred *k)
{
	const struct hf_cred_renew *r = &k->renew;
	STACK_OF(X509) *certs = NULL;
	struct hf_err ignored = HF_ERR_INIT;
	int64_t life = 0;

	if (k->method != HF_CRED_EST || !r->enabled || !r->threshold.seconds)
		return;
	if (!hf_certview_read(k->file, &certs, &ignored)) {
		X509 *leaf = sk_X509_value(certs, 0);

		life = hf_certview_time(X509_get0_notAfter(leaf)) -
		       hf_certview_time(X509_get0_notBefore(leaf));
	}
	hf_certview_free(certs);
	if (life > 0 && r->threshold.seconds >= (uint64_t)(life - life / 10))
		hf_problem_add(l->p, HF_PROBLEM_WARNING, hf_node_get(r->at, "threshold"),
			       "the threshold %s of %s leaves less than a tenth of the %lld hours "
			       "that the "
			       "EST server makes it valid: renewal begins at half of them. Write a "
			       "shorter one, or such as \"80%%\"",
			       hf_cred_text(r->at, "threshold"), k->id, (long long)life / 3600);
}

/* ---------------------------------------------------------------- others */

static void check_trusted(struct looking *l, const struct hf_node *list)
{
	const struct hf_node *n;
	char path[HF_PATH_MAX];
	size_t i;

	for (i = 0; i < l->n_seen; i++)
		if (l->seen[i] == list)
			return;
	l->seen[l->n_seen++] = list;
	for (n = list->children; n; n = n->next)
		if (hf_cred_path(l->c, n, path))
			hf_certview_free(read_certs(l, n, path, "trusted_certs", false));
}

static void check_others(struct looking *l, const struct hf_cred *k)
{
	const struct hf_node *exec = hf_node_get(k->hook, "exec");

	if (k->method == HF_CRED_EST && k->est.trusted)
		check_trusted(l, k->est.trusted);
	if (k->method == HF_CRED_EST && k->est.password_file[0])
		(void)is_missing(l, k->at, k->est.password_file, "password_file");
	if (k->method == HF_CRED_EST && k->est.token_file[0])
		(void)is_missing(l, k->at, k->est.token_file, "token_file");
	if (exec && exec->children && access(exec->children->text, X_OK))
		hf_problem_add(l->p, HF_PROBLEM_WARNING, exec,
			       "the hook of %s cannot be run: there is no program %s", k->id,
			       exec->children->text);
}

/* Missing is what should be once it is in the token, so nobody is to worry; only to know. */
static void check_keys(struct looking *l)
{
	const struct hf_node *keys = hf_node_get(l->c->m->root, "preloaded_keys"), *n;
	char path[HF_PATH_MAX];

	for (n = keys ? keys->children : NULL; n; n = n->next)
		if (n->kind == HF_NODE_STRING && hf_cred_uri_path(n->text, path) &&
		    access(path, F_OK))
			hf_problem_add(l->p, HF_PROBLEM_NOTE, n,
				       "there is no file %s: right if the key %s is in a token "
				       "already ('holdfast key show %s')",
				       path, n->key, n->key);
}

static void check_modules(struct looking *l)
{
	const struct hf_node *lib =
		hf_node_get(hf_node_get(l->c->m->root, "aziot_keys"), "pkcs11_lib_path");
	const struct hf_node *n;

	if (lib && lib->kind == HF_NODE_STRING)
		(void)is_missing(l, lib, lib->text, "pkcs11_lib_path");
	for (n = hf_making_tables(l->c->m, "token"); n; n = n->next) {
		lib = hf_node_get(n, "module");
		if (lib && lib->kind == HF_NODE_STRING && lib->text[0] == '/')
			(void)is_missing(l, lib, lib->text, "module");
	}
}

void hf_config_check_files(struct hf_creds *c, struct hf_problems *p)
{
	struct looking l = { .c = c, .p = p };
	const struct hf_node *bundle = hf_node_get(c->m->root, "trust_bundle_cert");
	char path[HF_PATH_MAX];
	size_t i;

	check_keys(&l);
	check_modules(&l);
	if (bundle && hf_cred_path(c, bundle, path))
		hf_certview_free(read_certs(&l, bundle, path, "trust_bundle_cert", false));
	for (i = 0; i < c->n; i++) {
		if (c->list[i]->method == HF_CRED_FILES)
			check_certificate(&l, c->list[i]);
		check_threshold(&l, c->list[i]);
		check_others(&l, c->list[i]);
	}
}
