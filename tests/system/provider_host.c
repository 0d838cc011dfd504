/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider_host.c: a host process for the provider: forks, threads, exits. The tests run it
 * with a configuration that activates the provider; each command returns 0 if all went well.
 */
#include <assert.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509.h>

#define CHECK(x) ((x) ? (void)0 : fail(__LINE__, #x))

static void fail(int line, const char *what)
{
	fprintf(stderr, "provider_host.c:%d: %s\n", line, what);
	ERR_print_errors_fp(stderr);
	_exit(1);
}

static EVP_PKEY *load(const char *uri)
{
	OSSL_STORE_CTX *store;
	OSSL_STORE_INFO *info;
	EVP_PKEY *key = NULL;

	if (strncmp(uri, "holdfast:", 9) != 0) {
		BIO *bio = BIO_new_file(uri, "r");

		key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
		BIO_free(bio);
		return key;
	}
	store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
	while (store && !key && !OSSL_STORE_eof(store)) {
		info = OSSL_STORE_load(store);
		if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
			key = OSSL_STORE_INFO_get1_PKEY(info);
		OSSL_STORE_INFO_free(info);
	}
	OSSL_STORE_close(store);
	return key;
}

static int sign_once(EVP_PKEY *key)
{
	static const unsigned char data[] = "what is signed";
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sig[1024];
	size_t n = sizeof(sig);
	int ok;

	ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) > 0 &&
	     EVP_DigestSign(ctx, sig, &n, data, sizeof(data)) > 0;
	EVP_MD_CTX_free(ctx);
	ctx = EVP_MD_CTX_new();
	ok = ok && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) > 0 &&
	     EVP_DigestVerify(ctx, sig, n, data, sizeof(data)) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static EVP_PKEY *public_of(EVP_PKEY *key)
{
	unsigned char *der = NULL;
	const unsigned char *p;
	int n = i2d_PUBKEY(key, &der);
	EVP_PKEY *pub;

	CHECK(n > 0);
	p = der;
	pub = d2i_PUBKEY(NULL, &p, n);
	OPENSSL_free(der);
	return pub;
}

static int cmd_sign(const char *uri, int n)
{
	EVP_PKEY *key = load(uri);

	CHECK(key);
	while (n--)
		CHECK(sign_once(key));
	EVP_PKEY_free(key);
	CHECK(!ERR_peek_error()); /* what is left behind here breaks a host's next TLS read */
	return 0;
}

/* Signs once per line of standard input: the test does things in between. */
static int cmd_step(const char *uri, int n)
{
	EVP_PKEY *key = load(uri);
	char line[16];

	(void)n;
	CHECK(key);
	while (fgets(line, sizeof(line), stdin)) {
		int ok = sign_once(key);

		if (!ok)
			ERR_print_errors_fp(stderr);
		ERR_clear_error();
		puts(ok ? "ok" : "failed");
		fflush(stdout);
	}
	EVP_PKEY_free(key);
	return 0;
}

static int params_cb(const OSSL_PARAM params[], void *arg)
{
	(void)params;
	++*(int *)arg;
	return 1;
}

