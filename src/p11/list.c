/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.c: the functions as programs find them, and those that there are not. Keys are made,
 * imported and deleted with `holdfast key`; symmetric ciphers, digests and random numbers are
 * better done by the program itself.
 */
#include <string.h>

#include "base/buf.h"
#include "p11/p11.h"

/* What is exported; the rest is reached by the list. */
#define EXPORT __attribute__((visibility("default")))

/* The standard wants a function in every place of the list. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define NOT_HAD(name, args)                                                                        \
	ck_rv_t name args                                                                          \
	{                                                                                          \
		return CKR_FUNCTION_NOT_SUPPORTED;                                                 \
	}

#define NO_RNG(name, args)                                                                         \
	ck_rv_t name args                                                                          \
	{                                                                                          \
		return CKR_RANDOM_NO_RNG;                                                          \
	}

/* clang-format off */
NOT_HAD(C_InitToken, (ck_slot_id_t slot_id, unsigned char *pin, unsigned long pin_len, unsigned
	char *label))
NOT_HAD(C_InitPIN, (ck_session_handle_t session, unsigned char *pin, unsigned long pin_len))
NOT_HAD(C_SetPIN, (ck_session_handle_t session, unsigned char *old_pin, unsigned long old_len,
	unsigned char *new_pin, unsigned long new_len))
NOT_HAD(C_GetOperationState, (ck_session_handle_t session, unsigned char *operation_state,
	unsigned long *operation_state_len))
NOT_HAD(C_SetOperationState, (ck_session_handle_t session, unsigned char *operation_state,
	unsigned long operation_state_len, ck_object_handle_t encryption_key, ck_object_handle_t
	authentiation_key))
NOT_HAD(C_CreateObject, (ck_session_handle_t session, struct ck_attribute *templ, unsigned long
	count, ck_object_handle_t *object))
NOT_HAD(C_CopyObject, (ck_session_handle_t session, ck_object_handle_t object, struct
	ck_attribute *templ, unsigned long count, ck_object_handle_t *new_object))
NOT_HAD(C_SetAttributeValue, (ck_session_handle_t session, ck_object_handle_t object, struct
	ck_attribute *templ, unsigned long count))
NOT_HAD(C_EncryptInit, (ck_session_handle_t session, struct ck_mechanism *mechanism,
	ck_object_handle_t key))
NOT_HAD(C_Encrypt, (ck_session_handle_t session, unsigned char *data, unsigned long data_len,
	unsigned char *encrypted_data, unsigned long *encrypted_data_len))
NOT_HAD(C_EncryptUpdate, (ck_session_handle_t session, unsigned char *part, unsigned long
	part_len, unsigned char *encrypted_part, unsigned long *encrypted_part_len))
NOT_HAD(C_EncryptFinal, (ck_session_handle_t session, unsigned char *last_encrypted_part,
	unsigned long *last_encrypted_part_len))
NOT_HAD(C_DigestInit, (ck_session_handle_t session, struct ck_mechanism *mechanism))
NOT_HAD(C_Digest, (ck_session_handle_t session, unsigned char *data, unsigned long data_len,
	unsigned char *digest, unsigned long *digest_len))
NOT_HAD(C_DigestUpdate, (ck_session_handle_t session, unsigned char *part, unsigned long
	part_len))
NOT_HAD(C_DigestKey, (ck_session_handle_t session, ck_object_handle_t key))
NOT_HAD(C_DigestFinal, (ck_session_handle_t session, unsigned char *digest, unsigned long
	*digest_len))
NOT_HAD(C_SignRecoverInit, (ck_session_handle_t session, struct ck_mechanism *mechanism,
	ck_object_handle_t key))
NOT_HAD(C_SignRecover, (ck_session_handle_t session, unsigned char *data, unsigned long
	data_len, unsigned char *signature, unsigned long *signature_len))
NOT_HAD(C_VerifyRecoverInit, (ck_session_handle_t session, struct ck_mechanism *mechanism,
	ck_object_handle_t key))
NOT_HAD(C_VerifyRecover, (ck_session_handle_t session, unsigned char *signature, unsigned long
	signature_len, unsigned char *data, unsigned long *data_len))
NOT_HAD(C_DigestEncryptUpdate, (ck_session_handle_t session, unsigned char *part, unsigned long
	part_len, unsigned char *encrypted_part, unsigned long *encrypted_part_len))
NOT_HAD(C_DecryptDigestUpdate, (ck_session_handle_t session, unsigned char *encrypted_part,
	unsigned long encrypted_part_len, unsigned char *part, unsigned long *part_len))
NOT_HAD(C_SignEncryptUpdate, (ck_session_handle_t session, unsigned char *part, unsigned long
	part_len, unsigned char *encrypted_part, unsigned long *encrypted_part_len))
NOT_HAD(C_DecryptVerifyUpdate, (ck_session_handle_t session, unsigned char *encrypted_part,
	unsigned long encrypted_part_len, unsigned char *part, unsigned long *part_len))
