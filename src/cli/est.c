/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast est: a job for holdfast-est from the command line, and files from its result. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/est.h"
#include "cli/output.h"
#include "conf/value.h"

#define PEM_MAX	   (512u * 1024)
#define SECRET_MAX 4096u

/* clang-format off */
#define SERVER_OPTIONS                                                                             \
	{ "server", "URL", "https://HOST[:PORT][/.well-known/est[/LABEL]]" },                      \
	{ "trust", "FILE", "the CA certificates that the server has to lead to" },                 \
	{ "fingerprint", "HEX", "SHA-256 of its CA certificate, instead of --trust" },             \
	{ "system-trust", NULL, "trust the system's CA certificates, instead of --trust" },        \
	{ "anchors", "FILE", "the CA certificates that were accepted earlier" },                   \
	{ "user", "NAME", "user, for HTTP Basic or Digest" },                                      \
	{ "password-file", "FILE", "its password, the first line of FILE" },                       \
	{ "token-file", "FILE", "bearer token, the first line of FILE" },                          \
	{ "cert", "FILE", "client certificate for TLS, with its chain" },                          \
	{ "cert-key", "ID", "its key (else that of --key)" },                                      \
	{ "client-chain", "KIND", "what of --cert is sent: full (default), leaf" },                \
	{ "proxy", "URL", "http://HOST:PORT; without it none is used" },                           \
	{ "follow-redirects", NULL, "send a request again where the same server says" },           \
	{ "timeout", "TIME", "for everything together: 60s (default), 500ms, 2min" }

#define REQUEST_OPTIONS                                                                            \
	{ "key", "ID", "the key to be certified" },                                                \
	{ "eku", "LIST", "extended key usages: serverAuth,clientAuth" },                           \
	{ "ca", NULL, "ask for a CA certificate" },                                                \
	{ "pathlen", "N", "with --ca: its path length" },                                          \
	{ "tolerate", "LIST", "what the CA may change: subject,san,eku" },                         \
	{ "binding", "KIND", "auto (default), tls-unique, tls-exporter, none" },                   \
	{ "ignore-csrattrs", NULL, "do not ask the server for its wishes" },                       \
	{ "cacerts-out", "FILE", "write the CA certificates to trust from now on to FILE" }

const struct hf_option hf_est_ask_options[] = {
	SERVER_OPTIONS,
	{ "out", "FILE", "write to FILE instead of standard output" },
	{ NULL, NULL, NULL },
};
const struct hf_option hf_est_enroll_options[] = {
	SERVER_OPTIONS,
	{ "subject", "DN", "subject: CN=device-1,O=Example" },
	{ "san", "NAME...", "host name, address or URI; may be given again" },
	REQUEST_OPTIONS,
	{ "out", "FILE", "write the certificate and its chain to FILE" },
	{ NULL, NULL, NULL },
};
const struct hf_option hf_est_reenroll_options[] = {
	SERVER_OPTIONS,
	{ "replace", "FILE", "the certificate to be replaced (else that of --cert)" },
	REQUEST_OPTIONS,
	{ "out", "FILE", "write the certificate and its chain to FILE" },
	{ NULL, NULL, NULL },
};
/* clang-format on */

/* ---------------------------------------------------------------- the job */

static json_object *child(json_object *o, const char *name)
{
	json_object *found = NULL;

	if (!json_object_object_get_ex(o, name, &found)) {
		found = json_object_new_object();
		json_object_object_add(o, name, found);
	}
	return found;
}

/* A file of certificates as text. Absent option: nothing. */
static enum hf_rc add_file(const struct hf_cli *c, const char *option, json_object *o,
			   const char *name, struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(PEM_MAX);
	const char *path = hf_cli_option(c, option);

	if (!path)
		return HF_OK;
	if (hf_file_read(path, false, &text, e))
		return hf_within(e, "--%s", option);
	if (!text.n || strlen((char *)text.p) != text.n || !strstr((char *)text.p, "-----BEGIN"))
		return hf_fail(e, HF_ARGUMENT, "--%s %s: that is no PEM file of certificates",
			       option, path);
	hf_out_text(o, name, (char *)text.p);
	return HF_OK;
}

/* The first line of a file that not everybody may read. */
static enum hf_rc add_secret(const struct hf_cli *c, const char *option, json_object *o,
			     const char *name, struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(SECRET_MAX);
	const char *path = hf_cli_option(c, option);
	struct stat st;

	if (!path)
		return HF_OK;
	if (hf_file_read(path, false, &text, e))
		return hf_within(e, "--%s", option);
	if (!stat(path, &st) && S_ISREG(st.st_mode) && (st.st_mode & 07))
		return hf_fail(
			e, HF_DENIED,
			"--%s: everybody may read or change %s; say 'chmod o= %s' first, and "
			"think of a new password",
			option, path, path);
	if (!text.n)
		return hf_fail(e, HF_ARGUMENT, "--%s: %s is empty", option, path);
	text.p[strcspn((char *)text.p, "\r\n")] = '\0';
	hf_out_text(o, name, (char *)text.p);
	return HF_OK;
}

