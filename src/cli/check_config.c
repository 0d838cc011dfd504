/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of config.toml, and whether what it says has been put into effect. */
#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/check.h"

static void well_formed(struct hf_checkup *k, const char *arg)
{
	char text[800];
	size_t i;

	(void)arg;
	if (k->config_err.rc)
		hf_check_say(k, HF_CHECK_ERROR, "%s", k->config_err.msg);
	for (i = 0; i < k->problems.n; i++) {
		const struct hf_problem *p = &k->problems.list[i];

		if (p->severity != HF_PROBLEM_NOTE)
			hf_check_say(k,
				     p->severity == HF_PROBLEM_ERROR ? HF_CHECK_ERROR
								     : HF_CHECK_WARNING,
				     "%s", hf_problem_text(p, text, sizeof(text)));
	}
	if (k->problems.more)
		hf_check_say(k, HF_CHECK_WARNING, "and %zu more", k->problems.more);
}

static bool newer(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec > b->st_mtim.tv_sec ||
	       (a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec > b->st_mtim.tv_nsec);
}

/* By what is in it, if that is known: who touches config.toml has not changed it. */
static void one_applied(struct hf_checkup *k, const char *path, json_object *made)
{
	HF_AUTO_BUF text = HF_BUF(4u << 20);
	struct hf_err e = HF_ERR_INIT;
	json_object *now = NULL;
	struct stat of, by;
	bool changed = false;
	size_t i;

	if (stat(path, &of)) {
		hf_check_say(k, HF_CHECK_ERROR,
			     "there is no %s: say 'holdfast config apply', as root", path);
		return;
	}
	if (made && !hf_file_read(path, false, &text, &e) && text.n)
		now = json_tokener_parse((const char *)text.p);
	for (i = 0; !now && i < k->config.n_files; i++)
		changed = changed || (!stat(k->config.files[i], &by) && newer(&by, &of));
	if (now)
		changed = !json_object_equal(now, made);
	if (changed)
		hf_check_say(k, HF_CHECK_WARNING,
			     "config.toml says something else than what is in effect (%s): say "
			     "'holdfast config apply', as root",
			     path);
	json_object_put(now);
}

static void applied(struct hf_checkup *k, const char *arg)
{
	(void)arg;
	one_applied(k, k->cli->paths.daemon_file, k->made.holdfastd);
	one_applied(k, k->inventory.agent_path, k->made.agent);
}

/* RFC 1035, 2.3.1, as IoT Edge wants it: labels of letters, digits and inner hyphens. */
static bool is_host_name(const char *name)
{
	size_t n = 0, i;

	for (i = 0;; i++) {
		if (name[i] == '.' || !name[i]) {
			if (!n || n > 63 || name[i - 1] == '-')
				return false;
			if (!name[i])
				return true;
			n = 0;
		} else if (isalnum((unsigned char)name[i]) || (name[i] == '-' && n)) {
			n++;
		} else {
			return false;
		}
	}
}

static void host_name(struct hf_checkup *k, const char *arg)
{
	const char *set = hf_inventory_text(k->inventory.agent, "device.hostname");
	char own[256] = "";
	size_t n;

	(void)arg;
	if (!hf_check_needs_agent(k))
		return;
	if (gethostname(own, sizeof(own) - 1) || !own[0]) {
		hf_check_say(k, HF_CHECK_SKIPPED, "the machine has no name");
		return;
	}
	if (!set[0])
		set = own;
	n = strcspn(own, ".");
	/* equal, or one of the two is the other with its domain */
	if (strcasecmp(set, own) &&
	    !(strcspn(set, ".") == n && !strncasecmp(set, own, n) && (!set[n] || !own[n])))
		hf_check_say(k, HF_CHECK_ERROR,
			     "hostname = \"%s\" of config.toml is not the name of this machine, "
			     "which is %s: who connects to it by the one finds a certificate of "
			     "the other",
			     set, own);
	if (!is_host_name(set))
		hf_check_say(k, HF_CHECK_WARNING,
			     "hostname %s is none that RFC 1035 allows: modules may not be able to "
			     "connect",
			     set);
	else if (strlen(set) > 64)
		hf_check_say(k, HF_CHECK_WARNING,
			     "hostname %s has more than 64 characters and does not fit into the "
			     "CN of a certificate",
			     set);
}

static void module_keys(struct hf_checkup *k, const char *arg)
{
	(void)arg;
	if (hf_check_needs_agent(k) &&
	    !strcmp(hf_inventory_text(k->inventory.agent, "module.keys"), "returned"))
		hf_check_say(k, HF_CHECK_WARNING,
			     "module_keys = \"returned\": keys of modules are made in memory and "
			     "handed out; \"csr\" lets the module make its own, \"token\" makes it "
			     "in the token");
}

const struct hf_check hf_checks_config[] = {
	{ "config-well-formed", "configuration is well-formed", well_formed, NULL },
	{ "config-applied", "configuration is the one in effect", applied, NULL },
	{ "hostname", "configuration has the machine's host name", host_name, NULL },
	{ "module-keys", "keys of modules stay where they are made", module_keys, NULL },
	{ NULL, NULL, NULL, NULL },
};
