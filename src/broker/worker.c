/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/process.h"
#include "broker/job.h"
#include "broker/ops.h"
#include "broker/pin.h"
#include "broker/warden.h"

#define LOOK_MS 5000u

/* The end of every job: its answer, whoever gives it. */
static void finish(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		   struct hf_err *e)
{
	if (j->done && (j->conn || !j->peer))
		j->done(b, j, rep, e);
	else
		hf_ops_gone(b, j, rep, e->rc);
	hf_job_free(b, j);
}

static struct hf_flow *flow_of(struct hf_worker *w, const struct hf_job *j)
{
	return j->peer ? &j->peer->flows[w->index] : &w->own;
}

static void leave_seat(struct hf_job *j)
{
	TAILQ_REMOVE(&j->seat->jobs, j, of_seat);
	j->seat->at_keeper--;
	j->at_keeper = false;
	if (j->making)
		j->peer->running--;
}

static void dequeue(struct hf_worker *w, struct hf_job *j)
{
	if (j->seat)
		leave_seat(j);
	else
		(void)hf_queue_drop(&w->queue, &j->item);
}

/* Something is over its time at @at, in ms. */
static void note_due(struct hf_worker *w, uint64_t at)
{
	if (!w->due || at < w->due)
		w->due = at;
}

static bool any_ready(const struct hf_worker *w)
{
	size_t i;

	for (i = 0; i < w->token->workers; i++)
		if (w->seats[i].source.fd >= 0 && w->seats[i].ready)
			return true;
	return false;
}

/* No seat has a keeper. */
static bool down(const struct hf_worker *w)
{
	size_t i;

	for (i = 0; i < w->token->workers; i++)
		if (w->seats[i].source.fd >= 0)
			return false;
	return true;
}

/* Some keeper has been asked, and its answer will tell more. */
static bool any_asked(const struct hf_worker *w)
{
	size_t i;

	for (i = 0; i < w->token->workers; i++)
		if (w->seats[i].source.fd >= 0 && w->seats[i].at_keeper)
			return true;
	return false;
}

/* Queued for a client, who can be told that the token is not there. */
static struct hf_job *waiting(const struct hf_worker *w)
{
	struct hf_job *j;

	LIST_FOREACH(j, &w->jobs, of_worker)
	if (!j->seat && j->conn && !j->anyway)
		break;
	return j;
}

/*
 * One request has found out that the token is not to be had. That goes for all that wait
 * for it: each of them would take as long to find out the same.
 */
static void give_up(struct hf_broker *b, struct hf_worker *w, enum hf_rc rc)
{
	struct hf_job *j;

	while (!any_ready(w) && !any_asked(w) && (j = waiting(w))) {
		struct hf_err err = HF_ERR_INIT;

		(void)hf_fail(&err, rc, "token %s: %s", w->token->name, w->info.error);
		dequeue(w, j);
		finish(b, j, NULL, &err);
	}
}

/* No seat has it. */
static void token_lost(struct hf_worker *w, hf_TokenInfo_State state, const char *why)
{
	if (strcmp(w->info.error, why))
		hf_log(HF_LOG_WARN, "token %s: %s", w->token->name, why);
	w->info.state = state;
	(void)hf_copy(w->info.error, sizeof(w->info.error), why);
}

/* Without a seat that is ready those that wait have less time: they are looked at anew. */
static void set_ready(struct hf_seat *s, bool ready)
{
	struct hf_worker *w = s->worker;
	bool had = any_ready(w);

	s->ready = ready;
	if (any_ready(w))
		return;
	if (had)
		w->lost_at = hf_now_ms();
	note_due(w, hf_now_ms());
}

static void keeper_gone(struct hf_broker *b, struct hf_seat *s, enum hf_rc rc, const char *why)
{
	struct hf_worker *w = s->worker;
	struct hf_job *j;

	hf_log(HF_LOG_ERR, "token %s: %s", w->token->name, why);
	set_ready(s, false);
	hf_loop_forget(b, &s->source);
	w->info.restarts++;
	if (!any_ready(w)) {
		w->info.state = hf_TokenInfo_State_UNAVAILABLE;
		(void)hf_copy(w->info.error, sizeof(w->info.error), why);
	}
	hf_warden_kill(b->control, rc == HF_TIMEOUT ? HF_WARDEN_REPLACE : HF_WARDEN_KILL, s->number,
		       s->serial);
	while ((j = TAILQ_FIRST(&s->jobs))) {
		struct hf_err err = HF_ERR_INIT;

		(void)hf_fail(&err, rc, "token %s: %s; try again", w->token->name, why);
		dequeue(w, j);
		finish(b, j, NULL, &err);
	}
	if (rc == HF_TIMEOUT)
		give_up(b, w, rc); /* of a keeper that died the next one may know better */
}

