/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/record.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "conf/strict.h"
#include "wire/packet.h"

static void add_hex(json_object *to, const char *name, const void *p, size_t n)
{
	char hex[2 * 8192 + 1];

	json_object_object_add(to, name, json_object_new_string(hf_hex(hex, sizeof(hex), p, n)));
}

static void put(json_object *v, struct hf_buf *out)
{
	hf_buf_str(out, json_object_to_json_string_ext(v, JSON_C_TO_STRING_PRETTY |
								  JSON_C_TO_STRING_NOSLASHESCAPE));
	hf_buf_str(out, "\n");
	json_object_put(v);
}

static void add_retiring(json_object *to, const struct hf_key *k)
{
	json_object *list = json_object_new_array();
	size_t i;

	for (i = 0; i < k->n; i++) {
		json_object *row;

		if (!k->generations[i].retire_at)
			continue;
		row = json_object_new_object();
		add_hex(row, "spki_sha256", k->generations[i].id, HF_ID_SIZE);
		json_object_object_add(row, "retire_at",
				       json_object_new_int64((int64_t)k->generations[i].retire_at));
		json_object_array_add(list, row);
	}
	json_object_object_add(to, "retiring", list);
}

void hf_record_write_key(const struct hf_key *k, struct hf_buf *out)
{
	json_object *v = json_object_new_object(), *issuer = json_object_new_object();
	char usage[64];

	hf_usage_text(usage, k->usage);
	json_object_object_add(v, "version", json_object_new_int(1));
	json_object_object_add(v, "name", json_object_new_string(k->name));
	json_object_object_add(v, "token", json_object_new_string(k->token));
	json_object_object_add(v, "algorithm",
			       json_object_new_string(k->generations[k->current].algorithm->name));
	json_object_object_add(v, "usage", json_object_new_string(usage));
	add_hex(v, "current", k->generations[k->current].id, HF_ID_SIZE);
	add_retiring(v, k);
	json_object_object_add(issuer, "not_after",
			       json_object_new_int64((int64_t)k->issuer_not_after));
	add_hex(issuer, "subject", k->issuer_subject.p, k->issuer_subject.n);
	json_object_object_add(v, "issuer", issuer);
	if (k->exported)
		json_object_object_add(v, "exported", json_object_new_boolean(true));
	put(v, out);
}

/* "" if it is not there or not a text: then every check of it fails. */
static const char *text_of(json_object *v, const char *name)
{
	json_object *m;

	if (!json_object_object_get_ex(v, name, &m) || !json_object_is_type(m, json_type_string))
		return "";
	return json_object_get_string(m);
}

static bool number_of(json_object *v, const char *name, uint64_t *out)
{
	json_object *m;
	int64_t n;

	if (!json_object_object_get_ex(v, name, &m) || !json_object_is_type(m, json_type_int))
		return false;
	n = json_object_get_int64(m);
	*out = (uint64_t)n;
	return n >= 0;
}

static bool hex_of(json_object *v, const char *name, struct hf_buf *out)
{
	const char *hex = text_of(v, name);
	uint8_t bytes[8192];
	size_t n = strlen(hex) / 2;

	if (n > sizeof(bytes) || !hf_unhex(bytes, n, hex))
		return false;
	hf_buf_finish(out);
	hf_buf_add(out, bytes, n);
	return !out->bad;
}

static json_object *parse(struct hf_view text, struct hf_err *e)
{
	json_tokener *tokener = json_tokener_new_ex(8);
	json_object *v = NULL;
	uint64_t version = 0;

	if (tokener && text.n && text.n <= HF_RECORD_MAX) {
		json_tokener_set_flags(tokener, hf_json_strict());
		v = json_tokener_parse_ex(tokener, (const char *)text.p, (int)text.n);
	}
	if (tokener)
		json_tokener_free(tokener);
	if (v && json_object_is_type(v, json_type_object) && number_of(v, "version", &version) &&
	    version == 1)
		return v;
	json_object_put(v);
	(void)hf_fail(e, HF_CORRUPT, "not a record of version 1");
	return NULL;
}

static bool read_retiring(struct hf_key *k, json_object *v)
{
	json_object *list;
	size_t i;

	if (!json_object_object_get_ex(v, "retiring", &list) ||
	    !json_object_is_type(list, json_type_array))
		return false;
	for (i = 0; i < json_object_array_length(list); i++) {
		json_object *row = json_object_array_get_idx(list, i);
		uint8_t id[HF_ID_SIZE];
		struct hf_generation *g;
		uint64_t at;

		if (!json_object_is_type(row, json_type_object) ||
		    !number_of(row, "retire_at", &at) ||
		    !hf_unhex(id, sizeof(id), text_of(row, "spki_sha256")))
			return false;
		g = hf_key_generation(k, id);
		if (g) /* else it was collected, and the power went before this file was written */
			g->retire_at = at ? at : 1;
	}
	return true;
}

