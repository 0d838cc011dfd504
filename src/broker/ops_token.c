/* SPDX-License-Identifier: Apache-2.0 */
/* ops_token.c: what is said of tokens, and of the broker itself. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "broker/ops.h"
#include "broker/worker.h"

/* One answer that waits for a ping of every token; freed with the last of its jobs. */
struct hf_gather {
	size_t missing, jobs;
};

static void token_info(struct hf_broker *b, const struct hf_worker *w, hf_TokenInfo *to)
{
	size_t i;

	*to = w->info;
	to->keys = to->workers = 0;
	to->queued = (uint32_t)w->queue.n;
	to->commands = w->commands;
	to->lockout_counter = w->lockout_counter;
	for (i = 0; i < w->token->workers; i++)
		to->workers += w->seats[i].source.fd >= 0 && w->seats[i].ready;
	for (i = 0; i < b->catalogue.n; i++)
		to->keys += !strcmp(b->catalogue.keys[i]->token, w->token->name);
}

static void fill_tokens(struct hf_broker *b)
{
	hf_TokenListReply *r = &b->reply.result.token_list;
	size_t i;

	memset(&b->reply, 0, sizeof(b->reply));
	b->reply.which_result = hf_Reply_token_list_tag;
	for (i = 0; i < b->n_workers && i < HF_COUNT(r->tokens); i++)
		token_info(b, &b->workers[i], &r->tokens[r->tokens_count++]);
}

void hf_gather_put(struct hf_gather *g)
{
	if (g && !--g->jobs)
		free(g);
}

/* No answer in time is no news: what is known stays, a busy token is not a broken one. */
static void pinged(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
		   struct hf_err *e)
{
	if (rep)
		hf_worker_learn(b, j, rep, e);
	if (--j->gather->missing)
		return;
	fill_tokens(b);
	hf_ops_answer(b, j, HF_OK, e, NULL);
}

static struct hf_job *new_ping(struct hf_call *c, struct hf_worker *w)
{
	struct hf_job *j;

	memset(&c->b->keeper_request, 0, sizeof(c->b->keeper_request));
	c->b->keeper_request.which_op = hf_KeeperRequest_ping_tag;
	j = hf_ops_job(c, w, (struct hf_view){ NULL, 0 });
	if (!j)
		return NULL;
	j->done = pinged;
	j->keeper_ms = w->token->timeout_ms + HF_PING_MS;
	j->deadline = j->deadline < j->started_us / 1000 + HF_PING_MS
			      ? j->deadline
			      : j->started_us / 1000 + HF_PING_MS;
	return j;
}

enum hf_rc hf_op_token_list(struct hf_call *c)
{
	struct hf_job *jobs[HF_TOKENS_MAX];
	struct hf_gather *g = calloc(1, sizeof(*g));
	size_t i, n = 0;

	if (!g)
		return hf_fail(&c->err, HF_NO_MEMORY, "out of memory");
	for (i = 0; i < c->b->n_workers; i++) {
		jobs[n] = new_ping(c, &c->b->workers[i]);
		if (jobs[n])
			jobs[n++]->gather = g;
	}
	if (!n) {
		free(g);
		fill_tokens(c->b);
		return HF_OK;
	}
	g->missing = g->jobs = n;
	c->pending = true;
	for (i = 0; i < n; i++)
		hf_worker_submit(c->b, jobs[i]);
	return HF_OK;
}

enum hf_rc hf_op_status(struct hf_call *c)
{
	struct hf_broker *b = c->b;
	hf_StatusReply *r = &b->reply.result.status_reply;

	b->reply.which_result = hf_Reply_status_reply_tag;
	(void)hf_copy(r->software, sizeof(r->software), "holdfastd " HF_VERSION);
	r->uptime_s = (uint64_t)time(NULL) - b->started;
	r->connections = b->peers.connections;
	r->keys = (uint32_t)b->catalogue.n;
	r->operations = b->operations;
	r->refusals = b->refusals;
	r->set_aside = b->catalogue.set_aside;
	r->busy = hf_metrics_answered(&b->metrics, HF_BUSY);
	r->lines_lost = hf_log_lost();
	return HF_OK;
}

static void provisioned(struct hf_broker *b, struct hf_job *j, const hf_KeeperReply *rep,
			struct hf_err *e)
{
	enum hf_rc rc = e->rc;

	if (!rc)
		hf_worker_learn(b, j, rep, e);
	memset(&b->reply, 0, sizeof(b->reply));
	if (!rc) {
		b->reply.which_result = hf_Reply_token_tag;
		token_info(b, j->worker, &b->reply.result.token);
	}
	hf_ops_answer(b, j, rc, e, NULL);
}

enum hf_rc hf_op_provision(struct hf_call *c)
{
	const char *token = c->b->request.op.token_provision.token;
	struct hf_worker *w = hf_worker_find(c->b, token);
	struct hf_job *j;

	if (!w)
		return hf_fail(&c->err, HF_ARGUMENT,
			       "there is no token '%s'; see 'holdfast token list'", token);
	/* The next keeper gets the PIN file as it is now; the job will wait for it. */
	if (w->token->pin[0] && w->info.state != hf_TokenInfo_State_READY)
		hf_worker_renew(c->b, w);
	memset(&c->b->keeper_request, 0, sizeof(c->b->keeper_request));
	c->b->keeper_request.which_op = hf_KeeperRequest_provision_tag;
	j = hf_ops_job(c, w, (struct hf_view){ NULL, 0 });
	if (!j)
		return c->err.rc;
	j->done = provisioned;
	j->anyway = true; /* it may be what gets the token back */
	c->pending = true;
	hf_worker_submit(c->b, j);
	return HF_OK;
}
