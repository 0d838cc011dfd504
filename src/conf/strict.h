/* SPDX-License-Identifier: Apache-2.0 */
/* strict.h: JSON as RFC 8259 has it, from json-c. */
#ifndef HF_CONF_STRICT_H
#define HF_CONF_STRICT_H

#include <json-c/json.h>

/*
 * The flag for json_tokener_set_flags(), or 0: json-c 0.18 (Debian 13) is stricter than the standard,
 * and takes every byte of a character beyond ASCII for a control character (its char is signed).
 */
static inline int hf_json_strict(void)
{
	static const char text[] = "\"\xc3\xa4\"";
	json_tokener *t = json_tokener_new();
	json_object *o;

	if (!t)
		return JSON_TOKENER_STRICT;
	json_tokener_set_flags(t, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(t, text, sizeof(text) - 1);
	json_tokener_free(t);
	if (!o)
		return 0;
	json_object_put(o);
	return JSON_TOKENER_STRICT;
}

#endif
