/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast config check, apply. */
#include <errno.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/output.h"
#include "conf/daemonfile.h"
#include "conf/load.h"

static const char *const severities[] = { "error", "warning", "note" };

/* Everything found becomes result.problems; the errors also go to stderr, one a line. */
static void publish(struct hf_cli *c, const struct hf_problems *p)
{
	bool notes = !strcmp(c->command->verb, "check"); /* whoever applies knows them */
	json_object *list = json_object_new_array();
	char text[800];
	size_t i;

	for (i = 0; i < p->n; i++) {
		const struct hf_problem *one = &p->list[i];
		json_object *o = json_object_new_object();

		hf_out_text(o, "severity", severities[one->severity]);
		hf_out_text(o, "file", one->file);
		hf_out_number(o, "line", one->line);
		hf_out_text(o, "message", one->text);
		json_object_array_add(list, o);
		if (!c->json && (notes || one->severity != HF_PROBLEM_NOTE))
			(void)fprintf(stderr, "%s: %s\n", severities[one->severity],
				      hf_problem_text(one, text, sizeof(text)));
	}
	if (p->more)
		(void)fprintf(stderr, "and %zu more\n", p->more);
	json_object_object_add(c->result, "problems", list);
}

/* Reads and checks all there is; *@out is holdfastd.json. */
static enum hf_rc prepare(struct hf_cli *c, json_object **out, struct hf_err *e)
{
	struct hf_problems problems;
	struct hf_config config;
	json_object *files;
	enum hf_rc rc;
	size_t i;

	memset(&problems, 0, sizeof(problems));
	*out = NULL;
	rc = hf_config_load(&config, &c->paths, hf_cli_option(c, "config"), &problems, e);
	if (!rc) {
		*out = hf_daemonfile_make(config.root, &c->paths, &problems);
		files = json_object_new_array();
		for (i = 0; i < config.n_files; i++)
			json_object_array_add(files, json_object_new_string(config.files[i]));
		json_object_object_add(c->result, "files", files);
	}
	hf_problem_sort(&problems);
	publish(c, &problems);
	if (!rc && problems.errors)
		rc = hf_fail(e, HF_ARGUMENT,
			     "the configuration has %zu error%s; nothing was changed",
			     problems.errors, problems.errors == 1 ? "" : "s");
	hf_config_finish(&config);
	return rc;
}

enum hf_rc hf_config_run_check(struct hf_cli *c, struct hf_err *e)
{
	json_object *json;
	enum hf_rc rc = prepare(c, &json, e);

	if (!rc)
		json_object_object_add(c->result, "holdfastd", json);
	return rc;
}

void hf_config_check_show(const struct hf_cli *c)
{
	json_object *files = json_object_object_get(c->result, "files");
	size_t i, n = json_object_array_length(files);

	for (i = 0; i < n; i++)
		printf("%s: good\n", json_object_get_string(json_object_array_get_idx(files, i)));
	if (!n)
		printf("no configuration files: defaults\n");
}

/* ---------------------------------------------------------------- apply */

/* The owner of holdfastd.json: the daemon's user, if it is the system's and we can say so. */
static enum hf_rc find_owner(const struct hf_cli *c, uid_t *uid, gid_t *gid, struct hf_err *e)
{
	const struct passwd *pw;

	*uid = (uid_t)-1;
	*gid = (gid_t)-1;
	if (!c->paths.system || geteuid() != 0)
		return HF_OK;
	pw = getpwnam(HF_KEYS_USER);
	if (!pw)
		return hf_fail(
			e, HF_FAILED,
			"there is no user " HF_KEYS_USER
			", who runs holdfastd; install the package, or run systemd-sysusers");
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return HF_OK;
}

/* Is @path already what we would write? Then the daemon need not be disturbed. */
static bool unchanged(const char *path, const char *text, size_t n, uid_t uid)
{
	HF_AUTO_BUF old = HF_BUF(4u << 20);
	struct hf_err ignored = HF_ERR_INIT;
	struct stat st;

	if (lstat(path, &st) || !S_ISREG(st.st_mode) || (st.st_mode & 07777) != 0600 ||
	    st.st_uid != (uid == (uid_t)-1 ? geteuid() : uid))
		return false;
	return !hf_file_read(path, true, &old, &ignored) && old.n == n && !memcmp(old.p, text, n);
}

static enum hf_rc install(struct hf_cli *c, json_object *json, bool *changed, struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(4u << 20);
	char dir[HF_PATH_MAX];
	uid_t uid;
	gid_t gid;
	enum hf_rc rc;

	hf_buf_str(&text, json_object_to_json_string_ext(
				  json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						JSON_C_TO_STRING_NOSLASHESCAPE));
	hf_buf_str(&text, "\n");
	if (text.bad)
		return hf_fail(e, HF_ARGUMENT, "the configuration is too large");
	rc = find_owner(c, &uid, &gid, e);
	if (rc)
		return rc;
	*changed = !unchanged(c->paths.daemon_file, (const char *)text.p, text.n, uid);
	if (!*changed)
		return HF_OK;
	(void)hf_copy(dir, sizeof(dir), c->paths.daemon_file);
	*strrchr(dir, '/') = '\0';
	rc = hf_dir_make(dir, 0755, e);
	if (!rc)
		rc = hf_file_replace_as(c->paths.daemon_file, text.p, text.n, 0600, uid, gid, e);
	if (rc && c->paths.system && geteuid() != 0)
		return hf_within(e, "'config apply' has to be run as root");
	return rc;
}

/* systemctl, with nothing of our environment. HF_FAILED if it is not content. */
static enum hf_rc reload(struct hf_err *e)
{
	static char name[] = "systemctl", verb[] = "try-reload-or-restart",
		    unit[] = "holdfastd.service";
	char *argv[] = { name, verb, unit, NULL }, *none[] = { NULL };
	int status, failed;
	pid_t pid;

	failed = posix_spawn(&pid, "/usr/bin/systemctl", NULL, NULL, argv, none);
	if (failed) {
		errno = failed;
		return hf_fail_errno(e, HF_FAILED, "/usr/bin/systemctl");
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return hf_fail_errno(e, HF_FAILED, "systemctl");
	if (status)
		return hf_fail(e, HF_FAILED,
			       "the configuration is written, but holdfastd did not take it: "
			       "see 'journalctl -u holdfastd'");
	return HF_OK;
}

enum hf_rc hf_config_run_apply(struct hf_cli *c, struct hf_err *e)
{
	bool changed = false, reloaded = false;
	json_object *json;
	enum hf_rc rc = prepare(c, &json, e);

	if (!rc)
		rc = install(c, json, &changed, e);
	json_object_put(json);
	if (rc)
		return rc;
	hf_out_text(c->result, "written", c->paths.daemon_file);
	json_object_object_add(c->result, "changed", json_object_new_boolean(changed));
	if (changed && c->paths.system && !access("/run/systemd/system", F_OK)) {
		rc = reload(e);
		reloaded = !rc;
	}
	json_object_object_add(c->result, "reloaded", json_object_new_boolean(reloaded));
	return rc;
}

void hf_config_apply_show(const struct hf_cli *c)
{
	bool changed = json_object_get_boolean(json_object_object_get(c->result, "changed"));
	bool reloaded = json_object_get_boolean(json_object_object_get(c->result, "reloaded"));

	if (!changed)
		printf("%s: as it was\n", hf_out_get(c->result, "written"));
	else
		printf("%s: written%s\n", hf_out_get(c->result, "written"),
		       reloaded ? ", and holdfastd has taken it"
				: "; a running holdfastd takes it on SIGHUP");
}
