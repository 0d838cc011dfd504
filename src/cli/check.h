/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h: what `holdfast check` looks at. A check is a row of a table; its function says what it
 * found with hf_check_say(), and the worst of that is its result. Without a word it is good.
 */
#ifndef HF_CLI_CHECK_H
#define HF_CLI_CHECK_H

#include <time.h>

#include "cli/config.h"
#include "cli/inventory.h"

enum hf_check_result { HF_CHECK_OK, HF_CHECK_SKIPPED, HF_CHECK_WARNING, HF_CHECK_ERROR };

struct hf_checkup {
	struct hf_cli *cli;
	bool fix, offline;
	time_t now;
	struct hf_inventory inventory;
	struct hf_config config;
	struct hf_prepared made; /* of it: what config apply would install; may be empty */
	struct hf_problems problems;
	struct hf_err config_err;   /* config.toml could not be read */
	json_object *keys, *tokens; /* of the broker, as `key show` and `token list` have them */
	json_object *broker;	    /* as `status` has it */
	struct hf_err broker_err;   /* HF_OK: the three are there */
	/* of the check that runs */
	enum hf_check_result result;
	json_object *findings;
};

struct hf_check {
	const char *id, *title;
	void (*run)(struct hf_checkup *k, const char *arg);
	const char *arg;
};

/* Each ends with id == NULL. */
extern const struct hf_check hf_checks_config[], hf_checks_files[], hf_checks_certs[],
	hf_checks_chains[], hf_checks_est[], hf_checks_daemons[], hf_checks_keys[],
	hf_checks_system[];

/* What is wrong, with what, and what to do about it. */
void hf_check_say(struct hf_checkup *k, enum hf_check_result result, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Something that was put right (--fix). */
void hf_check_fixed(struct hf_checkup *k, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* False, and the check is skipped, if it is not there. */
bool hf_check_needs_broker(struct hf_checkup *k);
bool hf_check_needs_agent(struct hf_checkup *k);  /* agent.json */
bool hf_check_needs_status(struct hf_checkup *k); /* status.json of an agent that runs */

/* A certificate's first name for messages: "edge-ca (/var/aziot/certs/edge-ca.pem)". */
const char *hf_check_name(const struct hf_credview *v, char *out, size_t size);

#endif
