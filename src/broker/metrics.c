/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/metrics.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "broker/broker.h"

/* Upper bounds in us: of a denial, of a TPM's signature, of an RSA key. The last has none. */
static const uint64_t bounds[HF_METRICS_BUCKETS - 1] = { 100,	 500,	  1000,	   2500,
							 5000,	 10000,	  25000,   100000,
							 250000, 1000000, 5000000, 60000000 };

static const char *result_name(size_t rc)
{
#define NAME(value, name, text, exit) #name,
	static const char *const names[] = { HF_RC_LIST(NAME) };
#undef NAME
	_Static_assert(HF_COUNT(names) == HF_METRICS_RESULTS, "one counter for each result");

	return names[rc];
}

void hf_metrics_count(struct hf_metrics *m, const char *op, enum hf_rc rc, uint64_t us)
{
	struct hf_metrics_op *o = m->ops, *end = m->ops + HF_METRICS_OPS - 1;
	size_t i;

	while (o < end && o->name && strcmp(o->name, op))
		o++;
	o->name = op;
	o->results[(unsigned)rc < HF_METRICS_RESULTS ? rc : HF_FAILED]++;
	for (i = 0; i < HF_COUNT(bounds) && us > bounds[i]; i++)
		;
	o->buckets[i]++;
	o->us += us;
}

static void head(struct hf_buf *out, const char *name, const char *type, const char *help)
{
	hf_buf_fmt(out, "# HELP holdfast_%s %s\n# TYPE holdfast_%s %s\n", name, help, name, type);
}

static void one(struct hf_buf *out, const char *name, const char *type, const char *help,
		uint64_t value)
{
	head(out, name, type, help);
	hf_buf_fmt(out, "holdfast_%s %" PRIu64 "\n", name, value);
}

static void add_results(const struct hf_metrics *m, struct hf_buf *out)
{
	const struct hf_metrics_op *o;
	size_t i;

	head(out, "operations_total", "counter", "Requests that were answered, by result.");
	for (o = m->ops; o < m->ops + HF_METRICS_OPS && o->name; o++)
		for (i = 0; i < HF_METRICS_RESULTS; i++)
			if (o->results[i])
				hf_buf_fmt(out,
					   "holdfast_operations_total{op=\"%s\",result=\"%s\"} "
					   "%" PRIu64 "\n",
					   o->name, result_name(i), o->results[i]);
}

static void add_histogram(const struct hf_metrics_op *o, struct hf_buf *out)
{
	static const char name[] = "holdfast_operation_seconds";
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < HF_METRICS_BUCKETS; i++) {
		sum += o->buckets[i];
		if (i < HF_COUNT(bounds))
			hf_buf_fmt(out,
				   "%s_bucket{op=\"%s\",le=\"%" PRIu64 ".%06" PRIu64 "\"} %" PRIu64
				   "\n",
				   name, o->name, bounds[i] / 1000000, bounds[i] % 1000000, sum);
		else
			hf_buf_fmt(out, "%s_bucket{op=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name,
				   o->name, sum);
	}
	hf_buf_fmt(out, "%s_sum{op=\"%s\"} %" PRIu64 ".%06" PRIu64 "\n", name, o->name,
		   o->us / 1000000, o->us % 1000000);
	hf_buf_fmt(out, "%s_count{op=\"%s\"} %" PRIu64 "\n", name, o->name, sum);
}

uint64_t hf_metrics_answered(const struct hf_metrics *m, enum hf_rc rc)
{
	const struct hf_metrics_op *o;
	uint64_t sum = 0;

	for (o = m->ops; o < m->ops + HF_METRICS_OPS; o++)
		sum += o->results[rc];
	return sum;
}

static uint64_t restarts(const struct hf_worker *w)
{
	return w->info.restarts;
}

static uint64_t queued(const struct hf_worker *w)
{
	return w->queue.n;
}

static uint64_t at_keepers(const struct hf_worker *w)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < w->token->workers; i++)
		n += w->seats[i].at_keeper;
	return n;
}

