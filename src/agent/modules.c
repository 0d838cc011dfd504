/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/modules.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/pem.h>

#include "agent/ca.h"
#include "agent/certstore.h"
#include "base/log.h"
#include "conf/reader.h"
#include "est/certs.h"
#include "reference.h"

#define RECORD_MAX 65536u
#define LIST_MAX   (8 * RECORD_MAX)
#define DAY_S	   86400
#define RETRY_S	   60 /* after a failure */
#define LOOK_S	   60 /* somebody may have removed a file */
#define SHARE	   80 /* percent of its life after which one is renewed */

static const struct hf_row module_rows[] = {
	HF_ROW_OF_TRUTH(struct hf_module, server),
	HF_ROW_OF_TEXT(struct hf_module, id, 1),
	HF_ROW_OF_TEXT(struct hf_module, generation, 0),
	HF_ROW_OF_TEXT(struct hf_module, common_name, 0),
	HF_ROW_END,
};

static const struct hf_row rows[] = {
	HF_ROW_OF_TABLE(struct hf_module_record, module, module_rows),
	HF_ROW_OF_TEXT(struct hf_module_record, key, 0),
	HF_ROW_OF_TEXT(struct hf_module_record, issuer, 0),
	HF_ROW_OF_TEXT(struct hf_module_record, serial, 0),
	HF_ROW_OF_NUMBER(struct hf_module_record, not_before, 0, INT64_MAX),
	HF_ROW_OF_NUMBER(struct hf_module_record, not_after, 0, INT64_MAX),
	HF_ROW_OF_NUMBER(struct hf_module_record, issued, 0, INT64_MAX),
	HF_ROW_OF_TEXT(struct hf_module_record, certificate, 1),
	HF_ROW_END,
};

/* ---------------------------------------------------------------- files */

static void text_of(const struct hf_module *m, char *out, size_t size)
{
	(void)snprintf(out, size, "%s\n%s\n%s", m->server ? "server" : "identity", m->id,
		       m->server ? m->generation : "");
}

static enum hf_rc path_of(struct hf_agent *a, const struct hf_module *m, char dir[HF_PATH_MAX],
			  char out[HF_PATH_MAX], struct hf_err *e)
{
	char text[3 * HF_MODULE_NAME_MAX];

	text_of(m, text, sizeof(text));
	if (hf_path_join(dir, a->settings->state_dir, "modules", e))
		return e->rc;
	return hf_certstore_path(out, dir, text, "json", e);
}

void hf_modules_key_name(const struct hf_module *m, char out[HF_ID_SIZE])
{
	char text[3 * HF_MODULE_NAME_MAX], hex[65];
	unsigned char hash[32] = { 0 };
	size_t n = strlen("module-"), i;

	text_of(m, text, sizeof(text));
	(void)EVP_Q_digest(NULL, "SHA256", NULL, text, strlen(text), hash, NULL);
	(void)hf_copy(out, HF_ID_SIZE, "module-");
	for (i = 0; m->id[i] && n < 32; i++)
		if (isalnum((unsigned char)m->id[i]))
			out[n++] = (char)tolower((unsigned char)m->id[i]);
	(void)snprintf(out + n, HF_ID_SIZE - n, "-%.16s", hf_hex(hex, sizeof(hex), hash, 32));
}

static enum hf_rc load(const char *path, struct hf_module_record *r, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(RECORD_MAX);
	json_object *json = NULL;
	enum hf_rc rc;

	memset(r, 0, sizeof(*r));
	rc = hf_file_read(path, true, &file, e);
	if (!rc)
		rc = hf_reader_parse((const char *)file.p, file.n, path, &json, e);
	if (!rc)
		rc = hf_reader_table(r, rows, json, &(struct hf_reader){ path, NULL, 0 }, e);
	json_object_put(json);
	return rc;
}

