/* SPDX-License-Identifier: Apache-2.0 */
/* state.c: C_Initialize to C_Finalize, and who may be inside. */
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

	while (p) {
		struct hf_p11 *before = p->before;

		for (i = 0; i < HF_P11_SESSIONS; i++)
			hf_p11_session_free(p, i + 1);
		hf_p11_objects_free(p);
		hf_uplink_free(p->link);
		if (p->software)
			OSSL_PROVIDER_unload(p->software);
		OSSL_LIB_CTX_free(p->ctx);
		free(p);
		p = before;
	}
}

static struct hf_p11 *state_new(struct hf_p11 *before)
{
	struct hf_p11 *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->pid = getpid();
	p->before = before;
	pthread_mutex_init(&p->lock, NULL);
	if (before) { /* an uplink knows of forks: it closes what was the parent's */
		p->link = before->link;
		before->link = NULL;
	} else {
		p->link = hf_uplink_new(hf_client_socket(), "holdfast-pkcs11.so " HF_VERSION);
	}
	p->ctx = OSSL_LIB_CTX_new();
	/* No configuration: it could name this module, or an engine that loads it. */
	p->software = p->ctx ? OSSL_PROVIDER_load(p->ctx, "default") : NULL;
	if (p->link && p->software)
		return p;
	p->before = NULL;
	state_free(p);
	return NULL;
}

ck_rv_t C_Initialize(void *init_args)
{
	const struct ck_c_initialize_args *a = init_args;
	struct hf_p11 *was = atomic_load(&state), *p;
	bool all, any;

	if (was && was->pid == getpid())
		return CKR_CRYPTOKI_ALREADY_INITIALIZED;
	if (a) {
		all = a->create_mutex && a->destroy_mutex && a->lock_mutex && a->unlock_mutex;
		any = a->create_mutex || a->destroy_mutex || a->lock_mutex || a->unlock_mutex;
		if (a->reserved || all != any)
			return CKR_ARGUMENTS_BAD;
		if (any && !(a->flags & CKF_OS_LOCKING_OK))
			return CKR_CANT_LOCK; /* ours are the system's */
	}
	p = state_new(was);
	if (!p)
		return CKR_HOST_MEMORY;
	if (atomic_compare_exchange_strong(&state, &was, p))
		return CKR_OK;
	p->before = NULL;
	state_free(p);
	return CKR_CRYPTOKI_ALREADY_INITIALIZED;
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
