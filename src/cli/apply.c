/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast config apply: the daemons' files, each for its daemon alone, and the daemons told. */
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/config.h"
#include "cli/output.h"
#include "cli/service.h"
#include "conf/daemonfile.h"

#define FILE_MAX (4u << 20)

/* One daemon and its file. */
struct target {
	const char *daemon, *user, *path;
	bool (*needs_restart)(json_object *old, json_object *fresh);
	json_object *json;
	uid_t uid;
	gid_t gid;
	struct hf_buf text, old;
	bool there, changed, restart;
	enum hf_service done;
};

static const char *const services[] = {
	[HF_SERVICE_ALONE] = "untouched",
	[HF_SERVICE_STOPPED] = "stopped",
	[HF_SERVICE_RELOADED] = "reloaded",
	[HF_SERVICE_RESTARTED] = "restarted",
};

/* The file's owner: the daemon's user, if it is the system's and we can say so. */
static enum hf_rc find_owner(const struct hf_cli *c, struct target *t, struct hf_err *e)
{
	const struct passwd *pw;

	t->uid = (uid_t)-1;
	t->gid = (gid_t)-1;
	if (!c->paths.system || geteuid() != 0)
		return HF_OK;
	pw = getpwnam(t->user);
	if (!pw)
		return hf_fail(e, HF_FAILED,
			       "there is no user %s, who runs %s; install the package, or run "
			       "systemd-sysusers",
			       t->user, t->daemon);
	t->uid = pw->pw_uid;
	t->gid = pw->pw_gid;
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

static bool needs_restart(const struct target *t)
{
	json_tokener *k = json_tokener_new();
	json_object *was = k && t->old.n
				   ? json_tokener_parse_ex(k, (const char *)t->old.p, (int)t->old.n)
				   : NULL;
	bool needs = t->needs_restart(was, t->json);

	json_object_put(was);
	if (k)
		json_tokener_free(k);
	return needs;
}

static enum hf_rc replace(struct hf_cli *c, const char *path, const struct hf_buf *text,
			  const struct target *t, struct hf_err *e)
{
	char dir[HF_PATH_MAX];
	enum hf_rc rc;

	(void)hf_copy(dir, sizeof(dir), path);
	*strrchr(dir, '/') = '\0';
	rc = hf_dir_make(dir, 0755, e);
	if (!rc)
		rc = hf_file_replace_as(path, text->p, text->n, 0600, t->uid, t->gid, e);
	if (rc && c->paths.system && geteuid() != 0)
		return hf_within(e, "'config apply' has to be run as root");
	return rc;
}

/* PINs that config.toml has in a URI: each into a file that only the daemon reads. */
static enum hf_rc install_pins(struct hf_cli *c, json_object *pins, struct target *t,
			       struct hf_err *e)
{
	enum hf_rc rc = HF_OK;

	json_object_object_foreach(pins, path, pin)
	{
		HF_AUTO_BUF text = HF_BUF(512), old = HF_BUF(512);

		hf_buf_fmt(&text, "%s\n", json_object_get_string(pin));
		if (rc || (read_old(path, t->uid, &old) && old.n == text.n &&
			   hf_mem_equal(old.p, text.p, text.n)))
			continue;
		t->restart = true; /* a PIN is read when a keeper starts */
		rc = replace(c, path, &text, t, e);
	}
	return rc;
}

/* What is to be written, and whether it is. Nothing is changed yet. */
static enum hf_rc compare(struct hf_cli *c, struct target *t, struct hf_err *e)
{
	enum hf_rc rc = find_owner(c, t, e);

	if (rc)
		return rc;
	hf_buf_str(&t->text, json_object_to_json_string_ext(
				     t->json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						      JSON_C_TO_STRING_NOSLASHESCAPE));
	hf_buf_str(&t->text, "\n");
	if (t->text.bad)
		return hf_fail(e, HF_ARGUMENT, "the configuration is too large");
	t->there = !access(t->path, F_OK);
	t->changed = !read_old(t->path, t->uid, &t->old) || t->old.n != t->text.n ||
		     memcmp(t->old.p, t->text.p, t->text.n) != 0;
	t->restart = needs_restart(t);
	return HF_OK;
}

/* The other file could not be written: the two go together. */
static void take_back(struct hf_cli *c, const struct target *t)
{
	struct hf_err ignored = HF_ERR_INIT;

	if (!t->changed)
		return;
	if (t->there && t->old.n && !t->old.bad)
		(void)replace(c, t->path, &t->old, t, &ignored);
	else
		(void)unlink(t->path);
}

static enum hf_rc install(struct hf_cli *c, json_object *pins, struct target *holdfastd,
			  struct target *agent, struct hf_err *e)
{
	enum hf_rc rc = compare(c, holdfastd, e);

