/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A missing value is taken from the schema, so that what `config explain` says about
 * defaults is what happens. The file spells everything out: holdfastd has no defaults.
 */
#include "conf/daemonfile.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "conf/nearest.h"
#include "conf/value.h"

/* ---------------------------------------------------------------- sockets */

#define OVERFLOW_ID 65534 /* /proc/sys/kernel/overflowuid: everybody whom a namespace hides */

static bool user_exists(const char *name, int64_t *id)
{
	const struct passwd *pw = getpwnam(name);

	*id = pw ? (int64_t)pw->pw_uid : -1;
	return pw != NULL;
}

static bool group_exists(const char *name, int64_t *id)
{
	const struct group *gr = getgrnam(name);

	*id = gr ? (int64_t)gr->gr_gid : -1;
	return gr != NULL;
}

/* Who is named has to exist here, or nobody will ever be let in. */
static int64_t account(const struct hf_making *m, const struct hf_node *table, const char *key,
		       const char *kind, bool (*exists)(const char *, int64_t *))
{
	const struct hf_node *n = hf_node_get(table, key);
	int64_t id = -1;

	if (n && !exists(n->text, &id))
		hf_problem_add(m->p, HF_PROBLEM_ERROR, n,
			       "%s: there is no %s \"%s\" on this system", key, kind, n->text);
	return id;
}

static bool is_member(const char *user, gid_t group)
{
	const struct passwd *pw = getpwnam(user);
	gid_t groups[256];
	int i, n = HF_COUNT(groups);

	if (!pw || getgrouplist(user, pw->pw_gid, groups, &n) < 0)
		return true; /* of so many groups one may be it */
	for (i = 0; i < n && groups[i] != group; i++)
		;
	return i < n;
}

/* holdfastd is no root: it does not start for a socket that it cannot give away. Whether systemd
 * makes that one is not known here. */
static void check_owner(const struct hf_making *m, const struct hf_node *table)
{
	const struct hf_node *owner = hf_node_get(table, "owner");
	const struct hf_node *group = hf_node_get(table, "group");
	int64_t gid = account(m, table, "group", "group", group_exists);

	(void)account(m, table, "owner", "user", user_exists);
	if (!m->paths->system || !getpwnam(HF_KEYS_USER)) /* not the machine that it is for */
		return;
	if (owner && owner->text[0] && strcmp(owner->text, HF_KEYS_USER))
		hf_problem_add(
			m->p, HF_PROBLEM_WARNING, owner,
			"owner: holdfastd runs as " HF_KEYS_USER " and cannot give a socket to "
			"\"%s\"; leave it out and use group, or have systemd make the socket: a "
			"unit like holdfastd.socket with FileDescriptorName= this name",
			owner->text);
	if (group && gid >= 0 && !is_member(HF_KEYS_USER, (gid_t)gid))
		hf_problem_add(m->p, HF_PROBLEM_WARNING, group,
			       "group: holdfastd runs as " HF_KEYS_USER
			       ", which is not in \"%s\" and cannot give it a socket; unless "
			       "systemd makes it (a unit like holdfastd.socket), run 'usermod -aG "
			       "%s " HF_KEYS_USER "'",
			       group->text, group->text);
}

static json_object *socket_of(const char *name, const char *path, const char *owner,
			      const char *group, unsigned mode)
{
	json_object *o = json_object_new_object();

	hf_making_set_text(o, "name", name);
	hf_making_set_text(o, "path", path);
	hf_making_set_text(o, "owner", owner);
	hf_making_set_text(o, "group", group);
	hf_making_set_number(o, "mode", mode);
	return o;
}

/* Easily done by whoever adds a socket beside the usual one: then that one is gone. */
static void warn_without_main(const struct hf_making *m)
{
	const struct hf_node *first = hf_making_tables(m, "socket"), *n = first;

	while (n && strcmp(hf_node_get(n, "name")->text, "main"))
		n = n->next;
	if (first && !n)
		hf_problem_add(m->p, HF_PROBLEM_WARNING, first,
			       "no [[socket]] is called \"main\": it is there that root has every "
			       "right and that the command holdfast looks; write one with name = "
			       "\"main\" and path = \"%s\" as well",
			       m->paths->socket);
}

static void add_sockets(const struct hf_making *m, json_object *out)
{
	json_object *list = json_object_new_array();
	const struct hf_node *n;

	hf_making_check_names(m, "socket", "name", 32);
	hf_making_check_names(m, "socket", "path", 32);
	warn_without_main(m);
	for (n = hf_making_tables(m, "socket"); n; n = n->next) {
		struct hf_making_table t = { hf_conf_section_find("socket"), n };
		unsigned mode = 0;

		(void)hf_value_mode(hf_making_text(&t, "mode"), &mode);
		check_owner(m, n);
		json_object_array_add(list, socket_of(hf_making_text(&t, "name"),
						      hf_making_text(&t, "path"),
						      hf_making_text(&t, "owner"),
						      hf_making_text(&t, "group"), mode));
	}
	if (!json_object_array_length(list)) {
		if (strlen(m->paths->socket) > 103)
			hf_problem_add(
				m->p, HF_PROBLEM_ERROR, NULL,
				"%s is too long for a socket (103 bytes); write a [[socket]] "
				"with a shorter path, or choose a shorter --root",
				m->paths->socket);
		json_object_array_add(list, socket_of("main", m->paths->socket, "",
						      m->paths->system ? HF_KEYS_USER : "", 0660));
	}
	json_object_object_add(out, "sockets", list);
}

