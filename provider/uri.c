/* SPDX-License-Identifier: Apache-2.0 */
#include "uri.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "wire/mech.h"

#define SCHEME_LEN  (sizeof(HF_URI_SCHEME) - 1)
#define HASH_PREFIX "sha256:"

/* Percent-decodes @n bytes. False if malformed, too long, or with a NUL in it. */
static bool decode(char *out, size_t size, const char *p, size_t n)
{
	size_t used = 0, i;

	for (i = 0; i < n; i++) {
		char c = p[i];

		if (c == '%') {
			char hex[3] = { 0 };

			if (n - i < 3)
				return false;
			memcpy(hex, p + i + 1, 2);
			if (!hf_unhex(&c, 1, hex) || !c)
				return false;
			i += 2;
		}
		if (used + 1 >= size)
			return false;
		out[used++] = c;
	}
	out[used] = '\0';
	return true;
}

static enum hf_rc parse_query(const char *q, struct hf_uri *uri, struct hf_err *e)
{
	while (*q) {
		size_t n = strcspn(q, "&");

		if (strncmp(q, "cert=", 5) != 0)
			return hf_fail(e, HF_ARGUMENT,
				       "unknown parameter '%.*s': only cert=PATH is known",
				       (int)strcspn(q, "=&"), q);
		if (uri->cert[0])
			return hf_fail(e, HF_ARGUMENT, "cert= is given twice");
		if (!decode(uri->cert, sizeof(uri->cert), q + 5, n - 5) || !uri->cert[0])
			return hf_fail(e, HF_ARGUMENT,
				       "cert= needs a path, percent-encoded where needed");
		q += n + (q[n] == '&');
	}
	return HF_OK;
}

static enum hf_rc parse(const char *rest, struct hf_uri *uri, struct hf_err *e)
{
	size_t n = strcspn(rest, "?");
	char path[128];

	if (!decode(path, sizeof(path), rest, n))
		return hf_fail(e, HF_ARGUMENT, "not a name of a key, or badly percent-encoded");
	if (!n) {
		uri->kind = HF_URI_ALL;
	} else if (!strncmp(path, HASH_PREFIX, sizeof(HASH_PREFIX) - 1)) {
		uri->kind = HF_URI_GENERATION;
		if (!hf_unhex(uri->spki_sha256, 32, path + sizeof(HASH_PREFIX) - 1))
			return hf_fail(e, HF_ARGUMENT, "sha256: takes 64 hex digits");
	} else if (hf_key_name_ok(path) && hf_copy(uri->name, sizeof(uri->name), path)) {
		uri->kind = HF_URI_NAME;
	} else {
		return hf_fail(e, HF_ARGUMENT,
			       "'%.64s' is not a name of a key (1 to 63 of A-Z a-z 0-9 . _ -)",
			       path);
	}
	if (!rest[n])
		return HF_OK;
	if (uri->kind != HF_URI_NAME)
		return hf_fail(e, HF_ARGUMENT, "parameters are for holdfast:NAME only");
	return parse_query(rest + n + 1, uri, e);
}

enum hf_rc hf_uri_parse(const char *text, struct hf_uri *uri, struct hf_err *e)
{
	memset(uri, 0, sizeof(*uri));
	/* Schemes are case-insensitive (RFC 3986, section 3.1). */
	if (strncasecmp(text, HF_URI_SCHEME, SCHEME_LEN) != 0 || text[SCHEME_LEN] != ':')
		return hf_fail(e, HF_ARGUMENT, "not a holdfast: URI");
	if (parse(text + SCHEME_LEN + 1, uri, e))
		return hf_within(e, "%.200s", text);
	return HF_OK;
}
