/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets: what is encoded comes back; every truncation and every flipped bit is
 * a message or an error, never a read outside (each packet is a block of its exact
 * size, so that AddressSanitizer sees it).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/process.h"
#include "wire/packet.h"

static hf_Request request;
static hf_Reply reply;
static hf_KeeperRequest keeper;
static hf_KeeperReply keeper_reply;
static uint8_t packet[HF_KEEPER_PACKET_MAX], again[HF_KEEPER_PACKET_MAX], third[HF_KEEPER_PACKET_MAX];

/* How one type of message is read and written. */
struct kind {
	enum hf_rc (*decode)(const uint8_t *p, size_t n);
	enum hf_rc (*encode)(uint8_t *out, size_t *n);
};

#define VIEW(text) ((struct hf_view){ (const uint8_t *)(text), sizeof(text) - 1 })

/* A view is into the packet and nowhere else. */
static void assert_in_packet(struct hf_view v, const uint8_t *p, size_t n)
{
	if (v.n)
		assert_true(v.p >= p && v.n <= n && v.p <= p + n - v.n);
}

static enum hf_rc request_decode(const uint8_t *p, size_t n)
{
	enum hf_rc rc = hf_request_decode(p, n, &request, NULL);

	if (!rc && request.which_op == hf_Request_sign_tag)
		assert_in_packet(request.op.sign.data, p, n);
	return rc;
}

static enum hf_rc request_encode(uint8_t *out, size_t *n)
{
	return hf_packet_encode(hf_Request_fields, &request, out, sizeof(packet), n, NULL);
}

static enum hf_rc reply_decode(const uint8_t *p, size_t n)
{
	return hf_packet_decode(hf_Reply_fields, p, n, &reply, NULL);
}

static enum hf_rc reply_encode(uint8_t *out, size_t *n)
{
	return hf_packet_encode(hf_Reply_fields, &reply, out, sizeof(packet), n, NULL);
}

static enum hf_rc keeper_decode(const uint8_t *p, size_t n)
{
	enum hf_rc rc = hf_keeper_decode(p, n, &keeper, NULL);

	if (!rc)
		assert_in_packet(keeper.data, p, n);
	return rc;
}

static enum hf_rc keeper_encode(uint8_t *out, size_t *n)
{
	return hf_packet_encode(hf_KeeperRequest_fields, &keeper, out, sizeof(packet), n, NULL);
}

static enum hf_rc keeper_reply_decode(const uint8_t *p, size_t n)
{
	return hf_packet_decode(hf_KeeperReply_fields, p, n, &keeper_reply, NULL);
}

static enum hf_rc keeper_reply_encode(uint8_t *out, size_t *n)
{
	return hf_packet_encode(hf_KeeperReply_fields, &keeper_reply, out, sizeof(packet), n, NULL);
}

static const struct kind requests = { request_decode, request_encode };
static const struct kind replies = { reply_decode, reply_encode };
static const struct kind keepers = { keeper_decode, keeper_encode };
static const struct kind keeper_replies = { keeper_reply_decode, keeper_reply_encode };

/* What can be decoded can be encoded, and that is a fixed point. */
static bool settles(const struct kind *k, const uint8_t *p, size_t n)
{
	size_t n2, n3;
	enum hf_rc rc = k->decode(p, n);

	if (rc) {
		assert_int_equal(rc, HF_PROTOCOL);
		return false;
	}
	assert_int_equal(k->encode(again, &n2), HF_OK);
	assert_int_equal(k->decode(again, n2), HF_OK);
	assert_int_equal(k->encode(third, &n3), HF_OK);
	assert_int_equal(n3, n2);
	assert_memory_equal(third, again, n2);
	return true;
}

