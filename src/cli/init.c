/* SPDX-License-Identifier: Apache-2.0 */
/* holdfast config init: a config.toml to begin with, all in comments. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "conf/load.h"

#define TEMPLATE HF_DATADIR "/config.toml.template"

/* What somebody wrote is not ours to replace, not even by accident: O_EXCL. */
static enum hf_rc write_new(const char *path, const struct hf_buf *text, struct hf_err *e)
{
	HF_AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum hf_rc rc;

	if (fd < 0 && errno == EEXIST)
		return hf_fail(e, HF_EXISTS,
			       "%s is there already, and stays as it is; write into it, or move it "
			       "away first",
			       path);
	if (fd < 0)
		return hf_fail_errno(e, HF_IO, "%s", path);
	if (write(fd, text->p, text->n) == (ssize_t)text->n && !fsync(fd))
		return HF_OK;
	rc = hf_fail_errno(e, HF_IO, "%s", path);
	(void)unlink(path);
	return rc;
}

enum hf_rc hf_config_run_init(struct hf_cli *c, struct hf_err *e)
{
	const char *from = hf_cli_option(c, "template"), *path = c->paths.config;
	HF_AUTO_BUF text = HF_BUF(HF_CONFIG_FILE_MAX);
	char dir[HF_PATH_MAX];
	enum hf_rc rc;

	from = from ? from : TEMPLATE;
	(void)hf_copy(dir, sizeof(dir), path);
	*strrchr(dir, '/') = '\0';
	rc = hf_file_read(from, false, &text, e);
	if (rc)
		return hf_within(e, "the template");
	if (!access(c->paths.legacy, F_OK) && access(path, F_OK))
		(void)fprintf(stderr,
			      "holdfast: note: %s is the configuration of IoT Edge 1.1; 'iotedge "
			      "config import' makes %s of it, 'config init' does not\n",
			      c->paths.legacy, path);
	rc = hf_dir_make(dir, 0755, e);
	if (!rc)
		rc = write_new(path, &text, e);
	if (!rc)
		rc = hf_dir_sync(dir, e);
	if (rc && rc != HF_EXISTS && c->paths.system && geteuid() != 0)
		return hf_within(e, "'config init' has to be run as root");
	if (rc)
		return rc;
	hf_out_text(c->result, "written", path);
	hf_out_line(c, "%s: written, all of it comments; then 'holdfast config check' and 'apply'",
		    path);
	return HF_OK;
}
