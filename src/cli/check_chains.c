/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of certificates with what belongs to them: issuers, trust bundle, keys. */
#include <string.h>

#include <openssl/x509v3.h>

#include "cli/certview.h"
#include "cli/check.h"
#include "cli/output.h"

static void add_file(STACK_OF(X509) * to, const char *path)
{
	struct hf_err ignored = HF_ERR_INIT;
	STACK_OF(X509) *list = NULL;

	if (path[0])
		(void)hf_certview_read(path, &list, &ignored);
	while (sk_X509_num(list) > 0) {
		X509 *cert = sk_X509_shift(list);

		if (sk_X509_push(to, cert) <= 0)
			X509_free(cert);
	}
	hf_certview_free(list);
}

/* The CAs that this device knows: of the trust bundle, and of EST servers. */
static STACK_OF(X509) * known_cas(const struct hf_checkup *k)
{
	STACK_OF(X509) *out = sk_X509_new_null();
	size_t i, j;

	if (out)
		add_file(out, hf_inventory_text(k->inventory.agent, "bundle.user_file"));
	for (i = 0; out && i < k->inventory.n; i++) {
		json_object *files = hf_inventory_at(k->inventory.list[i].conf, "est.trust.files");

		for (j = 0; json_object_is_type(files, json_type_array) &&
			    j < json_object_array_length(files);
		     j++)
			add_file(out, json_object_get_string(json_object_array_get_idx(files, j)));
	}
	return out;
}

static void upper_dates(struct hf_checkup *k, const struct hf_credview *v, X509 *cert)
{
	char subject[HF_NAME_MAX];

	hf_certview_name(X509_get_subject_name(cert), subject, sizeof(subject));
	if (hf_certview_time(X509_get0_notAfter(cert)) <= k->now)
		hf_check_say(k, HF_CHECK_ERROR, "%s: %s of its chain has expired", v->id, subject);
	if (!hf_certview_is_ca(cert))
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s: %s of its chain is no CA: nobody accepts what it has issued",
			     v->id, subject);
}

/* The file has to be leaf, issuer, its issuer…: some programs look no further than the next. */
static void one_chain(struct hf_checkup *k, const struct hf_credview *v, STACK_OF(X509) * trust)
{
	int i, n = sk_X509_num(v->certs);
	X509 *last = sk_X509_value(v->certs, n - 1);
	char subject[HF_NAME_MAX], issuer[HF_NAME_MAX];

	for (i = 0; i < n; i++) {
		X509 *cert = sk_X509_value(v->certs, i);

		hf_certview_name(X509_get_subject_name(cert), subject, sizeof(subject));
		hf_certview_name(X509_get_issuer_name(cert), issuer, sizeof(issuer));
		if (i)
			upper_dates(k, v, cert);
		if (i + 1 < n && !hf_certview_issued_by(cert, sk_X509_value(v->certs, i + 1))) {
			hf_check_say(k, HF_CHECK_ERROR,
				     "%s: in %s, %s is not followed by its issuer %s: 'holdfast "
				     "convert' puts them in order",
				     v->id, v->file, subject, issuer);
			return;
		}
	}
	if (hf_certview_is_own(last)) {
		if (n > 1)
			hf_check_say(k, HF_CHECK_WARNING,
				     "%s: the root CA is in %s; it belongs into the trust bundle, "
				     "and is sent for nothing here",
				     v->id, v->file);
	} else if ((n == 1 || !strcmp(v->role, "edge_ca")) && !hf_certview_issuer(last, trust)) {
		/* With a chain, what is missing is the root, as a rule, which others have. What the
		   Edge CA has issued is for those who have the trust bundle. */
		hf_check_say(k, HF_CHECK_WARNING,
			     "%s: the issuer %s of the last certificate in %s is neither there nor "
			     "in trust_bundle_cert: who does not know it cannot build the chain",
			     v->id, issuer, v->file);
	}
}

static void chains(struct hf_checkup *k, const char *arg)
{
	STACK_OF(X509) *trust = known_cas(k);
	size_t i, n = 0;

	(void)arg;
	for (i = 0; i < k->inventory.n; i++) {
		if (!k->inventory.list[i].certs)
			continue;
		n++;
		one_chain(k, &k->inventory.list[i], trust);
	}
	hf_certview_free(trust);
	if (!n)
		hf_check_say(k, HF_CHECK_SKIPPED, "there is no certificate");
}

/* ---------------------------------------------------------------- trust bundle */

static void bundle_dates(struct hf_checkup *k, const char *path, STACK_OF(X509) * list)
{
	char subject[HF_NAME_MAX];
	int i;

	for (i = 0; i < sk_X509_num(list); i++) {
		X509 *cert = sk_X509_value(list, i);

		hf_certview_name(X509_get_subject_name(cert), subject, sizeof(subject));
		if (hf_certview_time(X509_get0_notAfter(cert)) <= k->now)
			hf_check_say(k, HF_CHECK_WARNING, "%s: %s has expired", path, subject);
		if (!hf_certview_is_ca(cert))
			hf_check_say(
				k, HF_CHECK_WARNING,
				"%s: %s is not the certificate of a CA, and most programs will "
				"not trust it",
				path, subject);
	}
}

