/* SPDX-License-Identifier: Apache-2.0 */
/* Does a value fit its key? One function per type, in a table. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "conf/nearest.h"
#include "conf/schema.h"
#include "conf/value.h"

static bool is_text(const struct hf_node *n)
{
	return n->kind == HF_NODE_STRING;
}

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with)) && text[strlen(with)];
}

static bool fits_text(const struct hf_conf_key *k, const struct hf_node *n)
{
	return is_text(n) && (int64_t)strlen(n->text) >= k->min &&
	       (int64_t)strlen(n->text) <= k->max;
}

static bool fits_name(const struct hf_conf_key *k, const struct hf_node *n)
{
	(void)k;
	return is_text(n) && hf_value_name(n->text);
}

static bool fits_path(const struct hf_conf_key *k, const struct hf_node *n)
{
	return fits_text(k, n) && n->text[0] == '/';
}

static bool fits_file_uri(const struct hf_conf_key *k, const struct hf_node *n)
{
	(void)k;
	return is_text(n) && starts(n->text, "file:///");
}

static bool fits_uri(const struct hf_conf_key *k, const struct hf_node *n)
{
	return is_text(n) && strlen(n->text) <= 511 &&
	       (fits_file_uri(k, n) || starts(n->text, "pkcs11:") || starts(n->text, "holdfast:"));
}

static bool fits_url(const struct hf_conf_key *k, const struct hf_node *n)
{
	return is_text(n) && (int64_t)strlen(n->text) <= (k->max ? k->max : 1000) &&
	       (starts(n->text, "https://") || starts(n->text, "http://"));
}

static bool each(const struct hf_conf_key *k, const struct hf_node *list,
		 bool (*fits)(const struct hf_conf_key *, const struct hf_node *))
{
	const struct hf_node *n;
	int64_t count = 0;

	if (list->kind != HF_NODE_ARRAY)
		return false;
	for (n = list->children; n; n = n->next, count++)
		if (!fits(k, n))
			return false;
	return !k->max || count <= k->max;
}

static bool fits_file_uris(const struct hf_conf_key *k, const struct hf_node *n)
{
	return each(k, n, fits_file_uri);
}

/* min: how long one may be, if not 127. */
static bool item_text(const struct hf_conf_key *k, const struct hf_node *n)
{
	return is_text(n) && n->text[0] && strlen(n->text) <= (size_t)(k->min ? k->min : 127);
}

static bool fits_texts(const struct hf_conf_key *k, const struct hf_node *n)
{
	return each(k, n, item_text);
}

static bool fits_bundle(const struct hf_conf_key *k, const struct hf_node *n)
{
	return fits_file_uri(k, n) || each(k, n, item_text);
}

static bool item_pattern(const struct hf_conf_key *k, const struct hf_node *n)
{
	(void)k;
	return is_text(n) && hf_value_pattern(n->text);
}

static bool fits_patterns(const struct hf_conf_key *k, const struct hf_node *n)
{
	return each(k, n, item_pattern);
}

static bool fits_number(const struct hf_conf_key *k, const struct hf_node *n)
{
	return n->kind == HF_NODE_INTEGER && n->number >= k->min && n->number <= k->max;
}

static bool fits_boolean(const struct hf_conf_key *k, const struct hf_node *n)
{
	(void)k;
	return n->kind == HF_NODE_BOOLEAN;
}

static bool fits_duration(const struct hf_conf_key *k, const struct hf_node *n)
{
	uint64_t ms;

	return is_text(n) && hf_value_duration(n->text, &ms) && (int64_t)ms >= k->min &&
	       (int64_t)ms <= k->max;
}

static bool fits_mode(const struct hf_conf_key *k, const struct hf_node *n)
{
	unsigned mode;

	(void)k;
	return is_text(n) && hf_value_mode(n->text, &mode) && !(mode & 0111);
}

static bool fits_renewal(const struct hf_conf_key *k, const struct hf_node *n)
{
	unsigned percent;
	uint64_t seconds;

	(void)k;
	return is_text(n) && hf_value_renewal(n->text, &percent, &seconds);
}

static bool fits_window(const struct hf_conf_key *k, const struct hf_node *n)
{
	int from, to;

	(void)k;
	return is_text(n) && hf_value_window(n->text, &from, &to);
}

