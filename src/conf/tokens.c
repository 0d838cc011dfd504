/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokens.c: the tokens of holdfastd.json. A PIN never gets into it: whoever wrote one into
 * a URI, as IoT Edge wants it, finds it in a file of its own after `config apply`.
 */
#include "conf/tokens.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "conf/credential.h"
#include "conf/nearest.h"
#include "conf/p11uri.h"
#include "conf/value.h"

#define TOKENS_MAX 8
#define KEYS_MAX   32
#define WANTED_MAX 128

static const char *const of_tpm2[] = { "tcti", "primary_handle" };
static const char *const of_pkcs11[] = { "module",  "uri",	   "pin_file", "pin_credential",
					 "workers", "environment", "confine" };

/* One PKCS#11 token, from wherever its parts were written. */
struct pkcs11 {
	const char *name, *module;
	const struct hf_node *where; /* to complain about */
	struct hf_p11uri uri;
	char pin[HF_PATH_MAX];
	bool pin_in_uri;
};

static const struct hf_node *aziot(const struct hf_making *m, const char *key)
{
	return hf_node_get(hf_node_get(m->root, "aziot_keys"), key);
}

static bool is_pkcs11(const struct hf_node *token)
{
	const struct hf_node *type = hf_node_get(token, "type");

	return type && !strcmp(type->text, "pkcs11");
}

static void refuse_foreign(const struct hf_making *m, const struct hf_node *token,
			   const char *const *keys, size_t n, const char *type)
{
	const struct hf_node *key;
	size_t i;

	for (i = 0; i < n; i++)
		if ((key = hf_node_get(token, keys[i])))
			hf_problem_add(m->p, HF_PROBLEM_ERROR, key,
				       "'%s' is for tokens of type \"%s\"", keys[i], type);
}

/* "/etc/holdfast/NAME.pin", beside holdfastd.json. */
static bool pin_path(const struct hf_making *m, const char *name, char out[HF_PATH_MAX])
{
	const char *file = m->paths->daemon_file;
	size_t dir = (size_t)(strrchr(file, '/') - file);

	return snprintf(out, HF_PATH_MAX, "%.*s/%s.pin", (int)dir, file, name) < HF_PATH_MAX;
}

static void find_pin(const struct hf_making *m, const struct hf_node *token, struct pkcs11 *t)
{
	const struct hf_node *file = hf_node_get(token, "pin_file");
	const struct hf_node *credential = hf_node_get(token, "pin_credential");

	if ((file != NULL) + (credential != NULL) + (t->uri.pin[0] != 0) +
		    (t->uri.pin_file[0] != 0) >
	    1)
		hf_problem_add(m->p, HF_PROBLEM_ERROR, t->where,
			       "token %s has two PINs; write one of pin_file, pin_credential, and "
			       "pin-value or pin-source in its URI",
			       t->name);
	else if (file)
		(void)hf_copy(t->pin, sizeof(t->pin), file->text);
	else if (credential)
		(void)snprintf(t->pin, sizeof(t->pin), "credential:%s", credential->text);
	else if (t->uri.pin_file[0])
		(void)hf_copy(t->pin, sizeof(t->pin), t->uri.pin_file);
	else if (t->uri.pin[0])
		t->pin_in_uri = pin_path(m, t->name, t->pin);
}

/* NULL: good. Ours asks the broker, which would wait for its own keeper; p11-kit's may load it. */
static const char *wrong_module(const char *path)
{
	const char *file = strrchr(path, '/');

	if (path[0] != '/')
		return path[0] ? "has a module that is not an absolute path" : "has no module";
	if (!strcmp(file, "/holdfast-pkcs11.so"))
		return "would be holdfast's own keys once more";
	if (!strcmp(file, "/p11-kit-proxy.so"))
		return "would have all modules of p11-kit, holdfast's own among them";
	return NULL;
}

