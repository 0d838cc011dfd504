/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	const char *program;
	enum hf_log_level max;
	int journal;
} state = { "holdfast", HF_LOG_INFO, 0 };

void hf_log_init(const char *program, enum hf_log_level max)
{
	state.program = program;
	state.max = max;
	state.journal = getenv("JOURNAL_STREAM") != NULL;
}

void hf_log(enum hf_log_level level, const char *fmt, ...)
{
	char text[1024], line[2048];
	size_t used = 0, i;
	int saved = errno;
	va_list ap;

	if (level > state.max)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (state.journal)
		used += (size_t)snprintf(line, sizeof(line), "<%d>", (int)level);
	used += (size_t)snprintf(line + used, sizeof(line) - used, "%s: ", state.program);
	for (i = 0; text[i] && used < sizeof(line) - 6; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c < 0x7f)
			line[used++] = (char)c;
		else
			used += (size_t)snprintf(line + used, 5, "\\x%02x", c);
	}
	line[used++] = '\n';
	while (write(STDERR_FILENO, line, used) < 0 && errno == EINTR)
		;
	errno = saved;
}

char *hf_escape(char *out, size_t size, const char *text, size_t n)
{
	size_t used = 0, i;

	for (i = 0; i < n && used + 5 < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c < 0x7f && c != '\\' && c != '"')
			out[used++] = (char)c;
		else
			used += (size_t)snprintf(out + used, 5, "\\x%02x", c);
	}
	if (size)
		out[used] = '\0';
	return out;
}