NOT_HAD(C_GenerateKey, (ck_session_handle_t session, struct ck_mechanism *mechanism, struct
	ck_attribute *templ, unsigned long count, ck_object_handle_t *key))
NOT_HAD(C_GenerateKeyPair, (ck_session_handle_t session, struct ck_mechanism *mechanism, struct
	ck_attribute *public_key_template, unsigned long public_key_attribute_count, struct ck_attribute
	*private_key_template, unsigned long private_key_attribute_count, ck_object_handle_t
	*public_key, ck_object_handle_t *private_key))
NOT_HAD(C_WrapKey, (ck_session_handle_t session, struct ck_mechanism *mechanism,
	ck_object_handle_t wrapping_key, ck_object_handle_t key, unsigned char *wrapped_key, unsigned
	long *wrapped_key_len))
NOT_HAD(C_UnwrapKey, (ck_session_handle_t session, struct ck_mechanism *mechanism,
	ck_object_handle_t unwrapping_key, unsigned char *wrapped_key, unsigned long wrapped_key_len,
	struct ck_attribute *templ, unsigned long attribute_count, ck_object_handle_t *key))
NO_RNG(C_SeedRandom, (ck_session_handle_t session, unsigned char *seed, unsigned long
	seed_len))
NO_RNG(C_GenerateRandom, (ck_session_handle_t session, unsigned char *random_data, unsigned
	long random_len))
/* clang-format on */

ck_rv_t C_GetFunctionStatus(ck_session_handle_t session)
{
	return CKR_FUNCTION_NOT_PARALLEL;
}

ck_rv_t C_CancelFunction(ck_session_handle_t session)
{
	return CKR_FUNCTION_NOT_PARALLEL;
}

/* clang-format off */
/* What the lists of 2.40 and of 3.0 begin with. */
#define FUNCTIONS_2_40                                                                             \
	C_Initialize, C_Finalize, C_GetInfo, C_GetFunctionList, C_GetSlotList,                     \
	C_GetSlotInfo, C_GetTokenInfo, C_GetMechanismList, C_GetMechanismInfo,                     \
	C_InitToken, C_InitPIN, C_SetPIN, C_OpenSession, C_CloseSession,                           \
	C_CloseAllSessions, C_GetSessionInfo, C_GetOperationState, C_SetOperationState,            \
	C_Login, C_Logout, C_CreateObject, C_CopyObject, C_DestroyObject,                          \
	C_GetObjectSize, C_GetAttributeValue, C_SetAttributeValue, C_FindObjectsInit,              \
	C_FindObjects, C_FindObjectsFinal, C_EncryptInit, C_Encrypt, C_EncryptUpdate,              \
	C_EncryptFinal, C_DecryptInit, C_Decrypt, C_DecryptUpdate, C_DecryptFinal,                 \
	C_DigestInit, C_Digest, C_DigestUpdate, C_DigestKey, C_DigestFinal, C_SignInit,            \
	C_Sign, C_SignUpdate, C_SignFinal, C_SignRecoverInit, C_SignRecover,                       \
	C_VerifyInit, C_Verify, C_VerifyUpdate, C_VerifyFinal, C_VerifyRecoverInit,                \
	C_VerifyRecover, C_DigestEncryptUpdate, C_DecryptDigestUpdate,                             \
	C_SignEncryptUpdate, C_DecryptVerifyUpdate, C_GenerateKey, C_GenerateKeyPair,              \
	C_WrapKey, C_UnwrapKey, C_DeriveKey, C_SeedRandom, C_GenerateRandom,                       \
	C_GetFunctionStatus, C_CancelFunction, C_WaitForSlotEvent

/* clang-format on */

static struct ck_function_list functions = { { 2, 40 }, FUNCTIONS_2_40 };

EXPORT ck_rv_t C_GetFunctionList(struct ck_function_list **list)
{
	if (!list)
		return CKR_ARGUMENTS_BAD;
	*list = &functions;
	return CKR_OK;
}

#ifdef CKF_INTERFACE_FORK_SAFE /* headers of PKCS#11 3.0: p11-kit 0.25 */

/* clang-format off */
NOT_HAD(C_LoginUser, (ck_session_handle_t session, ck_user_type_t user_type, unsigned char *pin,
	unsigned long pin_len, unsigned char *username, unsigned long username_len))
NOT_HAD(C_MessageEncryptInit, (ck_session_handle_t session, struct ck_mechanism *mechanism,
	ck_object_handle_t key))
NOT_HAD(C_EncryptMessage, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len, unsigned char *associated_data, unsigned long associated_data_len, unsigned char
	*plaintext, unsigned long plaintext_len, unsigned char *ciphertext, unsigned long
	*ciphertext_len))
NOT_HAD(C_EncryptMessageBegin, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len, unsigned char *associated_data, unsigned long associated_data_len))
NOT_HAD(C_EncryptMessageNext, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len, unsigned char *plaintext_part, unsigned long plaintext_part_len, unsigned char
	*ciphertext_part, unsigned long *ciphertext_part_len, ck_flags_t flags))