static void attack(const struct kind *k, const uint8_t *p, size_t n)
{
	size_t i, refused = 0;

	assert_true(settles(k, p, n));
	assert_memory_equal(again, p, n); /* nothing is lost */
	for (i = 0; i < n; i++) {
		uint8_t *cut = malloc(i ? i : 1);

		assert_non_null(cut);
		memcpy(cut, p, i);
		refused += !settles(k, cut, i);
		free(cut);
	}
	assert_true(refused > 0);
	for (i = 0; i < 8 * n; i++) {
		uint8_t *bent = malloc(n);

		assert_non_null(bent);
		memcpy(bent, p, n);
		bent[i / 8] ^= (uint8_t)(1u << i % 8);
		refused += !settles(k, bent, n);
		free(bent);
	}
	assert_true(refused > n / 8);
}

static size_t sign_request(struct hf_view data)
{
	size_t n;

	memset(&request, 0, sizeof(request));
	request.id = 300;
	request.timeout_ms = 10000;
	request.which_op = hf_Request_sign_tag;
	request.op.sign.has_key = true;
	assert_true(hf_copy(request.op.sign.key.name, sizeof(request.op.sign.key.name), "edge-ca"));
	assert_true(HF_PB_SET(request.op.sign.key.spki_sha256, "0123456789abcdef0123456789abcdef", 32));
	assert_true(hf_copy(request.op.sign.scheme, sizeof(request.op.sign.scheme), "ecdsa-sha256"));
	request.op.sign.data = data;
	request.op.sign.message = true;
	assert_int_equal(request_encode(packet, &n), HF_OK);
	return n;
}

static void requests_survive(void **state)
{
	size_t n = sign_request(VIEW("a digest of thirty-two bytes...."));

	(void)state;
	memset(&request, 0xa5, sizeof(request)); /* need not be initialised */
	assert_int_equal(request_decode(packet, n), HF_OK);
	assert_int_equal(request.id, 300);
	assert_int_equal(request.which_op, hf_Request_sign_tag);
	assert_string_equal(request.op.sign.key.name, "edge-ca");
	assert_int_equal(request.op.sign.data.n, 32);
	assert_true(request.op.sign.message);
	attack(&requests, packet, n);
}

static void replies_survive(void **state)
{
	hf_KeyInfo *info = &reply.result.key;
	uint32_t id;
	size_t n;

	(void)state;
	memset(&reply, 0, sizeof(reply));
	reply.id = 7;
	reply.status = hf_Status_FAILED;
	assert_true(hf_copy(reply.message, sizeof(reply.message), "what happened"));
	reply.which_result = hf_Reply_key_tag;
	assert_true(hf_copy(info->name, sizeof(info->name), "k"));
	info->generations_count = 2;
	assert_true(HF_PB_SET(info->generations[0].spki_sha256, "0123456789abcdef0123456789abcdef", 32));
	info->generations[0].created = UINT64_MAX;
	info->generations[1].state = hf_Generation_State_RETIRING;
	info->schemes_count = 1;
	assert_true(hf_copy(info->schemes[0], sizeof(info->schemes[0]), "ecdsa-sha256"));
	assert_true(HF_PB_SET(info->spki, "\0\1\2", 3));
	assert_int_equal(reply_encode(packet, &n), HF_OK);
	assert_true(hf_packet_reply_id(packet, n, &id));
	assert_int_equal(id, 7);
	attack(&replies, packet, n);
}

static size_t keeper_request(struct hf_view v)
{
	size_t n;

	memset(&keeper, 0, sizeof(keeper));
	keeper.id = 9;
	keeper.which_op = hf_KeeperRequest_sign_tag;
	keeper.op.sign.has_key = true;
	assert_true(HF_PB_SET(keeper.op.sign.key.blob, "-----BEGIN TSS2", 15));
	assert_true(hf_copy(keeper.op.sign.scheme, sizeof(keeper.op.sign.scheme), "rsa-pss-sha256"));
	keeper.op.sign.has_profile = true;
	keeper.op.sign.profile.names_count = 1;
	assert_true(hf_copy(keeper.op.sign.profile.names[0], sizeof(keeper.op.sign.profile.names[0]), "*.x"));
	keeper.data = v;
	assert_int_equal(keeper_encode(packet, &n), HF_OK);
	return n;
}

