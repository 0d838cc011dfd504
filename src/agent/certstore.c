/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/certstore.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#define SHOWN 32 /* characters of the id in the name, for people */

enum hf_rc hf_certstore_path(char out[HF_PATH_MAX], const char *dir, const char *id,
			     const char *suffix, struct hf_err *e)
{
	char name[SHOWN + 80], hex[65];
	unsigned char hash[32];
	size_t n = 0;
	const char *p;

	if (!EVP_Q_digest(NULL, "SHA256", NULL, id, strlen(id), hash, NULL))
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	for (p = id; *p && n < SHOWN; p++)
		if (isalnum((unsigned char)*p))
			name[n++] = *p;
	(void)snprintf(name + n, sizeof(name) - n, "-%s.%s", hf_hex(hex, sizeof(hex), hash, 32),
		       suffix);
	return hf_path_join(out, dir, name, e);
}

size_t hf_certstore_count(const char *dir)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	size_t n = 0;

	while (d && (entry = readdir(d)))
		n += entry->d_name[0] != '.';
	if (d)
		(void)closedir(d);
	return n;
}

static enum hf_rc path_of(char dir[HF_PATH_MAX], char out[HF_PATH_MAX], const char *state_dir,
			  const char *id, struct hf_err *e)
{
	enum hf_rc rc = hf_path_join(dir, state_dir, "issued", e);

	return rc ? rc : hf_certstore_path(out, dir, id, "pem", e);
}

enum hf_rc hf_certstore_get(const char *state_dir, const char *id, struct hf_buf *pem,
			    struct hf_err *e)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	enum hf_rc rc = path_of(dir, path, state_dir, id, e);

	if (rc)
		return rc;
	if (access(path, F_OK) && errno == ENOENT)
		return hf_fail(e, HF_NO_KEY, "there is no certificate \"%.100s\"", id);
	return hf_file_read(path, true, pem, e);
}

enum hf_rc hf_certstore_put(const char *state_dir, const char *id, const void *pem, size_t n,
			    struct hf_err *e)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	enum hf_rc rc = path_of(dir, path, state_dir, id, e);

	if (!rc)
		rc = hf_dir_make(dir, 0700, e);
	if (rc)
		return rc;
	if (access(path, F_OK) && hf_certstore_count(dir) >= HF_CERTSTORE_MAX)
		return hf_fail(e, HF_BUSY,
			       "there are %d certificates already; DELETE those that nobody "
			       "needs, or remove files of %s",
			       HF_CERTSTORE_MAX, dir);
	return hf_file_replace(path, pem, n, 0600, e);
}

enum hf_rc hf_certstore_delete(const char *state_dir, const char *id, struct hf_err *e)
{
	char dir[HF_PATH_MAX], path[HF_PATH_MAX];
	enum hf_rc rc = path_of(dir, path, state_dir, id, e);

	if (rc)
		return rc;
	if (unlink(path) && errno != ENOENT)
		return hf_fail_errno(e, HF_IO, "%s: cannot remove it", path);
	return HF_OK;
}
