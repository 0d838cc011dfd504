/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast cert renew, reset, issue: what the agent does for us. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "cli/agent.h"
#include "cli/certs.h"
#include "cli/csr.h"
#include "cli/output.h"
#include "cli/views.h"
#include "conf/value.h"

#define CSR_MAX (64u * 1024)

const struct hf_option hf_cert_renew_options[] = {
	{ "rotate-key", NULL, "with a new key, whatever is configured" },
	{ "same-key", NULL, "with the key that there is" },
	{ "no-wait", NULL, "do not wait until it is done" },
	{ "timeout", "TIME", "how long to wait for it: 5min (default), 30s" },
	{ NULL, NULL, NULL },
};
const struct hf_option hf_cert_reset_options[] = {
	{ "yes", NULL, "do not ask" },
	{ "timeout", "TIME", "how long to wait for it: 5min (default), 30s" },
	{ NULL, NULL, NULL },
};
const struct hf_option hf_cert_issue_options[] = {
	{ "csr", "FILE", "the request, in PEM; or, for a key in a token:" },
	{ "key", "ID", "the key to be certified" },
	{ "subject", "DN", "subject: CN=web,O=Example" },
	{ "san", "NAME...", "host name, address or URI; may be given again" },
	{ "eku", "LIST", "extended key usages: serverAuth,clientAuth" },
	{ "issuer", "ID", "the certificate that issues it (else edge-ca)" },
	{ "days", "N", "how long it is valid (else as configured)" },
	{ "out", "FILE", "write the certificate and its chain to FILE" },
	{ NULL, NULL, NULL },
};

/* The agent's answer is the result; what it sends is not trusted with more than its place there. */
static void take(struct hf_cli *c, json_object *reply)
{
	if (!json_object_is_type(reply, json_type_object))
		return;
	json_object_object_foreach(reply, name, value)
		json_object_object_add(c->result, name, json_object_get(value));
}

/* If the configuration can be read, a wrong name is found here, with the nearest one. */
static enum hf_rc check_id(struct hf_cli *c, const char **id, char known[80], struct hf_err *e)
{
	struct hf_inventory inv;
	const struct hf_credview *v;
	enum hf_rc rc = hf_inventory_load(c, &inv, e);

	v = rc ? NULL : hf_inventory_find(&inv, *id);
	if (v && hf_copy(known, 80, v->id))
		*id = known;
	else if (!rc && inv.n && !v)
		rc = hf_certs_unknown(&inv, *id, e);
	hf_inventory_finish(&inv);
	return rc;
}

/* The agent's own part of status.json for @id replaces what is known. */
static enum hf_rc look_again(struct hf_cli *c, const char *id, struct hf_err *e)
{
	json_object *reply = NULL, *list;
	enum hf_rc rc = hf_agent_ask(c, "GET", "/holdfast/v1/status", NULL, HF_AGENT_MS, &reply, e);
	size_t i;

	list = hf_inventory_at(reply, "credentials");
	for (i = 0;
	     json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++)
		if (!strcmp(hf_inventory_text(json_object_array_get_idx(list, i), "id"), id))
			take(c, json_object_array_get_idx(list, i));
	json_object_put(reply);
	return rc;
}

/* Or about to begin, after a reset. */
static bool at_work(json_object *o)
{
	const char *state = hf_inventory_text(o, "state");

	return !strcmp(state, "renewing") ||
	       (!strcmp(state, "missing") && !hf_inventory_number(o, "attempts"));
}

/* An agent that does not wait itself says that it is at it. */
static enum hf_rc wait_for(struct hf_cli *c, const char *id, uint64_t end, struct hf_err *e)
{
	const struct timespec pause = { 0, 200000000 };
	enum hf_rc rc = HF_OK;

	while (!rc && at_work(c->result)) {
		if (hf_now_ms() >= end)
			return hf_fail(e, HF_TIMEOUT,
				       "the agent is still at it: see 'holdfast cert show %s'", id);
		(void)nanosleep(&pause, NULL);
		rc = look_again(c, id, e);
	}
	return rc;
}

