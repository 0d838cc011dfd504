/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/keyjson.h"

#include <string.h>

#include "cli/output.h"
#include "wire/mech.h"

json_object *hf_keyjson_usage(unsigned usage)
{
	json_object *list = json_object_new_array();
	char text[64];
	const char *p;
	size_t n;

	hf_usage_text(text, usage);
	for (p = text; *p; p += n + (p[n] == ',')) {
		n = strcspn(p, ",");
		json_object_array_add(list, json_object_new_string_len(p, (int)n));
	}
	return list;
}

static const char *state_text(hf_Generation_State state)
{
	switch (state) {
	case hf_Generation_State_CURRENT:
		return "current";
	case hf_Generation_State_STAGED:
		return "staged";
	case hf_Generation_State_RETIRING:
		return "retiring";
	}
	return "unknown"; /* to this release */
}

static json_object *generation(const hf_Generation *g)
{
	json_object *o = json_object_new_object();

	hf_out_hex(o, "sha256", g->spki_sha256.bytes, g->spki_sha256.size);
	hf_out_text(o, "state", state_text(g->state));
	hf_out_text(o, "algorithm", g->algorithm);
	hf_out_time(o, "created", g->created);
	if (g->retire_at)
		hf_out_time(o, "retire_at", g->retire_at);
	json_object_object_add(o, "imported", json_object_new_boolean(g->imported));
	return o;
}

void hf_keyjson_info(json_object *o, const hf_KeyInfo *key)
{
	json_object *generations = json_object_new_array(), *schemes = json_object_new_array();
	json_object *ciphers = json_object_new_array(), *agreements = json_object_new_array();
	pb_size_t i;

	hf_out_text(o, "name", key->name);
	hf_out_text(o, "token", key->token);
	hf_out_text(o, "algorithm", key->algorithm);
	json_object_object_add(o, "usage", hf_keyjson_usage(key->usage));
	hf_out_hex(o, "sha256", key->spki_sha256.bytes, key->spki_sha256.size);
	for (i = 0; i < key->generations_count; i++)
		json_object_array_add(generations, generation(&key->generations[i]));
	json_object_object_add(o, "generations", generations);
	for (i = 0; i < key->schemes_count; i++)
		json_object_array_add(schemes, json_object_new_string(key->schemes[i]));
	json_object_object_add(o, "schemes", schemes);
	for (i = 0; i < key->ciphers_count; i++)
		json_object_array_add(ciphers, json_object_new_string(key->ciphers[i]));
	json_object_object_add(o, "ciphers", ciphers);
	for (i = 0; i < key->agreements_count; i++)
		json_object_array_add(agreements, json_object_new_string(key->agreements[i]));
	json_object_object_add(o, "agreements", agreements);
	json_object_object_add(o, "exported", json_object_new_boolean(key->exported));
	if (key->issuer_not_after)
		hf_out_time(o, "issuer_not_after", key->issuer_not_after);
}

json_object *hf_keyjson_summary(const hf_KeySummary *key)
{
	json_object *o = json_object_new_object();

	hf_out_text(o, "name", key->name);
	hf_out_text(o, "token", key->token);
	hf_out_text(o, "algorithm", key->algorithm);
	json_object_object_add(o, "usage", hf_keyjson_usage(key->usage));
	hf_out_hex(o, "sha256", key->spki_sha256.bytes, key->spki_sha256.size);
	hf_out_number(o, "generations", key->generations);
	hf_out_time(o, "created", key->created);
	return o;
}

const char *hf_keyjson_holder(json_object *keys, const char *sha256)
{
	size_t i, j;

	for (i = 0; i < json_object_array_length(keys); i++) {
		json_object *o = json_object_array_get_idx(keys, i);
		json_object *list = json_object_object_get(o, "generations");

		for (j = 0; json_object_is_type(list, json_type_array) &&
			    j < json_object_array_length(list);
		     j++)
			if (!strcmp(hf_out_get(json_object_array_get_idx(list, j), "sha256"),
				    sha256))
				return hf_out_get(o, "name");
	}
	return NULL;
}
