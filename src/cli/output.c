/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/file.h"

void hf_out_text(json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

void hf_out_number(json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_uint64(value));
}

void hf_out_hex(json_object *o, const char *name, const void *p, size_t n)
{
	char text[129];

	hf_out_text(o, name, hf_hex(text, sizeof(text), p, n));
}

void hf_out_base64(json_object *o, const char *name, const void *p, size_t n)
{
	char *text = malloc(n / 3 * 4 + 5);

	if (text && EVP_EncodeBlock((unsigned char *)text, p, (int)n) >= 0)
		hf_out_text(o, name, text);
	free(text);
}

void hf_out_time(json_object *o, const char *name, uint64_t seconds)
{
	time_t t = (time_t)seconds;
	char text[40];
	struct tm tm;

	if (gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		hf_out_text(o, name, text);
}

const char *hf_out_get(json_object *o, const char *name)
{
	json_object *v = NULL;

	if (!o || !json_object_object_get_ex(o, name, &v) || !v)
		return "";
	return json_object_get_string(v);
}

void hf_out_line(struct hf_cli *c, const char *fmt, ...)
{
	char text[1200];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	n = strlen(text);
	memcpy(text + n, "\n", 2);
	if (!c->json)
		hf_out_text(c->result, "text", text);
}

void hf_text_show(const struct hf_cli *c)
{
	(void)fputs(hf_out_get(c->result, "text"), stdout);
}

char *hf_out_cell(json_object *row, const char *member, char *out, size_t size)
{
	json_object *v = NULL;
	size_t i, used = 0;

	out[0] = '\0';
	if (!json_object_object_get_ex(row, member, &v) || !v)
		return out;
	if (json_object_is_type(v, json_type_array)) {
		for (i = 0; i < json_object_array_length(v) && used < size; i++)
			used += (size_t)snprintf(
				out + used, size - used, "%s%s", i ? "," : "",
				json_object_get_string(json_object_array_get_idx(v, i)));
	} else {
		(void)snprintf(out, size, "%s", json_object_get_string(v));
	}
	for (i = 0; out[i]; i++)
		if (out[i] < 0x20 || out[i] == 0x7f)
			out[i] = '?';
	return out;
}

void hf_out_table(json_object *list, const struct hf_column *columns)
{
	size_t width[16] = { 0 }, rows = json_object_array_length(list), i, j;
	char text[300];

	for (j = 0; columns[j].title; j++)
		width[j] = strlen(columns[j].title);
	for (i = 0; i < rows; i++)
		for (j = 0; columns[j].title; j++) {
			json_object *row = json_object_array_get_idx(list, i);
			size_t n = strlen(hf_out_cell(row, columns[j].member, text, sizeof(text)));

			width[j] = n > width[j] ? n : width[j];
		}
	for (j = 0; columns[j].title; j++)
		printf("%-*s%s", columns[j + 1].title ? (int)width[j] : 0, columns[j].title,
		       columns[j + 1].title ? "  " : "\n");
	for (i = 0; i < rows; i++)
		for (j = 0; columns[j].title; j++)
			printf("%-*s%s", columns[j + 1].title ? (int)width[j] : 0,
			       hf_out_cell(json_object_array_get_idx(list, i), columns[j].member,
					   text, sizeof(text)),
			       columns[j + 1].title ? "  " : "\n");
}

static const char *rc_code(enum hf_rc rc)
{
#define CODE(value, name, text, exit) [value] = #name,
	static const char *const codes[] = { HF_RC_LIST(CODE) };
#undef CODE

	return (size_t)rc < HF_COUNT(codes) && codes[rc] ? codes[rc] : "FAILED";
}

static void print_json(json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* Of a result that was not finished, only what led to the error is of use. */
static void report(struct hf_cli *c, enum hf_rc rc, const struct hf_err *e)
{
	json_object *out = json_object_new_object(), *error = json_object_new_object();
	json_object *problems = json_object_object_get(c->result, "problems"), *v = NULL;
	static const char *const also[] = { "status", "http_status", "retry_after_s", "warnings" };
	size_t i;

	(void)fprintf(stderr, "holdfast: %s\n", e->msg[0] ? e->msg : hf_rc_text(rc));
	hf_out_text(error, "code", rc_code(rc));
	hf_out_text(error, "message", e->msg[0] ? e->msg : hf_rc_text(rc));
	hf_out_number(error, "exit", (uint64_t)hf_rc_exit(rc));
	json_object_object_add(out, "error", error);
	if (problems)
		json_object_object_add(out, "problems", json_object_get(problems));
	for (i = 0; i < HF_COUNT(also); i++) /* of an enrolment: when to try again, and why */
		if (json_object_object_get_ex(c->result, also[i], &v))
			json_object_object_add(out, also[i], json_object_get(v));
	if (c->json)
		print_json(out);
	json_object_put(out);
}

enum hf_rc hf_out_flush(struct hf_err *e)
{
	if (fflush(stdout) || ferror(stdout))
		return hf_fail_errno(e, HF_IO, "standard output");
	return HF_OK;
}

int hf_out_finish(struct hf_cli *c, enum hf_rc rc, struct hf_err *e)
{
	if (!rc && c->json)
		print_json(c->result);
	else if (!rc && c->command->show)
		c->command->show(c);
	if (!rc)
		rc = hf_out_flush(e);
	if (rc)
		report(c, rc, e);
	return rc ? hf_rc_exit(rc) : c->exit;
}

static enum hf_rc write_to(int fd, const char *name, const uint8_t *p, size_t n, struct hf_err *e)
{
	ssize_t done;

	for (; n; p += done, n -= (size_t)done) {
		done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			done = 0;
		else if (done < 0)
			return hf_fail_errno(e, HF_IO, "cannot write %s", name);
	}
	return HF_OK;
}

enum hf_rc hf_out_file(const char *path, const void *p, size_t n, struct hf_err *e)
{
	struct stat st;

	if (!strcmp(path, "-"))
		return write_to(STDOUT_FILENO, "standard output", p, n, e);
	if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
		/* Renaming over /dev/null would replace the device. */
		HF_AUTO_FD fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

		if (fd < 0)
			return hf_fail_errno(e, HF_IO, "cannot write %s", path);
		return write_to(fd, path, p, n, e);
	}
	return hf_file_replace(path, p, n, 0644, e);
}
