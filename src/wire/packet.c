/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/packet.h"

#include <errno.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/process.h"

/* The two lists of results are one list. */
#define SAME(value, name, text, exit)                                                              \
	_Static_assert((int)HF_##name == (int)hf_Status_##name, "Status and enum hf_rc differ");
HF_RC_LIST(SAME)
#undef SAME

enum hf_rc hf_packet_encode(const pb_msgdesc_t *fields, const void *msg, uint8_t *out, size_t size,
			    size_t *n, struct hf_err *e)
{
	pb_ostream_t stream = pb_ostream_from_buffer(out, size);

	*n = 0;
	if (!pb_encode(&stream, fields, msg))
		return hf_fail(e, HF_PROTOCOL, "message does not fit a packet of %zu bytes (%s)",
			       size, PB_GET_ERROR(&stream));
	*n = stream.bytes_written;
	return HF_OK;
}

enum hf_rc hf_packet_decode(const pb_msgdesc_t *fields, const uint8_t *p, size_t n, void *msg,
			    struct hf_err *e)
{
	pb_istream_t stream = pb_istream_from_buffer(p, n);

	if (!pb_decode(&stream, fields, msg))
		return hf_fail(e, HF_PROTOCOL, "malformed message: %s", PB_GET_ERROR(&stream));
	return HF_OK;
}

/* Of a field that is a struct hf_view. A stream over memory keeps its position in state. */
bool hf_view_field(pb_istream_t *in, pb_ostream_t *out, const pb_field_t *field)
{
	struct hf_view *v = field->pData;

	if (out)
		return v->n == 0 ||
		       (pb_encode_tag_for_field(out, field) && pb_encode_string(out, v->p, v->n));
	v->p = in->state;
	v->n = in->bytes_left;
	return v->n <= HF_DATA_MAX && pb_read(in, NULL, v->n);
}

/*
 * The bytes of a number, which this field is not, were on nanopb's stack: such a view is of
 * nothing, and not to be looked into.
 */
static enum hf_rc check_view(struct hf_view v, const uint8_t *p, size_t n, struct hf_err *e)
{
	uintptr_t at = (uintptr_t)v.p, first = (uintptr_t)p;

	if (!v.n || (at >= first && at - first <= n && v.n <= n - (at - first)))
		return HF_OK;
	return hf_fail(e, HF_PROTOCOL, "malformed message: data is a number");
}

enum hf_rc hf_request_decode(const uint8_t *p, size_t n, hf_Request *req, struct hf_err *e)
{
	enum hf_rc rc = hf_packet_decode(hf_Request_fields, p, n, req, e);

	if (rc || req->which_op != hf_Request_sign_tag)
		return rc;
	return check_view(req->op.sign.data, p, n, e);
}

enum hf_rc hf_keeper_decode(const uint8_t *p, size_t n, hf_KeeperRequest *req, struct hf_err *e)
{
	enum hf_rc rc;

	req->data = (struct hf_view){ NULL, 0 }; /* nanopb leaves it as it is */
	rc = hf_packet_decode(hf_KeeperRequest_fields, p, n, req, e);
	return rc ? rc : check_view(req->data, p, n, e);
}

static enum hf_rc socket_failed(struct hf_err *e, const char *what)
{
	switch (errno) {
	case EAGAIN:
		return hf_fail(e, HF_BUSY, "%s would block", what);
	case EMSGSIZE:
		return hf_fail(e, HF_PROTOCOL, "packet too long");
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
		return hf_fail(e, HF_UNAVAILABLE, "the peer closed the connection");
	default:
		return hf_fail_errno(e, HF_UNAVAILABLE, "%s", what);
	}
}

enum hf_rc hf_packet_send(int fd, const uint8_t *p, size_t n, struct hf_err *e)
{
	ssize_t sent;

	do
		sent = send(fd, p, n, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? socket_failed(e, "send") : HF_OK;
}

enum hf_rc hf_packet_recv(int fd, uint8_t *p, size_t size, size_t *n, struct hf_err *e)
{
	ssize_t got;

	*n = 0;
	do
		got = recv(fd, p, size, MSG_TRUNC); /* with MSG_TRUNC: the true length */
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return socket_failed(e, "receive");
	if (got == 0)
		return hf_fail(e, HF_UNAVAILABLE, "the peer closed the connection");
	if ((size_t)got > size)
		return hf_fail(e, HF_PROTOCOL, "packet of %zd bytes, at most %zu are allowed", got,
			       size);
	*n = (size_t)got;
	return HF_OK;
}

enum hf_rc hf_packet_recv_last(int fd, uint8_t *p, size_t size, size_t *n, struct hf_err *e)
{
	enum hf_rc rc = hf_packet_recv(fd, p, size, n, e);

	return rc == HF_UNAVAILABLE ? hf_packet_recv(fd, p, size, n, e) : rc;
}

enum hf_rc hf_packet_wait(int fd, short events, uint64_t deadline, struct hf_err *e)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		uint64_t now = hf_now_ms();
		int left = deadline <= now	      ? 0
			   : deadline - now > 3600000 ? 3600000
						      : (int)(deadline - now);
		int n = poll(&p, 1, left);

		if (n > 0)
			return HF_OK;
		if (n < 0 && errno != EINTR)
			return hf_fail_errno(e, HF_IO, "poll");
		if (hf_now_ms() >= deadline)
			return hf_fail(e, HF_TIMEOUT, "no answer in time");
	}
}

bool hf_packet_reply_id(const uint8_t *p, size_t n, uint32_t *id)
{
	pb_istream_t stream = pb_istream_from_buffer(p, n);
	pb_wire_type_t type;
	uint32_t tag;
	bool eof;

	*id = 0;
	while (pb_decode_tag(&stream, &type, &tag, &eof)) {
		if (tag == hf_Reply_id_tag)
			return type == PB_WT_VARINT && pb_decode_varint32(&stream, id);
		if (!pb_skip_field(&stream, type))
			return false;
	}
	return eof;
}

bool hf_pb_set(pb_size_t *size, uint8_t *bytes, size_t max, const void *p, size_t n)
{
	*size = 0;
	if (n > max)
		return false;
	if (n)
		memcpy(bytes, p, n);
	*size = (pb_size_t)n;
	return true;
}
