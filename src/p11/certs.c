/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certs.c: certificates are PEM files on the disk, not in the broker. Those in the directory
 * that belong to a key of ours are shown beside it, since many programs look for a pair.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/buf.h"
#include "base/file.h"
#include "p11/object.h"

#define FILES_MAX 256u /* with a certificate in them */
#define NAMES_MAX 8192u
#define CERTS_MAX 512u
#define FILE_MAX  (256u * 1024)

struct reading {
	OSSL_LIB_CTX *ctx;
	struct hf_p11_cert **certs;
	size_t n;
};

void hf_p11_cert_free(struct hf_p11_cert *c)
{
	if (!c)
		return;
	X509_free(c->x);
	OPENSSL_free(c->der);
	free(c);
}

/* Takes @x. */
static void add(struct reading *r, X509 *x, const char *label)
{
	struct hf_p11_cert *c = calloc(1, sizeof(*c));
	unsigned char *spki = NULL;
	size_t len = sizeof(c->id);
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki), der = -1;

	if (c) {
		c->x = x;
		der = i2d_X509(x, &c->der);
		(void)hf_copy(c->label, sizeof(c->label), label);
	} else {
		X509_free(x);
	}
	if (c && n > 0 && der > 0 &&
	    EVP_Q_digest(r->ctx, "SHA256", NULL, spki, (size_t)n, c->id, &len)) {
		c->n_der = (size_t)der;
		r->certs[r->n++] = c;
	} else {
		hf_p11_cert_free(c);
	}
	OPENSSL_free(spki);
}

static void read_file(struct reading *r, const char *path, const char *name)
{
	HF_AUTO_BUF file = HF_BUF(FILE_MAX);
	struct hf_err e = HF_ERR_INIT;
	char label[64];
	BIO *bio;

	(void)snprintf(label, sizeof(label), "%.*s", (int)strcspn(name, "."), name);
	if (hf_file_read(path, false, &file, &e) || !file.n)
		return;
	bio = BIO_new_mem_buf(file.p, (int)file.n);
	while (bio && r->n < CERTS_MAX) {
		X509 *x = X509_new_ex(r->ctx, NULL), *got = x;

		if (!x || !PEM_read_bio_X509(bio, &got, NULL, NULL)) {
			X509_free(got);
			break;
		}
		add(r, got, label);
	}
	BIO_free(bio);
}

/* Each certificate of the agent's has a key reference beside it, NAME.key.pem. */
static bool named_as_certificate(const char *name)
{
	const char *dot = strrchr(name, '.');
	bool reference = dot && dot - name > 4 && !strcmp(dot - 4, ".key.pem");

	return name[0] != '.' && dot && !reference &&
	       (!strcmp(dot, ".pem") || !strcmp(dot, ".crt") || !strcmp(dot, ".cer"));
}

struct hf_p11_cert **hf_p11_certs_read(OSSL_LIB_CTX *ctx, const char *directory, size_t *n)
{
	struct reading r = { ctx, calloc(CERTS_MAX, sizeof(struct hf_p11_cert *)), 0 };
	DIR *d = opendir(directory);
	struct dirent *entry;
	size_t files = 0, names = 0;

	ERR_set_mark();
	while (d && r.certs && files < FILES_MAX && names++ < NAMES_MAX && (entry = readdir(d))) {
		struct hf_err e = HF_ERR_INIT;
		char path[HF_PATH_MAX];
		size_t before = r.n;

		if (!named_as_certificate(entry->d_name) ||
		    hf_path_join(path, directory, entry->d_name, &e))
			continue;
		read_file(&r, path, entry->d_name);
		files += r.n > before;
	}
	ERR_pop_to_mark();
	if (d)
		closedir(d);
	*n = r.n;
	return r.certs;
}
