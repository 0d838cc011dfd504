/* SPDX-License-Identifier: Apache-2.0 */
/* tls.h: who the server is, who we are, and what names the connection. */
#ifndef HF_EST_TLS_H
#define HF_EST_TLS_H

#include "est/est.h"

/*
 * Prepares one SSL_CTX, which libcurl has made: versions, ciphers, our certificate, and the
 * verification of the server, which is ours alone. False: x->err is set.
 */
bool hf_tls_prepare(struct hf_est *x, SSL_CTX *ctx);

#define HF_BINDING_MAX 128
/*
 * The channel binding of a connection (RFC 5929, RFC 9266) in base64. @kind as in the job; never
 * HF_EST_BIND_NONE. HF_EST_TLS if this connection has none. x->binding is set.
 */
enum hf_est_status hf_tls_binding(struct hf_est *x, SSL *ssl, enum hf_est_binding kind,
				  char out[HF_BINDING_MAX]);

/*
 * Waits at most @ms for what the server says first. In TLS 1.3 it judges our certificate when the
 * handshake is over for us; a server that then closes may lose its alert to the request that is
 * under way (the kernel answers that with a reset, which empties our side as well).
 */
void hf_tls_listen(const struct hf_est *x, SSL *ssl, unsigned ms);

/* Is the last alert one by which a server refuses a client certificate (or its absence)? */
bool hf_tls_refused_us(const struct hf_est *x);

#endif
