/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/settings.h"

#include <stdlib.h>
#include <string.h>

#include "conf/reader.h"

#define YEAR_S 31622400

static const struct hf_row when_rows[] = {
	HF_ROW_OF_NUMBER(struct hf_when, percent, 0, 99),
	HF_ROW_OF_NUMBER(struct hf_when, seconds, 0, 100LL * YEAR_S),
	HF_ROW_END,
};

#define IN(type, field) __typeof__(((type *)0)->field)

typedef IN(struct hf_renew, window) window_t;
static const struct hf_row window_rows[] = {
	HF_ROW_OF_NUMBER(window_t, from_min, -1, 1439),
	HF_ROW_OF_NUMBER(window_t, to_min, -1, 1440),
	HF_ROW_END,
};

static const struct hf_row renew_rows[] = {
	HF_ROW_OF_TRUTH(struct hf_renew, enabled),
	HF_ROW_OF_TRUTH(struct hf_renew, rotate_key),
	HF_ROW_OF_TABLE(struct hf_renew, threshold, when_rows),
	HF_ROW_OF_TABLE(struct hf_renew, retry, when_rows),
	HF_ROW_OF_TABLE(struct hf_renew, window, window_rows),
	HF_ROW_END,
};

typedef IN(struct hf_est_conf, trust) trust_t;
static const struct hf_row trust_rows[] = {
	HF_ROW_OF_TEXT(trust_t, mode, 0),
	HF_ROW_OF_TEXTS(trust_t, files),
	HF_ROW_OF_TEXT(trust_t, sha256, 0),
	HF_ROW_END,
};

static const struct hf_row est_rows[] = {
	HF_ROW_OF_TEXT(struct hf_est_conf, url, 0),
	HF_ROW_OF_TABLE(struct hf_est_conf, trust, trust_rows),
	HF_ROW_OF_TEXT(struct hf_est_conf, username, 0),
	HF_ROW_OF_TEXT(struct hf_est_conf, password, 0),
	HF_ROW_OF_TEXT(struct hf_est_conf, password_file, 0),
	HF_ROW_OF_TEXT(struct hf_est_conf, token_file, 0),
	HF_ROW_OF_TEXT(struct hf_est_conf, identity, 0),
	HF_ROW_OF_TEXT(struct hf_est_conf, bootstrap, 0),
	HF_ROW_OF_TEXT(struct hf_est_conf, client_chain, 0),
	HF_ROW_OF_TEXT(struct hf_est_conf, binding, 0),
	HF_ROW_OF_TEXT(struct hf_est_conf, csrattrs, 0),
	HF_ROW_OF_TEXTS(struct hf_est_conf, tolerate),
	HF_ROW_OF_TRUTH(struct hf_est_conf, follow_redirects),
	HF_ROW_OF_TEXT(struct hf_est_conf, proxy, 0),
	HF_ROW_OF_TEXT(struct hf_est_conf, cacerts_file, 0),
	HF_ROW_END,
};

typedef IN(struct hf_credential_conf, key) key_t_;
static const struct hf_row key_rows[] = {
	HF_ROW_OF_TEXT(key_t_, name, 0),      HF_ROW_OF_TEXT(key_t_, token, 0),
	HF_ROW_OF_TEXT(key_t_, algorithm, 0), HF_ROW_OF_TEXT(key_t_, usage, 1),
	HF_ROW_OF_TEXT(key_t_, uri, 0),	      HF_ROW_END,
};

typedef IN(struct hf_credential_conf, hook) hook_t;
static const struct hf_row hook_rows[] = {
	HF_ROW_OF_TEXTS(hook_t, exec),
	HF_ROW_OF_TEXT(hook_t, user, 0),
	HF_ROW_OF_NUMBER(hook_t, timeout_s, 1, 86400),
	HF_ROW_END,
};

/* [["CN","x"],["O","y"]] */
static enum hf_rc take_subject(void *object, json_object *list, const struct hf_reader *at,
			       struct hf_err *e)
{
	struct hf_credential_conf *c = object;
	size_t i, n = json_object_array_length(list);

	for (i = 0; i < n; i++) {
		json_object *pair = json_object_array_get_idx(list, i);
		size_t j;

		if (!json_object_is_type(pair, json_type_array) ||
		    json_object_array_length(pair) != 2)
			return hf_reader_wrong(at, "subject", "is not a list of pairs", e);
		for (j = 0; j < 2; j++) {
			const char *text =
				json_object_get_string(json_object_array_get_idx(pair, j));

			if (!text || !text[0] || !hf_copy(c->subject[i][j], 256, text))
				return hf_reader_wrong(at, "subject", "has too long a text", e);
		}
	}
	c->n_subject = n;
	return HF_OK;
}

