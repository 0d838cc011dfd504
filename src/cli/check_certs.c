/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of single certificates: dates, names, extensions, keys. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "cli/certview.h"
#include "cli/check.h"

#define DAY 86400

static const char *conf_text(const struct hf_credview *v, const char *path)
{
	return hf_inventory_text(v->conf, path);
}

/* @roles: "edge_ca", or several after each other: "est_id est_bootstrap". */
static bool has_role(const struct hf_credview *v, const char *roles)
{
	size_t n = strlen(v->role), m;

	for (; *roles; roles += m + (roles[m] == ' ')) {
		m = strcspn(roles, " ");
		if (m == n && !strncmp(roles, v->role, n))
			return true;
	}
	return false;
}

static bool is_preloaded(const struct hf_credview *v)
{
	return !strcmp(conf_text(v, "method"), "files");
}

static X509 *leaf_of(const struct hf_credview *v)
{
	return v->certs ? sk_X509_value(v->certs, 0) : NULL;
}

/* Needs the configuration, or, for who may not read it, the agent's word. */
static bool needs_credentials(struct hf_checkup *k, const char *roles)
{
	size_t i, n = 0;

	if (!k->inventory.agent && !k->inventory.status)
		return hf_check_needs_agent(k);
	for (i = 0; i < k->inventory.n; i++)
		n += !roles || has_role(&k->inventory.list[i], roles);
	if (!n)
		hf_check_say(k, HF_CHECK_SKIPPED, "none is configured");
	return n != 0;
}

/* ---------------------------------------------------------------- dates */

static void missing(struct hf_checkup *k, const struct hf_credview *v)
{
	const char *last = hf_inventory_text(v->status, "last.message");

	if (is_preloaded(v) || v->cert_err.rc == HF_CORRUPT)
		hf_check_say(k, HF_CHECK_ERROR, "%s: %s", v->id, v->cert_err.msg);
	else if (hf_inventory_number(v->status, "renewals"))
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s: %s; there was one, and a running agent writes it again or gets "
			     "another%s%s",
			     v->id, v->cert_err.msg, last[0] ? ": " : "", last);
	else
		hf_check_say(k, HF_CHECK_WARNING, "%s has not been issued yet%s%s", v->id,
			     last[0] ? ": " : "", last);
}

/* Whether somebody will see to it in time: then a short rest is no cause for alarm. */
static bool renews_itself(const struct hf_checkup *k, const struct hf_credview *v)
{
	int64_t next = hf_inventory_number(v->status, "next");

	return k->inventory.alive && hf_inventory_true(v->conf, "renew.enabled") &&
	       next > k->now - 600 && !hf_inventory_number(v->status, "attempts");
}

/* "3 days", "5 hours" */
static const char *span(int64_t seconds, char out[32])
{
	if (seconds >= 2 * DAY)
		(void)snprintf(out, 32, "%lld days", (long long)seconds / DAY);
	else
		(void)snprintf(out, 32, "%lld hours", (long long)(seconds + 3599) / 3600);
	return out;
}

static void dates(struct hf_checkup *k, const struct hf_credview *v)
{
	int64_t from = hf_certview_time(X509_get0_notBefore(leaf_of(v)));
	int64_t until = hf_certview_time(X509_get0_notAfter(leaf_of(v)));
	char name[HF_PATH_MAX + 80], text[32];

	hf_check_name(v, name, sizeof(name));
	if (from < 0 || until < 0)
		hf_check_say(k, HF_CHECK_ERROR, "%s has dates that nobody can read", name);
	else if (until <= k->now)
		hf_check_say(k, HF_CHECK_ERROR, "%s expired %s ago: %s", name,
			     span(k->now - until, text),
			     is_preloaded(v) ? "put a new one in its place"
					     : "see 'holdfast cert show', and say 'holdfast cert "
					       "renew'");
	else if (from > k->now + 300)
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s is not valid yet, but in %s: is the clock right?", name,
			     span(from - k->now, text));
	else if (until - k->now < 7 * DAY && !renews_itself(k, v))
		hf_check_say(k, HF_CHECK_WARNING, "%s expires in %s, and nobody renews it", name,
			     span(until - k->now, text));
}

static void expiry(struct hf_checkup *k, const char *roles)
{
	size_t i;

	if (!needs_credentials(k, roles))
		return;
	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		if (!has_role(v, roles))
			continue;
		if (leaf_of(v))
			dates(k, v);
		else
			missing(k, v);
	}
}

/* ---------------------------------------------------------------- preloaded */

static void preloaded(struct hf_checkup *k, const char *arg)
{
	size_t i, j, n = 0;

	(void)arg;
	if (!needs_credentials(k, NULL))
		return;
	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		if (!is_preloaded(v))
			continue;
		n++;
		if (!v->certs)
			hf_check_say(k, HF_CHECK_ERROR, "%s: %s", v->id, v->cert_err.msg);
		for (j = 0; v->file[0] && j < i; j++)
			if (!strcmp(k->inventory.list[j].file, v->file))
				hf_check_say(k, HF_CHECK_ERROR,
					     "%s and %s are one file, %s: one of the two will have "
					     "the wrong certificate",
					     k->inventory.list[j].id, v->id, v->file);
	}
	if (!n)
		hf_check_say(k, HF_CHECK_SKIPPED, "none is configured");
}

