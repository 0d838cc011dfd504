/* SPDX-License-Identifier: Apache-2.0 */
/* service.h: the daemons as systemd runs them. */
#ifndef HF_CLI_SERVICE_H
#define HF_CLI_SERVICE_H

#include <stdbool.h>

#include "base/err.h"

enum hf_service {
	HF_SERVICE_ALONE, /* systemd is not in charge here */
	HF_SERVICE_STOPPED,
	HF_SERVICE_RELOADED,
	HF_SERVICE_RESTARTED,
};

/*
 * Has a running @daemon ("holdfastd") take its configuration, by a restart if @restart. One that
 * does not run is not started, but one that failed is: systemd has given up on a broken
 * configuration (RestartPreventExitStatus=). @what tells what was done. HF_FAILED: it does not run
 * with it.
 */
enum hf_rc hf_service_take(const char *daemon, bool restart, enum hf_service *what,
			   struct hf_err *e);

#endif