static enum hf_rc save(struct hf_agent *a, const struct hf_module_record *r, struct hf_err *e)
{
	json_object *o = json_object_new_object(), *m = json_object_new_object();
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	enum hf_rc rc = path_of(a, &r->module, dir, path, e);
	const char *text;

	json_object_object_add(m, "server", json_object_new_boolean(r->module.server));
	json_object_object_add(m, "id", json_object_new_string(r->module.id));
	json_object_object_add(m, "generation", json_object_new_string(r->module.generation));
	json_object_object_add(m, "common_name", json_object_new_string(r->module.common_name));
	json_object_object_add(o, "module", m);
	json_object_object_add(o, "key", json_object_new_string(r->key));
	json_object_object_add(o, "issuer", json_object_new_string(r->issuer));
	json_object_object_add(o, "serial", json_object_new_string(r->serial));
	json_object_object_add(o, "not_before", json_object_new_int64(r->not_before));
	json_object_object_add(o, "not_after", json_object_new_int64(r->not_after));
	json_object_object_add(o, "issued", json_object_new_int64(r->issued));
	json_object_object_add(o, "certificate", json_object_new_string(r->certificate));
	text = json_object_to_json_string(o);
	if (!rc)
		rc = hf_dir_make(dir, 0700, e);
	if (!rc)
		rc = hf_file_replace(path, text, strlen(text), 0600, e);
	json_object_put(o);
	return rc;
}

static enum hf_rc file_of(struct hf_agent *a, const struct hf_module_record *r, const char *suffix,
			  char out[HF_PATH_MAX], struct hf_err *e)
{
	char name[HF_ID_SIZE + 16];

	(void)snprintf(name, sizeof(name), "%s%s", r->key, suffix);
	return hf_path_join(out, a->settings->certs_dir, name, e);
}

enum hf_rc hf_modules_get(struct hf_agent *a, struct hf_module_record *r, struct hf_err *e)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	struct hf_module m = r->module;

	if (path_of(a, &m, dir, path, e))
		return e->rc;
	if (access(path, F_OK))
		return hf_fail(e, HF_NO_KEY, "module %.100s: nothing was issued to it yet", m.id);
	return load(path, r, e);
}

/* The record last: killed before, it can be asked for again. */
enum hf_rc hf_modules_forget(struct hf_agent *a, const struct hf_module *m, struct hf_err *e)
{
	static const char *const suffixes[] = { ".key.pem", ".pem" };
	struct hf_module_record *r = calloc(1, sizeof(*r));
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	enum hf_rc rc = r ? HF_OK : hf_fail(e, HF_NO_MEMORY, "out of memory");
	size_t i;

	if (!rc) {
		r->module = *m;
		rc = hf_modules_get(a, r, e);
	}
	if (!rc && r->key[0])
		rc = hf_keys_delete(a->keys, r->key, e);
	for (i = 0; !rc && r->key[0] && i < HF_COUNT(suffixes); i++)
		if (!file_of(a, r, suffixes[i], path, NULL))
			(void)unlink(path);
	if (!rc)
		rc = path_of(a, m, dir, path, e);
	if (!rc && unlink(path) && errno != ENOENT)
		rc = hf_fail_errno(e, HF_IO, "%s", path);
	if (!rc)
		hf_log(HF_LOG_NOTICE, "module %s: %s certificate and key are forgotten, as asked",
		       m->id, m->server ? "server" : "identity");
	a->modules_next = 0; /* counted anew */
	free(r);
	return rc;
}

/*
 * One after the other. What has ended is removed, if its key is the module's: that one has to come
 * by itself. Damaged ones are set aside.
 */
