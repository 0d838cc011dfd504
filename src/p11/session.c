/* SPDX-License-Identifier: Apache-2.0 */
/* session.c: slots, the token, sessions and logins: all virtual, but for whether there is a broker.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "p11/mech.h"
#include "p11/object.h"
#include "p11/op.h"
#include "wire/client.h"

#define CONNECT_MS 2000u

/* PKCS#11's texts are padded with blanks and not terminated. */
static void text(unsigned char *to, size_t size, const char *from)
{
	size_t n = strlen(from);

	memset(to, ' ', size);
	memcpy(to, from, n < size ? n : size);
}

ck_rv_t C_GetInfo(struct ck_info *info)
{
	struct hf_p11 *p = hf_p11_enter();

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!info)
		return hf_p11_leave(p, CKR_ARGUMENTS_BAD);
	memset(info, 0, sizeof(*info));
	info->cryptoki_version = (struct ck_version){ 2, 40 };
	text(info->manufacturer_id, sizeof(info->manufacturer_id), "holdfast");
	text(info->library_description, sizeof(info->library_description), "holdfast keys");
	info->library_version = (struct ck_version){ 0, 1 };
	return hf_p11_leave(p, CKR_OK);
}

/* The token is there while somebody listens whom we may talk to. */
static bool present(void)
{
	struct hf_err e = HF_ERR_INIT;
	int fd;

	if (hf_client_open(hf_client_socket(), "holdfast-pkcs11.so " HF_VERSION, CONNECT_MS, &fd,
			   &e)) {
		(void)hf_p11_result(&e);
		return e.rc == HF_BUSY;
	}
	close(fd);
	return true;
}

ck_rv_t C_GetSlotList(unsigned char token_present, ck_slot_id_t *slots, unsigned long *count)
{
	struct hf_p11 *p = hf_p11_enter();
	unsigned long n, room;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	(void)hf_p11_leave(p, CKR_OK);
	if (!count)
		return CKR_ARGUMENTS_BAD;
	n = !token_present || present() ? 1 : 0;
	room = *count;
	*count = n;
	if (!slots || !n)
		return CKR_OK;
	if (room < n)
		return CKR_BUFFER_TOO_SMALL;
	slots[0] = HF_P11_SLOT;
	return CKR_OK;
}

ck_rv_t C_GetSlotInfo(ck_slot_id_t slot, struct ck_slot_info *info)
{
	struct hf_p11 *p = hf_p11_enter();

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	(void)hf_p11_leave(p, CKR_OK);
	if (slot != HF_P11_SLOT)
		return CKR_SLOT_ID_INVALID;
	if (!info)
		return CKR_ARGUMENTS_BAD;
	memset(info, 0, sizeof(*info));
	text(info->slot_description, sizeof(info->slot_description), "holdfast");
	text(info->manufacturer_id, sizeof(info->manufacturer_id), "holdfast");
	info->flags = CKF_REMOVABLE_DEVICE | CKF_HW_SLOT | (present() ? CKF_TOKEN_PRESENT : 0);
	return CKR_OK;
}

ck_rv_t C_GetTokenInfo(ck_slot_id_t slot, struct ck_token_info *info)
{
	struct hf_p11 *p = hf_p11_enter();
	unsigned long open;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	open = p->n_sessions;
	(void)hf_p11_leave(p, CKR_OK);
	if (slot != HF_P11_SLOT)
		return CKR_SLOT_ID_INVALID;
	if (!info)
		return CKR_ARGUMENTS_BAD;
	if (!present())
		return CKR_TOKEN_NOT_PRESENT;
	memset(info, 0, sizeof(*info));
	text(info->label, sizeof(info->label), "holdfast");
	text(info->manufacturer_id, sizeof(info->manufacturer_id), "holdfast");
	text(info->model, sizeof(info->model), "broker");
	text(info->serial_number, sizeof(info->serial_number), "1");
	text(info->utc_time, sizeof(info->utc_time), "");
	info->flags = CKF_WRITE_PROTECTED | CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED;
	info->max_session_count = HF_P11_SESSIONS;
	info->session_count = open;
	info->max_rw_session_count = HF_P11_SESSIONS;
	info->rw_session_count = CK_UNAVAILABLE_INFORMATION;
	info->max_pin_len = 255;
	info->total_public_memory = info->free_public_memory = CK_UNAVAILABLE_INFORMATION;
	info->total_private_memory = info->free_private_memory = CK_UNAVAILABLE_INFORMATION;
	return CKR_OK;
}

