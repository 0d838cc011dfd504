/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/tpm2_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "keeper/tpm2_cmd.h"

#define MAGIC  0x686f6c6466617374u
#define HEADER 10u

struct tcti {
	TSS2_TCTI_CONTEXT_COMMON_V1 v1; /* first: callers know only this */
	int fd;
};

const char *hf_tpm2_socket_path(const char *conf)
{
	static const char prefix[] = "swtpm:path=";

	if (strncmp(conf, prefix, sizeof(prefix) - 1) || strchr(conf, ','))
		return NULL;
	return conf + sizeof(prefix) - 1;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *ctx, size_t n, const uint8_t *p)
{
	struct tcti *t = (struct tcti *)ctx;
	ssize_t sent;

	while (n) {
		sent = send(t->fd, p, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return TSS2_TCTI_RC_IO_ERROR;
		p += sent;
		n -= (size_t)sent;
	}
	return TSS2_RC_SUCCESS;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *ctx, size_t *n, uint8_t *p, int32_t timeout)
{
	struct tcti *t = (struct tcti *)ctx;
	size_t have = 0, want = HEADER;
	ssize_t got;

	(void)timeout; /* the caller has waited for the first byte */
	while (have < want) {
		/* As much as comes: almost always that is all of it. */
		got = recv(t->fd, p + have, *n - have, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return TSS2_TCTI_RC_IO_ERROR;
		have += (size_t)got;
		if (have >= HEADER)
			want = (size_t)p[2] << 24 | (size_t)p[3] << 16 | (size_t)p[4] << 8 | p[5];
		if (want < HEADER || want > *n || have > want)
			return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	}
	*n = have;
	return TSS2_RC_SUCCESS;
}

static TSS2_RC poll_handles(TSS2_TCTI_CONTEXT *ctx, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
	if (handles && *n)
		handles[0] =
			(TSS2_TCTI_POLL_HANDLE){ .fd = ((struct tcti *)ctx)->fd, .events = POLLIN };
	*n = 1;
	return TSS2_RC_SUCCESS;
}

static void finalize(TSS2_TCTI_CONTEXT *ctx)
{
	hf_fd_close(&((struct tcti *)ctx)->fd);
}

TSS2_RC hf_tpm2_socket_open(const char *path, TSS2_TCTI_CONTEXT **out)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = 10 };
	struct timeval alive = { HF_TPM2_ALIVE_MS / 1000, HF_TPM2_ALIVE_MS % 1000 * 1000 };
	struct tcti *t;
	TSS2_RC rc;

	*out = NULL;
	if (!hf_copy(addr.sun_path, sizeof(addr.sun_path), path))
		return TSS2_TCTI_RC_BAD_VALUE;
	t = calloc(1, sizeof(*t));
	if (!t)
		return TSS2_TCTI_RC_MEMORY;
	t->v1 = (TSS2_TCTI_CONTEXT_COMMON_V1){ .magic = MAGIC,
					       .version = 1,
					       .transmit = transmit,
					       .receive = receive,
					       .finalize = finalize,
					       .getPollHandles = poll_handles };
	t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/*
	 * An answer that stops half way must not hold us for ever. Nor connect(), which waits
	 * (EAGAIN in the end) while the backlog is full of those that a stopped TPM never took.
	 */
	if (t->fd < 0 || setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &alive, sizeof(alive)) ||
	    connect(t->fd, (struct sockaddr *)&addr, sizeof(addr))) {
		rc = errno == EAGAIN ? TSS2_TCTI_RC_TRY_AGAIN : TSS2_TCTI_RC_NO_CONNECTION;
		finalize((TSS2_TCTI_CONTEXT *)t);
		free(t);
		return rc;
	}
	*out = (TSS2_TCTI_CONTEXT *)t;
	return TSS2_RC_SUCCESS;
}
