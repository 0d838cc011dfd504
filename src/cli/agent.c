/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/agent.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/process.h"
#include "cli/inventory.h"
#include "cli/output.h"

#define HEAD_MAX 8192u

enum hf_rc hf_agent_path(char out[HF_PATH_MAX], const char *id, const char *verb, struct hf_err *e)
{
	size_t n = (size_t)snprintf(out, HF_PATH_MAX, "/holdfast/v1/credentials/");

	for (; *id && n + 8 < HF_PATH_MAX; id++) {
		bool plain = isalnum((unsigned char)*id) || strchr("._-", *id);

		n += (size_t)snprintf(out + n, HF_PATH_MAX - n, plain ? "%c" : "%%%02X",
				      (unsigned char)*id);
	}
	if (!*id && n + strlen(verb) + 2 < HF_PATH_MAX) {
		(void)snprintf(out + n, HF_PATH_MAX - n, "%s%s", verb[0] ? "/" : "", verb);
		return HF_OK;
	}
	return hf_fail(e, HF_ARGUMENT, "'%.40s...' is too long for a name", out + 25);
}

/* Where agent.json cannot be read, the socket is where it usually is. */
static enum hf_rc find_socket(const struct hf_cli *c, struct sockaddr_un *a, struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(HF_AGENT_MAX);
	struct hf_err ignored = HF_ERR_INIT;
	json_object *conf = NULL, *list;
	char path[HF_PATH_MAX] = "";
	size_t i;

	if (!hf_file_read(c->paths.agent_file, false, &text, &ignored) && text.n)
		conf = json_tokener_parse((const char *)text.p);
	list = hf_inventory_at(conf, "sockets");
	for (i = 0;
	     json_object_is_type(list, json_type_array) && i < json_object_array_length(list);
	     i++) {
		json_object *o = json_object_array_get_idx(list, i);

		if (!strcmp(hf_inventory_text(o, "name"), "certd"))
			(void)hf_copy(path, sizeof(path), hf_inventory_text(o, "path"));
	}
	json_object_put(conf);
	if (!path[0] && hf_path_join(path, c->paths.agent_run, "certd.sock", e))
		return e->rc;
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (!hf_copy(a->sun_path, sizeof(a->sun_path), path))
		return hf_fail(e, HF_ARGUMENT, "%s is too long for a socket", path);
	return HF_OK;
}

/* Somebody else's socket at that path would hand out certificates of his own making. */
static enum hf_rc check_server(int fd, const char *path, struct hf_err *e)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);
	const struct passwd *pw;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n))
		return hf_fail_errno(e, HF_UNAVAILABLE, "%s", path);
	pw = getpwnam(HF_CERTS_USER);
	if (peer.uid == 0 || peer.uid == geteuid() || (pw && peer.uid == pw->pw_uid))
		return HF_OK;
	return hf_fail(e, HF_DENIED,
		       "%s is served by uid %u, which is neither root nor " HF_CERTS_USER
		       ": this is not the certificate agent",
		       path, (unsigned)peer.uid);
}

static enum hf_rc open_socket(const struct hf_cli *c, int *fd, struct hf_err *e)
{
	struct sockaddr_un a;

	if (find_socket(c, &a, e))
		return e->rc;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return hf_fail_errno(e, HF_FAILED, "socket");
	if (!connect(*fd, (const struct sockaddr *)&a, sizeof(a)))
		return check_server(*fd, a.sun_path, e);
	if (errno == EACCES || errno == EPERM)
		return hf_fail(e, HF_DENIED, "no permission to use the agent's socket %s; root may",
			       a.sun_path);
	return hf_fail_errno(e, HF_UNAVAILABLE,
			     "the certificate agent cannot be reached at %s (does holdfast-agent "
			     "run?)",
			     a.sun_path);
}

static enum hf_rc send_request(int fd, const char *method, const char *path, json_object *body,
			       struct hf_err *e)
{
	HF_AUTO_BUF out = HF_BUF(HF_AGENT_MAX);
	const char *text = body ? json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN) : "";
	size_t sent = 0;
	ssize_t n;

	hf_buf_fmt(&out, "%s %s HTTP/1.1\r\nHost: certd.sock\r\nConnection: close\r\n", method,
		   path);
	if (body)
		hf_buf_fmt(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
			   strlen(text));
	hf_buf_str(&out, "\r\n");
	hf_buf_str(&out, text);
	if (out.bad)
		return hf_fail(e, HF_ARGUMENT, "that is too much for a request");
	while (sent < out.n) {
		n = send(fd, out.p + sent, out.n - sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return hf_fail_errno(e, HF_UNAVAILABLE, "the agent hung up");
		sent += n > 0 ? (size_t)n : 0;
	}
	return HF_OK;
}