static void visit(struct hf_agent *a, const char *path, struct hf_module_record *r, size_t *n,
		  void (*each)(struct hf_agent *a, struct hf_module_record *r, void *arg),
		  void *arg)
{
	char aside[HF_PATH_MAX + 16];
	struct hf_err err = HF_ERR_INIT;

	if (load(path, r, &err)) {
		(void)snprintf(aside, sizeof(aside), "%s.damaged", path);
		hf_log(HF_LOG_ERR, "%s; it is now %s", err.msg, aside);
		(void)rename(path, aside);
		return;
	}
	if (!r->key[0] && r->not_after <= hf_clock_ended(&a->clock)) {
		hf_log(HF_LOG_NOTICE, "module %s: its certificate has ended, it is forgotten",
		       r->module.id);
		(void)unlink(path);
		return;
	}
	(*n)++;
	if (each)
		each(a, r, arg);
}

size_t hf_modules_each(struct hf_agent *a,
		       void (*each)(struct hf_agent *a, struct hf_module_record *r, void *arg),
		       void *arg)
{
	struct hf_module_record *r = calloc(1, sizeof(*r));
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	struct dirent **list = NULL;
	size_t n = 0;
	int i, found = -1;

	if (r && !hf_path_join(dir, a->settings->state_dir, "modules", NULL))
		found = scandir(dir, &list, NULL, NULL);
	for (i = 0; i < found; i++) {
		const char *name = list[i]->d_name, *dot = strrchr(name, '.');

		if (name[0] != '.' && dot && !strcmp(dot, ".json") &&
		    !hf_path_join(path, dir, name, NULL))
			visit(a, path, r, &n, each, arg);
		free(list[i]);
	}
	free(list);
	free(r);
	return n;
}

/* ---------------------------------------------------------------- issuing */

/* For programs that want files: the chain, and a reference to the key beside it. */
static enum hf_rc write_files(struct hf_agent *a, const struct hf_module_record *r, EVP_PKEY *key,
			      struct hf_err *e)
{
	struct hf_reference *ref = calloc(1, sizeof(*ref));
	char path[HF_PATH_MAX];
	HF_AUTO_BUF pem = HF_BUF(32768);
	unsigned char *der = NULL;
	enum hf_rc rc = ref ? HF_OK : hf_fail(e, HF_NO_MEMORY, "out of memory");
	int n = i2d_PUBKEY(key, &der);

	if (!rc)
		rc = file_of(a, r, ".pem", path, e);
	if (!rc)
		rc = hf_file_replace(path, r->certificate, strlen(r->certificate), 0644, e);
	if (!rc && (n <= 0 || (size_t)n > sizeof(ref->spki)))
		rc = hf_fail(e, HF_CORRUPT, "key %s: its public half cannot be encoded", r->key);
	if (!rc) {
		memcpy(ref->spki, der, (size_t)n);
		ref->spki_n = (size_t)n;
		(void)hf_copy(ref->name, sizeof(ref->name), r->key);
		(void)hf_copy(ref->cert, sizeof(ref->cert), path);
		rc = hf_reference_pem(ref, &pem, e);
	}
	if (!rc)
		rc = file_of(a, r, ".key.pem", path, e);
	if (!rc)
		rc = hf_file_replace(path, pem.p, pem.n, 0644, e);
	OPENSSL_free(der);
	free(ref);
	return rc;
}

static enum hf_rc fill(struct hf_module_record *r, X509 *cert, const struct hf_credential *ca,
		       struct hf_err *e)
{
	HF_AUTO_BUF pem = HF_BUF(sizeof(r->certificate) - 1);
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *serial = n ? BN_bn2hex(n) : NULL;
	bool good = serial && hf_copy(r->serial, sizeof(r->serial), serial);

	OPENSSL_free(serial);
	BN_free(n);
	hf_ca_chain(cert, ca, &pem);
	if (!good || pem.bad || !hf_copy(r->certificate, sizeof(r->certificate), (char *)pem.p))
		return hf_fail(e, HF_FAILED, "the chain of %s is too long for a module",
			       ca->conf->id);
	(void)hf_hex(r->issuer, sizeof(r->issuer), ca->held.sha256, 32);
	r->not_before = hf_time_of(X509_get0_notBefore(cert));
	r->not_after = hf_time_of(X509_get0_notAfter(cert));
	r->issued++;
	return HF_OK;
}

