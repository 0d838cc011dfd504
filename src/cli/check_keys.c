/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of keys: left over, not only in the token, still lying about in files. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/file.h"
#include "cli/certview.h"
#include "cli/check.h"
#include "cli/keyjson.h"
#include "cli/output.h"
#include "cli/softkey.h"
#include "reference.h"

#define FILES_MAX 4096u
#define STAGED_S  3600 /* no renewal takes longer to get its certificate, unless it waits */

static time_t time_of(json_object *o, const char *member)
{
	struct tm tm;

	memset(&tm, 0, sizeof(tm));
	return strptime(hf_out_get(o, member), "%Y-%m-%dT%H:%M:%SZ", &tm) ? timegm(&tm) : 0;
}

static json_object *generations(json_object *key)
{
	json_object *list = hf_inventory_at(key, "generations");

	return json_object_is_type(list, json_type_array) ? list : NULL;
}

/* Does the agent wait for a certificate for it? */
static bool under_way(const struct hf_checkup *k, const char *name)
{
	size_t i;

	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];
		const char *state = hf_inventory_text(v->status, "state");

		if (!strcmp(hf_inventory_text(v->status, "key"), name) &&
		    (!strcmp(state, "pending") || !strcmp(state, "renewing") ||
		     !strcmp(state, "held") || hf_inventory_number(v->status, "attempts")))
			return true;
	}
	return false;
}

static void orphans(struct hf_checkup *k, const char *arg)
{
	int64_t aside = hf_inventory_number(k->broker, "set_aside");
	size_t i, j;

	(void)arg;
	if (!hf_check_needs_broker(k))
		return;
	if (aside)
		hf_check_say(k, HF_CHECK_WARNING,
			     "%lld damaged or unfinished files of keys were set aside in "
			     "%s/set-aside: see 'journalctl -u holdfastd'",
			     (long long)aside, k->cli->paths.state);
	for (i = 0; i < json_object_array_length(k->keys); i++) {
		json_object *key = json_object_array_get_idx(k->keys, i), *list = generations(key);
		const char *name = hf_out_get(key, "name");

		for (j = 0; list && j < json_object_array_length(list); j++) {
			json_object *g = json_object_array_get_idx(list, j);

			if (!strcmp(hf_out_get(g, "state"), "staged") && !under_way(k, name) &&
			    time_of(g, "created") < k->now - STAGED_S)
				hf_check_say(
					k, HF_CHECK_WARNING,
					"key %s has a generation %.16s... that was made %s and "
					"never got a certificate; a running agent collects it",
					name, hf_out_get(g, "sha256"), hf_out_get(g, "created"));
		}
	}
}

static void origins(struct hf_checkup *k, const char *arg)
{
	size_t i, j;

	(void)arg;
	if (!hf_check_needs_broker(k))
		return;
	for (i = 0; i < json_object_array_length(k->keys); i++) {
		json_object *key = json_object_array_get_idx(k->keys, i), *list = generations(key);
		const char *name = hf_out_get(key, "name");

		if (hf_inventory_true(key, "exported"))
			hf_check_say(k, HF_CHECK_WARNING,
				     "the file of key %s is, or was, outside: who has it, and the "
				     "token, uses the key past all rules. 'holdfast key rotate %s' "
				     "makes a new one",
				     name, name);
		for (j = 0; list && j < json_object_array_length(list); j++)
			if (hf_inventory_true(json_object_array_get_idx(list, j), "imported")) {
				hf_check_say(k, HF_CHECK_WARNING,
					     "key %s was in software before, so there may be "
					     "copies. 'holdfast key rotate %s' makes a new one, "
					     "which needs a new certificate",
					     name, name);
				break;
			}
	}
}

/* ---------------------------------------------------------------- keys in files */

/* The key in a token that has this public half, or NULL. */
static const char *in_token(const struct hf_checkup *k, EVP_PKEY *key)
{
	unsigned char *der = NULL, hash[32];
	int n = i2d_PUBKEY(key, &der);
	char hex[65] = "";

	if (n > 0 && EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)n, hash, NULL) == 1)
		hf_hex(hex, sizeof(hex), hash, sizeof(hash));
	OPENSSL_free(der);
	return hf_keyjson_holder(k->keys, hex);
}

static void look_at(struct hf_checkup *k, const char *path)
{
	HF_AUTO_BUF file = HF_BUF(HF_SOFTKEY_MAX);
	struct hf_err ignored = HF_ERR_INIT;
	const char *name;
	EVP_PKEY *key;

	if (hf_file_read(path, true, &file, &ignored) || file.n < 16)
		return;
	if (memmem(file.p, file.n, "-----BEGIN ENCRYPTED PRIVATE KEY-----", 37)) {
		hf_check_say(
			k, HF_CHECK_WARNING,
			"%s is a private key in software, encrypted: 'holdfast convert' puts it "
			"into a token",
			path);
		return;
	}
	key = hf_softkey_glance(&file);
	name = key ? in_token(k, key) : NULL;
	if (name)
		hf_check_say(
			k, HF_CHECK_ERROR,
			"%s still has the private key of %s, which is in a token now: when all "
			"works, delete it, and its backups",
			path, name);
	else if (key)
		hf_check_say(k, HF_CHECK_WARNING,
			     "%s is a private key in software: 'holdfast key import ID %s' puts it "
			     "into a token",
			     path, path);
	EVP_PKEY_free(key);
}