/* Its keeper works on one after the other: the time of each begins when the one before ends. */
static void begin_next(struct hf_seat *s)
{
	struct hf_job *j = TAILQ_FIRST(&s->jobs);

	if (!j || j->begun)
		return;
	j->begun = hf_now_ms();
	note_due(s->worker, j->begun + j->keeper_ms);
}

static void send_job(struct hf_broker *b, struct hf_seat *s, struct hf_job *j)
{
	j->seat = s;
	TAILQ_INSERT_TAIL(&s->jobs, j, of_seat);
	s->at_keeper++;
	j->at_keeper = true;
	if (j->making)
		j->peer->running++;
	begin_next(s);
	if (hf_packet_send(s->source.fd, j->packet, j->n, NULL))
		keeper_gone(b, s, HF_UNAVAILABLE, "its keeper does not take requests any more");
}

/* ------------------------------------------------- what the broker itself asks */

static void opened(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		   struct hf_err *e)
{
	if (rep)
		hf_worker_learn(b, j, rep, e);
}

/* b->keeper_request of the broker's own, past the queue. */
static void ask(struct hf_broker *b, struct hf_seat *s, uint32_t keeper_ms)
{
	struct hf_err err = HF_ERR_INIT;
	struct hf_job *j = hf_job_new(b, s->worker, NULL, (struct hf_view){ NULL, 0 }, &err);

	if (!j) {
		hf_log(HF_LOG_ERR, "token %s: %s", s->worker->token->name, err.msg);
		return;
	}
	j->done = opened;
	j->keeper_ms = keeper_ms;
	send_job(b, s, j);
}

static void ping(struct hf_broker *b, struct hf_seat *s, uint32_t keeper_ms)
{
	memset(&b->keeper_request, 0, sizeof(b->keeper_request));
	b->keeper_request.which_op = hf_KeeperRequest_ping_tag;
	ask(b, s, keeper_ms);
}

/* ---------------------------------------------------------------- the queue */

/* The one with the least to do; one that is not ready only if none is. */
static struct hf_seat *free_seat(struct hf_worker *w)
{
	struct hf_seat *s, *best = NULL;
	bool ready = any_ready(w);
	size_t i;

	for (i = 0; i < w->token->workers; i++) {
		s = &w->seats[i];
		if (s->source.fd < 0 || s->at_keeper >= HF_KEEPER_DEPTH || (ready && !s->ready))
			continue;
		if (!best || s->at_keeper < best->at_keeper)
			best = s;
	}
	return best;
}

/* Of one user one RSA key is made at a time, however many keepers there are. */
static bool may_go(const struct hf_item *i)
{
	const struct hf_job *j = (const struct hf_job *)i;

	return !j->making || !j->peer->running;
}

/* NULL: nothing that could be sent now. */
static struct hf_job *next_job(struct hf_worker *w)
{
	struct hf_job *j;

	if (any_ready(w))
		return (struct hf_job *)hf_queue_pop(&w->queue, may_go);
	LIST_FOREACH(j, &w->jobs, of_worker)
	if (!j->seat && j->anyway)
		break;
	if (j)
		dequeue(w, j);
	return j;
}

/* While the token is not there, each keeper looks for it, and all that wait hear what they find. */
static void look_for(struct hf_broker *b, struct hf_worker *w)
{
	size_t i;

	if (any_ready(w) || any_asked(w) || !waiting(w))
		return;
	for (i = 0; i < w->token->workers; i++)
		if (w->seats[i].source.fd >= 0)
			ping(b, &w->seats[i], w->token->timeout_ms + HF_PING_MS);
}

static void pump(struct hf_broker *b, struct hf_worker *w)
{
	struct hf_seat *s;
	struct hf_job *j;

	while ((s = free_seat(w)) && (j = next_job(w))) {
		/* A token that hangs shall not have the minutes that it takes to make a key. */
		if (j->keeper_ms >= HF_CREATE_MS)
			ping(b, s, w->token->timeout_ms);
		send_job(b, s, j);
	}
	look_for(b, w);
}

