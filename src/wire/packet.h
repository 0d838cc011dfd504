/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.h: one protobuf message per SOCK_SEQPACKET packet, encoded and decoded
 * by nanopb into structs of fixed size. Nothing is allocated, nothing is trusted:
 * a truncated, oversized or malformed packet is HF_PROTOCOL.
 */
#ifndef HF_WIRE_PACKET_H
#define HF_WIRE_PACKET_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "holdfast.pb.h"

#define HF_WIRE_VERSION	     1
#define HF_PACKET_MAX	     65536u /* between clients and the broker */
#define HF_KEEPER_PACKET_MAX 98304u /* between the broker and its keepers */

#define HF_DATA_MAX 64512u /* bytes of data in one Sign */

#define HF_USAGE_SIGN	 1u
#define HF_USAGE_CA	 2u
#define HF_USAGE_DECRYPT 4u
#define HF_USAGE_DERIVE	 8u

/* Encodes @msg (described by @fields, e.g. hf_Request_fields) to @out; *@n is its length. */
enum hf_rc hf_packet_encode(const pb_msgdesc_t *fields, const void *msg, uint8_t *out, size_t size,
			    size_t *n, struct hf_err *e);

/* Decodes exactly @n bytes. @msg need not be initialised. HF_PROTOCOL if malformed. */
enum hf_rc hf_packet_decode(const pb_msgdesc_t *fields, const uint8_t *p, size_t n, void *msg,
			    struct hf_err *e);

/*
 * The same for messages with data to be signed, of which only a view is in the struct: encoding
 * takes the bytes from there, decoding leaves a view into @p. Never hf_packet_decode() for these.
 */
enum hf_rc hf_request_decode(const uint8_t *p, size_t n, hf_Request *req, struct hf_err *e);
enum hf_rc hf_keeper_decode(const uint8_t *p, size_t n, hf_KeeperRequest *req, struct hf_err *e);

/*
 * Sends or receives one raw packet; never raises SIGPIPE, repeats on EINTR.
 * HF_UNAVAILABLE when the peer is gone (recv: also at end of file), HF_BUSY when the
 * descriptor is non-blocking and would block, HF_PROTOCOL for a packet over @size bytes.
 */
enum hf_rc hf_packet_send(int fd, const uint8_t *p, size_t n, struct hf_err *e);
enum hf_rc hf_packet_recv(int fd, uint8_t *p, size_t size, size_t *n, struct hf_err *e);

/*
 * The same for who may have been told a last word by a peer that closed: a reset is reported
 * before what came ahead of it.
 */
enum hf_rc hf_packet_recv_last(int fd, uint8_t *p, size_t size, size_t *n, struct hf_err *e);

/* Waits until @fd is ready for @events (POLLIN, POLLOUT) or hf_now_ms() reaches @deadline. */
enum hf_rc hf_packet_wait(int fd, short events, uint64_t deadline, struct hf_err *e);

/*
 * The id of an encoded Reply without decoding the rest. 0: the connection is being closed, and
 * this is why. False if it is no message.
 */
bool hf_packet_reply_id(const uint8_t *p, size_t n, uint32_t *id);

/* Sets a nanopb bytes field: HF_PB_SET(msg.spki, p, n) is false if it does not fit. */
bool hf_pb_set(pb_size_t *size, uint8_t *bytes, size_t max, const void *p, size_t n);
#define HF_PB_SET(field, p, n)                                                                     \
	hf_pb_set(&(field).size, (field).bytes, sizeof((field).bytes), (p), (n))

#endif
