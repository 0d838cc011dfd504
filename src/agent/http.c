/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "agent/listen.h"
#include "base/log.h"
#include "base/process.h"

#define REPLY_S	    30		/* to take an answer */
#define MEMORY	    (32 * 1024) /* of a connection: its header has to fit */
#define SOCKETS_MAX 8
#define TOO_MANY    "{\"message\": \"too many connections at once; try again\"}"
#define LATE	    "{\"message\": \"the request took too long\"}"

struct conn {
	struct conn *next;
	struct http_socket *of;
	struct MHD_Connection *connection;
	int fd;
	uid_t uid;
	pid_t pid;
	bool over, reading_body;
	uint64_t deadline; /* ms */
};

struct http_socket {
	struct hf_http *http;
	struct hf_agent_socket conf;
	struct MHD_Daemon *daemon;
	struct conn *first;
	int fd, epoll;
};

struct hf_http {
	struct http_socket sockets[SOCKETS_MAX];
	size_t n;
	hf_http_serve *serve;
	void *arg;
	uint64_t served[6];
};

/* One request while it comes in. */
struct call {
	struct hf_buf body;
	bool too_large;
};

/* ---------------------------------------------------------------- connections */

static unsigned connections_of(const struct http_socket *s, uid_t uid)
{
	const struct conn *c;
	unsigned n = 0;

	for (c = s->first; c; c = c->next)
		n += c->uid == uid;
	return n;
}

static void begin(struct http_socket *s, struct MHD_Connection *connection, void **context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct conn *c = calloc(1, sizeof(*c));
	struct ucred who;
	socklen_t n = sizeof(who);
	unsigned others;

	*context = c;
	if (!info || !c || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &who, &n)) {
		free(c);
		*context = NULL;
		if (info)
			(void)shutdown(info->connect_fd, SHUT_RDWR);
		return;
	}
	others = connections_of(s, who.uid);
	c->of = s;
	c->connection = connection;
	c->fd = info->connect_fd;
	c->uid = who.uid;
	c->pid = who.pid;
	c->over = others >= HF_HTTP_CONNS_PEER;
	c->deadline = hf_now_ms() + (c->over ? 1 : HF_HTTP_HEADER_S) * 1000u;
	c->next = s->first;
	s->first = c;
	if (others >= 2 * HF_HTTP_CONNS_PEER)
		(void)shutdown(c->fd, SHUT_RDWR);
}

static void end(struct http_socket *s, void **context)
{
	struct conn **p;

	for (p = &s->first; *p; p = &(*p)->next)
		if (*p == *context) {
			struct conn *c = *p;

			*p = c->next;
			free(c);
			break;
		}
	*context = NULL;
}

static void notify_connection(void *arg, struct MHD_Connection *connection, void **context,
			      enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		begin(arg, connection, context);
	else
		end(arg, context);
}

