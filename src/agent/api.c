/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "conf/reader.h"

#define CERTD	 "certd"
#define WORKLOAD "workload"
#define SERVER	 "/modules/{}/genid/{}/certificate/server"
#define IDENTITY "/modules/{}/certificate/identity"
/* Some clients say the generation here, too; an identity has none. */
#define IDENTITY_GEN "/modules/{}/genid/{}/certificate/identity"
#define OURS	     "/holdfast/v1"

#define ALL  HF_RIGHT_NOBODY_ASKS
#define CERT HF_RIGHT_CERT
#define MOD  HF_RIGHT_MODULE
#define ROOT HF_RIGHT_ADMIN

const struct hf_route hf_routes[] = {
	/* clang-format off */
	{ CERTD, "POST", "/certificates", HF_API_CERTD, HF_API_BODY, CERT, "certId", 201, hf_api_cert_create },
	{ CERTD, "GET", "/certificates/{}", HF_API_CERTD, HF_API_NO_BODY, ALL, NULL, 200, hf_api_cert_get },
	{ CERTD, "PUT", "/certificates/{}", HF_API_CERTD, HF_API_BODY, CERT, NULL, 201, hf_api_cert_put },
	{ CERTD, "DELETE", "/certificates/{}", HF_API_CERTD, HF_API_NO_BODY, CERT, NULL, 204, hf_api_cert_delete },
	{ CERTD, "GET", OURS "/status", HF_API_OURS, HF_API_NO_BODY, ALL, NULL, 200, hf_api_status },
	{ CERTD, "GET", OURS "/modules", HF_API_OURS, HF_API_NO_BODY, ROOT, NULL, 200, hf_api_modules },
	{ CERTD, "POST", OURS "/credentials/{}/renew", HF_API_OURS, HF_API_MAY_HAVE_BODY, CERT, NULL, 200, hf_api_renew },
	{ CERTD, "POST", OURS "/credentials/{}/reset", HF_API_OURS, HF_API_MAY_HAVE_BODY, ROOT, NULL, 200, hf_api_reset },
	{ CERTD, "POST", OURS "/clock/accept", HF_API_OURS, HF_API_MAY_HAVE_BODY, ROOT, NULL, 200, hf_api_clock_accept },
	{ CERTD, "POST", OURS "/certificates", HF_API_OURS, HF_API_BODY, CERT, "id", 201, hf_api_cert_create },
	{ CERTD, "GET", "/metrics", HF_API_OURS, HF_API_NO_BODY, ALL, NULL, 200, hf_api_metrics },
	{ WORKLOAD, "POST", SERVER, HF_API_WORKLOAD, HF_API_BODY, MOD, NULL, 201, hf_api_server },
	{ WORKLOAD, "GET", SERVER, HF_API_WORKLOAD, HF_API_NO_BODY, MOD, NULL, 200, hf_api_server_get },
	{ WORKLOAD, "DELETE", SERVER, HF_API_WORKLOAD, HF_API_NO_BODY, MOD, NULL, 204, hf_api_server_delete },
	{ WORKLOAD, "POST", IDENTITY, HF_API_WORKLOAD, HF_API_MAY_HAVE_BODY, MOD, NULL, 201, hf_api_identity },
	{ WORKLOAD, "GET", IDENTITY, HF_API_WORKLOAD, HF_API_NO_BODY, MOD, NULL, 200, hf_api_identity_get },
	{ WORKLOAD, "DELETE", IDENTITY, HF_API_WORKLOAD, HF_API_NO_BODY, MOD, NULL, 204, hf_api_identity_delete },
	{ WORKLOAD, "POST", IDENTITY_GEN, HF_API_WORKLOAD, HF_API_MAY_HAVE_BODY, MOD, NULL, 201, hf_api_identity },
	{ WORKLOAD, "GET", IDENTITY_GEN, HF_API_WORKLOAD, HF_API_NO_BODY, MOD, NULL, 200, hf_api_identity_get },
	{ WORKLOAD, "DELETE", IDENTITY_GEN, HF_API_WORKLOAD, HF_API_NO_BODY, MOD, NULL, 204, hf_api_identity_delete },
	{ WORKLOAD, "GET", "/trust-bundle", HF_API_WORKLOAD, HF_API_NO_BODY, ALL, NULL, 200, hf_api_bundle },
	{ WORKLOAD, "GET", "/manifest-trust-bundle", HF_API_WORKLOAD, HF_API_NO_BODY, ALL, NULL, 200, hf_api_manifest_bundle },
	{ WORKLOAD, "GET", "/modules", HF_API_WORKLOAD, HF_API_NO_BODY, ALL, NULL, 200, hf_api_not_ours },
	{ WORKLOAD, "POST", "/modules/{}/genid/{}/sign", HF_API_WORKLOAD, HF_API_MAY_HAVE_BODY, ALL, NULL, 200, hf_api_not_ours },
	{ WORKLOAD, "POST", "/modules/{}/genid/{}/encrypt", HF_API_WORKLOAD, HF_API_MAY_HAVE_BODY, ALL, NULL, 200, hf_api_not_ours },
	{ WORKLOAD, "POST", "/modules/{}/genid/{}/decrypt", HF_API_WORKLOAD, HF_API_MAY_HAVE_BODY, ALL, NULL, 200, hf_api_not_ours },
	{ 0 },
	/* clang-format on */
};

