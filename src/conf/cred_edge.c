/* SPDX-License-Identifier: Apache-2.0 */
/* cred_edge.c: the certificates that IoT Edge's own sections ask for. */
#include <stdio.h>
#include <string.h>

#include "conf/credmake.h"
#include "conf/value.h"

/* What people call the device in the name of a certificate. */
static const char *device_name(const struct hf_creds *c)
{
	return c->device.id[0]		   ? c->device.id
	       : c->device.registration[0] ? c->device.registration
					   : c->device.hostname;
}

static void standard_cn(struct hf_creds *c, struct hf_cred *k, const char *what)
{
	char cn[300];

	if (k->n_subject)
		return;
	(void)snprintf(cn, sizeof(cn), "%s%s%s", what, device_name(c)[0] ? " " : "",
		       device_name(c));
	(void)hf_cred_set_cn(k, cn);
}

/* ---------------------------------------------------------------- device identity */

static bool is_dps(const struct hf_creds *c)
{
	const char *source = hf_cred_text(hf_cred_table(c, "provisioning"), "source");

	return source ? !strcmp(source, "dps")
		      : hf_cred_table(c, "provisioning.attestation") != NULL;
}

/* The article's: the common name is how the hub knows the device. */
static void check_cn(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table, bool dps)
{
	const char *cn = hf_cred_cn(k), *id = dps ? c->device.registration : c->device.id;
	const char *what = dps ? "registration_id" : "device_id";

	if (!id[0] && dps && cn) {
		(void)hf_copy(c->device.registration, sizeof(c->device.registration), cn);
	} else if (!id[0]) {
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, table,
			       "the name of the device is not known; write %s = \"...\"", what);
	} else if (cn && strcmp(cn, id)) {
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, table,
			       "the common name of the device's identity has to be the %s: write "
			       "\"%s\", not \"%s\"",
			       what, id, cn);
	} else if (!cn && !hf_cred_set_cn(k, id)) {
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, table,
			       "the %s \"%s\" has more than %d characters: it cannot be the common "
			       "name of a certificate",
			       what, id, HF_CRED_CN_MAX);
	}
}

/* Nobody tells the hub the thumbprint of a renewed certificate: it would lock the device out. */
static void check_manual(struct hf_creds *c, const struct hf_cred *k, const struct hf_node *table)
{
	if (k->method == HF_CRED_EST)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, hf_node_get(table, "method"),
			       "EST is not for manual provisioning: the hub would not know the "
			       "certificate. Provision by DPS with an enrolment group, or write "
			       "identity_cert = \"file:///PATH\"");
	else if (k->renew.enabled)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, k->renew.at,
			       "auto_renew is not for manual provisioning: the hub would not know "
			       "the renewed certificate. Leave it out, or provision by DPS with an "
			       "enrolment group");
}

static void issued_device(struct hf_creds *c, struct hf_cred *k, const struct hf_node *cert,
			  const struct hf_node *pk, bool dps)
{
	const struct hf_node *renew = hf_node_get(cert, "auto_renew");

	hf_cred_issued(c, k, cert);
	hf_cred_key(k, pk);
	hf_cred_renewal(c, k, renew, renew != NULL);
	check_cn(c, k, cert, dps);
	if (!dps)
		check_manual(c, k, cert);
	else if (k->method == HF_CRED_EST || k->renew.enabled)
		hf_problem_add(c->m->p, HF_PROBLEM_NOTE, cert,
			       "this needs an enrolment group of DPS: with an individual enrolment "
			       "the device is locked out when its certificate is renewed");
	if (k->method == HF_CRED_EST)
		hf_cred_enroll(c, k, cert);
}

void hf_creds_device(struct hf_creds *c)
{
	bool dps = is_dps(c);
	const char *path = dps ? "provisioning.attestation" : "provisioning.authentication";
	const struct hf_node *table = hf_cred_table(c, path);
	const struct hf_node *cert = hf_node_get(table, "identity_cert");
	const struct hf_node *pk = hf_node_get(table, "identity_pk");
	const char *method = hf_cred_text(table, "method");
	struct hf_cred *k;

	if (!method || strcmp(method, "x509")) {
		if (cert || pk)
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, cert ? cert : pk,
				       "%s is of use with method = \"x509\" in [%s] only",
				       cert ? "identity_cert" : "identity_pk", path);
		return;
	}
	if (!cert) {
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, table,
			       "[%s] has no identity_cert; write identity_cert = \"file:///PATH\", "
			       "or a table [%s.identity_cert] with a method",
			       path, path);
		return;
	}
	k = hf_cred_add(c, "device-id", "device_id", cert);
	if (!k)
		return;
	if (cert->kind == HF_NODE_TABLE)
		issued_device(c, k, cert, pk, dps);
	else if (pk)
		hf_cred_files(c, k, cert, pk);
	else
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, cert,
			       "there is no identity_pk, the private key of identity_cert; write "
			       "identity_pk = \"file:///PATH\" or \"holdfast:NAME\"");
}

/* ---------------------------------------------------------------- local CA */