/* ---------------------------------------------------------------- principals */

/* Root is let in by the socket main, and can have every key by other ways anyway. */
static json_object *root_principal(void)
{
	static const struct hf_node nobody = { .kind = HF_NODE_TABLE };
	struct hf_making_table t = { hf_conf_section_find("principal"), &nobody };
	const char *all = hf_conf_key_find(t.section, "rights")->words;
	json_object *o = json_object_new_object(), *keys = json_object_new_array();
	json_object *rights = json_object_new_array();
	size_t len;

	json_object_array_add(keys, json_object_new_string("*"));
	for (; *all; all += len + (all[len] == ' ')) {
		len = strcspn(all, " ");
		json_object_array_add(rights, json_object_new_string_len(all, (int)len));
	}
	hf_making_set_number(o, "uid", 0);
	hf_making_set_number(o, "gid", -1);
	hf_making_set_text(o, "socket", "main");
	json_object_object_add(o, "keys", keys);
	json_object_object_add(o, "rights", rights);
	return o;
}

static void check_socket_known(const struct hf_making *m, const struct hf_node *table)
{
	const struct hf_node *wanted = hf_node_get(table, "socket"), *n;
	struct hf_nearest best;

	if (!wanted)
		return;
	hf_nearest_init(&best, wanted->text);
	if (!hf_making_tables(m, "socket"))
		hf_nearest_try(&best, "main");
	for (n = hf_making_tables(m, "socket"); n; n = n->next)
		hf_nearest_try(&best, hf_node_get(n, "name")->text);
	if (best.best && !best.distance && !strcmp(best.best, wanted->text))
		return;
	hf_problem_add(m->p, HF_PROBLEM_ERROR, wanted, "there is no [[socket]] \"%s\"%s%s%s",
		       wanted->text, best.best ? "; did you mean \"" : "",
		       best.best ? best.best : "", best.best ? "\"?" : "");
}

static int64_t who(const struct hf_making *m, const struct hf_node *table, const char *id,
		   const char *name, const char *kind, bool (*exists)(const char *, int64_t *))
{
	const struct hf_node *by_id = hf_node_get(table, id), *by_name = hf_node_get(table, name);
	int64_t found;

	if (by_id && by_name)
		hf_problem_add(m->p, HF_PROBLEM_ERROR, by_name,
			       "[[principal]] has both %s and %s; write one of them", id, name);
	found = by_id ? by_id->number : account(m, table, name, kind, exists);
	if (found == OVERFLOW_ID)
		hf_problem_add(
			m->p, HF_PROBLEM_ERROR, by_id ? by_id : by_name,
			"[[principal]] %s 65534 is whoever the kernel cannot name, which is nobody "
			"in particular; use an account of its own",
			id);
	return found;
}

/* A word that no scheme has would deny everything, in silence. */
static void check_schemes(const struct hf_making *m, const struct hf_node *table)
{
	const struct hf_node *list = hf_node_get(table, "schemes"), *n;

	for (n = list ? list->children : NULL; n; n = n->next)
		if (!n->text[0] || strlen(n->text) > 23 ||
		    strspn(n->text, "abcdefghijklmnopqrstuvwxyz0123456789-*?") != strlen(n->text))
			hf_problem_add(m->p, HF_PROBLEM_ERROR, n,
				       "schemes: \"%s\" is none; write such as \"ecdsa-sha256\" or "
				       "\"rsa-*\" (holdfast key show tells those of a key)",
				       n->text);
}

static void add_principal(const struct hf_making *m, const struct hf_node *n, json_object *list)
{
	struct hf_making_table t = { hf_conf_section_find("principal"), n };
	const struct hf_node *rate = hf_node_get(n, "rate");
	json_object *o = json_object_new_object();

	if (!hf_node_get(n, "uid") && !hf_node_get(n, "user") && !hf_node_get(n, "gid") &&
	    !hf_node_get(n, "group"))
		hf_problem_add(m->p, HF_PROBLEM_ERROR, n,
			       "[[principal]] says nobody: write uid, user, gid or group");
	if (!hf_node_get(n, "keys") && !hf_node_get(n, "certs") && !hf_node_get(n, "modules"))
		hf_problem_add(m->p, HF_PROBLEM_ERROR, n,
			       "[[principal]] has no 'keys'; write keys = [\"NAME\", ...]");
	hf_making_set_number(o, "uid", who(m, n, "uid", "user", "user", user_exists));
	hf_making_set_number(o, "gid", who(m, n, "gid", "group", "group", group_exists));
	check_socket_known(m, n);
	hf_making_set_text(o, "socket", hf_making_text(&t, "socket"));
	hf_making_set_list(o, "keys", &t, "keys");
	hf_making_set_list(o, "rights", &t, "rights");
	check_schemes(m, n);
	hf_making_set_list(o, "schemes", &t, "schemes");
	hf_making_set_number(o, "rate", rate ? rate->number : 0);
	if (hf_node_get(n, "keys"))
		json_object_array_add(list, o);
	else
		json_object_put(o); /* one for the certificate agent only */
}

