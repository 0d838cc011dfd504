/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/tpm2_error.h"

#include <tss2/tss2_common.h>
#include <tss2/tss2_tpm2_types.h>

#include "base/buf.h"

#define REFERENCE(x) TPM2_RC_REFERENCE_##x

static const struct {
	uint32_t first, last;
	struct hf_tpm2_meaning meaning;
} table[] = {
#define ONE(code, class, rc, text)                                                                 \
	{                                                                                          \
		TPM2_RC_##code, TPM2_RC_##code,                                                    \
		{                                                                                  \
			HF_TPM2_##class, HF_##rc, text                                             \
		}                                                                                  \
	}
	ONE(INITIALIZE, RESTART, UNAVAILABLE, "the TPM was reset and nobody has started it"),
	ONE(FAILURE, DEGRADED, UNAVAILABLE, "the TPM is in failure mode; power-cycle the device"),
	ONE(DISABLED, DEGRADED, UNAVAILABLE,
	    "the TPM or its owner hierarchy is disabled; see the firmware setup"),
	ONE(UPGRADE, DEGRADED, UNAVAILABLE, "the TPM waits for a firmware upgrade"),
	ONE(REBOOT, DEGRADED, UNAVAILABLE, "the TPM wants a reboot"),
	ONE(COMMAND_CODE, FINAL, UNSUPPORTED, "the TPM does not know this command"),
	ONE(EXCLUSIVE, RETRY, BUSY, "somebody else holds the TPM exclusively"),
	ONE(NV_SPACE, FINAL, FAILED,
	    "no room in the TPM's persistent memory; evict a handle (tpm2_evictcontrol)"),
	ONE(NV_DEFINED, FINAL, EXISTS, "the persistent handle is taken"),

	ONE(RETRY, RETRY, BUSY, "the TPM asked to try again, too often"),
	ONE(YIELDED, RETRY, BUSY, "the TPM suspended the command, too often"),
	ONE(CANCELED, RETRY, BUSY, "the command was cancelled, too often"),
	ONE(TESTING, RETRY, BUSY, "the TPM is still testing itself"),
	ONE(NV_RATE, RETRY, BUSY, "the TPM protects its flash memory from too many writes; wait"),
	ONE(NV_UNAVAILABLE, RETRY, BUSY, "the TPM's persistent memory is not accessible"),
	ONE(MEMORY, ROOM, BUSY, "the TPM is out of memory"),
	ONE(OBJECT_MEMORY, ROOM, BUSY,
	    "the TPM has no room for an object: another program leaves its own there; "
	    "use /dev/tpmrm0"),
	ONE(OBJECT_HANDLES, ROOM, BUSY, "the TPM has no free object handle"),
	ONE(SESSION_MEMORY, ROOM, BUSY, "the TPM has no room for a session"),
	ONE(SESSION_HANDLES, ROOM, BUSY,
	    "the TPM has no free session handle; another program leaks sessions"),
	ONE(CONTEXT_GAP, ROOM, BUSY,
	    "a session of another program blocks the TPM's session counter"),
	{ REFERENCE(H0),
	  REFERENCE(H6),
	  { HF_TPM2_RELOAD, HF_UNAVAILABLE, "the TPM lost a loaded key again" } },
	{ REFERENCE(S0),
	  REFERENCE(S6),
	  { HF_TPM2_RELOAD, HF_UNAVAILABLE, "the TPM lost a session again" } },
	ONE(HANDLE, RELOAD, UNAVAILABLE, "the TPM does not know the handle"),

	ONE(LOCKOUT, LOCKOUT, LOCKOUT, "the TPM is locked out after wrong passwords or power cuts"),
	ONE(AUTH_FAIL, FINAL, DENIED, "the TPM refused the authorisation"),
	ONE(BAD_AUTH, FINAL, DENIED, "the TPM refused the authorisation"),
	ONE(INTEGRITY, FINAL, GONE,
	    "the key was made by another TPM, or this one was cleared since"),
	ONE(TICKET, FINAL, GONE,
	    "the TPM does not know the key's creation any more: it was cleared since, or the key's "
	    "record is damaged; make a new key"),
	ONE(HIERARCHY, FINAL, FAILED, "the owner hierarchy is disabled; see the firmware setup"),
	ONE(VALUE, FINAL, FAILED, "the TPM refused a value"),
	ONE(SIZE, FINAL, FAILED, "the TPM refused the size of a value"),
	ONE(KEY, FINAL, FAILED, "the TPM refused the key"),
	ONE(KEY_SIZE, FINAL, UNSUPPORTED, "the TPM has no keys of this size"),
	ONE(CURVE, FINAL, UNSUPPORTED, "the TPM does not have this curve"),
	ONE(HASH, FINAL, UNSUPPORTED, "the TPM does not have this hash"),
	ONE(SCHEME, FINAL, UNSUPPORTED, "the TPM does not sign in this way with this key"),
	ONE(ATTRIBUTES, FINAL, FAILED, "the TPM refused the attributes of the key"),
	ONE(TYPE, FINAL, FAILED, "the TPM refused the type of the key"),
	ONE(BINDING, FINAL, CORRUPT, "the two halves of the key do not belong together"),
#undef ONE
	/* Whoever asks has waited as long as makes sense: it is not repeated for him. */
	{ TSS2_TCTI_RC_TRY_AGAIN,
	  TSS2_TCTI_RC_TRY_AGAIN,
	  { HF_TPM2_DEGRADED, HF_TIMEOUT,
	    "the TPM does not answer; another program may be holding it" } },
#define TCTI(code, text)                                                                           \
	{                                                                                          \
		TSS2_TCTI_RC_##code, TSS2_TCTI_RC_##code,                                          \
		{                                                                                  \
			HF_TPM2_RESTART, HF_UNAVAILABLE, text                                      \
		}                                                                                  \
	}
	TCTI(NO_CONNECTION, "the TPM is not there"),
	TCTI(IO_ERROR, "the connection to the TPM broke, or it is not there"),
	TCTI(MALFORMED_RESPONSE, "the TPM's answer is malformed"),
	TCTI(NOT_SUPPORTED, "this way to a TPM is not installed (libtss2-tcti-*)"),
#undef TCTI
	{ HF_TPM2_RC_FORGED,
	  HF_TPM2_RC_FORGED,
	  { HF_TPM2_FINAL, HF_FAILED,
	    "the answer was not authentic: somebody may be on the TPM's bus. It was thrown "
	    "away" } },
};

