/* SPDX-License-Identifier: Apache-2.0 */
/* output.h: results as JSON, as tables and as lines; files that commands write. */
#ifndef HF_CLI_OUTPUT_H
#define HF_CLI_OUTPUT_H

#include <stdint.h>

#include "base/buf.h"
#include "cli/cli.h"

/* Members of a JSON object. */
void hf_out_text(json_object *o, const char *name, const char *value);
void hf_out_number(json_object *o, const char *name, uint64_t value);
void hf_out_hex(json_object *o, const char *name, const void *p, size_t n);
void hf_out_base64(json_object *o, const char *name, const void *p, size_t n);
void hf_out_time(json_object *o, const char *name, uint64_t seconds); /* 2026-01-31T12:00:00Z */

/* Text of a member, whatever its type; "" if there is none. */
const char *hf_out_get(json_object *o, const char *name);

/* What is printed if JSON is not asked for: one line, or a whole text (both end up in "text"). */
void hf_out_line(struct hf_cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hf_text_show(const struct hf_cli *c);

struct hf_column {
	const char *title, *member;
};
/* An aligned table of the objects in @list; @columns end with title == NULL. */
/* A member as people read it: lists as a,b,c. What a broker sends is not trusted with the terminal. */
char *hf_out_cell(json_object *row, const char *member, char *out, size_t size);
void hf_out_table(json_object *list, const struct hf_column *columns);

/* HF_IO if not all of standard output could be written. */
enum hf_rc hf_out_flush(struct hf_err *e);

/* The result (@rc == HF_OK), or the error: text on stderr, JSON on stdout. Returns the exit code.
 */
int hf_out_finish(struct hf_cli *c, enum hf_rc rc, struct hf_err *e);

/*
 * Writes to @path: atomically if it is a regular file or new, else (a device, a pipe) as it
 * comes; "-" is standard output.
 */
enum hf_rc hf_out_file(const char *path, const void *p, size_t n, struct hf_err *e);

#endif
