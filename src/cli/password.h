/* SPDX-License-Identifier: Apache-2.0 */
/* password.h: the password of a file, from --password-file or the terminal. */
#ifndef HF_CLI_PASSWORD_H
#define HF_CLI_PASSWORD_H

#include "cli/cli.h"

#define HF_PASSWORD_MAX 1024

struct hf_password {
	const struct hf_cli *cli;
	const char *path; /* of the file that it opens */
	bool asked, none; /* a password was needed; there was nobody to give it */
	int n;		  /* of @kept; 0: not asked for yet */
	char kept[HF_PASSWORD_MAX];
};

/* As pem_password_cb: @arg is a struct hf_password. Asks once. The length, or -1. */
int hf_password_get(char *buf, int size, int writing, void *arg);

void hf_password_wipe(struct hf_password *p);

#endif