/* What the answer @rc says of the token itself. */
static void doubt(struct hf_broker *b, struct hf_seat *s, enum hf_rc rc, const char *why)
{
	struct hf_worker *w = s->worker;

	if (rc != HF_UNAVAILABLE && rc != HF_TIMEOUT)
		return;
	set_ready(s, false);
	if (rc == HF_TIMEOUT && s->at_keeper) {
		keeper_gone(b, s, rc, why); /* what stands behind it would wait as long again */
	} else if (!any_ready(w)) {
		token_lost(w, hf_TokenInfo_State_UNAVAILABLE, why);
		if (rc == HF_TIMEOUT)
			give_up(b, w, rc);
	}
}

static void keeper_ready(struct hf_broker *b, struct hf_source *source, uint32_t events)
{
	struct hf_seat *s = (struct hf_seat *)source;
	struct hf_worker *w = s->worker;
	hf_KeeperReply *rep = &b->keeper_reply;
	struct hf_err err = HF_ERR_INIT;
	struct hf_job *j;
	enum hf_rc rc;
	bool ready;
	size_t n;

	(void)events;
	rc = hf_packet_recv(source->fd, b->packet, HF_KEEPER_PACKET_MAX, &n, &err);
	if (rc == HF_BUSY)
		return;
	if (rc == HF_UNAVAILABLE) {
		keeper_gone(b, s, HF_UNAVAILABLE, "its keeper died and is being replaced");
		return;
	}
	if (!rc)
		rc = hf_packet_decode(hf_KeeperReply_fields, b->packet, n, rep, &err);
	for (j = rc ? NULL : TAILQ_FIRST(&s->jobs); j && j->id != rep->id;
	     j = TAILQ_NEXT(j, of_seat))
		;
	if (!j) { /* it may hold a secret all the same */
		explicit_bzero(b->packet, n < sizeof(b->packet) ? n : sizeof(b->packet));
		explicit_bzero(rep, sizeof(*rep));
		keeper_gone(b, s, HF_UNAVAILABLE, "its keeper answered what nobody asked");
		return;
	}
	leave_seat(j);
	hf_job_unlist(j);
	begin_next(s);
	w->info.operations++;
	w->commands += rep->commands;
	if (rep->status)
		(void)hf_fail(&err, (enum hf_rc)rep->status, "token %s: %s", w->token->name,
			      rep->message);
	doubt(b, s, (enum hf_rc)rep->status, rep->message);
	ready = any_ready(w);
	if (ready)
		pump(b, w); /* the token first, then the client */
	finish(b, j, rep, &err);
	if (!ready)
		pump(b, w); /* what was answered may have changed that */
	if (rep->which_result == hf_KeeperReply_secret_tag) {
		explicit_bzero(b->packet, n);
		explicit_bzero(&rep->result.secret, sizeof(rep->result.secret));
	}
}

/* ------------------------------------------------- what is known of the token */

/* Of open, ping and provision. */
void hf_worker_learn(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		     const struct hf_err *e)
{
	const hf_KeeperOpened *o = &rep->result.opened;
	struct hf_worker *w = j->worker;
	hf_TokenInfo *t = &w->info;
	struct hf_err err = HF_ERR_INIT;
	bool good = !rep->status && rep->which_result == hf_KeeperReply_opened_tag, fresh;

	if (j->seat)
		set_ready(j->seat, good);
	if (!good && any_ready(w)) {
		hf_log(HF_LOG_WARN, "%s; its other workers go on", e->msg);
		return;
	}
	if (!good) {
		token_lost(w,
			   rep->status == hf_Status_GONE      ? hf_TokenInfo_State_WRONG
			   : rep->status == hf_Status_LOCKOUT ? hf_TokenInfo_State_LOCKOUT
							      : hf_TokenInfo_State_UNAVAILABLE,
			   rep->status ? rep->message : "its keeper does not say what it found");
		give_up(b, w, rep->status ? (enum hf_rc)rep->status : HF_FAILED);
		return;
	}
	fresh = t->state != hf_TokenInfo_State_READY;
	if (fresh)
		hf_log(HF_LOG_INFO, "token %s: ready: %s", t->name, o->description);
	t->state = hf_TokenInfo_State_READY;
	t->error[0] = '\0';
	t->provisioned = o->provisioned;
	w->lockout_counter = o->lockout_counter;
	memcpy(t->description, o->description, sizeof(t->description));
	memcpy(t->algorithms, o->algorithms, sizeof(t->algorithms));
	t->algorithms_count = o->algorithms_count;
	if (!w->pin.size && o->primary_name.size) {
		memcpy(&w->pin, &o->primary_name, sizeof(w->pin));
		if (hf_pin_write(b->settings->state_dir, t->name, w->pin.bytes, w->pin.size, &err))
			hf_log(HF_LOG_ERR, "token %s: cannot record which TPM it is: %s", t->name,
			       err.msg);
	}
	if (fresh)
		hf_ops_adopt(b, w); /* @rep is not ours any more after this */
}

