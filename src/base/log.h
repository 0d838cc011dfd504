/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h: one line per event on standard error.
 *
 * Under systemd (JOURNAL_STREAM set) each line carries a "<N>" priority.
 * Bytes outside printable ASCII are escaped as \xNN, so that no name coming
 * from a client can forge a line. Never blocks on anything but the write.
 */
#ifndef HF_BASE_LOG_H
#define HF_BASE_LOG_H

#include <stddef.h>

enum hf_log_level {
	HF_LOG_ERR = 3,
	HF_LOG_WARN = 4,
	HF_LOG_NOTICE = 5,
	HF_LOG_INFO = 6,
	HF_LOG_DEBUG = 7
};

/* @program is borrowed for the life of the process. Lines above @max are dropped. */
void hf_log_init(const char *program, enum hf_log_level max);

/*
 * For daemons: a line that standard error does not take at once (a pipe that nobody reads, a
 * journal that is behind) is dropped and counted, and the next one that gets through tells how
 * many.
 */
void hf_log_never_wait(void);
unsigned long hf_log_lost(void);

/* errno is preserved. At most 4 KiB (PIPE_BUF) per line; longer is cut. */
void hf_log(enum hf_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Copies @text to @out (at most @size bytes with the NUL), escaping everything
 * that is not printable ASCII, and backslash and double quote. Returns @out.
 */
char *hf_escape(char *out, size_t size, const char *text, size_t n);

#endif