static void look_into(struct hf_checkup *k, const char *dir,
		      void (*look)(struct hf_checkup *k, const char *path))
{
	struct hf_err ignored = HF_ERR_INIT;
	DIR *list = opendir(dir);
	const struct dirent *d;
	char path[HF_PATH_MAX];
	unsigned n = 0;

	while (list && n++ < FILES_MAX && (d = readdir(list)))
		if (d->d_name[0] != '.' && !hf_path_join(path, dir, d->d_name, &ignored))
			look(k, path);
	if (list)
		(void)closedir(list);
}

/* Of the original's daemons, and (the last one) where files of certificates are. */
static const struct {
	const char *system, *below;
} key_dirs[] = { { "/var/aziot/secrets", "secrets" },
		 { "/var/lib/aziot/keyd/keys", "keyd/keys" },
		 { "/var/aziot/certs", "certs" } };

static void key_dir(const struct hf_checkup *k, size_t i, char out[HF_PATH_MAX])
{
	struct hf_err ignored = HF_ERR_INIT;

	(void)hf_copy(out, HF_PATH_MAX, key_dirs[i].system);
	if (k->cli->root[0])
		(void)hf_path_join(out, k->cli->root, key_dirs[i].below, &ignored);
}

/* A file that the configuration names, unless it is in a directory that is looked through. */
static void look_at_named(struct hf_checkup *k, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[HF_PATH_MAX];
	size_t i;

	if (!slash)
		return;
	for (i = 0; i < HF_COUNT(key_dirs); i++) {
		key_dir(k, i, dir);
		if (strlen(dir) == (size_t)(slash - path) && !strncmp(dir, path, strlen(dir)))
			return;
	}
	look_at(k, path);
}

static void look_at_uri(struct hf_checkup *k, const char *uri)
{
	if (!strncmp(uri, "file:///", 8))
		look_at_named(k, uri + 7);
}

static void software_keys(struct hf_checkup *k, const char *arg)
{
	const struct hf_node *named = hf_node_get(k->config.root, "preloaded_keys"), *n;
	char dir[HF_PATH_MAX];
	size_t i;

	(void)arg;
	for (i = 0; i < HF_COUNT(key_dirs); i++) {
		key_dir(k, i, dir);
		look_into(k, dir, look_at);
	}
	for (i = 0; i < k->inventory.n; i++) {
		look_at_uri(k, hf_inventory_text(k->inventory.list[i].conf, "key.uri"));
		look_at_named(k, k->inventory.list[i].file);
	}
	for (n = named ? named->children : NULL; n; n = n->next)
		if (n->kind == HF_NODE_STRING)
			look_at_uri(k, n->text);
}

/* ---------------------------------------------------------------- key references */

/* The block may stand behind certificates. */
static enum hf_rc find_reference(const struct hf_buf *file, struct hf_err *e)
{
	BIO *bio = BIO_new_mem_buf(file->p, (int)file->n);
	char *name = NULL, *header = NULL;
	struct hf_reference ref;
	unsigned char *der = NULL;
	long n;
	enum hf_rc rc = hf_fail(e, HF_CORRUPT, "it is cut off, or something else");

	while (rc && bio && PEM_read_bio(bio, &name, &header, &der, &n) == 1) {
		if (!strcmp(name, HF_REFERENCE_PEM))
			rc = hf_reference_decode(der, (size_t)n, &ref, e);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(der);
	}
	BIO_free(bio);
	ERR_clear_error();
	return rc;
}

/* OpenSSL tells nobody why a decoder passed a file by: that is found here or nowhere. */
static void look_at_reference(struct hf_checkup *k, const char *path)
{
	static const char end[] = ".key.pem";
	HF_AUTO_BUF file = HF_BUF(HF_SOFTKEY_MAX);
	struct hf_err why = HF_ERR_INIT;
	size_t n = strlen(path);

	if (n < sizeof(end) || strcmp(path + n - (sizeof(end) - 1), end) != 0 ||
	    hf_file_read(path, true, &file, &why))
		return;
	if (file.n && memmem(file.p, file.n, "PRIVATE KEY-----", 16))
		return; /* not ours; see software-keys */
	if (!find_reference(&file, &why))
		return;
	hf_check_say(
		k, HF_CHECK_ERROR,
		"%s is no key reference that can be read (%s), which programs call "
		"unsupported: 'holdfast key reference ID --cert CERTIFICATE --out %s' makes it "
		"anew",
		path, why.msg, path);
}

static void references(struct hf_checkup *k, const char *arg)
{
	char dir[HF_PATH_MAX];
	size_t i, n;

	(void)arg;
	key_dir(k, HF_COUNT(key_dirs) - 1, dir);
	look_into(k, dir, look_at_reference);
	n = strlen(dir);
	for (i = 0; i < k->inventory.n; i++) {
		const char *path = hf_inventory_text(k->inventory.list[i].conf, "reference");

		if (strncmp(path, dir, n) || path[n] != '/') /* an administrator's own place */
			look_at_reference(k, path);
	}
}

const struct hf_check hf_checks_keys[] = {
	{ "key-orphans", "no generation of a key is left over", orphans, NULL },
	{ "key-origins", "keys have never been outside of their tokens", origins, NULL },
	{ "key-references", "what stands for a key can be read", references, NULL },
	{ "software-keys", "no private key is left in a file", software_keys, NULL },
	{ NULL, NULL, NULL, NULL },
};
