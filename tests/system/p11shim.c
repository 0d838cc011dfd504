/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module between the keeper and a real one, that does to the answers what a
 * test wants. It loads P11SHIM_MODULE, appends the name of each function that is called to
 * P11SHIM_LOG (and once more, with a !, if it fails), and looks into P11SHIM_FAULTS each time.
 * There, a line is
 *     FUNCTION ACTION NUMBER TIMES      (hexadecimal; times 0: always)
 * rv: returns NUMBER instead of asking.    after: asks, then returns NUMBER.
 * len: says that the answer has NUMBER bytes (or rows).     flip: inverts byte NUMBER of it.
 * over: writes NUMBER bytes behind the buffer.    flags: sets these flags of C_GetTokenInfo.
 * hide: mechanism NUMBER is not in the list.    yes, no: what CK_BBOOL attribute NUMBER is.
 * other: C_DeriveKey wants a point in an OCTET STRING, C_GenerateKeyPair Ed25519 by its name.
 * lost: closes all sessions first.    logout: logs out first.    hang: for ever.    abort.
 * The function "any" with the action "any" is a fault of some kind in one of TIMES calls, by
 * lot: the same ones for the same NUMBER, which is not 0.
 * P11SHIM_DECOY is opened a few times and stays open, as a module's data base does.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static CK_FUNCTION_LIST shim, *real;

struct fault {
	char function[32], action[8];
	unsigned long number, times;
};

static const CK_RV said[] = {
	CKR_HOST_MEMORY,
	CKR_SLOT_ID_INVALID,
	CKR_GENERAL_ERROR,
	CKR_FUNCTION_FAILED,
	CKR_ARGUMENTS_BAD,
	CKR_ATTRIBUTE_TYPE_INVALID,
	CKR_ATTRIBUTE_VALUE_INVALID,
	CKR_DATA_INVALID,
	CKR_DEVICE_ERROR,
	CKR_DEVICE_MEMORY,
	CKR_DEVICE_REMOVED,
	CKR_FUNCTION_CANCELED,
	CKR_FUNCTION_NOT_SUPPORTED,
	CKR_KEY_HANDLE_INVALID,
	CKR_KEY_TYPE_INCONSISTENT,
	CKR_MECHANISM_INVALID,
	CKR_MECHANISM_PARAM_INVALID,
	CKR_OBJECT_HANDLE_INVALID,
	CKR_OPERATION_ACTIVE,
	CKR_OPERATION_NOT_INITIALIZED,
	CKR_PIN_INCORRECT,
	CKR_SESSION_CLOSED,
	CKR_SESSION_COUNT,
	CKR_SESSION_HANDLE_INVALID,
	CKR_TOKEN_NOT_PRESENT,
	CKR_USER_ALREADY_LOGGED_IN,
	CKR_USER_NOT_LOGGED_IN,
	CKR_BUFFER_TOO_SMALL,
	CKR_CRYPTOKI_NOT_INITIALIZED,
	CKR_CRYPTOKI_ALREADY_INITIALIZED,
	CKR_VENDOR_DEFINED + 7,
	0x999,
};

/* xorshift64 */
static unsigned long lot(unsigned long seed, unsigned long below)
{
	static unsigned long from, x;

	if (from != seed)
		from = x = seed;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (x >> 16) % below;
}

/*
 * What no keeper can notice is left out: a secret that is another one, as long as it should be.
 * Of signatures it notices all.
 */
static bool take_any(const char *function, const struct fault *any, struct fault *out)
{
	static const char *const actions[] = { "rv", "after", "lost", "logout", "len", "flip" };
	bool lies = !strcmp(function, "C_Sign") || !strcmp(function, "C_FindObjects") ||
		    !strcmp(function, "C_GetMechanismList") || !strcmp(function, "C_GetSlotList");

	if (!strcmp(function, "C_GetFunctionList") || lot(any->number, any->times))
		return false;
	(void)strcpy(out->action, actions[lot(any->number, lies ? 6 : 4)]);
	if (!strcmp(out->action, "len"))
		out->number = 1ul << lot(any->number, 64);
	else if (!strcmp(out->action, "flip"))
		out->number = lot(any->number, 64);
	else
		out->number = said[lot(any->number, sizeof(said) / sizeof(said[0]))];
	return true;
}