/* To the end of the connection, which both sides know to come. */
static enum hf_rc receive(int fd, struct hf_buf *in, unsigned timeout_ms, struct hf_err *e)
{
	uint64_t end = hf_now_ms() + timeout_ms, now;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char piece[8192];
	ssize_t n;

	for (;;) {
		now = hf_now_ms();
		if (now >= end)
			return hf_fail(
				e, HF_TIMEOUT,
				"the agent has not answered in %u.%u s; it may still be at it: "
				"see 'holdfast cert list'",
				timeout_ms / 1000, timeout_ms % 1000 / 100);
		if (poll(&p, 1, (int)(end - now)) <= 0)
			continue;
		n = recv(fd, piece, sizeof(piece), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hf_fail_errno(e, HF_UNAVAILABLE, "the agent hung up");
		if (!n)
			return HF_OK;
		hf_buf_add(in, piece, (size_t)n);
		if (in->bad)
			return hf_fail(e, HF_PROTOCOL, "the agent says too much");
	}
}

/* The value of a header in the NUL-terminated @head, or NULL. */
static const char *header(const char *head, const char *name)
{
	const char *line = head;
	size_t n = strlen(name);

	while ((line = strstr(line, "\r\n"))) {
		line += 2;
		if (!strncasecmp(line, name, n) && line[n] == ':')
			return line + n + 1 + strspn(line + n + 1, " \t");
	}
	return NULL;
}

/* RFC 9112, as far as our own server goes: a length, no pieces. */
static enum hf_rc read_answer(struct hf_buf *in, int *code, json_object **reply, struct hf_err *e)
{
	char *end = in->n ? strstr((char *)in->p, "\r\n\r\n") : NULL, *rest;
	const char *length;
	size_t head, n;

	if (!end || strncmp((char *)in->p, "HTTP/1.", 7) ||
	    (size_t)(end - (char *)in->p) > HEAD_MAX)
		return hf_fail(e, HF_PROTOCOL, "the agent's answer is no HTTP");
	*end = '\0';
	head = (size_t)(end - (char *)in->p) + 4;
	*code = in->n > 12 ? atoi((char *)in->p + 9) : 0;
	length = header((char *)in->p, "Content-Length");
	n = length ? strtoul(length, &rest, 10) : in->n - head;
	if (header((char *)in->p, "Transfer-Encoding") || n != in->n - head)
		return hf_fail(e, HF_PROTOCOL, "the agent's answer is cut off");
	*reply = n ? json_tokener_parse((char *)in->p + head) : NULL;
	if (n && !*reply)
		return hf_fail(e, HF_PROTOCOL, "the agent's answer is no JSON");
	return HF_OK;
}

static enum hf_rc judge(int code, json_object *reply, struct hf_err *e)
{
	static const struct {
		int code;
		enum hf_rc rc;
	} rows[] = { { 400, HF_ARGUMENT }, { 401, HF_DENIED },	    { 403, HF_DENIED },
		     { 404, HF_ARGUMENT }, { 409, HF_BUSY },	    { 422, HF_ARGUMENT },
		     { 429, HF_BUSY },	   { 503, HF_UNAVAILABLE }, { 504, HF_TIMEOUT } };
	const char *said = hf_inventory_text(reply, "message");
	char text[400];
	size_t i;

	if (code >= 200 && code < 300)
		return HF_OK;
	for (i = 0; i < HF_COUNT(rows) && rows[i].code != code; i++)
		;
	hf_escape(text, sizeof(text), said, strlen(said));
	return hf_fail(e, i < HF_COUNT(rows) ? rows[i].rc : HF_FAILED, "%s%s",
		       said[0] ? text : "the agent refuses", said[0] ? "" : ", and says not why");
}

enum hf_rc hf_agent_ask(const struct hf_cli *c, const char *method, const char *path,
			json_object *body, unsigned timeout_ms, json_object **reply,
			struct hf_err *e)
{
	HF_AUTO_BUF in = HF_BUF(HF_AGENT_MAX);
	HF_AUTO_FD fd = -1;
	enum hf_rc rc;
	int code = 0;

	*reply = NULL;
	rc = open_socket(c, &fd, e);
	if (!rc)
		rc = send_request(fd, method, path, body, e);
	if (!rc)
		rc = receive(fd, &in, timeout_ms, e);
	if (!rc)
		rc = read_answer(&in, &code, reply, e);
	if (!rc)
		rc = judge(code, *reply, e);
	if (rc) {
		json_object_put(*reply);
		*reply = NULL;
	}
	return rc;
}
