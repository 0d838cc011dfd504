/* SPDX-License-Identifier: Apache-2.0 */
/*
 * p11_host.c: a program that uses the PKCS#11 module as programs do, and as they should not.
 * usage: p11-host MODULE COMMAND KEY; the commands are at the end
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CRYPTOKI_GNU
#include <p11-kit/pkcs11.h>

static struct ck_function_list *f;
static const char *module;

#define WANT(call, result)                                                                         \
	do {                                                                                       \
		ck_rv_t got = (call);                                                              \
		if (got != (result)) {                                                             \
			fprintf(stderr, "%s:%d: %s: 0x%lx, not " #result "\n", __FILE__, __LINE__, \
				#call, got);                                                       \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)
#define OK(call) WANT(call, CKR_OK)

static void *load(void)
{
	void *handle = dlopen(module, RTLD_NOW | RTLD_LOCAL), *symbol;
	CK_C_GetFunctionList get;

	if (!handle) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	symbol = dlsym(handle, "C_GetFunctionList");
	memcpy(&get, &symbol, sizeof(get));
	OK(get(&f));
	return handle;
}

static ck_object_handle_t find(ck_session_handle_t s, ck_object_class_t class, const char *label)
{
	struct ck_attribute t[] = { { CKA_CLASS, &class, sizeof(class) },
				    { CKA_LABEL, (void *)(size_t)label, strlen(label) } };
	ck_object_handle_t found[2] = { 0, 0 };
	unsigned long n;

	OK(f->C_FindObjectsInit(s, t, 2));
	OK(f->C_FindObjects(s, found, 2, &n));
	OK(f->C_FindObjectsFinal(s));
	if (n != 1) {
		fprintf(stderr, "%lu objects are called %s\n", n, label);
		exit(1);
	}
	return found[0];
}

static ck_session_handle_t open_session(void)
{
	ck_session_handle_t s;

	OK(f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s));
	return s;
}

static unsigned char digest[32] = { 1, 2, 3 };
static struct ck_mechanism ecdsa = { CKM_ECDSA, NULL, 0 };

static ck_rv_t sign(ck_session_handle_t s, ck_object_handle_t key, unsigned char sig[64])
{
	unsigned long n = 64;
	ck_rv_t rv;

	OK(f->C_SignInit(s, &ecdsa, key));
	rv = f->C_Sign(s, digest, sizeof(digest), sig, &n);
	return rv;
}

static void sign_and_verify(ck_session_handle_t s, ck_object_handle_t key, ck_object_handle_t pub)
{
	unsigned char sig[64];

	OK(sign(s, key, sig));
	OK(f->C_VerifyInit(s, &ecdsa, pub));
	OK(f->C_Verify(s, digest, sizeof(digest), sig, sizeof(sig)));
	sig[40] ^= 1;
	OK(f->C_VerifyInit(s, &ecdsa, pub));
	WANT(f->C_Verify(s, digest, sizeof(digest), sig, sizeof(sig)), CKR_SIGNATURE_INVALID);
}

/* ---- what the standard says about callers who are wrong */

static ck_rv_t no_mutex(void **mutex)
{
	*mutex = NULL;
	return CKR_OK;
}

