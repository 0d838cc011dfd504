/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/reader.h"

#define RECORD_MAX 8192u

static const struct hf_row rows[] = {
	HF_ROW_OF_NUMBER(struct hf_record, version, 1, 1),
	HF_ROW_OF_TEXT(struct hf_record, transaction, 0),
	HF_ROW_OF_TEXT(struct hf_record, staged, 0),
	HF_ROW_OF_TEXT(struct hf_record, settings, 0),
	HF_ROW_OF_TEXT(struct hf_record, asked, 0),
	HF_ROW_OF_TEXT(struct hf_record, seen, 0),
	HF_ROW_OF_TEXT(struct hf_record, hook_old, 0),
	HF_ROW_OF_TEXT(struct hf_record, hook_result, 0),
	HF_ROW_OF_NUMBER(struct hf_record, hook_at, 0, INT64_MAX),
	HF_ROW_OF_NUMBER(struct hf_record, hook_failures, 0, UINT32_MAX),
	HF_ROW_OF_TRUTH(struct hf_record, hook_due),
	HF_ROW_OF_TRUTH(struct hf_record, wanted),
	HF_ROW_OF_TRUTH(struct hf_record, rotate),
	HF_ROW_OF_NUMBER(struct hf_record, tried, 0, INT64_MAX),
	HF_ROW_OF_NUMBER(struct hf_record, failures, 0, UINT32_MAX),
	HF_ROW_OF_NUMBER(struct hf_record, retry_after, 0, INT64_MAX),
	HF_ROW_OF_NUMBER(struct hf_record, renewals, 0, INT64_MAX),
	HF_ROW_OF_NUMBER(struct hf_record, failed, 0, INT64_MAX),
	HF_ROW_OF_NUMBER(struct hf_record, last, 0, INT64_MAX),
	HF_ROW_OF_TEXT(struct hf_record, result, 0),
	HF_ROW_OF_TEXT(struct hf_record, message, 0),
	HF_ROW_END,
};

bool hf_record_local(const struct hf_record *r)
{
	return !strcmp(r->result, HF_RESULT_LOCAL) || !strcmp(r->result, "key");
}

int64_t hf_record_renewed(const struct hf_record *r)
{
	return strcmp(r->result, "ok") ? 0 : r->last;
}

void hf_record_init(struct hf_record *r)
{
	memset(r, 0, sizeof(*r));
	r->version = 1;
}

static enum hf_rc path_of(char out[HF_PATH_MAX], const char *state_dir, const char *id,
			  struct hf_err *e)
{
	char name[HF_ID_SIZE + 8];

	(void)snprintf(name, sizeof(name), "%s.json", id);
	return hf_path_join(out, state_dir, name, e);
}

static void set_aside(const char *path, const char *why)
{
	char aside[HF_PATH_MAX + 16];

	(void)snprintf(aside, sizeof(aside), "%s.damaged", path);
	if (rename(path, aside))
		hf_log(HF_LOG_ERR, "%s; it cannot be set aside either: %s", why, strerror(errno));
	else
		hf_log(HF_LOG_ERR, "%s; it is now %s, and nothing is remembered", why, aside);
}

/* What an older version did not know yet is as in a new record. */
static void fill_in(json_object *o)
{
	const struct hf_row *row;

	if (!json_object_is_type(o, json_type_object))
		return;
	for (row = rows + 1; row->name; row++) {
		if (json_object_object_get_ex(o, row->name, NULL))
			continue;
		json_object_object_add(o, row->name,
				       row->kind == HF_ROW_TEXT	    ? json_object_new_string("")
				       : row->kind == HF_ROW_NUMBER ? json_object_new_int64(0)
								    : json_object_new_boolean(0));
	}
}

/* Of a file that is there. */
static enum hf_rc read_record(struct hf_record *r, const char *path, struct hf_err *e)
{
	HF_AUTO_BUF file = HF_BUF(RECORD_MAX);
	json_object *json = NULL;
	enum hf_rc rc = hf_file_read(path, true, &file, e);

	if (!rc)
		rc = hf_reader_parse((const char *)file.p, file.n, path, &json, e);
	if (!rc) {
		fill_in(json);
		rc = hf_reader_table(r, rows, json, &(struct hf_reader){ path, NULL, 0 }, e);
	}
	json_object_put(json);
	return rc;
}

void hf_record_load(struct hf_record *r, const char *state_dir, const char *id)
{
	struct hf_err err = HF_ERR_INIT;
	char path[HF_PATH_MAX];

	hf_record_init(r);
	if (path_of(path, state_dir, id, NULL))
		return;
	if (access(path, F_OK))
		return;
	if (!read_record(r, path, &err))
		return;
	set_aside(path, err.msg);
	hf_record_init(r);
}

enum hf_rc hf_record_save(const struct hf_record *r, const char *state_dir, const char *id,
			  struct hf_err *e)
{
	json_object *o = json_object_new_object();
	const struct hf_row *row;
	char path[HF_PATH_MAX];
	const char *text;
	enum hf_rc rc;

	for (row = rows; row->name; row++) {
		const char *from = (const char *)r + row->offset;
		json_object *v = NULL;
		int64_t n;
		bool b;

		switch ((int)row->kind) {
		case HF_ROW_TEXT:
			v = json_object_new_string(from);
			break;
		case HF_ROW_NUMBER:
			memcpy(&n, from, sizeof(n));
			v = json_object_new_int64(n);
			break;
		case HF_ROW_TRUTH:
			memcpy(&b, from, sizeof(b));
			v = json_object_new_boolean(b);
			break;
		default:
			break;
		}
		json_object_object_add(o, row->name, v);
	}
	text = json_object_to_json_string(o);
	rc = path_of(path, state_dir, id, e);
	if (!rc)
		rc = hf_file_replace(path, text, strlen(text), 0600, e);
	json_object_put(o);
	return rc;
}
