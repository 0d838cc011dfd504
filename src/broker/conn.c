/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/process.h"
#include "broker/audit.h"
#include "broker/ops.h"
#include "broker/worker.h"

#define GRACE_MS  1000u
#define HELLO_MS  2000u /* from connect to hello */
#define UNREAD_MS 5000u /* who has not read for so long is not at work */

struct hf_unsent {
	struct hf_unsent *next;
	size_t n;
	uint8_t bytes[];
};

static void conn_ready(struct hf_broker *b, struct hf_source *s, uint32_t events);

/*
 * Nothing is lost with it: nothing asked, nothing unanswered, or nothing read. Its client connects
 * again. One that has just come is about to ask: if it went, a crowd would only ever connect.
 */
static bool idle(const struct hf_conn *c, uint64_t now)
{
	uint8_t byte;

	if (c->unsent)
		return !c->dead && c->active + UNREAD_MS <= now;
	return !c->dead && LIST_EMPTY(&c->jobs) && (c->used || c->active + GRACE_MS <= now) &&
	       recv(c->source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

/*
 * Room for one connection more of @p. Libraries keep theirs for as long as their process lives,
 * and there may be more processes than places: at the limit who was silent for the longest goes.
 * At the limit of one user that is one of his own; at that of all it is one of whoever has the
 * most, and never of somebody with fewer than @p would have. If all are at work there is still a
 * place for root on the socket main, who may have to look why.
 */
static enum hf_rc make_room(struct hf_broker *b, const struct hf_peer *p, struct hf_err *e)
{
	const struct hf_limits *limits = &b->settings->limits;
	bool own = p->connections >= limits->connections_per_principal;
	struct hf_conn *c, *go = NULL;
	uint64_t now = hf_now_ms();

	if (!own && b->peers.connections < limits->connections)
		return HF_OK;
	for (c = b->conns; c; c = c->next) {
		unsigned n = c->peer->connections;

		if (c->peer != p && (own || n <= p->connections))
			continue;
		if ((!go || n > go->peer->connections ||
		     (n == go->peer->connections && c->active <= go->active)) &&
		    idle(c, now))
			go = c;
	}
	if (!go && !p->connections && p->uid == 0 && !strcmp(p->socket, "main"))
		return HF_OK;
	if (!go)
		return hf_fail(e, HF_BUSY, "too many connections%s, all of them at work; try again",
			       own ? " of this user" : "");
	b->metrics.displaced++;
	hf_conn_close(b, go);
	return HF_OK;
}

/* Who is not let in is told why. A new socket has room for that. */
static void turn_away(struct hf_broker *b, int fd, const struct hf_principal *who,
		      const struct hf_err *e)
{
	uint8_t packet[sizeof(b->reply.message) + 32];
	size_t n;

	b->metrics.turned_away++;
	hf_audit_stray(b, who, "connect", e->rc);
	memset(&b->reply, 0, sizeof(b->reply));
	b->reply.status = (hf_Status)e->rc;
	(void)hf_copy(b->reply.message, sizeof(b->reply.message), e->msg);
	if (!hf_packet_encode(hf_Reply_fields, &b->reply, packet, sizeof(packet), &n, NULL))
		(void)hf_packet_send(fd, packet, n, NULL);
	(void)close(fd);
}

/* Who may do nothing holds no place: a few users without any right could have all of them. */
static enum hf_rc check_in(struct hf_broker *b, struct hf_conn *c, int fd, const char *socket,
			   struct hf_err *e)
{
	if (hf_principal_read(&c->who, fd, socket, e))
		return e->rc;
	if (!hf_policy_holds(b->settings, &c->who, ~0u))
		return hf_fail(
			e, HF_DENIED,
			"no [[principal]] in config.toml gives this user (uid %u) any right on "
			"socket %s",
			(unsigned)c->who.uid, socket);
	c->peer = hf_peers_get(&b->peers, &c->who);
	return c->peer ? make_room(b, c->peer, e) : hf_fail(e, HF_NO_MEMORY, "out of memory");
}

/* When it is over its time, if nothing comes from it until then; 0: never. */
static uint64_t due_of(const struct hf_broker *b, const struct hf_conn *c)
{
	uint64_t idle_ms = (uint64_t)b->settings->limits.idle_s * 1000;

	if (!c->greeted)
		return c->active + HELLO_MS;
	return idle_ms ? c->active + idle_ms : 0;
}

static void note_due(struct hf_broker *b, uint64_t at)
{
	if (at && (!b->conns_due || at < b->conns_due))
		b->conns_due = at;
}

uint64_t hf_conn_expire(struct hf_broker *b, uint64_t now)
{
	struct hf_conn *c;

	if (!b->conns_due || b->conns_due > now)
		return b->conns_due;
	b->conns_due = 0;
	for (c = b->conns; c; c = c->next) {
		uint64_t at = due_of(b, c);

		if (c->dead || !at)
			continue;
		if (!LIST_EMPTY(&c->jobs)) /* at work; to be looked at again */
			at = now + 1000;
		if (at <= now)
			hf_conn_close(b, c);
		else
			note_due(b, at);
	}
	return b->conns_due;
}

void hf_conn_recheck(struct hf_broker *b)
{
	struct hf_conn *c;

	for (c = b->conns; c; c = c->next)
		if (!c->dead && !c->unsent && LIST_EMPTY(&c->jobs) &&
		    !hf_policy_holds(b->settings, &c->who, ~0u))
			hf_conn_close(b, c);
}

static void admit(struct hf_broker *b, int fd, const char *socket)
{
	struct hf_conn *c = calloc(1, sizeof(*c));
	struct hf_err err = HF_ERR_INIT;

	if (!c) {
		(void)close(fd);
		return;
	}
	c->source = (struct hf_source){ .fd = fd, .ready = conn_ready };
	c->unsent_end = &c->unsent;
	c->active = hf_now_ms();
	if (check_in(b, c, fd, socket, &err) || hf_loop_watch(b, &c->source, EPOLLIN, &err)) {
		turn_away(b, fd, &c->who, &err);
		if (c->peer)
			hf_peers_put(&b->peers, c->peer);
		free(c);
		return;
	}
	c->next = b->conns;
	if (c->next)
		c->next->prev = c;
	b->conns = c;
	b->metrics.accepted++;
	c->peer->connections++;
	b->peers.connections++;
	note_due(b, due_of(b, c));
}

int hf_conn_take(struct hf_broker *b, struct hf_source *s)
{
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
		size_t i;

		/* Without this a full descriptor table would spin the loop. */
		hf_log(HF_LOG_WARN, "cannot accept: %s; pausing until a descriptor is free",
		       strerror(errno));
		b->accept_paused = true;
		for (i = 0; i < b->n_listeners; i++)
			(void)hf_loop_watch(b, &b->listeners[i].source, 0, NULL);
	}
	return fd;
}

void hf_conn_accept(struct hf_broker *b, struct hf_source *s, uint32_t events)
{
	int fd = hf_conn_take(b, s);

	(void)events;
	if (fd >= 0)
		admit(b, fd, ((struct hf_listener *)s)->name);
}

/* Only marks: whoever walks over jobs must not lose them under its feet. */
void hf_conn_close(struct hf_broker *b, struct hf_conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	b->dead_conns = true;
	hf_loop_forget(b, &c->source);
}

static void bury(struct hf_broker *b, struct hf_conn *c)
{
	hf_worker_abandon(b, c);
	while (c->unsent) {
		struct hf_unsent *u = c->unsent;

		c->unsent = u->next;
		hf_peers_give(&b->peers, c->peer, u->n);
		explicit_bzero(u->bytes, u->n);
		free(u);
	}
	if (c->next)
		c->next->prev = c->prev;
	if (c->prev)
		c->prev->next = c->next;
	else
		b->conns = c->next;
	c->peer->connections--;
	b->peers.connections--;
	hf_peers_put(&b->peers, c->peer);
	free(c);
}

void hf_conn_reap(struct hf_broker *b)
{
	struct hf_conn *c, *next;

	if (!b->dead_conns)
		return;
	b->dead_conns = false;
	for (c = b->conns; c; c = next) {
		next = c->next;
		if (c->dead)
			bury(b, c);
	}
}

static void flush(struct hf_broker *b, struct hf_conn *c)
{
	struct hf_err err = HF_ERR_INIT;

	while (c->unsent) {
		struct hf_unsent *u = c->unsent;
		enum hf_rc rc = hf_packet_send(c->source.fd, u->bytes, u->n, &err);

		if (rc == HF_BUSY)
			break;
		if (rc) {
			hf_conn_close(b, c);
			return;
		}
		c->unsent = u->next;
		if (!c->unsent)
			c->unsent_end = &c->unsent;
		hf_peers_give(&b->peers, c->peer, u->n);
		explicit_bzero(u->bytes, u->n);
		free(u);
	}
	if (!c->unsent && c->closing) {
		hf_conn_close(b, c);
		return;
	}
	/* Who does not read is not read from either. */
	(void)hf_loop_watch(b, &c->source, c->unsent ? EPOLLOUT : EPOLLIN, NULL);
}

static bool keep_unsent(struct hf_broker *b, struct hf_conn *c, const uint8_t *p, size_t n)
{
	struct hf_unsent *u;

	if (!hf_peers_take(&b->peers, c->peer, n, b->settings->limits.bytes))
		return false;
	u = malloc(sizeof(*u) + n);
	if (!u) {
		hf_peers_give(&b->peers, c->peer, n);
		return false;
	}
	u->next = NULL;
	u->n = n;
	memcpy(u->bytes, p, n);
	*c->unsent_end = u;
	c->unsent_end = &u->next;
	return true;
}

void hf_conn_reply(struct hf_broker *b, struct hf_conn *c, uint32_t id, enum hf_rc rc,
		   const struct hf_err *e)
{
	uint8_t packet[16384]; /* no reply is larger: hf_Reply_size */
	size_t n;
	enum hf_rc sent;
	bool kept;

	_Static_assert(sizeof(packet) >= hf_Reply_size, "a reply fits");
	if (c->dead)
		return;
	b->reply.id = id;
	b->reply.status = (hf_Status)rc;
	b->reply.message[0] = '\0';
	if (rc) {
		b->reply.which_result = 0;
		(void)hf_copy(b->reply.message, sizeof(b->reply.message), e ? e->msg : "");
	}
	if (hf_packet_encode(hf_Reply_fields, &b->reply, packet, sizeof(packet), &n, NULL)) {
		hf_conn_close(b, c);
		return;
	}
	b->metrics.bytes_out += n;
	sent = c->unsent ? HF_BUSY : hf_packet_send(c->source.fd, packet, n, NULL);
	kept = sent == HF_BUSY && keep_unsent(b, c, packet, n);
	if (b->reply.which_result == hf_Reply_secret_tag)
		explicit_bzero(packet, n);
	if (sent == HF_OK && !c->closing)
		return;
	if (sent != HF_OK && !kept)
		hf_conn_close(b, c); /* gone, or it does not read what it asked for */
	else
		flush(b, c);
}

static void refuse(struct hf_broker *b, struct hf_conn *c, uint32_t id, const struct hf_err *e)
{
	hf_audit_stray(b, &c->who, "malformed", e->rc);
	memset(&b->reply, 0, sizeof(b->reply));
	c->closing = true;
	hf_conn_reply(b, c, id, e->rc, e);
}

static void conn_ready(struct hf_broker *b, struct hf_source *s, uint32_t events)
{
	struct hf_conn *c = (struct hf_conn *)s;
	struct hf_err err = HF_ERR_INIT;
	enum hf_rc rc;
	size_t n;

	if (events & EPOLLOUT) {
		flush(b, c);
		return;
	}
	rc = hf_packet_recv(s->fd, b->packet, b->settings->limits.packet, &n, &err);
	if (rc == HF_BUSY)
		return;
	if (rc == HF_UNAVAILABLE) {
		hf_conn_close(b, c);
		return;
	}
	c->active = hf_now_ms();
	b->metrics.bytes_in += n;
	if (!rc)
		rc = hf_request_decode(b->packet, n, &b->request, &err);
	if (!rc && !b->request.id) /* its reply would say: no request of yours */
		rc = hf_fail(&err, HF_PROTOCOL, "the id of a request is any number but 0");
	if (rc) {
		refuse(b, c, 0, &err);
		return;
	}
	c->used = c->greeted;
	hf_ops_run(b, c);
	if (c->greeted && !c->used)
		b->conns_due = 1; /* that it has to say hello is over; look anew */
}
