/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.h: what the agent answers over HTTP: one table of routes, each with the right that it takes,
 * so that no function can forget to ask. docs/openapi.yaml describes them.
 */
#ifndef HF_AGENT_API_H
#define HF_AGENT_API_H

#include <json-c/json.h>

#include "agent/agent.h"
#include "agent/http.h"
#include "agent/principal.h"

#define HF_API_ID_MAX 254 /* of what a path or a body names, with the NUL */

struct hf_api_call {
	struct hf_agent *a;
	const struct hf_http_request *q;
	const char *name;	     /* what the right is about */
	char path[2][HF_API_ID_MAX]; /* what stands for {} in the pattern, decoded */
	char named[HF_API_ID_MAX];   /* the member of the body that names it */
	json_object *body;	     /* an object; NULL: none */
	struct hf_http_reply *reply; /* code is that of success */
};

enum hf_api_version { HF_API_OURS, HF_API_CERTD, HF_API_WORKLOAD };
enum hf_api_body { HF_API_NO_BODY, HF_API_MAY_HAVE_BODY, HF_API_BODY };

struct hf_route {
	const char *socket, *method, *pattern;
	enum hf_api_version version;
	enum hf_api_body body;
	enum hf_agent_right right;
	const char *named; /* the member that names what the right is about; NULL: the path does */
	int code;	   /* of success */
	enum hf_rc (*serve)(struct hf_api_call *c, struct hf_err *e);
};

/* Up to one without a method. */
extern const struct hf_route hf_routes[];

/* A struct hf_agent is @arg. */
void hf_api_serve(void *arg, const struct hf_http_request *q, struct hf_http_reply *r);

/* A member of the body, as text without a NUL in it. HF_PROTOCOL if it is not that, or missing and
 * wanted; "" if missing. */
enum hf_rc hf_api_text(const struct hf_api_call *c, const char *member, bool wanted,
		       const char **out, struct hf_err *e);

/* The answer. @o is consumed. */
void hf_api_json(struct hf_api_call *c, json_object *o);
/* {"MEMBER": "text"} */
void hf_api_one(struct hf_api_call *c, const char *member, const char *text);

/* "2026-11-24T01:35:48Z", RFC 3339; at least 32 bytes. */
char *hf_api_date(char *out, size_t size, int64_t when);

/* api_certd.c */
enum hf_rc hf_api_cert_create(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_cert_get(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_cert_put(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_cert_delete(struct hf_api_call *c, struct hf_err *e);

/* api_workload.c */
enum hf_rc hf_api_server(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_identity(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_server_get(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_identity_get(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_server_delete(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_identity_delete(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_bundle(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_manifest_bundle(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_not_ours(struct hf_api_call *c, struct hf_err *e);

/* api_own.c */
enum hf_rc hf_api_status(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_modules(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_renew(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_reset(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_clock_accept(struct hf_api_call *c, struct hf_err *e);
enum hf_rc hf_api_metrics(struct hf_api_call *c, struct hf_err *e);

#endif