/* What libcrypto asks of keys, in both orders of arguments. */
static int cmd_semantics(const char *uri, int n)
{
	EVP_PKEY *key = load(uri), *again = load(uri), *pub, *dup;
	OSSL_PARAM *params = NULL;
	unsigned char *der = NULL;
	BIGNUM *secret = NULL;
	int called = 0;

	(void)n;
	CHECK(key && again);
	pub = public_of(key);
	CHECK(EVP_PKEY_eq(key, pub) == 1 && EVP_PKEY_eq(pub, key) == 1);
	CHECK(EVP_PKEY_eq(key, again) == 1 && EVP_PKEY_eq(key, key) == 1);
	dup = EVP_PKEY_dup(key);
	CHECK(dup && EVP_PKEY_eq(dup, key) == 1);
	EVP_PKEY_free(again);
	EVP_PKEY_free(key);
	CHECK(sign_once(dup));
	CHECK(!sign_once(pub));
	ERR_clear_error();
	/* the private half leaves in no form */
	CHECK(EVP_PKEY_todata(dup, EVP_PKEY_KEYPAIR, &params) != 1);
	CHECK(EVP_PKEY_export(dup, EVP_PKEY_KEYPAIR, params_cb, &called) != 1 && !called);
	CHECK(i2d_PrivateKey(dup, &der) <= 0);
	CHECK(!EVP_PKEY2PKCS8(dup));
	CHECK(EVP_PKEY_get_bn_param(dup, OSSL_PKEY_PARAM_PRIV_KEY, &secret) != 1);
	CHECK(EVP_PKEY_get_bn_param(dup, OSSL_PKEY_PARAM_RSA_D, &secret) != 1);
	ERR_clear_error();
	CHECK(EVP_PKEY_todata(dup, EVP_PKEY_PUBLIC_KEY, &params) == 1 && params);
	OSSL_PARAM_free(params);
	CHECK(EVP_PKEY_get_bits(dup) == EVP_PKEY_get_bits(pub));
	CHECK(EVP_PKEY_get_security_bits(dup) == EVP_PKEY_get_security_bits(pub));
	CHECK(EVP_PKEY_get_size(dup) == EVP_PKEY_get_size(pub));
	CHECK(EVP_PKEY_get_id(dup) == EVP_PKEY_get_id(pub));
	EVP_PKEY_free(pub);
	EVP_PKEY_free(dup);
	return 0;
}

/* Contexts: the key freed first, a context used twice, copies in the middle, sizes. */
static int cmd_contexts(const char *uri, int n)
{
	EVP_PKEY *key = load(uri), *pub = public_of(key);
	EVP_MD_CTX *a = EVP_MD_CTX_new(), *b = EVP_MD_CTX_new(), *v = EVP_MD_CTX_new();
	unsigned char sig[1024];
	size_t len = 0;

	(void)n;
	CHECK(EVP_DigestSignInit(a, NULL, EVP_sha256(), NULL, key) > 0);
	EVP_PKEY_free(key);
	CHECK(EVP_DigestSignUpdate(a, "one ", 4) > 0);
	CHECK(EVP_MD_CTX_copy_ex(b, a));
	CHECK(EVP_DigestSignUpdate(a, "two", 3) > 0 && EVP_DigestSignUpdate(b, "2", 1) > 0);
	CHECK(EVP_DigestSignFinal(a, NULL, &len) > 0 && len > 0 && len <= sizeof(sig));
	CHECK(EVP_DigestSignFinal(a, sig, &len) > 0);
	CHECK(EVP_DigestVerifyInit(v, NULL, EVP_sha256(), NULL, pub) > 0);
	CHECK(EVP_DigestVerify(v, sig, len, (const unsigned char *)"one two", 7) == 1);
	len = sizeof(sig);
	CHECK(EVP_DigestSignFinal(b, sig, &len) > 0);
	EVP_MD_CTX_free(v);
	v = EVP_MD_CTX_new();
	CHECK(EVP_DigestVerifyInit(v, NULL, EVP_sha256(), NULL, pub) > 0);
	CHECK(EVP_DigestVerify(v, sig, len, (const unsigned char *)"one 2", 5) == 1);
	len = 10; /* too little room is an error, and no request */
	CHECK(EVP_DigestSignFinal(b, sig, &len) <= 0);
	ERR_clear_error();
	EVP_MD_CTX_free(a);
	EVP_MD_CTX_free(b);
	EVP_MD_CTX_free(v);
	EVP_PKEY_free(pub);
	return 0;
}

