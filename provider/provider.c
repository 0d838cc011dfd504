/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider.c: the entry point. It must not do I/O, start a thread, read a file or
 * connect: a broker that is not running must not be noticed by a process that only
 * has us in its openssl.cnf.
 */
#include "provider.h"

#include <stdarg.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "wire/uplink.h"
#include "wire/client.h"

static const OSSL_PARAM gettable[] = {
	OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
	OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
	OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, NULL, 0),
	OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
	OSSL_PARAM_END,
};

#define REASON(value, name, text, exit) { (value), (void *)(uintptr_t)(text) },
static const OSSL_ITEM reasons[] = { HF_RC_LIST(REASON){ 0, NULL } };
#undef REASON

static const struct {
	int id;
	const OSSL_ALGORITHM *algorithms;
} operations[] = {
	{ OSSL_OP_KEYMGMT, hf_keymgmts },    { OSSL_OP_SIGNATURE, hf_signatures },
	{ OSSL_OP_ASYM_CIPHER, hf_ciphers }, { OSSL_OP_KEYEXCH, hf_keyexchs },
	{ OSSL_OP_STORE, hf_stores },	     { OSSL_OP_DECODER, hf_decoders },
	{ OSSL_OP_ENCODER, hf_encoders },
};

static void raise_va(const struct hf_provider *p, uint32_t reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	p->vset_error(p->core, reason, fmt, ap);
	va_end(ap);
}

int hf_provider_raise(const struct hf_provider *p, const char *file, int line, const char *func,
		      const struct hf_err *e)
{
	if (!p->new_error || !p->vset_error)
		return 0;
	p->new_error(p->core);
	if (p->set_error_debug)
		p->set_error_debug(p->core, file, line, func);
	raise_va(p, (uint32_t)(e->rc ? e->rc : HF_FAILED), "%s", e->msg);
	return 0;
}

static void provider_teardown(void *provctx)
{
	struct hf_provider *p = provctx;

	hf_uplink_free(p->link);
	if (p->software)
		OSSL_PROVIDER_unload(p->software);
	OSSL_LIB_CTX_free(p->libctx);
	free(p);
}

static const OSSL_PARAM *provider_gettable_params(void *provctx)
{
	(void)provctx;
	return gettable;
}

static int provider_get_params(void *provctx, OSSL_PARAM params[])
{
	OSSL_PARAM *p;

	(void)provctx;
	if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME)) &&
	    !OSSL_PARAM_set_utf8_ptr(p, "holdfast: keys in a TPM or HSM"))
		return 0;
	if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_VERSION)) &&
	    !OSSL_PARAM_set_utf8_ptr(p, HF_VERSION))
		return 0;
	if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_BUILDINFO)) &&
	    !OSSL_PARAM_set_utf8_ptr(p, HF_VERSION))
		return 0;
	if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS)) && !OSSL_PARAM_set_int(p, 1))
		return 0;
	return 1;
}

static const OSSL_ALGORITHM *provider_query(void *provctx, int operation, int *no_cache)
{
	size_t i;

	(void)provctx;
	*no_cache = 0;
	for (i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (operations[i].id == operation)
			return operations[i].algorithms;
	return NULL;
}

static const OSSL_ITEM *provider_reasons(void *provctx)
{
	(void)provctx;
	return reasons + 1; /* not HF_OK: libcrypto stops at 0 */
}

static const OSSL_DISPATCH functions[] = {
	HF_FN(PROVIDER_TEARDOWN, provider_teardown, provider_teardown),
	HF_FN(PROVIDER_GETTABLE_PARAMS, provider_gettable_params, provider_gettable_params),
	HF_FN(PROVIDER_GET_PARAMS, provider_get_params, provider_get_params),
	HF_FN(PROVIDER_QUERY_OPERATION, provider_query_operation, provider_query),
	HF_FN(PROVIDER_SELF_TEST, provider_self_test, hf_provider_self_test),
	HF_FN(PROVIDER_GET_REASON_STRINGS, provider_get_reason_strings, provider_reasons),
	HF_FN_END,
};

/* HOLDFAST_SOCKET, then `socket` of our section in openssl.cnf, then where the broker listens. */
static const char *socket_path(const OSSL_CORE_HANDLE *core, OSSL_FUNC_core_get_params_fn *get)
{
	char *configured = NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_DEFN("socket", OSSL_PARAM_UTF8_PTR, &configured, 0),
		OSSL_PARAM_END,
	};
	const char *env = secure_getenv("HOLDFAST_SOCKET");

	if (env && env[0])
		return env;
	if (get && get(core, params) && configured && configured[0])
		return configured;
	return HF_SOCKET_DEFAULT;
}

__attribute__((visibility("default"))) int OSSL_provider_init(const OSSL_CORE_HANDLE *core,
							      const OSSL_DISPATCH *in,
							      const OSSL_DISPATCH **out,
							      void **provctx)
{
	struct hf_provider *p = calloc(1, sizeof(*p));
	OSSL_FUNC_core_get_params_fn *get_params = NULL;
	const OSSL_DISPATCH *fn;

	if (!p)
		return 0;
	p->core = core;
	for (fn = in; fn->function_id; fn++) {
		if (fn->function_id == OSSL_FUNC_CORE_GET_PARAMS)
			get_params = OSSL_FUNC_core_get_params(fn);
		else if (fn->function_id == OSSL_FUNC_CORE_NEW_ERROR)
			p->new_error = OSSL_FUNC_core_new_error(fn);
		else if (fn->function_id == OSSL_FUNC_CORE_SET_ERROR_DEBUG)
			p->set_error_debug = OSSL_FUNC_core_set_error_debug(fn);
		else if (fn->function_id == OSSL_FUNC_CORE_VSET_ERROR)
			p->vset_error = OSSL_FUNC_core_vset_error(fn);
	}
	/* From dispatch: core BIOs can be used in it. Not a child: that would mirror ourselves. */
	p->libctx = OSSL_LIB_CTX_new_from_dispatch(core, in);
	p->link = hf_uplink_new(socket_path(core, get_params), "holdfast.so " HF_VERSION);
	p->software = p->libctx ? OSSL_PROVIDER_load(p->libctx, "default") : NULL;
	if (!p->software || !p->link) {
		provider_teardown(p);
		return 0;
	}
	*provctx = p;
	*out = functions;
	return 1;
}
