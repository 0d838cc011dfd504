/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11_token.c: from the path of a module to a session in which somebody is logged in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/pkcs11.h"
#include "keeper/pkcs11_error.h"
#include "keeper/pkcs11_key.h"

#define SLOTS_MAX 256

/* All that is ever called; what a module leaves out would be a jump to nowhere. */
static bool complete(const CK_FUNCTION_LIST *f)
{
	return f->C_Initialize && f->C_Finalize && f->C_GetInfo && f->C_GetSlotList &&
	       f->C_GetSlotInfo && f->C_GetTokenInfo && f->C_GetMechanismList &&
	       f->C_GetMechanismInfo && f->C_OpenSession && f->C_CloseSession &&
	       f->C_GetSessionInfo && f->C_Login && f->C_Logout && f->C_FindObjectsInit &&
	       f->C_FindObjects && f->C_FindObjectsFinal && f->C_GetAttributeValue &&
	       f->C_CreateObject && f->C_DestroyObject && f->C_GenerateKeyPair && f->C_SignInit &&
	       f->C_Sign && f->C_DecryptInit && f->C_Decrypt && f->C_DeriveKey && f->C_UnwrapKey;
}

static enum hf_rc load(struct hf_p11 *t, struct hf_err *e)
{
	CK_FUNCTION_LIST *f;
	const char *why;

	if (t->f)
		return HF_OK;
	/*
	 * By path and unmanaged: p11-kit's own configuration stays out of this. It may name
	 * modules that ask the broker, and the broker waits for us.
	 */
	f = p11_kit_module_load(t->module, P11_KIT_MODULE_UNMANAGED);
	if (!f) {
		why = p11_kit_message();
		return hf_fail(e, HF_UNAVAILABLE, "the module %s cannot be loaded%s%s", t->module,
			       why ? ": " : "", why ? why : "");
	}
	if (f->version.major != 2 && f->version.major != 3) {
		p11_kit_module_release(f);
		return hf_fail(e, HF_UNSUPPORTED, "the module %s speaks PKCS#11 %u.%u, not 2 or 3",
			       t->module, f->version.major, f->version.minor);
	}
	if (!complete(f)) {
		p11_kit_module_release(f);
		return hf_fail(e, HF_UNSUPPORTED, "the module %s lacks functions of PKCS#11",
			       t->module);
	}
	t->f = f;
	return HF_OK;
}

static enum hf_rc initialize(struct hf_p11 *t, struct hf_err *e)
{
	CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
	enum hf_rc rc = load(t, e);
	CK_RV rv;

	if (rc || t->initialized)
		return rc;
	rv = t->f->C_Initialize(&args);
	if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
		return hf_p11_fail(t, rv, e, "initialize the module");
	t->initialized = true;
	return HF_OK;
}

/* "SoftHSM slot ID 0x…   " -> without the spaces, and without what no terminal should get. */
static void field(char *out, size_t size, const CK_UTF8CHAR *in, size_t n)
{
	size_t i;

	while (n && (in[n - 1] == ' ' || !in[n - 1]))
		n--;
	if (n >= size)
		n = size - 1;
	for (i = 0; i < n; i++)
		out[i] = in[i] < ' ' || in[i] == 0x7f ? '?' : (char)in[i];
	out[n] = '\0';
}

static void describe(struct hf_p11 *t, const CK_TOKEN_INFO *info)
{
	char maker[33], model[17], serial[17];

	field(t->label, sizeof(t->label), info->label, sizeof(info->label));
	field(maker, sizeof(maker), info->manufacturerID, sizeof(info->manufacturerID));
	field(model, sizeof(model), info->model, sizeof(info->model));
	field(serial, sizeof(serial), info->serialNumber, sizeof(info->serialNumber));
	(void)snprintf(t->description, sizeof(t->description), "%s %s %u.%u, token %s, serial %s",
		       maker, model, info->firmwareVersion.major, info->firmwareVersion.minor,
		       t->label, serial);
	t->info = *info;
	t->flags = info->flags;
}

static bool wanted(struct hf_p11 *t, CK_SLOT_ID slot, CK_TOKEN_INFO *token)
{
	CK_SLOT_ID id = p11_kit_uri_get_slot_id(t->uri);
	CK_SLOT_INFO info;

	memset(token, 0, sizeof(*token));
	memset(&info, 0, sizeof(info));
	return (id == (CK_SLOT_ID)-1 || id == slot) && t->f->C_GetSlotInfo(slot, &info) == CKR_OK &&
	       p11_kit_uri_match_slot_info(t->uri, &info) &&
	       t->f->C_GetTokenInfo(slot, token) == CKR_OK &&
	       (token->flags & CKF_TOKEN_INITIALIZED) &&
	       p11_kit_uri_match_token_info(t->uri, token);
}

static enum hf_rc find_token(struct hf_p11 *t, struct hf_err *e)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = SLOTS_MAX, i, found = 0;
	CK_TOKEN_INFO token;
	CK_INFO info;
	CK_RV rv;

	memset(&info, 0, sizeof(info));
	rv = t->f->C_GetInfo(&info);
	if (rv == CKR_OK)
		rv = t->f->C_GetSlotList(CK_TRUE, slots, &n);
	if (rv == CKR_OK && n > SLOTS_MAX)
		rv = HF_P11_RV_LIED;
	if (rv != CKR_OK)
		return hf_p11_fail(t, rv, e, "list the slots");
	for (i = 0; p11_kit_uri_match_module_info(t->uri, &info) && i < n; i++) {
		if (!wanted(t, slots[i], &token))
			continue;
		if (found++)
			return hf_fail(e, HF_ARGUMENT,
				       "the URI fits more than one token of the module; add "
				       "serial=... to it ('p11tool --list-tokens' shows them)");
		t->slot = slots[i];
		describe(t, &token);
	}
	if (found)
		return HF_OK;
	t->rv = CKR_TOKEN_NOT_PRESENT;
	return hf_fail(e, HF_UNAVAILABLE,
		       "none of the %lu tokens of the module %s fits the URI; 'p11tool "
		       "--provider %s --list-tokens' shows them",
		       (unsigned long)n, t->module, t->module);
}

