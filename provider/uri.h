/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uri.h: holdfast:NAME, holdfast:NAME?cert=PATH, holdfast:sha256:HEX and holdfast:
 * (percent-encoding as in RFC 3986).
 */
#ifndef HF_PROVIDER_URI_H
#define HF_PROVIDER_URI_H

#include <stdint.h>

#include "base/err.h"
#include "base/file.h"

#define HF_URI_SCHEME "holdfast"

enum hf_uri_kind { HF_URI_ALL, HF_URI_NAME, HF_URI_GENERATION };

struct hf_uri {
	enum hf_uri_kind kind;
	char name[64];		 /* "" unless HF_URI_NAME */
	uint8_t spki_sha256[32]; /* of HF_URI_GENERATION */
	char cert[HF_PATH_MAX];	 /* path of the certificate that picks the generation, or "" */
};

/* Pure. HF_ARGUMENT, with a message that tells what is wrong with @text. */
enum hf_rc hf_uri_parse(const char *text, struct hf_uri *uri, struct hf_err *e);

#endif
