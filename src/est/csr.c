/* SPDX-License-Identifier: Apache-2.0 */
#include "est/csr.h"

#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/log.h"
#include "est/certs.h"
#include "est/csrattrs.h"
#include "est/key.h"
#include "est/names.h"

static enum hf_est_status no_memory(struct hf_est *x)
{
	ERR_clear_error();
	return hf_est_fail(x, HF_EST_INTERNAL, "out of memory");
}

/* ---------------------------------------------------------------- extensions */

static bool add_ext(struct hf_csr_plan *plan, X509_EXTENSION *ext)
{
	if (ext && !plan->exts)
		plan->exts = sk_X509_EXTENSION_new_null();
	if (ext && plan->exts && sk_X509_EXTENSION_push(plan->exts, ext))
		return true;
	X509_EXTENSION_free(ext);
	return false;
}

static bool add_new(struct hf_csr_plan *plan, int nid, int critical, void *value)
{
	return value && add_ext(plan, X509V3_EXT_i2d(nid, critical, value));
}

static bool has_ext(const struct hf_csr_plan *plan, const ASN1_OBJECT *type)
{
	return plan->exts && X509v3_get_ext_by_OBJ(plan->exts, type, -1) >= 0;
}

static bool has_nid(const struct hf_csr_plan *plan, int nid)
{
	return has_ext(plan, OBJ_nid2obj(nid));
}

static enum hf_est_status add_sans(struct hf_est *x, struct hf_csr_plan *plan)
{
	GENERAL_NAMES *names = NULL;
	bool ok;

	if (hf_sans_read(x->job->sans, x->job->n_sans, &names, &x->err))
		return HF_EST_JOB;
	/* RFC 5280, section 4.2.1.6: critical where there is no subject */
	ok = add_new(plan, NID_subject_alt_name, !X509_NAME_entry_count(plan->subject), names);
	GENERAL_NAMES_free(names);
	return ok ? HF_EST_OK : no_memory(x);
}

static enum hf_est_status add_ekus(struct hf_est *x, struct hf_csr_plan *plan)
{
	EXTENDED_KEY_USAGE *list = EXTENDED_KEY_USAGE_new();
	enum hf_est_status status = HF_EST_OK;
	char shown[80];
	uint32_t i;

	for (i = 0; list && i < x->job->n_ekus && !status; i++) {
		ASN1_OBJECT *o = OBJ_txt2obj(x->job->ekus[i], 0);

		if (!o)
			status = hf_est_fail(x, HF_EST_JOB,
					     "'%s' is no extended key usage: serverAuth, "
					     "clientAuth, or an OID",
					     hf_escape(shown, sizeof(shown), x->job->ekus[i],
						       strlen(x->job->ekus[i])));
		else if (!sk_ASN1_OBJECT_push(list, o))
			status = no_memory(x);
	}
	if (!status && !add_new(plan, NID_ext_key_usage, 0, list))
		status = no_memory(x);
	EXTENDED_KEY_USAGE_free(list);
	return status;
}

static bool add_usage(struct hf_csr_plan *plan, const uint8_t bits)
{
	ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
	bool ok = usage != NULL;
	int i;

	for (i = 0; ok && i < 8; i++)
		if (bits & 0x80 >> i)
			ok = ASN1_BIT_STRING_set_bit(usage, i, 1);
	ok = ok && add_new(plan, NID_key_usage, 1, usage);
	ASN1_BIT_STRING_free(usage);
	return ok;
}

static bool add_ca(struct hf_est *x, struct hf_csr_plan *plan)
{
	BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
	bool ok = bc != NULL;

	if (ok) {
		bc->ca = 0xff;
		if (x->job->pathlen >= 0) {
			bc->pathlen = ASN1_INTEGER_new();
			ok = bc->pathlen && ASN1_INTEGER_set(bc->pathlen, (long)x->job->pathlen);
		}
	}
	/* digitalSignature for its own requests; keyCertSign, cRLSign */
	ok = ok && add_new(plan, NID_basic_constraints, 1, bc) && add_usage(plan, 0x86);
	BASIC_CONSTRAINTS_free(bc);
	return ok;
}

/* Of the certificate to be replaced: SAN byte for byte, and what else the job does not say. */
static enum hf_est_status add_replaced(struct hf_est *x, struct hf_csr_plan *plan)
{
	static const int kept[] = { NID_subject_alt_name, NID_ext_key_usage };
	size_t i;

