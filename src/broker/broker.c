/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/broker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/process.h"
#include "broker/confined.h"
#include "broker/conn.h"
#include "broker/ops.h"
#include "broker/scrape.h"
#include "broker/warden.h"
#include "broker/worker.h"

enum hf_rc hf_loop_watch(struct hf_broker *b, struct hf_source *s, uint32_t events,
			 struct hf_err *e)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (s->fd < 0 || s->events == (events | EPOLLRDHUP))
		return HF_OK;
	if (epoll_ctl(b->epoll, s->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &ev))
		return hf_fail_errno(e, HF_IO, "epoll");
	s->events = events | EPOLLRDHUP; /* never 0 once it is in the set */
	return HF_OK;
}

/* And there is room for somebody who could not be let in. */
void hf_loop_forget(struct hf_broker *b, struct hf_source *s)
{
	size_t i;

	if (s->fd >= 0 && s->events)
		(void)epoll_ctl(b->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	s->events = 0;
	hf_fd_close(&s->fd);
	for (i = 0; b->accept_paused && i < b->n_listeners; i++)
		(void)hf_loop_watch(b, &b->listeners[i].source, EPOLLIN, NULL);
	b->accept_paused = false;
}

/* Whoever has put a right PIN into its file says so with a reload. */
static void renew_locked_out(struct hf_broker *b)
{
	size_t i;

	for (i = 0; i < b->n_workers; i++)
		if (b->workers[i].token->pin[0] &&
		    b->workers[i].info.state != hf_TokenInfo_State_READY)
			hf_worker_renew(b, &b->workers[i]);
}

/* Beside clients: keepers, sockets and their locks, readers of metrics, files that are open. */
#define OWN_FILES 256

/* Of the broker alone: a vendor's module may know no descriptor above 1023 (select). */
static void take_files(const struct hf_settings *s)
{
	uint64_t want = (uint64_t)s->limits.connections + OWN_FILES, have = hf_process_files(want);

	if (have < want)
		hf_log(HF_LOG_WARN,
		       "[limits] connections = %u takes %llu descriptors, and the hard limit is "
		       "%llu (LimitNOFILE= in a drop-in, or ulimit -Hn): clients beyond it have to "
		       "wait",
		       (unsigned)s->limits.connections, (unsigned long long)want,
		       (unsigned long long)have);
}

/* A broken file changes nothing. Sockets and tokens need a restart, and that is said. */
static void reload(struct hf_broker *b)
{
	struct hf_settings *old = b->settings, *fresh;
	struct hf_err err = HF_ERR_INIT;
	bool restart;
	size_t i;

	fresh = hf_settings_reload(b->config, old, &restart, &err);
	if (!fresh) {
		hf_log(HF_LOG_ERR, "reload: %s; the old settings stay in force", err.msg);
		return;
	}
	if (restart)
		hf_log(HF_LOG_WARN,
		       "reload: tokens, sockets and state_dir change with a restart only");
	for (i = 0; i < b->n_workers; i++)
		b->workers[i].token = &fresh->tokens[i];
	b->settings = fresh;
	take_files(fresh);
	b->conns_due = 1; /* there may be another limit for idle ones */
	hf_settings_free(old);
	hf_conn_recheck(b);
	renew_locked_out(b);
	hf_log(HF_LOG_NOTICE, "reload: %zu principals are in force", fresh->n_grants);
}

static void signal_ready(struct hf_broker *b, struct hf_source *s, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(s->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		reload(b);
	else
		b->stopping = true;
}

static void control_ready(struct hf_broker *b, struct hf_source *s, uint32_t events)
{
	struct hf_warden_msg m;
	int fd = -1;
	ssize_t n = hf_fd_recv(s->fd, &m, sizeof(m), &fd);

	(void)events;
	if (n == 0 || (n < 0 && errno != EAGAIN))
		b->stopping = true; /* no warden, no keepers */
	else if (n == (ssize_t)sizeof(m) && m.kind == HF_WARDEN_KEEPER && fd >= 0)
		hf_worker_attach(b, m.seat, fd, m.serial);
	else
		hf_fd_close(&fd);
}

/* Does what is due and tells for how long the loop may sleep: -1 is for ever. */
static int run_due(struct hf_broker *b)
{
	uint64_t now = hf_now_ms(), first = hf_conn_expire(b, now), at;
	size_t i;

	at = hf_scrape_expire(b, now);
	if (at && (!first || at < first))
		first = at;
	for (i = 0; i < b->n_workers; i++) {
		at = hf_worker_expire(b, &b->workers[i], now);
		if (at && (!first || at < first))
			first = at;
	}
	if (b->collect_at && (uint64_t)time(NULL) >= b->collect_at)
		b->collect_at = hf_catalogue_collect(&b->catalogue, (uint64_t)time(NULL));
	if (b->collect_at) {
		uint64_t wall = (uint64_t)time(NULL);

		at = now + (b->collect_at > wall ? b->collect_at - wall : 0) * 1000 + 500;
		if (at > now + 3600000)
			at = now + 3600000; /* the wall clock may be set meanwhile */
		if (!first || at < first)
			first = at;
	}
	hf_conn_reap(b);
	if (!first)
		return -1;
	return first <= now ? 0 : (int)(first - now);
}

static enum hf_rc open_loop(struct hf_broker *b, int control, struct hf_err *e)
{
	sigset_t mask;
	enum hf_rc rc = HF_OK;
	size_t i;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGHUP);
	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	b->signals = (struct hf_source){ .fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK),
					 .ready = signal_ready };
	b->control = control;
	b->control_source = (struct hf_source){ .fd = control, .ready = control_ready };
	if (b->epoll < 0 || b->signals.fd < 0)
		return hf_fail_errno(e, HF_IO, "event loop");
	rc = hf_loop_watch(b, &b->signals, EPOLLIN, e);
	if (!rc)
		rc = hf_loop_watch(b, &b->control_source, EPOLLIN, e);
	for (i = 0; i < b->n_listeners && !rc; i++)
		rc = hf_loop_watch(b, &b->listeners[i].source, EPOLLIN, e);
	return rc;
}