/* @token NULL: [aziot_keys] alone. False: there is an error. */
static bool find_pkcs11(const struct hf_making *m, const struct hf_node *token, struct pkcs11 *t)
{
	const struct hf_node *module = hf_node_get(token, "module");
	const struct hf_node *uri = hf_node_get(token, "uri");
	const char *wrong;

	memset(t, 0, sizeof(*t));
	t->name = token ? hf_node_get(token, "name")->text : "hsm";
	if (!uri)
		uri = aziot(m, "pkcs11_base_slot");
	if (!module)
		module = aziot(m, "pkcs11_lib_path");
	t->where = uri ? uri : token ? token : module;
	wrong = uri	? hf_p11uri_parse(&t->uri, uri->text)
		: token ? "is missing; write uri = \"pkcs11:token=LABEL\""
			: "is missing; write pkcs11_base_slot = \"pkcs11:token=LABEL\"";
	if (!wrong && t->uri.object[0])
		wrong = "names an object; leave out object, id and type: it is the token that "
			"is meant";
	if (!wrong && !t->uri.token[strlen("pkcs11:")])
		wrong = "names no token; write pkcs11:token=LABEL";
	if (wrong)
		hf_problem_add(m->p, HF_PROBLEM_ERROR, t->where, "the URI of token %s %s", t->name,
			       wrong);
	t->module = module ? module->text : t->uri.module;
	wrong = wrong_module(t->module);
	if (wrong)
		hf_problem_add(m->p, HF_PROBLEM_ERROR, module ? module : t->where,
			       "token %s %s; write module = \"/usr/lib/.../MODULE.so\"", t->name,
			       wrong);
	find_pin(m, token, t);
	return !m->p->errors;
}

static void check_environment(const struct hf_making *m, const struct hf_node *token)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	const struct hf_node *list = hf_node_get(token, "environment"), *n;

	for (n = list ? list->children : NULL; n; n = n->next) {
		size_t len = strcspn(n->text, "=");

		if (!strchr(letters, n->text[0]) || !n->text[0] || n->text[len] != '=')
			hf_problem_add(m->p, HF_PROBLEM_ERROR, n,
				       "environment has an entry that is no NAME=VALUE");
		else if (!strncmp(n->text, "OPENSSL_", 8))
			hf_problem_add(m->p, HF_PROBLEM_ERROR, n,
				       "environment: a keeper runs without OpenSSL's "
				       "configuration, lest it asks itself for its own keys");
	}
}

/* Does a key's URI mean the token of @t? It may say less of it, or more. */
static bool is_in(const struct hf_p11uri *key, const struct pkcs11 *t)
{
	return hf_p11uri_within(key->token, t->uri.token) ||
	       hf_p11uri_within(t->uri.token, key->token);
}

/* A key that is in a PKCS#11 token already, and that the broker is to adopt. */
struct wanted {
	const char *name, *uri;
	bool ca;
	const struct hf_node *at;
};

static bool add_wanted(struct wanted *list, size_t *n, const char *name, const char *uri, bool ca,
		       const struct hf_node *at)
{
	size_t i;

	if (strncmp(uri, "pkcs11:", 7))
		return true;
	for (i = 0; i < *n; i++)
		if (!strcmp(list[i].name, name))
			return true;
	if (*n == WANTED_MAX)
		return false;
	list[(*n)++] = (struct wanted){ name, uri, ca, at };
	return true;
}

/* Those of certificates first: they tell what a key is for. */
static size_t find_wanted(const struct hf_making *m, struct wanted list[WANTED_MAX])
{
	const struct hf_node *keys = hf_node_get(m->root, "preloaded_keys"), *k;
	bool fits = true;
	size_t n = 0, i;

	for (i = 0; m->creds && i < m->creds->n; i++) {
		const struct hf_cred *c = m->creds->list[i];

		fits = add_wanted(list, &n, c->key.name, c->key.uri, c->key.ca, c->at) && fits;
	}
	for (k = keys ? keys->children : NULL; k; k = k->next) /* the original's name */
		fits = add_wanted(list, &n, k->key, k->text, !strcmp(k->key, "aziot-edged-ca"),
				  k) &&
		       fits;
	if (!fits)
		hf_problem_add(m->p, HF_PROBLEM_ERROR, keys, "more than %d keys are in tokens",
			       WANTED_MAX);
	return n;
}

/* The keys that are in this token, each by its own attributes. */
static json_object *keys_json(const struct hf_making *m, const struct pkcs11 *t)
{
	json_object *keys = json_object_new_array(), *o;
	struct wanted list[WANTED_MAX];
	size_t n = find_wanted(m, list), i;
	struct hf_p11uri uri;
	char text[HF_P11URI_MAX];

	for (i = 0; i < n; i++) {
		if (hf_p11uri_parse(&uri, list[i].uri) || !is_in(&uri, t))
			continue;
		(void)snprintf(text, sizeof(text), "pkcs11:%s", uri.object);
		o = json_object_new_object();
		hf_making_set_text(o, "name", list[i].name);
		hf_making_set_text(o, "uri", text);
		hf_making_set_text(o, "usage", list[i].ca ? "ca" : "sign");
		json_object_array_add(keys, o);
	}
	if (json_object_array_length(keys) > KEYS_MAX)
		hf_problem_add(m->p, HF_PROBLEM_ERROR, list[0].at,
			       "more than %d preloaded keys are in token %s", KEYS_MAX, t->name);
	explicit_bzero(&uri, sizeof(uri));
	return keys;
}