static bool has_cert(STACK_OF(X509) * list, X509 *cert)
{
	int i;

	for (i = 0; i < sk_X509_num(list); i++)
		if (!X509_cmp(sk_X509_value(list, i), cert))
			return true;
	return false;
}

static void edge_ca_in(struct hf_checkup *k, const char *path, STACK_OF(X509) * list)
{
	size_t i;

	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		if (!strcmp(v->role, "edge_ca") && v->certs &&
		    !has_cert(list, sk_X509_value(v->certs, 0)))
			hf_check_say(k, HF_CHECK_WARNING,
				     "%s lacks %s: modules will not trust each other; the agent "
				     "puts it there when it starts",
				     path, v->id);
	}
}

static void trust_bundle(struct hf_checkup *k, const char *arg)
{
	const char *user = hf_inventory_text(k->inventory.agent, "bundle.user_file");
	const char *made = hf_inventory_text(k->inventory.agent, "bundle.file");
	const char *said = hf_inventory_text(k->inventory.status, "bundle.error");
	STACK_OF(X509) *list = NULL;
	struct hf_err e = HF_ERR_INIT;

	(void)arg;
	if (!hf_check_needs_agent(k))
		return;
	if (user[0] && hf_certview_read(user, &list, &e))
		hf_check_say(k, HF_CHECK_ERROR, "trust_bundle_cert: %s", e.msg);
	bundle_dates(k, user, list);
	hf_certview_free(list);
	list = NULL;
	if (said[0])
		hf_check_say(k, HF_CHECK_ERROR, "%s", said);
	if (!made[0] || !k->inventory.alive)
		return;
	if (hf_certview_read(made, &list, &e))
		hf_check_say(k, HF_CHECK_ERROR, "%s; the agent has to write it", e.msg);
	else
		edge_ca_in(k, made, list);
	hf_certview_free(list);
}

/* ---------------------------------------------------------------- keys */

static json_object *find_key(const struct hf_checkup *k, const char *name)
{
	size_t i;

	for (i = 0; i < json_object_array_length(k->keys); i++) {
		json_object *o = json_object_array_get_idx(k->keys, i);

		if (!strcmp(hf_out_get(o, "name"), name))
			return o;
	}
	return NULL;
}

/* The state of the generation with this hash, or NULL. */
static const char *generation_state(json_object *key, const char *hash)
{
	json_object *list = hf_inventory_at(key, "generations");
	size_t i;

	for (i = 0;
	     json_object_is_type(list, json_type_array) && i < json_object_array_length(list);
	     i++) {
		json_object *o = json_object_array_get_idx(list, i);

		if (!strcmp(hf_out_get(o, "sha256"), hash))
			return hf_out_get(o, "state");
	}
	return NULL;
}

static void one_match(struct hf_checkup *k, const struct hf_credview *v)
{
	const char *name = v->conf ? hf_inventory_text(v->conf, "key.name")
				   : hf_inventory_text(v->status, "key");
	json_object *key = name[0] ? find_key(k, name) : NULL;
	const char *state;
	uint8_t hash[32];
	char hex[65];

	if (!name[0])
		return; /* a certificate alone, such as one to be trusted */
	if (!key) {
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s: there is no key %s in a token: 'holdfast key import %s FILE' or "
			     "'holdfast convert FILE --key %s' puts one there",
			     v->id, name, name, name);
		return;
	}
	if (!hf_certview_spki_sha256(sk_X509_value(v->certs, 0), hash))
		return;
	state = generation_state(key, hf_hex(hex, sizeof(hex), hash, sizeof(hash)));
	if (!state)
		hf_check_say(
			k, HF_CHECK_ERROR,
			"%s: %s is not a certificate of the key %s: 'holdfast key show %s' and "
			"'holdfast cert show %s' show both",
			v->id, v->file, name, name, v->id);
	else if (!strcmp(state, "retiring"))
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s: the key %s has been rotated, and the generation of %s will be "
			     "removed soon: it needs a certificate for the new one",
			     v->id, name, v->file);
	else if (strcmp(state, "current"))
		hf_check_say(k, HF_CHECK_WARNING,
			     "%s: the certificate is for a generation of %s that is %s, not "
			     "current; a running agent puts that right",
			     v->id, name, state);
}

static void matches(struct hf_checkup *k, const char *arg)
{
	size_t i, n = 0;

	(void)arg;
	if (!hf_check_needs_broker(k))
		return;
	for (i = 0; i < k->inventory.n; i++)
		if (k->inventory.list[i].certs) {
			n++;
			one_match(k, &k->inventory.list[i]);
		}
	if (!n)
		hf_check_say(k, HF_CHECK_SKIPPED, "there is no certificate");
}

const struct hf_check hf_checks_chains[] = {
	{ "certificate-chains", "certificates are followed by those of their issuers", chains,
	  NULL },
	{ "trust-bundle", "trust bundle is in order", trust_bundle, NULL },
	{ "certs-match-private-keys", "certificates match the keys in the tokens", matches, NULL },
	{ NULL, NULL, NULL, NULL },
};
