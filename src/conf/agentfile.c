/* SPDX-License-Identifier: Apache-2.0 */
/* Everything is spelt out: the agent has no defaults, so that what is written is what happens. */
#include "conf/agentfile.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "conf/credmake.h"
#include "conf/value.h"

static void set_flag(json_object *to, const char *name, bool value)
{
	json_object_object_add(to, name, json_object_new_boolean(value));
}

static void add_text(json_object *list, const char *text)
{
	json_object_array_add(list, json_object_new_string(text));
}

static json_object *object_in(json_object *out, const char *name)
{
	json_object *o = json_object_new_object();

	json_object_object_add(out, name, o);
	return o;
}

static json_object *list_in(json_object *out, const char *name)
{
	json_object *o = json_object_new_array();

	json_object_object_add(out, name, o);
	return o;
}

static bool flag(const struct hf_creds *c, const char *section, const char *key)
{
	const struct hf_node *n = hf_node_get(hf_node_get(c->m->root, section), key);

	return n && n->number;
}

/* ---------------------------------------------------------------- one certificate */

static const char *const methods[] = {
	[HF_CRED_SELF_SIGNED] = "self_signed",
	[HF_CRED_LOCAL_CA] = "local_ca",
	[HF_CRED_EST] = "est",
	[HF_CRED_FILES] = "files",
};

static void add_key(json_object *out, const struct hf_cred *k)
{
	json_object *o = object_in(out, "key");

	hf_making_set_text(o, "name", k->key.name);
	hf_making_set_text(o, "token", k->key.token);
	hf_making_set_text(o, "algorithm", k->key.algorithm);
	hf_making_set_text(o, "usage", k->key.ca ? "ca" : "sign");
	hf_making_set_text(o, "uri", k->key.uri);
}

/* A PIN in a URI is the broker's business: here the key is known by its name. */
static void hide_pin(json_object *credential)
{
	json_object *key = json_object_object_get(credential, "key");
	const char *uri = json_object_get_string(json_object_object_get(key, "uri"));
	char text[HF_PATH_MAX];

	if (strncmp(uri, "pkcs11:", 7) || !strchr(uri, '?'))
		return;
	(void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(uri, "?"), uri);
	hf_making_set_text(key, "uri", text);
}

static void add_subject(json_object *out, const struct hf_cred *k)
{
	json_object *list = list_in(out, "subject"), *one;
	size_t i;

	for (i = 0; i < k->n_subject; i++) {
		one = json_object_new_array();
		add_text(one, k->subject[i].type);
		add_text(one, k->subject[i].value);
		json_object_array_add(list, one);
	}
}

static void add_texts(json_object *out, const char *name, const struct hf_node *list,
		      const char *const *standard)
{
	json_object *to = list_in(out, name);
	const struct hf_node *n;

	for (n = list ? list->children : NULL; n; n = n->next)
		add_text(to, n->text);
	for (; !list && standard && *standard; standard++)
		add_text(to, *standard);
}

/* Words of a few; one that is there twice says nothing more, and the agent has no room for it. */
static void add_words(json_object *out, const char *name, const struct hf_node *list)
{
	json_object *to = list_in(out, name);
	const struct hf_node *n, *before;

	for (n = list ? list->children : NULL; n; n = n->next) {
		for (before = list->children; before != n; before = before->next)
			if (!strcmp(before->text, n->text))
				break;
		if (before == n)
			add_text(to, n->text);
	}
}

static void add_trust(struct hf_creds *c, json_object *out, const struct hf_cred_est *e)
{
	json_object *o = object_in(out, "trust"), *files;
	const struct hf_node *n;
	char path[HF_PATH_MAX];

	hf_making_set_text(o, "mode",
			   e->fingerprint[0] ? "fingerprint"
			   : e->trusted	     ? "pinned"
					     : "system");
	files = list_in(o, "files");
	for (n = e->trusted && !e->fingerprint[0] ? e->trusted->children : NULL; n; n = n->next)
		if (hf_cred_path(c, n, path))
			add_text(files, path);
	hf_making_set_text(o, "sha256", e->fingerprint);
}