static bool fits_key(const struct hf_conf_key *k, const struct hf_node *n)
{
	return fits_name(k, n) || fits_uri(k, n);
}

static bool fits_choice(const struct hf_conf_key *k, const struct hf_node *n)
{
	const char *p = k->words;
	size_t len;

	for (; is_text(n) && *p; p += len + (p[len] == ' ')) {
		len = strcspn(p, " ");
		if (strlen(n->text) == len && !strncmp(p, n->text, len))
			return true;
	}
	return false;
}

static bool fits_choices(const struct hf_conf_key *k, const struct hf_node *n)
{
	return each(k, n, fits_choice);
}

static bool fits_any(const struct hf_conf_key *k, const struct hf_node *n)
{
	(void)k;
	(void)n;
	return true;
}

static const struct {
	bool (*fits)(const struct hf_conf_key *, const struct hf_node *);
	const char *want;
} types[] = {
	[HF_CONF_TEXT] = { fits_text, "text in quotes" },
	[HF_CONF_NAME] = { fits_name, "a name in quotes, of at most 63 letters, digits and . _ -" },
	[HF_CONF_PATH] = { fits_path, "an absolute path in quotes" },
	[HF_CONF_URI] = { fits_uri, "\"file:///PATH\", \"pkcs11:...\" or \"holdfast:NAME\"" },
	[HF_CONF_FILE_URI] = { fits_file_uri, "\"file:///PATH\"" },
	[HF_CONF_FILE_URIS] = { fits_file_uris, "[\"file:///PATH\", ...]" },
	[HF_CONF_BUNDLE] = { fits_bundle, "\"file:///PATH\" or a list of certificate ids" },
	[HF_CONF_URL] = { fits_url, "\"https://HOST/...\"" },
	[HF_CONF_NUMBER] = { fits_number, "a number" },
	[HF_CONF_BOOLEAN] = { fits_boolean, "true or false" },
	[HF_CONF_DURATION] = { fits_duration,
			       "a duration such as \"1500ms\", \"10s\" or \"5min\"" },
	[HF_CONF_MODE] = { fits_mode, "a mode such as \"0660\"" },
	[HF_CONF_RENEWAL] = { fits_renewal,
			      "\"80%\" (1 to 99), or a time such as \"10d\", \"12h\" or "
			      "\"90min\"" },
	[HF_CONF_WINDOW] = { fits_window, "a time of the day such as \"02:00-04:00\"" },
	[HF_CONF_KEY] = { fits_key, "the name of a key, or \"file:///PATH\", \"pkcs11:...\" or "
				    "\"holdfast:NAME\"" },
	[HF_CONF_CHOICE] = { fits_choice, "one of" },
	[HF_CONF_CHOICES] = { fits_choices, "a list of" },
	[HF_CONF_TEXTS] = { fits_texts, "a list of texts, as [\"...\"]" },
	[HF_CONF_PATTERNS] = { fits_patterns, "a list of names, as [\"edge-ca\", \"est-*\"]" },
	[HF_CONF_ANY] = { fits_any, "anything" },
};

static char *want_words(const struct hf_conf_key *key, char *out, size_t size)
{
	size_t used = (size_t)snprintf(out, size, "%s", types[key->type].want), len;
	const char *p;

	for (p = key->words; *p && used < size; p += len + (p[len] == ' ')) {
		len = strcspn(p, " ");
		used += (size_t)snprintf(out + used, size - used, "%s \"%.*s\"",
					 p == key->words ? "" : ",", (int)len, p);
	}
	return out;
}

