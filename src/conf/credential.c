/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/credential.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/credmake.h"
#include "conf/value.h"

static int64_t uid_of(const char *user)
{
	const struct passwd *pw = getpwnam(user);

	return pw ? (int64_t)pw->pw_uid : -1;
}

void hf_host_find(struct hf_host *h, const struct hf_paths *paths)
{
	memset(h, 0, sizeof(*h));
	if (gethostname(h->name, sizeof(h->name) - 1))
		h->name[0] = '\0';
	h->certs_uid = paths->system ? uid_of(HF_CERTS_USER) : (int64_t)geteuid();
	h->edged_uid = paths->system ? uid_of("iotedge") : -1;
	h->identity_uid = paths->system ? uid_of("aziotid") : -1;
}

struct hf_cred *hf_creds_find(const struct hf_creds *c, const char *id)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (!strcmp(c->list[i]->id, id) || !strcmp(c->list[i]->alias, id))
			return c->list[i];
	return NULL;
}

static void defaults(struct hf_creds *c, struct hf_cred *k)
{
	const char *dir = c->m->paths->certs;

	k->key.token = k->key.uri = k->key.algorithm = "";
	(void)hf_copy(k->key.name, sizeof(k->key.name), k->id);
	(void)snprintf(k->file, sizeof(k->file), "%s/%s.pem", dir, k->id);
	(void)snprintf(k->reference, sizeof(k->reference), "%s/%s.key.pem", dir, k->id);
	k->owner = k->group = c->m->paths->system ? HF_CERTS_USER : "";
	k->mode = 0644;
	k->pathlen = -1;
	k->est.url = k->est.fingerprint = k->est.username = k->est.password = "";
	k->est.password_file = k->est.token_file = k->est.proxy = k->est.cacerts_file = "";
	k->est.client_chain = "full";
	k->est.binding = k->est.csrattrs = "auto";
	hf_cred_renewal(c, k, NULL, false);
}

struct hf_cred *hf_cred_add(struct hf_creds *c, const char *id, const char *role,
			    const struct hf_node *at)
{
	const struct hf_cred *other = hf_creds_find(c, id);
	struct hf_cred *k;

	if (other || !hf_value_name(id) || strlen(id) >= HF_CRED_ID_MAX || c->n == HF_CREDS_MAX) {
		if (other)
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, at,
				       "there is a certificate \"%s\" already%s%s; choose another "
				       "id",
				       id, other->at ? ", asked for in " : "",
				       other->at && other->at->file ? other->at->file : "");
		else if (c->n == HF_CREDS_MAX)
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, at, "more than %d certificates",
				       HF_CREDS_MAX);
		else
			hf_problem_add(c->m->p, HF_PROBLEM_ERROR, at,
				       "\"%.80s\" cannot be the id of a certificate: write at most "
				       "63 letters, digits and . _ -",
				       id);
		return NULL;
	}
	k = calloc(1, sizeof(*k));
	if (!k) {
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, NULL, "out of memory");
		return NULL;
	}
	(void)hf_copy(k->id, sizeof(k->id), id);
	k->role = role;
	k->at = at;
	defaults(c, k);
	c->list[c->n++] = k;
	return k;
}

/* ---------------------------------------------------------------- the tree */

const char *hf_cred_text(const struct hf_node *table, const char *key)
{
	const struct hf_node *n = hf_node_get(table, key);

	return n && n->kind == HF_NODE_STRING ? n->text : NULL;
}

const char *hf_cred_word(const struct hf_node *table, const char *section, const char *key)
{
	struct hf_making_table t = { hf_conf_section_find(section), table };

	return hf_making_text(&t, key);
}

const struct hf_node *hf_cred_table(const struct hf_creds *c, const char *path)
{
	const struct hf_node *n = c->m->root;
	char part[64];

	while (n && *path) {
		size_t len = strcspn(path, ".");

		(void)snprintf(part, sizeof(part), "%.*s", (int)len, path);
		n = hf_node_get(n, part);
		path += len + (path[len] == '.');
	}
	return n && n->kind == HF_NODE_TABLE ? n : NULL;
}

