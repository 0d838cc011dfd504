/* SPDX-License-Identifier: Apache-2.0 */
/* holdfastd: options, settings, sockets; then the warden. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/process.h"
#include "broker/warden.h"

#define CONFIG_DEFAULT "/etc/holdfast/holdfastd.json"

static const struct option options[] = {
	{ "root", required_argument, NULL, 'r' },
	{ "config", required_argument, NULL, 'c' },
	{ "keeper", required_argument, NULL, 'k' },
	{ "ready-fd", required_argument, NULL, 'f' },
	{ "unconfined", no_argument, NULL, 'u' },
	{ "log-level", required_argument, NULL, 'l' },
	{ "version", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
	"usage: holdfastd [--root DIR] [--config FILE] [--keeper PATH] [--ready-fd N]\n"
	"                 [--log-level error|warning|notice|info|debug] [--unconfined]\n"
	"                 [--version]\n";

static int level_of(const char *name)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = { { "error", HF_LOG_ERR },
		       { "warning", HF_LOG_WARN },
		       { "notice", HF_LOG_NOTICE },
		       { "info", HF_LOG_INFO },
		       { "debug", HF_LOG_DEBUG } };
	size_t i;

	for (i = 0; i < HF_COUNT(levels); i++)
		if (!strcmp(levels[i].name, name))
			return levels[i].level;
	return -1;
}

/* 0: go on; else an exit code plus one. */
static int read_options(int argc, char **argv, struct hf_warden_args *a, char *config)
{
	char *end;
	int c, level;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			if (hf_path_join(config, optarg, "etc/holdfastd.json", NULL))
				return 3;
			break;
		case 'c':
			if (!hf_copy(config, HF_PATH_MAX, optarg))
				return 3;
			break;
		case 'k':
			a->keeper = optarg;
			break;
		case 'f':
			a->ready_fd = (int)strtol(optarg, &end, 10);
			if (*end || a->ready_fd < 0 || a->ready_fd > 1023)
				return 3;
			break;
		case 'l':
			level = level_of(optarg);
			if (level < 0)
				return 3;
			hf_log_init("holdfastd", (enum hf_log_level)level);
			break;
		case 'u': /* for debuggers, and kernels without seccomp */
			a->unconfined = true;
			break;
		case 'v':
			(void)puts("holdfastd " HF_VERSION);
			return 1;
		case 'h':
			(void)fputs(usage, stdout);
			return 1;
		default:
			return 3;
		}
	}
	return optind == argc ? 0 : 3;
}

int main(int argc, char **argv)
{
	static struct hf_listeners listeners;
	static char config[HF_PATH_MAX] = CONFIG_DEFAULT;
	struct hf_warden_args a = {
		.listeners = &listeners, .config = config, .keeper = HF_KEEPER_PATH, .ready_fd = -1
	};
	struct hf_err err = HF_ERR_INIT;
	int done;

	hf_log_init("holdfastd", HF_LOG_NOTICE);
	done = read_options(argc, argv, &a, config);
	if (done) {
		if (done > 1)
			(void)fputs(usage, stderr);
		return done - 1;
	}
	hf_process_harden();
	(void)signal(SIGPIPE, SIG_IGN);
	hf_log_never_wait();
	if (!hf_principal_check_namespace(&err))
		a.settings = hf_settings_load(config, &err);
	if (!a.settings || hf_listeners_open(&listeners, a.settings, &err)) {
		hf_log(HF_LOG_ERR, "%s", err.msg);
		done = !a.settings && err.rc == HF_IO ? 2 : hf_rc_exit(err.rc); /* no file */
		hf_settings_free(a.settings);
		return done;
	}
	done = hf_warden_main(&a);
	hf_listeners_close(&listeners);
	hf_settings_free(a.settings);
	return done;
}
