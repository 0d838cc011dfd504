/* SPDX-License-Identifier: Apache-2.0 */
#include "est/header.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

/* RFC 9110, section 5.6.7: one form to send, and two to understand. */
static bool read_date(const char *text, time_t *t)
{
	static const char *const forms[] = {
		"%a, %d %b %Y %H:%M:%S GMT", /* IMF-fixdate */
		"%A, %d-%b-%y %H:%M:%S GMT", /* RFC 850 */
		"%a %b %e %H:%M:%S %Y",	     /* asctime() */
	};
	const char *end;
	struct tm tm;
	size_t i;

	for (i = 0; i < HF_COUNT(forms); i++) {
		memset(&tm, 0, sizeof(tm));
		end = strptime(text, forms[i], &tm);
		if (!end || end[strspn(end, " \t")])
			continue;
		*t = timegm(&tm);
		return true;
	}
	return false;
}

bool hf_retry_after(const char *text, time_t now, uint32_t *seconds)
{
	time_t date;
	int64_t n;
	size_t digits;

	*seconds = HF_RETRY_MIN;
	text += strspn(text, " \t");
	digits = strspn(text, "0123456789");
	if (digits && !text[digits + strspn(text + digits, " \t")]) {
		n = digits > 9 ? (int64_t)HF_RETRY_MAX : strtoll(text, NULL, 10);
	} else {
		if (!read_date(text, &date))
			return false;
		n = (int64_t)date - (int64_t)now;
	}
	*seconds = n < HF_RETRY_MIN ? HF_RETRY_MIN : n > HF_RETRY_MAX ? HF_RETRY_MAX : (uint32_t)n;
	return true;
}

bool hf_media_type(const char *header, const char *type)
{
	size_t n = strlen(type);

	header += strspn(header, " \t");
	return !strncasecmp(header, type, n) && strchr("; \t,", header[n]);
}

/* ---------------------------------------------------------------- WWW-Authenticate */

static size_t token_length(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || (p[n] && strchr("!#$%&'*+-.^_`|~", p[n])))
		n++;
	return n;
}

/* A token or a quoted string, into @out; too long a value is no value. Returns what follows. */
static const char *read_value(const char *p, char *out, size_t size)
{
	size_t n = 0;
	bool fits = true;

	if (*p != '"') {
		size_t len = token_length(p);

		while (p[len] && !strchr(", \t", p[len]))
			len++; /* base64 with = and /, say */
		if (len < size)
			memcpy(out, p, len);
		out[len < size ? len : 0] = '\0';
		return p + len;
	}
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
		fits = fits && n + 1 < size;
		if (fits)
			out[n++] = *p;
	}
	out[fits ? n : 0] = '\0';
	return *p ? p + 1 : p;
}

/* The parameters of one Digest challenge while they are read. */
struct digest {
	bool here, known, sess, auth, other_qop, stale;
	enum hf_digest_alg alg;
	char realm[256], nonce[512], opaque[512];
};

static bool list_has(const char *list, const char *word)
{
	size_t n = strlen(word);

	while (*list) {
		list += strspn(list, ", \t");
		if (!strncasecmp(list, word, n) && strchr(", \t", list[n]))
			return true;
		list += strcspn(list, ", \t");
	}
	return false;
}

static void take_parameter(struct digest *d, const char *name, size_t n, const char *value)
{
	static const struct {
		const char *name;
		enum hf_digest_alg alg;
		bool sess;
	} algs[] = {
		{ "MD5", HF_DIGEST_MD5, false },
		{ "MD5-sess", HF_DIGEST_MD5, true },
		{ "SHA-256", HF_DIGEST_SHA256, false },
		{ "SHA-256-sess", HF_DIGEST_SHA256, true },
	};
	size_t i;

	if (n == 5 && !strncasecmp(name, "realm", n))
		(void)hf_copy(d->realm, sizeof(d->realm), value);
	else if (n == 5 && !strncasecmp(name, "nonce", n))
		(void)hf_copy(d->nonce, sizeof(d->nonce), value);
	else if (n == 6 && !strncasecmp(name, "opaque", n))
		(void)hf_copy(d->opaque, sizeof(d->opaque), value);
	else if (n == 5 && !strncasecmp(name, "stale", n))
		d->stale = !strcasecmp(value, "true");
	else if (n == 3 && !strncasecmp(name, "qop", n))
		d->other_qop = !(d->auth = list_has(value, "auth"));
	else if (n == 9 && !strncasecmp(name, "algorithm", n)) {
		d->known = false;
		for (i = 0; i < HF_COUNT(algs); i++)
			if (!strcasecmp(algs[i].name, value)) {
				d->known = true;
				d->alg = algs[i].alg;
				d->sess = algs[i].sess;
			}
	}
}

