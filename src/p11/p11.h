/* SPDX-License-Identifier: Apache-2.0 */
/*
 * p11.h: holdfast-pkcs11.so, a PKCS#11 module (OASIS PKCS#11 2.40) for programs that do not
 * use OpenSSL's providers. One slot, one token: all keys of the broker that the calling user
 * may see. Sessions and logins are virtual; who may do what is the broker's to say.
 *
 * It lives in other people's processes: loading and C_Initialize do no I/O, nothing is
 * printed unless HOLDFAST_PKCS11_LOG asks for it, and a child of fork() has to call
 * C_Initialize again, as the standard says; it never touches what it inherited.
 */
#ifndef HF_P11_P11_H
#define HF_P11_P11_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include <openssl/evp.h>
#include <openssl/provider.h>

#ifndef CRYPTOKI_GNU
#define CRYPTOKI_GNU
#endif
#include <p11-kit/pkcs11.h>

#include "base/err.h"
#include "wire/broker.h"
#include "wire/uplink.h"

#define HF_P11_SLOT	0u
#define HF_P11_SESSIONS 1024u
#define HF_P11_OBJECTS	8192u /* keys, and certificates, that one process ever sees */

struct hf_p11_key;
struct hf_p11_cert;
struct hf_p11_secret;
struct hf_p11_op;

enum hf_p11_use { HF_P11_SIGN, HF_P11_VERIFY, HF_P11_DECRYPT, HF_P11_USES };

struct hf_p11_session {
	bool rw;
	bool finding;
	ck_object_handle_t *found; /* what C_FindObjects still has to hand out */
	size_t n_found, at_found;
	struct hf_p11_op *ops[HF_P11_USES];
};

/* All that one process has of us. */
struct hf_p11 {
	struct hf_p11 *before; /* of what was inherited: that of the process before */
	pid_t pid;
	pthread_mutex_t lock; /* of all that follows; never held while the broker is asked */
	struct hf_uplink *link;
	OSSL_LIB_CTX *ctx;	 /* ours, with the default provider and no configuration */
	OSSL_PROVIDER *software; /* the default provider in it */
	bool logged_in;
	struct hf_p11_session *sessions[HF_P11_SESSIONS]; /* handle - 1 */
	size_t n_sessions;
	struct hf_p11_key **keys; /* entries stay until C_Finalize: handles never change */
	size_t n_keys;
	struct hf_p11_cert **certs;
	size_t n_certs;
	struct hf_p11_secret *secrets; /* session objects, of C_DeriveKey */
	unsigned long last_secret;
	unsigned round;	    /* number of the last look at the broker's list */
	uint64_t looked_at; /* ms */
};

/* The state, locked; NULL: not initialised in this process. */
struct hf_p11 *hf_p11_enter(void);
/* Unlocks; @rv is returned. */
ck_rv_t hf_p11_leave(struct hf_p11 *p, ck_rv_t rv);

/* The session of a handle, NULL if there is none. The lock is held. */
struct hf_p11_session *hf_p11_session(struct hf_p11 *p, ck_session_handle_t handle);
void hf_p11_session_free(struct hf_p11 *p, ck_session_handle_t handle);

/* Says @e where HOLDFAST_PKCS11_LOG wants it, and gives the CKR_ that is nearest. */
ck_rv_t hf_p11_result(const struct hf_err *e);

/* Reads @n bytes of memory the caller's pointer to which may be NULL only if @n is 0. */
#define HF_P11_BAD(p, n) (!(p) && (n))

#endif
