/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/p11uri.h"

#include <string.h>

#include "base/buf.h"

#define SCHEME "pkcs11:"

/* RFC 7512 2.3 */
static const char *const token_names[] = { "token",
					   "manufacturer",
					   "serial",
					   "model",
					   "library-manufacturer",
					   "library-version",
					   "library-description",
					   "slot-manufacturer",
					   "slot-description",
					   "slot-id" };
static const char *const object_names[] = { "object", "type", "id" };

static bool among(const char *const *names, size_t n, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], text, len))
			return true;
	return false;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool percent(const char *p, size_t n)
{
	return n >= 3 && p[0] == '%' && digit(p[1]) >= 0 && digit(p[2]) >= 0;
}

/* False for what is too long, malformed, or has a NUL in it. */
static bool decode(char *out, size_t size, const char *p, size_t n)
{
	size_t used = 0, i;

	for (i = 0; i < n; i++) {
		char c = p[i];

		if (c == '%') {
			if (!percent(p + i, n - i))
				return false;
			c = (char)(digit(p[i + 1]) << 4 | digit(p[i + 2]));
			i += 2;
		}
		if (!c || used + 1 >= size)
			return false;
		out[used++] = c;
	}
	out[used] = '\0';
	return true;
}

static bool append(char *out, const char *separator, const char *p, size_t n)
{
	size_t used = strlen(out), more = strlen(separator);

	if (used + more + n >= HF_P11URI_MAX)
		return false;
	memcpy(out + used, separator, more);
	memcpy(out + used + more, p, n);
	out[used + more + n] = '\0';
	return true;
}

static bool printable(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] == 0x7f || (p[i] == '%' && !percent(p + i, n - i)))
			return false;
	return true;
}

static const char *take_path(struct hf_p11uri *out, const char *p, size_t n)
{
	const char *equals = memchr(p, '=', n);
	size_t len = equals ? (size_t)(equals - p) : 0;

	if (!len || !printable(p, n))
		return "has an attribute that is no NAME=VALUE (a space is written %20)";
	if (among(token_names, HF_COUNT(token_names), p, len))
		return append(out->token, out->token[strlen(SCHEME)] ? ";" : "", p, n)
			       ? NULL
			       : "is too long";
	if (among(object_names, HF_COUNT(object_names), p, len))
		return append(out->object, out->object[0] ? ";" : "", p, n) ? NULL : "is too long";
	return "has an attribute that RFC 7512 does not know";
}

static const char *take_query(struct hf_p11uri *out, const char *p, size_t n)
{
	static const char file[] = "file:";
	char source[HF_P11URI_MAX];
	const char *equals = memchr(p, '=', n), *value = equals ? equals + 1 : p;
	size_t len = equals ? (size_t)(equals - p) : 0, rest = n - (size_t)(value - p);

	if (!len)
		return "has an attribute that is no NAME=VALUE";
	if (len == 9 && !memcmp(p, "pin-value", 9))
		return decode(out->pin, sizeof(out->pin), value, rest) && out->pin[0]
			       ? NULL
			       : "has a pin-value that is empty, too long or malformed";
	if (len == 11 && !memcmp(p, "module-path", 11))
		return decode(out->module, sizeof(out->module), value, rest)
			       ? NULL
			       : "has a module-path that is malformed";
	if (len != 10 || memcmp(p, "pin-source", 10))
		return NULL; /* module-name, and what vendors have */
	if (!decode(source, sizeof(source), value, rest))
		return "has a pin-source that is malformed";
	value = !strncmp(source, file, strlen(file)) ? source + strlen(file) : source;
	if (!strncmp(value, "///", 3))
		value += 2;
	if (value[0] != '/')
		return "has a pin-source that is not a file";
	(void)hf_copy(out->pin_file, sizeof(out->pin_file), value);
	return NULL;
}

static const char *each(struct hf_p11uri *out, const char *p, size_t n, const char *separators,
			const char *(*take)(struct hf_p11uri *, const char *, size_t))
{
	const char *end = p + n, *wrong = NULL;
	size_t len;

	for (; !wrong && p < end; p += len + 1) {
		len = strcspn(p, separators);
		if (len > (size_t)(end - p))
			len = (size_t)(end - p);
		wrong = take(out, p, len);
	}
	return wrong;
}

const char *hf_p11uri_parse(struct hf_p11uri *out, const char *text)
{
	const char *path, *query, *wrong;

	memset(out, 0, sizeof(*out));
	if (strncmp(text, SCHEME, strlen(SCHEME)))
		return "does not start with pkcs11:";
	(void)hf_copy(out->token, sizeof(out->token), SCHEME);
	path = text + strlen(SCHEME);
	query = path + strcspn(path, "?");
	wrong = each(out, path, (size_t)(query - path), ";", take_path);
	if (!wrong && *query)
		wrong = each(out, query + 1, strlen(query + 1), "&", take_query);
	return wrong;
}

bool hf_p11uri_within(const char *one, const char *other)
{
	const char *p, *q;
	size_t n, m;

	for (p = one + strlen(SCHEME); *p; p += n + (p[n] == ';')) {
		n = strcspn(p, ";");
		for (q = other + strlen(SCHEME); *q; q += m + (q[m] == ';')) {
			m = strcspn(q, ";");
			if (n == m && !memcmp(p, q, n))
				break;
		}
		if (!*q)
			return false;
	}
	return true;
}