static enum hf_rc room_for(struct hf_agent *a, const struct hf_module *m, struct hf_err *e)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];

	if (path_of(a, m, dir, path, e))
		return e->rc;
	if (!access(path, F_OK) || hf_certstore_count(dir) < HF_MODULES_MAX ||
	    hf_modules_each(a, NULL, NULL) < HF_MODULES_MAX)
		return HF_OK;
	return hf_fail(e, HF_BUSY,
		       "there are %d modules with certificates already; those that have ended "
		       "make room, or remove files of %s",
		       HF_MODULES_MAX, dir);
}

enum hf_rc hf_modules_issue(struct hf_agent *a, struct hf_module_record *r, EVP_PKEY *key,
			    struct hf_err *e)
{
	const struct hf_module_device device = { a->settings->device.hub,
						 a->settings->device.device_id };
	struct hf_module_issuer by;
	struct hf_credential *ca;
	X509 *cert = NULL;
	enum hf_rc rc = room_for(a, &r->module, e);

	if (!rc && !a->settings->module.issuer[0])
		rc = hf_fail(e, HF_UNAVAILABLE, "this device has no Edge CA; configure [edge_ca]");
	if (rc)
		return rc;
	rc = hf_ca_open(a, a->settings->module.issuer, &by, &ca, e);
	if (!rc)
		cert = hf_module_issue(&r->module, &device, key, &by, e);
	hf_ca_close(&by);
	if (!rc)
		rc = cert ? fill(r, cert, ca, e) : e->rc;
	X509_free(cert);
	/* Before it leaves: whoever has one is on the list. What the files lack then, they are
	 * given at the next look. */
	if (!rc)
		rc = save(a, r, e);
	a->modules_next = 0;
	if (!rc && r->key[0])
		rc = write_files(a, r, key, e);
	if (rc)
		return rc;
	a->modules_issued++;
	hf_log(HF_LOG_NOTICE, "module %s: %s certificate %s of %s, key %s", r->module.id,
	       r->module.server ? "server" : "identity", r->serial, ca->conf->id,
	       r->key[0] ? r->key : "its own");
	return HF_OK;
}

/* ---------------------------------------------------------------- again */

struct round {
	char issuer[65];    /* the CA's certificate of now */
	struct hf_buf list; /* of another one, a line each */
	size_t done, failed, of_ca;
	int64_t next;
	char message[300];
};

static bool is_due(const struct hf_agent *a, const struct hf_module_record *r,
		   const struct round *x)
{
	int64_t at = r->not_before + (r->not_after - r->not_before) * SHARE / 100;

	return strcmp(r->issuer, x->issuer) || (r->key[0] && at <= a->clock.wall) ||
	       r->not_before > a->clock.wall + 300; /* made while the clock was wrong */
}

/* Of a key in the token: its files may need us at any time. */
static int64_t due_at(const struct hf_agent *a, const struct hf_module_record *r)
{
	return r->key[0] || r->not_after <= a->clock.wall ? a->clock.wall + LOOK_S : r->not_after;
}

/* The disk was full, we were killed, or somebody removed them. */
static bool files_are_right(struct hf_agent *a, const struct hf_module_record *r)
{
	HF_AUTO_BUF file = HF_BUF(sizeof(r->certificate));
	char path[HF_PATH_MAX];

	return !file_of(a, r, ".pem", path, NULL) && !hf_file_read(path, false, &file, NULL) &&
	       file.n && !strcmp((const char *)file.p, r->certificate) &&
	       !file_of(a, r, ".key.pem", path, NULL) && !access(path, F_OK);
}

