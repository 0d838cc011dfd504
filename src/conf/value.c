/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/value.h"

#include <ctype.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* Digits, then exactly one of the units; *@out = number * factor, at most @max. */
static bool scaled(const char *text, const struct unit *units, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (uint64_t)(*p - '0');
		if (n > max)
			return false;
	}
	if (p == text)
		return false;
	for (; units->name; units++)
		if (!strcmp(p, units->name)) {
			*out = n * units->factor; /* both below 2^39 and 2^27 */
			return *out <= max;
		}
	return false;
}

bool hf_value_duration(const char *text, uint64_t *ms)
{
	static const struct unit units[] = { { "ms", 1 },      { "s", 1000 },	  { "min", 60000 },
					     { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };

	return scaled(text, units, 3650ull * 86400000, ms);
}

bool hf_value_mode(const char *text, unsigned *mode)
{
	const char *p;
	unsigned m = 0;

	if (text[0] != '0')
		return false;
	for (p = text; *p; p++) {
		if (*p < '0' || *p > '7' || p - text > 3)
			return false;
		m = m * 8 + (unsigned)(*p - '0');
	}
	if (p - text < 4) /* 0660, not 060: all three classes are written */
		return false;
	*mode = m;
	return true;
}

bool hf_value_renewal(const char *text, unsigned *percent, uint64_t *seconds)
{
	static const struct unit share[] = { { "%", 1 }, { NULL, 0 } };
	static const struct unit units[] = { { "d", 86400 }, { "day", 86400 }, { "days", 86400 },
					     { "h", 3600 },  { "min", 60 },    { NULL, 0 } };
	uint64_t n;

	*percent = 0;
	*seconds = 0;
	if (scaled(text, share, 99, &n)) {
		*percent = (unsigned)n;
		return n > 0;
	}
	return scaled(text, units, 36500ull * 86400, seconds) && *seconds > 0;
}

static bool minutes(const char *p, int *out)
{
	int hour, min;

	if (!isdigit((unsigned char)p[0]) || !isdigit((unsigned char)p[1]) || p[2] != ':' ||
	    !isdigit((unsigned char)p[3]) || !isdigit((unsigned char)p[4]))
		return false;
	hour = (p[0] - '0') * 10 + p[1] - '0';
	min = (p[3] - '0') * 10 + p[4] - '0';
	*out = hour * 60 + min;
	return hour < 24 && min < 60;
}

bool hf_value_window(const char *text, int *from_min, int *to_min)
{
	*from_min = *to_min = -1;
	return strlen(text) == 11 && minutes(text, from_min) && text[5] == '-' &&
	       minutes(text + 6, to_min) && *from_min != *to_min;
}

static bool letters(const char *text, const char *extra)
{
	size_t i;

	for (i = 0; text[i]; i++)
		if (i >= 63 || !isascii(text[i]) ||
		    (!isalnum((unsigned char)text[i]) && !strchr(extra, text[i])))
			return false;
	return i > 0;
}

bool hf_value_name(const char *text)
{
	return isalnum((unsigned char)text[0]) && letters(text, "._-");
}

bool hf_value_pattern(const char *text)
{
	return letters(text, "._-*?");
}
