/* SPDX-License-Identifier: Apache-2.0 */
/* find.c: the functions on objects. */
#include <stdlib.h>
#include <string.h>

#include "p11/object.h"

#define TEMPLATE_MAX 64u

static bool template_ok(const struct ck_attribute *templ, unsigned long n)
{
	unsigned long i;

	if (HF_P11_BAD(templ, n) || n > TEMPLATE_MAX)
		return false;
	for (i = 0; i < n; i++)
		if (HF_P11_BAD(templ[i].value, templ[i].value_len))
			return false;
	return true;
}

ck_rv_t C_FindObjectsInit(ck_session_handle_t session, struct ck_attribute *templ, unsigned long n)
{
	struct hf_p11 *p = hf_p11_enter();
	struct hf_err e = HF_ERR_INIT;
	struct hf_p11_session *s;
	enum hf_rc rc;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = hf_p11_session(p, session);
	if (!s)
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	if (!template_ok(templ, n))
		return hf_p11_leave(p, CKR_ARGUMENTS_BAD);
	if (s->finding)
		return hf_p11_leave(p, CKR_OPERATION_ACTIVE);
	rc = hf_p11_refresh(p, &e);
	if (rc && rc != HF_DENIED) /* who has no right to any key sees an empty token */
		return hf_p11_leave(p, hf_p11_result(&e));
	s = hf_p11_session(p, session); /* the lock was given up */
	if (!s)
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	free(s->found);
	s->found = NULL;
	s->at_found = s->n_found = 0;
	if (!hf_p11_match(p, templ, n, &s->found, &s->n_found))
		return hf_p11_leave(p, CKR_HOST_MEMORY);
	s->finding = true;
	return hf_p11_leave(p, CKR_OK);
}

ck_rv_t C_FindObjects(ck_session_handle_t session, ck_object_handle_t *objects, unsigned long max,
		      unsigned long *count)
{
	struct hf_p11 *p = hf_p11_enter();
	struct hf_p11_session *s;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = hf_p11_session(p, session);
	if (!s)
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	if (HF_P11_BAD(objects, max) || !count)
		return hf_p11_leave(p, CKR_ARGUMENTS_BAD);
	if (!s->finding)
		return hf_p11_leave(p, CKR_OPERATION_NOT_INITIALIZED);
	for (*count = 0; *count < max && s->at_found < s->n_found; (*count)++)
		objects[*count] = s->found[s->at_found++];
	return hf_p11_leave(p, CKR_OK);
}

ck_rv_t C_FindObjectsFinal(ck_session_handle_t session)
{
	struct hf_p11 *p = hf_p11_enter();
	struct hf_p11_session *s;
	bool was;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = hf_p11_session(p, session);
	if (!s)
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	was = s->finding;
	s->finding = false;
	free(s->found);
	s->found = NULL;
	return hf_p11_leave(p, was ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED);
}

ck_rv_t C_GetAttributeValue(ck_session_handle_t session, ck_object_handle_t object,
			    struct ck_attribute *templ, unsigned long n)
{
	struct hf_p11 *p = hf_p11_enter();
	struct hf_p11_object o;
	ck_rv_t rv = CKR_OK, one;
	unsigned long i;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!hf_p11_session(p, session))
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	if (HF_P11_BAD(templ, n))
		return hf_p11_leave(p, CKR_ARGUMENTS_BAD);
	if (!hf_p11_object(p, object, &o))
		return hf_p11_leave(p, CKR_OBJECT_HANDLE_INVALID);
	for (i = 0; i < n; i++) { /* all of them are answered, also after an error */
		one = hf_p11_attribute(&o, &templ[i]);
		if (one)
			rv = one;
	}
	return hf_p11_leave(p, rv);
}

ck_rv_t C_GetObjectSize(ck_session_handle_t session, ck_object_handle_t object, unsigned long *size)
{
	struct hf_p11 *p = hf_p11_enter();
	struct hf_p11_object o;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!hf_p11_session(p, session))
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	if (!size)
		return hf_p11_leave(p, CKR_ARGUMENTS_BAD);
	if (!hf_p11_object(p, object, &o))
		return hf_p11_leave(p, CKR_OBJECT_HANDLE_INVALID);
	*size = CK_UNAVAILABLE_INFORMATION;
	return hf_p11_leave(p, CKR_OK);
}

/* Keys are made and deleted with `holdfast key`; only what C_DeriveKey made can go from here. */
ck_rv_t C_DestroyObject(ck_session_handle_t session, ck_object_handle_t object)
{
	struct hf_p11 *p = hf_p11_enter();
	struct hf_p11_secret **at, *gone;
	struct hf_p11_object o;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!hf_p11_session(p, session))
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	if (!hf_p11_object(p, object, &o))
		return hf_p11_leave(p, CKR_OBJECT_HANDLE_INVALID);
	if (!o.secret)
		return hf_p11_leave(p, CKR_TOKEN_WRITE_PROTECTED);
	for (at = &p->secrets; *at != o.secret; at = &(*at)->next)
		;
	gone = *at;
	*at = gone->next;
	explicit_bzero(gone, sizeof(*gone));
	free(gone);
	return hf_p11_leave(p, CKR_OK);
}
