/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-wire KEY OUTSTANDING SECONDS: requests to sign on one connection, of which OUTSTANDING
 * are always under way. The least that a client can do: what is measured is the broker and what
 * is behind it, and not libcrypto in the client, for which see bench-evp.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/process.h"
#include "wire/client.h"

#include "round.h"

struct signer {
	int fd;
	hf_Request req;
	uint8_t digest[32];
};

static bool ask(struct signer *s)
{
	uint8_t packet[1024];
	size_t n;

	s->digest[0]++;
	s->req.id++;
	return !hf_packet_encode(hf_Request_fields, &s->req, packet, sizeof(packet), &n, NULL) &&
	       !hf_packet_send(s->fd, packet, n, NULL);
}

/* Takes one answer, and asks again. */
static bool turn(void *arg)
{
	static hf_Reply rep;
	static uint8_t packet[HF_PACKET_MAX];
	struct signer *s = arg;
	size_t n;

	return !hf_packet_wait(s->fd, POLLIN, hf_now_ms() + 10000, NULL) &&
	       !hf_packet_recv(s->fd, packet, sizeof(packet), &n, NULL) &&
	       !hf_packet_decode(hf_Reply_fields, packet, n, &rep, NULL) && !rep.status &&
	       rep.which_result == hf_Reply_signature_tag && ask(s);
}

int main(int argc, char **argv)
{
	static struct signer s;
	struct hf_err e = HF_ERR_INIT;
	int i, n = argc == 4 ? atoi(argv[2]) : 0;
	bool ok = true;

	if (n < 1) {
		(void)fprintf(stderr, "usage: bench-wire KEY OUTSTANDING SECONDS\n");
		return 2;
	}
	if (hf_client_open(hf_client_socket(), "bench-wire", 10000, &s.fd, &e)) {
		(void)fprintf(stderr, "bench-wire: %s\n", e.msg);
		return 1;
	}
	s.req.which_op = hf_Request_sign_tag;
	s.req.op.sign.has_key = true;
	(void)hf_copy(s.req.op.sign.key.name, sizeof(s.req.op.sign.key.name), argv[1]);
	(void)hf_copy(s.req.op.sign.scheme, sizeof(s.req.op.sign.scheme), "rsa-pkcs1-sha256");
	s.req.op.sign.data = (struct hf_view){ s.digest, sizeof(s.digest) };
	for (i = 0; i < n && ok; i++)
		ok = ask(&s);
	ok = ok && hf_round_run(strtod(argv[3], NULL), turn, &s);
	if (!ok)
		(void)fprintf(stderr, "bench-wire: a request was not answered with a signature\n");
	(void)close(s.fd);
	return ok ? 0 : 1;
}