/* What people write for a key, as URI; with the certificate that says which generation. */
static enum hf_rc key_uri(const char *id, const char *cert, char *out, size_t size,
			  struct hf_err *e)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-~";
	char *absolute;
	size_t n;

	id += strncmp(id, "holdfast:", 9) ? 0 : 9;
	n = (size_t)snprintf(out, size, "holdfast:%s", id);
	if (n >= size)
		return hf_fail(e, HF_ARGUMENT, "'%.60s...' is no key", id);
	if (!cert || !strncmp(id, "sha256:", 7) || strchr(id, '?'))
		return HF_OK;
	absolute = realpath(cert, NULL);
	if (!absolute)
		return hf_fail_errno(e, HF_IO, "--cert %s", cert);
	n += (size_t)snprintf(out + n, size - n, "?cert=");
	for (const char *p = absolute; *p && n + 4 < size; p++)
		n += (size_t)snprintf(out + n, size - n, strchr(plain, *p) ? "%c" : "%%%02X",
				      (unsigned char)*p);
	free(absolute);
	return HF_OK;
}

static enum hf_rc add_trust(const struct hf_cli *c, json_object *job, struct hf_err *e)
{
	const char *fingerprint = hf_cli_option(c, "fingerprint");
	bool file = hf_cli_option(c, "trust"), system = hf_cli_option(c, "system-trust");
	json_object *trust = child(job, "trust");

	if (file + system + !!fingerprint != 1)
		return hf_fail(
			e, HF_ARGUMENT,
			"give one of --trust FILE, --fingerprint HEX and --system-trust: how "
			"is the server known?");
	hf_out_text(trust, "mode", file ? "pinned" : system ? "system" : "fingerprint");
	if (fingerprint)
		hf_out_text(trust, "sha256", fingerprint);
	if (add_file(c, "trust", trust, "pem", e))
		return e->rc;
	return add_file(c, "anchors", trust, "anchors_pem", e);
}

static enum hf_rc add_auth(const struct hf_cli *c, json_object *job, struct hf_err *e)
{
	const char *user = hf_cli_option(c, "user"), *cert = hf_cli_option(c, "cert");
	const char *id = hf_cli_option(c, "cert-key");
	json_object *auth = child(job, "auth");
	char uri[4 * HF_PATH_MAX];

	if (!user != !hf_cli_option(c, "password-file"))
		return hf_fail(e, HF_ARGUMENT, "--user and --password-file go together");
	if (user)
		hf_out_text(child(auth, "basic"), "username", user);
	if (user && add_secret(c, "password-file", child(auth, "basic"), "password", e))
		return e->rc;
	if (add_secret(c, "token-file", auth, "bearer", e))
		return e->rc;
	id = id ? id : hf_cli_option(c, "key");
	if (!cert && hf_cli_option(c, "cert-key"))
		return hf_fail(e, HF_ARGUMENT, "--cert-key is the key of --cert, which is missing");
	if (!cert)
		return HF_OK;
	if (!id)
		return hf_fail(e, HF_ARGUMENT, "--cert needs its key: --cert-key ID");
	if (key_uri(id, cert, uri, sizeof(uri), e) ||
	    add_file(c, "cert", child(auth, "tls"), "cert_pem", e))
		return e->rc;
	hf_out_text(child(auth, "tls"), "key", uri);
	return HF_OK;
}

static void add_words(const struct hf_cli *c, const char *option, json_object *job,
		      const char *name)
{
	const char *list = hf_cli_option(c, option);
	json_object *array = json_object_new_array();

	json_object_object_add(job, name, array);
	while (list && *list) {
		size_t n = strcspn(list, ",");

		if (n)
			json_object_array_add(array, json_object_new_string_len(list, (int)n));
		list += n + (list[n] == ',');
	}
}

void hf_est_add_sans(const struct hf_cli *c, json_object *job)
{
	static const char *const types[] = { "DNS:", "IP:", "URI:", "email:" };
	json_object *array = json_object_new_array();
	uint8_t address[16];
	unsigned i;
	size_t j;

	json_object_object_add(job, "sans", array);
	for (i = 0; i < c->n_options; i++) {
		const char *name = c->options[i].value, *type = "DNS:";
		char text[1024];

		if (strcmp(c->options[i].name, "san"))
			continue;
		for (j = 0; j < HF_COUNT(types); j++)
			if (!strncasecmp(name, types[j], strlen(types[j]))) {
				type = types[j];
				name += strlen(type);
				break;
			}
		if (j < HF_COUNT(types))
			; /* said */
		else if (inet_pton(AF_INET, name, address) == 1 ||
			 inet_pton(AF_INET6, name, address) == 1)
			type = "IP:";
		else if (strstr(name, "://") || !strncasecmp(name, "urn:", 4))
			type = "URI:";
		else if (strchr(name, '@'))
			type = "email:";
		(void)snprintf(text, sizeof(text), "%s%s", type, name);
		json_object_array_add(array, json_object_new_string(text));
	}
}