/* Nothing is ever reported: a broker that goes and comes back is no event to act on. */
ck_rv_t C_WaitForSlotEvent(ck_flags_t flags, ck_slot_id_t *slot, void *reserved)
{
	struct hf_p11 *p = hf_p11_enter();

	(void)slot;
	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	(void)hf_p11_leave(p, CKR_OK);
	if (reserved)
		return CKR_ARGUMENTS_BAD;
	return flags & CKF_DONT_BLOCK ? CKR_NO_EVENT : CKR_FUNCTION_NOT_SUPPORTED;
}

ck_rv_t C_GetMechanismList(ck_slot_id_t slot, ck_mechanism_type_t *list, unsigned long *count)
{
	struct hf_p11 *p = hf_p11_enter();
	unsigned long n, room;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	(void)hf_p11_leave(p, CKR_OK);
	if (slot != HF_P11_SLOT)
		return CKR_SLOT_ID_INVALID;
	if (!count)
		return CKR_ARGUMENTS_BAD;
	for (n = 0; hf_p11_mechs[n].flags; n++)
		;
	room = *count;
	*count = n;
	if (!list)
		return CKR_OK;
	if (room < n)
		return CKR_BUFFER_TOO_SMALL;
	for (n = 0; n < *count; n++)
		list[n] = hf_p11_mechs[n].type;
	return CKR_OK;
}

ck_rv_t C_GetMechanismInfo(ck_slot_id_t slot, ck_mechanism_type_t type,
			   struct ck_mechanism_info *info)
{
	static const struct {
		unsigned long min, max;
	} sizes[] = {
		[HF_FAMILY_RSA] = { 2048, 4096 },
		[HF_FAMILY_EC] = { 256, 521 },
		[HF_FAMILY_ED25519] = { 255, 255 },
	};
	struct hf_p11 *p = hf_p11_enter();
	const struct hf_p11_mech *m = hf_p11_mech(type);

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	(void)hf_p11_leave(p, CKR_OK);
	if (slot != HF_P11_SLOT)
		return CKR_SLOT_ID_INVALID;
	if (!info)
		return CKR_ARGUMENTS_BAD;
	if (!m)
		return CKR_MECHANISM_INVALID;
	info->min_key_size = sizes[m->family].min;
	info->max_key_size = sizes[m->family].max;
	info->flags = m->flags;
	return CKR_OK;
}

/* ---- sessions */

struct hf_p11_session *hf_p11_session(struct hf_p11 *p, ck_session_handle_t handle)
{
	return handle && handle <= HF_P11_SESSIONS ? p->sessions[handle - 1] : NULL;
}

void hf_p11_session_free(struct hf_p11 *p, ck_session_handle_t handle)
{
	struct hf_p11_session *s = hf_p11_session(p, handle);
	size_t i;

	if (!s)
		return;
	for (i = 0; i < HF_P11_USES; i++)
		hf_p11_op_free(s->ops[i]);
	hf_p11_secrets_free(p, handle);
	free(s->found);
	free(s);
	p->sessions[handle - 1] = NULL;
	p->n_sessions--;
	if (!p->n_sessions)
		p->logged_in = false;
}