static void wait_children(int n)
{
	int status;

	while (n--) {
		CHECK(wait(&status) > 0);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
}

/* Workers that loaded nothing before, and workers that use what the parent loaded and used. */
static int cmd_prefork(const char *uri, int n)
{
	EVP_PKEY *key;
	int i, j;

	for (i = 0; i < n; i++)
		if (!fork())
			_exit(cmd_sign(uri, 3));
	wait_children(n);
	key = load(uri);
	CHECK(key && sign_once(key));
	for (i = 0; i < n; i++)
		if (!fork()) {
			for (j = 0; j < 3; j++)
				CHECK(sign_once(key));
			EVP_PKEY_free(key);
			exit(0); /* with all handlers */
		}
	CHECK(sign_once(key));
	wait_children(n);
	CHECK(sign_once(key));
	EVP_PKEY_free(key);
	return 0;
}

struct work {
	EVP_PKEY *key;
	int times; /* negative: until told to stop */
	atomic_bool stop;
};

static void *worker(void *arg)
{
	struct work *w = arg;
	int i;

	for (i = 0; (w->times < 0 || i < w->times) && !atomic_load(&w->stop); i++)
		CHECK(sign_once(w->key));
	return NULL;
}

static int cmd_threads(const char *uri, int n)
{
	struct work w = { load(uri), 20, false };
	pthread_t *t = calloc((size_t)n, sizeof(*t));
	int i;

	CHECK(w.key && t);
	for (i = 0; i < n; i++)
		CHECK(!pthread_create(&t[i], NULL, worker, &w));
	for (i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	EVP_PKEY_free(w.key);
	free(t);
	return 0;
}

/* Forks while other threads are in the middle of signing, and hold the lock. */
static int cmd_midfork(const char *uri, int n)
{
	struct work w = { load(uri), -1, false };
	pthread_t t[4];
	size_t i;

	CHECK(w.key && sign_once(w.key));
	for (i = 0; i < 4; i++)
		CHECK(!pthread_create(&t[i], NULL, worker, &w));
	while (n--) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			alarm(20);
			CHECK(sign_once(w.key));
			_exit(0);
		}
		wait_children(1);
	}
	atomic_store(&w.stop, true);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	EVP_PKEY_free(w.key);
	return 0;
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Loads and unloads the provider, in contexts of its own. */
static int cmd_unload(const char *uri, int n)
{
	int fds = open_fds();

	while (n--) {
		OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
		OSSL_PROVIDER *ours = OSSL_PROVIDER_load(ctx, "holdfast");
		OSSL_PROVIDER *def = OSSL_PROVIDER_load(ctx, "default");
		OSSL_STORE_CTX *store;
		OSSL_STORE_INFO *info;
		EVP_PKEY *key;

		CHECK(ours && def);
		store = OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
		info = store ? OSSL_STORE_load(store) : NULL;
		CHECK(info);
		key = OSSL_STORE_INFO_get1_PKEY(info);
		OSSL_STORE_INFO_free(info);
		OSSL_STORE_close(store);
		CHECK(sign_once(key));
		EVP_PKEY_free(key);
		OSSL_PROVIDER_unload(ours);
		OSSL_PROVIDER_unload(def);
		OSSL_LIB_CTX_free(ctx);
	}
	CHECK(open_fds() == fds);
	return 0;
}

static int cmd_live_exit(const char *uri, int n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY *key = load(uri);

	(void)n;
	CHECK(key && sign_once(key));
	CHECK(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) > 0);
	CHECK(EVP_DigestSignUpdate(ctx, "x", 1) > 0);
	return 0; /* everything is still alive */
}

/* As daemons do: our descriptor is closed behind our back, its number is somebody else's. */
static int cmd_closed_fds(const char *uri, int n)
{
	EVP_PKEY *key = load(uri);
	int fd, pair[2];
	char c;

	(void)n;
	CHECK(key && sign_once(key));
	for (fd = 3; fd < 64; fd++)
		close(fd);
	CHECK(!pipe(pair));
	while ((fd = dup(pair[1])) >= 0 && fd < 32)
		;
	CHECK(sign_once(key));
	EVP_PKEY_free(key);
	for (fd = 3; fd < 64; fd++)
		if (fd != pair[0])
			close(fd);
	CHECK(read(pair[0], &c, 1) == 0); /* nothing of ours went there, nor was it closed early */
	return 0;
}

static int cmd_no_stdio(const char *uri, int n)
{
	(void)n;
	close(0);
	close(1);
	close(2);
	return cmd_sign(uri, 2);
}