NOT_HAD(C_MessageEncryptFinal, (ck_session_handle_t session))
NOT_HAD(C_MessageDecryptInit, (ck_session_handle_t session, struct ck_mechanism *mechanism,
	ck_object_handle_t key))
NOT_HAD(C_DecryptMessage, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len, unsigned char *associated_data, unsigned long associated_data_len, unsigned char
	*ciphertext, unsigned long ciphertext_len, unsigned char *plaintext, unsigned long
	*plaintext_len))
NOT_HAD(C_DecryptMessageBegin, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len, unsigned char *associated_data, unsigned long associated_data_len))
NOT_HAD(C_DecryptMessageNext, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len, unsigned char *ciphertext_part, unsigned long ciphertext_part_len, unsigned char
	*plaintext_part, unsigned long *plaintext_part_len, ck_flags_t flags))
NOT_HAD(C_MessageDecryptFinal, (ck_session_handle_t session))
NOT_HAD(C_MessageSignInit, (ck_session_handle_t session, struct ck_mechanism *mechanism,
	ck_object_handle_t key))
NOT_HAD(C_SignMessage, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len, unsigned char *data, unsigned long data_len, unsigned char *signature, unsigned
	long *signature_len))
NOT_HAD(C_SignMessageBegin, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len))
NOT_HAD(C_SignMessageNext, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len, unsigned char *data, unsigned long data_len, unsigned char *signature, unsigned
	long *signature_len))
NOT_HAD(C_MessageSignFinal, (ck_session_handle_t session))
NOT_HAD(C_MessageVerifyInit, (ck_session_handle_t session, struct ck_mechanism *mechanism,
	ck_object_handle_t key))
NOT_HAD(C_VerifyMessage, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len, unsigned char *data, unsigned long data_len, unsigned char *signature, unsigned
	long signature_len))
NOT_HAD(C_VerifyMessageBegin, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len))
NOT_HAD(C_VerifyMessageNext, (ck_session_handle_t session, void *parameter, unsigned long
	parameter_len, unsigned char *data, unsigned long data_len, unsigned char *signature, unsigned
	long signature_len))
NOT_HAD(C_MessageVerifyFinal, (ck_session_handle_t session))
/* clang-format on */

/* Gives up what is under way, as C_...Init with no mechanism does. */
ck_rv_t C_SessionCancel(ck_session_handle_t session, ck_flags_t flags)
{
	ck_rv_t rv = CKR_OK;

	if (flags & CKF_SIGN)
		rv = C_SignInit(session, NULL, 0);
	if (!rv && (flags & CKF_VERIFY))
		rv = C_VerifyInit(session, NULL, 0);
	if (!rv && (flags & CKF_DECRYPT))
		rv = C_DecryptInit(session, NULL, 0);
	return rv;
}

static struct ck_function_list_3_0 functions_3_0 = {
	{ 3, 0 },
	FUNCTIONS_2_40,
	C_GetInterfaceList,
	C_GetInterface,
	C_LoginUser,
	C_SessionCancel,
	C_MessageEncryptInit,
	C_EncryptMessage,
	C_EncryptMessageBegin,
	C_EncryptMessageNext,
	C_MessageEncryptFinal,
	C_MessageDecryptInit,
	C_DecryptMessage,
	C_DecryptMessageBegin,
	C_DecryptMessageNext,
	C_MessageDecryptFinal,
	C_MessageSignInit,
	C_SignMessage,
	C_SignMessageBegin,
	C_SignMessageNext,
	C_MessageSignFinal,
	C_MessageVerifyInit,
	C_VerifyMessage,
	C_VerifyMessageBegin,
	C_VerifyMessageNext,
	C_MessageVerifyFinal,
};

static struct ck_interface interfaces[] = {
	{ (char *)(uintptr_t) "PKCS 11", &functions_3_0, 0 },
	{ (char *)(uintptr_t) "PKCS 11", &functions, 0 },
};

EXPORT ck_rv_t C_GetInterfaceList(struct ck_interface *list, unsigned long *count)
{
	unsigned long room;

	if (!count)
		return CKR_ARGUMENTS_BAD;
	room = *count;
	*count = HF_COUNT(interfaces);
	if (!list)
		return CKR_OK;
	if (room < HF_COUNT(interfaces))
		return CKR_BUFFER_TOO_SMALL;
	memcpy(list, interfaces, sizeof(interfaces));
	return CKR_OK;
}

EXPORT ck_rv_t C_GetInterface(unsigned char *name, struct ck_version *version,
			      struct ck_interface **out, ck_flags_t flags)
{
	size_t i;

	if (!out)
		return CKR_ARGUMENTS_BAD;
	for (i = 0; i < HF_COUNT(interfaces); i++) {
		const struct ck_version *v = interfaces[i].function_list_ptr;

		if ((name && strcmp((const char *)name, "PKCS 11") != 0) || flags ||
		    (version && (version->major != v->major || version->minor != v->minor)))
			continue;
		*out = &interfaces[i];
		return CKR_OK;
	}
	return CKR_FUNCTION_FAILED;
}

#endif
