/* SPDX-License-Identifier: Apache-2.0 */
/* bench-p11 MODULE PIN-FILE LABEL SECONDS: C_Sign with an RSA key, without anything between. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

#include "round.h"

struct device {
	CK_FUNCTION_LIST *f;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
	/* A DigestInfo of SHA-256, RFC 8017 9.2 note 1; CKM_RSA_PKCS signs any bytes of its length.
	 */
	CK_BYTE input[51], sig[1024];
};

static bool sign(void *arg)
{
	struct device *d = arg;
	CK_MECHANISM m = { .mechanism = CKM_RSA_PKCS };
	CK_ULONG n = sizeof(d->sig);

	d->input[0]++;
	return d->f->C_SignInit(d->session, &m, d->key) == CKR_OK &&
	       d->f->C_Sign(d->session, d->input, sizeof(d->input), d->sig, &n) == CKR_OK;
}

static bool find(struct device *d, char *label)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE what[] = { { CKA_CLASS, &class, sizeof(class) },
				{ CKA_LABEL, label, strlen(label) } };
	CK_ULONG n = 0;

	return d->f->C_FindObjectsInit(d->session, what, 2) == CKR_OK &&
	       d->f->C_FindObjects(d->session, &d->key, 1, &n) == CKR_OK &&
	       d->f->C_FindObjectsFinal(d->session) == CKR_OK && n == 1;
}

static bool read_pin(const char *path, CK_BYTE *pin, CK_ULONG *n)
{
	FILE *f = fopen(path, "r");

	*n = f ? fread(pin, 1, 64, f) : 0;
	while (*n && pin[*n - 1] == '\n')
		(*n)--;
	return f && !fclose(f) && *n;
}

static bool begin(struct device *d, const char *module, const char *file)
{
	void *so = dlopen(module, RTLD_NOW);
	CK_C_GetFunctionList list = NULL;
	CK_SLOT_ID slots[8];
	CK_ULONG n = 8, pin_n;
	CK_BYTE pin[64];

	*(void **)&list = so ? dlsym(so, "C_GetFunctionList") : NULL;
	return list && read_pin(file, pin, &pin_n) && list(&d->f) == CKR_OK &&
	       d->f->C_Initialize(NULL) == CKR_OK &&
	       d->f->C_GetSlotList(CK_TRUE, slots, &n) == CKR_OK && n &&
	       d->f->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &d->session) ==
		       CKR_OK &&
	       d->f->C_Login(d->session, CKU_USER, pin, pin_n) == CKR_OK;
}

int main(int argc, char **argv)
{
	struct device d = { .f = NULL };

	if (argc != 5) {
		(void)fprintf(stderr, "usage: bench-p11 MODULE PIN-FILE LABEL SECONDS\n");
		return 2;
	}
	return begin(&d, argv[1], argv[2]) && find(&d, argv[3]) && sign(&d) &&
			       hf_round_run(strtod(argv[4], NULL), sign, &d)
		       ? 0
		       : 1;
}
