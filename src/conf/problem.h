/* SPDX-License-Identifier: Apache-2.0 */
/*
 * problem.h: what is wrong with a configuration, with file and line. A check finds
 * as much as it can at once: nobody wants to mend a file one error per run.
 */
#ifndef HF_CONF_PROBLEM_H
#define HF_CONF_PROBLEM_H

#include "base/err.h"
#include "conf/node.h"

#define HF_PROBLEMS_MAX 32

enum hf_severity { HF_PROBLEM_ERROR, HF_PROBLEM_WARNING, HF_PROBLEM_NOTE };

struct hf_problem {
	enum hf_severity severity;
	char file[256]; /* "" if it is about no file; a longer path keeps its end */
	unsigned line;	/* 0 if it is about no line */
	char text[512];
};

struct hf_problems {
	struct hf_problem list[HF_PROBLEMS_MAX];
	size_t n, errors;
	size_t more; /* that did not fit */
};

/* @at: where, or NULL. */
void hf_problem_add(struct hf_problems *p, enum hf_severity severity, const struct hf_node *at,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void hf_problem_at(struct hf_problems *p, enum hf_severity severity, const char *file,
		   unsigned line, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* By line within each file, as people read; files stay in the order they were read. */
void hf_problem_sort(struct hf_problems *p);

/* "FILE:LINE: text" (or what there is of it) into @out. Returns @out. */
char *hf_problem_text(const struct hf_problem *p, char *out, size_t size);

/* HF_OK without errors; else HF_ARGUMENT, @e being the first error and the number of others. */
enum hf_rc hf_problem_result(const struct hf_problems *p, struct hf_err *e);

#endif
