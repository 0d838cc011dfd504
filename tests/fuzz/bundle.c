/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a file is that somebody gives to `holdfast convert`: read, put in order, described. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/bundle.h"
#include "cli/certview.h"
#include "cli/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* In place of the command line: the password is always "x". */
const char *hf_cli_option(const struct hf_cli *c, const char *name)
{
	static char path[64];
	int fd;

	(void)c;
	if (strcmp(name, "password-file"))
		return NULL;
	if (!path[0]) {
		fd = memfd_create("password", MFD_CLOEXEC);
		if (fd < 0 || write(fd, "x\n", 2) != 2)
			abort();
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	return path;
}

static void describe(const struct hf_bundle *b)
{
	struct hf_chain chain;
	int i;

	hf_chain_find(b->certs, b->keys, b->n_keys, &chain);
	for (i = 0; i < sk_X509_num(b->certs); i++) {
		json_object *o = hf_certview_json(sk_X509_value(b->certs, i), 1800000000);

		(void)hf_chain_role(b->certs, &chain, i);
		if (!strlen(json_object_to_json_string(o)))
			abort();
		json_object_put(o);
	}
	for (i = 0; i < (int)chain.n; i++)
		if (chain.path[i] < 0 || chain.path[i] >= sk_X509_num(b->certs))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	HF_AUTO_BUF file = HF_BUF(HF_BUNDLE_MAX);
	struct hf_err e = HF_ERR_INIT;
	struct hf_bundle b;

	hf_buf_add(&file, p, n);
	if (!file.bad) {
		if (!hf_bundle_memory(NULL, "file", &file, &b, &e))
			describe(&b);
		else if (!e.msg[0])
			abort(); /* an error without a word */
		hf_bundle_free(&b);
	}
	return 0;
}