static EVP_PKEY *key_of(const struct hf_module_record *r, OSSL_LIB_CTX *lib)
{
	BIO *in = BIO_new_mem_buf(r->certificate, -1);
	X509 *cert = X509_new_ex(lib, NULL), *read;
	EVP_PKEY *key;

	read = in && cert ? PEM_read_bio_X509(in, &cert, NULL, NULL) : NULL;
	key = read ? X509_get_pubkey(read) : NULL;
	X509_free(cert);
	BIO_free(in);
	return key;
}

/* For the key that it has: a new certificate, or (@again) the one on record into its files. */
static enum hf_rc issue_for_key(struct hf_agent *a, struct hf_module_record *r, bool again,
				struct hf_err *e)
{
	EVP_PKEY *key = key_of(r, hf_keys_lib(a->keys));
	enum hf_rc rc;

	if (!key)
		return hf_fail(e, HF_CORRUPT, "module %s: its certificate is damaged",
			       r->module.id);
	rc = again ? write_files(a, r, key, e) : hf_modules_issue(a, r, key, e);
	EVP_PKEY_free(key);
	return rc;
}

static void renew_one(struct hf_agent *a, struct hf_module_record *r, void *arg)
{
	struct round *x = arg;
	struct hf_err err = HF_ERR_INIT;
	bool of_ca = strcmp(r->issuer, x->issuer);
	int64_t at;

	if (is_due(a, r, x)) {
		x->of_ca += of_ca;
		x->done += !issue_for_key(a, r, false, &err);
	} else if (r->key[0] && !files_are_right(a, r) && !issue_for_key(a, r, true, &err)) {
		hf_log(HF_LOG_NOTICE,
		       "module %s: the files of %s were not as they should be; they are "
		       "written again",
		       r->module.id, r->key);
	}
	if (err.rc) {
		x->failed++;
		(void)snprintf(x->message, sizeof(x->message), "%.290s", err.msg);
	}
	at = err.rc ? a->clock.wall + RETRY_S : due_at(a, r);
	x->next = at < x->next ? at : x->next;
}

static void add_line(struct hf_agent *a, struct hf_module_record *r, void *arg)
{
	struct round *x = arg;

	(void)a;
	if (strcmp(r->issuer, x->issuer))
		hf_buf_fmt(&x->list, "%s %s %s\n", r->module.server ? "server" : "identity",
			   r->module.id, r->module.server ? r->module.generation : "-");
}

/*
 * Certificates that clients asked for by themselves: what was in the request is not kept, so they
 * are not issued again, but their clients have to ask.
 */
struct others {
	struct hf_agent *a;
	struct round *x;
	const char *name; /* of the CA */
};

static void add_other(const struct hf_stored *s, void *arg)
{
	struct others *o = arg;

	if (s->issuer[0] && strcmp(s->issuer, o->x->issuer) != 0)
		hf_buf_fmt(&o->x->list, "certificate %s -\n", s->id);
}

/* From now on it counts as one of the new CA: it is said once. */
static void tell_other(const struct hf_stored *s, void *arg)
{
	struct others *o = arg;
	struct hf_err err = HF_ERR_INIT;
	struct hf_stored *told;

	if (!s->issuer[0] || !strcmp(s->issuer, o->x->issuer))
		return;
	hf_log(HF_LOG_NOTICE,
	       "certificate \"%s\" is of the %s of before; whoever has it should ask for another",
	       s->id, o->name);
	told = malloc(sizeof(*told));
	if (!told)
		return;
	*told = *s;
	(void)hf_copy(told->issuer, sizeof(told->issuer), o->x->issuer);
	if (hf_certstore_put(o->a->settings->state_dir, told, 0, &err))
		hf_log(HF_LOG_ERR, "certificate \"%s\": %s", s->id, err.msg);
	free(told);
}

/* The same line need not be there twice. */
static bool has_line(const struct hf_buf *all, const char *line, size_t n)
{
	const char *at = (const char *)all->p;

	while (at && *at && strncmp(at, line, n) != 0) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	return at && *at;
}