/* What is wrong with it, as the end of a sentence; NULL: nothing. */
static const char *decode(const char *uri, char out[HF_PATH_MAX])
{
	const char *p = uri + strlen("file://");
	size_t used = 0;
	uint8_t byte;
	char hex[3];

	for (out[0] = '\0'; *p; p++) {
		byte = (uint8_t)*p;
		if (*p == '%') {
			(void)snprintf(hex, sizeof(hex), "%.2s", p + 1);
			if (!hf_unhex(&byte, 1, hex) || !byte)
				return "has a % that is not followed by two hex digits (write %25)";
			p += 2;
		}
		if (used == HF_PATH_MAX - 1)
			return "is too long for a path";
		out[used++] = (char)byte;
		out[used] = '\0';
	}
	return NULL;
}

bool hf_cred_uri_path(const char *uri, char out[HF_PATH_MAX])
{
	return !strncmp(uri, "file:///", 8) && !decode(uri, out);
}

bool hf_cred_path(struct hf_creds *c, const struct hf_node *n, char out[HF_PATH_MAX])
{
	const char *what = decode(n->text, out);

	if (what)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, n, "%s %s", n->key ? n->key : "the URI",
			       what);
	return !what;
}

/* ---------------------------------------------------------------- the subject */

/* @n characters of UTF-8. */
static size_t prefix(const char *text, size_t n)
{
	size_t i = 0;

	while (text[i] && n--) {
		i++;
		while (((unsigned char)text[i] & 0xc0) == 0x80)
			i++;
	}
	return i;
}

const char *hf_cred_cn(const struct hf_cred *k)
{
	size_t i;

	for (i = 0; i < k->n_subject; i++)
		if (!strcmp(k->subject[i].type, "CN"))
			return k->subject[i].value;
	return NULL;
}

bool hf_cred_set_cn(struct hf_cred *k, const char *cn)
{
	size_t n = prefix(cn, HF_CRED_CN_MAX), i;
	bool whole = !cn[n];

	if (n >= sizeof(k->cn)) /* not UTF-8 */
		n = sizeof(k->cn) - 1;
	memmove(k->cn, cn, n);
	k->cn[n] = '\0';
	for (i = 0; i < k->n_subject && strcmp(k->subject[i].type, "CN"); i++)
		;
	if (i == k->n_subject) { /* in front, as in the sorted list that it will be */
		if (i == HF_CRED_SUBJECT_MAX)
			i--;
		else
			k->n_subject++;
		memmove(k->subject + 1, k->subject, i * sizeof(k->subject[0]));
		i = 0;
		k->subject[i].type = "CN";
	}
	k->subject[i].value = k->cn;
	return whole;
}

static void cut_cn(struct hf_creds *c, struct hf_cred *k, const struct hf_node *at)
{
	const char *cn = hf_cred_cn(k);

	if (cn && !hf_cred_set_cn(k, cn))
		hf_problem_add(c->m->p, HF_PROBLEM_WARNING, at,
			       "the common name of %s has more than %d characters, which no "
			       "certificate may have; it becomes \"%s\"",
			       k->id, HF_CRED_CN_MAX, k->cn);
}

static bool add_attribute(struct hf_creds *c, struct hf_cred *k, const struct hf_node *at,
			  const char *type, const char *value)
{
	if (k->n_subject == HF_CRED_SUBJECT_MAX) {
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, at,
			       "the subject of %s has more than %d attributes", k->id,
			       HF_CRED_SUBJECT_MAX);
		return false;
	}
	k->subject[k->n_subject].type = type;
	k->subject[k->n_subject++].value = value;
	return true;
}

