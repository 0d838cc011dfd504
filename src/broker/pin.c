/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/pin.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"

#define PIN_FORMAT "{\n  \"version\": 1,\n  \"primary_name\": \"%s\"\n}\n"
#define PIN_SCAN   "{ \"version\": 1, \"primary_name\": \"%255[0-9a-f]\""

static enum hf_rc path_of(char out[HF_PATH_MAX], const char *state_dir, const char *token,
			  struct hf_err *e)
{
	if (snprintf(out, HF_PATH_MAX, "%s/tokens/%s.json", state_dir, token) >= HF_PATH_MAX)
		return hf_fail(e, HF_ARGUMENT, "path of the pin is too long");
	return HF_OK;
}

size_t hf_pin_read(const char *state_dir, const char *token, uint8_t *out, size_t size,
		   struct hf_err *e)
{
	HF_AUTO_BUF text = HF_BUF(4096);
	char path[HF_PATH_MAX], hex[256];

	if (path_of(path, state_dir, token, e) || access(path, F_OK))
		return 0;
	if (!hf_file_read(path, true, &text, e) && text.p &&
	    sscanf((const char *)text.p, PIN_SCAN, hex) == 1 && strlen(hex) / 2 <= size &&
	    hf_unhex(out, strlen(hex) / 2, hex) && strlen(hex) >= 2)
		return strlen(hex) / 2;
	(void)hf_fail(e, HF_CORRUPT,
		      "%s is damaged; if this is the right TPM, move the file away and restart",
		      path);
	out[0] = 0;
	return 1;
}

enum hf_rc hf_pin_write(const char *state_dir, const char *token, const uint8_t *p, size_t n,
			struct hf_err *e)
{
	char path[HF_PATH_MAX], dir[HF_PATH_MAX], hex[256], text[512];
	enum hf_rc rc = path_of(path, state_dir, token, e);

	if (!rc)
		rc = hf_path_join(dir, state_dir, "tokens", e);
	if (!rc)
		rc = hf_dir_make(dir, 0700, e);
	if (rc)
		return rc;
	(void)snprintf(text, sizeof(text), PIN_FORMAT, hf_hex(hex, sizeof(hex), p, n));
	return hf_file_replace(path, text, strlen(text), 0600, e);
}