/*
 * Who has to be told, or started again: for the hook. On the disk before the first is issued, and
 * until the hook is done: a crash between two of them must not make the list shorter. The copy in
 * run_dir is for whoever the hook runs as.
 */
static void write_list(struct hf_agent *a, const struct hf_credential *ca, const struct round *x)
{
	HF_AUTO_BUF all = HF_BUF(LIST_MAX);
	const char *p = (const char *)x->list.p;
	char kept[HF_PATH_MAX], path[HF_PATH_MAX];
	struct hf_err err = HF_ERR_INIT;
	bool due = ca->record.hook_due;

	if (hf_path_join(kept, a->settings->state_dir, "reissued", &err) ||
	    hf_path_join(path, a->settings->run_dir, "modules", &err))
		return;
	if (due && !access(kept, F_OK) && hf_file_read(kept, true, &all, &err))
		hf_log(HF_LOG_ERR, "the list of modules: %s", err.msg);
	for (; p && *p; p += strcspn(p, "\n") + 1)
		if (!has_line(&all, p, strcspn(p, "\n") + 1))
			hf_buf_add(&all, p, strcspn(p, "\n") + 1);
	if (!all.n)
		return;
	if (all.bad || x->list.bad || (due && hf_file_replace(kept, all.p, all.n, 0600, &err)) ||
	    hf_file_replace(path, all.p, all.n, 0644, &err)) {
		hf_log(HF_LOG_ERR, "the list of modules: %s", err.rc ? err.msg : "it is too long");
		return;
	}
	(void)hf_copy(a->module_list, sizeof(a->module_list), path);
}

void hf_modules_told(struct hf_agent *a)
{
	char kept[HF_PATH_MAX];

	a->module_list[0] = '\0';
	if (!hf_path_join(kept, a->settings->state_dir, "reissued", NULL))
		(void)unlink(kept);
}

void hf_modules_look(struct hf_agent *a)
{
	const struct hf_credential *ca = hf_agent_find(a, a->settings->module.issuer);
	struct round x = { .next = HF_NEVER, .list = HF_BUF(LIST_MAX) };
	struct others others = { a, &x, a->settings->module.issuer };

	if (!ca || !ca->held.leaf || !a->clock.trusted || ca->trouble[0])
		return;
	if (a->store_next <= a->clock.wall) {
		a->store_next = a->clock.wall + DAY_S;
		(void)hf_certstore_collect(a->settings->state_dir, hf_clock_ended(&a->clock));
	}
	(void)hf_hex(x.issuer, sizeof(x.issuer), ca->held.sha256, 32);
	if (!strcmp(x.issuer, a->modules_issuer) && a->clock.wall < a->modules_next)
		return;
	if (strcmp(x.issuer, a->modules_issuer)) {
		(void)hf_modules_each(a, add_line, &x);
		hf_certstore_each(a->settings->state_dir, add_other, &others);
		write_list(a, ca, &x);
		hf_certstore_each(a->settings->state_dir, tell_other, &others);
	}
	a->modules_n = hf_modules_each(a, renew_one, &x);
	(void)hf_copy(a->modules_issuer, sizeof(a->modules_issuer), x.issuer);
	a->modules_next = x.next;
	a->changed = a->changed || a->modules_failed != x.failed;
	a->modules_failed = x.failed;
	(void)hf_copy(a->modules_error, sizeof(a->modules_error), x.message);
	if (x.of_ca)
		hf_log(HF_LOG_NOTICE,
		       "modules: %s has changed; %zu certificates of modules were issued again, "
		       "%zu could not be",
		       ca->conf->id, x.done, x.failed);
	if (x.failed)
		hf_log(HF_LOG_ERR,
		       "modules: %zu certificates could not be issued; again in %d s: %s", x.failed,
		       RETRY_S, x.message);
	hf_buf_finish(&x.list);
}
