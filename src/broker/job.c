/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/job.h"

#include <stdlib.h>

#include "base/process.h"
#include "broker/ops.h"
#include "broker/worker.h"

void hf_job_unlist(struct hf_job *j)
{
	if (j->listed)
		LIST_REMOVE(j, of_worker);
	j->listed = false;
}

void hf_job_detach(struct hf_job *j)
{
	if (j->conn)
		LIST_REMOVE(j, of_conn);
	j->conn = NULL;
}

void hf_job_free(struct hf_broker *b, struct hf_job *j)
{
	hf_job_unlist(j);
	hf_job_detach(j);
	if (j->peer) {
		hf_peers_give(&b->peers, j->peer, j->n);
		j->peer->jobs--;
		b->peers.jobs--;
		j->peer->making -= j->making;
		hf_peers_put(&b->peers, j->peer);
	}
	hf_gather_put(j->gather);
	free(j->packet);
	free(j);
}

/* At the limit of all nobody is shut out: who has nothing waiting may have one. */
static enum hf_rc check_room(struct hf_broker *b, const struct hf_peer *p, struct hf_err *e)
{
	if (p->jobs >= b->settings->limits.queue_per_principal)
		return hf_fail(e, HF_BUSY, "%u requests of yours are waiting already; try again",
			       p->jobs);
	if (p->jobs && b->peers.jobs >= b->settings->limits.queue)
		return hf_fail(e, HF_BUSY, "%u requests of all users are waiting; try again",
			       b->peers.jobs);
	return HF_OK;
}

struct hf_job *hf_job_new(struct hf_broker *b, struct hf_worker *w, struct hf_conn *c,
			  struct hf_view data, struct hf_err *e)
{
	const size_t room = hf_KeeperCertificate_size + 64; /* of all but the data */
	struct hf_job *j;
	uint8_t *less;
	size_t n;

	if (c && check_room(b, c->peer, e))
		return NULL;
	j = calloc(1, sizeof(*j));
	if (!j || !(j->packet = malloc(room + data.n))) {
		free(j);
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
		return NULL;
	}
	j->id = b->keeper_request.id = ++b->next_id;
	b->keeper_request.data = data;
	if (hf_packet_encode(hf_KeeperRequest_fields, &b->keeper_request, j->packet, room + data.n,
			     &n, e) ||
	    (c && !hf_peers_take(&b->peers, c->peer, n, b->settings->limits.bytes))) {
		if (e && e->rc == HF_OK)
			(void)hf_fail(e, HF_BUSY, "too many bytes are waiting already; try again");
		free(j->packet);
		free(j);
		return NULL;
	}
	less = realloc(j->packet, n); /* what is queued is what is counted */
	j->packet = less ? less : j->packet;
	j->n = n;
	j->worker = w;
	j->conn = c;
	j->keeper_ms = w->token->timeout_ms;
	j->queued = hf_now_ms();
	j->deadline = j->queued + HF_CLIENT_MS;
	j->item.cost = 1;
	if (c) {
		j->peer = hf_peers_get(&b->peers, &c->who);
		j->pid = c->who.pid;
		j->peer->jobs++;
		b->peers.jobs++;
		j->request_id = b->request.id;
		LIST_INSERT_HEAD(&c->jobs, j, of_conn);
		if (b->request.timeout_ms)
			j->deadline = hf_now_ms() + (b->request.timeout_ms < HF_CLIENT_MAX_MS
							     ? b->request.timeout_ms
							     : HF_CLIENT_MAX_MS);
	}
	LIST_INSERT_HEAD(&w->jobs, j, of_worker);
	j->listed = true;
	return j;
}