void hf_creds_local_ca(struct hf_creds *c)
{
	const struct hf_node *table = hf_cred_table(c, "cert_issuance.local_ca");
	const struct hf_node *cert = hf_node_get(table, "cert"), *pk = hf_node_get(table, "pk");
	struct hf_cred *k = cert ? hf_cred_add(c, "local-ca", "local_ca", cert) : NULL;

	if (!cert && table && table->children)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, table,
			       "[cert_issuance.local_ca] has no cert; write cert = "
			       "\"file:///PATH\" and pk, or a table [cert_issuance.local_ca.cert]");
	if (!k)
		return;
	k->key.ca = k->ca = true;
	k->pathlen = 1; /* it issues the Edge CA */
	if (cert->kind == HF_NODE_TABLE) {
		const struct hf_node *renew = hf_node_get(cert, "auto_renew");

		hf_cred_issued(c, k, cert);
		hf_cred_key(k, pk);
		hf_cred_renewal(c, k, renew, renew != NULL);
		standard_cn(c, k, "local CA");
		if (k->method == HF_CRED_LOCAL_CA)
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, hf_node_get(cert, "method"),
				       "the local CA cannot issue its own certificate; write "
				       "method = \"self_signed\" or \"est\"");
		if (k->method == HF_CRED_EST)
			hf_cred_enroll(c, k, cert);
	} else if (pk) {
		hf_cred_files(c, k, cert, pk);
	} else {
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, cert,
			       "there is no pk, the private key of the local CA; write pk = "
			       "\"file:///PATH\" or \"holdfast:NAME\"");
	}
}

/* ---------------------------------------------------------------- Edge CA */

/* The article's: chains with such names are not built by TLS clients. */
static void check_edge_cn(struct hf_creds *c, const struct hf_cred *k, const struct hf_node *at)
{
	const char *names[] = { c->device.hostname, c->device.id, c->device.registration };
	static const char *const what[] = { "hostname", "device_id", "registration_id" };
	const char *cn = hf_cred_cn(k);
	size_t i;

	for (i = 0; cn && i < HF_COUNT(names); i++)
		if (names[i][0] && !strcasecmp(cn, names[i])) {
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, at,
				       "the common name of the Edge CA must not be the %s \"%s\"; "
				       "write another, such as \"%s edge CA\"",
				       what[i], names[i], names[i]);
			return;
		}
}

/* Of an id that the original's `config apply` would fill in itself: the user's counts. */
static const struct hf_node *preloaded(const struct hf_creds *c, const char *list, const char *id)
{
	const struct hf_node *n = hf_node_get(hf_node_get(c->m->root, list), id);

	return n && n->kind == HF_NODE_STRING ? n : NULL;
}

static void edge_ca_of_files(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table,
			     const struct hf_node *cert, const struct hf_node *pk)
{
	const struct hf_node *renew = hf_node_get(table, "auto_renew");
	const struct hf_node *yes = hf_node_get(renew, "enabled");

	if (!cert || !pk) {
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, cert ? cert : pk,
			       "[edge_ca] has %s without %s; write both", cert ? "cert" : "pk",
			       cert ? "pk" : "cert");
		return;
	}
	hf_cred_files(c, k, cert, pk);
	k->hook = hf_node_get(table, "hook");
	if (renew && (!yes || yes->number))
		hf_problem_add(c->m->p, HF_PROBLEM_WARNING, renew,
			       "an Edge CA of files is not renewed: auto_renew does nothing. Leave "
			       "it out, or have it issued (method = \"est\")");
}

static void issued_edge_ca(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table)
{
	const struct hf_node *days = hf_node_get(table, "auto_generated_edge_ca_expiry_days");
	const struct hf_node *renew = hf_node_get(table, "auto_renew");

	hf_cred_issued(c, k, table);
	if (days)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, days,
			       "auto_generated_edge_ca_expiry_days is for the quickstart Edge CA, "
			       "but there is a method; write expiry_days");
	hf_cred_renewal(c, k, renew, true);
	if (k->method == HF_CRED_EST && !k->renew.enabled)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, hf_node_get(renew, "enabled"),
			       "the renewal of an Edge CA by EST must not be disabled: when it "
			       "expires, every module stops. Leave out enabled, or use files (cert "
			       "and pk) to renew it by hand");
	standard_cn(c, k, "aziot-edge CA");
	check_edge_cn(c, k, table);
	if (k->method == HF_CRED_EST)
		hf_cred_enroll(c, k, table);
}