static enum hf_rc add_request(const struct hf_cli *c, json_object *job, struct hf_err *e)
{
	const char *id = hf_cli_option(c, "key"), *pathlen = hf_cli_option(c, "pathlen");
	const char *subject = hf_cli_option(c, "subject"), *binding = hf_cli_option(c, "binding");
	char uri[4 * HF_PATH_MAX];

	if (!id)
		return hf_fail(e, HF_ARGUMENT,
			       "--key ID is missing: which key is to be certified? ('holdfast key "
			       "create ID' makes one)");
	if (key_uri(id, NULL, uri, sizeof(uri), e))
		return e->rc;
	hf_out_text(job, "key", uri);
	if (subject)
		hf_out_text(job, "subject", subject);
	if (!strcmp(c->command->verb, "enroll"))
		hf_est_add_sans(c, job);
	add_words(c, "eku", job, "eku");
	add_words(c, "tolerate", job, "tolerate");
	json_object_object_add(job, "ca", json_object_new_boolean(hf_cli_option(c, "ca") != NULL));
	if (pathlen && (strspn(pathlen, "0123456789") != strlen(pathlen) || !*pathlen ||
			strlen(pathlen) > 2 || !hf_cli_option(c, "ca")))
		return hf_fail(e, HF_ARGUMENT, "--pathlen takes a number, and --ca with it");
	if (pathlen)
		json_object_object_add(job, "pathlen", json_object_new_int(atoi(pathlen)));
	if (binding)
		hf_out_text(job, "binding", binding);
	if (hf_cli_option(c, "ignore-csrattrs"))
		hf_out_text(job, "csrattrs", "ignore");
	if (strcmp(c->command->verb, "reenroll"))
		return HF_OK;
	if (!hf_cli_option(c, "replace") && !hf_cli_option(c, "cert"))
		return hf_fail(e, HF_ARGUMENT,
			       "--replace FILE is missing: which certificate is to be replaced?");
	return add_file(c, hf_cli_option(c, "replace") ? "replace" : "cert", job, "replace_pem", e);
}

static enum hf_rc make_job(const struct hf_cli *c, json_object *job, struct hf_err *e)
{
	const char *server = hf_cli_option(c, "server"), *timeout = hf_cli_option(c, "timeout");
	const char *chain = hf_cli_option(c, "client-chain"), *proxy = hf_cli_option(c, "proxy");
	uint64_t ms = 60000;

	if (!server)
		return hf_fail(e, HF_ARGUMENT, "--server URL is missing: which EST server?");
	if (timeout && (!hf_value_duration(timeout, &ms) || !ms || ms > 600000))
		return hf_fail(e, HF_ARGUMENT,
			       "--timeout takes a time of at most 10min, such as 60s or 500ms");
	json_object_object_add(job, "version", json_object_new_int(1));
	hf_out_text(job, "op", c->command->verb);
	hf_out_text(job, "url", server);
	if (chain)
		hf_out_text(job, "client_chain", chain);
	if (proxy)
		hf_out_text(job, "proxy", proxy);
	hf_out_number(job, "timeout_ms", ms);
	if (ms < 10000)
		hf_out_number(job, "connect_timeout_ms", ms);
	json_object_object_add(
		job, "follow_redirects",
		json_object_new_boolean(hf_cli_option(c, "follow-redirects") != NULL));
	if (add_trust(c, job, e) || add_auth(c, job, e))
		return e->rc;
	if (c->command->options == hf_est_ask_options)
		return HF_OK;
	return add_request(c, job, e);
}

/* ---------------------------------------------------------------- the result */

static enum hf_rc rc_of(const char *status)
{
	static const struct {
		const char *status;
		enum hf_rc rc;
	} rows[] = {
		{ "ok", HF_OK },
		{ "pending", HF_UNAVAILABLE },
		{ "busy", HF_BUSY },
		{ "network", HF_UNAVAILABLE },
		{ "auth", HF_DENIED },
		{ "server", HF_UNAVAILABLE },
		{ "key", HF_UNAVAILABLE },
		{ "job", HF_ARGUMENT },
		{ "protocol", HF_PROTOCOL },
	};
	size_t i;

	for (i = 0; i < HF_COUNT(rows); i++)
		if (!strcmp(rows[i].status, status))
			return rows[i].rc;
	return HF_FAILED; /* tls, refused, answer, internal */
}