static void add_principals(const struct hf_making *m, json_object *out)
{
	json_object *list = json_object_new_array();
	const struct hf_node *n;
	size_t count = 0;

	json_object_array_add(list, root_principal());
	for (n = hf_making_tables(m, "principal"); n; n = n->next) {
		if (++count == 1024)
			hf_problem_add(m->p, HF_PROBLEM_ERROR, n, "more than 1023 [[principal]]");
		add_principal(m, n, list);
	}
	hf_making_grants(m, list);
	json_object_object_add(out, "principals", list);
}

/* ---------------------------------------------------------------- the rest */

static void add_profiles(const struct hf_making *m, json_object *out)
{
	static const char *const numbers[] = { "max_days", "self_max_days", "pathlen",
					       "ca_levels" };
	json_object *list = json_object_new_array();
	const struct hf_node *n;
	size_t i;

	hf_making_check_names(m, "ca_profile", "key", 64);
	for (n = hf_making_tables(m, "ca_profile"); n; n = n->next) {
		struct hf_making_table t = { hf_conf_section_find("ca_profile"), n };
		const struct hf_node *key = hf_node_get(n, "key");
		json_object *o = json_object_new_object();

		if (!hf_value_pattern(key->text))
			hf_problem_add(m->p, HF_PROBLEM_ERROR, key,
				       "\"%s\" cannot be the name of a key", key->text);
		hf_making_set_text(o, "key", key->text);
		for (i = 0; i < HF_COUNT(numbers); i++)
			hf_making_set_number(o, numbers[i], hf_making_number(&t, numbers[i]));
		hf_making_set_list(o, "names", &t, "names");
		json_object_array_add(list, o);
	}
	hf_making_profiles(m, list);
	json_object_object_add(out, "profiles", list);
}

static void add_metrics(const struct hf_making *m, json_object *out)
{
	json_object *list = json_object_new_array();
	const struct hf_node *n = hf_node_get(m->root, "metrics"), *s;
	struct hf_making_table t = { hf_conf_section_find("metrics"), n };
	unsigned mode = 0;

	for (s = n ? hf_making_tables(m, "socket") : NULL; s; s = s->next)
		if (!strcmp(hf_node_get(s, "name")->text, "metrics"))
			hf_problem_add(
				m->p, HF_PROBLEM_ERROR, s,
				"a [[socket]] cannot be called \"metrics\" beside [metrics]");
	if (n) {
		(void)hf_value_mode(hf_making_text(&t, "mode"), &mode);
		check_owner(m, n);
		json_object_array_add(list, socket_of("metrics", hf_making_text(&t, "path"),
						      hf_making_text(&t, "owner"),
						      hf_making_text(&t, "group"), mode));
	}
	json_object_object_add(out, "metrics", list);
}

static void add_limits(const struct hf_making *m, json_object *out)
{
	static const char *const numbers[] = { "connections",
					       "connections_per_principal",
					       "queue_per_principal",
					       "queue",
					       "packet",
					       "bytes" };
	struct hf_making_table t = { hf_conf_section_find("limits"),
				     hf_node_get(m->root, "limits") };
	json_object *o = json_object_new_object();
	uint64_t idle = hf_making_duration(&t, "idle");
	size_t i;

	for (i = 0; i < HF_COUNT(numbers); i++)
		hf_making_set_number(o, numbers[i], hf_making_number(&t, numbers[i]));
	hf_making_set_number(o, "idle_s", (int64_t)((idle + 999) / 1000)); /* 1ms is not never */
	json_object_object_add(out, "limits", o);
}

json_object *hf_daemonfile_make(const struct hf_making *m)
{
	json_object *out;

	if (m->p->errors)
		return NULL; /* what follows trusts the types */
	out = json_object_new_object();
	hf_making_set_number(out, "version", 1);
	hf_making_set_text(out, "state_dir", m->paths->state);
	hf_making_tokens(m, out);
	add_sockets(m, out);
	add_metrics(m, out);
	add_principals(m, out);
	add_profiles(m, out);
	add_limits(m, out);
	if (m->p->errors) {
		json_object_put(out);
		return NULL;
	}
	return out;
}

/* What holdfastd opens once, when it starts (src/broker/broker.c, reload). */
bool hf_daemonfile_needs_restart(json_object *old, json_object *fresh)
{
	static const char *const members[] = { "version", "state_dir", "tokens", "sockets",
					       "metrics" };
	json_object *was, *is;
	size_t i;

	for (i = 0; i < HF_COUNT(members); i++)
		if (!json_object_object_get_ex(old, members[i], &was) ||
		    !json_object_object_get_ex(fresh, members[i], &is) ||
		    !json_object_equal(was, is))
			return true;
	return false;
}