/* What came of it; an old certificate that is still good does not make that a success. */
static enum hf_rc outcome(const struct hf_cli *c, struct hf_err *e)
{
	const char *state = hf_inventory_text(c->result, "state");
	const char *said = hf_inventory_text(c->result, "last.message");
	bool later = !strcmp(state, "pending");

	if (!later && strcmp(state, "failed") && strcmp(state, "held") &&
	    strcmp(state, "missing") && strcmp(state, "expired"))
		return HF_OK;
	return hf_fail(e, later ? HF_UNAVAILABLE : HF_FAILED, "%s%s%s",
		       later ? "the server says later" : state, said[0] ? ": " : "", said);
}

static enum hf_rc ask(struct hf_cli *c, const char *id, const char *verb, bool wait,
		      json_object *body, struct hf_err *e)
{
	json_object *reply = NULL;
	const char *timeout = hf_cli_option(c, "timeout");
	uint64_t ms = HF_AGENT_WORK_MS, end;
	char path[HF_PATH_MAX];
	enum hf_rc rc = hf_agent_path(path, id, verb, e);

	if (timeout && (!hf_value_duration(timeout, &ms) || !ms || ms > 3600000))
		return hf_fail(e, HF_ARGUMENT,
			       "--timeout takes a time of at most an hour, such as 30s or 5min");
	end = hf_now_ms() + ms;
	json_object_object_add(body, "wait", json_object_new_boolean(wait));
	if (!rc)
		rc = hf_agent_ask(c, "POST", path, body, (unsigned)ms, &reply, e);
	if (!rc)
		take(c, reply);
	json_object_put(reply);
	if (!rc && wait)
		rc = wait_for(c, id, end, e);
	return !rc && wait ? outcome(c, e) : rc;
}

enum hf_rc hf_cert_renew(struct hf_cli *c, struct hf_err *e)
{
	bool rotate = hf_cli_option(c, "rotate-key"), same = hf_cli_option(c, "same-key");
	const char *id = c->words[0];
	json_object *body;
	char known[80];
	enum hf_rc rc;

	if (rotate && same)
		return hf_fail(e, HF_ARGUMENT, "either --rotate-key or --same-key");
	rc = check_id(c, &id, known, e);
	if (rc)
		return rc;
	body = json_object_new_object();
	if (rotate || same)
		json_object_object_add(body, "rotate_key", json_object_new_boolean(rotate));
	rc = ask(c, id, "renew", !hf_cli_option(c, "no-wait"), body, e);
	json_object_put(body);
	return rc ? hf_within(e, "%s is not renewed", id) : HF_OK;
}

static enum hf_rc confirm(const char *id, struct hf_err *e)
{
	char answer[16] = "";

	if (!isatty(STDIN_FILENO))
		return hf_fail(e, HF_ARGUMENT,
			       "%s was not reset: nobody can be asked here; give --yes if you mean "
			       "it",
			       id);
	(void)fprintf(stderr,
		      "Forget the certificate %s, and get a new one with a new key? What has been "
		      "issued by it becomes useless. [y/N] ",
		      id);
	if (!fgets(answer, sizeof(answer), stdin) ||
	    (strcmp(answer, "y\n") && strcmp(answer, "yes\n")))
		return hf_fail(e, HF_FAILED, "%s was not reset", id);
	return HF_OK;
}

enum hf_rc hf_cert_reset(struct hf_cli *c, struct hf_err *e)
{
	const char *id = c->words[0];
	json_object *body;
	char known[80];
	enum hf_rc rc = check_id(c, &id, known, e);

	if (!rc && !hf_cli_option(c, "yes"))
		rc = confirm(id, e);
	if (rc)
		return rc;
	body = json_object_new_object();
	rc = ask(c, id, "reset", true, body, e);
	json_object_put(body);
	return rc ? hf_within(e, "%s is not reset", id) : HF_OK;
}