static void add_est(struct hf_creds *c, json_object *out, const struct hf_cred *k)
{
	json_object *o = object_in(out, "est");
	const struct hf_cred_est *e = &k->est;

	hf_making_set_text(o, "url", e->url);
	add_trust(c, o, e);
	hf_making_set_text(o, "username", e->username);
	hf_making_set_text(o, "password_file", e->password_file);
	hf_making_set_text(o, "password", e->password);
	hf_making_set_text(o, "token_file", e->token_file);
	hf_making_set_text(o, "identity", e->identity);
	hf_making_set_text(o, "bootstrap", e->bootstrap);
	hf_making_set_text(o, "client_chain", e->client_chain);
	hf_making_set_text(o, "binding", e->binding);
	hf_making_set_text(o, "csrattrs", e->csrattrs);
	add_words(o, "tolerate", e->tolerate);
	set_flag(o, "follow_redirects", e->follow_redirects);
	hf_making_set_text(o, "proxy", e->proxy);
	hf_making_set_text(o, "cacerts_file", e->cacerts_file);
}

static void add_when(json_object *out, const char *name, const struct hf_cred_when *w)
{
	json_object *o = object_in(out, name);

	hf_making_set_number(o, "percent", w->percent);
	hf_making_set_number(o, "seconds", (int64_t)w->seconds);
}

static void add_renew(json_object *out, const struct hf_cred_renew *r)
{
	json_object *o = object_in(out, "renew"), *window;

	set_flag(o, "enabled", r->enabled);
	set_flag(o, "rotate_key", r->rotate_key);
	add_when(o, "threshold", &r->threshold);
	add_when(o, "retry", &r->retry);
	window = object_in(o, "window");
	hf_making_set_number(window, "from_min", r->from_min);
	hf_making_set_number(window, "to_min", r->to_min);
}

static void add_hook(json_object *out, const struct hf_cred *k)
{
	struct hf_making_table t = { hf_conf_section_find("credential.hook"), k->hook };
	json_object *o = object_in(out, "hook");

	add_texts(o, "exec", hf_node_get(k->hook, "exec"), NULL);
	hf_making_set_text(o, "user", hf_making_text(&t, "user"));
	hf_making_set_number(o, "timeout_s", (int64_t)(hf_making_duration(&t, "timeout") / 1000));
}

static json_object *credential(struct hf_creds *c, const struct hf_cred *k)
{
	json_object *o = json_object_new_object(), *aliases;

	hf_making_set_text(o, "id", k->id);
	aliases = list_in(o, "aliases");
	if (k->alias[0])
		add_text(aliases, k->alias);
	hf_making_set_text(o, "role", k->role);
	add_key(o, k);
	hide_pin(o);
	hf_making_set_text(o, "file", k->file);
	hf_making_set_text(o, "reference", k->reference);
	hf_making_set_text(o, "owner", k->owner);
	hf_making_set_text(o, "group", k->group);
	hf_making_set_number(o, "mode", k->mode);
	hf_making_set_text(o, "method", methods[k->method]);
	set_flag(o, "quickstart", k->quickstart);
	hf_making_set_number(o, "days", k->days);
	hf_making_set_text(o, "issuer", k->issuer);
	add_subject(o, k);
	add_texts(o, "sans", k->sans, NULL);
	add_texts(o, "eku", k->eku, k->eku_standard);
	set_flag(o, "ca", k->ca);
	hf_making_set_number(o, "pathlen", k->pathlen);
	add_est(c, o, k);
	add_renew(o, &k->renew);
	add_hook(o, k);
	return o;
}

/* ---------------------------------------------------------------- the rest */

static void add_device(json_object *out, const struct hf_creds *c)
{
	json_object *o = object_in(out, "device");

	hf_making_set_text(o, "device_id", c->device.id);
	hf_making_set_text(o, "registration_id", c->device.registration);
	hf_making_set_text(o, "hostname", c->device.hostname);
	hf_making_set_text(o, "hub", c->device.hub);
}

