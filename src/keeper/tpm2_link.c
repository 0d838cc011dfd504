/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/tpm2_link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_tctildr.h>

#include "base/process.h"
#include "keeper/tpm2_error.h"
#include "keeper/tpm2_session.h"
#include "keeper/tpm2_socket.h"

#define HEADER 10u

uint32_t hf_tpm2_connect(struct hf_tpm2_link *link, const char *tcti)
{
	const char *path = hf_tpm2_socket_path(tcti);
	uint32_t rc;

	hf_tpm2_disconnect(link);
	link->own = path != NULL;
	rc = path ? hf_tpm2_socket_open(path, &link->tcti)
		  : Tss2_TctiLdr_Initialize(tcti, &link->tcti);
	if (rc)
		link->tcti = NULL;
	return rc;
}

void hf_tpm2_disconnect(struct hf_tpm2_link *link)
{
	if (link->tcti && link->own) {
		Tss2_Tcti_Finalize(link->tcti);
		free(link->tcti);
	} else if (link->tcti) {
		Tss2_TctiLdr_Finalize(&link->tcti);
	}
	link->tcti = NULL;
	link->sent = NULL;
}

/* Command authorisation area: its size, then handle, nonce, attributes, hmac. */
static size_t put_passwords(uint8_t *out, unsigned count)
{
	static const uint8_t empty[] = { 0x40, 0, 0, 9, 0, 0, 0, 0, 0 }; /* TPM2_RS_PW */
	unsigned i;

	hf_be32(out, count * (uint32_t)sizeof(empty));
	for (i = 0; i < count; i++)
		memcpy(out + 4 + i * sizeof(empty), empty, sizeof(empty));
	return 4 + count * sizeof(empty);
}

uint32_t hf_tpm2_send(struct hf_tpm2_link *link, struct hf_tpm2_cmd *c,
		      struct hf_tpm2_session *session)
{
	const struct hf_tpm2_command_info *info = c->info;
	uint8_t *b = link->buffer;
	size_t n = HEADER;
	unsigned i;
	uint32_t rc;

	if (!link->tcti)
		return TSS2_TCTI_RC_NO_CONNECTION;
	if (c->bad || sizeof(link->buffer) - c->n < HEADER + 8 + HF_TPM2_AUTH_MAX)
		return TPM2_RC_SIZE;
	for (i = 0; i < info->handles; i++, n += 4)
		hf_be32(b + n, c->handle[i]);
	if (session && !hf_tpm2_session_command(session, c, b + n, &i)) {
		return TPM2_RC_AUTH_CONTEXT;
	} else if (session) {
		n += i;
	} else if (info->auths) {
		n += put_passwords(b + n, info->auths);
	}
	memcpy(b + n, c->p, c->n);
	n += c->n;
	hf_be16(b, info->auths ? TPM2_ST_SESSIONS : TPM2_ST_NO_SESSIONS);
	hf_be32(b + 2, (uint32_t)n);
	hf_be32(b + 6, info->code);
	rc = Tss2_Tcti_Transmit(link->tcti, n, b);
	if (link->commands)
		++*link->commands;
	link->sent = rc ? NULL : info;
	return rc;
}

/*
 * TCTIs differ in what they make of a timeout, so we wait ourselves. Another program may
 * hold a TPM that takes one connection at a time: then nothing ever comes.
 */
static uint32_t wait_for(struct hf_tpm2_link *link, unsigned timeout_ms)
{
	uint64_t deadline = hf_now_ms() + timeout_ms, now;
	TSS2_TCTI_POLL_HANDLE fds[4];
	size_t n = 0;
	int ready;

	if (Tss2_Tcti_GetPollHandles(link->tcti, NULL, &n) || !n || n > HF_COUNT(fds) ||
	    Tss2_Tcti_GetPollHandles(link->tcti, fds, &n))
		return 0; /* it cannot tell: the broker's deadline has to do */
	while ((now = hf_now_ms()) < deadline) {
		ready = poll(fds, n, (int)(deadline - now));
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return TSS2_TCTI_RC_IO_ERROR;
	}
	return TSS2_TCTI_RC_TRY_AGAIN;
}

/* Header, handle, sizes: a tag and lengths that fit what was sent and what arrived. */
static uint32_t measure(struct hf_tpm2_link *link, size_t n, struct hf_tpm2_rsp *rsp,
			struct hf_tpm2_session *session)
{
	struct hf_rd r = { link->buffer, n, false };
	const struct hf_tpm2_command_info *info = link->sent;
	uint16_t tag = hf_rd16(&r);
	uint32_t size = hf_rd32(&r), rc = hf_rd32(&r);
	struct hf_view params;

	if (r.bad || size != n)
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	if (rc) /* part 3, 5.5: errors are a bare header */
		return n == HEADER && tag == TPM2_ST_NO_SESSIONS ? rc
								 : TSS2_TCTI_RC_MALFORMED_RESPONSE;
	if (tag != (info->auths ? TPM2_ST_SESSIONS : TPM2_ST_NO_SESSIONS))
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	if (info->out_handle)
		rsp->handle = hf_rd32(&r);
	if (info->auths) {
		params = hf_rd_bytes(&r, hf_rd32(&r));
		if (r.bad)
			return TSS2_TCTI_RC_MALFORMED_RESPONSE;
		if (session && !hf_tpm2_session_response(session, info, params, r))
			return HF_TPM2_RC_FORGED;
		r = (struct hf_rd){ params.p, params.n, false };
	}
	rsp->params = r;
	return r.bad ? TSS2_TCTI_RC_MALFORMED_RESPONSE : 0;
}

uint32_t hf_tpm2_receive(struct hf_tpm2_link *link, struct hf_tpm2_rsp *rsp,
			 struct hf_tpm2_session *session)
{
	size_t n = sizeof(link->buffer);
	uint32_t rc;

	*rsp = HF_TPM2_NO_RSP;
	if (!link->tcti || !link->sent)
		return TSS2_TCTI_RC_BAD_SEQUENCE;
	rc = wait_for(link, link->sent->timeout_ms ? link->sent->timeout_ms : link->alive_ms);
	if (!rc)
		rc = Tss2_Tcti_Receive(link->tcti, &n, link->buffer, TSS2_TCTI_TIMEOUT_BLOCK);
	if (!rc)
		rc = n > sizeof(link->buffer) ? TSS2_TCTI_RC_MALFORMED_RESPONSE
					      : measure(link, n, rsp, session);
	link->sent = NULL;
	return rc;
}

uint32_t hf_tpm2_call(struct hf_tpm2_link *link, struct hf_tpm2_cmd *c, struct hf_tpm2_rsp *rsp,
		      struct hf_tpm2_session *session)
{
	struct hf_tpm2_rsp ignored;
	uint32_t rc;

	if (!rsp)
		rsp = &ignored;
	*rsp = HF_TPM2_NO_RSP; /* callers read before they look at the code */
	rc = hf_tpm2_send(link, c, session);
	return rc ? rc : hf_tpm2_receive(link, rsp, session);
}