void hf_cert_done_show(const struct hf_cli *c)
{
	const char *id = hf_inventory_text(c->result, "id");
	int64_t until = hf_inventory_number(c->result, "not_after");
	json_object *o = json_object_new_object();
	char text[300];

	if (until > 0)
		hf_out_time(o, "until", (uint64_t)until);
	printf("%s: %s%s%s", id[0] ? id : c->words[0],
	       hf_out_cell(c->result, "state", text, sizeof(text)),
	       until > 0 ? ", valid until " : "", until > 0 ? hf_out_get(o, "until") : "");
	if (hf_inventory_text(c->result, "last.message")[0])
		printf(" (%s)", hf_out_cell(hf_inventory_at(c->result, "last"), "message", text,
					    sizeof(text)));
	printf("\n");
	json_object_put(o);
}

/* ---------------------------------------------------------------- issue */

static enum hf_rc get_csr(struct hf_cli *c, struct hf_buf *pem, struct hf_err *e)
{
	const char *file = hf_cli_option(c, "csr"), *key = hf_cli_option(c, "key");
	const char *subject = hf_cli_option(c, "subject");

	if (!file == !key)
		return hf_fail(e, HF_ARGUMENT,
			       "give either --csr FILE, or --key ID with --subject: what is to be "
			       "certified?");
	if (key)
		return subject ? hf_csr_make(c, key, subject, pem, e)
			       : hf_fail(e, HF_ARGUMENT, "--subject is missing: CN=web");
	if (subject || hf_cli_option(c, "san") || hf_cli_option(c, "eku"))
		return hf_fail(e, HF_ARGUMENT,
			       "--subject, --san and --eku are in the request already, with --csr");
	if (hf_file_read(file, false, pem, e))
		return hf_within(e, "--csr");
	if (!pem->n || !memmem(pem->p, pem->n, "-----BEGIN ", 11) || memchr(pem->p, 0, pem->n))
		return hf_fail(
			e, HF_ARGUMENT,
			"--csr %s: that is no request in PEM; 'holdfast convert' makes one of "
			"DER",
			file);
	return HF_OK;
}

static enum hf_rc add_days(const struct hf_cli *c, json_object *body, struct hf_err *e)
{
	const char *days = hf_cli_option(c, "days");

	if (!days)
		return HF_OK;
	if (!*days || strspn(days, "0123456789") != strlen(days) || strlen(days) > 5 || !atoi(days))
		return hf_fail(e, HF_ARGUMENT, "--days takes a number of days");
	hf_out_number(body, "days", (uint64_t)atoi(days));
	return HF_OK;
}

enum hf_rc hf_cert_issue(struct hf_cli *c, struct hf_err *e)
{
	HF_AUTO_BUF csr = HF_BUF(CSR_MAX);
	const char *issuer = hf_cli_option(c, "issuer"), *out = hf_cli_option(c, "out");
	json_object *body = json_object_new_object(), *reply = NULL;
	const char *pem;
	enum hf_rc rc = get_csr(c, &csr, e);

	if (!rc) {
		hf_out_text(body, "id", c->words[0]);
		hf_out_text(body, "csr", (const char *)csr.p);
		hf_out_text(body, "issuer", issuer ? issuer : "edge-ca");
		rc = add_days(c, body, e);
	}
	if (!rc)
		rc = hf_agent_ask(c, "POST", "/holdfast/v1/certificates", body, HF_AGENT_MS, &reply,
				  e);
	json_object_put(body);
	pem = hf_inventory_text(reply, "pem");
	if (!rc && !strstr(pem, "-----BEGIN CERTIFICATE"))
		rc = hf_fail(e, HF_PROTOCOL, "the agent sent no certificate");
	if (!rc && out && strcmp(out, "-")) {
		rc = hf_out_file(out, pem, strlen(pem), e);
		hf_out_line(c, "the certificate of %s is in %s", c->words[0], out);
	} else if (!rc && !c->json) {
		hf_out_text(c->result, "text", pem);
	}
	if (!rc)
		take(c, reply);
	json_object_put(reply);
	return rc;
}