static void quickstart(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table)
{
	const struct hf_node *days = hf_node_get(table, "auto_generated_edge_ca_expiry_days");
	const struct hf_node *wrong = hf_node_get(table, "expiry_days");
	const char *algorithm = hf_cred_text(table, "algorithm");
	const char *token = hf_cred_text(table, "token");

	if (!wrong)
		wrong = hf_node_get(table, "url");
	if (wrong)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, wrong,
			       "%s needs a method; write method = \"est\" or \"local_ca\", or, for "
			       "the quickstart Edge CA, auto_generated_edge_ca_expiry_days",
			       wrong->key);
	k->method = HF_CRED_SELF_SIGNED;
	k->quickstart = true;
	k->days = days ? days->number : 90;
	k->key.algorithm = algorithm ? algorithm : k->key.algorithm;
	k->key.token = token ? token : k->key.token;
	k->hook = hf_node_get(table, "hook");
	hf_cred_subject(c, k, table);
	hf_cred_renewal(c, k, hf_node_get(table, "auto_renew"), true);
	standard_cn(c, k, "aziot-edge CA");
	check_edge_cn(c, k, table);
	hf_problem_add(c->m->p, HF_PROBLEM_NOTE, table,
		       "the Edge CA is the quickstart one, signed by itself: not for production. A "
		       "device that needs none says so: [edge_ca] enabled = false");
}

/* IoT Edge makes one whatever is written; a device that has only [[credential]] has no use for it.
 */
static bool wants_edge_ca(const struct hf_creds *c, const struct hf_node *table)
{
	const struct hf_node *yes = hf_node_get(table, "enabled");

	if (yes)
		return yes->number;
	return table || hf_cred_table(c, "provisioning") || !hf_making_tables(c->m, "credential");
}

void hf_creds_edge_ca(struct hf_creds *c)
{
	const struct hf_node *table = hf_cred_table(c, "edge_ca");
	const struct hf_node *cert = hf_node_get(table, "cert"), *pk = hf_node_get(table, "pk");
	const struct hf_node *method = hf_node_get(table, "method");
	struct hf_cred *k =
		wants_edge_ca(c, table) ? hf_cred_add(c, "edge-ca", "edge_ca", table) : NULL;

	if (!k)
		return;
	if (!method && !cert && !pk) {
		cert = preloaded(c, "preloaded_certs", "aziot-edged-ca");
		pk = cert ? preloaded(c, "preloaded_keys", "aziot-edged-ca") : NULL;
	}
	(void)hf_copy(k->alias, sizeof(k->alias), "aziot-edged-ca");
	k->key.ca = k->ca = true;
	k->pathlen = 0;
	if (method && cert)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, cert,
			       "[edge_ca] has both a method and cert; leave out method if the "
			       "certificate is there already, else cert");
	if (method) {
		hf_cred_key(k, pk);
		issued_edge_ca(c, k, table);
	} else if (cert || pk) {
		edge_ca_of_files(c, k, table, cert, pk);
	} else {
		quickstart(c, k, table);
	}
}

/* ---------------------------------------------------------------- preloaded */

static void preload(struct hf_creds *c, const char *id, const struct hf_node *cert)
{
	const struct hf_node *keys = hf_node_get(c->m->root, "preloaded_keys");
	struct hf_cred *k = hf_cred_add(c, id, "other", cert);

	if (k)
		hf_cred_files(c, k, cert, hf_node_get(keys, id));
}

/* It has become the Edge CA above. */
static bool is_edge_ca(const struct hf_creds *c, const struct hf_node *cert)
{
	const struct hf_cred *k = hf_creds_find(c, "aziot-edged-ca");

	return k && !strcmp(cert->key, "aziot-edged-ca") && k->method == HF_CRED_FILES &&
	       !hf_node_get(hf_node_get(c->m->root, "edge_ca"), "cert");
}

/* A key that is preloaded under a certificate's id is that certificate's, as in the original. */
static void take_preloaded_keys(struct hf_creds *c)
{
	const struct hf_node *pk;
	struct hf_cred *k;
	size_t i;

	for (i = 0; i < c->n; i++) {
		k = c->list[i];
		pk = preloaded(c, "preloaded_keys", k->id);
		if (!pk && k->alias[0])
			pk = preloaded(c, "preloaded_keys", k->alias);
		if (!pk || k->key.uri[0] || !k->key.name[0] || !hf_value_name(pk->key))
			continue;
		(void)hf_copy(k->key.name, sizeof(k->key.name), pk->key);
		hf_cred_key(k, pk);
	}
}

void hf_creds_preloaded(struct hf_creds *c)
{
	const struct hf_node *certs = hf_node_get(c->m->root, "preloaded_certs"), *n;
	const struct hf_node *trust = hf_cred_table(c, "moby_runtime.content_trust.ca_certs");
	const struct hf_node *manifest = hf_node_get(c->m->root, "manifest_trust_bundle_cert");
	char id[HF_CRED_ID_MAX], *p;

	for (n = certs ? certs->children : NULL; n; n = n->next)
		if (n->kind == HF_NODE_STRING && !is_edge_ca(c, n))
			preload(c, n->key, n);
	for (n = trust ? trust->children : NULL; n; n = n->next) {
		if (n->kind != HF_NODE_STRING)
			continue;
		(void)snprintf(id, sizeof(id), "content-trust-%s", n->key);
		for (p = id; *p; p++)
			if (!hf_value_name((char[]){ 'x', *p, '\0' }))
				*p = '-'; /* HOST:PORT */
		preload(c, id, n);
	}
	if (manifest)
		preload(c, "aziot-edged-manifest-trust-bundle", manifest);
	take_preloaded_keys(c);
}