static enum hf_rc list_mechanisms(struct hf_p11 *t, struct hf_err *e)
{
	CK_ULONG n = HF_P11_MECHANISMS;
	CK_RV rv = t->f->C_GetMechanismList(t->slot, t->mechanisms, &n);

	if (rv == CKR_OK && n > HF_P11_MECHANISMS)
		rv = HF_P11_RV_LIED;
	t->n_mechanisms = rv == CKR_OK ? n : 0;
	return rv == CKR_OK ? HF_OK : hf_p11_fail(t, rv, e, "list the mechanisms");
}

CK_RV hf_p11_session_state(struct hf_p11 *t)
{
	CK_SESSION_INFO info;
	CK_RV rv;

	memset(&info, 0, sizeof(info));
	rv = t->f->C_GetSessionInfo(t->session, &info);
	if (rv == CKR_OK && info.slotID != t->slot)
		rv = HF_P11_RV_LIED;
	if (rv == CKR_OK && (t->flags & CKF_LOGIN_REQUIRED) &&
	    info.state != CKS_RW_USER_FUNCTIONS && info.state != CKS_RO_USER_FUNCTIONS)
		rv = CKR_USER_NOT_LOGGED_IN;
	return rv;
}

enum hf_rc hf_p11_new_session(struct hf_p11 *t, struct hf_err *e)
{
	CK_SESSION_HANDLE before = t->session;
	CK_RV rv;

	/* The old one is closed after: the login ends with an application's last session. */
	rv = t->f->C_OpenSession(t->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
				 &t->session);
	if (rv != CKR_OK) {
		t->session = before;
		return hf_p11_fail(t, rv, e, "open a session");
	}
	if (before != CK_INVALID_HANDLE)
		(void)t->f->C_CloseSession(before);
	hf_p11_keys_drop(t);
	if (!(t->flags & CKF_LOGIN_REQUIRED) || hf_p11_session_state(t) == CKR_OK)
		return HF_OK;
	return hf_p11_login(t, CKU_USER, e);
}

enum hf_rc hf_p11_start(struct hf_p11 *t, struct hf_err *e)
{
	enum hf_rc rc;

	/* SoftHSM writes at each login what others read as they begin, and takes a PIN for wrong
	 * that it compares with half of it: the keepers of one token begin one after the other. */
	hf_p11_logins_hold(true);
	rc = initialize(t, e);
	if (!rc)
		rc = find_token(t, e);
	if (!rc)
		rc = list_mechanisms(t, e);
	if (!rc)
		rc = hf_p11_new_session(t, e);
	t->ready = !rc;
	if (rc && t->initialized) {
		CK_RV rv = t->rv;

		hf_p11_stop(t);
		t->rv = rv;
	}
	hf_p11_logins_hold(false);
	return rc;
}

void hf_p11_stop(struct hf_p11 *t)
{
	hf_p11_keys_drop(t);
	/* Closing would do; but tpm2-pkcs11 takes its keys out of the TPM at a logout only. */
	if (t->initialized && t->session != CK_INVALID_HANDLE) {
		if (t->flags & CKF_LOGIN_REQUIRED)
			(void)t->f->C_Logout(t->session);
		(void)t->f->C_CloseSession(t->session);
	}
	t->session = CK_INVALID_HANDLE;
	if (t->initialized)
		(void)t->f->C_Finalize(NULL);
	t->initialized = t->ready = false;
}

bool hf_p11_has(const struct hf_p11 *t, CK_MECHANISM_TYPE m)
{
	CK_ULONG i;

	for (i = 0; i < t->n_mechanisms; i++)
		if (t->mechanisms[i] == m)
			return true;
	return false;
}

static const struct {
	enum hf_family family;
	CK_MECHANISM_TYPE make, use[2]; /* one of the two is enough */
} needed[] = {
	{ HF_FAMILY_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN, { CKM_RSA_PKCS, CKM_RSA_X_509 } },
	{ HF_FAMILY_EC, CKM_EC_KEY_PAIR_GEN, { CKM_ECDSA, CKM_ECDSA } },
	{ HF_FAMILY_ED25519, CKM_EC_EDWARDS_KEY_PAIR_GEN, { CKM_EDDSA, CKM_EDDSA } },
};

bool hf_p11_makes(struct hf_p11 *t, const struct hf_algorithm *a)
{
	CK_MECHANISM_INFO info;
	size_t i;

	for (i = 0; i < HF_COUNT(needed) && needed[i].family != a->family; i++)
		;
	if (i == HF_COUNT(needed) || !hf_p11_has(t, needed[i].make) ||
	    (!hf_p11_has(t, needed[i].use[0]) && !hf_p11_has(t, needed[i].use[1])))
		return false;
	memset(&info, 0, sizeof(info));
	if (t->f->C_GetMechanismInfo(t->slot, needed[i].make, &info) != CKR_OK)
		return false;
	/* Some say 0, some bytes instead of bits; Ed25519 is 255 to some and 256 to others. */
	return a->family == HF_FAMILY_ED25519 || !info.ulMaxKeySize || info.ulMaxKeySize < 128 ||
	       (info.ulMinKeySize <= a->bits && a->bits <= info.ulMaxKeySize);
}
