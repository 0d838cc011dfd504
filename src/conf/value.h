/* SPDX-License-Identifier: Apache-2.0 */
/* value.h: values that are written as text. Pure; false for anything that is not one. */
#ifndef HF_CONF_VALUE_H
#define HF_CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* "1500ms", "10s", "5min", "24h", "7d": digits and a unit, nothing else. At most 10 years. */
bool hf_value_duration(const char *text, uint64_t *ms);

/* "0660": octal digits with a leading 0, at most 0777. */
bool hf_value_mode(const char *text, unsigned *mode);

/*
 * When to renew: "80%" of the lifetime (*@percent, 1 to 99), or a time before the end
 * (*@seconds): "10d", "10day", "10days", "12h", "90min". The other one is set to 0.
 */
bool hf_value_renewal(const char *text, unsigned *percent, uint64_t *seconds);

/* "02:00-04:00", also over midnight: minutes of the day, not the same. */
bool hf_value_window(const char *text, int *from_min, int *to_min);

/* A name of a token or socket: 1 to 63 of A-Z a-z 0-9 . _ -, first a letter or digit. */
bool hf_value_name(const char *text);

/* A pattern of names: as a name, with `*` and `?` anywhere; at most 63. */
bool hf_value_pattern(const char *text);

#endif