/* Prints the descriptors that a program started from here has. */
static int cmd_exec(const char *uri, int n)
{
	EVP_PKEY *key = n ? load(uri) : NULL;

	CHECK(!n || sign_once(key));
	execl("/bin/ls", "ls", "/proc/self/fd", (char *)NULL);
	return 1;
}

/* What the process has that a library may not change: threads, signals, descriptors. */
struct footprint {
	int threads, fds;
	char signals[256];
};

static void take_footprint(struct footprint *f)
{
	FILE *in = fopen("/proc/self/status", "r");
	char line[128];

	memset(f, 0, sizeof(*f));
	CHECK(in);
	while (fgets(line, sizeof(line), in))
		if (!strncmp(line, "Threads:", 8))
			f->threads = atoi(line + 8);
		else if (!strncmp(line, "Sig", 3) && strncmp(line, "SigQ", 4) && /* SigQ: the user's */
			 strlen(f->signals) + strlen(line) < sizeof(f->signals))
			strcat(f->signals, line);
	fclose(in);
	f->fds = open_fds();
}

/* Loaded and used: one descriptor more, closed on exec. Unloaded: as before. */
static int cmd_footprint(const char *uri, int n)
{
	struct footprint before, used, after;
	OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
	OSSL_PROVIDER *def = OSSL_PROVIDER_load(ctx, "default"), *ours;
	OSSL_STORE_CTX *store;
	OSSL_STORE_INFO *info;
	EVP_PKEY *key;
	int fd;

	CHECK(def);
	take_footprint(&before);
	ours = OSSL_PROVIDER_load(ctx, "holdfast");
	take_footprint(&used);
	CHECK(ours && !memcmp(&before, &used, sizeof(used))); /* loading alone is nothing */
	store = OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
	info = store ? OSSL_STORE_load(store) : NULL;
	CHECK(info);
	key = OSSL_STORE_INFO_get1_PKEY(info);
	OSSL_STORE_INFO_free(info);
	OSSL_STORE_close(store);
	while (n--)
		CHECK(sign_once(key));
	take_footprint(&used);
	CHECK(used.threads == before.threads && !strcmp(used.signals, before.signals));
	CHECK(used.fds == before.fds + 1);
	for (fd = 3; fd < 64; fd++)
		CHECK(fcntl(fd, F_GETFD) == -1 || (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	EVP_PKEY_free(key);
	OSSL_PROVIDER_unload(ours);
	take_footprint(&after);
	CHECK(after.threads == before.threads && !strcmp(after.signals, before.signals));
	OSSL_PROVIDER_unload(def);
	OSSL_LIB_CTX_free(ctx); /* libcrypto keeps a provider as long as its context */
	CHECK(open_fds() == before.fds);
	return 0;
}

/* Programs write the keys that they have, and read them again. */
static int cmd_write(const char *uri, int n)
{
	EVP_PKEY *key = load(uri), *again;
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;

	CHECK(key && bio);
	for (; n >= 0; n--) {
		BIO_reset(bio);
		CHECK(n ? PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) > 0
			: PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) > 0);
		CHECK(BIO_get_mem_data(bio, &text) > 0 && strstr(text, "KEY REFERENCE"));
		again = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
		CHECK(again && EVP_PKEY_eq(key, again) == 1 && sign_once(again));
		EVP_PKEY_free(again);
	}
	BIO_reset(bio);
	CHECK(PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_256_cbc(), "x", 1, NULL, NULL) <= 0);
	CHECK(i2d_PKCS8PrivateKey_bio(bio, key, NULL, NULL, 0, NULL, NULL) <= 0);
	CHECK(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL) <= 0);
	ERR_clear_error();
	CHECK(PEM_write_bio_PUBKEY(bio, key) > 0 && i2d_PUBKEY_bio(bio, key) > 0);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return 0;
}

