/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

struct hf_peer *hf_peers_get(struct hf_peers *p, const struct hf_principal *who)
{
	struct hf_peer *peer;

	for (peer = p->first; peer; peer = peer->next)
		if (peer->uid == who->uid && !strcmp(peer->socket, who->socket))
			break;
	if (!peer) {
		peer = calloc(1, sizeof(*peer));
		if (!peer)
			return NULL;
		peer->uid = who->uid;
		(void)hf_copy(peer->socket, sizeof(peer->socket), who->socket);
		peer->next = p->first;
		p->first = peer;
	}
	p->idle -= !peer->refs && peer->left;
	peer->refs++;
	return peer;
}

static void forget(struct hf_peers *p, struct hf_peer *peer)
{
	struct hf_peer **at;

	for (at = &p->first; *at != peer; at = &(*at)->next)
		;
	*at = peer->next;
	while (peer->rates) {
		struct hf_rate *r = peer->rates;

		peer->rates = r->next;
		free(r);
	}
	free(peer);
}

void hf_peers_put(struct hf_peers *p, struct hf_peer *peer)
{
	struct hf_peer *each, *oldest = peer;

	if (--peer->refs)
		return;
	peer->left = ++p->departures;
	if (++p->idle <= HF_PEERS_IDLE)
		return;
	for (each = p->first; each; each = each->next)
		if (!each->refs && each->left < oldest->left)
			oldest = each;
	p->idle--;
	forget(p, oldest);
}

void hf_peers_finish(struct hf_peers *p)
{
	struct hf_peer *peer, *next;

	for (peer = p->first; peer; peer = next) {
		next = peer->next;
		if (!peer->refs)
			forget(p, peer);
	}
}

bool hf_peers_take(struct hf_peers *p, struct hf_peer *peer, size_t n, size_t budget)
{
	/* After a reload with a smaller budget there may be more than it already. */
	if (peer->bytes + n > budget / 4 || p->bytes + n > budget)
		return false;
	peer->bytes += n;
	p->bytes += n;
	return true;
}

void hf_peers_give(struct hf_peers *p, struct hf_peer *peer, size_t n)
{
	peer->bytes -= n;
	p->bytes -= n;
}

/* The one of @rule; those that owe nothing any more are dropped on the way. */
static struct hf_rate *rate_of(struct hf_peer *peer, size_t rule, uint64_t at)
{
	struct hf_rate **next = &peer->rates, *r, *found = NULL;

	while ((r = *next)) {
		if (r->rule == rule)
			found = r;
		if (r->rule == rule || r->at > at) {
			next = &r->next;
			continue;
		}
		*next = r->next;
		free(r);
	}
	if (!found && (found = calloc(1, sizeof(*found)))) {
		found->rule = rule;
		found->next = peer->rates;
		peer->rates = found;
	}
	return found;
}

/* Generic cell rate algorithm, in thousandths of a millisecond so that high rates stay exact. */
bool hf_peer_rate(struct hf_peer *peer, size_t rule, uint32_t rate, uint64_t now)
{
	uint64_t step = 1000000 / rate, at = now * 1000;
	struct hf_rate *r = rate_of(peer, rule, at);

	if (!r || r->at > at + 1000000 - step)
		return false;
	r->at = (r->at > at ? r->at : at) + step;
	return true;
}

enum hf_rc hf_principal_read(struct hf_principal *who, int fd, const char *socket, struct hf_err *e)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	gid_t more[HF_GROUPS_MAX];
	socklen_t size = sizeof(more);
	size_t i;

	memset(who, 0, sizeof(*who));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n))
		return hf_fail_errno(e, HF_DENIED, "credentials of a client");
	who->uid = cred.uid;
	who->pid = cred.pid;
	who->groups[who->n_groups++] = cred.gid;
	(void)hf_copy(who->socket, sizeof(who->socket), socket);
	if (cred.uid == HF_UID_OVERFLOW || cred.uid == (uid_t)-1)
		return hf_fail(e, HF_DENIED,
			       "a client of the overflow uid is nobody in particular");
	/* With more groups than fit, none of the supplementary ones counts: deny rather than guess.
	 */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, more, &size))
		return HF_OK;
	for (i = 0; i < size / sizeof(gid_t) && who->n_groups < HF_GROUPS_MAX; i++)
		who->groups[who->n_groups++] = more[i];
	return HF_OK;
}

/* One line that maps all ids there are to themselves. */
static enum hf_rc check_map(const char *path, const char *what, struct hf_err *e)
{
	unsigned long inside, outside, length;
	FILE *f = fopen(path, "re");
	int n;

	if (!f && errno == ENOENT && !access("/proc/self/stat", F_OK))
		return HF_OK; /* a kernel without user namespaces */
	if (!f)
		return hf_fail_errno(e, HF_REFUSED,
				     "%s, which says whether clients can be told apart", path);
	n = fscanf(f, "%lu %lu %lu", &inside, &outside, &length);
	(void)fclose(f);
	if (n == 3 && inside == 0 && length >= 0xffffffffUL)
		return HF_OK;
	return hf_fail(e, HF_REFUSED,
		       "this user namespace maps only some %s: clients could not be told apart; "
		       "run holdfastd outside of it (in systemd: PrivateUsers=no)",
		       what);
}

enum hf_rc hf_principal_check_namespace(struct hf_err *e)
{
	enum hf_rc rc = check_map("/proc/self/uid_map", "uids", e);

	return rc ? rc : check_map("/proc/self/gid_map", "gids", e);
}
