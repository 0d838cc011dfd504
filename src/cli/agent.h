/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h: asking the certificate agent, over HTTP on its UNIX socket. One request, one answer, a
 * few headers: what libcurl would add to that are two dozen libraries in a process that reads
 * private keys from files.
 */
#ifndef HF_CLI_AGENT_H
#define HF_CLI_AGENT_H

#include "cli/cli.h"

#define HF_AGENT_MS	 20000u
#define HF_AGENT_WORK_MS 300000u /* an EST server may take its time */
#define HF_AGENT_MAX	 (4u << 20)

/*
 * @method and @path ("/holdfast/v1/status"), with @body as JSON unless NULL. *@reply is what came
 * back, the caller's; NULL if that was nothing. HF_UNAVAILABLE: no agent; HF_DENIED, HF_ARGUMENT,
 * HF_BUSY and HF_FAILED as the agent said, in its words.
 */
enum hf_rc hf_agent_ask(const struct hf_cli *c, const char *method, const char *path,
			json_object *body, unsigned timeout_ms, json_object **reply,
			struct hf_err *e);

/* "/holdfast/v1/credentials/ID/verb" into @out; HF_ARGUMENT if it does not fit. */
enum hf_rc hf_agent_path(char out[HF_PATH_MAX], const char *id, const char *verb, struct hf_err *e);

#endif
