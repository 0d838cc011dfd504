/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/process.h"

const char *hf_client_socket(void)
{
	const char *path = secure_getenv("HOLDFAST_SOCKET");

	return path && path[0] ? path : HF_SOCKET_DEFAULT;
}

/* Of the key daemon. A directory service may have long records: the room grows up to 64 KiB. */
static enum hf_rc keys_user(uid_t *uid, struct hf_err *e)
{
	struct passwd pw, *found = NULL;
	char *space = NULL;
	size_t n = 1024;
	int failed;

	do {
		free(space);
		space = malloc(n *= 2);
		failed = space ? getpwnam_r(HF_KEYS_USER, &pw, space, n, &found) : ENOMEM;
	} while (failed == ERANGE && n < 65536);
	if (found)
		*uid = pw.pw_uid;
	free(space);
	if (failed)
		return hf_fail(e, HF_UNAVAILABLE,
			       "the user " HF_KEYS_USER " cannot be looked up: %s",
			       strerror(failed));
	return found ? HF_OK : hf_fail(e, HF_NO_KEY, "there is no user " HF_KEYS_USER);
}

/* Somebody else's socket at our path would only collect digests, but let us not talk to it. */
static enum hf_rc check_server(int fd, const char *path, struct hf_err *e)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);
	uid_t uid = 0;
	enum hf_rc rc;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n))
		return hf_fail_errno(e, HF_UNAVAILABLE, "%s", path);
	if (peer.uid == 0 || peer.uid == geteuid())
		return HF_OK;
	rc = keys_user(&uid, e);
	if (!rc && uid == peer.uid)
		return HF_OK;
	if (rc == HF_UNAVAILABLE)
		return hf_within(e, "%s is served by uid %u", path, (unsigned)peer.uid);
	return hf_fail(e, HF_DENIED,
		       "%s is served by uid %u, which is neither root nor " HF_KEYS_USER
		       ": this is not the holdfast broker",
		       path, (unsigned)peer.uid);
}

static enum hf_rc connect_failed(const char *path, struct hf_err *e)
{
	if (errno == EACCES || errno == EPERM)
		return hf_fail(e, HF_DENIED,
			       "no permission to use the broker's socket %s; join its group", path);
	if (errno == EAGAIN)
		return hf_fail(e, HF_BUSY, "holdfastd at %s has too many callers waiting", path);
	return hf_fail_errno(e, HF_UNAVAILABLE,
			     "the holdfast broker cannot be reached at %s (is holdfastd running? "
			     "HOLDFAST_SOCKET names another socket)",
			     path);
}

static enum hf_rc hello(int fd, const char *software, unsigned timeout_ms, struct hf_err *e)
{
	hf_Request *req = calloc(1, sizeof(*req));
	hf_Reply *rep = calloc(1, sizeof(*rep));
	enum hf_rc rc = HF_NO_MEMORY;

	if (req && rep) {
		req->which_op = hf_Request_hello_tag;
		req->op.hello.version = HF_WIRE_VERSION;
		(void)hf_copy(req->op.hello.software, sizeof(req->op.hello.software), software);
		rc = hf_client_call(fd, req, rep, timeout_ms, e);
		if (!rc && rep->which_result != hf_Reply_hello_tag)
			rc = hf_fail(e, HF_PROTOCOL, "the broker did not answer hello with hello");
	} else {
		(void)hf_fail(e, HF_NO_MEMORY, "out of memory");
	}
	free(req);
	free(rep);
	return rc;
}

/* A full queue at the door is no reason to leave: the broker lets in one after the other. */
static enum hf_rc join_queue(int sock, const char *path, const struct sockaddr_un *to,
			     uint64_t deadline, struct hf_err *e)
{
	int wait = 5;

	while (connect(sock, (const struct sockaddr *)to, sizeof(*to))) {
		if (errno != EAGAIN || hf_now_ms() + (uint64_t)wait >= deadline)
			return connect_failed(path, e);
		(void)poll(NULL, 0, wait);
		wait = wait < 80 ? 2 * wait : 80;
	}
	return HF_OK;
}

enum hf_rc hf_client_open(const char *path, const char *software, unsigned timeout_ms, int *fd,
			  struct hf_err *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	uint64_t deadline = hf_now_ms() + timeout_ms, now;
	HF_AUTO_FD sock = -1;
	enum hf_rc rc;

	*fd = -1;
	if (!hf_copy(to.sun_path, sizeof(to.sun_path), path))
		return hf_fail(e, HF_ARGUMENT, "socket path %.60s... is longer than %zu bytes",
			       path, sizeof(to.sun_path) - 1);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return hf_fail_errno(e, HF_UNAVAILABLE, "socket");
	rc = join_queue(sock, path, &to, deadline, e);
	if (!rc)
		rc = check_server(sock, path, e);
	if (rc)
		return rc;
	now = hf_now_ms();
	rc = hello(sock, software, now < deadline ? (unsigned)(deadline - now) : 0, e);
	if (rc == HF_UNAVAILABLE) /* it was there a moment ago, and is being restarted perhaps */
		return hf_fail(e, HF_BUSY, "the broker at %s closed the connection while greeting",
			       path);
	if (rc)
		return rc;
	*fd = sock;
	sock = -1;
	return HF_OK;
}

static enum hf_rc exchange(int fd, uint8_t *packet, const hf_Request *req, hf_Reply *rep,
			   uint64_t deadline, struct hf_err *e)
{
	enum hf_rc rc;
	size_t n;

	rc = hf_packet_encode(hf_Request_fields, req, packet, HF_PACKET_MAX, &n, e);
	if (!rc)
		rc = hf_packet_wait(fd, POLLOUT, deadline, e);
	if (!rc)
		rc = hf_packet_send(fd, packet, n, e);
	if (rc == HF_UNAVAILABLE)
		rc = HF_OK; /* closed, but perhaps it was said why */
	while (!rc) {
		rc = hf_packet_wait(fd, POLLIN, deadline, e);
		if (!rc)
			rc = hf_packet_recv_last(fd, packet, HF_PACKET_MAX, &n, e);
		if (!rc)
			rc = hf_packet_decode(hf_Reply_fields, packet, n, rep, e);
		if (!rc && (rep->id == req->id || !rep->id))
			break; /* others answer what we gave up on */
	}
	return rc;
}

enum hf_rc hf_client_call(int fd, hf_Request *req, hf_Reply *rep, unsigned timeout_ms,
			  struct hf_err *e)
{
	uint64_t deadline = hf_now_ms() + timeout_ms;
	uint8_t *packet = malloc(HF_PACKET_MAX);
	static atomic_uint id; /* several links of one process may say hello at once */
	enum hf_rc rc;

	if (!packet)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	req->id = atomic_fetch_add(&id, 1) + 1;
	rc = exchange(fd, packet, req, rep, deadline, e);
	free(packet);
	return rc ? hf_within(e, "broker") : hf_client_result(rep, e);
}

enum hf_rc hf_client_result(const hf_Reply *rep, struct hf_err *e)
{
	enum hf_rc rc = (enum hf_rc)rep->status;

	if (rc == HF_OK && rep->id)
		return HF_OK;
	if (rc == HF_OK)
		return hf_fail(e, HF_PROTOCOL, "the broker answered a request of no number");
	return hf_fail(e, rc, "%s", rep->message[0] ? rep->message : hf_rc_text(rc));
}