	for (i = 0; i < HF_COUNT(kept); i++) {
		int at = X509_get_ext_by_NID(x->replaced, kept[i], -1);

		if (at < 0 || has_nid(plan, kept[i]))
			continue;
		if (!add_ext(plan, X509_EXTENSION_dup(X509_get_ext(x->replaced, at))))
			return no_memory(x);
	}
	return HF_EST_OK;
}

static enum hf_est_status own_extensions(struct hf_est *x, struct hf_csr_plan *plan)
{
	enum hf_est_status status = HF_EST_OK;

	if (x->job->n_sans)
		status = add_sans(x, plan);
	if (!status && x->job->n_ekus)
		status = add_ekus(x, plan);
	if (!status && x->job->ca && !add_ca(x, plan))
		status = no_memory(x);
	if (!status && x->replaced)
		status = add_replaced(x, plan);
	return status;
}

/* ---------------------------------------------------------------- what the server wants */

/* NULL-DN, an empty address, an empty list: to be filled in by us (RFC 9908, section 3.4). */
static bool placeholder(const struct hf_csr_ext *ext)
{
	return !ext->value || ASN1_STRING_length(ext->value) <= 2;
}

static enum hf_est_status take_extension(struct hf_est *x, struct hf_csr_plan *plan,
					 const struct hf_csr_ext *ext)
{
	X509_EXTENSION *made;
	char name[80];

	(void)hf_oid_text(ext->type, name, sizeof(name));
	if (has_ext(plan, ext->type)) {
		if (!placeholder(ext))
			hf_est_warn(x,
				    "the server wants its own value of %s in the request; what was "
				    "asked for here is sent",
				    name);
		return HF_EST_OK;
	}
	if (OBJ_obj2nid(ext->type) == NID_basic_constraints)
		return HF_EST_OK; /* a CA certificate is what the job asks for, or none */
	/* A name that nobody here has asked for is somebody else's. */
	if (OBJ_obj2nid(ext->type) == NID_subject_alt_name && (x->replaced || !x->job->any_san)) {
		hf_est_warn(x, "the server wants a subjectAltName in the request, and none was "
			       "asked for here; it is left out (tolerate \"san\" sends it)");
		return HF_EST_OK;
	}
	if (placeholder(ext)) {
		hf_est_warn(x,
			    "the server wants %s in the request, and nothing here says its value",
			    name);
		return HF_EST_OK;
	}
	made = X509_EXTENSION_create_by_OBJ(NULL, ext->type, ext->critical, ext->value);
	return add_ext(plan, made) ? HF_EST_OK : no_memory(x);
}

/* The first entry of that type, and of that value if there is one, which is not in @used. */
static int find_entry(X509_NAME *name, const ASN1_OBJECT *type, const ASN1_STRING *value,
		      uint64_t *used)
{
	int i, n = X509_NAME_entry_count(name);

	for (i = 0; i < n && i < 64; i++) {
		X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
		const ASN1_STRING *have = X509_NAME_ENTRY_get_data(entry);

		if (*used >> i & 1 || OBJ_cmp(X509_NAME_ENTRY_get_object(entry), type) ||
		    (value && (ASN1_STRING_length(have) != ASN1_STRING_length(value) ||
			       memcmp(ASN1_STRING_get0_data(have), ASN1_STRING_get0_data(value),
				      (size_t)ASN1_STRING_length(value)) != 0)))
			continue;
		*used |= UINT64_C(1) << i;
		return i;
	}
	return -1;
}

/* One attribute of a template's subject, with its value or with ours. */
static enum hf_est_status take_rdn(struct hf_est *x, X509_NAME *asked, const struct hf_csr_rdn *r,
				   int set, X509_NAME *name, uint64_t *used)
{
	const ASN1_STRING *value = NULL;
	char text[80];
	int at;

	(void)hf_oid_text(r->type, text, sizeof(text));
	if (r->value && r->value->type != V_ASN1_OBJECT && r->value->type != V_ASN1_NULL &&
	    r->value->type != V_ASN1_BOOLEAN)
		value = r->value->value.asn1_string;
	at = find_entry(asked, r->type, value, used);
	if (!value && at >= 0)
		value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(asked, at));
	if (!value)
		return hf_est_fail(x, HF_EST_JOB,
				   "the server wants %s in the subject and leaves its value to us: "
				   "add it to the subject",
				   text);
	if (X509_NAME_add_entry_by_OBJ(name, r->type, ASN1_STRING_type(value),
				       ASN1_STRING_get0_data(value), ASN1_STRING_length(value), -1,
				       set) != 1)
		return hf_est_fail(x, HF_EST_PROTOCOL,
				   "/csrattrs: %s of the subject cannot be encoded", text);
	return HF_EST_OK;
}

