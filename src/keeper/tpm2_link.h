/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpm2_link.h: the way to the TPM: a TCTI, one command and one answer at a time.
 * What comes back is a stranger's until hf_tpm2_receive() has measured it.
 */
#ifndef HF_KEEPER_TPM2_LINK_H
#define HF_KEEPER_TPM2_LINK_H

#include <tss2/tss2_tcti.h>

#include "keeper/tpm2_cmd.h"

struct hf_tpm2_session;

struct hf_tpm2_link {
	TSS2_TCTI_CONTEXT *tcti;		 /* NULL: not connected */
	bool own;				 /* is of tpm2_socket.c, not of tpm2-tss */
	unsigned alive_ms;			 /* a TPM that is silent for so long hangs */
	uint32_t *commands;			 /* counted there, if not NULL */
	const struct hf_tpm2_command_info *sent; /* is being worked on */
	uint8_t buffer[HF_TPM2_BUFFER];
};

struct hf_tpm2_rsp {
	uint32_t handle; /* if the command gives one */
	struct hf_rd params;
};

/* Of a command that did not get that far: whoever reads it finds nothing. */
#define HF_TPM2_NO_RSP                                                                             \
	(struct hf_tpm2_rsp)                                                                       \
	{                                                                                          \
		0, { NULL, 0, true }                                                               \
	}

/* All of these answer with a TSS2_RC, 0 is success; tpm2_error.h explains it. */
uint32_t hf_tpm2_connect(struct hf_tpm2_link *link, const char *tcti);
void hf_tpm2_disconnect(struct hf_tpm2_link *link);

/*
 * @session NULL: authorisations are empty passwords. Else the first authorisation is that
 * session, a second one is @c->policy1, and first parameters are encrypted both ways; the
 * session has to be the same for send and receive.
 */
uint32_t hf_tpm2_send(struct hf_tpm2_link *link, struct hf_tpm2_cmd *c,
		      struct hf_tpm2_session *session);
/* @rsp points into @link's buffer, until the next send. */
uint32_t hf_tpm2_receive(struct hf_tpm2_link *link, struct hf_tpm2_rsp *rsp,
			 struct hf_tpm2_session *session);
uint32_t hf_tpm2_call(struct hf_tpm2_link *link, struct hf_tpm2_cmd *c, struct hf_tpm2_rsp *rsp,
		      struct hf_tpm2_session *session);

#endif
