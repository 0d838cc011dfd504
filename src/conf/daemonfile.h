/* SPDX-License-Identifier: Apache-2.0 */
/* daemonfile.h: holdfastd.json out of a checked configuration (docs/ARCHITECTURE.md). */
#ifndef HF_CONF_DAEMONFILE_H
#define HF_CONF_DAEMONFILE_H

#include "conf/making.h"

/*
 * @m->root has passed hf_conf_check(). What only shows in the whole (names twice, users that
 * do not exist, sockets nobody defined) is added to @m->p. NULL if there was an error; else
 * the caller's (json_object_put).
 */
json_object *hf_daemonfile_make(const struct hf_making *m);

/*
 * Does a holdfastd that runs on @old have to be restarted for @fresh? Otherwise SIGHUP is
 * enough. @old == NULL: it is not known.
 */
bool hf_daemonfile_needs_restart(json_object *old, json_object *fresh);

#endif
