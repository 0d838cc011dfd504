/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast config check, apply. */
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/output.h"
#include "cli/service.h"
#include "conf/daemonfile.h"
#include "conf/load.h"
#include "conf/tokens.h"

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

/* Reads and checks all there is; *@out is holdfastd.json, *@pins what goes beside it. */
static enum hf_rc prepare(struct hf_cli *c, json_object **out, json_object **pins, struct hf_err *e)
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
		if (pins)
			*pins = hf_conf_pins(config.root, &c->paths, &problems);
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
	enum hf_rc rc = prepare(c, &json, NULL, e);

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

/* What is installed now, into @text (empty: nothing of use); tells whether it is right as it is. */
static bool read_old(const char *path, uid_t uid, struct hf_buf *text)
{
	struct hf_err ignored = HF_ERR_INIT;
	struct stat st;

	if (lstat(path, &st) || !S_ISREG(st.st_mode) || hf_file_read(path, true, text, &ignored))
		return false;
	return (st.st_mode & 07777) == 0600 && st.st_uid == (uid == (uid_t)-1 ? geteuid() : uid);
}

static bool needs_restart(const struct hf_buf *old, json_object *fresh)
{
	json_tokener *t = json_tokener_new();
	json_object *was =
		t && old->n ? json_tokener_parse_ex(t, (const char *)old->p, (int)old->n) : NULL;
	bool needs = hf_daemonfile_needs_restart(was, fresh);

	json_object_put(was);
	if (t)
		json_tokener_free(t);
	return needs;
}

static enum hf_rc replace(struct hf_cli *c, const char *path, const struct hf_buf *text, uid_t uid,
			  gid_t gid, struct hf_err *e)
{
	char dir[HF_PATH_MAX];
	enum hf_rc rc;

	(void)hf_copy(dir, sizeof(dir), path);
	*strrchr(dir, '/') = '\0';
	rc = hf_dir_make(dir, 0755, e);
	if (!rc)
		rc = hf_file_replace_as(path, text->p, text->n, 0600, uid, gid, e);
	if (rc && c->paths.system && geteuid() != 0)
		return hf_within(e, "'config apply' has to be run as root");
	return rc;
}

/* PINs that config.toml has in a URI: each into a file that only the daemon reads. */
static enum hf_rc install_pins(struct hf_cli *c, json_object *pins, bool *changed, struct hf_err *e)
{
	uid_t uid;
	gid_t gid;
	enum hf_rc rc = find_owner(c, &uid, &gid, e);

	json_object_object_foreach(pins, path, pin)
	{
		HF_AUTO_BUF text = HF_BUF(512), old = HF_BUF(512);

		hf_buf_fmt(&text, "%s\n", json_object_get_string(pin));
		if (rc || (read_old(path, uid, &old) && old.n == text.n &&
			   hf_mem_equal(old.p, text.p, text.n)))
			continue;
		*changed = true;
		rc = replace(c, path, &text, uid, gid, e);
	}
	return rc;
}

static enum hf_rc install(struct hf_cli *c, json_object *json, bool *changed, bool *restart,
			  struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(4u << 20), old = HF_BUF(4u << 20);
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
	*restart = *changed; /* a PIN, which is read when a keeper starts */
	*changed = !read_old(c->paths.daemon_file, uid, &old) || old.n != text.n ||
		   memcmp(old.p, text.p, text.n) != 0;
	*restart = needs_restart(&old, json) || *restart;
	return *changed ? replace(c, c->paths.daemon_file, &text, uid, gid, e) : HF_OK;
}

static const char *const services[] = {
	[HF_SERVICE_ALONE] = "untouched",
	[HF_SERVICE_STOPPED] = "stopped",
	[HF_SERVICE_RELOADED] = "reloaded",
	[HF_SERVICE_RESTARTED] = "restarted",
};

enum hf_rc hf_config_run_apply(struct hf_cli *c, struct hf_err *e)
{
	enum hf_service service = HF_SERVICE_ALONE;
	bool changed = false, restart = false;
	json_object *json, *pins = NULL;
	enum hf_rc rc = prepare(c, &json, &pins, e);

	if (!rc)
		rc = install_pins(c, pins, &changed, e);
	json_object_put(pins);
	if (!rc)
		rc = install(c, json, &changed, &restart, e);
	json_object_put(json);
	if (rc)
		return rc;
	hf_out_text(c->result, "written", c->paths.daemon_file);
	json_object_object_add(c->result, "changed", json_object_new_boolean(changed));
	hf_out_text(c->result, "needs", restart ? "restart" : changed ? "reload" : "nothing");
	/* Also if nothing changed: the last time may have ended before this. It costs little. */
	if (c->paths.system) {
		rc = hf_service_take(restart, &service, e);
		if (rc)
			return hf_within(e, "%s is written, but", c->paths.daemon_file);
	}
	hf_out_text(c->result, "daemon", services[service]);
	return rc;
}

void hf_config_apply_show(const struct hf_cli *c)
{
	bool changed = json_object_get_boolean(json_object_object_get(c->result, "changed"));
	const char *needs = hf_out_get(c->result, "needs"), *done = hf_out_get(c->result, "daemon");
	const char *what = "";

	if (!strcmp(done, "reloaded"))
		what = "; holdfastd was told to reload it";
	else if (!strcmp(done, "restarted"))
		what = "; holdfastd was restarted with it";
	else if (!strcmp(done, "stopped"))
		what = "; holdfastd does not run, and takes it when it starts";
	else if (!strcmp(needs, "restart"))
		what = "; a running holdfastd takes it when it is restarted";
	else if (changed)
		what = "; a running holdfastd takes it on SIGHUP";
	printf("%s: %s%s\n", hf_out_get(c->result, "written"), changed ? "written" : "as it was",
	       what);
}