static void keepers_read_data_in_place(void **state)
{
	static uint8_t most[HF_DATA_MAX + 1];
	struct hf_err e = HF_ERR_INIT;
	size_t n = keeper_request(VIEW("to be signed"));

	(void)state;
	assert_int_equal(keeper_decode(packet, n), HF_OK);
	assert_int_equal(keeper.data.n, 12);
	assert_memory_equal(keeper.data.p, "to be signed", 12);
	assert_true(keeper.data.p > packet && keeper.data.p < packet + n);
	assert_string_equal(keeper.op.sign.profile.names[0], "*.x");
	attack(&keepers, packet, n);

	n = keeper_request((struct hf_view){ NULL, 0 });
	assert_int_equal(keeper_decode(packet, n), HF_OK);
	assert_int_equal(keeper.data.n, 0);
	assert_null(keeper.data.p);

	memset(most, 0x5a, sizeof(most));
	n = keeper_request((struct hf_view){ most, HF_DATA_MAX });
	assert_int_equal(keeper_decode(packet, n), HF_OK);
	assert_int_equal(keeper.data.n, HF_DATA_MAX);
	assert_memory_equal(keeper.data.p, most, HF_DATA_MAX);
	n = keeper_request((struct hf_view){ most, HF_DATA_MAX + 1 });
	assert_int_equal(hf_keeper_decode(packet, n, &keeper, &e), HF_PROTOCOL);
}

/* One file of corpus-wire: a byte that says what it is, and a packet of a broker with a TPM. */
static size_t frame(const char *name, unsigned *what)
{
	char path[512];
	uint8_t first;
	size_t n;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", HF_TEST_FRAMES, name);
	f = fopen(path, "rb");
	assert_non_null(f);
	assert_int_equal(fread(&first, 1, 1, f), 1);
	n = fread(packet, 1, sizeof(packet), f);
	assert_true(n > 0 && feof(f));
	(void)fclose(f);
	*what = first % 4;
	return n;
}

/* Each operation, and each result, of clients and of keepers. */
static void golden_frames(void **state)
{
	static const struct {
		const struct kind *k;
		const pb_size_t *which;
		pb_size_t last; /* of its oneof, whose tags begin with 16 */
	} rows[] = {
		{ &requests, &request.which_op, hf_Request_token_activate_tag },
		{ &replies, &reply.which_result, hf_Reply_attestation_tag },
		{ &keepers, &keeper.which_op, hf_KeeperRequest_activate_tag },
		{ &keeper_replies, &keeper_reply.which_result, hf_KeeperReply_attested_tag },
	};
	bool seen[HF_COUNT(rows)][64] = { { false } };
	DIR *dir = opendir(HF_TEST_FRAMES);
	struct dirent *d;
	unsigned what, tag;
	size_t n;

	(void)state;
	assert_non_null(dir);
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.' || !strncmp(d->d_name, "admin-", 6)) /* as user-, once more */
			continue;
		n = frame(d->d_name, &what);
		assert_int_equal(rows[what].k->decode(packet, n), HF_OK);
		seen[what][*rows[what].which % 64] = true;
		attack(rows[what].k, packet, n);
	}
	(void)closedir(dir);
	for (what = 0; what < HF_COUNT(rows); what++)
		for (tag = 16; tag <= rows[what].last; tag++)
			assert_true(seen[what][tag]);
}

/* Field @field of another wire type than bytes: it is on nanopb's stack, and then nowhere. */
static size_t put_number(uint8_t *to, unsigned field, unsigned row)
{
	static const struct {
		uint8_t type;
		const char *p;
		size_t n;
	} rows[] = {
		{ 0, "\x05", 1 },
		{ 0, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10 },
		{ 5, "1234", 4 },
		{ 1, "12345678", 8 },
	};

	if (row >= HF_COUNT(rows))
		return 0;
	to[0] = (uint8_t)(field << 3 | 2); /* after one that is right */
	memcpy(to + 1, "\x01x", 2);
	to[3] = (uint8_t)(field << 3 | rows[row].type);
	memcpy(to + 4, rows[row].p, rows[row].n);
	return 4 + rows[row].n;
}

