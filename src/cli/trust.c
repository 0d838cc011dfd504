/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast trust install: the trust bundle into the operating system's store of CA certificates. */
#include <dirent.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/file.h"
#include "cli/output.h"
#include "cli/views.h"

#define BUNDLE_MAX (1u << 20)
#define CERTS_MAX  256
#define NAME_SIZE  40 /* holdfast-0123456789abcdef.crt */
#define STORE	   "/usr/local/share/ca-certificates"

struct trust {
	char store[HF_PATH_MAX], bundle[HF_PATH_MAX];
	char names[CERTS_MAX][NAME_SIZE];
	size_t n;
	uint64_t added, removed;
};

static bool named(const struct trust *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (!strcmp(t->names[i], name))
			return true;
	return false;
}

static bool is_ours(const char *name)
{
	return !strncmp(name, "holdfast-", 9) && strspn(name + 9, "0123456789abcdef") == 16 &&
	       !strcmp(name + 25, ".crt");
}

/* One file for each: update-ca-certificates takes no more than one certificate out of a file. */
static enum hf_rc add(struct trust *t, X509 *cert, struct hf_err *e)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char path[HF_PATH_MAX], hex[17], *name = t->names[t->n], *pem;
	BIO *bio = BIO_new(BIO_s_mem());
	enum hf_rc rc = HF_OK;
	long n;

	if (!bio || !PEM_write_bio_X509(bio, cert) || !X509_digest(cert, EVP_sha256(), hash, NULL))
		rc = hf_fail(e, HF_NO_MEMORY, "out of memory");
	if (!rc) {
		(void)snprintf(name, NAME_SIZE, "holdfast-%s.crt",
			       hf_hex(hex, sizeof(hex), hash, 8));
		rc = hf_path_join(path, t->store, name, e);
	}
	if (!rc && !named(t, name)) {
		t->n++;
		if (access(path, F_OK)) {
			n = BIO_get_mem_data(bio, &pem);
			rc = hf_file_replace(path, pem, (size_t)n, 0644, e);
			t->added += rc == HF_OK;
		}
	}
	BIO_free(bio);
	return rc;
}

static enum hf_rc add_all(struct trust *t, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(BUNDLE_MAX);
	enum hf_rc rc = hf_file_read(t->bundle, false, &file, e);
	BIO *bio = rc ? NULL : BIO_new_mem_buf(file.p, (int)file.n);
	X509 *cert;

	while (!rc && bio && t->n < CERTS_MAX &&
	       (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		if (X509_check_ca(cert))
			rc = add(t, cert, e);
		X509_free(cert);
	}
	ERR_clear_error();
	BIO_free(bio);
	if (!rc && !t->n)
		rc = hf_fail(e, HF_ARGUMENT,
			     "%s: there is no CA certificate in it (PEM); nothing was changed",
			     t->bundle);
	return rc;
}

/* What an earlier bundle had. */
static void remove_old(struct trust *t)
{
	DIR *d = opendir(t->store);
	char path[HF_PATH_MAX];
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (is_ours(entry->d_name) && !named(t, entry->d_name) &&
		    !hf_path_join(path, t->store, entry->d_name, NULL) && !unlink(path))
			t->removed++;
	if (d)
		(void)closedir(d);
}

static enum hf_rc update(struct hf_err *e)
{
	char name[] = "update-ca-certificates", *const argv[] = { name, NULL };
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *const env[] = { path, NULL };
	posix_spawn_file_actions_t actions;
	int status = 0, failed;
	pid_t pid;

	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, 2, 1);
	failed = posix_spawn(&pid, "/usr/sbin/update-ca-certificates", &actions, NULL, argv, env);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (failed)
		return hf_fail(e, HF_FAILED,
			       "update-ca-certificates: %s; install the package ca-certificates",
			       strerror(failed));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status ? hf_fail(e, HF_FAILED, "update-ca-certificates failed (%d)", status) : HF_OK;
}

enum hf_rc hf_trust_install(struct hf_cli *c, struct hf_err *e)
{
	struct trust *t = calloc(1, sizeof(*t));
	enum hf_rc rc;

	if (!t)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	if (c->paths.system)
		rc = hf_copy(t->store, sizeof(t->store), STORE) ? HF_OK : HF_FAILED;
	else
		rc = hf_path_join(t->store, c->paths.certs, "system-store", e);
	if (!rc && c->words[0])
		rc = hf_copy(t->bundle, sizeof(t->bundle), c->words[0])
			     ? HF_OK
			     : hf_fail(e, HF_ARGUMENT, "that path is too long");
	else if (!rc)
		rc = hf_path_join(t->bundle, c->paths.certs, "trust-bundle.pem", e);
	if (!rc)
		rc = hf_dir_make(t->store, 0755, e);
	if (!rc)
		rc = add_all(t, e);
	if (!rc) {
		remove_old(t);
		if (c->paths.system && (t->added || t->removed))
			rc = update(e);
	}
	hf_out_text(c->result, "store", t->store);
	hf_out_number(c->result, "certificates", t->n);
	hf_out_number(c->result, "added", t->added);
	hf_out_number(c->result, "removed", t->removed);
	free(t);
	return rc;
}

void hf_trust_install_show(const struct hf_cli *c)
{
	printf("%s: %s certificates of the trust bundle, %s new, %s gone\n",
	       hf_out_get(c->result, "store"), hf_out_get(c->result, "certificates"),
	       hf_out_get(c->result, "added"), hf_out_get(c->result, "removed"));
}
