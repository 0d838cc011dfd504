/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/password.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/file.h"

static int from_file(const char *path, char *buf, int size)
{
	HF_AUTO_BUF text = HF_BUF(4096);
	struct hf_err e = HF_ERR_INIT;
	size_t n;

	if (hf_file_read(path, false, &text, &e) || !text.n)
		return -1;
	n = strcspn((const char *)text.p, "\r\n");
	if (n >= (size_t)size)
		return -1;
	memcpy(buf, text.p, n);
	return (int)n;
}

static int from_terminal(const char *path, char *buf, int size)
{
	char prompt[160];

	if (!isatty(STDIN_FILENO))
		return -1;
	(void)snprintf(prompt, sizeof(prompt), "Password of %.100s: ", path);
	return EVP_read_pw_string(buf, size, prompt, 0) ? -1 : (int)strlen(buf);
}

int hf_password_get(char *buf, int size, int writing, void *arg)
{
	struct hf_password *p = arg;
	const char *file = hf_cli_option(p->cli, "password-file");

	(void)writing;
	if (!p->asked) {
		p->asked = true;
		p->n = file ? from_file(file, p->kept, sizeof(p->kept))
			    : from_terminal(p->path, p->kept, sizeof(p->kept));
		p->none = p->n < 0;
	}
	if (p->n < 0 || p->n > size)
		return -1;
	memcpy(buf, p->kept, (size_t)p->n);
	return p->n;
}

void hf_password_wipe(struct hf_password *p)
{
	explicit_bzero(p->kept, sizeof(p->kept));
	p->n = 0;
}
