/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml++ bounds how deep values nest, but not dotted keys: a.a.a... becomes a table for each
 * letter, and freeing those recurses until the stack ends. So dots are counted before it
 * sees the text. Strings and comments have to be told apart for that, and nothing else.
 */
#include "conf/depth.h"

#include <stdbool.h>
#include <string.h>

struct cursor {
	const char *p, *end;
	unsigned line;
};

static bool at(const struct cursor *c, const char *what)
{
	size_t n = strlen(what);

	return (size_t)(c->end - c->p) >= n && !memcmp(c->p, what, n);
}

/* Behind the string that starts here. One that does not end goes to the end of its line. */
static void skip_string(struct cursor *c)
{
	char quote = *c->p;
	const char triple[] = { quote, quote, quote, '\0' };
	bool multi = at(c, triple);

	for (c->p += multi ? 3 : 1; c->p < c->end; c->p++) {
		if (*c->p == '\n' && !multi)
			return;
		if (*c->p == '\n')
			c->line++;
		if (*c->p == '\\' && quote == '"' && c->p + 1 < c->end && c->p[1] != '\n')
			c->p++;
		else if (multi ? at(c, triple) : *c->p == quote)
			break;
	}
	if (c->p < c->end)
		c->p += multi ? 3 : 1;
	/* """a""""" ends with its last three quotes. */
	while (multi && c->p < c->end && *c->p == quote)
		c->p++;
}

static void skip_comment(struct cursor *c)
{
	while (c->p < c->end && *c->p != '\n')
		c->p++;
}

unsigned hf_depth_check(const char *text, size_t n)
{
	struct cursor c = { text, text + n, 1 };
	unsigned dots = 0;

	while (c.p < c.end) {
		if (*c.p == '"' || *c.p == '\'') {
			skip_string(&c);
			continue;
		}
		if (*c.p == '#') {
			skip_comment(&c);
			continue;
		}
		if (*c.p == '.' && ++dots >= HF_KEY_PARTS_MAX)
			return c.line;
		if (memchr("=,[]{}\n", *c.p, 7))
			dots = 0; /* no key goes beyond one of these */
		if (*c.p == '\n')
			c.line++;
		c.p++;
	}
	return 0;
}
