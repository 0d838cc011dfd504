/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uplink.c: see uplink.h. It must not print, exit, raise a signal, leave a descriptor open
 * across exec, or trust that a descriptor number is still ours: hosts close descriptors
 * wholesale when they become daemons, and the number then belongs to something else.
 */
#include "wire/uplink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/process.h"
#include "wire/client.h"

#define CONNECT_MS	   5000u
#define HF_UPLINK_PATH_MAX 256 /* longer than any socket path */

/* A call that is under way. Lives on the heap of the thread that makes it. */
struct waiter {
	struct waiter *next;
	pthread_cond_t woken;
	uint32_t id;
	bool done;
	size_t n; /* bytes of the reply */
	uint8_t reply[hf_Reply_size];
};

/* A socket, shared by the calls that began on it; the last of them closes it. */
struct conn {
	int fd;
	unsigned users;
	bool broken, reading;
	struct waiter *waiters;
};

/* What one process has of the link. */
struct channel {
	struct channel *before; /* of the process that forked us: only to be freed */
	pid_t pid;
	pthread_mutex_t lock;
	_Atomic(struct conn *) conn;
	bool opening; /* somebody does, without the lock: a broker that hangs takes long */
	pthread_cond_t opened;
	/* Readable without the lock, by a child that cannot take it. */
	atomic_int fd;
	atomic_ullong dev, ino;
	uint32_t last_id;
	uint64_t heal_until;
	hf_Request req;
	uint8_t packet[HF_PACKET_MAX];
};

struct hf_uplink {
	char path[HF_UPLINK_PATH_MAX];
	char software[64];
	_Atomic(struct channel *) channel;
};

static bool same_socket(int fd, unsigned long long dev, unsigned long long ino)
{
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && S_ISSOCK(st.st_mode) && st.st_dev == dev &&
	       st.st_ino == ino;
}

struct hf_uplink *hf_uplink_new(const char *path, const char *software)
{
	struct hf_uplink *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	/* A path that does not fit is no socket's: keep its head for the error message. */
	strncat(l->path, path, sizeof(l->path) - 1);
	strncat(l->software, software, sizeof(l->software) - 1);
	return l;
}

const char *hf_uplink_path(const struct hf_uplink *l)
{
	return l->path;
}

void hf_uplink_free(struct hf_uplink *l)
{
	struct channel *ch, *before;

	if (!l)
		return;
	for (ch = atomic_load(&l->channel); ch; ch = before) {
		int fd = atomic_load(&ch->fd);

		before = ch->before;
		if (same_socket(fd, atomic_load(&ch->dev), atomic_load(&ch->ino)))
			close(fd);
		free(atomic_load(&ch->conn));
		free(ch);
	}
	free(l);
}

static struct timespec moment(uint64_t ms)
{
	return (struct timespec){ .tv_sec = (time_t)(ms / 1000),
				  .tv_nsec = (long)(ms % 1000) * 1000000 };
}

