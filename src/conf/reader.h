/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.h: JSON that `holdfast config apply` wrote, into structs, by tables of rows. Everything is
 * bounded; a member that is not known, or missing, is an error that names it.
 */
#ifndef HF_CONF_READER_H
#define HF_CONF_READER_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Where we are, for messages: "agent.json: credentials[0].id". */
struct hf_reader {
	const char *file, *list;
	size_t index;
};

enum hf_row_kind {
	HF_ROW_TEXT,   /* char[max]; at least @min bytes long */
	HF_ROW_NUMBER, /* int64_t, @min to @max */
	HF_ROW_TRUTH,  /* bool */
	HF_ROW_TABLE,  /* a struct, by @rows */
	HF_ROW_TEXTS,  /* list: up to @max rows of @size bytes each, their number at @count */
	HF_ROW_TABLES, /* list of up to @max tables, which @take gets as a whole */
};

struct hf_row {
	const char *name;
	enum hf_row_kind kind;
	size_t offset;
	int64_t min, max;
	const struct hf_row *rows;
	size_t size, count;
	enum hf_rc (*take)(void *object, json_object *list, const struct hf_reader *at,
			   struct hf_err *e);
};

#define HF_ROW_OF_TEXT(type, field, least)                                                         \
	{                                                                                          \
		.name = #field, .kind = HF_ROW_TEXT, .offset = offsetof(type, field),              \
		.min = (least), .max = sizeof(((type *)0)->field)                                  \
	}
#define HF_ROW_OF_NUMBER(type, field, least, most)                                                 \
	{                                                                                          \
		.name = #field, .kind = HF_ROW_NUMBER, .offset = offsetof(type, field),            \
		.min = (least), .max = (most)                                                      \
	}
#define HF_ROW_OF_TRUTH(type, field)                                                               \
	{                                                                                          \
		.name = #field, .kind = HF_ROW_TRUTH, .offset = offsetof(type, field)              \
	}
#define HF_ROW_OF_TABLE(type, field, its_rows)                                                     \
	{                                                                                          \
		.name = #field, .kind = HF_ROW_TABLE, .offset = offsetof(type, field),             \
		.rows = (its_rows)                                                                 \
	}
#define HF_ROW_OF_TEXTS(type, field)                                                               \
	{                                                                                          \
		.name = #field, .kind = HF_ROW_TEXTS, .offset = offsetof(type, field),             \
		.max = sizeof(((type *)0)->field) / sizeof(((type *)0)->field[0]),                 \
		.size = sizeof(((type *)0)->field[0]), .count = offsetof(type, n_##field)          \
	}
#define HF_ROW_OF_TABLES(field, most, taker)                                                       \
	{                                                                                          \
		.name = #field, .kind = HF_ROW_TABLES, .max = (most), .take = (taker)              \
	}
#define HF_ROW_END                                                                                 \
	{                                                                                          \
		.name = NULL                                                                       \
	}

/* Every row has to be there, and nothing else. HF_ARGUMENT otherwise. */
enum hf_rc hf_reader_table(void *object, const struct hf_row *rows, json_object *from,
			   const struct hf_reader *at, struct hf_err *e);

/* Each element of @list into an array at @to of structs of @size bytes. */
enum hf_rc hf_reader_tables(void *to, size_t size, const struct hf_row *rows, json_object *list,
			    const struct hf_reader *at, struct hf_err *e);

/* The error of a member that is not what it has to be. */
enum hf_rc hf_reader_wrong(const struct hf_reader *at, const char *member, const char *want,
			   struct hf_err *e);

/* Reads and parses; *@out is the caller's. HF_IO, or HF_ARGUMENT: no JSON. */
enum hf_rc hf_reader_parse(const char *text, size_t n, const char *file, json_object **out,
			   struct hf_err *e);

#endif
