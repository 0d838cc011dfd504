/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider_host.c: a host process for the provider: forks, threads, exits. The tests run it
 * with a configuration that activates the provider; each command returns 0 if all went well.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>

#include "provider_host.h"

void host_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	ERR_print_errors_fp(stderr);
	_exit(1);
}

EVP_PKEY *host_load(const char *uri)
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

int host_sign(EVP_PKEY *key)
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

EVP_PKEY *host_public(EVP_PKEY *key)
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
	EVP_PKEY *key = host_load(uri);

	CHECK(key);
	while (n--)
		CHECK(host_sign(key));
	EVP_PKEY_free(key);
	CHECK(!ERR_peek_error()); /* what is left behind here breaks a host's next TLS read */
	return 0;
}

/* Signs once per line of standard input: the test does things in between. */
static int cmd_step(const char *uri, int n)
{
	EVP_PKEY *key = host_load(uri);
	char line[16];

	(void)n;
	CHECK(key);
	while (fgets(line, sizeof(line), stdin)) {
		int ok = host_sign(key);

		if (!ok)
			ERR_print_errors_fp(stderr);
		ERR_clear_error();
		puts(ok ? "ok" : "failed");
		fflush(stdout);
	}
	EVP_PKEY_free(key);
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
	key = host_load(uri);
	CHECK(key && host_sign(key));
	for (i = 0; i < n; i++)
		if (!fork()) {
			for (j = 0; j < 3; j++)
				CHECK(host_sign(key));
			EVP_PKEY_free(key);
			exit(0); /* with all handlers */
		}
	CHECK(host_sign(key));
	wait_children(n);
	CHECK(host_sign(key));
	EVP_PKEY_free(key);
	return 0;
}

/* Workers that are all there at once, each with a connection, and go on working. */
static int cmd_crowd(const char *uri, int n)
{
	pthread_barrier_t *b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_barrierattr_t attr;
	int i, j;

	CHECK(b != MAP_FAILED && !pthread_barrierattr_init(&attr));
	CHECK(!pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
	CHECK(!pthread_barrier_init(b, &attr, (unsigned)n));
	for (i = 0; i < n; i++)
		if (!fork()) {
			EVP_PKEY *key = host_load(uri);

			alarm(60); /* who fails leaves the others at the barrier */
			for (j = 0; j < 5; j++) {
				CHECK(key && host_sign(key));
				pthread_barrier_wait(b);
			}
			EVP_PKEY_free(key);
			_exit(0);
		}
	wait_children(n);
	munmap(b, sizeof(*b));
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
		CHECK(host_sign(w->key));
	return NULL;
}

static int cmd_threads(const char *uri, int n)
{
	struct work w = { host_load(uri), 20, false };
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

/* Signs in @n threads until standard input ends. */
static int cmd_load(const char *uri, int n)
{
	struct work w = { host_load(uri), -1, false };
	pthread_t *t = calloc((size_t)n, sizeof(*t));
	int i;

	CHECK(w.key && t);
	for (i = 0; i < n; i++)
		CHECK(!pthread_create(&t[i], NULL, worker, &w));
	puts("loaded");
	fflush(stdout);
	while (getchar() != EOF)
		;
	atomic_store(&w.stop, true);
	for (i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	EVP_PKEY_free(w.key);
	free(t);
	return 0;
}

static void *try_twice(void *arg)
{
	struct work *w = arg;
	struct timespec from, to;
	int i;

	for (i = 0; i < 2; i++) {
		clock_gettime(CLOCK_MONOTONIC, &from);
		CHECK(!host_sign(w->key));
		clock_gettime(CLOCK_MONOTONIC, &to);
		CHECK(to.tv_sec - from.tv_sec <= w->times);
	}
	return NULL;
}

/* A broker that hangs: no thread waits for longer than its call may take, whatever others do. */
static int cmd_hung(const char *uri, int n)
{
	struct work w = { host_load(uri), n, false };
	pthread_t t[12];
	size_t i;

	CHECK(w.key);
	for (i = 0; i < 12; i++)
		CHECK(!pthread_create(&t[i], NULL, try_twice, &w));
	for (i = 0; i < 12; i++)
		pthread_join(t[i], NULL);
	EVP_PKEY_free(w.key);
	return 0;
}

/* Forks while other threads are in the middle of signing, and hold the lock. */
static int cmd_midfork(const char *uri, int n)
{
	struct work w = { host_load(uri), -1, false };
	pthread_t t[4];
	size_t i;

	CHECK(w.key && host_sign(w.key));
	for (i = 0; i < 4; i++)
		CHECK(!pthread_create(&t[i], NULL, worker, &w));
	while (n--) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			alarm(20);
			CHECK(host_sign(w.key));
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

static bool mapped(const char *what)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	bool found = false;

	CHECK(maps);
	while (!found && fgets(line, sizeof(line), maps))
		found = strstr(line, what);
	fclose(maps);
	return found;
}

/*
 * Loads and unloads the provider, in contexts of its own, until it is out of memory each time.
 * With a configuration that activates it, the default context would keep it there.
 */
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

		CHECK(ours && def && mapped("/holdfast.so"));
		store = OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
		info = store ? OSSL_STORE_load(store) : NULL;
		CHECK(info);
		key = OSSL_STORE_INFO_get1_PKEY(info);
		OSSL_STORE_INFO_free(info);
		OSSL_STORE_close(store);
		CHECK(host_sign(key));
		EVP_PKEY_free(key);
		OSSL_PROVIDER_unload(ours);
		OSSL_PROVIDER_unload(def);
		OSSL_LIB_CTX_free(ctx);
		CHECK(!mapped("/holdfast.so"));
	}
	CHECK(open_fds() == fds);
	return 0;
}

static int cmd_live_exit(const char *uri, int n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY *key = host_load(uri);

	(void)n;
	CHECK(key && host_sign(key));
	CHECK(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) > 0);
	CHECK(EVP_DigestSignUpdate(ctx, "x", 1) > 0);
	return 0; /* everything is still alive */
}

/* As daemons do: our descriptor is closed behind our back, its number is somebody else's. */
static int cmd_closed_fds(const char *uri, int n)
{
	EVP_PKEY *key = host_load(uri);
	int fd, pair[2];
	char c;

	(void)n;
	CHECK(key && host_sign(key));
	for (fd = 3; fd < 64; fd++)
		close(fd);
	CHECK(!pipe(pair));
	while ((fd = dup(pair[1])) >= 0 && fd < 32)
		;
	CHECK(host_sign(key));
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
	EVP_PKEY *key = n ? host_load(uri) : NULL;

	CHECK(!n || host_sign(key));
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
		CHECK(host_sign(key));
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
	{ "crowd", cmd_crowd },		{ "hung", cmd_hung },
	{ "secret", cmd_secret },	{ "load", cmd_load },
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
