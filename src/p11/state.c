/* SPDX-License-Identifier: Apache-2.0 */
/* state.c: C_Initialize to C_Finalize, and who may be inside. */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "p11/object.h"
#include "p11/p11.h"
#include "wire/client.h"

static _Atomic(struct hf_p11 *) state;
/*
 * What the processes that forked us had. It is never freed: a thread of theirs may have been
 * inside, with locks of libcrypto's, for which a child would wait for ever.
 */
static struct hf_p11 *inherited;
/* Who is in C_Initialize: a process, since a child does not have the thread of its parent's. */
static _Atomic(pid_t) initializing;

struct hf_p11 *hf_p11_enter(void)
{
	struct hf_p11 *p = atomic_load(&state);

	/* In a child of fork() the lock may be held by a thread that does not exist. */
	if (!p || p->pid != getpid())
		return NULL;
	pthread_mutex_lock(&p->lock);
	return p;
}

ck_rv_t hf_p11_leave(struct hf_p11 *p, ck_rv_t rv)
{
	pthread_mutex_unlock(&p->lock);
	return rv;
}

static void state_free(struct hf_p11 *p)
{
	size_t i;

	for (i = 0; i < HF_P11_SESSIONS; i++)
		hf_p11_session_free(p, i + 1);
	hf_p11_objects_free(p);
	hf_uplink_free(p->link);
	if (p->software)
		OSSL_PROVIDER_unload(p->software);
	OSSL_LIB_CTX_free(p->ctx);
	free(p);
}

static struct hf_p11 *state_new(void)
{
	struct hf_p11 *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->pid = getpid();
	pthread_mutex_init(&p->lock, NULL);
	if (inherited && inherited->link) {
		/* An uplink knows of forks: it closes what was the parent's, and takes no lock. */
		p->link = inherited->link;
		inherited->link = NULL;
	} else {
		p->link = hf_uplink_new(hf_client_socket(), "holdfast-pkcs11.so " HF_VERSION);
	}
	p->ctx = OSSL_LIB_CTX_new();
	/* No configuration: it could name this module, or an engine that loads it. */
	p->software = p->ctx ? OSSL_PROVIDER_load(p->ctx, "default") : NULL;
	if (p->link && p->software)
		return p;
	state_free(p);
	return NULL;
}

/* One thread at a time, so that who is second does not go on before there is something. */
static void begin(void)
{
	pid_t me = getpid(), is = 0;

	while (!atomic_compare_exchange_weak(&initializing, &is, me))
		if (is == me) {
			(void)sched_yield();
			is = 0;
		}
}

static ck_rv_t initialize(void)
{
	struct hf_p11 *was = atomic_load(&state), *p;

	if (was && was->pid == getpid())
		return CKR_CRYPTOKI_ALREADY_INITIALIZED;
	if (was) {
		was->before = inherited;
		inherited = was;
		atomic_store(&state, NULL);
	}
	p = state_new();
	if (!p)
		return CKR_HOST_MEMORY;
	atomic_store(&state, p);
	return CKR_OK;
}

ck_rv_t C_Initialize(void *init_args)
{
	const struct ck_c_initialize_args *a = init_args;
	bool all, any;
	ck_rv_t rv;

	if (a) {
		all = a->create_mutex && a->destroy_mutex && a->lock_mutex && a->unlock_mutex;
		any = a->create_mutex || a->destroy_mutex || a->lock_mutex || a->unlock_mutex;
		if (a->reserved || all != any)
			return CKR_ARGUMENTS_BAD;
		if (any && !(a->flags & CKF_OS_LOCKING_OK))
			return CKR_CANT_LOCK; /* ours are the system's */
	}
	begin();
	rv = initialize();
	atomic_store(&initializing, 0);
	return rv;
}

ck_rv_t C_Finalize(void *reserved)
{
	struct hf_p11 *p = atomic_load(&state);

	if (reserved)
		return CKR_ARGUMENTS_BAD;
	if (!p || p->pid != getpid() || !atomic_compare_exchange_strong(&state, &p, NULL))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	state_free(p);
	return CKR_OK;
}

/* PKCS#11 has numbers only; the sentence that helps is here for who looks for it. */
static void say(const char *text)
{
	const char *where = secure_getenv("HOLDFAST_PKCS11_LOG");

	if (where && !strcmp(where, "stderr"))
		fprintf(stderr, "holdfast-pkcs11: %s\n", text);
}

static const struct {
	enum hf_rc rc;
	ck_rv_t rv;
} results[] = {
	{ HF_OK, CKR_OK },
	{ HF_ARGUMENT, CKR_DATA_INVALID },
	{ HF_NO_KEY, CKR_KEY_FUNCTION_NOT_PERMITTED },
	{ HF_DENIED, CKR_KEY_FUNCTION_NOT_PERMITTED },
	{ HF_REFUSED, CKR_KEY_FUNCTION_NOT_PERMITTED },
	{ HF_UNSUPPORTED, CKR_MECHANISM_INVALID },
	{ HF_UNAVAILABLE, CKR_DEVICE_REMOVED },
	{ HF_GONE, CKR_DEVICE_REMOVED },
	{ HF_NO_MEMORY, CKR_HOST_MEMORY },
	{ HF_BUSY, CKR_FUNCTION_FAILED },
	{ HF_TIMEOUT, CKR_FUNCTION_FAILED },
};

ck_rv_t hf_p11_result(const struct hf_err *e)
{
	size_t i;

	if (e->rc)
		say(e->msg);
	for (i = 0; i < HF_COUNT(results); i++)
		if (results[i].rc == e->rc)
			return results[i].rv;
	return CKR_DEVICE_ERROR;
}
