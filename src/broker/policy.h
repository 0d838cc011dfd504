/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h: who may do what with which key. Pure: no I/O, no clock, no logging.
 * Default deny; a right is there only if a grant gives it. The overflow uid is nobody.
 */
#ifndef HF_BROKER_POLICY_H
#define HF_BROKER_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "broker/settings.h"

enum hf_right {
	HF_RIGHT_PUBLIC = 1,
	HF_RIGHT_SIGN = 2,
	HF_RIGHT_CA = 4,
	HF_RIGHT_DECRYPT = 8,
	HF_RIGHT_DERIVE = 16,
	HF_RIGHT_CREATE = 32,
	HF_RIGHT_ROTATE = 64,
	HF_RIGHT_DELETE = 128,
	HF_RIGHT_ADMIN = 256,
};

#define HF_UID_OVERFLOW 65534u /* whom the kernel cannot name; so the group */
#define HF_GID_OVERFLOW 65534u
#define HF_GROUPS_MAX	64

/* A client, as the kernel recorded it when it connected. */
struct hf_principal {
	char socket[HF_NAME_SIZE]; /* it came in by */
	uid_t uid;
	gid_t groups[HF_GROUPS_MAX]; /* the primary one and the others */
	size_t n_groups;
	pid_t pid; /* for the audit only */
};

/* 0 if there is no right of that name. */
unsigned hf_right_parse(const char *name);

/* Its name; NULL beyond the last (from 0). */
const char *hf_right_name(size_t index, unsigned *right);

/*
 * The first grant that gives @who @right on the key called @key, for what @scheme names (NULL or
 * "": whatever it is); *@pattern, if not NULL, is the one that fits the key. NULL: nobody gives it.
 */
const struct hf_grant *hf_policy_grant(const struct hf_settings *s, const struct hf_principal *who,
				       const char *key, unsigned right, const char *scheme,
				       const char **pattern);

/* Is there one, whatever the scheme? */
bool hf_policy_allows(const struct hf_settings *s, const struct hf_principal *who, const char *key,
		      unsigned right);

/* Has @who @right on all keys, by the pattern "*"? */
bool hf_policy_on_all(const struct hf_settings *s, const struct hf_principal *who, unsigned right);

/* Has @who any of @rights on whatever key? */
bool hf_policy_holds(const struct hf_settings *s, const struct hf_principal *who, unsigned rights);

#endif