char *hf_conf_want(const struct hf_conf_key *key, char *out, size_t size)
{
	const char *want = types[key->type].want;

	if (key->words)
		return want_words(key, out, size);
	if (key->type == HF_CONF_NUMBER && key->min >= 0x80000000)
		(void)snprintf(out, size, "a number from 0x%llx to 0x%llx", (long long)key->min,
			       (long long)key->max);
	else if (key->type == HF_CONF_NUMBER)
		(void)snprintf(out, size, "a number from %lld to %lld", (long long)key->min,
			       (long long)key->max);
	else if (key->type == HF_CONF_DURATION)
		(void)snprintf(out, size, "%s (%lldms to %llds)", want, (long long)key->min,
			       (long long)key->max / 1000);
	else if (key->type == HF_CONF_TEXT || key->type == HF_CONF_PATH)
		(void)snprintf(out, size, "%s (at most %lld bytes)", want, (long long)key->max);
	else if ((key->type == HF_CONF_TEXTS || key->type == HF_CONF_PATTERNS) && key->max)
		(void)snprintf(out, size, "%s (at most %lld)", want, (long long)key->max);
	else
		(void)snprintf(out, size, "%s", want);
	return out;
}

/*
 * May a wrong value be shown? Only if its type cannot hold a password, a key or a PIN; a URI
 * in the wrong place may well have one in it, so those are not.
 */
static bool may_show(enum hf_conf_type type)
{
	switch (type) {
	case HF_CONF_NAME:
	case HF_CONF_PATH:
	case HF_CONF_NUMBER:
	case HF_CONF_BOOLEAN:
	case HF_CONF_DURATION:
	case HF_CONF_MODE:
	case HF_CONF_RENEWAL:
	case HF_CONF_WINDOW:
	case HF_CONF_CHOICE:
	case HF_CONF_CHOICES:
	case HF_CONF_PATTERNS:
		return true;
	case HF_CONF_TEXT:
	case HF_CONF_URI:
	case HF_CONF_KEY:
	case HF_CONF_FILE_URI:
	case HF_CONF_FILE_URIS:
	case HF_CONF_BUNDLE:
	case HF_CONF_URL:
	case HF_CONF_TEXTS:
	case HF_CONF_ANY:
		break;
	}
	return false;
}

/* What is wrong with the value, as the end of "KEY is ...". */
static void shown(enum hf_conf_type type, const struct hf_node *n, char *out, size_t size)
{
	if (n->kind == HF_NODE_STRING && !may_show(type))
		(void)snprintf(out, size, "not right");
	else if (n->kind == HF_NODE_STRING && strlen(n->text) < 40)
		(void)snprintf(out, size, "\"%s\"", n->text);
	else if (n->kind == HF_NODE_INTEGER && may_show(type))
		(void)snprintf(out, size, "%lld", (long long)n->number);
	else
		(void)snprintf(out, size, "%s", hf_node_kind_text(n->kind));
}

/* Of a list of words, the one that is not known; else the value itself. */
static const struct hf_node *culprit(const struct hf_conf_key *key, const struct hf_node *n)
{
	const struct hf_node *item = n->children;

	if (key->type != HF_CONF_CHOICES || n->kind != HF_NODE_ARRAY)
		return n;
	while (item && fits_choice(key, item))
		item = item->next;
	return item ? item : n;
}

/* "sing" -> "; did you mean \"sign\"?" */
static const char *nearest_word(const struct hf_conf_key *key, const struct hf_node *bad, char *out,
				size_t size)
{
	struct hf_nearest best;
	char word[32];
	const char *p;
	size_t len;

	out[0] = '\0';
	if (!key->words || !is_text(bad))
		return out;
	hf_nearest_init(&best, bad->text);
	for (p = key->words; *p; p += len + (p[len] == ' ')) {
		unsigned before = best.distance;

		len = strcspn(p, " ");
		if (len >= sizeof(word))
			continue;
		memcpy(word, p, len);
		word[len] = '\0';
		hf_nearest_try(&best, word);
		if (best.distance < before)
			(void)snprintf(out, size, "; did you mean \"%s\"?", word);
	}
	return out;
}

bool hf_conf_check_value(const struct hf_conf_key *key, const struct hf_node *node,
			 struct hf_problems *p)
{
	const struct hf_node *bad = culprit(key, node);
	char want[320], value[80], near[64];

	if (types[key->type].fits(key, node))
		return true;
	shown(key->type, bad, value, sizeof(value));
	hf_problem_add(p, HF_PROBLEM_ERROR, bad, "%s %s %s; write %s%s", node->key,
		       bad == node ? "is" : "has", value, hf_conf_want(key, want, sizeof(want)),
		       nearest_word(key, bad, near, sizeof(near)));
	return false;
}
