/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/caext.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/log.h"
#include "keeper/der.h"

/* What may be critical. All else of this list is let through, critical it is refused. */
static const int may_be_critical[] = {
	NID_basic_constraints,	  NID_key_usage,	NID_ext_key_usage, NID_subject_alt_name,
	NID_certificate_policies, NID_name_constraints,
};

static enum hf_rc read_constraints(X509_EXTENSION *ext, struct hf_ca_claims *out)
{
	BASIC_CONSTRAINTS *bc = X509V3_EXT_d2i(ext);

	if (!bc)
		return HF_REFUSED;
	out->constraints = true;
	out->constraints_critical = X509_EXTENSION_get_critical(ext);
	out->ca = bc->ca != 0;
	out->has_pathlen = bc->pathlen != NULL;
	out->pathlen = bc->pathlen ? ASN1_INTEGER_get(bc->pathlen) : 0;
	BASIC_CONSTRAINTS_free(bc);
	return out->pathlen < 0 ? HF_REFUSED : HF_OK;
}

static enum hf_rc read_usage(X509_EXTENSION *ext, struct hf_ca_claims *out)
{
	ASN1_BIT_STRING *bits = X509V3_EXT_d2i(ext);

	if (!bits)
		return HF_REFUSED;
	out->usage = true;
	out->usage_critical = X509_EXTENSION_get_critical(ext);
	out->signs_certificates = ASN1_BIT_STRING_get_bit(bits, 5);
	out->signs_crls = ASN1_BIT_STRING_get_bit(bits, 6);
	ASN1_BIT_STRING_free(bits);
	return HF_OK;
}

static enum hf_rc read_purposes(X509_EXTENSION *ext, struct hf_ca_claims *out)
{
	EXTENDED_KEY_USAGE *purposes = X509V3_EXT_d2i(ext);
	int i;

	if (!purposes)
		return HF_REFUSED;
	for (i = 0; i < sk_ASN1_OBJECT_num(purposes); i++)
		if (OBJ_obj2nid(sk_ASN1_OBJECT_value(purposes, i)) == NID_OCSP_sign)
			out->signs_ocsp = true;
	EXTENDED_KEY_USAGE_free(purposes);
	return HF_OK;
}

static const struct {
	int nid;
	enum hf_rc (*read)(X509_EXTENSION *ext, struct hf_ca_claims *out);
} readers[] = {
	{ NID_basic_constraints, read_constraints },
	{ NID_key_usage, read_usage },
	{ NID_ext_key_usage, read_purposes },
};

static bool known_critical(int nid)
{
	size_t i;

	for (i = 0; i < HF_COUNT(may_be_critical); i++)
		if (may_be_critical[i] == nid)
			return true;
	return false;
}

static enum hf_rc read_one(const X509 *x, int i, struct hf_ca_claims *out, struct hf_err *e)
{
	X509_EXTENSION *ext = X509_get_ext(x, i);
	const ASN1_OBJECT *oid = X509_EXTENSION_get_object(ext);
	const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(ext);
	struct hf_view v = { ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value) };
	int nid = OBJ_obj2nid(oid);
	char name[80];
	size_t k;

	(void)OBJ_obj2txt(name, sizeof(name), oid, 0);
	if (X509_get_ext_by_OBJ(x, oid, i) >= 0)
		return hf_fail(e, HF_REFUSED, "the extension %s is there twice; leave one out",
			       name);
	if (X509_EXTENSION_get_critical(ext) && !known_critical(nid))
		return hf_fail(e, HF_REFUSED,
			       "the extension %s is critical and not known here; "
			       "leave it out, or not critical",
			       name);
	if (!hf_der_strict(v))
		return hf_fail(e, HF_REFUSED, "the extension %s is not DER", name);
	for (k = 0; k < HF_COUNT(readers); k++)
		if (readers[k].nid == nid && readers[k].read(ext, out))
			return hf_fail(e, HF_REFUSED, "the extension %s is malformed", name);
	return HF_OK;
}

enum hf_rc hf_ca_claims(const X509 *x, struct hf_ca_claims *out, struct hf_err *e)
{
	int i;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < X509_get_ext_count(x); i++)
		if (read_one(x, i, out, e))
			return e ? e->rc : HF_REFUSED;
	return HF_OK;
}