static void add_bundle(json_object *out, struct hf_creds *c)
{
	const struct hf_node *user = hf_node_get(c->m->root, "trust_bundle_cert");
	json_object *o = object_in(out, "bundle");
	char path[HF_PATH_MAX] = "";

	if (user)
		(void)hf_cred_path(c, user, path);
	hf_making_set_text(o, "user_file", path);
	(void)snprintf(path, sizeof(path), "%s/trust-bundle.pem", c->m->paths->certs);
	hf_making_set_text(o, "file", path);
	set_flag(o, "system_store", flag(c, "certificates", "system_store"));
}

/* The lists of [preloaded_certs]: certificates that are asked for together. */
static void add_bundles(json_object *out, const struct hf_creds *c)
{
	const struct hf_node *certs = hf_node_get(c->m->root, "preloaded_certs"), *n, *item;
	json_object *list = list_in(out, "bundles"), *o, *of;

	for (n = certs ? certs->children : NULL; n; n = n->next) {
		if (n->kind != HF_NODE_ARRAY)
			continue;
		o = json_object_new_object();
		hf_making_set_text(o, "id", n->key);
		of = list_in(o, "of");
		for (item = n->children; item; item = item->next)
			add_text(of, item->text);
		json_object_array_add(list, o);
	}
}

static void add_module(json_object *out, const struct hf_creds *c)
{
	struct hf_making_table t = { hf_conf_section_find("module"),
				     hf_node_get(c->m->root, "module") };
	json_object *o = object_in(out, "module");

	hf_making_set_text(o, "keys", hf_making_module_keys(c->m));
	hf_making_set_number(o, "days", hf_making_number(&t, "days"));
	hf_making_set_text(o, "algorithm", hf_making_text(&t, "algorithm"));
	hf_making_set_text(o, "issuer", hf_creds_find(c, "edge-ca") ? "edge-ca" : "");
}

static void add_socket(struct hf_creds *c, json_object *list, const char *name, const char *group,
		       unsigned mode)
{
	const struct hf_paths *paths = c->m->paths;
	json_object *o = json_object_new_object();
	char key[64], path[HF_PATH_MAX + 80];
	const char *wanted;

	(void)snprintf(key, sizeof(key), "%s_socket", name);
	(void)snprintf(path, sizeof(path), "%s/%s.sock", paths->agent_run, name);
	wanted = hf_cred_text(hf_node_get(c->m->root, "certificates"), key);
	if (!wanted && strlen(path) > 103)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, NULL,
			       "%s is too long for a socket (103 bytes); write %s into "
			       "[certificates], or choose a shorter --root",
			       path, key);
	hf_making_set_text(o, "name", name);
	hf_making_set_text(o, "path", wanted ? wanted : path);
	hf_making_set_text(o, "owner", "");
	hf_making_set_text(o, "group", group);
	hf_making_set_number(o, "mode", mode);
	json_object_array_add(list, o);
}

static int64_t uid_of_principal(const struct hf_node *n)
{
	const struct hf_node *uid = hf_node_get(n, "uid");
	const char *user = hf_cred_text(n, "user");
	const struct passwd *pw = user ? getpwnam(user) : NULL;

	return uid ? uid->number : pw ? (int64_t)pw->pw_uid : -1;
}

static json_object *principal(json_object *list, int64_t uid)
{
	json_object *o = json_object_new_object();

	hf_making_set_number(o, "uid", uid);
	json_object_array_add(list, o);
	return o;
}

/* IoT Edge's own daemons, with what its `config apply` gives them. */
static void add_daemons(json_object *list, const struct hf_creds *c, const struct hf_host *host)
{
	json_object *o, *certs;

	if (host->edged_uid > 0 && hf_creds_find(c, "edge-ca")) {
		o = principal(list, host->edged_uid);
		certs = list_in(o, "certs");
		add_text(certs, "aziot-edged-ca");
		add_text(certs, "aziot-edged/module/*");
		add_text(list_in(o, "modules"), "*");
	}
	if (host->identity_uid > 0 && hf_creds_find(c, "device-id")) {
		o = principal(list, host->identity_uid);
		add_text(list_in(o, "certs"), "device-id");
		(void)list_in(o, "modules");
	}
}

