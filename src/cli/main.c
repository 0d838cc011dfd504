/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast: the command. Reads the command line, runs one command, shows its result. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/session.h"

static enum hf_rc find_paths(struct hf_cli *c, struct hf_err *e)
{
	const char *root = hf_cli_option(c, "root");
	char cwd[HF_PATH_MAX];

	if (root && !root[0])
		return hf_fail(e, HF_ARGUMENT, "--root needs a directory");
	if (!root)
		root = secure_getenv("HOLDFAST_ROOT"); /* swtpm-ci/with-holdfast sets it */
	if (!root || !root[0])
		return hf_paths_init(&c->paths, NULL, e);
	if (root[0] == '/') {
		if (!hf_copy(c->root, sizeof(c->root), root))
			return hf_fail(e, HF_ARGUMENT, "--root %.60s... is too long", root);
	} else {
		/* The daemon that reads the paths has another working directory. */
		if (!getcwd(cwd, sizeof(cwd)))
			return hf_fail_errno(e, HF_IO, "working directory");
		if (hf_path_join(c->root, cwd, root, e))
			return e->rc;
	}
	return hf_paths_init(&c->paths, c->root, e);
}

int main(int argc, char **argv)
{
	struct hf_err e = HF_ERR_INIT;
	struct hf_cli c;
	enum hf_rc rc;
	bool help;
	int code;

	memset(&c, 0, sizeof(c));
	hf_log_init("holdfast", HF_LOG_WARN);
	/* What is signed here is decided here: no engine, no provider from a configuration. */
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	c.result = json_object_new_object();
	if (!c.result)
		return 1;
	rc = hf_cli_parse(&c, argc, argv, &help, &e);
	if (help && (!rc || c.noun || argc == 2)) {
		hf_help_print(c.noun, c.command);
		rc = hf_out_flush(&e);
		if (rc)
			(void)fprintf(stderr, "holdfast: %s\n", e.msg);
		json_object_put(c.result);
		return hf_rc_exit(rc);
	}
	if (!rc)
		rc = find_paths(&c, &e);
	if (!rc)
		rc = c.command->run(&c, &e);
	code = hf_out_finish(&c, rc, &e);
	hf_session_close(&c);
	json_object_put(c.result);
	return code;
}
