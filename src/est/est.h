/* SPDX-License-Identifier: Apache-2.0 */
/*
 * est.h: one enrolment, from the job to the result. docs/EST.md is the contract with
 * whoever runs this program.
 *
 * Pure parsers (url, header, base64, pkcs7, csrattrs) return enum hf_rc; what knows the
 * enrolment returns enum hf_est_status, and its text is in x->err.
 */
#ifndef HF_EST_EST_H
#define HF_EST_EST_H

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "est/header.h"
#include "est/job.h"
#include "est/url.h"

#define HF_EST_CERTS_MAX     64u  /* of a server */
#define HF_EST_ANCHORS_MAX   400u /* of the job: somebody's whole store */
#define HF_EST_CACERTS_BYTES (1024u * 1024)
#define HF_EST_BODY_BYTES    (256u * 1024)
#define HF_EST_WARNINGS_MAX  16u

/* value, name in the result, exit code */
#define HF_EST_STATUS_LIST(X)                                                                      \
	X(OK, "ok", 0)                                                                             \
	X(PENDING, "pending", 4)                                                                   \
	X(BUSY, "busy", 4)                                                                         \
	X(NETWORK, "network", 4)                                                                   \
	X(TLS, "tls", 1)                                                                           \
	X(AUTH, "auth", 3)                                                                         \
	X(REFUSED, "refused", 1)                                                                   \
	X(SERVER, "server", 4)                                                                     \
	X(PROTOCOL, "protocol", 1)                                                                 \
	X(ANSWER, "answer", 1)                                                                     \
	X(KEY, "key", 4)                                                                           \
	X(JOB, "job", 2)                                                                           \
	X(INTERNAL, "internal", 1)

#define HF_EST_STATUS_ENUM(name, text, exit) HF_EST_##name,
enum hf_est_status { HF_EST_STATUS_LIST(HF_EST_STATUS_ENUM) };
#undef HF_EST_STATUS_ENUM

struct hf_csrattrs;

/* What the TLS handshake of the connection in use has shown. */
struct hf_est_tls {
	bool authenticated;   /* the server is who it has to be */
	bool explicit_anchor; /* by what is pinned, not by the system's store */
	int alert;	      /* last fatal one from the server; -1: none */
	bool asked_cert;      /* the server wanted a client certificate */
	struct hf_err why;    /* what was wrong with the server's certificate */
	char version[16];
};

struct hf_est {
	const struct hf_est_job *job;
	struct hf_url url;
	uint64_t deadline; /* hf_now_ms() */
	time_t now;	   /* certificates are judged at this time */

	/* keys and certificates; owned */
	EVP_PKEY *key, *tls_key;
	STACK_OF(X509) * tls_certs; /* leaf first */
	X509 *replaced;
	STACK_OF(X509) * pinned;  /* of the job, or found by its fingerprint */
	STACK_OF(X509) * anchors; /* accepted earlier (job) */
	STACK_OF(X509) * cacerts; /* accepted now, newest root first */
	X509_STORE *system;	  /* trust mode system */
	struct hf_csrattrs *attrs;

	void *providers[2]; /* OSSL_PROVIDER */
	void *curl;	    /* CURL */
	struct hf_est_tls tls;
	struct hf_challenge challenge;
	bool bootstrap; /* /cacerts of a server that nobody vouches for yet: no credentials */
	bool tls12;	/* hold TLS at 1.2, for tls-unique */
	bool listen;	/* only connect, and hear whether the server has an alert to tell */
	unsigned requests;

	/* the result */
	struct hf_err err;
	long http_status;
	uint32_t retry_after_s;
	STACK_OF(X509) * issued; /* leaf, chain */
	bool cacerts_changed;
	const char *binding; /* that the request carried */
	char *warnings[HF_EST_WARNINGS_MAX];
	unsigned n_warnings;
};

/* Fills x->err and returns @status. */
enum hf_est_status hf_est_fail(struct hf_est *x, enum hf_est_status status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts text in front of x->err; returns @status. */
enum hf_est_status hf_est_within(struct hf_est *x, enum hf_est_status status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Says it once: in the log and in the result. */
void hf_est_warn(struct hf_est *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *hf_est_status_name(enum hf_est_status status);
int hf_est_status_exit(enum hf_est_status status);

/* Everything that needs no network: keys, certificates, trust. Then the sandbox may close. */
enum hf_est_status hf_est_open(struct hf_est *x, const struct hf_est_job *job);
/* The operation. */
enum hf_est_status hf_est_run(struct hf_est *x);
void hf_est_close(struct hf_est *x);

#endif