/* Records of before a key could change its algorithm name it in key.json alone: it is @a. */
static bool name_algorithms(struct hf_key *k, const struct hf_algorithm *a)
{
	size_t i;

	for (i = 0; i < k->n; i++)
		if (!k->generations[i].algorithm)
			k->generations[i].algorithm = a;
	return a;
}

static enum hf_rc read_key(struct hf_key *k, json_object *v, struct hf_err *e)
{
	uint8_t id[HF_ID_SIZE];
	struct hf_generation *g;
	json_object *issuer, *exported;

	if (strcmp(text_of(v, "name"), k->name))
		return hf_fail(e, HF_CORRUPT, "is about a key called '%.63s'", text_of(v, "name"));
	k->usage = hf_usage_parse(text_of(v, "usage"));
	if (!k->usage || !hf_key_name_ok(text_of(v, "token")) ||
	    !hf_copy(k->token, sizeof(k->token), text_of(v, "token")))
		return hf_fail(e, HF_CORRUPT, "usage or token is not known");
	if (!name_algorithms(k, hf_algorithm_find(text_of(v, "algorithm"))))
		return hf_fail(e, HF_CORRUPT, "algorithm is not known");
	if (!json_object_object_get_ex(v, "issuer", &issuer) ||
	    !number_of(issuer, "not_after", &k->issuer_not_after) ||
	    !hex_of(issuer, "subject", &k->issuer_subject) || !read_retiring(k, v))
		return hf_fail(e, HF_CORRUPT, "issuer or retiring is damaged");
	g = hf_unhex(id, sizeof(id), text_of(v, "current")) ? hf_key_generation(k, id) : NULL;
	if (!g)
		return hf_fail(e, HF_CORRUPT, "its current generation is not there");
	k->current = (size_t)(g - k->generations);
	k->exported = json_object_object_get_ex(v, "exported", &exported) &&
		      json_object_get_boolean(exported);
	g->retire_at = 0;
	return HF_OK;
}

enum hf_rc hf_record_read_key(struct hf_key *k, struct hf_view text, struct hf_err *e)
{
	json_object *v = parse(text, e);
	enum hf_rc rc = v ? read_key(k, v, e) : HF_CORRUPT;

	json_object_put(v);
	return rc;
}

void hf_record_write_generation(const struct hf_generation *g, const struct hf_made *made,
				struct hf_buf *out)
{
	json_object *v = json_object_new_object();

	json_object_object_add(v, "version", json_object_new_int(1));
	add_hex(v, "spki_sha256", g->id, HF_ID_SIZE);
	json_object_object_add(v, "algorithm", json_object_new_string(g->algorithm->name));
	add_hex(v, "spki", made->spki.p, made->spki.n);
	json_object_object_add(v, "created", json_object_new_int64((int64_t)g->created));
	json_object_object_add(v, "imported", json_object_new_boolean(g->imported));
	add_hex(v, "transaction", g->transaction, sizeof(g->transaction));
	add_hex(v, "creation_data", made->creation_data.p, made->creation_data.n);
	add_hex(v, "creation_hash", made->creation_hash.p, made->creation_hash.n);
	add_hex(v, "creation_ticket", made->creation_ticket.p, made->creation_ticket.n);
	put(v, out);
}

enum hf_rc hf_record_read_generation(struct hf_generation *g, struct hf_view text, struct hf_err *e)
{
	json_object *v = parse(text, e), *imported, *algorithm;
	uint8_t id[HF_ID_SIZE];
	bool good;

	if (!v)
		return HF_CORRUPT;
	good = hf_unhex(id, sizeof(id), text_of(v, "spki_sha256")) &&
	       hf_mem_equal(id, g->id, sizeof(id)) && hex_of(v, "spki", &g->spki) && g->spki.n &&
	       hf_unhex(g->transaction, sizeof(g->transaction), text_of(v, "transaction")) &&
	       number_of(v, "created", &g->created) &&
	       json_object_object_get_ex(v, "imported", &imported);
	if (good && json_object_object_get_ex(v, "algorithm", &algorithm)) {
		g->algorithm = hf_algorithm_find(text_of(v, "algorithm"));
		good = g->algorithm;
	}
	if (good)
		g->imported = json_object_get_boolean(imported);
	json_object_put(v);
	return good ? HF_OK : hf_fail(e, HF_CORRUPT, "the record is damaged");
}

enum hf_rc hf_record_read_evidence(struct hf_view text, struct hf_buf *data, struct hf_buf *ticket,
				   struct hf_err *e)
{
	json_object *v = parse(text, e);
	bool good;

	if (!v)
		return HF_CORRUPT;
	good = hex_of(v, "creation_data", data) && hex_of(v, "creation_ticket", ticket);
	json_object_put(v);
	return good ? HF_OK : hf_fail(e, HF_CORRUPT, "the record is damaged");
}
