/* SPDX-License-Identifier: Apache-2.0 */
#include "confine/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/landlock.h>

#include "base/file.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule	    445
#define SYS_landlock_restrict_self  446
#endif

/* Of version 1, which every kernel with Landlock has; more is added by version below. */
#define READS                                                                                      \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITES                                                                                     \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                           \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                           \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                               \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                             \
	 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
/* What a place that may be written gives: no device nodes, no links, nothing to execute. */
#define ALLOWED_WRITES                                                                             \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                           \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |                            \
	 LANDLOCK_ACCESS_FS_MAKE_REG)
#define ALLOWED_READS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* What a single file can have. */
#define OF_A_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

#define TRUNCATE (1ull << 14) /* since version 3 */

/* Of version 6; headers may be older than the kernel, which takes a longer one with zeros. */
struct ruleset {
	uint64_t fs, net, scoped;
};
#define ABSTRACT_SOCKETS 1u
#define SIGNALS		 2u

int hf_landlock_version(void)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version > 0 ? (int)version : 0;
}

static bool add_place(int ruleset, const struct hf_confine_place *place, bool truncate)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = ALLOWED_READS };
	HF_AUTO_FD fd = open(place->path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR;
	if (place->write)
		rule.allowed_access |= ALLOWED_WRITES;
	if (fstat(fd, &st))
		return false;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= OF_A_FILE;
	if (place->write && truncate)
		rule.allowed_access |= TRUNCATE;
	rule.parent_fd = fd;
	return !syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

enum hf_rc hf_landlock(const struct hf_confine_place *places, size_t n, struct hf_err *e)
{
	struct ruleset attr = { 0 };
	int version = hf_landlock_version();
	HF_AUTO_FD ruleset = -1;
	size_t i;

	if (version && places)
		attr.fs = READS | WRITES | (version >= 3 ? TRUNCATE : 0);
	if (version >= HF_LANDLOCK_SCOPES)
		attr.scoped = SIGNALS | (places ? ABSTRACT_SOCKETS : 0);
	if (!attr.fs && !attr.scoped)
		return HF_OK;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	for (i = 0; ruleset >= 0 && i < n; i++)
		if (!add_place(ruleset, &places[i], version >= 3))
			return hf_fail_errno(e, HF_FAILED, "%s", places[i].path);
	if (ruleset < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0))
		return hf_fail_errno(e, HF_FAILED, "Landlock");
	return HF_OK;
}