/* ---------------------------------------------------------------- names */

static void edge_ca_names(struct hf_checkup *k, const char *arg)
{
	const char *host = hf_inventory_text(k->inventory.agent, "device.hostname");
	const char *device = hf_inventory_text(k->inventory.agent, "device.device_id");
	char cn[HF_NAME_MAX], own[256] = "";
	size_t i;

	(void)arg;
	if (!hf_check_needs_agent(k) || !needs_credentials(k, "edge_ca"))
		return;
	if (!host[0] && !gethostname(own, sizeof(own) - 1))
		host = own;
	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		if (!has_role(v, "edge_ca") || !leaf_of(v))
			continue;
		hf_certview_cn(X509_get_subject_name(leaf_of(v)), cn, sizeof(cn));
		if (!cn[0])
			hf_check_say(k, HF_CHECK_WARNING, "%s has no CN", v->id);
		else if (!strcasecmp(cn, host))
			hf_check_say(k, HF_CHECK_ERROR,
				     "%s has the CN %s, which is the host name: a certificate of "
				     "the host issued by it looks as if it had issued itself; "
				     "choose another common_name",
				     v->id, cn);
		else if (device[0] && !strcmp(cn, device))
			hf_check_say(k, HF_CHECK_ERROR,
				     "%s has the CN %s, which is the device id: choose another "
				     "common_name",
				     v->id, cn);
	}
}

static void identity_names(struct hf_checkup *k, const char *arg)
{
	const char *device = hf_inventory_text(k->inventory.agent, "device.device_id");
	const char *registration = hf_inventory_text(k->inventory.agent, "device.registration_id");
	char cn[HF_NAME_MAX];
	size_t i;

	(void)arg;
	if (!hf_check_needs_agent(k) || !needs_credentials(k, "device_id"))
		return;
	if (!device[0] && !registration[0])
		hf_check_say(k, HF_CHECK_SKIPPED, "the configuration names no device");
	for (i = 0; (device[0] || registration[0]) && i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		if (!has_role(v, "device_id") || !leaf_of(v))
			continue;
		hf_certview_cn(X509_get_subject_name(leaf_of(v)), cn, sizeof(cn));
		if (strcmp(cn, device) && strcmp(cn, registration))
			hf_check_say(k, HF_CHECK_ERROR, "%s has the CN '%s'; Azure expects %s%s%s",
				     v->id, cn, registration[0] ? registration : device,
				     registration[0] && device[0] ? " or " : "",
				     registration[0] ? device : "");
	}
}

/* ---------------------------------------------------------------- extensions */

static bool is_critical(X509 *cert, int nid)
{
	int at = X509_get_ext_by_NID(cert, nid, -1);

	return at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(cert, at));
}

static void one_ca(struct hf_checkup *k, const struct hf_credview *v)
{
	X509 *cert = leaf_of(v);
	uint32_t usage = X509_get_key_usage(cert);

	if (!hf_certview_is_ca(cert))
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s is not the certificate of a CA: it needs basicConstraints "
			     "CA:TRUE%s",
			     v->id,
			     strcmp(conf_text(v, "method"), "est")
				     ? ""
				     : "; is the EST server configured to issue CA certificates?");
	else if (!is_critical(cert, NID_basic_constraints))
		hf_check_say(k, HF_CHECK_WARNING,
			     "%s: basicConstraints is not critical, as RFC 5280 wants it", v->id);
	if (usage == UINT32_MAX)
		hf_check_say(k, HF_CHECK_ERROR, "%s has no keyUsage: it needs keyCertSign", v->id);
	else if (!(usage & KU_KEY_CERT_SIGN))
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s: its keyUsage lacks keyCertSign, so nobody accepts what it issues",
			     v->id);
	else if (!(usage & KU_DIGITAL_SIGNATURE))
		hf_check_say(k, HF_CHECK_WARNING,
			     "%s: its keyUsage lacks digitalSignature, which IoT Edge asks for",
			     v->id);
	if (X509_get_ext_by_NID(cert, NID_subject_key_identifier, -1) < 0)
		hf_check_say(k, HF_CHECK_WARNING,
			     "%s has no subjectKeyIdentifier: chains are harder to build", v->id);
}

static void ca_extensions(struct hf_checkup *k, const char *roles)
{
	size_t i;

	if (!needs_credentials(k, roles))
		return;
	for (i = 0; i < k->inventory.n; i++)
		if (has_role(&k->inventory.list[i], roles) && leaf_of(&k->inventory.list[i]))
			one_ca(k, &k->inventory.list[i]);
}

/* ---------------------------------------------------------------- the rest */

