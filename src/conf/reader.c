/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/reader.h"

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"

enum hf_rc hf_reader_wrong(const struct hf_reader *at, const char *member, const char *want,
			   struct hf_err *e)
{
	const char *hint =
		"this file is written by 'holdfast config apply', which has to be run again";

	if (at->list)
		return hf_fail(e, HF_ARGUMENT, "%s: %s[%zu].%s: %s; %s", at->file, at->list,
			       at->index, member, want, hint);
	return hf_fail(e, HF_ARGUMENT, "%s: %s: %s; %s", at->file, member, want, hint);
}

/* A text without a NUL in it that fits. */
static bool take_text(char *to, size_t size, size_t least, json_object *v)
{
	size_t n;

	if (!json_object_is_type(v, json_type_string))
		return false;
	n = (size_t)json_object_get_string_len(v);
	return n >= least && strlen(json_object_get_string(v)) == n &&
	       hf_copy(to, size, json_object_get_string(v));
}

static enum hf_rc take_texts(char *object, const struct hf_row *r, json_object *list,
			     const struct hf_reader *at, struct hf_err *e)
{
	size_t i, n;

	if (!json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) > (size_t)r->max)
		return hf_reader_wrong(at, r->name, "is not a list, or too long a one", e);
	n = json_object_array_length(list);
	for (i = 0; i < n; i++)
		if (!take_text(object + r->offset + i * r->size, r->size, 0,
			       json_object_array_get_idx(list, i)))
			return hf_reader_wrong(at, r->name,
					       "has an entry that is no text, or too long", e);
	memcpy(object + r->count, &n, sizeof(n));
	return HF_OK;
}

static enum hf_rc take_number(char *to, const struct hf_row *r, json_object *v,
			      const struct hf_reader *at, struct hf_err *e)
{
	int64_t n = json_object_get_int64(v);

	if (!json_object_is_type(v, json_type_int) || n < r->min || n > r->max)
		return hf_reader_wrong(at, r->name, "is not a number within its bounds", e);
	memcpy(to, &n, sizeof(n));
	return HF_OK;
}

static enum hf_rc take_row(void *object, const struct hf_row *r, json_object *v,
			   const struct hf_reader *at, struct hf_err *e)
{
	char *to = (char *)object + r->offset;
	bool truth = json_object_get_boolean(v) != 0;

	switch (r->kind) {
	case HF_ROW_TEXT:
		return take_text(to, (size_t)r->max, (size_t)r->min, v)
			       ? HF_OK
			       : hf_reader_wrong(at, r->name, "is not a text of a fitting length",
						 e);
	case HF_ROW_NUMBER:
		return take_number(to, r, v, at, e);
	case HF_ROW_TRUTH:
		if (!json_object_is_type(v, json_type_boolean))
			return hf_reader_wrong(at, r->name, "is neither true nor false", e);
		memcpy(to, &truth, sizeof(truth));
		return HF_OK;
	case HF_ROW_TABLE:
		return hf_reader_table(to, r->rows, v, at, e);
	case HF_ROW_TEXTS:
		return take_texts(object, r, v, at, e);
	case HF_ROW_TABLES:
		if (!json_object_is_type(v, json_type_array) ||
		    json_object_array_length(v) > (size_t)r->max)
			return hf_reader_wrong(at, r->name, "is not a list, or too long a one", e);
		return r->take(object, v, &(struct hf_reader){ at->file, r->name, 0 }, e);
	}
	return HF_FAILED;
}

enum hf_rc hf_reader_table(void *object, const struct hf_row *rows, json_object *from,
			   const struct hf_reader *at, struct hf_err *e)
{
	const struct hf_row *r;
	enum hf_rc rc;

	if (!json_object_is_type(from, json_type_object))
		return hf_reader_wrong(at, "", "is not an object", e);
	json_object_object_foreach(from, name, value)
	{
		for (r = rows; r->name && strcmp(r->name, name); r++)
			;
		if (!r->name)
			return hf_reader_wrong(at, name, "is not known to this version", e);
		rc = take_row(object, r, value, at, e);
		if (rc)
			return rc;
	}
	for (r = rows; r->name; r++)
		if (!json_object_object_get_ex(from, r->name, NULL))
			return hf_reader_wrong(at, r->name, "is missing", e);
	return HF_OK;
}

enum hf_rc hf_reader_tables(void *to, size_t size, const struct hf_row *rows, json_object *list,
			    const struct hf_reader *at, struct hf_err *e)
{
	struct hf_reader here = *at;
	enum hf_rc rc = HF_OK;
	size_t n = json_object_array_length(list);

	for (here.index = 0; !rc && here.index < n; here.index++)
		rc = hf_reader_table((char *)to + here.index * size, rows,
				     json_object_array_get_idx(list, here.index), &here, e);
	return rc;
}

enum hf_rc hf_reader_parse(const char *text, size_t n, const char *file, json_object **out,
			   struct hf_err *e)
{
	json_tokener *tok = json_tokener_new_ex(16);
	enum json_tokener_error why = json_tokener_error_size;

	*out = NULL;
	if (tok && n <= INT32_MAX) {
		*out = json_tokener_parse_ex(tok, text, (int)n);
		why = json_tokener_get_error(tok);
		if (why == json_tokener_continue)
			why = json_tokener_error_parse_eof;
	}
	if (tok)
		json_tokener_free(tok);
	if (*out && why == json_tokener_success)
		return HF_OK;
	json_object_put(*out);
	*out = NULL;
	return hf_fail(e, HF_ARGUMENT, "%s: it is no JSON (%s); run 'holdfast config apply' again",
		       file, json_tokener_error_desc(why));
}
