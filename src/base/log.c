/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	const char *program;
	enum hf_log_level max;
	enum { JUST_WRITE, ASK_FIRST, IS_SOCKET } to; /* how a line is not waited for */
	int journal, cut; /* cut: what was written last is no whole line */
	unsigned long lost, told;
} state = { .program = "holdfast", .max = HF_LOG_INFO };

void hf_log_init(const char *program, enum hf_log_level max)
{
	state.program = program;
	state.max = max;
	state.journal = getenv("JOURNAL_STREAM") != NULL;
}

void hf_log_never_wait(void)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st))
		st.st_mode = 0;
	state.to = S_ISSOCK(st.st_mode) ? IS_SOCKET : S_ISREG(st.st_mode) ? JUST_WRITE : ASK_FIRST;
}

unsigned long hf_log_lost(void)
{
	return state.lost;
}

/* A line that is there in part is none. */
static int write_whole(const char *line, size_t n)
{
	ssize_t sent;

	do
		sent = state.to == IS_SOCKET
			       ? send(STDERR_FILENO, line, n, MSG_DONTWAIT | MSG_NOSIGNAL)
			       : write(STDERR_FILENO, line, n);
	while (sent < 0 && errno == EINTR);
	if (sent == (ssize_t)n && !state.cut)
		return 1; /* of a program with threads nobody writes to what they share */
	state.cut = sent > 0 ? sent != (ssize_t)n : state.cut;
	return sent == (ssize_t)n;
}

/* Not O_NONBLOCK: that would be everybody's who has the same standard error. A pipe that poll()
 * calls writable takes PIPE_BUF (4096) bytes at once, which is more than a line. */
static int deliver(const char *line, size_t n)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	return (state.to != ASK_FIRST || (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT))) &&
	       write_whole(line, n);
}

static void put(const char *line, size_t n)
{
	char note[128];

	if (state.lost != state.told) {
		int size = snprintf(note, sizeof(note),
				    "%s%s%s: %lu lines before this one were lost\n",
				    state.cut ? "\n" : "", state.journal ? "<4>" : "",
				    state.program, state.lost - state.told);

		if (deliver(note, (size_t)size))
			state.told = state.lost;
	}
	/* Without the note no line either: it would look as if nothing were missing before it. */
	if (state.lost != state.told || !deliver(line, n))
		state.lost++;
}

void hf_log(enum hf_log_level level, const char *fmt, ...)
{
	char text[2048], line[4096];
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
	put(line, used);
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