static void fill_open(hf_KeeperOpen *o, const struct hf_worker *w)
{
	const struct hf_token_conf *t = w->token;

	(void)hf_copy(o->type, sizeof(o->type), t->type);
	(void)hf_copy(o->tcti, sizeof(o->tcti), t->tcti);
	(void)hf_copy(o->module, sizeof(o->module), t->module);
	(void)hf_copy(o->uri, sizeof(o->uri), t->uri);
	(void)hf_copy(o->confine, sizeof(o->confine), t->confine);
	o->primary_handle = t->primary_handle;
	o->timeout_ms = t->timeout_ms;
	o->shared = strstr(t->tcti, "tpmrm") || strstr(t->tcti, "tabrmd");
	memcpy(&o->primary_name, &w->pin, sizeof(o->primary_name));
}

void hf_worker_attach(struct hf_broker *b, size_t number, int fd, uint32_t serial)
{
	size_t token = number / HF_WORKERS_MAX, seat = number % HF_WORKERS_MAX;
	struct hf_worker *w = token < b->n_workers ? &b->workers[token] : NULL;
	struct hf_err err = HF_ERR_INIT;
	struct hf_seat *s;

	if (!w || seat >= w->token->workers) {
		hf_fd_close(&fd);
		return;
	}
	s = &w->seats[seat];
	if (s->source.fd >= 0) /* the warden has seen it first */
		keeper_gone(b, s, HF_UNAVAILABLE, "its keeper died and is being replaced");
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	s->source.fd = fd;
	s->serial = serial;
	s->ready = false;
	s->look_at = hf_now_ms() + LOOK_MS;
	if (hf_loop_watch(b, &s->source, EPOLLIN, &err)) {
		hf_log(HF_LOG_ERR, "token %s: %s", w->token->name, err.msg);
		return;
	}
	memset(&b->keeper_request, 0, sizeof(b->keeper_request));
	b->keeper_request.which_op = hf_KeeperRequest_open_tag;
	fill_open(&b->keeper_request.op.open, w);
	ask(b, s, w->token->timeout_ms + HF_PING_MS); /* the first contact may take a while */
	hf_ops_clear_up(b, s);
	pump(b, w);
}

/* One keeper may have lost what the others have not, and gets no request that would tell. */
static uint64_t look_again(struct hf_broker *b, struct hf_worker *w, uint64_t now)
{
	uint64_t first = 0;
	size_t i;

	for (i = 0; w->token->workers > 1 && any_ready(w) && i < w->token->workers; i++) {
		struct hf_seat *s = &w->seats[i];

		if (s->source.fd < 0 || s->ready || s->at_keeper)
			continue;
		if (s->look_at <= now) {
			s->look_at = now + LOOK_MS;
			ping(b, s, w->token->timeout_ms + HF_PING_MS);
		} else if (!first || s->look_at < first) {
			first = s->look_at;
		}
	}
	return first;
}

void hf_worker_renew(struct hf_broker *b, struct hf_worker *w)
{
	size_t i;

	for (i = 0; i < w->token->workers; i++)
		if (w->seats[i].source.fd >= 0)
			keeper_gone(b, &w->seats[i], HF_UNAVAILABLE, "its keeper starts anew");
}

/* ------------------------------------------------------------------- jobs */

/* The client's deadline, and while nobody has the token that of the token. */
static uint64_t deadline_of(const struct hf_worker *w, const struct hf_job *j)
{
	uint64_t since = j->queued > w->lost_at ? j->queued : w->lost_at;
	uint64_t until = since + w->token->timeout_ms;
	bool first = w->info.state == hf_TokenInfo_State_STARTING && !down(w); /* takes a while */

	return until < j->deadline && !j->seat && !first && !any_ready(w) ? until : j->deadline;
}

void hf_worker_submit(struct hf_broker *b, struct hf_job *j)
{
	struct hf_worker *w = j->worker;

	if (j->conn)
		note_due(w, deadline_of(w, j));
	hf_queue_push(&w->queue, flow_of(w, j), &j->item);
	pump(b, w);
}

struct hf_worker *hf_worker_find(struct hf_broker *b, const char *token)
{
	size_t i;