static json_object *pkcs11_json(const struct hf_making *m, const struct hf_node *token)
{
	struct hf_making_table t = { hf_conf_section_find("token"), token };
	json_object *o = json_object_new_object();
	uint64_t timeout = hf_making_duration(&t, "timeout");
	struct pkcs11 found;

	refuse_foreign(m, token, of_tpm2, HF_COUNT(of_tpm2), "tpm2");
	check_environment(m, token);
	(void)find_pkcs11(m, token, &found);
	hf_making_set_text(o, "name", found.name);
	hf_making_set_text(o, "type", "pkcs11");
	hf_making_set_text(o, "module", found.module);
	hf_making_set_text(o, "uri", found.uri.token);
	hf_making_set_text(o, "pin", found.pin);
	hf_making_set_number(o, "workers", hf_making_number(&t, "workers"));
	hf_making_set_list(o, "environment", &t, "environment");
	hf_making_set_text(o, "confine", hf_making_text(&t, "confine"));
	json_object_object_add(o, "keys", keys_json(m, &found));
	hf_making_set_number(o, "timeout_ms", (int64_t)(timeout ? timeout : 10000));
	explicit_bzero(&found, sizeof(found));
	return o;
}

static json_object *tpm2_json(const struct hf_making *m, const struct hf_node *token)
{
	struct hf_making_table t = { hf_conf_section_find("token"), token };
	json_object *o = json_object_new_object();
	const char *tcti = hf_making_text(&t, "tcti");
	bool simulated = !strncmp(tcti, "swtpm", 5) || !strncmp(tcti, "mssim", 5);
	uint64_t timeout = hf_making_duration(&t, "timeout");

	refuse_foreign(m, token, of_pkcs11, HF_COUNT(of_pkcs11), "pkcs11");
	if (!timeout) /* a simulator answers at once or never; a chip may have an RSA key to make */
		timeout = simulated ? 1500 : 10000;
	hf_making_set_text(o, "name", token ? hf_making_text(&t, "name") : "tpm");
	hf_making_set_text(o, "type", "tpm2");
	hf_making_set_text(o, "tcti", tcti);
	hf_making_set_number(o, "primary_handle", hf_making_number(&t, "primary_handle"));
	hf_making_set_number(o, "timeout_ms", (int64_t)timeout);
	return o;
}

/* IoT Edge's own words make a token, unless a [[token]] says more about it. */
static bool aziot_alone(const struct hf_making *m)
{
	const struct hf_node *n;

	if (!aziot(m, "pkcs11_lib_path"))
		return false;
	for (n = hf_making_tables(m, "token"); n; n = n->next)
		if (is_pkcs11(n) && !hf_node_get(n, "module"))
			return false;
	return true;
}

static void check_aziot(const struct hf_making *m, bool alone)
{
	const struct hf_node *n;
	size_t count = alone;

	for (n = hf_making_tables(m, "token"); n; n = n->next) {
		const struct hf_node *name = hf_node_get(n, "name");

		if (alone && !strcmp(name->text, "hsm"))
			hf_problem_add(m->p, HF_PROBLEM_ERROR, name,
				       "the token of [aziot_keys] is called \"hsm\" already; "
				       "choose another name, or leave out its module and uri");
		if (++count > TOKENS_MAX) {
			hf_problem_add(m->p, HF_PROBLEM_ERROR, n, "more than %d tokens",
				       TOKENS_MAX);
			return;
		}
	}
}

static const char *check_wanted(const struct hf_making *m, const struct wanted *k, bool alone)
{
	const struct hf_node *token;
	struct hf_p11uri uri;
	const char *wrong = hf_p11uri_parse(&uri, k->uri);
	struct pkcs11 t;
	size_t found = 0;

	if (!wrong && !uri.object[0])
		wrong = "names no key: it has neither object nor id";
	if (!wrong && !hf_value_name(k->name))
		wrong = "is of a key whose name has other than letters, digits and . _ -";
	for (token = hf_making_tables(m, "token"); !wrong && token; token = token->next)
		if (is_pkcs11(token) && find_pkcs11(m, token, &t))
			found += is_in(&uri, &t);
	if (!wrong && alone && find_pkcs11(m, NULL, &t))
		found += is_in(&uri, &t);
	if (!wrong && found != 1 && !m->p->errors)
		wrong = found ? "fits more than one [[token]]; add token=LABEL"
			      : "names a token that is not configured; write a [[token]] "
				"of type pkcs11, or [aziot_keys]";
	explicit_bzero(&t, sizeof(t));
	explicit_bzero(&uri, sizeof(uri));
	return wrong;
}

