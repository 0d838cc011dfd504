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
#include "broker/ops.h"
#include "broker/pin.h"
#include "broker/warden.h"

#define LOOK_MS 5000u

/* Not in the list any more, it cannot be finished twice. */
static void unlist(struct hf_job *j)
{
	struct hf_job **at;

	for (at = &j->worker->jobs; *at && *at != j; at = &(*at)->next)
		;
	if (*at)
		*at = j->next;
}

static void job_free(struct hf_broker *b, struct hf_job *j)
{
	unlist(j);
	if (j->peer) {
		hf_peers_give(&b->peers, j->peer, j->n);
		j->peer->jobs--;
		j->peer->making -= j->making;
		hf_peers_put(&b->peers, j->peer);
	}
	if (j->conn)
		j->conn->jobs--;
	hf_gather_put(j->gather);
	free(j->packet);
	free(j);
}

/* The end of every job: its answer, whoever gives it. */
static void finish(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		   struct hf_err *e)
{
	if (j->done && (j->conn || !j->peer))
		j->done(b, j, rep, e);
	else
		hf_ops_discard(b, j, rep); /* its client is gone */
	job_free(b, j);
}

static struct hf_flow *flow_of(struct hf_worker *w, const struct hf_job *j)
{
	return j->peer ? &j->peer->flows[w->index] : &w->own;
}

