/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/tpm2_cmd.h"

#include <string.h>

/*
 * The allow list. Nothing else is ever sent: no Clear, no DictionaryAttackLockReset,
 * nothing that writes NV, no hierarchy changes. Waiting times are for slow discrete chips; RSA keys
 * of 4096 bits take some of them a minute. The broker's own limit comes earlier.
 */
static const struct hf_tpm2_command_info commands[] = {
	{ TPM2_CC_Startup, "Startup", 0, 0, 0, 2000 },
	{ TPM2_CC_GetCapability, "GetCapability", 0, 0, 0, 0 },
	{ TPM2_CC_TestParms, "TestParms", 0, 0, 0, 2000 },
	{ TPM2_CC_ReadPublic, "ReadPublic", 1, 0, 0, 2000 },
	{ TPM2_CC_CreatePrimary, "CreatePrimary", 1, 1, 1, 120000 },
	{ TPM2_CC_EvictControl, "EvictControl", 2, 1, 0, 10000 },
	{ TPM2_CC_StartAuthSession, "StartAuthSession", 2, 0, 1, 10000 },
	{ TPM2_CC_Create, "Create", 1, 1, 0, 300000 },
	{ TPM2_CC_Load, "Load", 1, 1, 1, 10000 },
	{ TPM2_CC_Sign, "Sign", 1, 1, 0, 60000 },
	{ TPM2_CC_RSA_Decrypt, "RSA_Decrypt", 1, 1, 0, 60000 },
	{ TPM2_CC_ECDH_ZGen, "ECDH_ZGen", 1, 1, 0, 60000 },
	{ TPM2_CC_Import, "Import", 1, 1, 0, 60000 },
	{ TPM2_CC_ContextSave, "ContextSave", 1, 0, 0, 10000 },
	{ TPM2_CC_ContextLoad, "ContextLoad", 0, 0, 1, 10000 },
	{ TPM2_CC_CertifyCreation, "CertifyCreation", 2, 1, 0, 60000 },
	{ TPM2_CC_PolicySecret, "PolicySecret", 2, 1, 0, 10000 },
	{ TPM2_CC_ActivateCredential, "ActivateCredential", 2, 2, 0, 60000 },
	{ TPM2_CC_NV_ReadPublic, "NV_ReadPublic", 1, 0, 0, 2000 },
	{ TPM2_CC_NV_Read, "NV_Read", 2, 1, 0, 10000 },
	{ TPM2_CC_FlushContext, "FlushContext", 0, 0, 0, 10000 }, /* its handle is a parameter */
};

const struct hf_tpm2_command_info *hf_tpm2_command_find(uint32_t code)
{
	size_t i;

	for (i = 0; i < HF_COUNT(commands); i++)
		if (commands[i].code == code)
			return &commands[i];
	return NULL;
}

void hf_tpm2_cmd_init(struct hf_tpm2_cmd *c, uint32_t code, uint32_t handle0, uint32_t handle1)
{
	c->info = hf_tpm2_command_find(code);
	c->handle[0] = handle0;
	c->handle[1] = handle1;
	c->name1 = NULL;
	c->policy1 = 0;
	c->n = 0;
	c->bad = !c->info;
}

void hf_tpm2_put(struct hf_tpm2_cmd *c, const void *p, size_t n)
{
	if (c->bad || n > sizeof(c->p) - c->n) {
		c->bad = true;
		return;
	}
	if (n)
		memcpy(c->p + c->n, p, n);
	c->n += n;
}

void hf_tpm2_put8(struct hf_tpm2_cmd *c, uint8_t v)
{
	hf_tpm2_put(c, &v, 1);
}

void hf_tpm2_put16(struct hf_tpm2_cmd *c, uint16_t v)
{
	uint8_t b[2];

	hf_be16(b, v);
	hf_tpm2_put(c, b, sizeof(b));
}

void hf_tpm2_put32(struct hf_tpm2_cmd *c, uint32_t v)
{
	uint8_t b[4];

	hf_be32(b, v);
	hf_tpm2_put(c, b, sizeof(b));
}

void hf_tpm2_put2b(struct hf_tpm2_cmd *c, const void *p, size_t n)
{
	if (n > UINT16_MAX) {
		c->bad = true;
		return;
	}
	hf_tpm2_put16(c, (uint16_t)n);
	hf_tpm2_put(c, p, n);
}