/* The fault for @function, if there is one; a fault that is not for always is used up. */
static bool take(const char *function, struct fault *out)
{
	const char *path = getenv("P11SHIM_FAULTS");
	struct fault all[16];
	FILE *f = path ? fopen(path, "r+e") : NULL;
	bool found = false, used = false;
	int n = 0, i;

	memset(out, 0, sizeof(*out));
	if (f && flock(fileno(f), LOCK_EX)) /* several keepers may ask at once */
		abort();
	while (f && n < 16 &&
	       fscanf(f, "%31s %7s %lx %lx", all[n].function, all[n].action, &all[n].number,
		      &all[n].times) == 4)
		n++;
	for (i = 0; i < n && !found; i++) {
		if (!strcmp(all[i].function, "any") && take_any(function, &all[i], out))
			found = true;
		if (strcmp(all[i].function, function) || all[i].times == ~0UL)
			continue;
		*out = all[i];
		found = true;
		if (all[i].times) {
			all[i].times = all[i].times == 1 ? ~0UL : all[i].times - 1;
			used = true;
		}
	}
	if (used) {
		rewind(f);
		if (ftruncate(fileno(f), 0))
			abort();
	}
	for (i = 0; used && i < n; i++)
		(void)fprintf(f, "%s %s %lx %lx\n", all[i].function, all[i].action, all[i].number,
			      all[i].times);
	if (f)
		(void)fclose(f);
	return found;
}

static void note(const char *function)
{
	const char *path = getenv("P11SHIM_LOG");
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
	char line[64];
	int n = snprintf(line, sizeof(line), "%s\n", function);

	if (fd >= 0 && write(fd, line, (size_t)n) != n)
		abort();
	if (fd >= 0)
		(void)close(fd);
}

/* As if the token had been reset, or another program of ours had logged out. */
static void forget(const char *action)
{
	CK_SLOT_ID slots[16];
	CK_SESSION_HANDLE s;
	CK_ULONG n = 16, i;

	if (real->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK) /* not initialized */
		n = 0;
	for (i = 0; i < n; i++) {
		if (!strcmp(action, "lost"))
			(void)real->C_CloseAllSessions(slots[i]);
		else if (real->C_OpenSession(slots[i], CKF_SERIAL_SESSION, NULL, NULL, &s) ==
			 CKR_OK)
			(void)real->C_Logout(s), (void)real->C_CloseSession(s);
	}
}

/* True: return *@rv, the real module is not asked. */
static bool before(const char *function, struct fault *f, CK_RV *rv)
{
	note(function);
	if (!take(function, f))
		return false;
	if (!strcmp(f->action, "abort"))
		abort();
	if (!strcmp(f->action, "lost") || !strcmp(f->action, "logout"))
		forget(f->action);
	while (!strcmp(f->action, "hang"))
		(void)pause();
	*rv = f->number;
	return !strcmp(f->action, "rv");
}

static CK_RV after(const struct fault *f, CK_RV rv)
{
	return strcmp(f->action, "after") ? rv : f->number;
}

static CK_RV told(const char *failed, CK_RV rv)
{
	if (rv != CKR_OK)
		note(failed);
	return rv;
}

/* What can be done to an answer of *@n bytes at @p, in a buffer of @room. */
static void twist(const struct fault *f, CK_BYTE *p, CK_ULONG *n, CK_ULONG room)
{
	if (!strcmp(f->action, "flip") && p && f->number < *n)
		p[f->number] ^= 0xff;
	if (!strcmp(f->action, "over") && p)
		memset(p + room, 0x5a, f->number);
	if (!strcmp(f->action, "len"))
		*n = f->number;
}