static void data_is_no_number(void **state)
{
	unsigned row;
	size_t n;

	(void)state;
	for (row = 0; (n = put_number(packet, hf_KeeperRequest_data_tag, row)); row++) {
		assert_int_equal(keeper_decode(packet, 3), HF_OK);
		assert_int_equal(keeper_decode(packet, n), HF_PROTOCOL);
		assert_int_equal(keeper_decode(packet + 3, n - 3), HF_PROTOCOL);
	}
	for (row = 0; (n = put_number(packet + 3, hf_Sign_data_tag, row)); row++) {
		memcpy(packet, "\xca\x01", 2); /* Request.sign */
		packet[2] = 3;
		assert_int_equal(request_decode(packet, 6), HF_OK);
		assert_int_equal(request.op.sign.data.n, 1);
		packet[2] = (uint8_t)n;
		assert_int_equal(request_decode(packet, 3 + n), HF_PROTOCOL);
	}
	assert_int_equal(row, 4);
}

static void requests_read_data_in_place(void **state)
{
	static uint8_t most[HF_DATA_MAX + 1];
	size_t n;

	(void)state;
	memset(most, 0x5a, sizeof(most));
	n = sign_request((struct hf_view){ most, HF_DATA_MAX });
	assert_true(n <= HF_PACKET_MAX);
	memset(&request, 0xa5, sizeof(request));
	assert_int_equal(request_decode(packet, n), HF_OK);
	assert_int_equal(request.op.sign.data.n, HF_DATA_MAX);
	assert_memory_equal(request.op.sign.data.p, most, HF_DATA_MAX);
	n = sign_request((struct hf_view){ most, HF_DATA_MAX + 1 });
	assert_int_equal(request_decode(packet, n), HF_PROTOCOL);
	n = sign_request((struct hf_view){ NULL, 0 });
	memset(&request, 0xa5, sizeof(request));
	assert_int_equal(request_decode(packet, n), HF_OK);
	assert_int_equal(request.op.sign.data.n, 0);
	assert_null(request.op.sign.data.p);
}

static void bounds_are_kept(void **state)
{
	static const uint8_t id_only[] = { 0x08, 0x05 };
	struct hf_err e = HF_ERR_INIT;
	size_t n = sign_request(VIEW("a digest of thirty-two bytes....")), size, m;

	(void)state;
	for (size = 0; size < n; size++) /* does not fit */
		assert_int_equal(hf_packet_encode(hf_Request_fields, &request, again, size, &m, &e),
				 HF_PROTOCOL);
	memset(packet, 'a', 200);
	memcpy(packet, "\x82\x01\xc2\x01\x12\xbf\x01", 7); /* Hello, software of 191 bytes */
	assert_int_equal(request_decode(packet, 7 + 191), HF_PROTOCOL);
	memcpy(packet, "\x82\x01\x41\x12\x3f", 5); /* of 63: the most */
	assert_int_equal(request_decode(packet, 5 + 63), HF_OK);
	assert_int_equal(strlen(request.op.hello.software), 63);
	assert_int_equal(request_decode(id_only, sizeof(id_only)), HF_OK); /* no operation: its own matter */
	assert_int_equal(request.which_op, 0);
	assert_false(HF_PB_SET(request.op.sign.key.spki_sha256, packet, 33));
	assert_int_equal(request.op.sign.key.spki_sha256.size, 0);
}