	for (i = 0; i < b->n_workers; i++)
		if (!strcmp(b->workers[i].token->name,
			    token[0] ? token : b->settings->default_token))
			return &b->workers[i];
	return NULL;
}

void hf_worker_abandon(struct hf_broker *b, struct hf_conn *c)
{
	struct hf_err err = HF_ERR_INIT;
	struct hf_job *j;

	(void)hf_fail(&err, HF_TIMEOUT, "its client is gone");
	while ((j = LIST_FIRST(&c->jobs))) {
		hf_job_detach(j);
		if (j->seat)
			continue; /* its answer is thrown away */
		dequeue(j->worker, j);
		finish(b, j, NULL, &err);
	}
}

static void expire_job(struct hf_broker *b, struct hf_worker *w, struct hf_job *j)
{
	struct hf_err err = HF_ERR_INIT;
	const char *why = "it did not get to this in time";

	if (!any_ready(w))
		why = w->info.error[0] ? w->info.error : "its keeper is still being started";
	(void)hf_fail(&err, HF_TIMEOUT, "token %s: %s; see 'holdfast token list'", w->token->name,
		      why);
	if (!j->seat) {
		dequeue(w, j);
		finish(b, j, NULL, &err);
	} else if (j->conn) {
		j->done(b, j, NULL, &err); /* the keeper still has it: only the client is told */
		hf_job_detach(j);
	}
}

/* Ends what is over its time, and finds out when the next one will be. */
static void expire_jobs(struct hf_broker *b, struct hf_worker *w, uint64_t now)
{
	struct hf_job *j, *next;

	w->due = 0;
	for (j = LIST_FIRST(&w->jobs); j; j = next) {
		uint64_t keeper = j->begun ? j->begun + j->keeper_ms : 0;
		uint64_t client = j->conn ? deadline_of(w, j) : 0;

		next = LIST_NEXT(j, of_worker);
		if (keeper && keeper <= now) {
			char why[96];

			(void)snprintf(why, sizeof(why), "it has not answered for %u ms",
				       j->keeper_ms);
			keeper_gone(b, j->seat, HF_TIMEOUT, why);
			note_due(w, now); /* the list has changed: come again */
			return;
		}
		if (client && client <= now) {
			expire_job(b, w, j);
			continue;
		}
		if (keeper)
			note_due(w, keeper);
		if (client)
			note_due(w, client);
	}
}

uint64_t hf_worker_expire(struct hf_broker *b, struct hf_worker *w, uint64_t now)
{
	uint64_t first = look_again(b, w, now);

	pump(b, w); /* what waited for an RSA key at another token */
	if (LIST_EMPTY(&w->jobs))
		w->due = 0; /* nobody is woken for what is done already */
	else if (w->due && w->due <= now)
		expire_jobs(b, w, now);
	return first && (!w->due || first < w->due) ? first : w->due;
}

void hf_worker_init(struct hf_broker *b, struct hf_worker *w, const struct hf_token_conf *t,
		    size_t index)
{
	struct hf_err err = HF_ERR_INIT;
	size_t i, n;

	memset(w, 0, sizeof(*w));
	for (i = 0; i < HF_WORKERS_MAX; i++) {
		w->seats[i] = (struct hf_seat){ .source = { .fd = -1, .ready = keeper_ready },
						.worker = w,
						.number = (uint32_t)(index * HF_WORKERS_MAX + i) };
		TAILQ_INIT(&w->seats[i].jobs);
	}
	w->token = t;
	w->index = index;
	w->lost_at = hf_now_ms();
	w->info.state = hf_TokenInfo_State_STARTING;
	(void)hf_copy(w->info.name, sizeof(w->info.name), t->name);
	(void)hf_copy(w->info.type, sizeof(w->info.type), t->type);
	n = hf_pin_read(b->settings->state_dir, t->name, w->pin.bytes, sizeof(w->pin.bytes), &err);
	w->pin.size = (pb_size_t)n;
	if (err.rc)
		hf_log(HF_LOG_ERR, "token %s: %s", t->name, err.msg);
}

void hf_worker_finish(struct hf_broker *b, struct hf_worker *w)
{
	struct hf_job *j;
	size_t i;

	for (i = 0; i < HF_WORKERS_MAX; i++)
		hf_loop_forget(b, &w->seats[i].source);
	while ((j = LIST_FIRST(&w->jobs))) {
		dequeue(w, j);
		hf_job_free(b, j);
	}
}
