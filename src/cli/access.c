/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/access.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void hf_user_find(struct hf_user *u, const char *name, bool system)
{
	const struct passwd *pw = system ? getpwnam(name) : NULL;

	memset(u, 0, sizeof(*u));
	u->name = name;
	u->found = pw || !system;
	u->uid = pw ? pw->pw_uid : geteuid();
	u->gid = pw ? pw->pw_gid : getegid();
	u->n_groups = HF_GROUPS_MAX;
	if (pw && getgrouplist(name, u->gid, u->groups, &u->n_groups) < 0)
		u->n_groups = HF_GROUPS_MAX; /* as many as fit */
	else if (!pw)
		u->n_groups = 0;
}

static bool in_group(const struct hf_user *u, gid_t gid)
{
	int i;

	for (i = 0; i < u->n_groups; i++)
		if (u->groups[i] == gid)
			return true;
	return u->gid == gid;
}

/* @bit: 4 read, 1 search. The first class that fits decides, as in path_resolution(7). */
static bool may(const struct hf_user *u, const struct stat *st, unsigned bit)
{
	if (u->uid == 0)
		return true;
	if (st->st_uid == u->uid)
		return st->st_mode & (bit << 6);
	if (in_group(u, st->st_gid))
		return st->st_mode & (bit << 3);
	return st->st_mode & bit;
}

bool hf_user_can_read(const struct hf_user *u, const char *path, char why[HF_PATH_MAX])
{
	char *real = realpath(path, NULL), *p;
	struct stat st;
	bool good = true;

	(void)hf_copy(why, HF_PATH_MAX, path);
	if (!real)
		return false;
	for (p = real + 1; good && (p = strchr(p, '/')); p++) {
		*p = '\0';
		good = !stat(real, &st) && may(u, &st, 1);
		if (!good)
			(void)hf_copy(why, HF_PATH_MAX, real);
		*p = '/';
	}
	if (good)
		good = !stat(real, &st) && may(u, &st, 4);
	free(real);
	return good;
}