/* What was asked for has to be in it: the server fills in, it does not make us somebody else. */
static enum hf_est_status compare_subject(struct hf_est *x, X509_NAME *asked, uint64_t used)
{
	int i, n = X509_NAME_entry_count(asked);
	char text[80];

	for (i = 0; i < n && i < 64 && !x->job->any_subject; i++) {
		if (used >> i & 1)
			continue;
		(void)hf_oid_text(X509_NAME_ENTRY_get_object(X509_NAME_get_entry(asked, i)), text,
				  sizeof(text));
		return hf_est_fail(x, HF_EST_JOB,
				   "the server's template of a subject has another %s than was "
				   "asked for, or none (tolerate \"subject\" sends the template's)",
				   text);
	}
	return HF_EST_OK;
}

/* The subject of a template: its values, and ours where it has none. */
static enum hf_est_status take_subject(struct hf_est *x, struct hf_csr_plan *plan)
{
	const struct hf_csr_rdn *rdns = x->attrs->rdns;
	X509_NAME *name = X509_NAME_new();
	enum hf_est_status status = name ? HF_EST_OK : no_memory(x);
	uint64_t used = 0;
	unsigned i;

	for (i = 0; i < x->attrs->n_rdns && !status; i++)
		status = take_rdn(x, plan->subject, &rdns[i],
				  i && rdns[i - 1].set == rdns[i].set ? -1 : 0, name, &used);
	if (!status)
		status = compare_subject(x, plan->subject, used);
	ERR_clear_error();
	if (status) {
		X509_NAME_free(name);
		return status;
	}
	if (X509_NAME_entry_count(plan->subject) && X509_NAME_cmp(plan->subject, name))
		hf_est_warn(x, "the server's template has another subject than was asked for here; "
			       "the template's is sent");
	X509_NAME_free(plan->subject);
	plan->subject = name;
	return HF_EST_OK;
}

static bool fits(EVP_PKEY *key, const struct hf_csr_key *want)
{
	char group[64] = "";

	(void)EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
					     NULL);
	if (want->type == HF_CSR_EC)
		return EVP_PKEY_is_a(key, "EC") &&
		       (!want->curve || OBJ_txt2nid(group) == want->curve);
	return want->type == HF_CSR_RSA && EVP_PKEY_is_a(key, "RSA") &&
	       (!want->bits || want->bits == EVP_PKEY_get_bits(key));
}

/* A key in a token is what it is: if the server wants another one, a person has to make it. */
static enum hf_est_status check_key(struct hf_est *x)
{
	const struct hf_csrattrs *a = x->attrs;
	char kind[64], one[64];
	HF_AUTO_BUF want = HF_BUF(160);
	unsigned i;

	for (i = 0; i < a->n_keys; i++)
		if (fits(x->key, &a->keys[i]))
			break;
	ERR_clear_error();
	if (!a->n_keys || i < a->n_keys)
		return HF_EST_OK;
	for (i = 0; i < a->n_keys && want.n < 100; i++)
		hf_buf_fmt(&want, "%s%s", i ? " or " : "",
			   hf_csr_key_text(&a->keys[i], one, sizeof(one)));
	return hf_est_fail(
		x, HF_EST_KEY,
		"key %s is %s, the server demands %s: make such a key (holdfast key create "
		"--algorithm …), or have the server's /csrattrs ignored",
		x->job->key, hf_key_kind(x->key, kind, sizeof(kind)), (const char *)want.p);
}

