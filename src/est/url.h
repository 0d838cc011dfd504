/* SPDX-License-Identifier: Apache-2.0 */
/* url.h: where the server is, and that nothing leads elsewhere. Pure. */
#ifndef HF_EST_URL_H
#define HF_EST_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define HF_URL_MAX 1024

struct hf_url {
	char host[256]; /* without brackets */
	char port[6];
	bool ip6;
	char path[512];	  /* "/.well-known/est" or "/.well-known/est/LABEL" */
	char origin[280]; /* "https://host:port" */
};

/*
 * Reads https://HOST[:PORT][/.well-known/est[/LABEL]]. HF_ARGUMENT says what is wrong.
 * A label is not the name of an operation (RFC 7030, section 3.2.2).
 */
enum hf_rc hf_est_url_parse(const char *text, struct hf_url *url, struct hf_err *e);

/* URL of an operation. @out has HF_URL_MAX bytes. */
void hf_est_url_op(const struct hf_url *url, const char *op, char *out);

/*
 * Resolves a Location against @from (a URL of this origin). HF_DENIED if it leads to another
 * origin, HF_ARGUMENT if it is no URL. @out has HF_URL_MAX bytes.
 */
enum hf_rc hf_est_url_redirect(const struct hf_url *url, const char *from, const char *location,
			       char *out, struct hf_err *e);

#endif