/* ---------------------------------------------------------------- answers */

void hf_api_json(struct hf_api_call *c, json_object *o)
{
	hf_buf_str(&c->reply->body,
		   json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

void hf_api_one(struct hf_api_call *c, const char *member, const char *text)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, member, json_object_new_string(text));
	hf_api_json(c, o);
}

char *hf_api_date(char *out, size_t size, int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm))
		out[0] = '\0';
	return out;
}

static void refuse(struct hf_api_call *c, int code, const char *message)
{
	hf_buf_finish(&c->reply->body);
	c->reply->code = code;
	c->reply->type = NULL;
	hf_api_one(c, "message", message);
}

/* The codes that IoT Edge's clients know; those of ours mean the same. */
static int code_of(enum hf_rc rc, enum hf_api_version version)
{
	static const struct {
		enum hf_rc rc;
		int code;
	} codes[] = { { HF_PROTOCOL, 422 }, { HF_ARGUMENT, 400 }, { HF_UNSUPPORTED, 400 },
		      { HF_NO_KEY, 404 },   { HF_DENIED, 403 },	  { HF_REFUSED, 403 },
		      { HF_EXISTS, 409 },   { HF_BUSY, 409 },	  { HF_UNAVAILABLE, 503 },
		      { HF_LOCKOUT, 503 },  { HF_TIMEOUT, 504 } };
	size_t i;

	if (rc == HF_NO_KEY && version == HF_API_CERTD)
		return 400; /* never 404 there */
	for (i = 0; i < HF_COUNT(codes); i++)
		if (codes[i].rc == rc)
			return codes[i].code;
	return 500;
}

static void fail(struct hf_api_call *c, const struct hf_route *r, const struct hf_err *e)
{
	int code = code_of(e->rc, r->version);
	bool admin = hf_principal_may(c->a->settings, c->q->uid, HF_RIGHT_ADMIN, "");

	if (code >= 500)
		hf_log(HF_LOG_ERR, "api: %s %s of uid %u: %s", r->method, r->pattern,
		       (unsigned)c->q->uid, e->msg);
	/* Paths and the like are for the log. */
	refuse(c, code,
	       code == 500 && !admin ? "internal error; the agent's log says more" : e->msg);
}