/* A digest that the server wants, but none below 112 bits, whatever it wants. */
static void choose_digest(struct hf_est *x, struct hf_csr_plan *plan)
{
	const struct hf_csrattrs *a = x->attrs;
	unsigned i;

	for (i = 0; i < a->n_digests; i++)
		if (a->digests[i] == EVP_MD_get_type(plan->md))
			return;
	for (i = 0; i < a->n_digests; i++) {
		const EVP_MD *md = EVP_get_digestbynid(a->digests[i]);

		if (md && EVP_MD_get_size(md) >= 28) {
			plan->md = md;
			return;
		}
	}
	if (a->n_digests)
		hf_est_warn(
			x,
			"the server wants the request to be signed with %s; it is signed with %s",
			OBJ_nid2sn(a->digests[0]), EVP_MD_get0_name(plan->md));
}

static enum hf_est_status take_attrs(struct hf_est *x, struct hf_csr_plan *plan)
{
	enum hf_est_status status = check_key(x);
	unsigned i;

	if (!status && plan->md)
		choose_digest(x, plan);
	/* Names of a certificate to be replaced may not change (RFC 7030, section 4.2.2). */
	if (!status && x->attrs->n_rdns && !x->replaced)
		status = take_subject(x, plan);
	for (i = 0; i < x->attrs->n_exts && !status; i++)
		status = take_extension(x, plan, &x->attrs->exts[i]);
	return status;
}

/* ---------------------------------------------------------------- plan */

/* The digest as strong as the key; none of its own for Ed25519. */
static const EVP_MD *usual_digest(EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448"))
		return NULL;
	if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) > 384)
		return EVP_sha512();
	if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) > 256)
		return EVP_sha384();
	return EVP_sha256();
}

enum hf_est_status hf_csr_plan(struct hf_est *x, struct hf_csr_plan *plan)
{
	enum hf_est_status status;

	memset(plan, 0, sizeof(*plan));
	plan->md = usual_digest(x->key);
	if (x->replaced)
		plan->subject = X509_NAME_dup(X509_get_subject_name(x->replaced));
	else if (hf_name_read(x->job->subject, &plan->subject, &x->err))
		return HF_EST_JOB;
	if (!plan->subject)
		return no_memory(x);
	status = own_extensions(x, plan);
	if (!status && x->attrs)
		status = take_attrs(x, plan);
	return status;
}

void hf_csr_finish(struct hf_csr_plan *plan)
{
	X509_NAME_free(plan->subject);
	sk_X509_EXTENSION_pop_free(plan->exts, X509_EXTENSION_free);
	memset(plan, 0, sizeof(*plan));
}

static X509_REQ *unsigned_request(struct hf_est *x, const struct hf_csr_plan *plan,
				  const char *binding)
{
	X509_REQ *req = X509_REQ_new();
	bool ok = req && X509_REQ_set_version(req, 0) &&
		  X509_REQ_set_subject_name(req, plan->subject) && X509_REQ_set_pubkey(req, x->key);

	if (ok && plan->exts)
		ok = X509_REQ_add_extensions(req, plan->exts);
	if (ok && binding)
		ok = X509_REQ_add1_attr_by_NID(req, NID_pkcs9_challengePassword, MBSTRING_ASC,
					       (const unsigned char *)binding, -1);
	if (ok)
		return req;
	X509_REQ_free(req);
	return NULL;
}

enum hf_est_status hf_csr_sign(struct hf_est *x, const struct hf_csr_plan *plan,
			       const char *binding, X509_REQ **out)
{
	X509_REQ *req = unsigned_request(x, plan, binding);
	char why[360];

	*out = NULL;
	if (!req)
		return hf_est_fail(x, HF_EST_INTERNAL, "the request cannot be encoded: %s",
				   hf_key_errors(why, sizeof(why)));
	ERR_clear_error();
	if (X509_REQ_sign(req, x->key, plan->md) <= 0) {
		X509_REQ_free(req);
		return hf_est_fail(x, HF_EST_KEY, "key %s does not sign the request: %s",
				   x->job->key, hf_key_errors(why, sizeof(why)));
	}
	*out = req;
	return HF_EST_OK;
}

size_t hf_csr_bound(struct hf_est *x, const struct hf_csr_plan *plan)
{
	X509_REQ *req = unsigned_request(x, plan, NULL);
	int n = req ? i2d_re_X509_REQ_tbs(req, NULL) : -1, sig = EVP_PKEY_get_size(x->key);

	X509_REQ_free(req);
	/* the attribute with its 255 bytes, the algorithm, and the heads of everything */
	return n < 0 || sig <= 0 ? 0 : (size_t)n + (size_t)sig + 255 + 160;
}
