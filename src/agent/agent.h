/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h: the agent proper: one thread, one loop; what has to be done when is the schedule's
 * business (schedule.h), how it is done renew.h's.
 */
#ifndef HF_AGENT_AGENT_H
#define HF_AGENT_AGENT_H

#include <time.h>

#include "agent/clock.h"
#include "agent/credential.h"
#include "agent/keys.h"
#include "base/buf.h"

/* Something that runs in the launcher: an enrolment or a hook. */
struct hf_running {
	unsigned serial; /* 0: free */
	size_t credential;
	int kind; /* enum hf_launch_kind */
	int fd;	  /* of an enrolment: the job goes out, the result comes in; -1: none */
	struct hf_buf out, in;
	size_t sent;
	uint8_t spki_sha256[32]; /* of an enrolment: the key to be certified */
	uint8_t cert_sha256[32]; /* of a hook: the certificate that it was told of */
	char trust[65];		 /* of an enrolment: anchors.h */
	bool told;		 /* its result has been taken; the process has not ended yet */
	bool own;		 /* the server sees the certificate that is to be replaced */
};

#define HF_RUNNING_MAX (2 * HF_CREDENTIALS_MAX)

struct hf_agent {
	struct hf_agent_settings *settings;
	const char *config;
	struct hf_credential *credentials; /* one for each of the settings */
	size_t n;
	struct hf_keys *keys;
	struct hf_clock clock;
	unsigned clock_steps; /* of it that everything is planned for */
	int control, signals, timer;
	unsigned serial;
	struct hf_running running[HF_RUNNING_MAX];
	char bundle_error[200];
	size_t bundle_n;
	struct timespec bundle_user;   /* when the user's file of it was changed last */
	char module_list[HF_PATH_MAX]; /* for hooks of issuers; "": none */
	struct hf_http *http;
	char modules_issuer[65]; /* the Edge CA that modules.c has seen last, hex */
	int64_t modules_next;	 /* when to look at the modules again */
	int64_t store_next;	 /* when to see which of clients' certificates have ended */
	size_t modules_n;	 /* with certificates, at the last look */
	size_t modules_failed;	 /* that should have been issued again then */
	char modules_error[300]; /* why one of them was not */
	uint64_t modules_issued; /* certificates of modules, since the start */
	bool changed, stopping;	 /* status.json is out of date; SIGTERM */
	int64_t bundle_next;	 /* when a certificate in it ends; HF_NEVER */
};

/* By id or alias; NULL if there is none. */
struct hf_credential *hf_agent_find(struct hf_agent *a, const char *id);
size_t hf_agent_index(const struct hf_agent *a, const struct hf_credential *c);

/* reload.c: each credential from its file and its record; and the other way round. */
enum hf_rc hf_agent_load_credentials(struct hf_agent *a, struct hf_err *e);
void hf_agent_drop_credentials(struct hf_credential *list, size_t n);

/* Another configuration; a broken one is said, and changes nothing. */
void hf_agent_reload(struct hf_agent *a);

/* The agent proper, in a process of its own; see hf_launch_args. @arg: const struct hf_agent_args
 */
struct hf_agent_args {
	const char *config;
	int ready_fd; /* gets a newline when it is ready; -1: nobody waits */
	bool unconfined;
};
int hf_agent_main(struct hf_agent_settings *settings, int control, void *arg);

/* What the process may still do, for good (src/confine). */
enum hf_rc hf_agent_confine(const struct hf_agent *a, struct hf_err *e);

#endif