#define PLAIN(name, params, args)                                                                  \
	static CK_RV shim_##name params                                                            \
	{                                                                                          \
		struct fault f;                                                                    \
		CK_RV rv;                                                                          \
                                                                                                   \
		if (before(#name, &f, &rv))                                                        \
			return told(#name "!", rv);                                                \
		return told(#name "!", after(&f, real->name args));                                \
	}

PLAIN(C_Initialize, (void *a), (a))
PLAIN(C_Finalize, (void *a), (a))
PLAIN(C_GetInfo, (CK_INFO * a), (a))
PLAIN(C_GetSlotInfo, (CK_SLOT_ID a, CK_SLOT_INFO *b), (a, b))
PLAIN(C_GetMechanismInfo, (CK_SLOT_ID a, CK_MECHANISM_TYPE b, CK_MECHANISM_INFO *c), (a, b, c))
PLAIN(C_OpenSession, (CK_SLOT_ID a, CK_FLAGS b, void *c, CK_NOTIFY d, CK_SESSION_HANDLE *e),
      (a, b, c, d, e))
PLAIN(C_CloseSession, (CK_SESSION_HANDLE a), (a))
PLAIN(C_GetSessionInfo, (CK_SESSION_HANDLE a, CK_SESSION_INFO *b), (a, b))
PLAIN(C_Login, (CK_SESSION_HANDLE a, CK_USER_TYPE b, CK_BYTE *c, CK_ULONG d), (a, b, c, d))
PLAIN(C_FindObjectsInit, (CK_SESSION_HANDLE a, CK_ATTRIBUTE *b, CK_ULONG c), (a, b, c))
PLAIN(C_FindObjectsFinal, (CK_SESSION_HANDLE a), (a))
PLAIN(C_CreateObject, (CK_SESSION_HANDLE a, CK_ATTRIBUTE *b, CK_ULONG c, CK_OBJECT_HANDLE *d),
      (a, b, c, d))
PLAIN(C_DestroyObject, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE b), (a, b))
PLAIN(C_SignInit, (CK_SESSION_HANDLE a, CK_MECHANISM *b, CK_OBJECT_HANDLE c), (a, b, c))
PLAIN(C_DecryptInit, (CK_SESSION_HANDLE a, CK_MECHANISM *b, CK_OBJECT_HANDLE c), (a, b, c))
PLAIN(C_UnwrapKey,
      (CK_SESSION_HANDLE a, CK_MECHANISM *b, CK_OBJECT_HANDLE c, CK_BYTE *d, CK_ULONG e,
       CK_ATTRIBUTE *g, CK_ULONG h, CK_OBJECT_HANDLE *i),
      (a, b, c, d, e, g, h, i))

static CK_RV shim_C_GenerateKeyPair(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *pub,
				    CK_ULONG n_pub, CK_ATTRIBUTE *priv, CK_ULONG n_priv,
				    CK_OBJECT_HANDLE *made_pub, CK_OBJECT_HANDLE *made_priv)
{
	static CK_BYTE oid[] = { 0x06, 0x03, 0x2b, 0x65, 0x70 };
	struct fault f;
	CK_ULONG i;
	CK_RV rv;

	if (before("C_GenerateKeyPair", &f, &rv))
		return rv;
	for (i = 0; i < n_pub && !strcmp(f.action, "other"); i++) {
		if (pub[i].type != CKA_EC_PARAMS)
			continue;
		if (*(CK_BYTE *)pub[i].pValue != 0x13) /* PrintableString */
			return CKR_CURVE_NOT_SUPPORTED;
		pub[i].pValue = oid;
		pub[i].ulValueLen = sizeof(oid);
	}
	return after(&f,
		     real->C_GenerateKeyPair(s, m, pub, n_pub, priv, n_priv, made_pub, made_priv));
}

static CK_RV shim_C_DeriveKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key,
			      CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *made)
{
	const CK_ECDH1_DERIVE_PARAMS *ecdh = m->pParameter;
	struct fault f;
	CK_RV rv;

	if (before("C_DeriveKey", &f, &rv))
		return rv;
	/* 2 and 65, 2 and 97: of P-256 and P-384 */
	if (!strcmp(f.action, "other") && (ecdh->ulPublicDataLen - 3) % 32)
		return CKR_MECHANISM_PARAM_INVALID;
	return after(&f, real->C_DeriveKey(s, m, key, t, n, made));
}

static CK_RV shim_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	struct fault f;
	CK_RV rv;

	if (before("C_GetTokenInfo", &f, &rv))
		return rv;
	rv = real->C_GetTokenInfo(slot, info);
	if (!strcmp(f.action, "flags"))
		info->flags |= f.number;
	return after(&f, rv);
}

static CK_RV shim_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *n)
{
	struct fault f;
	CK_RV rv;

	if (before("C_GetSlotList", &f, &rv))
		return rv;
	rv = real->C_GetSlotList(present, slots, n);
	twist(&f, NULL, n, 0);
	return after(&f, rv);
}