/* The job with its secrets has gone; json-c does not wipe what it frees. */
static void wipe(json_object *job)
{
	json_object *auth = NULL, *basic = NULL, *v = NULL;

	if (!json_object_object_get_ex(job, "auth", &auth))
		return;
	if (json_object_object_get_ex(auth, "bearer", &v))
		explicit_bzero((char *)(uintptr_t)json_object_get_string(v),
			       (size_t)json_object_get_string_len(v));
	if (json_object_object_get_ex(auth, "basic", &basic) &&
	    json_object_object_get_ex(basic, "password", &v))
		explicit_bzero((char *)(uintptr_t)json_object_get_string(v),
			       (size_t)json_object_get_string_len(v));
}

static enum hf_rc run(struct hf_cli *c, struct hf_err *e)
{
	json_object *job = json_object_new_object(), *result = NULL;
	enum hf_rc rc = make_job(c, job, e);

	if (!rc)
		rc = hf_est_spawn(c, job, &result, e);
	wipe(job);
	json_object_put(job);
	if (rc)
		return rc;
	json_object_object_del(result, "version");
	json_object_put(c->result);
	c->result = result;
	rc = rc_of(hf_out_get(result, "status"));
	return rc ? hf_fail(e, rc, "%s", hf_out_get(result, "message")) : HF_OK;
}

/* PEM to the file of an option, or to standard output; the text says where it is. */
static enum hf_rc write_pem(struct hf_cli *c, const char *option, const char *member,
			    struct hf_err *e)
{
	const char *path = hf_cli_option(c, option), *pem = hf_out_get(c->result, member);

	if (!path)
		return HF_OK;
	if (hf_out_file(path, pem, strlen(pem), e))
		return hf_within(e, "--%s", option);
	hf_out_text(c->result, option[0] == 'o' ? "out" : "cacerts_out", path);
	return HF_OK;
}

enum hf_rc hf_est_ask(struct hf_cli *c, struct hf_err *e)
{
	bool cacerts = !strcmp(c->command->verb, "cacerts");
	json_object *attrs = NULL;
	const char *text;
	enum hf_rc rc = run(c, e);

	if (rc)
		return rc;
	if (cacerts && hf_cli_option(c, "out")) {
		hf_out_line(c, "%s; they are in %s", hf_out_get(c->result, "message"),
			    hf_cli_option(c, "out"));
		return write_pem(c, "out", "cacerts_pem", e);
	}
	if (cacerts) {
		if (!c->json)
			hf_out_text(c->result, "text", hf_out_get(c->result, "cacerts_pem"));
		return HF_OK;
	}
	(void)json_object_object_get_ex(c->result, "csrattrs", &attrs);
	text = json_object_to_json_string_ext(attrs,
					      JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
	if (hf_cli_option(c, "out"))
		return hf_out_file(hf_cli_option(c, "out"), text, strlen(text), e);
	hf_out_line(c, "%s", text);
	return HF_OK;
}

/* A certificate that cannot be written is lost, and the server has been asked in vain. */
static enum hf_rc check_place(const char *option, const char *path, struct hf_err *e)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	char dir[HF_PATH_MAX] = ".";
	struct stat st;

	if (!path || !strcmp(path, "-") || (!stat(path, &st) && !S_ISREG(st.st_mode)))
		return HF_OK;
	if (slash)
		(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path + 1), path);
	if (!access(dir, W_OK | X_OK))
		return HF_OK;
	return hf_fail_errno(e, HF_IO, "--%s: %s cannot be written, so the server was not asked",
			     option, dir);
}

enum hf_rc hf_est_enroll(struct hf_cli *c, struct hf_err *e)
{
	const char *out = hf_cli_option(c, "out");
	enum hf_rc rc = check_place("out", out, e);

	if (!rc)
		rc = check_place("cacerts-out", hf_cli_option(c, "cacerts-out"), e);
	if (!rc)
		rc = run(c, e);
	if (rc)
		return rc;
	rc = write_pem(c, "out", "certificates_pem", e);
	if (rc) { /* the disk is full, say: at least show it */
		(void)fputs(hf_out_get(c->result, "certificates_pem"), c->json ? stderr : stdout);
		return rc;
	}
	if (!rc)
		rc = write_pem(c, "cacerts-out", "cacerts_pem", e);
	if (rc)
		return rc;
	if (out && strcmp(out, "-"))
		hf_out_line(c, "%s; it is in %s%s", hf_out_get(c->result, "message"), out,
			    !strcmp(hf_out_get(c->result, "cacerts_changed"), "true")
				    ? " (the server has a new root CA: see --cacerts-out)"
				    : "");
	else if (!out && !c->json)
		hf_out_text(c->result, "text", hf_out_get(c->result, "certificates_pem"));
	return HF_OK;
}
