/* SPDX-License-Identifier: Apache-2.0 */
#include "est/names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "base/buf.h"
#include "base/log.h"

/* One "TYPE=VALUE" up to @end, without the escapes. */
static enum hf_rc add_attribute(X509_NAME *name, const char *p, const char *end, struct hf_err *e)
{
	char type[64], value[512], shown[120];
	const char *equals = memchr(p, '=', (size_t)(end - p));
	size_t n = 0;

	hf_escape(shown, sizeof(shown), p, (size_t)(end - p));
	while (p < end && isspace((unsigned char)*p))
		p++;
	if (!equals || equals == p || (size_t)(equals - p) >= sizeof(type))
		return hf_fail(e, HF_ARGUMENT,
			       "'%s' of the subject is not TYPE=VALUE, as in CN=device", shown);
	memcpy(type, p, (size_t)(equals - p));
	type[equals - p] = '\0';
	for (p = equals + 1; p < end; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		if (n + 1 >= sizeof(value))
			return hf_fail(e, HF_ARGUMENT, "%s of the subject is too long", type);
		value[n++] = *p;
	}
	if (!n)
		return hf_fail(e, HF_ARGUMENT, "%s of the subject has no value", type);
	if (OBJ_txt2nid(type) == NID_undef && !isdigit((unsigned char)type[0]))
		return hf_fail(e, HF_ARGUMENT,
			       "'%s' is no attribute of a subject; CN, O, OU, C are", shown);
	if (X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8, (const unsigned char *)value,
				       (int)n, -1, 0) != 1) {
		ERR_clear_error();
		return hf_fail(e, HF_ARGUMENT,
			       "'%s' cannot be part of a subject: too long (a CN has at most 64 "
			       "characters, C two letters), or of a wrong character",
			       shown);
	}
	return HF_OK;
}

enum hf_rc hf_name_read(const char *text, X509_NAME **out, struct hf_err *e)
{
	char separator = *text == '/' ? '/' : ',';
	const char *p = text + (*text == '/'), *end;
	X509_NAME *name = X509_NAME_new();
	enum hf_rc rc = name ? HF_OK : hf_fail(e, HF_NO_MEMORY, "out of memory");

	while (!rc && *p) {
		for (end = p; *end && *end != separator; end++)
			if (*end == '\\' && end[1])
				end++;
		rc = add_attribute(name, p, end, e);
		p = *end ? end + 1 : end;
	}
	if (rc) {
		X509_NAME_free(name);
		name = NULL;
	}
	*out = name;
	return rc;
}

static GENERAL_NAME *one_san(const char *text)
{
	static const struct {
		const char *prefix;
		int type;
	} kinds[] = { { "DNS:", GEN_DNS },
		      { "IP:", GEN_IPADD },
		      { "URI:", GEN_URI },
		      { "email:", GEN_EMAIL } };
	size_t i;

	for (i = 0; i < HF_COUNT(kinds); i++) {
		size_t n = strlen(kinds[i].prefix), j;

		if (strncmp(text, kinds[i].prefix, n) || !text[n])
			continue;
		for (j = n; text[j]; j++)
			if ((unsigned char)text[j] <= 0x20 || (unsigned char)text[j] >= 0x7f)
				return NULL; /* IA5String; international names as xn-- */
		return a2i_GENERAL_NAME(NULL, NULL, NULL, kinds[i].type, text + n, 0);
	}
	return NULL;
}

enum hf_rc hf_sans_read(const char *const *sans, unsigned n, GENERAL_NAMES **out, struct hf_err *e)
{
	char shown[120];
	unsigned i;

	*out = GENERAL_NAMES_new();
	if (!*out)
		return hf_fail(e, HF_NO_MEMORY, "out of memory");
	for (i = 0; i < n; i++) {
		GENERAL_NAME *name = one_san(sans[i]);

		if (name && sk_GENERAL_NAME_push(*out, name))
			continue;
		GENERAL_NAME_free(name);
		GENERAL_NAMES_free(*out);
		*out = NULL;
		ERR_clear_error();
		return hf_fail(e, HF_ARGUMENT,
			       "'%s' is no subjectAltName: DNS:name, IP:address, URI:uri or "
			       "email:address",
			       hf_escape(shown, sizeof(shown), sans[i], strlen(sans[i])));
	}
	return HF_OK;
}

char *hf_san_text(const GENERAL_NAME *name, char *out, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n = 0;

	/* GENERAL_NAME_print() reads only */
	if (bio && GENERAL_NAME_print(bio, (GENERAL_NAME *)(uintptr_t)name) == 1)
		n = BIO_get_mem_data(bio, &text);
	hf_escape(out, size, n > 0 ? text : "?", n > 0 ? (size_t)n : 1);
	BIO_free(bio);
	return out;
}

char *hf_oid_text(const ASN1_OBJECT *oid, char *out, size_t size)
{
	int nid = OBJ_obj2nid(oid);

	if (nid == NID_undef || !hf_copy(out, size, OBJ_nid2sn(nid)))
		(void)OBJ_obj2txt(out, (int)size, oid, 1);
	return out;
}