static void dequeue(struct hf_worker *w, struct hf_job *j)
{
	if (j->seat)
		j->seat->at_keeper--;
	else
		(void)hf_queue_drop(&w->queue, &j->item);
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

	for (j = w->jobs; j && (j->seat || !j->conn || j->anyway); j = j->next)
		;
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

static void set_ready(struct hf_seat *s, bool ready)
{
	bool had = any_ready(s->worker);

	s->ready = ready;
	if (had && !any_ready(s->worker))
		s->worker->lost_at = hf_now_ms();
}

static void keeper_gone(struct hf_broker *b, struct hf_seat *s, enum hf_rc rc, const char *why)
{
	struct hf_worker *w = s->worker;
	struct hf_job *j, *next;

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
	for (j = w->jobs; j; j = next) {
		struct hf_err err = HF_ERR_INIT;

		next = j->next;
		if (j->seat != s)
			continue;
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
	struct hf_job *j, *next = NULL;

	for (j = s->worker->jobs; j; j = j->next)
		if (j->seat == s && (!next || j->turn < next->turn))
			next = j;
	if (next && !next->begun)
		next->begun = hf_now_ms();
}

static void send_job(struct hf_broker *b, struct hf_seat *s, struct hf_job *j)
{
	j->seat = s;
	j->turn = ++s->turns;
	s->at_keeper++;
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

/* NULL: nothing that could be sent now. */
static struct hf_job *next_job(struct hf_worker *w)
{
	struct hf_job *j;

	if (any_ready(w))
		return (struct hf_job *)hf_queue_pop(&w->queue, NULL);
	for (j = w->jobs; j && (j->seat || !j->anyway); j = j->next)
		;
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
	for (j = rc ? NULL : w->jobs; j && !(j->seat == s && j->id == rep->id); j = j->next)
		;
	if (!j) {
		keeper_gone(b, s, HF_UNAVAILABLE, "its keeper answered what nobody asked");
		return;
	}
	s->at_keeper--;
	unlist(j);
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
	if (s->source.fd >= 0)
		hf_loop_forget(b, &s->source);
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	s->source.fd = fd;
	s->serial = serial;
	s->at_keeper = 0;
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

struct hf_job *hf_job_new(struct hf_broker *b, struct hf_worker *w, struct hf_conn *c,
			  struct hf_view data, struct hf_err *e)
{
	const size_t room = hf_KeeperCertificate_size + 64; /* of all but the data */
	struct hf_job *j;
	size_t n;

	if (c && c->peer->jobs >= b->settings->limits.queue_per_principal) {
		(void)hf_fail(e, HF_BUSY, "%u requests of yours are waiting already; try again",
			      c->peer->jobs);
		return NULL;
	}
	j = calloc(1, sizeof(*j));
	if (!j || !(j->packet = malloc(room + data.n))) {
		free(j);
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
		return NULL;
	}
	j->id = b->keeper_request.id = ++b->next_id;
	if (hf_keeper_encode(&b->keeper_request, data, j->packet, room + data.n, &n, e) ||
	    (c && !hf_peers_take(&b->peers, c->peer, n, b->settings->limits.bytes))) {
		if (e && e->rc == HF_OK)
			(void)hf_fail(e, HF_BUSY, "too many bytes are waiting already; try again");
		free(j->packet);
		free(j);
		return NULL;
	}
	j->packet = realloc(j->packet, n); /* shrinks: what is queued is what is counted */
	j->n = n;
	j->worker = w;
	j->conn = c;
	j->keeper_ms = w->token->timeout_ms;
	j->queued = hf_now_ms();
	j->deadline = j->queued + HF_CLIENT_MS;
	j->item.cost = 1;
	if (c) {
		j->peer = hf_peers_get(&b->peers, &c->who);
		j->peer->jobs++;
		j->request_id = b->request.id;
		c->jobs++;
		if (b->request.timeout_ms)
			j->deadline = hf_now_ms() + b->request.timeout_ms;
	}
	j->next = w->jobs;
	w->jobs = j;
	return j;
}

void hf_worker_submit(struct hf_broker *b, struct hf_job *j)
{
	struct hf_worker *w = j->worker;

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

void hf_worker_abandon(struct hf_broker *b, struct hf_worker *w, struct hf_conn *c)
{
	struct hf_job *j, *next;

	for (j = w->jobs; j; j = next) {
		next = j->next;
		if (j->conn != c)
			continue;
		j->conn->jobs--;
		j->conn = NULL;
		if (j->seat)
			continue; /* its answer is thrown away */
		dequeue(w, j);
		finish(b, j, NULL, NULL);
	}
}

/* The client's deadline, and while nobody has the token that of the token. */
static uint64_t deadline_of(const struct hf_worker *w, const struct hf_job *j)
{
	uint64_t since = j->queued > w->lost_at ? j->queued : w->lost_at;
	uint64_t until = since + w->token->timeout_ms;
	bool first = w->info.state == hf_TokenInfo_State_STARTING && !down(w); /* takes a while */

	return until < j->deadline && !j->seat && !first && !any_ready(w) ? until : j->deadline;
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
		j->conn->jobs--;
		j->conn = NULL;
	}
}

uint64_t hf_worker_expire(struct hf_broker *b, struct hf_worker *w, uint64_t now)
{
	uint64_t first = look_again(b, w, now);
	struct hf_job *j, *next;

	for (j = w->jobs; j; j = next) {
		uint64_t keeper = j->begun ? j->begun + j->keeper_ms : 0;
		uint64_t client = j->conn ? deadline_of(w, j) : 0;

		next = j->next;
		if (keeper && keeper <= now) {
			char why[96];

			(void)snprintf(why, sizeof(why), "it has not answered for %u ms",
				       j->keeper_ms);
			keeper_gone(b, j->seat, HF_TIMEOUT, why);
			return 1; /* the list has changed: come again */
		}
		if (client && client <= now) {
			expire_job(b, w, j);
			continue;
		}
		if (keeper && (!first || keeper < first))
			first = keeper;
		if (client && (!first || client < first))
			first = client;
	}
	return first;
}

void hf_worker_init(struct hf_broker *b, struct hf_worker *w, const struct hf_token_conf *t,
		    size_t index)
{
	struct hf_err err = HF_ERR_INIT;
	size_t i, n;

	memset(w, 0, sizeof(*w));
	for (i = 0; i < HF_WORKERS_MAX; i++)
		w->seats[i] = (struct hf_seat){ .source = { .fd = -1, .ready = keeper_ready },
						.worker = w,
						.number = (uint32_t)(index * HF_WORKERS_MAX + i) };
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
	size_t i;

	for (i = 0; i < HF_WORKERS_MAX; i++)
		hf_loop_forget(b, &w->seats[i].source);
	while (w->jobs) {
		struct hf_job *j = w->jobs;

		dequeue(w, j);
		j->conn = NULL;
		job_free(b, j);
	}
}