static void ids_of_replies(void **state)
{
	static const struct {
		const char *p;
		size_t n;
		uint32_t id;
		bool whole;
	} rows[] = {
		{ "", 0, 0, true },
		{ "\x10\x09", 2, 0, true }, /* a last word */
		{ "\x08\x05", 2, 5, true },
		{ "\x10\x01\x08\x05", 4, 5, true },	     /* after another field */
		{ "\x1a\x02\x08\x07\x08\x05", 6, 5, true }, /* not the one inside a string */
		{ "\x08", 1, 0, false },
		{ "\x08\xff\xff\xff\xff\x0f", 6, UINT32_MAX, true },
		{ "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, 0, false },
		{ "\x0a\x01\x05", 3, 0, false },     /* of another type */
		{ "\x1a\x7f\x08\x05", 4, 0, false }, /* a string that is cut */
		{ "\x1f\x08\x05", 3, 0, false },     /* no such wire type */
		{ "\xff\xff\xff", 3, 0, false },
	};
	uint32_t id;
	size_t i;

	(void)state;
	for (i = 0; i < HF_COUNT(rows); i++) {
		id = 1;
		assert_int_equal(hf_packet_reply_id((const uint8_t *)rows[i].p, rows[i].n, &id),
				 rows[i].whole);
		assert_true(!rows[i].whole || id == rows[i].id);
	}
}

/* A peer that closes without having read all resets; what it said before that is still there. */
static void last_words(void **state)
{
	uint8_t got[16];
	int fds[2];
	size_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	assert_int_equal(hf_packet_send(fds[0], (const uint8_t *)"unread", 6, NULL), HF_OK);
	assert_int_equal(hf_packet_send(fds[1], (const uint8_t *)"why", 3, NULL), HF_OK);
	close(fds[1]);
	assert_int_equal(hf_packet_recv_last(fds[0], got, sizeof(got), &n, NULL), HF_OK);
	assert_int_equal(n, 3);
	assert_memory_equal(got, "why", 3);
	assert_int_equal(hf_packet_recv_last(fds[0], got, sizeof(got), &n, NULL), HF_UNAVAILABLE);
	close(fds[0]);
}

static void sockets(void **state)
{
	struct hf_err e = HF_ERR_INIT;
	uint8_t got[16];
	uint64_t now;
	size_t n;
	int p[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, p), 0);
	assert_int_equal(hf_packet_recv(p[1], got, sizeof(got), &n, &e), HF_BUSY);
	now = hf_now_ms();
	assert_int_equal(hf_packet_wait(p[1], POLLIN, now + 30, &e), HF_TIMEOUT);
	assert_true(hf_now_ms() >= now + 30);
	assert_int_equal(hf_packet_send(p[0], (const uint8_t *)"0123456789abcdefX", 17, &e), HF_OK);
	assert_int_equal(hf_packet_send(p[0], (const uint8_t *)"hello", 5, &e), HF_OK);
	assert_int_equal(hf_packet_wait(p[1], POLLIN, hf_now_ms() + 1000, &e), HF_OK);
	assert_int_equal(hf_packet_recv(p[1], got, sizeof(got), &n, &e), HF_PROTOCOL);
	assert_non_null(strstr(e.msg, "17"));
	assert_int_equal(hf_packet_recv(p[1], got, sizeof(got), &n, &e), HF_OK);
	assert_int_equal(n, 5);
	assert_memory_equal(got, "hello", 5);
	while (!hf_packet_send(p[0], packet, 4096, &e))
		;
	assert_int_equal(e.rc, HF_BUSY);
	assert_int_equal(close(p[0]), 0);
	while (!hf_packet_recv(p[1], packet, sizeof(packet), &n, &e))
		;
	assert_int_equal(e.rc, HF_UNAVAILABLE);
	assert_int_equal(hf_packet_send(p[1], got, 1, &e), HF_UNAVAILABLE); /* and no SIGPIPE */
	assert_int_equal(close(p[1]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_survive),
		cmocka_unit_test(replies_survive),
		cmocka_unit_test(keepers_read_data_in_place),
		cmocka_unit_test(requests_read_data_in_place),
		cmocka_unit_test(data_is_no_number),
		cmocka_unit_test(golden_frames),
		cmocka_unit_test(bounds_are_kept),
		cmocka_unit_test(ids_of_replies),
		cmocka_unit_test(last_words),
		cmocka_unit_test(sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
