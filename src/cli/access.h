/* SPDX-License-Identifier: Apache-2.0 */
/* access.h: whose files are whose, and whether another user could read one. */
#ifndef HF_CLI_ACCESS_H
#define HF_CLI_ACCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/file.h"

#define HF_GROUPS_MAX 128

struct hf_user {
	const char *name;
	uid_t uid;
	gid_t gid, groups[HF_GROUPS_MAX];
	int n_groups;
	bool found;
};

/* Somebody of the system; or, @system == false (below --root), whoever we are. */
void hf_user_find(struct hf_user *u, const char *name, bool system);

/*
 * Could @u read the file @path, by the permissions of it and of each directory on the way?
 * Symbolic links are followed. If not, @why is the one that is in the way. Access control lists
 * and the like are not seen.
 */
bool hf_user_can_read(const struct hf_user *u, const char *path, char why[HF_PATH_MAX]);

#endif