/* What the default provider tells about the public key, we tell as well, and the same. */
static int cmd_params(const char *uri, int n)
{
	EVP_PKEY *key = load(uri), *pub;
	const OSSL_PARAM *row;
	unsigned char a[2048], b[2048];
	int told = 0;

	CHECK(key);
	pub = public_of(key);
	for (row = EVP_PKEY_gettable_params(pub); row && row->key; row++) {
		OSSL_PARAM theirs[2] = { *row, OSSL_PARAM_construct_end() };
		OSSL_PARAM ours[2] = { *row, OSSL_PARAM_construct_end() };
		size_t size = row->data_type == OSSL_PARAM_INTEGER ? sizeof(int) : sizeof(a);

		memset(a, 0, sizeof(a));
		memset(b, 0, sizeof(b));
		theirs[0].data = a;
		ours[0].data = b;
		theirs[0].data_size = ours[0].data_size = size;
		theirs[0].return_size = ours[0].return_size = OSSL_PARAM_UNMODIFIED;
		ERR_set_mark();
		if (!EVP_PKEY_get_params(pub, theirs) || !OSSL_PARAM_modified(&theirs[0])) {
			ERR_pop_to_mark();
			continue;
		}
		ERR_pop_to_mark();
		if (!OSSL_PARAM_locate_const(EVP_PKEY_gettable_params(key), row->key))
			fail(__LINE__, row->key);
		if (!EVP_PKEY_get_params(key, ours) || !OSSL_PARAM_modified(&ours[0]))
			fail(__LINE__, row->key);
		CHECK(ours[0].return_size == theirs[0].return_size && !memcmp(a, b, sizeof(a)));
		told++;
	}
	CHECK(told >= n);
	EVP_PKEY_free(pub);
	EVP_PKEY_free(key);
	return 0;
}

static int cmd_self_test(const char *uri, int n)
{
	OSSL_PROVIDER *p = OSSL_PROVIDER_load(NULL, "holdfast");
	int ok = p && OSSL_PROVIDER_self_test(p);

	(void)uri;
	(void)n;
	if (!ok)
		ERR_print_errors_fp(stderr);
	return !ok;
}

#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
static const unsigned char message[] = "a message of two parts";

static void verify_message(EVP_PKEY *key, EVP_SIGNATURE *how, unsigned char *sig, size_t len,
			   bool pieces)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

	CHECK(EVP_PKEY_verify_message_init(ctx, how, NULL) > 0);
	CHECK(EVP_PKEY_verify(ctx, sig, len, message, sizeof(message)) == 1);
	CHECK(EVP_PKEY_verify(ctx, sig, len, message, 4) != 1);
	ERR_clear_error();
	if (pieces) { /* not Ed25519 */
		CHECK(EVP_PKEY_verify_message_init(ctx, how, NULL) > 0);
		CHECK(EVP_PKEY_CTX_set_signature(ctx, sig, len) > 0);
		CHECK(EVP_PKEY_verify_message_update(ctx, message, sizeof(message)) > 0);
		CHECK(EVP_PKEY_verify_message_final(ctx) == 1);
	}
	EVP_PKEY_CTX_free(ctx);
}
#endif