/* The stronger hash of several challenges wins (RFC 7616, section 3.7). */
static void take_digest(struct hf_challenge *c, const struct digest *d)
{
	if (!d->here || !d->known || d->other_qop || !d->nonce[0] || d->alg < c->digest)
		return;
	c->digest = d->alg;
	c->sess = d->sess;
	c->qop_auth = d->auth;
	c->stale = d->stale;
	c->count = 0;
	memcpy(c->realm, d->realm, sizeof(c->realm));
	memcpy(c->nonce, d->nonce, sizeof(c->nonce));
	memcpy(c->opaque, d->opaque, sizeof(c->opaque));
}

void hf_challenge_add(struct hf_challenge *c, const char *header)
{
	struct digest d = { 0 };
	const char *p = header;
	char value[512];

	for (;;) {
		const char *word, *after;
		size_t n;

		p += strspn(p, ", \t");
		n = token_length(p);
		if (!n)
			break;
		word = p;
		after = p + n + strspn(p + n, " \t");
		if (*after == '=') {
			p = read_value(after + 1 + strspn(after + 1, " \t"), value, sizeof(value));
			take_parameter(&d, word, n, value);
			continue;
		}
		take_digest(c, &d);
		memset(&d, 0, sizeof(d));
		c->basic |= n == 5 && !strncasecmp(word, "Basic", n);
		c->bearer |= n == 6 && !strncasecmp(word, "Bearer", n);
		d.here = n == 6 && !strncasecmp(word, "Digest", n);
		d.known = true;
		d.alg = HF_DIGEST_MD5; /* the default: RFC 7616, section 3.3 */
		p = after;
	}
	take_digest(c, &d);
}

/* ---------------------------------------------------------------- Digest */

/* Lower-case hex of the hash of the parts, joined by colons. */
static bool hash(enum hf_digest_alg alg, char hex[65], const char *const *parts, size_t n)
{
	const EVP_MD *md = alg == HF_DIGEST_SHA256 ? EVP_sha256() : EVP_md5();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	size_t i;
	int ok = ctx && EVP_DigestInit_ex(ctx, md, NULL);

	for (i = 0; ok && i < n; i++)
		ok = EVP_DigestUpdate(ctx, ":", i ? 1 : 0) &&
		     EVP_DigestUpdate(ctx, parts[i], strlen(parts[i]));
	ok = ok && EVP_DigestFinal_ex(ctx, digest, &len) && len <= 32;
	EVP_MD_CTX_free(ctx);
	hf_hex(hex, 65, digest, ok ? len : 0);
	explicit_bzero(digest, sizeof(digest));
	return ok;
}

#define HASH(alg, hex, ...)                                                                        \
	hash(alg, hex, (const char *const[]){ __VA_ARGS__ },                                       \
	     sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void add_quoted(struct hf_buf *out, const char *name, const char *value)
{
	hf_buf_fmt(out, "%s=\"", name);
	for (; *value; value++)
		hf_buf_fmt(out, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
	hf_buf_str(out, "\"");
}

enum hf_rc hf_digest_answer(struct hf_challenge *c, const char *user, const char *password,
			    const char *method, const char *path, const char *cnonce,
			    struct hf_buf *out, struct hf_err *e)
{
	char ha1[65], ha2[65], answer[65], nc[9];
	bool ok;

	(void)snprintf(nc, sizeof(nc), "%08x", ++c->count);
	ok = HASH(c->digest, ha1, user, c->realm, password);
	if (c->sess)
		ok = ok && HASH(c->digest, ha1, ha1, c->nonce, cnonce);
	ok = ok && HASH(c->digest, ha2, method, path);
	if (c->qop_auth)
		ok = ok && HASH(c->digest, answer, ha1, c->nonce, nc, cnonce, "auth", ha2);
	else
		ok = ok && HASH(c->digest, answer, ha1, c->nonce, ha2);
	explicit_bzero(ha1, sizeof(ha1));
	if (!ok)
		return hf_fail(e, HF_UNSUPPORTED, "this libcrypto has no %s for Digest",
			       c->digest == HF_DIGEST_MD5 ? "MD5" : "SHA-256");
	hf_buf_str(out, "Digest ");
	add_quoted(out, "username", user);
	hf_buf_str(out, ", ");
	add_quoted(out, "realm", c->realm);
	hf_buf_str(out, ", ");
	add_quoted(out, "nonce", c->nonce);
	hf_buf_str(out, ", ");
	add_quoted(out, "uri", path);
	hf_buf_fmt(out, ", response=\"%s\", algorithm=%s%s", answer,
		   c->digest == HF_DIGEST_MD5 ? "MD5" : "SHA-256", c->sess ? "-sess" : "");
	if (c->qop_auth)
		hf_buf_fmt(out, ", qop=auth, nc=%s, cnonce=\"%s\"", nc, cnonce);
	if (c->opaque[0]) {
		hf_buf_str(out, ", ");
		add_quoted(out, "opaque", c->opaque);
	}
	return out->bad ? hf_fail(e, HF_NO_MEMORY, "out of memory") : HF_OK;
}
