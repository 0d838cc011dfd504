/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of owners and permissions, which --fix puts right. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/access.h"
#include "cli/check.h"

#define FILES_MAX 4096u /* in a directory that is looked through */

enum owner { OWNER_CERTS, OWNER_KEYS, OWNER_ROOT };

static const char *const owners[] = { HF_CERTS_USER, HF_KEYS_USER, "root" };

/* The table of the article "Manage IoT Edge certificates", and our own directories. */
static const struct {
	const char *system, *below;
	enum owner owner;
	mode_t mode;
	const char *files; /* what the files in it are: "certificates", "secrets"; NULL: not ours */
	mode_t file_mode;
} places[] = {
	{ "/var/aziot/certs", "certs", OWNER_CERTS, 0755, "certificate", 0644 },
	{ "/var/aziot/secrets", "secrets", OWNER_KEYS, 0700, "secret", 0600 },
	{ "/var/lib/holdfast", "state", OWNER_KEYS, 0700, NULL, 0 },
	{ "/var/lib/holdfast-agent", "agent", OWNER_CERTS, 0700, NULL, 0 },
	{ "/etc/holdfast", "etc", OWNER_ROOT, 0755, NULL, 0 },
};

/* Where the configuration says that it is, else where it usually is. */
static bool path_of(const struct hf_checkup *k, size_t i, char out[HF_PATH_MAX])
{
	struct hf_err ignored = HF_ERR_INIT;
	const char *set = "";

	if (!strcmp(places[i].below, "certs"))
		set = hf_inventory_text(k->inventory.agent, "certs_dir");
	else if (!strcmp(places[i].below, "agent"))
		set = hf_inventory_text(k->inventory.agent, "state_dir");
	else if (!strcmp(places[i].below, "state"))
		set = hf_inventory_text(k->made.holdfastd, "state_dir");
	if (set[0])
		return hf_copy(out, HF_PATH_MAX, set);
	if (k->cli->root[0])
		return !hf_path_join(out, k->cli->root, places[i].below, &ignored);
	return hf_copy(out, HF_PATH_MAX, places[i].system);
}

static bool find_owner(struct hf_checkup *k, enum owner owner, struct hf_user *u)
{
	hf_user_find(u, owners[owner], !k->cli->root[0]);
	if (!u->found)
		hf_check_say(k, HF_CHECK_ERROR,
			     "there is no user %s: install the package, or run systemd-sysusers",
			     u->name);
	return u->found;
}

/*
 * Puts owner and mode right, of a file or directory that is open. Never through a symbolic link:
 * in a directory of another user that would be a way to own any file.
 */
static void mend(struct hf_checkup *k, int at, const char *name, const char *shown,
		 const struct stat *st, const struct hf_user *u, mode_t mode)
{
	HF_AUTO_FD fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat now;

	if (fd < 0 || fstat(fd, &now) || now.st_ino != st->st_ino || now.st_dev != st->st_dev ||
	    (S_ISREG(now.st_mode) && now.st_nlink > 1))
		hf_check_say(k, HF_CHECK_ERROR, "%s is not touched: it is a link, or has changed",
			     shown);
	else if (st->st_uid != u->uid && fchown(fd, u->uid, u->gid))
		hf_check_say(k, HF_CHECK_ERROR, "%s cannot be given to %s: %s", shown, u->name,
			     strerror(errno));
	else if (fchmod(fd, mode))
		hf_check_say(k, HF_CHECK_ERROR, "the permissions of %s cannot be set: %s", shown,
			     strerror(errno));
	else
		hf_check_fixed(k, "%s now belongs to %s, with permissions %03o", shown, u->name,
			       (unsigned)mode);
}

/* A stricter mode is as good, as long as the owner may do what he has to. */
static bool mode_fits(mode_t have, mode_t want)
{
	have &= 07777;
	return !(have & ~want) && (have & 0700) == (want & 0700) &&
	       ((want & 05) == 0 || (have & 055) == (want & 055));
}

static void judge(struct hf_checkup *k, int at, const char *name, const char *shown,
		  const struct stat *st, const struct hf_user *u, mode_t mode)
{
	bool owner = st->st_uid == u->uid;
	/* who may write where others read can exchange what they read; who may read a secret
	   has it */
	bool grave = !owner || (st->st_mode & 022) || ((st->st_mode & 07) & ~mode);

	if (owner && mode_fits(st->st_mode, mode))
		return;
	if (k->fix) {
		mend(k, at, name, shown, st, u, mode);
		return;
	}
	hf_check_say(k, grave ? HF_CHECK_ERROR : HF_CHECK_WARNING,
		     "%s belongs to uid %u and has permissions %03o; it should be %s and %03o: "
		     "'holdfast check --fix' puts it right",
		     shown, (unsigned)st->st_uid, (unsigned)st->st_mode & 07777, u->name,
		     (unsigned)mode);
}