static const struct hf_row credential_rows[] = {
	HF_ROW_OF_TEXT(struct hf_credential_conf, id, 1),
	HF_ROW_OF_TEXTS(struct hf_credential_conf, aliases),
	HF_ROW_OF_TEXT(struct hf_credential_conf, role, 1),
	HF_ROW_OF_TABLE(struct hf_credential_conf, key, key_rows),
	HF_ROW_OF_TEXT(struct hf_credential_conf, file, 2),
	HF_ROW_OF_TEXT(struct hf_credential_conf, reference, 0),
	HF_ROW_OF_TEXT(struct hf_credential_conf, owner, 0),
	HF_ROW_OF_TEXT(struct hf_credential_conf, group, 0),
	HF_ROW_OF_NUMBER(struct hf_credential_conf, mode, 0, 0777),
	HF_ROW_OF_TEXT(struct hf_credential_conf, method, 1),
	HF_ROW_OF_TRUTH(struct hf_credential_conf, quickstart),
	HF_ROW_OF_NUMBER(struct hf_credential_conf, days, 0, 36500),
	HF_ROW_OF_TEXT(struct hf_credential_conf, issuer, 0),
	HF_ROW_OF_TABLES(subject, 16, take_subject),
	HF_ROW_OF_TEXTS(struct hf_credential_conf, sans),
	HF_ROW_OF_TEXTS(struct hf_credential_conf, eku),
	HF_ROW_OF_TRUTH(struct hf_credential_conf, ca),
	HF_ROW_OF_NUMBER(struct hf_credential_conf, pathlen, -1, 16),
	HF_ROW_OF_TABLE(struct hf_credential_conf, est, est_rows),
	HF_ROW_OF_TABLE(struct hf_credential_conf, renew, renew_rows),
	HF_ROW_OF_TABLE(struct hf_credential_conf, hook, hook_rows),
	HF_ROW_END,
};

static const struct hf_row socket_rows[] = {
	HF_ROW_OF_TEXT(struct hf_agent_socket, name, 1),
	HF_ROW_OF_TEXT(struct hf_agent_socket, path, 2),
	HF_ROW_OF_TEXT(struct hf_agent_socket, owner, 0),
	HF_ROW_OF_TEXT(struct hf_agent_socket, group, 0),
	HF_ROW_OF_NUMBER(struct hf_agent_socket, mode, 0, 0777),
	HF_ROW_END,
};

static const struct hf_row grant_rows[] = {
	HF_ROW_OF_NUMBER(struct hf_agent_grant, uid, 0, 4294967293),
	HF_ROW_OF_TEXTS(struct hf_agent_grant, certs),
	HF_ROW_OF_TEXTS(struct hf_agent_grant, modules),
	HF_ROW_END,
};

static enum hf_rc take_sockets(void *object, json_object *list, const struct hf_reader *at,
			       struct hf_err *e)
{
	struct hf_agent_settings *s = object;

	s->n_sockets = json_object_array_length(list);
	return hf_reader_tables(s->sockets, sizeof(s->sockets[0]), socket_rows, list, at, e);
}

static enum hf_rc take_principals(void *object, json_object *list, const struct hf_reader *at,
				  struct hf_err *e)
{
	struct hf_agent_settings *s = object;

	free(s->principals); /* a member that comes twice */
	s->n_principals = json_object_array_length(list);
	s->principals = calloc(s->n_principals + 1, sizeof(s->principals[0]));
	if (!s->principals)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	return hf_reader_tables(s->principals, sizeof(s->principals[0]), grant_rows, list, at, e);
}

static const struct hf_row list_rows[] = {
	HF_ROW_OF_TEXT(struct hf_agent_bundle, id, 1),
	HF_ROW_OF_TEXTS(struct hf_agent_bundle, of),
	HF_ROW_END,
};

static enum hf_rc take_bundles(void *object, json_object *list, const struct hf_reader *at,
			       struct hf_err *e)
{
	struct hf_agent_settings *s = object;

	free(s->bundles);
	s->n_bundles = json_object_array_length(list);
	s->bundles = calloc(s->n_bundles + 1, sizeof(s->bundles[0]));
	if (!s->bundles)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	return hf_reader_tables(s->bundles, sizeof(s->bundles[0]), list_rows, list, at, e);
}

/* What the other daemons of the file are to rely on: no id twice, and issuers that exist. */
static enum hf_rc check_credentials(const struct hf_agent_settings *s, const struct hf_reader *at,
				    struct hf_err *e)
{
	struct hf_reader here = *at;

	for (here.index = 0; here.index < s->n_credentials; here.index++) {
		const struct hf_credential_conf *c = &s->credentials[here.index];

		if (hf_agent_settings_find(s, c->id) != c)
			return hf_reader_wrong(&here, "id", "is there twice", e);
		if (c->issuer[0] && !hf_agent_settings_find(s, c->issuer))
			return hf_reader_wrong(&here, "issuer", "is no credential", e);
		if (c->file[0] != '/' || (c->reference[0] && c->reference[0] != '/'))
			return hf_reader_wrong(&here, "file", "is not an absolute path", e);
	}
	return HF_OK;
}

static enum hf_rc take_credentials(void *object, json_object *list, const struct hf_reader *at,
				   struct hf_err *e)
{
	struct hf_agent_settings *s = object;
	enum hf_rc rc;