static int lower(int c)
{
	return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
}

bool hf_caext_glob(const char *pattern, const char *text, size_t n)
{
	const char *star = NULL;
	size_t i = 0, mark = 0;

	while (i < n) {
		if (*pattern == '*') {
			star = pattern++;
			mark = i;
		} else if (*pattern && (*pattern == '?' || lower(*pattern) == lower(text[i]))) {
			pattern++;
			i++;
		} else if (star) {
			pattern = star + 1;
			i = ++mark;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static enum hf_rc allowed(const char *what, const char *text, size_t n, const hf_CaProfile *profile,
			  struct hf_err *e)
{
	char shown[128];
	pb_size_t i;

	(void)hf_escape(shown, sizeof(shown), text, n);
	if (!n || memchr(text, 0, n))
		return hf_fail(e, HF_REFUSED, "%s \"%s\" is empty or has a NUL in it", what, shown);
	if (!profile->names_count)
		return HF_OK;
	for (i = 0; i < profile->names_count; i++)
		if (hf_caext_glob(profile->names[i], text, n))
			return HF_OK;
	return hf_fail(e, HF_REFUSED,
		       "%s \"%s\" is not among the names of the key's profile; ask for "
		       "another name, or add it to the profile",
		       what, shown);
}

static enum hf_rc check_common_names(const X509 *x, const hf_CaProfile *profile, struct hf_err *e)
{
	const X509_NAME *subject = X509_get_subject_name(x);
	enum hf_rc rc = HF_OK;
	int i = -1;

	while (!rc && (i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0) {
		unsigned char *text = NULL;
		int n = ASN1_STRING_to_UTF8(
			&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));

		if (n < 0)
			return hf_fail(e, HF_REFUSED, "the common name is malformed");
		rc = allowed("common name", (const char *)text, (size_t)n, profile, e);
		OPENSSL_free(text);
	}
	return rc;
}

static enum hf_rc check_address(const ASN1_OCTET_STRING *ip, const hf_CaProfile *profile,
				struct hf_err *e)
{
	char text[INET6_ADDRSTRLEN];
	int n = ASN1_STRING_length(ip);

	if ((n != 4 && n != 16) ||
	    !inet_ntop(n == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip), text, sizeof(text)))
		return hf_fail(e, HF_REFUSED, "an IP address in subjectAltName has %d bytes", n);
	return allowed("IP address", text, strlen(text), profile, e);
}

static enum hf_rc check_alternative(const GENERAL_NAME *name, const hf_CaProfile *profile,
				    struct hf_err *e)
{
	const char *what = "DNS name";

	switch (name->type) {
	case GEN_IPADD:
		return check_address(name->d.iPAddress, profile, e);
	case GEN_URI:
		what = "URI";
		break;
	case GEN_EMAIL:
		what = "mail address";
		break;
	case GEN_DNS:
		break;
	default:
		/* A profile with names cannot tell whether it means this one: no. */
		if (!profile->names_count)
			return HF_OK;
		return hf_fail(e, HF_REFUSED,
			       "subjectAltName has a name that is neither DNS, IP, URI nor "
			       "mail; the key's profile lists names, so it is not allowed");
	}
	return allowed(what, (const char *)ASN1_STRING_get0_data(name->d.ia5),
		       (size_t)ASN1_STRING_length(name->d.ia5), profile, e);
}

enum hf_rc hf_ca_names(const X509 *x, const hf_CaProfile *profile, struct hf_err *e)
{
	enum hf_rc rc = check_common_names(x, profile, e);
	GENERAL_NAMES *names;
	int i, found;

	if (rc)
		return rc;
	names = X509_get_ext_d2i(x, NID_subject_alt_name, &found, NULL);
	if (!names && found != -1)
		return hf_fail(e, HF_REFUSED, "the extension subjectAltName is malformed");
	for (i = 0; !rc && i < sk_GENERAL_NAME_num(names); i++)
		rc = check_alternative(sk_GENERAL_NAME_value(names, i), profile, e);
	GENERAL_NAMES_free(names);
	return rc;
}