static const struct hf_tpm2_meaning connection = { HF_TPM2_RESTART, HF_UNAVAILABLE,
						   "the connection to the TPM failed" };
static const struct hf_tpm2_meaning unknown = { HF_TPM2_FINAL, HF_FAILED,
						"the TPM answered with an error" };

uint32_t hf_tpm2_code_base(uint32_t code)
{
	uint32_t layer = code & TSS2_RC_LAYER_MASK;

	/* A resource manager passes the TPM's codes through, with its own layer on top. */
	if (layer == TSS2_RESMGR_TPM_RC_LAYER || layer == TSS2_RESMGR_RC_LAYER)
		code &= ~(uint32_t)TSS2_RC_LAYER_MASK;
	else if (layer != TSS2_TPM_RC_LAYER)
		return code;
	return code & TPM2_RC_FMT1 ? code & 0xbf : code;
}

bool hf_tpm2_code_is_auth(uint32_t code)
{
	uint32_t base = hf_tpm2_code_base(code);

	return base == TPM2_RC_BAD_AUTH || base == TPM2_RC_AUTH_FAIL;
}

const struct hf_tpm2_meaning *hf_tpm2_meaning(uint32_t code)
{
	uint32_t base = hf_tpm2_code_base(code);
	size_t i;

	for (i = 0; i < HF_COUNT(table); i++)
		if (base >= table[i].first && base <= table[i].last)
			return &table[i].meaning;
	return base > 0xffff ? &connection : &unknown;
}