	if (!rc)
		rc = compare(c, agent, e);
	if (!rc)
		rc = install_pins(c, pins, holdfastd, e);
	if (!rc && agent->changed)
		rc = replace(c, agent->path, &agent->text, agent, e);
	if (!rc && holdfastd->changed) {
		rc = replace(c, holdfastd->path, &holdfastd->text, holdfastd, e);
		if (rc)
			take_back(c, agent);
	}
	return rc;
}

/* Also if nothing changed: the last time may have ended before this. It costs little. */
static enum hf_rc tell(struct hf_cli *c, struct target *t, struct hf_err *e)
{
	if (c->paths.system && hf_service_take(t->daemon, t->restart, &t->done, e))
		return hf_within(e, "%s is written, but", t->path);
	return HF_OK;
}

static void report(const struct target *t, json_object *to)
{
	hf_out_text(to, "written", t->path);
	json_object_object_add(to, "changed", json_object_new_boolean(t->changed));
	hf_out_text(to, "needs", t->restart ? "restart" : t->changed ? "reload" : "nothing");
	hf_out_text(to, "daemon", services[t->done]);
}

/* What the agent opens once, when it starts; the rest it takes on SIGHUP. */
static bool agent_needs_restart(json_object *old, json_object *fresh)
{
	static const char *const members[] = { "version", "state_dir", "run_dir", "broker_socket",
					       "sockets" };
	json_object *was, *is;
	size_t i;

	for (i = 0; i < HF_COUNT(members); i++)
		if (!json_object_object_get_ex(old, members[i], &was) ||
		    !json_object_object_get_ex(fresh, members[i], &is) ||
		    !json_object_equal(was, is))
			return true;
	return false;
}

/* Keys first: the agent looks for those of its certificates at once. It is told in any case. */
static enum hf_rc take_keys(struct hf_cli *c, json_object *keys, struct target *holdfastd,
			    struct target *agent, struct hf_err *e)
{
	bool restarted = holdfastd->done == HF_SERVICE_RESTARTED;
	enum hf_rc failed = hf_apply_keys(c, keys, restarted, e), rc;
	struct hf_err second = HF_ERR_INIT;
	json_object *o;

	rc = tell(c, agent, failed ? &second : e);
	if (failed || rc)
		return failed ? failed : rc;
	o = json_object_new_object();
	report(holdfastd, c->result);
	report(agent, o);
	json_object_object_add(c->result, "agent", o);
	return HF_OK;
}

enum hf_rc hf_config_run_apply(struct hf_cli *c, struct hf_err *e)
{
	struct target holdfastd = { .daemon = "holdfastd",
				    .user = HF_KEYS_USER,
				    .path = c->paths.daemon_file,
				    .needs_restart = hf_daemonfile_needs_restart,
				    .text = HF_BUF(FILE_MAX),
				    .old = HF_BUF(FILE_MAX) };
	struct target agent = { .daemon = "holdfast-agent",
				.user = HF_CERTS_USER,
				.path = c->paths.agent_file,
				.needs_restart = agent_needs_restart,
				.text = HF_BUF(FILE_MAX),
				.old = HF_BUF(FILE_MAX) };
	struct hf_prepared made;
	enum hf_rc rc = hf_config_prepare(c, &made, e);

	holdfastd.json = made.holdfastd;
	agent.json = made.agent;
	if (!rc)
		rc = install(c, made.pins, &holdfastd, &agent, e);
	if (!rc)
		rc = tell(c, &holdfastd, e);
	if (!rc)
		rc = take_keys(c, made.keys, &holdfastd, &agent, e);
	hf_prepared_finish(&made);
	hf_buf_finish(&holdfastd.text);
	hf_buf_finish(&holdfastd.old);
	hf_buf_finish(&agent.text);
	hf_buf_finish(&agent.old);
	return rc;
}

static void show_one(json_object *o, const char *daemon)
{
	bool changed = json_object_get_boolean(json_object_object_get(o, "changed"));
	const char *needs = hf_out_get(o, "needs"), *done = hf_out_get(o, "daemon");
	const char *what = "", *verb = "";

	if (!strcmp(done, "reloaded")) {
		verb = " was told to reload it";
	} else if (!strcmp(done, "restarted")) {
		verb = " was restarted with it";
	} else if (!strcmp(done, "stopped")) {
		verb = " does not run, and takes it when it starts";
	} else if (!strcmp(needs, "restart")) {
		what = "a running ";
		verb = " takes it when it is restarted";
	} else if (changed) {
		what = "a running ";
		verb = " takes it on SIGHUP";
	}
	printf("%s: %s%s%s%s%s\n", hf_out_get(o, "written"), changed ? "written" : "as it was",
	       verb[0] ? "; " : "", what, verb[0] ? daemon : "", verb);
}

void hf_config_apply_show(const struct hf_cli *c)
{
	show_one(c->result, "holdfastd");
	show_one(json_object_object_get(c->result, "agent"), "holdfast-agent");
}
