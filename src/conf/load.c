/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/load.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/schema.h"
#include "conf/toml.h"

/* Whoever may write it decides who may use which key. */
static void check_writers(const char *path, struct hf_problems *p)
{
	struct stat st;

	if (stat(path, &st))
		return;
	if (st.st_mode & 022)
		hf_problem_at(p, HF_PROBLEM_WARNING, path, 0,
			      "may be written by others than its owner (mode %04o): chmod go-w it",
			      (unsigned)st.st_mode & 07777);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		hf_problem_at(p, HF_PROBLEM_WARNING, path, 0,
			      "belongs to uid %u, who thereby decides about keys: chown it to root",
			      (unsigned)st.st_uid);
}

/* Its line; 0: there is none. The tree is bounded in depth. */
static unsigned find_secret(const struct hf_node *n)
{
	static const char *const keys[] = { "password", "value", "connection_string" };
	const struct hf_node *child;
	unsigned line;
	size_t i;

	if (n->kind == HF_NODE_STRING && strstr(n->text, "pin-value="))
		return n->line;
	for (i = 0; n->kind == HF_NODE_STRING && n->key && i < HF_COUNT(keys); i++)
		if (!strcmp(n->key, keys[i]))
			return n->line;
	for (child = n->children; child; child = child->next)
		if ((line = find_secret(child)))
			return line;
	return 0;
}

static void check_readers(const char *path, const struct hf_node *tree, struct hf_problems *p)
{
	unsigned line = find_secret(tree);
	struct stat st;

	if (line && !stat(path, &st) && (st.st_mode & 044))
		hf_problem_at(p, HF_PROBLEM_WARNING, path, line,
			      "there is a secret here, and others may read the file (mode %04o): "
			      "chmod 600 it",
			      (unsigned)st.st_mode & 07777);
}

static bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && !strcmp(text + n - m, end);
}

/* Until IoT Edge 1.1 it was YAML: by its name, or by what nobody writes in TOML. */
static bool is_yaml(const char *path, const struct hf_buf *text)
{
	const char *p = text->p ? (const char *)text->p : "";

	return ends_in(path, ".yaml") || ends_in(path, ".yml") ||
	       !strncmp(p, "provisioning:", 13) || strstr(p, "\nprovisioning:");
}

static void say_yaml(const char *path, struct hf_problems *p)
{
	hf_problem_at(
		p, HF_PROBLEM_ERROR, path, 0,
		"this is a config.yaml of IoT Edge 1.1 or older; 'iotedge config import' makes "
		"/etc/aziot/config.toml of it. Without IoT Edge: 'holdfast config init' writes "
		"a config.toml to begin with, with what the old file says to be written anew");
}

static enum hf_rc read_one(struct hf_config *c, const char *path, struct hf_problems *p,
			   struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(HF_CONFIG_FILE_MAX);
	struct hf_node *tree;
	char *name;
	enum hf_rc rc;

	if (c->n_files == HF_CONFIG_FILES_MAX)
		return hf_fail(e, HF_ARGUMENT, "%s: more than %d configuration files", path,
			       HF_CONFIG_FILES_MAX);
	name = strdup(path);
	if (!name)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	c->files[c->n_files++] = name;
	rc = hf_file_read(path, false, &text, e);
	if (rc)
		return rc;
	check_writers(name, p);
	if (is_yaml(path, &text)) {
		say_yaml(name, p);
		return HF_OK;
	}
	tree = hf_toml_parse(text.p ? (const char *)text.p : "", text.n, name, p);
	if (!tree)
		return HF_OK; /* said in @p */
	check_readers(name, tree, p);
	/* Before merging: a value that a drop-in replaces may be wrong as well. */
	hf_conf_check(tree, p);
	hf_node_merge(c->root, tree);
	return HF_OK;
}

static int is_drop_in(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 5 && !strcmp(d->d_name + n - 5, ".toml");
}

/* Not alphasort(): the order must not depend on the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static enum hf_rc read_drop_ins(struct hf_config *c, const char *dir, struct hf_problems *p,
				struct hf_err *e)
{
	struct dirent **names = NULL;
	char path[HF_PATH_MAX];
	enum hf_rc rc = HF_OK;
	int n, i;

	n = scandir(dir, &names, is_drop_in, by_name);
	if (n < 0)
		return errno == ENOENT ? HF_OK : hf_fail_errno(e, HF_IO, "%s", dir);
	for (i = 0; i < n; i++) {
		if (!rc)
			rc = hf_path_join(path, dir, names[i]->d_name, e);
		if (!rc)
			rc = read_one(c, path, p, e);
		free(names[i]);
	}
	free(names);
	return rc;
}

enum hf_rc hf_config_load(struct hf_config *c, const struct hf_paths *paths, const char *file,
			  struct hf_problems *p, struct hf_err *e)
{
	enum hf_rc rc = HF_OK;

	memset(c, 0, sizeof(*c));
	c->root = hf_node_new(HF_NODE_TABLE, NULL, NULL, NULL, 0);
	if (!c->root)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	if (file)
		rc = read_one(c, file, p, e);
	else if (!access(paths->config, F_OK) || errno != ENOENT)
		rc = read_one(c, paths->config, p, e);
	else if (!access(paths->legacy, F_OK))
		say_yaml(paths->legacy, p);
	else
		hf_problem_at(p, HF_PROBLEM_NOTE, paths->config, 0,
			      "there is no such file: everything has its default");
	if (!rc)
		rc = read_drop_ins(c, paths->config_dir, p, e);
	return rc;
}

void hf_config_finish(struct hf_config *c)
{
	size_t i;

	hf_node_free(c->root);
	c->root = NULL;
	for (i = 0; i < c->n_files; i++)
		free(c->files[i]);
	c->n_files = 0;
}