static void init_cond(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

/* The channel of this process. In a child of fork() a new one takes the place of the parent's. */
static struct channel *channel_of(struct hf_uplink *l)
{
	struct channel *was = atomic_load(&l->channel), *ch;
	pid_t pid = getpid();

	while (!was || was->pid != pid) {
		int fd = was ? atomic_load(&was->fd) : -1;

		ch = calloc(1, sizeof(*ch));
		if (!ch)
			return NULL;
		ch->pid = pid;
		ch->before = was;
		atomic_init(&ch->fd, -1);
		pthread_mutex_init(&ch->lock, NULL);
		init_cond(&ch->opened);
		if (!atomic_compare_exchange_strong(&l->channel, &was, ch)) {
			free(ch);
			continue;
		}
		if (was && same_socket(fd, atomic_load(&was->dev), atomic_load(&was->ino))) {
			close(fd);
			atomic_store(&was->fd, -1);
		}
		return ch;
	}
	return was;
}

/* No call begins on @c any more; those that wait on it are woken. */
static void conn_break(struct channel *ch, struct conn *c)
{
	struct waiter *w;

	if (c->broken)
		return;
	c->broken = true;
	if (atomic_load(&ch->conn) == c) {
		atomic_store(&ch->fd, -1);
		atomic_store(&ch->conn, NULL);
		ch->heal_until = hf_now_ms() + HF_UPLINK_HEAL_MS;
	}
	if (c->fd >= 0)
		shutdown(c->fd, SHUT_RDWR);
	for (w = c->waiters; w; w = w->next)
		pthread_cond_signal(&w->woken);
}

/* The number may have been closed and given to another file behind our back. */
static bool conn_ours(struct channel *ch, struct conn *c)
{
	if (same_socket(c->fd, atomic_load(&ch->dev), atomic_load(&ch->ino)))
		return true;
	c->fd = -1; /* not ours to close */
	conn_break(ch, c);
	return false;
}

static void conn_leave(struct conn *c)
{
	if (--c->users || !c->broken)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

/* A host without standard streams must not find its messages in our socket. */
static int above_stdio(int fd)
{
	int moved;

	if (fd > 2)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return moved;
}

static enum hf_rc conn_make(struct hf_uplink *l, struct channel *ch, unsigned ms, struct hf_err *e)
{
	struct conn *c;
	struct stat st;
	enum hf_rc rc;
	int fd;

	ch->opening = true;
	pthread_mutex_unlock(&ch->lock);
	rc = hf_client_open(l->path, l->software, ms, &fd, e);
	pthread_mutex_lock(&ch->lock);
	ch->opening = false;
	pthread_cond_broadcast(&ch->opened);
	if (rc == HF_BUSY && ch->heal_until < hf_now_ms()) /* somebody was there */
		ch->heal_until = hf_now_ms() + HF_UPLINK_HEAL_MS;
	if (rc)
		return rc;
	fd = above_stdio(fd);
	c = calloc(1, sizeof(*c));
	if (!c || fd < 0 || fstat(fd, &st)) {
		if (fd >= 0)
			close(fd);
		free(c);
		return hf_fail(e, HF_NO_MEMORY, "no memory or descriptor for a connection");
	}
	c->fd = fd;
	atomic_store(&ch->dev, st.st_dev);
	atomic_store(&ch->ino, st.st_ino);
	atomic_store(&ch->conn, c);
	atomic_store(&ch->fd, fd);
	return HF_OK;
}

/* Sees to it that there is a connection: one thread makes it, the others wait for that. */
static enum hf_rc conn_open(struct hf_uplink *l, struct channel *ch, uint64_t deadline,
			    struct hf_err *e)
{
	const struct timespec until = moment(deadline);
	uint64_t now;

	while (ch->opening)
		if (pthread_cond_timedwait(&ch->opened, &ch->lock, &until) == ETIMEDOUT)
			break;
	if (atomic_load(&ch->conn))
		return HF_OK;
	now = hf_now_ms();
	if (now >= deadline)
		return hf_fail(e, HF_TIMEOUT, "%s: no answer in time", l->path);
	return conn_make(l, ch,
			 deadline - now < CONNECT_MS ? (unsigned)(deadline - now) : CONNECT_MS, e);
}

static void enlist(struct conn *c, struct waiter *w)
{
	w->next = c->waiters;
	c->waiters = w;
	c->users++;
}

/* Whoever leaves while nobody reads has to see to it that somebody does. */
static void resign(struct conn *c, struct waiter *w)
{
	struct waiter **at;

	for (at = &c->waiters; *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			break;
		}
	if (c->reading)
		return;
	for (w = c->waiters; w; w = w->next)
		if (!w->done) {
			pthread_cond_signal(&w->woken);
			break;
		}
}

/*
 * Hands a packet to whom it answers; one without an id to all, since it is the broker's last
 * word. Answers to calls that gave up are dropped.
 */
static bool deliver(struct channel *ch, struct conn *c, const uint8_t *p, size_t n)
{
	struct waiter *w;
	uint32_t id;

	if (n > hf_Reply_size || !hf_packet_reply_id(p, n, &id))
		return false;
	for (w = c->waiters; w; w = w->next)
		if ((w->id == id || !id) && !w->done) {
			memcpy(w->reply, p, n);
			w->n = n;
			w->done = true;
			pthread_cond_signal(&w->woken);
		}
	if (!id)
		conn_break(ch, c);
	return true;
}

static enum hf_rc read_one(struct channel *ch, struct conn *c, uint8_t *space, uint64_t deadline,
			   struct hf_err *e)
{
	size_t n = 0;
	enum hf_rc rc;
	int fd = c->fd;

	c->reading = true;
	pthread_mutex_unlock(&ch->lock);
	rc = hf_packet_wait(fd, POLLIN, deadline, e);
	pthread_mutex_lock(&ch->lock);
	c->reading = false;
	if (rc == HF_TIMEOUT || c->broken)
		return rc;
	if (!rc && !conn_ours(ch, c))
		return HF_OK;
	if (!rc)
		rc = hf_packet_recv_last(fd, space, hf_Reply_size, &n, e);
	if (rc == HF_BUSY) /* woken for nothing */
		return HF_OK;
	if (!rc && !deliver(ch, c, space, n))
		rc = hf_fail(e, HF_PROTOCOL, "the broker sent something that is not a reply");
	explicit_bzero(space, n); /* a reply may have been a secret */
	if (rc)
		conn_break(ch, c);
	return rc;
}

static enum hf_rc await(struct channel *ch, struct conn *c, struct waiter *w, uint8_t *space,
			uint64_t deadline, struct hf_err *e)
{
	const struct timespec until = moment(deadline);
	enum hf_rc rc;

	while (!w->done) {
		if (c->broken)
			return hf_fail(e, HF_UNAVAILABLE, "the broker closed the connection");
		if (!c->reading) {
			rc = read_one(ch, c, space, deadline, e);
			if (rc && !w->done)
				return rc;
		} else if (pthread_cond_timedwait(&w->woken, &ch->lock, &until) == ETIMEDOUT &&
			   !w->done) {
			return hf_fail(e, HF_TIMEOUT, "no answer in time");
		}
	}
	return HF_OK;
}

struct ask {
	void (*fill)(hf_Request *req, const void *arg);
	const void *arg;
	uint64_t deadline;
};

/* A packet is sent whole or not at all, so the lock is kept, but while there is no room. */
static enum hf_rc send_request(struct channel *ch, struct conn *c, uint32_t id, const struct ask *a,
			       struct hf_err *e)
{
	enum hf_rc rc;
	uint64_t now;
	size_t n;
	int fd;

	for (;;) {
		now = hf_now_ms();
		ch->req.id = id;
		ch->req.timeout_ms = a->deadline > now ? (uint32_t)(a->deadline - now) : 1;
		a->fill(&ch->req, a->arg);
		rc = hf_packet_encode(hf_Request_fields, &ch->req, ch->packet, sizeof(ch->packet),
				      &n, e);
		if (!rc)
			rc = hf_packet_send(c->fd, ch->packet, n, e);
		if (rc != HF_BUSY)
			return rc;
		fd = c->fd;
		pthread_mutex_unlock(&ch->lock);
		rc = hf_packet_wait(fd, POLLOUT, a->deadline, e);
		pthread_mutex_lock(&ch->lock);
		if (rc)
			return rc;
		if (c->broken || !conn_ours(ch, c))
			return hf_fail(e, HF_UNAVAILABLE, "the broker closed the connection");
	}
}

/* One request on @c. *@sent: the broker may have it. */
static enum hf_rc use(struct channel *ch, struct conn *c, const struct ask *a, struct waiter *w,
		      uint8_t *space, bool *sent, struct hf_err *e)
{
	enum hf_rc rc;

	w->done = false;
	w->id = ++ch->last_id ? ch->last_id : ++ch->last_id;
	enlist(c, w);
	rc = send_request(ch, c, w->id, a, e);
	*sent = rc != HF_UNAVAILABLE;
	if (!*sent)
		conn_break(ch, c);
	if (!rc)
		rc = await(ch, c, w, space, a->deadline, e);
	resign(c, w);
	conn_leave(c);
	return rc;
}

/* The connection of an earlier call, or NULL. */
static struct conn *conn_kept(struct channel *ch)
{
	struct conn *c = atomic_load(&ch->conn);

	if (c && !conn_ours(ch, c) && !c->users)
		free(c);
	return atomic_load(&ch->conn);
}

/* One try. The lock is held. */
static enum hf_uplink_end try_once(struct hf_uplink *l, struct channel *ch, const struct ask *a,
				   struct waiter *w, uint8_t *space, struct hf_err *e)
{
	struct conn *c = conn_kept(ch);
	enum hf_rc rc = HF_OK;
	bool sent = false;

	if (c)
		rc = use(ch, c, a, w, space, &sent, e);
	/* A broker may close what is idle, to have room for others; that is noticed here. */
	if (!sent) {
		if (conn_open(l, ch, a->deadline, e))
			return HF_UPLINK_NO_BROKER;
		rc = use(ch, atomic_load(&ch->conn), a, w, space, &sent, e);
	}
	if (!rc)
		return HF_UPLINK_ANSWERED;
	return rc == HF_UNAVAILABLE || rc == HF_PROTOCOL ? HF_UPLINK_LOST : HF_UPLINK_GAVE_UP;
}

int hf_uplink_again(const struct hf_uplink_try *t)
{
	int pause = t->waited < 6 ? 5 << t->waited : 200;

	if (t->end == HF_UPLINK_GAVE_UP || t->now >= t->deadline)
		return -1;
	if (t->rc == HF_BUSY)
		return t->now - t->begun < HF_UPLINK_BUSY_MS ? pause : -1;
	if (t->end == HF_UPLINK_NO_BROKER)
		return t->rc == HF_UNAVAILABLE && t->now < t->heal_until ? pause : -1;
	if (t->end == HF_UPLINK_LOST || t->rc == HF_UNAVAILABLE)
		return t->repeated ? -1 : 0;
	return -1;
}

static void pause_ms(int ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (ms > 0 && nanosleep(&t, &t) && errno == EINTR)
		;
}

static enum hf_rc call_with(struct hf_uplink *l, const struct ask *a, struct waiter *w,
			    uint8_t *space, hf_Reply *rep, struct hf_err *e)
{
	struct hf_uplink_try t = { .begun = hf_now_ms(), .deadline = a->deadline };
	int wait = 0;

	do {
		struct channel *ch = channel_of(l);

		if (!ch)
			return hf_fail(e, HF_NO_MEMORY, "out of memory");
		pause_ms(wait);
		pthread_mutex_lock(&ch->lock);
		t.end = try_once(l, ch, a, w, space, e);
		t.heal_until = ch->heal_until;
		pthread_mutex_unlock(&ch->lock);
		t.rc = t.end == HF_UPLINK_ANSWERED ? HF_OK : e->rc;
		if (t.end == HF_UPLINK_LOST || t.end == HF_UPLINK_GAVE_UP)
			(void)hf_within(e, "%s", l->path);
		if (!t.rc)
			t.rc = hf_packet_decode(hf_Reply_fields, w->reply, w->n, rep, e);
		if (!t.rc && !rep->id)
			t.end = HF_UPLINK_LOST;
		if (!t.rc)
			t.rc = hf_client_result(rep, e);
		t.now = hf_now_ms();
		wait = hf_uplink_again(&t);
		if (wait > 0)
			t.waited++;
		else
			t.repeated++;
	} while (t.rc && wait >= 0);
	return t.rc;
}

enum hf_rc hf_uplink_call_for(struct hf_uplink *l, unsigned ms,
			      void (*fill)(hf_Request *req, const void *arg), const void *arg,
			      hf_Reply *rep, struct hf_err *e)
{
	struct ask a = { fill, arg, hf_now_ms() + ms };
	struct waiter *w = malloc(sizeof(*w));
	uint8_t *space = malloc(hf_Reply_size);
	enum hf_rc rc = HF_NO_MEMORY;
	int cancel;

	/* A thread cancelled in here would take the lock with it. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	if (w && space) {
		init_cond(&w->woken);
		w->n = 0;
		rc = call_with(l, &a, w, space, rep, e);
		pthread_cond_destroy(&w->woken);
	} else {
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
	}
	if (w) /* the last reply is the only one that can be a secret */
		explicit_bzero(w->reply, w->n);
	if (space && rc) /* one that was too long is nobody's */
		explicit_bzero(space, hf_Reply_size);
	free(space);
	free(w);
	pthread_setcancelstate(cancel, NULL);
	return rc;
}

enum hf_rc hf_uplink_call(struct hf_uplink *l, void (*fill)(hf_Request *req, const void *arg),
			  const void *arg, hf_Reply *rep, struct hf_err *e)
{
	return hf_uplink_call_for(l, HF_UPLINK_TIMEOUT_MS, fill, arg, rep, e);
}