/* Signing messages by the full name of the signature, since 3.4; before, says so. */
static int cmd_message(const char *uri, int n)
{
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
	static const char *const names[] = { "ECDSA-SHA256", "RSA-SHA256", "ED25519" };
	EVP_PKEY *key = load(uri), *pub;
	EVP_SIGNATURE *ours = EVP_SIGNATURE_fetch(NULL, names[n], "provider=holdfast");
	EVP_SIGNATURE *theirs = EVP_SIGNATURE_fetch(NULL, names[n], "provider=default");
	EVP_SIGNATURE *other = EVP_SIGNATURE_fetch(NULL, names[!n], "provider=holdfast");
	unsigned char sig[1024];
	EVP_PKEY_CTX *ctx, *copy;
	size_t len = 0;
	int step;

	CHECK(key && ours && theirs && other);
	pub = public_of(key);
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	CHECK(EVP_PKEY_sign_message_init(ctx, other, NULL) <= 0); /* not a signature of this key */
	ERR_clear_error();
	for (step = 0; step < 2; step++) { /* in one piece; in two, finished by a copy */
		CHECK(EVP_PKEY_sign_message_init(ctx, ours, NULL) > 0);
		if (!step) {
			CHECK(EVP_PKEY_sign(ctx, NULL, &len, message, sizeof(message)) > 0);
			CHECK(len && len <= sizeof(sig));
			CHECK(EVP_PKEY_sign(ctx, sig, &len, message, sizeof(message)) > 0);
		} else {
			CHECK(EVP_PKEY_sign_message_update(ctx, message, 5) > 0);
			copy = EVP_PKEY_CTX_dup(ctx);
			EVP_PKEY_CTX_free(ctx);
			ctx = copy;
			CHECK(EVP_PKEY_sign_message_update(ctx, message + 5, sizeof(message) - 5) >
			      0);
			len = sizeof(sig);
			CHECK(EVP_PKEY_sign_message_final(ctx, sig, &len) > 0);
		}
		EVP_PKEY_CTX_free(ctx);
		verify_message(pub, theirs, sig, len, n < 2);
		verify_message(key, ours, sig, len, n < 2);
		ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	}
	EVP_PKEY_CTX_free(ctx);
	EVP_SIGNATURE_free(ours);
	EVP_SIGNATURE_free(theirs);
	EVP_SIGNATURE_free(other);
	EVP_PKEY_free(pub);
	EVP_PKEY_free(key);
	puts("signed");
#else
	(void)uri;
	(void)n;
	puts("not before 3.4");
#endif
	return 0;
}

/* A search of the store: by name, by fingerprint, and for what is not there. */
static int cmd_search(const char *name, int n)
{
	const unsigned char unknown[32] = { 0 };
	unsigned char *der = NULL, hash[32];
	char uri[80];
	EVP_PKEY *key, *found;
	int i, len = 0;

	(void)n;
	snprintf(uri, sizeof(uri), "holdfast:%s", name);
	key = load(uri);
	CHECK(key && (len = i2d_PUBKEY(key, &der)) > 0);
	CHECK(EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)len, hash, NULL));
	for (i = 0; i < 4; i++) {
		OSSL_STORE_SEARCH *by = i < 2 ? OSSL_STORE_SEARCH_by_alias(i ? "no-such-key" : name)
					      : OSSL_STORE_SEARCH_by_key_fingerprint(
							EVP_sha256(), i == 2 ? hash : unknown, 32);
		OSSL_STORE_CTX *store = OSSL_STORE_open("holdfast:", NULL, NULL, NULL, NULL);
		OSSL_STORE_INFO *info;

		found = NULL;
		CHECK(by && store && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY));
		CHECK(OSSL_STORE_find(store, by));
		while (!found && !OSSL_STORE_eof(store)) {
			info = OSSL_STORE_load(store);
			if (info)
				found = OSSL_STORE_INFO_get1_PKEY(info);
			OSSL_STORE_INFO_free(info);
		}
		CHECK(i % 2 ? !found : found && EVP_PKEY_eq(found, key) == 1);
		CHECK(!OSSL_STORE_error(store));
		EVP_PKEY_free(found);
		OSSL_STORE_close(store);
		OSSL_STORE_SEARCH_free(by);
	}
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(const char *uri, int n);
} commands[] = {
	{ "sign", cmd_sign },		{ "step", cmd_step },
	{ "semantics", cmd_semantics }, { "contexts", cmd_contexts },
	{ "prefork", cmd_prefork },	{ "threads", cmd_threads },
	{ "midfork", cmd_midfork },	{ "unload", cmd_unload },
	{ "live-exit", cmd_live_exit }, { "closed-fds", cmd_closed_fds },
	{ "no-stdio", cmd_no_stdio },	{ "exec", cmd_exec },
	{ "footprint", cmd_footprint }, { "write", cmd_write },
	{ "params", cmd_params },	{ "self-test", cmd_self_test },
	{ "message", cmd_message },	{ "search", cmd_search },
};

int main(int argc, char **argv)
{
	size_t i;

	if (argc != 4)
		return 2;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, argv[1]))
			return commands[i].run(argv[2], atoi(argv[3]));
	return 2;
}