/* Deadlines are absolute: who sends a byte now and then is late all the same. */
static void hang_up_on_the_late(struct http_socket *s, uint64_t now)
{
	static const char late[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
				   "Content-Type: application/json\r\nContent-Length: ";
	char head[sizeof(late) + sizeof(LATE) + 32];
	struct conn *c;
	int n;

	for (c = s->first; c; c = c->next) {
		if (now < c->deadline)
			continue;
		/* Nothing was answered yet, so that this cannot land in another answer. */
		if (c->reading_body) {
			n = snprintf(head, sizeof(head), "%s%zu\r\n\r\n%s", late, sizeof(LATE) - 1,
				     LATE);
			(void)!send(c->fd, head, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
			s->http->served[4]++;
		}
		c->reading_body = false;
		c->deadline = UINT64_MAX;
		(void)shutdown(c->fd, SHUT_RDWR);
	}
}

/* ---------------------------------------------------------------- requests */

static void free_body(void *arg)
{
	struct hf_buf *body = arg;

	hf_buf_finish(body);
	free(body);
}

/* Takes what is in @r. */
static enum MHD_Result answer(struct conn *c, struct hf_http_reply *r)
{
	struct hf_buf *body = malloc(sizeof(*body));
	struct MHD_Response *response;
	enum MHD_Result result;

	if (!body) {
		hf_buf_finish(&r->body);
		return MHD_NO;
	}
	*body = r->body;
	response = MHD_create_response_from_buffer_with_free_callback_cls(body->n, body->p,
									  free_body, body);
	if (!response) {
		free_body(body);
		return MHD_NO;
	}
	if (r->code != 204)
		(void)MHD_add_response_header(response, "Content-Type",
					      r->type ? r->type : "application/json");
	if (c->over)
		(void)MHD_add_response_header(response, "Connection", "close");
	result = MHD_queue_response(c->connection, (unsigned)r->code, response);
	MHD_destroy_response(response);
	c->reading_body = false;
	c->deadline = hf_now_ms() + REPLY_S * 1000u;
	c->of->http->served[r->code / 100 % 6]++;
	return result;
}

static enum MHD_Result answer_text(struct conn *c, int code, const char *json)
{
	struct hf_http_reply r = { .code = code, .body = HF_BUF(4096) };

	hf_buf_str(&r.body, json);
	return answer(c, &r);
}

static enum MHD_Result serve(struct conn *c, const char *method, const char *path,
			     const struct call *call)
{
	struct MHD_Connection *m = c->connection;
	struct hf_http *h = c->of->http;
	struct hf_http_request q = {
		.socket = c->of->conf.name,
		.uid = c->uid,
		.pid = c->pid,
		.method = method,
		.path = path,
		.version = MHD_lookup_connection_value(m, MHD_GET_ARGUMENT_KIND, "api-version"),
		.type = MHD_lookup_connection_value(m, MHD_HEADER_KIND, "Content-Type"),
		.body = HF_VIEW_BUF(&call->body),
		.too_large = call->too_large || call->body.bad,
	};
	struct hf_http_reply r = { .code = 500, .body = HF_BUF(HF_HTTP_REPLY_MAX) };
	uint64_t from = hf_now_ms(), spent;
	struct conn *other;
	size_t i;

	h->serve(h->arg, &q, &r);
	if (r.body.bad) {
		hf_buf_finish(&r.body);
		r.body = (struct hf_buf)HF_BUF(256);
		r.code = 500;
		r.type = NULL;
		hf_buf_str(&r.body, "{\"message\": \"out of memory\"}");
	}
	/* While we were at it nobody could be read: the others are not late for that. */
	spent = hf_now_ms() - from;
	for (i = 0; i < h->n; i++)
		for (other = h->sockets[i].first; other; other = other->next)
			if (other->deadline != UINT64_MAX)
				other->deadline += spent;
	return answer(c, &r);
}

/* Before a long body is read: what its header says of it. */
static bool announces_too_much(struct MHD_Connection *m)
{
	const char *n = MHD_lookup_connection_value(m, MHD_HEADER_KIND, "Content-Length");

	return n && strtoull(n, NULL, 10) > HF_HTTP_BODY_MAX;
}

static enum MHD_Result access_handler(void *arg, struct MHD_Connection *m, const char *url,
				      const char *method, const char *version, const char *data,
				      size_t *n, void **context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(m, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct conn *c = info ? info->socket_context : NULL;
	struct call *call = *context;

	(void)arg;
	(void)version;
	if (!c)
		return MHD_NO;
	if (!call) {
		if (c->over)
			return answer_text(c, 429, TOO_MANY);
		if (announces_too_much(m))
			return answer_text(c, 413, "{\"message\": \"the body is too large\"}");
		call = calloc(1, sizeof(*call));
		if (!call)
			return MHD_NO;
		call->body = (struct hf_buf)HF_BUF(HF_HTTP_BODY_MAX);
		c->deadline = hf_now_ms() + HF_HTTP_HEADER_S * 1000u;
		c->reading_body = true;
		*context = call;
		return MHD_YES;
	}
	if (*n) {
		if (call->body.n + *n > HF_HTTP_BODY_MAX)
			call->too_large = true;
		else
			hf_buf_add(&call->body, data, *n);
		*n = 0;
		return MHD_YES;
	}
	return serve(c, method, url, call);
}

static void completed(void *arg, struct MHD_Connection *m, void **context,
		      enum MHD_RequestTerminationCode code)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(m, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct conn *c = info ? info->socket_context : NULL;
	struct call *call = *context;

	(void)arg;
	(void)code;
	if (c && c->deadline != UINT64_MAX) {
		c->reading_body = false;
		c->deadline = hf_now_ms() + HF_HTTP_IDLE_S * 1000u;
	}
	if (call)
		hf_buf_finish(&call->body);
	free(call);
	*context = NULL;
}

/* A path is taken apart before it is decoded: what is %2F belongs to a name. */
static size_t leave_escaped(void *arg, struct MHD_Connection *m, char *text)
{
	(void)arg;
	(void)m;
	return strlen(text);
}

/* ---------------------------------------------------------------- sockets */

static enum hf_rc open_socket(struct http_socket *s, struct hf_err *e)
{
	const union MHD_DaemonInfo *info;

	if (hf_listen_open(&s->conf, &s->fd, e))
		return e->rc;
	/* -1, since IoT Edge's clients send no Host, which libmicrohttpd 1.0 wants otherwise.
	   Nobody stands between them and this socket who could read a request in another way. */
	s->daemon = MHD_start_daemon(
		MHD_USE_EPOLL, 0, NULL, NULL, access_handler, s, MHD_OPTION_LISTEN_SOCKET, s->fd,
		MHD_OPTION_STRICT_FOR_CLIENT, -1, MHD_OPTION_CONNECTION_LIMIT, HF_HTTP_CONNS_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY, MHD_OPTION_CONNECTION_TIMEOUT,
		HF_HTTP_IDLE_S, MHD_OPTION_NOTIFY_CONNECTION, notify_connection, s,
		MHD_OPTION_NOTIFY_COMPLETED, completed, s, MHD_OPTION_UNESCAPE_CALLBACK,
		leave_escaped, s, MHD_OPTION_END);
	info = s->daemon ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info)
		return hf_fail(e, HF_FAILED, "%s: libmicrohttpd does not start", s->conf.path);
	s->epoll = info->epoll_fd;
	return HF_OK;
}

struct hf_http *hf_http_new(const struct hf_agent_settings *settings, hf_http_serve *serve_one,
			    void *arg, struct hf_err *e)
{
	struct hf_http *h = calloc(1, sizeof(*h));
	enum hf_rc rc = HF_OK;

	if (!h) {
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
		return NULL;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	h->serve = serve_one;
	h->arg = arg;
	while (!rc && h->n < settings->n_sockets) {
		struct http_socket *s = &h->sockets[h->n++];

		s->http = h;
		s->conf = settings->sockets[h->n - 1];
		s->fd = s->epoll = -1;
		rc = open_socket(s, e);
	}
	if (!rc)
		return h;
	hf_http_free(h);
	return NULL;
}

void hf_http_free(struct hf_http *h)
{
	size_t i;

	for (i = 0; h && i < h->n; i++) {
		struct http_socket *s = &h->sockets[i];

		if (s->fd >= 0 && !s->conf.given)
			(void)unlink(s->conf.path);
		if (s->daemon)
			MHD_stop_daemon(s->daemon); /* closes the socket, too */
		else
			hf_fd_close(&s->fd);
	}
	free(h);
}

size_t hf_http_poll(const struct hf_http *h, struct pollfd *p, size_t max)
{
	size_t i;

	for (i = 0; i < h->n && i < max; i++)
		p[i] = (struct pollfd){ .fd = h->sockets[i].epoll, .events = POLLIN };
	return i;
}

int hf_http_timeout(const struct hf_http *h, int ms)
{
	uint64_t now = hf_now_ms(), best = (uint64_t)ms;
	MHD_UNSIGNED_LONG_LONG left;
	const struct conn *c;
	size_t i;

	for (i = 0; i < h->n; i++) {
		if (MHD_get_timeout(h->sockets[i].daemon, &left) == MHD_YES && left < best)
			best = left;
		for (c = h->sockets[i].first; c; c = c->next)
			if (c->deadline <= now)
				best = 0;
			else if (c->deadline - now < best)
				best = c->deadline - now;
	}
	return (int)best;
}

void hf_http_run(struct hf_http *h)
{
	size_t i;

	for (i = 0; i < h->n; i++) {
		(void)MHD_run(h->sockets[i].daemon);
		hang_up_on_the_late(&h->sockets[i], hf_now_ms());
	}
}

const uint64_t *hf_http_served(const struct hf_http *h)
{
	return h->served;
}
