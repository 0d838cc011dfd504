/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire: whatever is decoded can be encoded again, and means the same; and a broker, in this
 * process and without a token, to which a client sends it. The first byte chooses: its lower two
 * bits the message (kinds), the others, for a Request, who sends it (enum client). In corpus-wire
 * is what a client, a broker and its keeper, which had a TPM, have said to each other.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/process.h"
#include "broker/conn.h"
#include "broker/policy.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum client { SILENT, USER, ADMIN, N_CLIENTS }; /* SILENT: without hello */

static void check(bool held)
{
	if (!held)
		abort();
}

/* ---------------------------------------------------------------- messages */

struct kind {
	enum hf_rc (*decode)(const uint8_t *p, size_t n);
	enum hf_rc (*encode)(uint8_t *out, size_t *n);
};

static hf_Request request;
static hf_Reply reply;
static hf_KeeperRequest keeper_request;
static hf_KeeperReply keeper_reply;

/* @max: no message of it is longer. */
#define KIND(type, var, max, read)                                                                 \
	static enum hf_rc var##_decode(const uint8_t *p, size_t n)                                 \
	{                                                                                          \
		return read;                                                                       \
	}                                                                                          \
	static enum hf_rc var##_encode(uint8_t *out, size_t *n)                                    \
	{                                                                                          \
		return hf_packet_encode(type##_fields, &(var), out, max, n, NULL);                 \
	}

/* A view is into the packet and nowhere else. */
static enum hf_rc viewed(enum hf_rc rc, struct hf_view v, const uint8_t *p, size_t n)
{
	check(rc || !v.n || (v.p >= p && v.n <= n && v.p <= p + n - v.n));
	return rc;
}

static enum hf_rc read_request(const uint8_t *p, size_t n)
{
	enum hf_rc rc = hf_request_decode(p, n, &request, NULL);
	bool sign = !rc && request.which_op == hf_Request_sign_tag;

	return viewed(rc, sign ? request.op.sign.data : (struct hf_view){ NULL, 0 }, p, n);
}

static enum hf_rc read_keeper_request(const uint8_t *p, size_t n)
{
	enum hf_rc rc = hf_keeper_decode(p, n, &keeper_request, NULL);

	return viewed(rc, keeper_request.data, p, n);
}

KIND(hf_Request, request, HF_PACKET_MAX, read_request(p, n))
KIND(hf_Reply, reply, hf_Reply_size, hf_packet_decode(hf_Reply_fields, p, n, &reply, NULL))
KIND(hf_KeeperRequest, keeper_request, HF_KEEPER_PACKET_MAX, read_keeper_request(p, n))
KIND(hf_KeeperReply, keeper_reply, hf_KeeperReply_size,
     hf_packet_decode(hf_KeeperReply_fields, p, n, &keeper_reply, NULL))

static const struct kind kinds[] = { { request_decode, request_encode },
				     { reply_decode, reply_encode },
				     { keeper_request_decode, keeper_request_encode },
				     { keeper_reply_decode, keeper_reply_encode } };

static bool round_trip(const struct kind *k, const uint8_t *p, size_t n)
{
	static uint8_t once[HF_KEEPER_PACKET_MAX], twice[HF_KEEPER_PACKET_MAX];
	size_t n_once, n_twice;

	if (k->decode(p, n))
		return false;
	check(!k->encode(once, &n_once));
	check(!k->decode(once, n_once));
	check(!k->encode(twice, &n_twice));
	check(n_once == n_twice && !memcmp(once, twice, n_once));
	return true;
}

/* ---------------------------------------------------------------- a broker */

static struct hf_broker b;
static struct hf_listener listener = { .name = "main" };
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t n_address;

static void add_key(const char *name, unsigned usage, uint8_t id)
{
	static struct hf_key keys[2], *list[2];
	static uint8_t spki[] = "a public key";
	struct hf_key *k = &keys[b.catalogue.n];

	(void)hf_copy(k->name, sizeof(k->name), name);
	(void)hf_copy(k->token, sizeof(k->token), "tpm");
	k->usage = usage;
	k->n = 1;
	k->generations[0].algorithm = hf_algorithm_find("ec-p256");
	memset(k->generations[0].id, id, HF_ID_SIZE);
	k->generations[0].spki.p = spki;
	k->generations[0].spki.n = sizeof(spki);
	list[b.catalogue.n++] = k;
	b.catalogue.keys = list;
}

/* USER may use the keys there are, and make others; nothing that he may do changes them. */
static void choose(enum client who)
{
	static char all[][HF_NAME_SIZE] = { "*" }, others[][HF_NAME_SIZE] = { "n*" };
	static struct hf_settings settings;
	static struct hf_grant grants[2];

	grants[0] = (struct hf_grant){ .uid = geteuid(), .gid = -1, .keys = all, .n_keys = 1 };
	grants[1] = (struct hf_grant){ .uid = geteuid(), .gid = -1, .keys = others, .n_keys = 1 };
	grants[0].rights = who == ADMIN ? 511
					: HF_RIGHT_PUBLIC | HF_RIGHT_SIGN | HF_RIGHT_CA |
						  HF_RIGHT_DECRYPT | HF_RIGHT_DERIVE;
	grants[1].rights = 511;
	settings.grants = grants;
	settings.n_grants = HF_COUNT(grants);
	settings.limits = (struct hf_limits){ .connections = 8,
					      .connections_per_principal = 8,
					      .queue_per_principal = 8,
					      .queue = 8,
					      .packet = HF_PACKET_MAX,
					      .bytes = 1u << 20 };
	b.settings = &settings;
	b.catalogue.n = who == ADMIN ? 0 : 2; /* who could delete them has none */
}

static void open_broker(void)
{
	if (n_address)
		return;
	add_key("k", HF_USAGE_SIGN | HF_USAGE_DECRYPT | HF_USAGE_DERIVE, 1);
	add_key("ca", HF_USAGE_CA, 2);
	b.epoll = epoll_create1(EPOLL_CLOEXEC);
	listener.source.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	n_address = sizeof(address); /* the kernel thinks of a name, in no directory */
	check(b.epoll >= 0 && listener.source.fd >= 0);
	check(!bind(listener.source.fd, (struct sockaddr *)&address, sizeof(sa_family_t)));
	check(!listen(listener.source.fd, 8));
	check(!getsockname(listener.source.fd, (struct sockaddr *)&address, &n_address));
}

/* Sends one packet and has the broker look at it; is there an answer? It is in reply. */
static bool ask(int fd, const uint8_t *p, size_t n)
{
	static uint8_t packet[HF_PACKET_MAX];
	ssize_t got;

	check(send(fd, p, n, MSG_NOSIGNAL) == (ssize_t)n);
	b.conns->source.ready(&b, &b.conns->source, EPOLLIN);
	got = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
	check(got >= 0 || !b.conns->dead);
	return got > 0 && !reply_decode(packet, (size_t)got);
}

static bool say_hello(int fd)
{
	static const uint8_t hello[] = { 0x08, 0x07, 0x82, 0x01, 0x02, 0x08, 0x01 };

	return ask(fd, hello, sizeof(hello)) && reply.id == 7 && reply.status == hf_Status_OK;
}

/* All that succeeds without a token, and without a key in whose case it would change the disk. */
static bool may_succeed(pb_size_t op, enum client who)
{
	return op == hf_Request_hello_tag || op == hf_Request_key_list_tag ||
	       (op == hf_Request_key_get_tag && who == USER) || op == hf_Request_token_list_tag ||
	       op == hf_Request_status_get_tag ||
	       (op == hf_Request_policy_explain_tag && who == ADMIN);
}

static void check_answer(bool answered, bool whole, size_t n, enum client who)
{
	bool dead = b.conns->dead;

	if (!n) { /* is the end of a connection */
		check(dead && !answered);
		return;
	}
	check(answered && (unsigned)reply.status <= hf_Status_IO);
	check((reply.status == hf_Status_OK) == (reply.which_result != 0));
	check((reply.status == hf_Status_OK) == !reply.message[0]); /* and why not */
	if (!whole || !request.id) {
		check(dead && !reply.id && reply.status == hf_Status_PROTOCOL);
		return;
	}
	check(reply.id == request.id);
	if (reply.status == hf_Status_OK)
		check(may_succeed(request.which_op, who));
	if (who == SILENT && request.which_op && request.which_op != hf_Request_hello_tag)
		check(dead && reply.status == hf_Status_PROTOCOL);
	else
		check(!dead);
}

static void fuzz_broker(const uint8_t *p, size_t n, bool whole, enum client who)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool answered;

	if (n > HF_PACKET_MAX)
		n = HF_PACKET_MAX;
	open_broker();
	choose(who);
	check(fd >= 0 && !connect(fd, (struct sockaddr *)&address, n_address));
	hf_conn_accept(&b, &listener.source, EPOLLIN);
	check(b.conns);
	if (who != SILENT)
		check(say_hello(fd));
	answered = ask(fd, p, n);
	check_answer(answered, whole, n, who);
	if (!b.conns->dead) /* the connection is as good as before */
		check(say_hello(fd));
	check(LIST_EMPTY(&b.conns->jobs));
	hf_conn_close(&b, b.conns);
	hf_conn_reap(&b);
	(void)close(fd);
	check(!b.conns && !b.peers.connections && !b.peers.bytes && !b.peers.jobs);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct kind *k;
	uint8_t *copy;
	uint32_t id;
	bool whole;

	if (!n)
		return 0;
	hf_log_init("fuzz", (enum hf_log_level)0);
	copy = fuzz_input(p, n, false);
	n--;
	k = &kinds[p[0] % HF_COUNT(kinds)];
	whole = round_trip(k, copy, n);
	if (k->decode == reply_decode)
		check(!whole || hf_packet_reply_id(copy, n, &id));
	if (k->decode == request_decode)
		fuzz_broker(copy, n, whole, (enum client)(p[0] / HF_COUNT(kinds) % N_CLIENTS));
	free(copy);
	return 0;
}