static void abuse_init(void)
{
	struct ck_c_initialize_args half = { .create_mutex = no_mutex };
	struct ck_c_initialize_args reserved = { .reserved = (void *)1 };
	struct ck_info info;
	unsigned long n;

	WANT(f->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
	WANT(f->C_GetSlotList(1, NULL, &n), CKR_CRYPTOKI_NOT_INITIALIZED);
	WANT(f->C_SignInit(1, &ecdsa, 1), CKR_CRYPTOKI_NOT_INITIALIZED);
	WANT(f->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	WANT(f->C_Initialize(&half), CKR_ARGUMENTS_BAD);
	WANT(f->C_Initialize(&reserved), CKR_ARGUMENTS_BAD);
	OK(f->C_Initialize(NULL));
	WANT(f->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
	WANT(f->C_Finalize(&half), CKR_ARGUMENTS_BAD);
	WANT(f->C_GetInfo(NULL), CKR_ARGUMENTS_BAD);
}

static void abuse_sessions(void)
{
	ck_session_handle_t s, all[1024];
	struct ck_session_info info;
	size_t i;

	WANT(f->C_OpenSession(0, 0, NULL, NULL, &s), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
	WANT(f->C_OpenSession(7, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_SLOT_ID_INVALID);
	WANT(f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, NULL), CKR_ARGUMENTS_BAD);
	for (i = 0; i < 1024; i++)
		all[i] = open_session();
	WANT(f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_SESSION_COUNT);
	OK(f->C_CloseAllSessions(0));
	WANT(f->C_CloseSession(all[3]), CKR_SESSION_HANDLE_INVALID);
	WANT(f->C_CloseSession(0), CKR_SESSION_HANDLE_INVALID);
	WANT(f->C_CloseSession(~0ul), CKR_SESSION_HANDLE_INVALID);
	s = open_session();
	OK(f->C_GetSessionInfo(s, &info));
	WANT((ck_rv_t)info.state, CKS_RO_PUBLIC_SESSION);
	WANT(f->C_Logout(s), CKR_USER_NOT_LOGGED_IN);
	WANT(f->C_Login(s, CKU_SO, digest, 4), CKR_USER_TYPE_INVALID);
	OK(f->C_Login(s, CKU_USER, NULL, 0));
	WANT(f->C_Login(s, CKU_USER, digest, 4), CKR_USER_ALREADY_LOGGED_IN);
	OK(f->C_GetSessionInfo(s, &info));
	WANT((ck_rv_t)info.state, CKS_RO_USER_FUNCTIONS);
	OK(f->C_CloseSession(s));
}

static void abuse_objects(ck_session_handle_t s, ck_object_handle_t key)
{
	unsigned char little[3], value[512];
	struct ck_attribute some[] = { { CKA_ID, little, sizeof(little) },
				       { CKA_PRIVATE_EXPONENT, value, sizeof(value) },
				       { 0x7777, value, sizeof(value) },
				       { CKA_EC_PARAMS, NULL, 0 } };
	ck_mechanism_type_t made_by = 0;
	struct ck_attribute by = { CKA_KEY_GEN_MECHANISM, &made_by, sizeof(made_by) };
	ck_object_handle_t out;
	unsigned long n;

	WANT(f->C_GetAttributeValue(s, key, some, 4), CKR_ATTRIBUTE_TYPE_INVALID);
	WANT(some[0].value_len, CK_UNAVAILABLE_INFORMATION);
	WANT(some[1].value_len, CK_UNAVAILABLE_INFORMATION);
	WANT(some[3].value_len, 10);
	WANT(f->C_GetAttributeValue(s, key, some, 1), CKR_BUFFER_TOO_SMALL);
	OK(f->C_GetAttributeValue(s, key, &by, 1));
	WANT(made_by, CKM_EC_KEY_PAIR_GEN);
	WANT(f->C_GetAttributeValue(s, 4711, some, 1), CKR_OBJECT_HANDLE_INVALID);
	WANT(f->C_GetAttributeValue(s, key, NULL, 1), CKR_ARGUMENTS_BAD);
	WANT(f->C_GetAttributeValue(99, key, some, 1), CKR_SESSION_HANDLE_INVALID);
	WANT(f->C_FindObjects(s, &out, 1, &n), CKR_OPERATION_NOT_INITIALIZED);
	WANT(f->C_FindObjectsInit(s, NULL, 3), CKR_ARGUMENTS_BAD);
	OK(f->C_FindObjectsInit(s, NULL, 0));
	WANT(f->C_FindObjectsInit(s, NULL, 0), CKR_OPERATION_ACTIVE);
	OK(f->C_FindObjectsFinal(s));
	WANT(f->C_FindObjectsFinal(s), CKR_OPERATION_NOT_INITIALIZED);
	WANT(f->C_DestroyObject(s, key), CKR_TOKEN_WRITE_PROTECTED);
	WANT(f->C_GenerateRandom(s, value, 8), CKR_RANDOM_NO_RNG);
	WANT(f->C_EncryptInit(s, &ecdsa, key), CKR_FUNCTION_NOT_SUPPORTED);
}

static void abuse_signatures(ck_session_handle_t s, ck_object_handle_t key, ck_object_handle_t pub)
{
	struct ck_mechanism none = { 0x80001234, NULL, 0 }, rsa = { CKM_RSA_PKCS, NULL, 0 },
			    hashed = { CKM_ECDSA_SHA256, NULL, 0 }, odd = { CKM_ECDSA, NULL, 5 };
	unsigned char sig[64];
	unsigned long n = 0;

	WANT(f->C_Sign(s, digest, 32, sig, &n), CKR_OPERATION_NOT_INITIALIZED);
	WANT(f->C_SignInit(s, &none, key), CKR_MECHANISM_INVALID);
	WANT(f->C_SignInit(s, &rsa, key), CKR_KEY_TYPE_INCONSISTENT);
	WANT(f->C_SignInit(s, &odd, key), CKR_ARGUMENTS_BAD);
	WANT(f->C_SignInit(s, &ecdsa, pub), CKR_KEY_TYPE_INCONSISTENT);
	WANT(f->C_SignInit(s, &ecdsa, 4711), CKR_KEY_HANDLE_INVALID);
	OK(f->C_SignInit(s, &ecdsa, key));
	WANT(f->C_SignInit(s, &ecdsa, key), CKR_OPERATION_ACTIVE);
	OK(f->C_Sign(s, digest, 32, NULL, &n)); /* only asks */
	WANT(n, 64);
	n = 10;
	WANT(f->C_Sign(s, digest, 32, sig, &n), CKR_BUFFER_TOO_SMALL);
	WANT(n, 64);
	OK(f->C_Sign(s, digest, 32, sig, &n)); /* still there */
	WANT(f->C_Sign(s, digest, 32, sig, &n), CKR_OPERATION_NOT_INITIALIZED);
	OK(f->C_SignInit(s, &ecdsa, key));
	WANT(f->C_Sign(s, digest, 31, sig, &n), CKR_DATA_LEN_RANGE);
	OK(f->C_SignInit(s, &ecdsa, key));
	WANT(f->C_Sign(s, NULL, 32, sig, &n), CKR_ARGUMENTS_BAD);
	OK(f->C_SignInit(s, &hashed, key));
	OK(f->C_SignUpdate(s, digest, 16));
	WANT(f->C_Sign(s, digest, 32, sig, &n), CKR_OPERATION_ACTIVE);
	OK(f->C_SignInit(s, &hashed, key));
	OK(f->C_SignUpdate(s, digest, 16));
	OK(f->C_SignUpdate(s, digest + 16, 16));
	OK(f->C_SignFinal(s, sig, &n));
	OK(f->C_VerifyInit(s, &hashed, pub));
	OK(f->C_Verify(s, digest, 32, sig, n));
	OK(f->C_VerifyInit(s, &hashed, pub));
	WANT(f->C_Verify(s, digest, 32, sig, 63), CKR_SIGNATURE_LEN_RANGE);
	OK(f->C_SignInit(s, &ecdsa, key));
	OK(f->C_SignInit(s, NULL, 0)); /* gives it up */
	OK(f->C_SignInit(s, &ecdsa, key));
	OK(f->C_CloseSession(s)); /* with an operation under way */
}

#ifdef CKF_INTERFACE_FORK_SAFE /* headers of PKCS#11 3.0 */
static void interfaces(void *handle)
{
	void *symbol = dlsym(handle, "C_GetInterface");
	struct ck_interface *i, *list;
	struct ck_version old = { 2, 40 };
	unsigned char other[] = "Vendor X";
	CK_C_GetInterface get;
	unsigned long n = 0;

	memcpy(&get, &symbol, sizeof(get));
	OK(get(NULL, NULL, &i, 0));
	WANT(((struct ck_version *)i->function_list_ptr)->major, 3);
	OK(((struct ck_function_list_3_0 *)i->function_list_ptr)->C_GetInterfaceList(NULL, &n));
	WANT(n, 2);
	list = calloc(n, sizeof(*list));
	OK(((struct ck_function_list_3_0 *)i->function_list_ptr)->C_GetInterfaceList(list, &n));
	free(list);
	OK(get(NULL, &old, &i, 0));
	WANT(((struct ck_version *)i->function_list_ptr)->major, 2);
	WANT(get(other, NULL, &i, 0), CKR_FUNCTION_FAILED);
	WANT(get(NULL, NULL, NULL, 0), CKR_ARGUMENTS_BAD);
}
#else
static void interfaces(void *handle)
{
	WANT(dlsym(handle, "C_GetInterface") ? 1ul : 0ul, 0);
}
#endif

static void abuse(const char *label)
{
	ck_session_handle_t s;
	ck_object_handle_t key, pub;

	interfaces(load());
	abuse_init();
	abuse_sessions();
	s = open_session();
	key = find(s, CKO_PRIVATE_KEY, label);
	pub = find(s, CKO_PUBLIC_KEY, label);
	abuse_objects(s, key);
	sign_and_verify(s, key, pub);
	abuse_signatures(s, key, pub);
	OK(f->C_Finalize(NULL));
	WANT(f->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
}

/* ---- keys of other kinds */

/* CK_EDDSA_PARAMS of PKCS#11 3.0. */
struct eddsa {
	unsigned char prehash;
	unsigned long n_context;
	unsigned char *context;
};

static void eddsa(const char *label)
{
	struct eddsa plain = { 0, 0, NULL }, prehashed = { 1, 0, NULL }, with = { 0, 3, digest };
	struct ck_mechanism m[] = { { CKM_EDDSA, NULL, 0 },
				    { CKM_EDDSA, &plain, sizeof(plain) },
				    { CKM_EDDSA, &prehashed, sizeof(prehashed) },
				    { CKM_EDDSA, &with, sizeof(with) },
				    { CKM_EDDSA, &plain, sizeof(plain) - 1 } };
	unsigned char sig[64], message[] = "message";
	ck_object_handle_t key, pub;
	ck_session_handle_t s;
	unsigned long n;
	size_t i;

	OK(f->C_Initialize(NULL));
	s = open_session();
	key = find(s, CKO_PRIVATE_KEY, label);
	pub = find(s, CKO_PUBLIC_KEY, label);
	for (i = 0; i < 5; i++) {
		if (i > 1) {
			WANT(f->C_SignInit(s, &m[i], key), CKR_MECHANISM_PARAM_INVALID);
			WANT(f->C_VerifyInit(s, &m[i], pub), CKR_MECHANISM_PARAM_INVALID);
			continue;
		}
		n = sizeof(sig);
		OK(f->C_SignInit(s, &m[i], key));
		OK(f->C_Sign(s, message, sizeof(message), sig, &n));
		OK(f->C_VerifyInit(s, &m[i], pub));
		OK(f->C_Verify(s, message, sizeof(message), sig, n));
		message[0] ^= 1;
		OK(f->C_VerifyInit(s, &m[i], pub));
		WANT(f->C_Verify(s, message, sizeof(message), sig, n), CKR_SIGNATURE_INVALID);
	}
	(void)fwrite(sig, 1, sizeof(sig),
		     stdout); /* of a message that begins with another letter */
	OK(f->C_Finalize(NULL));
}

/* Decrypts what is read, in parts and asking for each length first, as the standard has it. */
static void decrypt(const char *label)
{
	struct ck_mechanism m = { CKM_RSA_PKCS, NULL, 0 };
	unsigned char in[256], out[256];
	ck_session_handle_t s;
	unsigned long n, at;

	if (fread(in, 1, sizeof(in), stdin) != sizeof(in))
		exit(2);
	OK(f->C_Initialize(NULL));
	s = open_session();
	OK(f->C_DecryptInit(s, &m, find(s, CKO_PRIVATE_KEY, label)));
	for (at = 0; at < sizeof(in); at += 128) {
		OK(f->C_DecryptUpdate(s, in + at, 128, NULL, &n));
		n = sizeof(out);
		OK(f->C_DecryptUpdate(s, in + at, 128, out, &n));
		WANT(n, 0);
	}
	OK(f->C_DecryptFinal(s, NULL, &n));
	n = sizeof(out);
	OK(f->C_DecryptFinal(s, out, &n));
	(void)fwrite(out, 1, n, stdout);
	OK(f->C_DecryptInit(s, &m, find(s, CKO_PRIVATE_KEY, label)));
	WANT(f->C_DecryptUpdate(s, in, 128, out, NULL), CKR_ARGUMENTS_BAD);
	WANT(f->C_DecryptUpdate(s, in, 128, NULL, &n), CKR_OPERATION_NOT_INITIALIZED);
	OK(f->C_Finalize(NULL));
}

static void derived(ck_session_handle_t s, ck_object_handle_t base, struct ck_mechanism *m,
		    unsigned char sensitive, unsigned char extractable)
{
	struct ck_attribute t[] = { { CKA_SENSITIVE, &sensitive, 1 },
				    { CKA_EXTRACTABLE, &extractable, 1 } };
	unsigned char value[32], is[4];
	struct ck_attribute v = { CKA_VALUE, value, sizeof(value) };
	struct ck_attribute all[] = { { CKA_SENSITIVE, &is[0], 1 },
				      { CKA_EXTRACTABLE, &is[1], 1 },
				      { CKA_ALWAYS_SENSITIVE, &is[2], 1 },
				      { CKA_NEVER_EXTRACTABLE, &is[3], 1 } };
	bool readable = !sensitive && extractable;
	ck_object_handle_t o;

	OK(f->C_DeriveKey(s, m, base, t, 2, &o));
	WANT(f->C_GetAttributeValue(s, o, &v, 1), readable ? CKR_OK : CKR_ATTRIBUTE_SENSITIVE);
	OK(f->C_GetAttributeValue(s, o, all, 4));
	if (is[0] != sensitive || is[1] != extractable || is[2] != sensitive ||
	    is[3] == extractable)
		exit(1);
	OK(f->C_DestroyObject(s, o));
	t[0].value_len = 0;
	WANT(f->C_DeriveKey(s, m, base, t, 1, &o), CKR_ATTRIBUTE_VALUE_INVALID);
}

/* What a secret was asked to be, it is. */
static void derive(const char *label)
{
	struct ck_ecdh1_derive_params ecdh = { .kdf = CKD_NULL };
	struct ck_mechanism m = { CKM_ECDH1_DERIVE, &ecdh, sizeof(ecdh) };
	unsigned char point[80];
	struct ck_attribute get = { CKA_EC_POINT, point, sizeof(point) };
	ck_session_handle_t s;
	ck_object_handle_t key;

	OK(f->C_Initialize(NULL));
	s = open_session();
	key = find(s, CKO_PRIVATE_KEY, label);
	OK(f->C_GetAttributeValue(s, key, &get, 1)); /* agrees with itself */
	ecdh.public_data = point;
	ecdh.public_data_len = get.value_len;
	derived(s, key, &m, false, true);
	derived(s, key, &m, true, true);
	derived(s, key, &m, false, false);
	derived(s, key, &m, true, false);
	OK(f->C_Finalize(NULL));
}

/* ---- threads, forks, unloading, a broker that goes and comes back */

static const char *label_of_threads;

static void *thread(void *arg)
{
	ck_session_handle_t s = open_session();
	ck_object_handle_t key = find(s, CKO_PRIVATE_KEY, label_of_threads);
	ck_object_handle_t pub = find(s, CKO_PUBLIC_KEY, label_of_threads);
	int i;

	for (i = 0; i < 5; i++)
		sign_and_verify(s, key, pub);
	OK(f->C_CloseSession(s));
	return arg;
}

static void threads(const char *label)
{
	struct ck_c_initialize_args args = { .flags = CKF_OS_LOCKING_OK };
	pthread_t t[32];
	size_t i;

	label_of_threads = label;
	OK(f->C_Initialize(&args));
	for (i = 0; i < 32; i++)
		if (pthread_create(&t[i], NULL, thread, NULL))
			exit(1);
	for (i = 0; i < 32; i++)
		pthread_join(t[i], NULL);
	OK(f->C_Finalize(NULL));
}

static void forks(const char *label)
{
	ck_session_handle_t s, mine;
	ck_object_handle_t key, pub;
	int i, status;

	OK(f->C_Initialize(NULL));
	s = open_session();
	key = find(s, CKO_PRIVATE_KEY, label);
	pub = find(s, CKO_PUBLIC_KEY, label);
	sign_and_verify(s, key, pub);
	for (i = 0; i < 8; i++) {
		if (fork())
			continue;
		WANT(f->C_SignInit(s, &ecdsa, key), CKR_CRYPTOKI_NOT_INITIALIZED);
		OK(f->C_Initialize(NULL));
		WANT(f->C_SignInit(s, &ecdsa, key), CKR_SESSION_HANDLE_INVALID);
		mine = open_session();
		sign_and_verify(mine, find(mine, CKO_PRIVATE_KEY, label),
				find(mine, CKO_PUBLIC_KEY, label));
		OK(f->C_Finalize(NULL));
		exit(0);
	}
	sign_and_verify(s, key, pub);
	for (i = 0; i < 8; i++)
		if (wait(&status) < 0 || status)
			exit(1);
	sign_and_verify(s, key, pub);
	OK(f->C_Finalize(NULL));
}

static void *starter(void *arg)
{
	static struct ck_c_initialize_args args = { .flags = CKF_OS_LOCKING_OK };
	ck_rv_t rv = f->C_Initialize(&args);
	ck_object_handle_t key;
	ck_session_handle_t s;
	unsigned char sig[64];

	if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
		WANT(rv, CKR_OK);
	s = open_session();
	key = find(s, CKO_PRIVATE_KEY, arg);
	OK(sign(s, key, sig));
	return rv == CKR_OK ? arg : NULL; /* it was the first */
}

static void start_together(const char *label)
{
	pthread_t t[8];
	size_t i, first = 0;
	void *out;

	for (i = 0; i < 8; i++)
		if (pthread_create(&t[i], NULL, starter, (void *)(size_t)label))
			exit(1);
	for (i = 0; i < 8; i++) {
		pthread_join(t[i], &out);
		first += out != NULL;
	}
	WANT(first, 1);
	OK(f->C_Finalize(NULL));
}

/* Threads that do not know of each other initialise, in a child of fork() as well. */
static void starts(const char *label)
{
	int i, status;

	for (i = 0; i < 20; i++) {
		start_together(label);
		OK(f->C_Initialize(NULL));
		if (!fork()) {
			start_together(label);
			exit(0);
		}
		if (wait(&status) < 0 || status)
			exit(1);
		OK(f->C_Finalize(NULL));
	}
}

static atomic_bool enough;

static void *signer(void *arg)
{
	ck_session_handle_t s = open_session();
	ck_object_handle_t key = find(s, CKO_PRIVATE_KEY, label_of_threads);
	ck_object_handle_t pub = find(s, CKO_PUBLIC_KEY, label_of_threads);

	while (!atomic_load(&enough))
		sign_and_verify(s, key, pub);
	return arg;
}

/*
 * Others are inside of the module, and of libcrypto, at the moment of the fork. Not for the first
 * time in this process: then libcrypto reads its configuration, with locks that a child would find
 * locked for ever.
 */
static void forks_of_threads(const char *label)
{
	struct ck_c_initialize_args args = { .flags = CKF_OS_LOCKING_OK };
	ck_session_handle_t s;
	pthread_t t[8];
	int i, status;

	label_of_threads = label;
	OK(f->C_Initialize(&args));
	s = open_session();
	sign_and_verify(s, find(s, CKO_PRIVATE_KEY, label), find(s, CKO_PUBLIC_KEY, label));
	for (i = 0; i < 8; i++)
		if (pthread_create(&t[i], NULL, signer, NULL))
			exit(1);
	for (i = 0; i < 100; i++) {
		if (!fork()) {
			alarm(20);
			WANT(f->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
			OK(f->C_Initialize(&args));
			s = open_session();
			sign_and_verify(s, find(s, CKO_PRIVATE_KEY, label),
					find(s, CKO_PUBLIC_KEY, label));
			OK(f->C_Finalize(NULL));
			_exit(0); /* exit() is for threads that are there */
		}
		if (wait(&status) < 0 || status) {
			fprintf(stderr, "child %d: status 0x%x\n", i, status);
			exit(1);
		}
	}
	atomic_store(&enough, true);
	for (i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	OK(f->C_Finalize(NULL));
}

static void reload(const char *label)
{
	ck_session_handle_t s;
	void *handle;
	int i;

	for (i = 0; i < 100; i++) {
		handle = load();
		OK(f->C_Initialize(NULL));
		s = open_session();
		(void)find(s, CKO_PRIVATE_KEY, label);
		OK(f->C_Finalize(NULL));
		dlclose(handle);
	}
}

/* Signs once a line; the one who writes the lines restarts the broker between them. */
static void restart(const char *label)
{
	ck_session_handle_t s;
	ck_object_handle_t key;
	unsigned char sig[64];

	OK(f->C_Initialize(NULL));
	s = open_session();
	key = find(s, CKO_PRIVATE_KEY, label);
	while (getchar() != EOF) {
		printf("0x%lx\n", sign(s, key, sig));
		fflush(stdout);
	}
	OK(f->C_Finalize(NULL));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const char *label);
	} commands[] = { { "abuse", abuse },	 { "eddsa", eddsa },
			 { "decrypt", decrypt }, { "derive", derive },
			 { "threads", threads }, { "fork", forks },
			 { "starts", starts },	 { "forks", forks_of_threads },
			 { "reload", reload },	 { "restart", restart } };
	size_t i;

	if (argc != 4)
		return 2;
	module = argv[1];
	if (strcmp(argv[2], "reload"))
		load();
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[2], commands[i].name)) {
			commands[i].run(argv[3]);
			return 0;
		}
	return 2;
}