/* Up to @end or the end, in place, with every \x as x; @rest is what comes behind. */
static char *cut(char *p, char end, char **rest)
{
	char *from = p, *to = p;

	while (*from && *from != end) {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from++;
	}
	*rest = *from ? from + 1 : NULL;
	*to = '\0';
	return p;
}

/* "C=DE,O=Example\, Inc,CN=x": in the order of the certificate. */
static void subject_of_text(struct hf_creds *c, struct hf_cred *k, const struct hf_node *n)
{
	char *p = k->subject_text, *type, *value;

	if (!hf_copy(k->subject_text, sizeof(k->subject_text), n->text))
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, n, "the subject of %s is too long",
			       k->id);
	while (p && *p) {
		p += strspn(p, " ");
		type = cut(p, '=', &value);
		if (!value || strchr(type, ',')) {
			hf_problem_add(
				c->m->p, HF_PROBLEM_ERROR, n,
				"the subject of %s is not right; write \"O=Example,CN=NAME\", "
				"or a table such as { CN = \"NAME\" }",
				k->id);
			return;
		}
		(void)cut(value, ',', &p);
		if (!add_attribute(c, k, n, type, value))
			return;
	}
}

void hf_cred_subject(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table)
{
	const struct hf_node *cn = hf_node_get(table, "common_name"), *n;
	const struct hf_node *subject = hf_node_get(table, "subject");

	if (cn && subject)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, cn,
			       "%s has both common_name and subject; write CN into the subject",
			       k->id);
	if (cn)
		(void)add_attribute(c, k, cn, "CN", cn->text);
	if (subject && subject->kind == HF_NODE_STRING)
		subject_of_text(c, k, subject);
	/* Sorted by toml++, which is the order of the original as well. */
	for (n = subject ? subject->children : NULL; n; n = n->next)
		if (!add_attribute(c, k, n, n->key, n->text))
			break;
	cut_cn(c, k, cn ? cn : subject);
}

/* ---------------------------------------------------------------- renewal */

static void when(const char *text, struct hf_cred_when *out)
{
	(void)hf_value_renewal(text, &out->percent, &out->seconds);
}

void hf_cred_renewal(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table,
		     bool enabled)
{
	const struct hf_node *yes = hf_node_get(table, "enabled");
	const struct hf_node *rotate = hf_node_get(table, "rotate_key");
	const char *window = hf_cred_text(table, "window");
	const char *threshold = hf_cred_text(table, "threshold");
	const char *retry = hf_cred_text(table, "retry");

	if (!window)
		window = hf_cred_text(hf_node_get(c->m->root, "certificates"), "renew_window");
	k->renew.at = table;
	k->renew.enabled = yes ? yes->number != 0 : enabled;
	k->renew.rotate_key = rotate ? rotate->number != 0 : true;
	when(threshold ? threshold : "80%", &k->renew.threshold);
	when(retry ? retry : "4%", &k->renew.retry);
	k->renew.from_min = k->renew.to_min = -1;
	if (window)
		(void)hf_value_window(window, &k->renew.from_min, &k->renew.to_min);
}

/* ---------------------------------------------------------------- one of a table */

void hf_cred_key(struct hf_cred *k, const struct hf_node *pk)
{
	if (!pk)
		return;
	if (!strncmp(pk->text, "holdfast:", 9) && hf_value_name(pk->text + 9))
		(void)hf_copy(k->key.name, sizeof(k->key.name), pk->text + 9);
	else if (hf_value_name(pk->text))
		(void)hf_copy(k->key.name, sizeof(k->key.name), pk->text);
	if (strchr(pk->text, ':'))
		k->key.uri = pk->text;
}

void hf_cred_files(struct hf_creds *c, struct hf_cred *k, const struct hf_node *cert,
		   const struct hf_node *pk)
{
	k->method = HF_CRED_FILES;
	(void)hf_cred_path(c, cert, k->file);
	if (pk)
		hf_cred_key(k, pk);
	else
		k->key.name[0] = k->reference[0] = '\0';
}