static void make_dir(struct hf_checkup *k, const char *path, const struct hf_user *u, mode_t mode)
{
	struct hf_err e = HF_ERR_INIT;

	if (hf_dir_make(path, mode, &e))
		hf_check_say(k, HF_CHECK_ERROR, "%s", e.msg);
	else if (chmod(path, mode) || (geteuid() != u->uid && chown(path, u->uid, u->gid)))
		hf_check_say(k, HF_CHECK_ERROR, "%s: %s", path, strerror(errno));
	else
		hf_check_fixed(k, "%s is made", path);
}

static void directories(struct hf_checkup *k, const char *arg)
{
	char path[HF_PATH_MAX];
	struct hf_user u;
	struct stat st;
	size_t i;

	(void)arg;
	for (i = 0; i < HF_COUNT(places); i++) {
		if (!path_of(k, i, path) || !find_owner(k, places[i].owner, &u))
			continue;
		if (!lstat(path, &st) && S_ISDIR(st.st_mode))
			judge(k, AT_FDCWD, path, path, &st, &u, places[i].mode);
		else if (!lstat(path, &st))
			hf_check_say(k, HF_CHECK_ERROR, "%s is no directory: move it away", path);
		else if (k->fix)
			make_dir(k, path, &u, places[i].mode);
		else
			hf_check_say(k, HF_CHECK_ERROR,
				     "there is no directory %s: 'holdfast check --fix' makes it",
				     path);
	}
}

/* A [[credential]] may have an owner and permissions of its own, its key reference as well. */
static const struct hf_credview *credential_of(const struct hf_checkup *k, const char *path)
{
	size_t i;

	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		if (v->conf && (!strcmp(v->file, path) ||
				!strcmp(hf_inventory_text(v->conf, "reference"), path)))
			return v;
	}
	return NULL;
}

static void judge_file(struct hf_checkup *k, int at, const char *name, const char *shown,
		       const struct stat *st, const struct hf_user *u, mode_t mode)
{
	const struct hf_credview *v = credential_of(k, shown);
	const char *owner = v ? hf_inventory_text(v->conf, "owner") : "";
	struct hf_user own;

	if (v && hf_inventory_number(v->conf, "mode") > 0)
		mode = (mode_t)hf_inventory_number(v->conf, "mode") & 0777;
	if (!owner[0]) {
		judge(k, at, name, shown, st, u, mode);
		return;
	}
	hf_user_find(&own, owner, !k->cli->root[0]);
	if (own.found)
		judge(k, at, name, shown, st, &own, mode);
	else
		hf_check_say(k, HF_CHECK_ERROR, "%s: there is no user %s, who is to own %s", v->id,
			     owner, shown);
}

/* Certificates that the agent writes to other directories. */
static void files_elsewhere(struct hf_checkup *k, const char *dir, const struct hf_user *u)
{
	struct hf_err ignored = HF_ERR_INIT;
	size_t i, n = strlen(dir);
	bool fix = k->fix;
	struct stat st;

	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];
		bool inside = !strncmp(v->file, dir, n) && v->file[n] == '/' &&
			      !strchr(v->file + n + 1, '/');

		if (!v->conf || !v->file[0] || inside ||
		    !strcmp(hf_inventory_text(v->conf, "method"), "files") || lstat(v->file, &st) ||
		    !S_ISREG(st.st_mode))
			continue;
		/* Where others may exchange a directory on the way, nothing is changed. */
		k->fix = fix && !hf_path_trusted(v->file, &ignored);
		judge_file(k, AT_FDCWD, v->file, v->file, &st, u, 0644);
		k->fix = fix;
	}
}

static void each_file(struct hf_checkup *k, const char *dir, const struct hf_user *u, mode_t mode)
{
	char shown[HF_PATH_MAX];
	struct hf_err ignored = HF_ERR_INIT;
	const struct dirent *d;
	DIR *list = opendir(dir);
	unsigned n = 0;
	struct stat st;

	if (!list) {
		hf_check_say(k, HF_CHECK_SKIPPED, "%s: %s", dir, strerror(errno));
		return;
	}
	while ((d = readdir(list)) && n++ < FILES_MAX) {
		if (fstatat(dirfd(list), d->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    !S_ISREG(st.st_mode) || hf_path_join(shown, dir, d->d_name, &ignored))
			continue;
		judge_file(k, dirfd(list), d->d_name, shown, &st, u, mode);
	}
	(void)closedir(list);
}

static void files_in(struct hf_checkup *k, const char *kind)
{
	char path[HF_PATH_MAX];
	struct hf_user u;
	size_t i;

	for (i = 0; i < HF_COUNT(places); i++)
		if (places[i].files && !strcmp(places[i].files, kind) && path_of(k, i, path) &&
		    find_owner(k, places[i].owner, &u)) {
			each_file(k, path, &u, places[i].file_mode);
			if (places[i].owner == OWNER_CERTS)
				files_elsewhere(k, path, &u);
		}
}

/* ---------------------------------------------------------------- secrets */

static void private_file(struct hf_checkup *k, const char *path, const char *what)
{
	struct stat st;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return;
	if (st.st_mode & 07)
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s has %s in it, and everybody may read or change it: say 'chmod o= "
			     "%s', and change the secret",
			     path, what, path);
	else if (st.st_mode & 020)
		hf_check_say(k, HF_CHECK_WARNING,
			     "%s has %s in it, and its group may change it: say 'chmod g-w %s'",
			     path, what, path);
}