/* A key in a token that is not configured could never be used. */
static void check_preloaded(const struct hf_making *m, bool alone)
{
	struct wanted list[WANTED_MAX];
	size_t n = find_wanted(m, list), i;
	const char *wrong;

	for (i = 0; i < n; i++) {
		wrong = check_wanted(m, &list[i], alone);
		if (wrong)
			hf_problem_add(m->p, HF_PROBLEM_ERROR, list[i].at,
				       "the URI of key %.63s %s", list[i].name, wrong);
	}
}

void hf_making_tokens(const struct hf_making *m, json_object *out)
{
	json_object *list = json_object_new_array();
	const struct hf_node *n, *chosen = NULL, *first = hf_making_tables(m, "token");
	bool alone = aziot_alone(m);
	const char *name = alone ? "hsm" : "tpm";

	hf_making_check_names(m, "token", "name", TOKENS_MAX);
	check_aziot(m, alone);
	for (n = first; n; n = n->next) {
		const struct hf_node *yes = hf_node_get(n, "default");

		json_object_array_add(list, is_pkcs11(n) ? pkcs11_json(m, n) : tpm2_json(m, n));
		if (yes && yes->number && chosen)
			hf_problem_add(m->p, HF_PROBLEM_ERROR, yes,
				       "token %s is the default already (%s:%u); there can be one",
				       name, chosen->file, chosen->line);
		if ((yes && yes->number) || (n == first && !alone))
			name = hf_node_get(n, "name")->text;
		if (yes && yes->number)
			chosen = yes;
	}
	if (alone)
		json_object_array_add(list, pkcs11_json(m, NULL));
	else if (!first)
		json_object_array_add(list, tpm2_json(m, NULL));
	if (!m->p->errors)
		check_preloaded(m, alone);
	hf_making_set_text(out, "default_token", name);
	json_object_object_add(out, "tokens", list);
}

const char *hf_making_token_type(const struct hf_making *m, const char *name)
{
	const struct hf_node *n, *first = hf_making_tables(m, "token"), *chosen = NULL;
	bool alone = aziot_alone(m);

	for (n = first; n; n = n->next) {
		const struct hf_node *yes = hf_node_get(n, "default");

		if (name[0] ? !strcmp(hf_node_get(n, "name")->text, name) : yes && yes->number)
			chosen = n;
	}
	if (!chosen && !name[0] && !alone)
		chosen = first;
	if (chosen)
		return is_pkcs11(chosen) ? "pkcs11" : "tpm2";
	if (alone && (!name[0] || !strcmp(name, "hsm")))
		return "pkcs11";
	return !alone && !first && (!name[0] || !strcmp(name, "tpm")) ? "tpm2" : NULL;
}

const char *hf_making_token_nearest(const struct hf_making *m, const char *name)
{
	const struct hf_node *n = hf_making_tables(m, "token");
	struct hf_nearest near;

	hf_nearest_init(&near, name);
	hf_nearest_try(&near, aziot_alone(m) ? "hsm" : n ? "" : "tpm");
	for (; n; n = n->next)
		hf_nearest_try(&near, hf_node_get(n, "name")->text);
	return near.best;
}

static void add_pin(const struct hf_making *m, const struct hf_node *token, json_object *pins)
{
	struct pkcs11 t;

	if (find_pkcs11(m, token, &t) && t.pin_in_uri)
		hf_making_set_text(pins, t.pin, t.uri.pin);
	explicit_bzero(&t, sizeof(t));
}

json_object *hf_conf_pins(const struct hf_making *m)
{
	json_object *pins = json_object_new_object();
	const struct hf_node *n;

	for (n = m->p->errors ? NULL : hf_making_tables(m, "token"); n; n = n->next)
		if (is_pkcs11(n))
			add_pin(m, n, pins);
	if (!m->p->errors && aziot_alone(m))
		add_pin(m, NULL, pins);
	return pins;
}
