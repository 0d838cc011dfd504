/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Keys and file names come from a file: they must not steer the terminal, nor break a line. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

__attribute__((format(printf, 5, 0))) static void add(struct hf_problems *p,
						      enum hf_severity severity, const char *file,
						      unsigned line, const char *fmt, va_list ap)
{
	struct hf_problem *slot;
	size_t n;

	if (severity == HF_PROBLEM_ERROR)
		p->errors++;
	if (p->n == HF_PROBLEMS_MAX) {
		p->more++;
		return;
	}
	slot = &p->list[p->n++];
	slot->severity = severity;
	slot->line = line;
	n = strlen(file);
	if (n >= sizeof(slot->file))
		file += n - sizeof(slot->file) + 1;
	(void)snprintf(slot->file, sizeof(slot->file), "%s", file);
	(void)vsnprintf(slot->text, sizeof(slot->text), fmt, ap);
	make_printable(slot->file);
	make_printable(slot->text);
}

void hf_problem_add(struct hf_problems *p, enum hf_severity severity, const struct hf_node *at,
		    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(p, severity, at && at->file ? at->file : "", at ? at->line : 0, fmt, ap);
	va_end(ap);
}

void hf_problem_at(struct hf_problems *p, enum hf_severity severity, const char *file,
		   unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(p, severity, file, line, fmt, ap);
	va_end(ap);
}

void hf_problem_sort(struct hf_problems *p)
{
	struct hf_problem one;
	size_t i, j;

	for (i = 1; i < p->n; i++) {
		one = p->list[i];
		for (j = i;
		     j && !strcmp(p->list[j - 1].file, one.file) && p->list[j - 1].line > one.line;
		     j--)
			p->list[j] = p->list[j - 1];
		p->list[j] = one;
	}
}

char *hf_problem_text(const struct hf_problem *p, char *out, size_t size)
{
	if (p->file[0] && p->line)
		(void)snprintf(out, size, "%s:%u: %s", p->file, p->line, p->text);
	else if (p->file[0])
		(void)snprintf(out, size, "%s: %s", p->file, p->text);
	else
		(void)snprintf(out, size, "%s", p->text);
	return out;
}

enum hf_rc hf_problem_result(const struct hf_problems *p, struct hf_err *e)
{
	char text[800], others[40] = "";
	size_t i;

	if (!p->errors)
		return HF_OK;
	if (p->errors > 1)
		(void)snprintf(others, sizeof(others), " (and %zu more)", p->errors - 1);
	for (i = 0; i < p->n; i++)
		if (p->list[i].severity == HF_PROBLEM_ERROR)
			return hf_fail(e, HF_ARGUMENT, "%s%s",
				       hf_problem_text(&p->list[i], text, sizeof(text)), others);
	return hf_fail(e, HF_ARGUMENT, "%zu errors in the configuration", p->errors);
}