	free(s->credentials);
	s->n_credentials = json_object_array_length(list);
	s->credentials = calloc(s->n_credentials + 1, sizeof(s->credentials[0]));
	if (!s->credentials)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	rc = hf_reader_tables(s->credentials, sizeof(s->credentials[0]), credential_rows, list, at,
			      e);
	return rc ? rc : check_credentials(s, at, e);
}

typedef IN(struct hf_agent_settings, device) device_t;
static const struct hf_row device_rows[] = {
	HF_ROW_OF_TEXT(device_t, device_id, 0),
	HF_ROW_OF_TEXT(device_t, registration_id, 0),
	HF_ROW_OF_TEXT(device_t, hostname, 0),
	HF_ROW_OF_TEXT(device_t, hub, 0),
	HF_ROW_END,
};
typedef IN(struct hf_agent_settings, clock) clock_t_;
static const struct hf_row clock_rows[] = {
	HF_ROW_OF_TRUTH(clock_t_, wait_for_ntp),
	HF_ROW_END,
};
typedef IN(struct hf_agent_settings, bundle) bundle_t;
static const struct hf_row bundle_rows[] = {
	HF_ROW_OF_TEXT(bundle_t, user_file, 0),
	HF_ROW_OF_TEXT(bundle_t, file, 0),
	HF_ROW_OF_TRUTH(bundle_t, system_store),
	HF_ROW_END,
};
typedef IN(struct hf_agent_settings, module) module_t;
static const struct hf_row module_rows[] = {
	HF_ROW_OF_TEXT(module_t, keys, 1),
	HF_ROW_OF_NUMBER(module_t, days, 1, 36500),
	HF_ROW_OF_TEXT(module_t, algorithm, 1),
	HF_ROW_OF_TEXT(module_t, issuer, 0),
	HF_ROW_END,
};

static const struct hf_row agent_rows[] = {
	HF_ROW_OF_NUMBER(struct hf_agent_settings, version, 1, 1),
	HF_ROW_OF_TEXT(struct hf_agent_settings, state_dir, 2),
	HF_ROW_OF_TEXT(struct hf_agent_settings, run_dir, 2),
	HF_ROW_OF_TEXT(struct hf_agent_settings, certs_dir, 2),
	HF_ROW_OF_TEXT(struct hf_agent_settings, broker_socket, 2),
	HF_ROW_OF_TABLE(struct hf_agent_settings, device, device_rows),
	HF_ROW_OF_TABLE(struct hf_agent_settings, clock, clock_rows),
	HF_ROW_OF_TABLE(struct hf_agent_settings, bundle, bundle_rows),
	HF_ROW_OF_TABLES(bundles, HF_CREDENTIALS_MAX, take_bundles),
	HF_ROW_OF_TABLE(struct hf_agent_settings, module, module_rows),
	HF_ROW_OF_TABLES(sockets, 8, take_sockets),
	HF_ROW_OF_TABLES(principals, HF_AGENT_GRANTS_MAX, take_principals),
	HF_ROW_OF_TABLES(credentials, HF_CREDENTIALS_MAX, take_credentials),
	HF_ROW_END,
};

struct hf_agent_settings *hf_agent_settings_parse(const char *text, size_t n, const char *where,
						  struct hf_err *e)
{
	struct hf_agent_settings *s = calloc(1, sizeof(*s));
	json_object *root = NULL;
	enum hf_rc rc = s ? HF_OK : hf_fail(e, HF_NO_MEMORY, "out of memory");

	if (!rc)
		rc = hf_reader_parse(text, n, where, &root, e);
	if (!rc)
		rc = hf_reader_table(s, agent_rows, root, &(struct hf_reader){ where, NULL, 0 }, e);
	json_object_put(root);
	if (!rc)
		return s;
	hf_agent_settings_free(s);
	return NULL;
}

struct hf_agent_settings *hf_agent_settings_load(const char *path, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(4u << 20);

	if (hf_file_read(path, false, &file, e)) {
		(void)hf_within(e,
				"the agent's configuration, which 'holdfast config apply' makes");
		return NULL;
	}
	return hf_agent_settings_parse((const char *)file.p, file.n, path, e);
}

void hf_agent_settings_free(struct hf_agent_settings *s)
{
	size_t i;

	for (i = 0; s && i < s->n_credentials && s->credentials; i++)
		explicit_bzero(s->credentials[i].est.password,
			       sizeof(s->credentials[i].est.password));
	if (s) {
		free(s->credentials);
		free(s->principals);
		free(s->bundles);
	}
	free(s);
}

const struct hf_credential_conf *hf_agent_settings_find(const struct hf_agent_settings *s,
							const char *id)
{
	size_t i, j;

	for (i = 0; i < s->n_credentials; i++) {
		const struct hf_credential_conf *c = &s->credentials[i];

		if (!strcmp(c->id, id))
			return c;
		for (j = 0; j < c->n_aliases; j++)
			if (!strcmp(c->aliases[j], id))
				return c;
	}
	return NULL;
}