static enum hf_cred_method method_of(const char *word)
{
	return !strcmp(word, "est")	   ? HF_CRED_EST
	       : !strcmp(word, "local_ca") ? HF_CRED_LOCAL_CA
					   : HF_CRED_SELF_SIGNED;
}

void hf_cred_issued(struct hf_creds *c, struct hf_cred *k, const struct hf_node *table)
{
	const struct hf_node *days = hf_node_get(table, "expiry_days");
	const char *method = hf_cred_text(table, "method");
	const char *algorithm = hf_cred_text(table, "algorithm");
	const char *token = hf_cred_text(table, "token");

	if (!method)
		hf_problem_add(c->m->p, HF_PROBLEM_ERROR, table,
			       "%s says not who issues it; write method = \"est\", \"local_ca\" or "
			       "\"self_signed\"",
			       k->id);
	k->method = method_of(method ? method : "self_signed");
	k->days = k->method == HF_CRED_EST ? 0 : days ? days->number : 30; /* as certd has it */
	if (days && k->method == HF_CRED_EST)
		hf_problem_add(c->m->p, HF_PROBLEM_NOTE, days,
			       "expiry_days of %s counts for nothing: how long a certificate is "
			       "valid is the EST server's business",
			       k->id);
	if (k->method == HF_CRED_LOCAL_CA)
		(void)hf_copy(k->issuer, sizeof(k->issuer), "local-ca");
	if (algorithm)
		k->key.algorithm = algorithm;
	if (token)
		k->key.token = token;
	k->hook = hf_node_get(table, "hook");
	hf_cred_subject(c, k, table);
}

/* ---------------------------------------------------------------- all of them */

static void from_connection_string(struct hf_creds *c, const char *text)
{
	static const char *const names[] = { "DeviceId=", "HostName=" };
	char *to[] = { c->device.id, c->device.hub };
	size_t i, len;

	for (; *text; text += len + (text[len] == ';')) {
		len = strcspn(text, ";");
		for (i = 0; i < HF_COUNT(names); i++) {
			size_t n = strlen(names[i]);

			if (len > n && !strncmp(text, names[i], n))
				(void)snprintf(to[i], sizeof(c->device.id), "%.*s", (int)(len - n),
					       text + n);
		}
	}
}

static void find_device(struct hf_creds *c, const struct hf_host *host)
{
	const struct hf_node *p = hf_cred_table(c, "provisioning");
	const struct hf_node *dps = hf_cred_table(c, "provisioning.attestation");
	const char *hostname = hf_cred_text(c->m->root, "hostname");
	const char *id = hf_cred_text(p, "device_id"), *hub = hf_cred_text(p, "iothub_hostname");
	const char *registration = hf_cred_text(dps, "registration_id");

	(void)hf_copy(c->device.hostname, sizeof(c->device.hostname),
		      hostname ? hostname : host->name);
	if (hf_cred_text(p, "connection_string"))
		from_connection_string(c, hf_cred_text(p, "connection_string"));
	if (id)
		(void)hf_copy(c->device.id, sizeof(c->device.id), id);
	if (hub)
		(void)hf_copy(c->device.hub, sizeof(c->device.hub), hub);
	if (registration)
		(void)hf_copy(c->device.registration, sizeof(c->device.registration), registration);
}

void hf_creds_make(struct hf_creds *c, const struct hf_making *m, const struct hf_host *host)
{
	memset(c, 0, sizeof(*c));
	c->m = m;
	find_device(c, host);
	hf_creds_local_ca(c);
	hf_creds_device(c);
	hf_creds_edge_ca(c);
	hf_creds_preloaded(c);
	hf_creds_own(c);
	hf_creds_check(c);
}

void hf_creds_finish(struct hf_creds *c)
{
	while (c->n)
		free(c->list[--c->n]);
}