ck_rv_t C_OpenSession(ck_slot_id_t slot, ck_flags_t flags, void *application, ck_notify_t notify,
		      ck_session_handle_t *handle)
{
	struct hf_p11 *p = hf_p11_enter();
	struct hf_p11_session *s;
	size_t i;

	(void)application;
	(void)notify;
	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (slot != HF_P11_SLOT)
		return hf_p11_leave(p, CKR_SLOT_ID_INVALID);
	if (!handle)
		return hf_p11_leave(p, CKR_ARGUMENTS_BAD);
	if (!(flags & CKF_SERIAL_SESSION))
		return hf_p11_leave(p, CKR_SESSION_PARALLEL_NOT_SUPPORTED);
	for (i = 0; i < HF_P11_SESSIONS && p->sessions[i]; i++)
		;
	if (i == HF_P11_SESSIONS)
		return hf_p11_leave(p, CKR_SESSION_COUNT);
	s = calloc(1, sizeof(*s));
	if (!s)
		return hf_p11_leave(p, CKR_HOST_MEMORY);
	s->rw = flags & CKF_RW_SESSION;
	p->sessions[i] = s;
	p->n_sessions++;
	*handle = i + 1;
	return hf_p11_leave(p, CKR_OK);
}

ck_rv_t C_CloseSession(ck_session_handle_t handle)
{
	struct hf_p11 *p = hf_p11_enter();

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!hf_p11_session(p, handle))
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	hf_p11_session_free(p, handle);
	return hf_p11_leave(p, CKR_OK);
}

ck_rv_t C_CloseAllSessions(ck_slot_id_t slot)
{
	struct hf_p11 *p = hf_p11_enter();
	size_t i;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (slot != HF_P11_SLOT)
		return hf_p11_leave(p, CKR_SLOT_ID_INVALID);
	for (i = 0; i < HF_P11_SESSIONS; i++)
		hf_p11_session_free(p, i + 1);
	return hf_p11_leave(p, CKR_OK);
}

ck_rv_t C_GetSessionInfo(ck_session_handle_t handle, struct ck_session_info *info)
{
	struct hf_p11 *p = hf_p11_enter();
	const struct hf_p11_session *s;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = hf_p11_session(p, handle);
	if (!s)
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	if (!info)
		return hf_p11_leave(p, CKR_ARGUMENTS_BAD);
	memset(info, 0, sizeof(*info));
	info->slot_id = HF_P11_SLOT;
	info->flags = CKF_SERIAL_SESSION | (s->rw ? CKF_RW_SESSION : 0);
	if (!p->logged_in)
		info->state = s->rw ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION;
	else
		info->state = s->rw ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS;
	return hf_p11_leave(p, CKR_OK);
}

/* Some programs insist on logging in. The PIN is not looked at: the kernel says who calls. */
ck_rv_t C_Login(ck_session_handle_t handle, ck_user_type_t user, unsigned char *pin,
		unsigned long n_pin)
{
	struct hf_p11 *p = hf_p11_enter();

	(void)pin;
	(void)n_pin;
	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!hf_p11_session(p, handle))
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	if (user == CKU_CONTEXT_SPECIFIC)
		return hf_p11_leave(p, CKR_OK);
	if (user != CKU_USER) /* there is nothing for a security officer to do */
		return hf_p11_leave(p, CKR_USER_TYPE_INVALID);
	if (p->logged_in)
		return hf_p11_leave(p, CKR_USER_ALREADY_LOGGED_IN);
	p->logged_in = true;
	return hf_p11_leave(p, CKR_OK);
}

ck_rv_t C_Logout(ck_session_handle_t handle)
{
	struct hf_p11 *p = hf_p11_enter();
	bool was;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!hf_p11_session(p, handle))
		return hf_p11_leave(p, CKR_SESSION_HANDLE_INVALID);
	was = p->logged_in;
	p->logged_in = false;
	return hf_p11_leave(p, was ? CKR_OK : CKR_USER_NOT_LOGGED_IN);
}
