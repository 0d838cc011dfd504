/* SPDX-License-Identifier: Apache-2.0 */
#include "est/tls.h"

#include <poll.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "est/base64.h"
#include "est/certs.h"
#include "est/key.h"

/* Forward secrecy and AEAD, nothing else; RFC 7030, section 3.2.3 forbids anonymous and NULL. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!eNULL:!PSK:!SRP"

/* The fingerprint may be that of a certificate which the server itself has sent. */
static bool find_pinned(struct hf_est *x, X509_STORE_CTX *ctx)
{
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
	uint8_t sha256[32];
	int i;

	for (i = 0; i < sk_X509_num(sent); i++) {
		X509 *cert = sk_X509_value(sent, i);

		if (hf_cert_sha256(cert, sha256) &&
		    hf_mem_equal(sha256, x->job->sha256, sizeof(sha256)) &&
		    hf_certs_add(x->pinned, cert))
			return true;
	}
	return false;
}

static bool has_eku(X509 *cert, int nid)
{
	EXTENDED_KEY_USAGE *list = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
	bool has = false;
	int i;

	for (i = 0; i < sk_ASN1_OBJECT_num(list) && !has; i++)
		has = OBJ_obj2nid(sk_ASN1_OBJECT_value(list, i)) == nid;
	EXTENDED_KEY_USAGE_free(list);
	return has;
}

/*
 * RFC 7030, section 3.6: the name of the configured URI; or, but under what is pinned only,
 * a certificate that its CA has made for registration authorities.
 */
static bool authorized(struct hf_est *x, X509 *cert, bool pinned)
{
	const char *host = x->url.host;
	char name[160];
	int ok;

	if (pinned && has_eku(cert, NID_cmcRA))
		return true;
	if (X509_get_ext_by_NID(cert, NID_ext_key_usage, -1) >= 0 &&
	    !has_eku(cert, NID_server_auth)) {
		(void)hf_fail(
			&x->tls.why, HF_REFUSED,
			"the certificate of the server (%s) is not one for servers; nothing was "
			"sent",
			hf_cert_name(cert, name, sizeof(name)));
		return false;
	}
	ok = X509_check_ip_asc(cert, host, 0);
	if (ok == -2) /* no address */
		ok = X509_check_host(cert, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL);
	if (ok == 1)
		return true;
	(void)hf_fail(&x->tls.why, HF_REFUSED,
		      "the certificate of the server (%s) does not name %s, the host of the URL; "
		      "nothing was sent",
		      hf_cert_name(cert, name, sizeof(name)), host);
	return false;
}

static int refuse(struct hf_est *x, X509_STORE_CTX *ctx)
{
	int error = X509_STORE_CTX_get_error(ctx);
	X509 *at = X509_STORE_CTX_get_current_cert(ctx);
	char name[160];

	(void)hf_fail(
		&x->tls.why, HF_REFUSED,
		"the certificate of the server is not trusted: %s (at %s); nothing was sent. Is "
		"its CA the one that is trusted for it, and the clock right?",
		X509_verify_cert_error_string(error),
		at ? hf_cert_name(at, name, sizeof(name)) : "?");
	return 0;
}

static int verify_server(X509_STORE_CTX *ctx, void *arg)
{
	struct hf_est *x = arg;
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	bool pinned = x->job->trust != HF_EST_SYSTEM;

	x->tls.authenticated = false;
	memset(&x->tls.why, 0, sizeof(x->tls.why));
	if (x->bootstrap && !find_pinned(x, ctx)) {
		/* RFC 7030, section 4.1.1: /cacerts may be read, and is believed by its fingerprint
		 */
		X509_STORE_CTX_set_error(ctx, X509_V_OK);
		return 1;
	}
	hf_certs_param(param, x->now);
	/* cmcRA alone is fine for authorized(), and not for libcrypto's purpose */
	(void)X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_ANY);
	if (pinned)
		X509_STORE_CTX_set0_trusted_stack(ctx, x->pinned);
	if (X509_verify_cert(ctx) != 1)
		return refuse(x, ctx);
	if (!authorized(x, X509_STORE_CTX_get0_cert(ctx), pinned)) {
		X509_STORE_CTX_set_error(ctx, X509_V_ERR_HOSTNAME_MISMATCH);
		return 0;
	}
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	x->tls.authenticated = true;
	x->tls.explicit_anchor = pinned;
	return 1;
}

/* In TLS 1.3 a refused client certificate is heard of only when the first answer is read. */
static void see_alert(const SSL *ssl, int where, int ret)
{
	struct hf_est *x = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && ret >> 8 == SSL3_AL_FATAL)
		x->tls.alert = ret & 0xff;
}

static int see_request(SSL *ssl, void *arg)
{
	struct hf_est *x = arg;

	(void)ssl;
	x->tls.asked_cert = true;
	return 1;
}