static void add_principals(json_object *out, const struct hf_creds *c, const struct hf_host *host)
{
	json_object *list = list_in(out, "principals"), *o;
	const struct hf_node *n;

	add_daemons(list, c, host);
	for (n = hf_making_tables(c->m, "principal"); n; n = n->next) {
		const struct hf_node *certs = hf_node_get(n, "certs");
		const struct hf_node *modules = hf_node_get(n, "modules");
		int64_t uid = uid_of_principal(n);

		if (!certs && !modules)
			continue;
		if (uid < 0) {
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, n,
				       "[[principal]] with %s needs a uid or a user",
				       certs ? "certs" : "modules");
			continue;
		}
		o = principal(list, uid);
		add_texts(o, "certs", certs, NULL);
		add_texts(o, "modules", modules, NULL);
	}
}

static const char *main_socket(const struct hf_creds *c)
{
	const struct hf_node *n;

	for (n = hf_making_tables(c->m, "socket"); n; n = n->next)
		if (!strcmp(hf_cred_text(n, "name"), "main"))
			return hf_cred_text(n, "path");
	return c->m->paths->socket;
}

json_object *hf_agentfile_make(struct hf_creds *c, const struct hf_host *host)
{
	const struct hf_paths *paths = c->m->paths;
	json_object *out = json_object_new_object(), *list;
	size_t i;

	hf_making_set_number(out, "version", 1);
	hf_making_set_text(out, "state_dir", paths->agent_state);
	hf_making_set_text(out, "run_dir", paths->agent_run);
	hf_making_set_text(out, "certs_dir", paths->certs);
	hf_making_set_text(out, "broker_socket", main_socket(c));
	add_device(out, c);
	set_flag(object_in(out, "clock"), "wait_for_ntp", flag(c, "certificates", "wait_for_ntp"));
	add_bundle(out, c);
	add_bundles(out, c);
	add_module(out, c);
	list = list_in(out, "sockets");
	add_socket(c, list, "certd", paths->system ? HF_CERTS_USER : "", 0660);
	add_socket(c, list, "workload", "", 0666);
	add_principals(out, c, host);
	list = list_in(out, "credentials");
	for (i = 0; i < c->n; i++)
		json_object_array_add(list, credential(c, c->list[i]));
	if (!c->m->p->errors)
		return out;
	json_object_put(out);
	return NULL;
}

/* ---------------------------------------------------------------- private keys in files */

static bool key_is_used(const struct hf_creds *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (!strcmp(c->list[i]->key.name, name) || !strcmp(c->list[i]->alias, name))
			return true;
	return false;
}

static void add_file(json_object *list, const char *name, const char *uri, const char *token,
		     bool ca, const char *certificate)
{
	json_object *o;
	char path[HF_PATH_MAX];

	if (!hf_cred_uri_path(uri, path))
		return;
	o = json_object_new_object();
	hf_making_set_text(o, "name", name);
	hf_making_set_text(o, "file", path);
	hf_making_set_text(o, "usage", ca ? "ca" : "sign");
	hf_making_set_text(o, "token", token);
	hf_making_set_text(o, "certificate", certificate);
	json_object_array_add(list, o);
}

json_object *hf_agentfile_keys(struct hf_creds *c)
{
	const struct hf_node *keys = hf_node_get(c->m->root, "preloaded_keys"), *n;
	json_object *list = json_object_new_array();
	size_t i;

	for (i = 0; i < c->n; i++) {
		const struct hf_cred *k = c->list[i];

		add_file(list, k->key.name, k->key.uri, k->key.token, k->key.ca, k->file);
	}
	for (n = keys ? keys->children : NULL; n; n = n->next)
		if (!key_is_used(c, n->key) && hf_value_name(n->key))
			add_file(list, n->key, n->text, "", false, "");
	return list;
}
