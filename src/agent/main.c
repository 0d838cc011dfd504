/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast-agent: options and settings; then the launcher, and in it the agent. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/launch.h"
#include "agent/listen.h"
#include "base/log.h"
#include "base/process.h"

#define CONFIG_DEFAULT "/etc/holdfast/agent.json"

static const struct option options[] = {
	{ "root", required_argument, NULL, 'r' },
	{ "config", required_argument, NULL, 'c' },
	{ "est", required_argument, NULL, 'e' },
	{ "ready-fd", required_argument, NULL, 'f' },
	{ "unconfined", no_argument, NULL, 'u' },
	{ "log-level", required_argument, NULL, 'l' },
	{ "version", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
	"usage: holdfast-agent [--root DIR] [--config FILE] [--est PATH] [--ready-fd N]\n"
	"                      [--log-level error|warning|notice|info|debug] [--unconfined]\n"
	"                      [--version]\n";

static int level_of(const char *name)
{
	static const char *const names[] = { "error", "warning", "notice", "info", "debug" };
	size_t i;

	for (i = 0; i < HF_COUNT(names); i++)
		if (!strcmp(names[i], name))
			return HF_LOG_ERR + (int)i;
	return -1;
}

/* False: it is none. */
static bool take_option(int c, struct hf_launch_args *l, struct hf_agent_args *a, char *config)
{
	char *end;
	int level;

	switch (c) {
	case 'r':
		return !hf_path_join(config, optarg, "etc/agent.json", NULL);
	case 'c':
		return hf_copy(config, HF_PATH_MAX, optarg);
	case 'e':
		l->est = optarg;
		return true;
	case 'f':
		a->ready_fd = (int)strtol(optarg, &end, 10);
		return !*end && a->ready_fd >= 0 && a->ready_fd <= 1023;
	case 'l':
		level = level_of(optarg);
		if (level >= 0)
			hf_log_init("holdfast-agent", (enum hf_log_level)level);
		return level >= 0;
	case 'u': /* for debuggers, and kernels without seccomp */
		a->unconfined = true;
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static char config[HF_PATH_MAX] = CONFIG_DEFAULT;
	struct hf_agent_args a = { .config = config, .ready_fd = -1 };
	struct hf_launch_args l = {
		.config = config, .est = HF_EST_PATH, .agent = hf_agent_main, .arg = &a
	};
	struct hf_err err = HF_ERR_INIT;
	int c;

	hf_log_init("holdfast-agent", HF_LOG_NOTICE);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'v' || c == 'h') {
			(void)fputs(c == 'v' ? "holdfast-agent " HF_VERSION "\n" : usage, stdout);
			return 0;
		}
		if (!take_option(c, &l, &a, config)) {
			(void)fputs(usage, stderr);
			return 2;
		}
	}
	if (optind != argc) {
		(void)fputs(usage, stderr);
		return 2;
	}
	hf_process_harden();
	(void)signal(SIGPIPE, SIG_IGN);
	l.settings = hf_agent_settings_load(config, &err);
	if (!l.settings) {
		hf_log(HF_LOG_ERR, "%s", err.msg);
		return err.rc == HF_IO ? 2 : hf_rc_exit(err.rc); /* no file */
	}
	if (hf_listen_take(l.settings, &err)) {
		hf_log(HF_LOG_ERR, "%s", err.msg);
		hf_agent_settings_free(l.settings);
		return hf_rc_exit(err.rc);
	}
	return hf_launch_main(&l);
}