static uint64_t is_ready(const struct hf_worker *w)
{
	return w->info.state == hf_TokenInfo_State_READY;
}

static uint64_t commands(const struct hf_worker *w)
{
	return w->commands;
}

static uint64_t lockout(const struct hf_worker *w)
{
	return w->lockout_counter;
}

static const struct {
	const char *name, *type, *help;
	uint64_t (*value)(const struct hf_worker *w);
	bool tpm; /* of TPMs only */
} of_tokens[] = {
	{ "queue_depth", "gauge", "Requests that wait for a token.", queued, false },
	{ "keeper_requests", "gauge", "Requests that are at a token's keepers.", at_keepers,
	  false },
	{ "keeper_restarts_total", "counter", "Keepers that died, or were killed for hanging.",
	  restarts, false },
	{ "token_ready", "gauge", "1 while the token can be used.", is_ready, false },
	{ "tpm_commands_total", "counter", "Commands that were sent to a TPM.", commands, true },
	{ "tpm_lockout_counter", "gauge", "Wrong authorisations that the TPM had counted.", lockout,
	  true },
};

static void add_tokens(const struct hf_broker *b, struct hf_buf *out)
{
	const struct hf_worker *w;
	size_t i;

	for (i = 0; i < HF_COUNT(of_tokens); i++) {
		head(out, of_tokens[i].name, of_tokens[i].type, of_tokens[i].help);
		for (w = b->workers; w < b->workers + b->n_workers; w++)
			if (!of_tokens[i].tpm || !strcmp(w->token->type, "tpm2"))
				hf_buf_fmt(out, "holdfast_%s{token=\"%s\"} %" PRIu64 "\n",
					   of_tokens[i].name, w->token->name,
					   of_tokens[i].value(w));
	}
}

void hf_metrics_text(const struct hf_broker *b, struct hf_buf *out)
{
	const struct hf_metrics *m = &b->metrics;
	const struct hf_metrics_op *o;

	head(out, "build_info", "gauge", "1; the version is the label.");
	hf_buf_str(out, "holdfast_build_info{version=\"" HF_VERSION "\"} 1\n");
	one(out, "uptime_seconds", "gauge", "Since the broker started.",
	    (uint64_t)time(NULL) - b->started);
	one(out, "keys", "gauge", "Keys in the catalogue.", b->catalogue.n);
	one(out, "connections", "gauge", "Connections of clients.", b->peers.connections);
	one(out, "connections_total", "counter", "Connections that were accepted.", m->accepted);
	one(out, "connections_refused_total", "counter",
	    "Connections over a limit, or of nobody in particular.", m->turned_away);
	one(out, "connections_displaced_total", "counter",
	    "Idle connections that were closed for a new one, at a limit.", m->displaced);
	one(out, "received_bytes_total", "counter", "Bytes of requests.", m->bytes_in);
	one(out, "sent_bytes_total", "counter", "Bytes of replies.", m->bytes_out);
	one(out, "waiting_bytes", "gauge", "Bytes of queued requests and unread replies.",
	    b->peers.bytes);
	one(out, "denials_total", "counter", "Requests that the policy or a profile refused.",
	    hf_metrics_answered(m, HF_NO_KEY) + hf_metrics_answered(m, HF_DENIED) +
		    hf_metrics_answered(m, HF_REFUSED));
	one(out, "busy_total", "counter", "Requests over a limit or a rate.",
	    hf_metrics_answered(m, HF_BUSY));
	one(out, "audit_lines_total", "counter", "Lines of the audit.", b->audit_seq);
	one(out, "log_lines_lost_total", "counter",
	    "Lines, of the audit too, that nobody took in time.", hf_log_lost());
	add_tokens(b, out);
	add_results(m, out);
	head(out, "operation_seconds", "histogram", "From the request's arrival to its answer.");
	for (o = m->ops; o < m->ops + HF_METRICS_OPS && o->name; o++)
		add_histogram(o, out);
}