static void credential_secrets(struct hf_checkup *k)
{
	size_t i;

	for (i = 0; i < k->inventory.n; i++) {
		json_object *conf = k->inventory.list[i].conf;
		const char *password = hf_inventory_text(conf, "est.password_file");
		const char *token = hf_inventory_text(conf, "est.token_file");

		if (password[0])
			private_file(k, password, "the password of an EST server");
		if (token[0])
			private_file(k, token, "the bearer token of an EST server");
	}
}

static void pins(struct hf_checkup *k, const char *dir)
{
	char path[HF_PATH_MAX];
	struct hf_err ignored = HF_ERR_INIT;
	const struct dirent *d;
	DIR *list = opendir(dir);
	size_t n;

	while (list && (d = readdir(list))) {
		n = strlen(d->d_name);
		if (n > 4 && !strcmp(d->d_name + n - 4, ".pin") &&
		    !hf_path_join(path, dir, d->d_name, &ignored))
			private_file(k, path, "a PIN");
	}
	if (list)
		(void)closedir(list);
}

static bool is_secret(const struct hf_node *n)
{
	static const char *const keys[] = { "password", "pin", "connection_string", "symmetric_key",
					    "device_id_pk" };
	size_t i;

	if (n->kind == HF_NODE_STRING &&
	    (strstr(n->text, "pin-value=") || strstr(n->text, "SharedAccessKey=")))
		return true;
	for (i = 0; n->key && i < HF_COUNT(keys); i++)
		if (!strcmp(n->key, keys[i]))
			return true;
	return false;
}

/* The first secret of each file is enough; @last is the file that was named before. */
static void config_secrets(struct hf_checkup *k, const struct hf_node *n, const char **last)
{
	const struct hf_node *child;

	for (child = n ? n->children : NULL; child; child = child->next) {
		if (is_secret(child) && child->file != *last) {
			*last = child->file;
			private_file(k, child->file, "a secret");
		}
		config_secrets(k, child, last);
	}
}

static void secrets(struct hf_checkup *k, const char *arg)
{
	const char *last = NULL;
	char dir[HF_PATH_MAX];

	(void)arg;
	config_secrets(k, k->config.root, &last);
	private_file(k, k->inventory.agent_path, "passwords of EST servers, or may have them,");
	(void)hf_copy(dir, sizeof(dir), k->cli->paths.daemon_file);
	*strrchr(dir, '/') = '\0';
	pins(k, dir);
	credential_secrets(k);
}

/* ---------------------------------------------------------------- readable */

static void readable(struct hf_checkup *k, const struct hf_user *u, const char *path,
		     const char *what)
{
	char why[HF_PATH_MAX];

	if (!path[0] || hf_user_can_read(u, path, why))
		return;
	if (access(path, F_OK) && errno == ENOENT)
		hf_check_say(k, HF_CHECK_ERROR, "%s: there is no file %s", what, path);
	else
		hf_check_say(k, HF_CHECK_ERROR,
			     "%s: %s cannot be read by %s, who has to: look at the permissions of "
			     "%s",
			     what, path, u->name, why);
}

static void agent_reads(struct hf_checkup *k, const char *arg)
{
	json_object *files;
	struct hf_user u;
	size_t i, j;

	(void)arg;
	if (!hf_check_needs_agent(k) || !find_owner(k, OWNER_CERTS, &u))
		return;
	readable(k, &u, hf_inventory_text(k->inventory.agent, "bundle.user_file"),
		 "trust_bundle_cert");
	for (i = 0; i < k->inventory.n; i++) {
		const struct hf_credview *v = &k->inventory.list[i];

		if (!strcmp(hf_inventory_text(v->conf, "method"), "files") || v->certs)
			readable(k, &u, v->file, v->id);
		readable(k, &u, hf_inventory_text(v->conf, "est.password_file"), v->id);
		readable(k, &u, hf_inventory_text(v->conf, "est.token_file"), v->id);
		files = hf_inventory_at(v->conf, "est.trust.files");
		for (j = 0; json_object_is_type(files, json_type_array) &&
			    j < json_object_array_length(files);
		     j++)
			readable(k, &u, json_object_get_string(json_object_array_get_idx(files, j)),
				 v->id);
	}
}

const struct hf_check hf_checks_files[] = {
	{ "directories", "directories have the right owners and permissions", directories, NULL },
	{ "certificate-files", "certificate files have the right owners and permissions", files_in,
	  "certificate" },
	{ "secret-files", "files of secrets have the right owners and permissions", files_in,
	  "secret" },
	{ "secrets-private", "nobody else can read or change configured secrets", secrets, NULL },
	{ "files-readable", "the agent can read the files that the configuration names",
	  agent_reads, NULL },
	{ NULL, NULL, NULL, NULL },
};