static bool use_certificate(struct hf_est *x, SSL_CTX *ctx)
{
	int i, n = x->job->leaf_only ? 1 : sk_X509_num(x->tls_certs);
	char why[300], name[160];

	for (i = 0; i < n; i++) {
		X509 *cert = sk_X509_value(x->tls_certs, i);

		if (!(i ? SSL_CTX_add1_chain_cert(ctx, cert) : SSL_CTX_use_certificate(ctx, cert)))
			goto failed;
	}
	if (n)
		SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN); /* no more than that is sent */
	if (n && !SSL_CTX_use_PrivateKey(ctx, x->tls_key))
		goto failed;
	return true;
failed:
	(void)hf_est_fail(x, HF_EST_AUTH, "client certificate (%s) and key %s cannot be used: %s",
			  hf_cert_name(sk_X509_value(x->tls_certs, 0), name, sizeof(name)),
			  x->job->tls_key, hf_key_errors(why, sizeof(why)));
	return false;
}

bool hf_tls_prepare(struct hf_est *x, SSL_CTX *ctx)
{
	SSL_CTX_set_app_data(ctx, x);
	SSL_CTX_set_options(ctx,
			    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, x->tls12 ? TLS1_2_VERSION : 0) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, CIPHERS) != 1) {
		(void)hf_est_fail(x, HF_EST_INTERNAL, "libssl has no TLS 1.2");
		return false;
	}
	if (x->system)
		SSL_CTX_set1_cert_store(ctx, x->system);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify_server, x);
	SSL_CTX_set_info_callback(ctx, see_alert);
	SSL_CTX_set_cert_cb(ctx, see_request, x);
	return x->bootstrap || use_certificate(x, ctx);
}

/* ---------------------------------------------------------------- channel binding */

enum hf_est_status hf_tls_binding(struct hf_est *x, SSL *ssl, enum hf_est_binding kind,
				  char out[HF_BINDING_MAX])
{
	static const char label[] = "EXPORTER-Channel-Binding"; /* RFC 9266 */
	bool tls13 = SSL_version(ssl) >= TLS1_3_VERSION;
	HF_AUTO_BUF text = HF_BUF(HF_BINDING_MAX - 1);
	uint8_t value[EVP_MAX_MD_SIZE];
	size_t n, i;

	if (kind == HF_EST_BIND_AUTO)
		kind = tls13 ? HF_EST_BIND_EXPORTER : HF_EST_BIND_UNIQUE;
	if (!tls13 && SSL_get_extms_support(ssl) != 1) /* RFC 7627: else it is not unique */
		return hf_est_fail(
			x, HF_EST_TLS,
			"the server does not know the extended master secret (RFC 7627), "
			"without which nothing binds a request to its connection; let the "
			"server be updated, or have binding \"none\"");
	if (kind == HF_EST_BIND_UNIQUE && tls13)
		return hf_est_fail(x, HF_EST_TLS, "TLS 1.3 has no tls-unique");
	if (kind == HF_EST_BIND_UNIQUE) {
		n = SSL_session_reused(ssl) ? SSL_get_peer_finished(ssl, value, sizeof(value))
					    : SSL_get_finished(ssl, value, sizeof(value));
		x->binding = "tls-unique";
	} else {
		n = 32;
		if (SSL_export_keying_material(ssl, value, n, label, sizeof(label) - 1, NULL, 0,
					       0) != 1)
			n = 0;
		x->binding = "tls-exporter";
	}
	if (!n || n > sizeof(value))
		return hf_est_fail(x, HF_EST_TLS, "libssl gives no %s", x->binding);
	hf_est_base64_encode(value, n, &text);
	explicit_bzero(value, sizeof(value));
	if (text.bad)
		return hf_est_fail(x, HF_EST_INTERNAL, "out of memory");
	for (i = n = 0; i < text.n; i++) /* one string: without the line's end */
		if (text.p[i] != '\n')
			out[n++] = (char)text.p[i];
	out[n] = '\0';
	return HF_EST_OK;
}

void hf_tls_listen(const struct hf_est *x, SSL *ssl, unsigned ms)
{
	const unsigned step = 20;
	unsigned waited;
	char byte;

	/* libcurl does not tell its socket here; this is rare enough to look again and again */
	for (waited = 0; waited <= ms && x->tls.alert < 0; waited += step) {
		int n = SSL_peek(ssl, &byte, 1); /* a callback sees the alert */

		if (n > 0 || SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ)
			break;
		(void)poll(NULL, 0, (int)step);
	}
	ERR_clear_error();
}

bool hf_tls_refused_us(const struct hf_est *x)
{
	switch (x->tls.alert) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_ACCESS_DENIED:
	case SSL_AD_DECRYPT_ERROR:
	case TLS13_AD_CERTIFICATE_REQUIRED:
		return true;
	case SSL_AD_HANDSHAKE_FAILURE: /* also: no common cipher, but then we were not asked */
		return x->tls.asked_cert;
	default:
		return false;
	}
}