/* ---------------------------------------------------------------- requests */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One segment of a path. False: not printable, too long, or no escape after a %. */
static bool decode(char out[HF_API_ID_MAX], const char *p, size_t n)
{
	size_t i, used = 0;

	for (i = 0; i < n; i++) {
		int c = (unsigned char)p[i];

		if (c == '%') {
			int high = i + 2 < n ? hex_digit(p[i + 1]) : -1;
			int low = i + 2 < n ? hex_digit(p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = high * 16 + low;
			i += 2;
		}
		if (c <= ' ' || c >= 0x7f || used + 1 >= HF_API_ID_MAX)
			return false;
		out[used++] = (char)c;
	}
	out[used] = '\0';
	return used > 0;
}

/* *@good: false if what stands for a {} is no name. */
static bool matches(const char *pattern, const char *path, char names[2][HF_API_ID_MAX], bool *good)
{
	size_t n = 0, len;

	*good = true;
	for (; *pattern; pattern++) {
		if (*pattern != '{') {
			if (*path++ != *pattern)
				return false;
			continue;
		}
		len = strcspn(path, "/");
		*good = decode(names[n++], path, len) && *good;
		path += len;
		pattern++; /* the } */
	}
	return !*path;
}

static const struct hf_route *find_route(struct hf_api_call *c, bool *known)
{
	const struct hf_route *r;
	bool good;

	*known = false;
	for (r = hf_routes; r->method; r++) {
		if (strcmp(r->socket, c->q->socket) ||
		    !matches(r->pattern, c->q->path, c->path, &good))
			continue;
		*known = true;
		if (strcmp(r->method, c->q->method))
			continue;
		if (good)
			return r;
		refuse(c, 400, "a name in the path is empty, too long, or not of printable ASCII");
		return NULL;
	}
	if (*known)
		refuse(c, 400, "method not allowed");
	else
		refuse(c, 404, "not found");
	return NULL;
}

static bool good_version(struct hf_api_call *c, enum hf_api_version kind)
{
	static const char *const of_certd[] = { "2020-09-01", NULL };
	static const char *const of_workload[] = { "2018-06-28", "2019-01-30", "2019-10-22",
						   "2019-11-05", "2020-07-07", "2021-12-07",
						   "2022-08-03", NULL };
	const char *const *list = kind == HF_API_CERTD ? of_certd : of_workload;
	char message[200], shown[60];

	if (kind == HF_API_OURS)
		return true;
	if (!c->q->version) {
		refuse(c, 400, "api-version not specified");
		return false;
	}
	for (; *list; list++)
		if (!strcmp(*list, c->q->version))
			return true;
	(void)snprintf(message, sizeof(message), "invalid api-version \"%s\"",
		       hf_escape(shown, sizeof(shown), c->q->version, strlen(c->q->version)));
	refuse(c, 400, message);
	return false;
}

static bool is_json(const char *type)
{
	size_t n = type ? strcspn(type, "; ") : 0;

	return !type || (n == 16 && !strncasecmp(type, "application/json", 16));
}

/* Another type is no body for POST and DELETE, and an error for PUT, as the original has it. */
static bool good_body(struct hf_api_call *c, const struct hf_route *r)
{
	struct hf_err err = HF_ERR_INIT;
	bool json = is_json(c->q->type);

	if (c->q->too_large) {
		refuse(c, 413, "the body is too large");
		return false;
	}
	if (!json && !strcmp(c->q->method, "PUT")) {
		refuse(c, 415, "the body has to be application/json");
		return false;
	}
	if (r->body == HF_API_NO_BODY || ((!json || !c->q->body.n) && r->body != HF_API_BODY))
		return true;
	if (!json || !c->q->body.n) {
		refuse(c, 400, "missing request body");
		return false;
	}
	if (hf_reader_parse((const char *)c->q->body.p, c->q->body.n, "the body", &c->body, &err) ||
	    !json_object_is_type(c->body, json_type_object)) {
		refuse(c, 422, err.rc ? err.msg : "the body is no JSON object");
		return false;
	}
	return true;
}

enum hf_rc hf_api_text(const struct hf_api_call *c, const char *member, bool wanted,
		       const char **out, struct hf_err *e)
{
	json_object *v = NULL;
	bool there = c->body && json_object_object_get_ex(c->body, member, &v) && v;

	*out = "";
	if (!there && !wanted)
		return HF_OK;
	if (!there)
		return hf_fail(e, HF_PROTOCOL, "the body has no %s", member);
	if (!json_object_is_type(v, json_type_string) ||
	    strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v))
		return hf_fail(e, HF_PROTOCOL, "%s of the body is no text", member);
	*out = json_object_get_string(v);
	return HF_OK;
}

/* What the right is about. */
static enum hf_rc name_it(struct hf_api_call *c, const struct hf_route *r, struct hf_err *e)
{
	const char *text, *p;

	c->name = c->path[0];
	if (!r->named)
		return HF_OK;
	if (hf_api_text(c, r->named, true, &text, e))
		return e->rc;
	for (p = text; *p > ' ' && *p < 0x7f; p++)
		;
	if (!*text || *p || !hf_copy(c->named, sizeof(c->named), text))
		return hf_fail(e, HF_ARGUMENT, "%s is empty, too long, or not of printable ASCII",
			       r->named);
	c->name = c->named;
	return HF_OK;
}

static void deny(struct hf_api_call *c, const struct hf_route *r)
{
	char message[400], shown[300];

	(void)hf_escape(shown, sizeof(shown), c->name, strlen(c->name));
	if (r->right == HF_RIGHT_MODULE)
		(void)snprintf(message, sizeof(message),
			       "user %u is not authorized for the module %s", (unsigned)c->q->uid,
			       shown);
	else if (r->right == HF_RIGHT_CERT)
		(void)snprintf(message, sizeof(message),
			       "user %u is not authorized to modify the cert ID",
			       (unsigned)c->q->uid);
	else
		(void)snprintf(message, sizeof(message), "user %u is not authorized; root is",
			       (unsigned)c->q->uid);
	hf_log(HF_LOG_WARN, "api: %s %s: %s (%s)", r->method, r->pattern, message, shown);
	refuse(c, r->right == HF_RIGHT_MODULE ? 403 : 401, message);
}

void hf_api_serve(void *arg, const struct hf_http_request *q, struct hf_http_reply *reply)
{
	struct hf_agent *a = arg;
	struct hf_api_call c = { .a = a, .q = q, .reply = reply };
	struct hf_err err = HF_ERR_INIT;
	const struct hf_route *r;
	bool known;

	(void)hf_clock_look(&a->clock); /* the loop sees if it was set */
	r = find_route(&c, &known);
	if (!r || !good_version(&c, r->version) || !good_body(&c, r))
		goto out;
	reply->code = r->code;
	if (name_it(&c, r, &err))
		fail(&c, r, &err);
	else if (!hf_principal_may(a->settings, q->uid, r->right, c.name))
		deny(&c, r);
	else if (r->serve(&c, &err))
		fail(&c, r, &err);
out:
	json_object_put(c.body);
}