static CK_RV shim_C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *n)
{
	CK_ULONG i;
	struct fault f;
	CK_RV rv;

	if (before("C_GetMechanismList", &f, &rv))
		return rv;
	rv = real->C_GetMechanismList(slot, list, n);
	for (i = 0; rv == CKR_OK && list && !strcmp(f.action, "hide") && i < *n; i++)
		if (list[i] == f.number)
			list[i] = list[--*n];
	twist(&f, NULL, n, 0);
	return after(&f, rv);
}

static CK_RV shim_C_FindObjects(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *o, CK_ULONG max, CK_ULONG *n)
{
	struct fault f;
	CK_RV rv;

	if (before("C_FindObjects", &f, &rv))
		return rv;
	rv = real->C_FindObjects(s, o, max, n);
	twist(&f, NULL, n, 0);
	return after(&f, rv);
}

static CK_RV shim_C_GetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *a,
				      CK_ULONG n)
{
	CK_ULONG room = a->ulValueLen;
	struct fault f;
	CK_RV rv;

	if (before("C_GetAttributeValue", &f, &rv))
		return rv;
	rv = real->C_GetAttributeValue(s, o, a, n);
	if ((!strcmp(f.action, "yes") || !strcmp(f.action, "no")) && a->type == f.number)
		*(CK_BBOOL *)a->pValue = !strcmp(f.action, "yes");
	twist(&f, a->pValue, &a->ulValueLen, room);
	return after(&f, rv);
}

#define ANSWER(name)                                                                               \
	static CK_RV shim_##name(CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_n, CK_BYTE *out,    \
				 CK_ULONG *n)                                                      \
	{                                                                                          \
		CK_ULONG room = *n;                                                                \
		struct fault f;                                                                    \
		CK_RV rv;                                                                          \
                                                                                                   \
		if (before(#name, &f, &rv))                                                        \
			return rv;                                                                 \
		rv = real->name(s, in, in_n, out, n);                                              \
		twist(&f, out, n, room);                                                           \
		return after(&f, rv);                                                              \
	}

ANSWER(C_Sign)
ANSWER(C_Decrypt)

#define PUT(name) shim.name = shim_##name

static void fill(void)
{
	shim = *real;
	PUT(C_Initialize);
	PUT(C_Finalize);
	PUT(C_GetInfo);
	PUT(C_GetSlotList);
	PUT(C_GetSlotInfo);
	PUT(C_GetTokenInfo);
	PUT(C_GetMechanismList);
	PUT(C_GetMechanismInfo);
	PUT(C_OpenSession);
	PUT(C_CloseSession);
	PUT(C_GetSessionInfo);
	PUT(C_Login);
	PUT(C_FindObjectsInit);
	PUT(C_FindObjects);
	PUT(C_FindObjectsFinal);
	PUT(C_GetAttributeValue);
	PUT(C_CreateObject);
	PUT(C_DestroyObject);
	PUT(C_GenerateKeyPair);
	PUT(C_SignInit);
	PUT(C_Sign);
	PUT(C_DecryptInit);
	PUT(C_Decrypt);
	PUT(C_DeriveKey);
	PUT(C_UnwrapKey);
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out);

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out)
{
	const char *path = getenv("P11SHIM_MODULE"), *decoy = getenv("P11SHIM_DECOY");
	void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
	struct fault f;
	CK_RV rv;

	if (before("C_GetFunctionList", &f, &rv))
		return rv;
	for (int i = 0; decoy && i < 8; i++)
		(void)!open(decoy, O_RDWR);
	if (module)
		*(void **)&get = dlsym(module, "C_GetFunctionList");
	if (!get || get(&real) != CKR_OK)
		return CKR_GENERAL_ERROR;
	fill();
	if (!strcmp(f.action, "len")) /* a list with a hole */
		memset((char *)&shim + f.number, 0, sizeof(void *));
	*out = &shim;
	return CKR_OK;
}