static void quickstart(struct hf_checkup *k, const char *arg)
{
	size_t i;

	(void)arg;
	if (!needs_credentials(k, "edge_ca"))
		return;
	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		if (hf_inventory_true(v->conf ? v->conf : v->status, "quickstart"))
			hf_check_say(k, HF_CHECK_WARNING,
				     "%s is made by this device itself, for a quick start: not for "
				     "production. Configure [edge_ca] with a method, or with files "
				     "of your PKI",
				     v->id);
	}
}

static void modules(struct hf_checkup *k, const char *arg)
{
	int64_t failed = hf_inventory_number(k->inventory.status, "modules.failed");

	(void)arg;
	if (hf_check_needs_status(k) && failed)
		hf_check_say(
			k, HF_CHECK_ERROR,
			"%lld of %lld certificates of modules are of an Edge CA of before, or "
			"due, and could not be issued again: %s. 'holdfast cert list "
			"--modules' shows them",
			(long long)failed,
			(long long)hf_inventory_number(k->inventory.status, "modules.certificates"),
			hf_inventory_text(k->inventory.status, "modules.error"));
}

static void hooks(struct hf_checkup *k, const char *arg)
{
	size_t i;

	(void)arg;
	if (!hf_check_needs_status(k))
		return;
	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		if (hf_inventory_number(v->status, "hook.failures"))
			hf_check_say(
				k, HF_CHECK_ERROR,
				"%s: the program that is to be told of its new certificate (hook) "
				"failed %lld times: %s. See 'journalctl -u holdfast-agent'; it "
				"runs "
				"again %s",
				v->id, (long long)hf_inventory_number(v->status, "hook.failures"),
				hf_inventory_text(v->status, "hook.result"),
				hf_inventory_true(v->status, "hook.due")
					? "in a while"
					: "with the next certificate, or when its configuration "
					  "has changed");
	}
}

static void one_key(struct hf_checkup *k, const struct hf_credview *v, X509 *cert, bool own)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	char subject[HF_NAME_MAX], algorithm[80];
	bool usual;
	int digest = 0, bits = 0;

	hf_certview_name(X509_get_subject_name(cert), subject, sizeof(subject));
	hf_certview_algorithm(key, algorithm, sizeof(algorithm));
	usual = !strcmp(algorithm, "rsa-2048") || !strcmp(algorithm, "rsa-3072") ||
		!strcmp(algorithm, "rsa-4096") || !strcmp(algorithm, "ec-p256");
	if (!key)
		hf_check_say(k, HF_CHECK_ERROR, "%s: the key of %s is of a kind that is not known",
			     v->id, subject);
	else if (EVP_PKEY_get_security_bits(key) < 112)
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s: the key of %s is weak (%s); RSA needs 2048 bits, EC 224", v->id,
			     subject, algorithm);
	else if (own && !usual && has_role(v, "edge_ca device_id"))
		hf_check_say(
			k, HF_CHECK_WARNING,
			"%s has a key %s; IoT Edge itself is tested with RSA 2048 and EC P-256 "
			"alone",
			v->id, algorithm);
	/* A root's own signature is looked at by nobody. */
	if (!hf_certview_is_own(cert) &&
	    X509_get_signature_info(cert, &digest, NULL, &bits, NULL) == 1 &&
	    (digest == NID_sha1 || digest == NID_md5 || bits < 80))
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s: %s is signed with %s, which can be forged and is refused by "
			     "OpenSSL",
			     v->id, subject, digest ? OBJ_nid2ln(digest) : "something weak");
}

static void weak_keys(struct hf_checkup *k, const char *arg)
{
	size_t i;
	int j;

	(void)arg;
	if (!needs_credentials(k, NULL))
		return;
	for (i = 0; i < k->inventory.n; i++)
		for (j = 0; j < sk_X509_num(k->inventory.list[i].certs); j++)
			one_key(k, &k->inventory.list[i],
				sk_X509_value(k->inventory.list[i].certs, j), !j);
}

const struct hf_check hf_checks_certs[] = {
	{ "identity-certificate-expiry", "device identity certificate is valid", expiry,
	  "device_id" },
	{ "edge-ca-certificate-expiry", "Edge CA certificate is valid", expiry, "edge_ca" },
	{ "est-identity-and-bootstrap-certificate-expiry", "certificates for EST servers are valid",
	  expiry, "est_id est_bootstrap" },
	{ "local-ca-certificate-expiry", "local CA certificate is valid", expiry, "local_ca" },
	{ "other-certificate-expiry", "other certificates are valid", expiry, "other" },
	{ "certs-preloaded", "certificates from files are there, each its own", preloaded, NULL },
	{ "identity-names", "device identity certificate names the device", identity_names, NULL },
	{ "edge-ca-names", "Edge CA is named like nothing else", edge_ca_names, NULL },
	{ "edge-ca-extensions", "Edge CA certificate may issue certificates", ca_extensions,
	  "edge_ca local_ca" },
	{ "edge-ca-quickstart", "Edge CA is fit for production", quickstart, NULL },
	{ "modules", "modules have certificates of the Edge CA of now", modules, NULL },
	{ "hooks", "hooks succeed", hooks, NULL },
	{ "key-strength", "keys and signatures are strong enough", weak_keys, NULL },
	{ NULL, NULL, NULL, NULL },
};