static enum hf_rc open_state(struct hf_broker *b, struct hf_err *e)
{
	enum hf_rc rc = hf_dir_make(b->settings->state_dir, 0700, e);
	size_t i;

	if (!rc)
		rc = hf_catalogue_open(&b->catalogue, b->settings->state_dir, e);
	b->catalogue.forget = hf_ops_forget;
	b->catalogue.context = b;
	if (!rc)
		rc = hf_journals_open(&b->journals, b->settings->state_dir, e);
	if (rc)
		return rc;
	for (i = 0; i < b->settings->n_tokens; i++)
		hf_worker_init(b, &b->workers[i], &b->settings->tokens[i], i);
	b->n_workers = b->settings->n_tokens;
	b->started = (uint64_t)time(NULL);
	b->collect_at = hf_catalogue_collect(&b->catalogue, b->started);
	return HF_OK;
}

static void loop(struct hf_broker *b)
{
	struct epoll_event ev;

	while (!b->stopping) {
		/* One event at a time: nothing in a batch can point to what an earlier one freed.
		 */
		int n = epoll_wait(b->epoll, &ev, 1, run_due(b));

		if (n == 1) {
			struct hf_source *s = ev.data.ptr;

			s->ready(b, s, ev.events);
		} else if (n < 0 && errno != EINTR) {
			hf_log(HF_LOG_ERR, "epoll_wait: %s", strerror(errno));
			return;
		}
	}
}

static void close_all(struct hf_broker *b)
{
	struct hf_conn *c;
	size_t i;

	hf_scrape_close(b);
	for (c = b->conns; c; c = c->next)
		hf_conn_close(b, c);
	hf_conn_reap(b);
	for (i = 0; i < b->n_workers; i++)
		hf_worker_finish(b, &b->workers[i]);
	hf_peers_finish(&b->peers);
	hf_catalogue_close(&b->catalogue);
	hf_journals_close(&b->journals);
	hf_settings_free(b->settings);
	(void)close(b->epoll);
	free(b);
}

int hf_broker_main(struct hf_settings *s, const char *config, bool confined,
		   struct hf_listener *listeners, size_t n_listeners, int control)
{
	struct hf_broker *b = calloc(1, sizeof(*b));
	struct hf_err err = HF_ERR_INIT;
	enum hf_rc rc;

	if (!b)
		return 1;
	b->settings = s;
	b->config = config;
	b->listeners = listeners;
	b->n_listeners = n_listeners;
	take_files(s);
	rc = open_state(b, &err);
	if (!rc)
		rc = open_loop(b, control, &err);
	if (!rc && confined)
		rc = hf_broker_confine(s->state_dir, config, &err);
	if (rc) {
		hf_log(HF_LOG_ERR, "%s", err.msg);
		close_all(b);
		return 1;
	}
	hf_warden_ready(control);
	hf_log(HF_LOG_INFO, "serving %zu keys on %zu sockets", b->catalogue.n, n_listeners);
	loop(b);
	close_all(b);
	return 0;
}
