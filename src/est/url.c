/* SPDX-License-Identifier: Apache-2.0 */
#include "est/url.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/log.h"

#define WELL_KNOWN "/.well-known/est"

/* "host", "host:port", "[v6]:port" of @n bytes. */
static enum hf_rc read_authority(const char *p, size_t n, struct hf_url *url, struct hf_err *e)
{
	const char *end = p + n, *colon;
	size_t len, i;
	long port = 443;

	url->ip6 = n && *p == '[';
	if (memchr(p, '@', n))
		return hf_fail(e, HF_ARGUMENT,
			       "user and password do not belong into the URL; give them apart");
	if (url->ip6) {
		const char *close = memchr(p, ']', n);

		if (!close)
			return hf_fail(e, HF_ARGUMENT, "the bracket of the address is not closed");
		len = (size_t)(close - ++p);
		colon = close + 1;
	} else {
		colon = memchr(p, ':', n);
		colon = colon ? colon : end;
		len = (size_t)(colon - p);
	}
	if (!len || len >= sizeof(url->host))
		return hf_fail(e, HF_ARGUMENT, "there is no host in the URL, or a very long one");
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)p[i]) && !strchr(url->ip6 ? ":." : ".-_", p[i]))
			return hf_fail(e, HF_ARGUMENT,
				       "the host of the URL has a character that "
				       "no host name has");
	memcpy(url->host, p, len);
	url->host[len] = '\0';
	if (colon < end) {
		char digits[6];
		size_t n_digits = (size_t)(end - colon - 1);

		if (*colon != ':' || !n_digits || n_digits >= sizeof(digits))
			return hf_fail(e, HF_ARGUMENT, "the port of the URL is no number");
		memcpy(digits, colon + 1, n_digits);
		digits[n_digits] = '\0';
		port = strspn(digits, "0123456789") == n_digits ? strtol(digits, NULL, 10) : 0;
		if (port < 1 || port > 65535)
			return hf_fail(e, HF_ARGUMENT, "the port of the URL is not 1 to 65535");
	}
	(void)snprintf(url->port, sizeof(url->port), "%u", (unsigned)port & 0xffff);
	(void)snprintf(url->origin, sizeof(url->origin), "https://%s%s%s:%s", url->ip6 ? "[" : "",
		       url->host, url->ip6 ? "]" : "", url->port);
	return HF_OK;
}

static enum hf_rc read_path(const char *p, struct hf_url *url, struct hf_err *e)
{
	static const char *const ops[] = { "cacerts",	  "simpleenroll", "simplereenroll",
					   "fullcmc",	  "serverkeygen", "csrattrs",
					   "renewal-info" };
	size_t n = strlen(p), i;

	while (n && p[n - 1] == '/')
		n--;
	if (n >= sizeof(url->path))
		return hf_fail(e, HF_ARGUMENT, "the path of the URL is too long");
	for (i = 0; i < n; i++)
		if ((unsigned char)p[i] <= 0x20 || (unsigned char)p[i] >= 0x7f ||
		    strchr("?#\\\"<>", p[i]))
			return hf_fail(e, HF_ARGUMENT,
				       "the URL has a query, a fragment or a character that no URL "
				       "has");
	memcpy(url->path, p, n);
	url->path[n] = '\0';
	if (!n)
		return hf_copy(url->path, sizeof(url->path), WELL_KNOWN) ? HF_OK : HF_FAILED;
	n = sizeof(WELL_KNOWN) - 1;
	if (strncmp(url->path, WELL_KNOWN, n) || (url->path[n] && url->path[n] != '/'))
		return hf_fail(e, HF_ARGUMENT,
			       "the path of the URL does not begin with " WELL_KNOWN
			       " (nothing, or that and a label)");
	if (!url->path[n])
		return HF_OK;
	p = url->path + n + 1;
	if (strchr(p, '/') || !strcmp(p, ".") || !strcmp(p, ".."))
		return hf_fail(e, HF_ARGUMENT, "there is more than one label in the URL");
	for (i = 0; i < HF_COUNT(ops); i++)
		if (!strcmp(p, ops[i]))
			return hf_fail(e, HF_ARGUMENT,
				       "'%s' is an operation, no label: leave it out of the URL",
				       p);
	return HF_OK;
}

enum hf_rc hf_est_url_parse(const char *text, struct hf_url *url, struct hf_err *e)
{
	char shown[160];
	size_t n;

	memset(url, 0, sizeof(*url));
	if (strncasecmp(text, "https://", 8)) {
		hf_fail(e, HF_ARGUMENT, "EST is spoken over https:// only (RFC 7030)");
	} else {
		n = strcspn(text + 8, "/?#\\");
		if (!read_authority(text + 8, n, url, e) && !read_path(text + 8 + n, url, e))
			return HF_OK;
	}
	/* up to a password that somebody put there */
	n = strchr(text, '@') ? 0 : strlen(text);
	return hf_within(e, "%s", n ? hf_escape(shown, sizeof(shown), text, n) : "the URL");
}

void hf_est_url_op(const struct hf_url *url, const char *op, char *out)
{
	(void)snprintf(out, HF_URL_MAX, "%s%s/%s", url->origin, url->path, op);
}

enum hf_rc hf_est_url_redirect(const struct hf_url *url, const char *from, const char *location,
			       char *out, struct hf_err *e)
{
	char absolute[HF_URL_MAX], shown[160];
	struct hf_url to = { 0 };
	const char *rest;
	size_t n = strlen(location), i;
	int wrote;

	hf_escape(shown, sizeof(shown), location, n);
	for (i = 0; i < n; i++)
		if ((unsigned char)location[i] <= 0x20 || (unsigned char)location[i] >= 0x7f ||
		    strchr("\\\"<>#", location[i]))
			return hf_fail(e, HF_ARGUMENT, "the server redirects to '%s', no URL",
				       shown);
	if (!strncmp(location, "//", 2))
		wrote = snprintf(absolute, sizeof(absolute), "https:%s", location);
	else if (*location == '/')
		wrote = snprintf(absolute, sizeof(absolute), "%s%s", url->origin, location);
	else if (strstr(location, "://"))
		wrote = snprintf(absolute, sizeof(absolute), "%s", location);
	else
		wrote = snprintf(absolute, sizeof(absolute), "%.*s%s",
				 (int)(strrchr(from, '/') - from + 1), from, location);
	if (!n || wrote < 0 || wrote >= (int)sizeof(absolute))
		return hf_fail(e, HF_ARGUMENT, "the server redirects to '%s', no URL", shown);
	if (strncasecmp(absolute, "https://", 8))
		return hf_fail(e, HF_DENIED, "the server redirects to '%s', which is not https",
			       shown);
	rest = absolute + 8;
	i = strcspn(rest, "/?");
	if (read_authority(rest, i, &to, e))
		return hf_within(e, "the server redirects to '%s'", shown);
	if (strcasecmp(to.host, url->host) || strcmp(to.port, url->port))
		return hf_fail(e, HF_DENIED,
			       "the server redirects to another one, '%s', which is not followed: "
			       "if that is right, configure its URL",
			       shown);
	wrote = snprintf(out, HF_URL_MAX, "%s%s%s", url->origin, rest[i] == '/' ? "" : "/",
			 rest + i);
	return wrote < HF_URL_MAX ? HF_OK : hf_fail(e, HF_ARGUMENT, "the redirect is too long");
}
