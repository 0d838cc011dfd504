/* SPDX-License-Identifier: Apache-2.0 */
#include "est/csrattrs.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>

#include "est/tlv.h"

#define OID_CHALLENGE_PASSWORD "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07"
#define OID_EXTENSION_REQUEST  "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"
#define OID_TEMPLATE	       "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x3d"
#define OID_EXT_TEMPLATE       "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x3e"
#define OID_EC_KEY	       "\x2a\x86\x48\xce\x3d\x02\x01"
#define OID_RSA_KEY	       "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"

static enum hf_rc broken(struct hf_err *e, const char *what)
{
	return hf_fail(e, HF_PROTOCOL, "/csrattrs: %s is broken", what);
}

static ASN1_OBJECT *object(const struct hf_tlv *t)
{
	const unsigned char *p = t->all.p;

	return t->tag == HF_TLV_OID ? d2i_ASN1_OBJECT(NULL, &p, (long)t->all.n) : NULL;
}

static int nid(const struct hf_tlv *t)
{
	ASN1_OBJECT *o = object(t);
	int n = o ? OBJ_obj2nid(o) : NID_undef;

	ASN1_OBJECT_free(o);
	return n;
}

/* ---------------------------------------------------------------- extensions */

static enum hf_rc read_extension(struct hf_csrattrs *a, struct hf_view in, bool may_lack_value,
				 struct hf_err *e)
{
	struct hf_csr_ext *x = &a->exts[a->n_exts];
	struct hf_tlv t;
	unsigned i;

	if (a->n_exts == HF_CSRATTRS_EXTS_MAX)
		return hf_fail(e, HF_PROTOCOL, "/csrattrs: more than %u extensions",
			       HF_CSRATTRS_EXTS_MAX);
	memset(x, 0, sizeof(*x));
	if (!hf_tlv_want(&in, HF_TLV_OID, &t))
		return broken(e, "an extension");
	x->type = object(&t);
	a->n_exts++; /* from here on it is freed with the rest */
	if (!x->type)
		return broken(e, "an extension");
	if (hf_tlv_want(&in, HF_TLV_BOOLEAN, &t))
		x->critical = t.body.n && t.body.p[0];
	if (hf_tlv_want(&in, HF_TLV_OCTETS, &t)) {
		x->value = ASN1_OCTET_STRING_new();
		if (!x->value || !ASN1_OCTET_STRING_set(x->value, t.body.p, (int)t.body.n))
			return hf_fail(e, HF_NO_MEMORY, "out of memory");
	} else if (!may_lack_value) {
		return broken(e, "an extension");
	}
	if (in.n)
		return broken(e, "an extension");
	for (i = 0; i + 1 < a->n_exts; i++)
		if (!OBJ_cmp(a->exts[i].type, x->type))
			return hf_fail(e, HF_PROTOCOL, "/csrattrs: an extension is there twice");
	return HF_OK;
}

/* The SET of an attribute that has one Extensions value. */
static enum hf_rc read_extensions(struct hf_csrattrs *a, struct hf_view set, bool template,
				  struct hf_err *e)
{
	struct hf_tlv list, t;

	while (set.n) { /* RFC 9908 allows one; one extension each in several is what some send */
		if (!hf_tlv_want(&set, HF_TLV_SEQUENCE, &list))
			return broken(e, "the list of extensions");
		while (list.body.n)
			if (!hf_tlv_want(&list.body, HF_TLV_SEQUENCE, &t))
				return broken(e, "the list of extensions");
			else if (read_extension(a, t.body, template, e))
				return e->rc;
	}
	return HF_OK;
}

/* ---------------------------------------------------------------- the template of RFC 9908 */

static enum hf_rc read_rdn(struct hf_csrattrs *a, struct hf_view in, int set, struct hf_err *e)
{
	struct hf_csr_rdn *r = &a->rdns[a->n_rdns];
	const unsigned char *p;
	struct hf_tlv t;

	if (a->n_rdns == HF_CSRATTRS_RDNS_MAX)
		return hf_fail(e, HF_PROTOCOL, "/csrattrs: a very long subject");
	memset(r, 0, sizeof(*r));
	r->set = set;
	if (!hf_tlv_want(&in, HF_TLV_OID, &t))
		return broken(e, "the subject of the template");
	r->type = object(&t);
	a->n_rdns++;
	if (!r->type)
		return broken(e, "the subject of the template");
	if (!in.n)
		return HF_OK;
	p = in.p;
	r->value = hf_tlv_next(&in, &t) ? d2i_ASN1_TYPE(NULL, &p, (long)t.all.n) : NULL;
	return r->value && !in.n ? HF_OK : broken(e, "the subject of the template");
}

static enum hf_rc read_subject(struct hf_csrattrs *a, struct hf_view in, struct hf_err *e)
{
	struct hf_tlv rdn, t;
	int set = 0;

	for (; in.n; set++) {
		if (!hf_tlv_want(&in, HF_TLV_SET, &rdn))
			return broken(e, "the subject of the template");
		while (rdn.body.n)
			if (!hf_tlv_want(&rdn.body, HF_TLV_SEQUENCE, &t))
				return broken(e, "the subject of the template");
			else if (read_rdn(a, t.body, set, e))
				return e->rc;
	}
	return HF_OK;
}

/* The size of an RSA key is told by a placeholder modulus (RFC 9908, section 3.4). */
static int modulus_bits(struct hf_view bits)
{
	struct hf_tlv seq, n;

	if (!bits.n || bits.p[0]) /* no unused bits */
		return 0;
	bits.p++;
	bits.n--;
	if (!hf_tlv_want(&bits, HF_TLV_SEQUENCE, &seq) ||
	    !hf_tlv_want(&seq.body, HF_TLV_INTEGER, &n))
		return 0;
	while (n.body.n && !n.body.p[0]) {
		n.body.p++;
		n.body.n--;
	}
	return n.body.n > 4096 ? 0 : (int)n.body.n * 8;
}

static void add_key(struct hf_csrattrs *a, struct hf_csr_key key)
{
	if (a->n_keys < HF_CSRATTRS_KEYS_MAX)
		a->keys[a->n_keys++] = key;
}

/* "Any curve" is no curve at all; one that is not known is not that. */
static int curve_of(const struct hf_tlv *oid)
{
	int curve = nid(oid);

	return curve == NID_undef ? -1 : curve;
}

static enum hf_rc read_key(struct hf_csrattrs *a, struct hf_view in, struct hf_err *e)
{
	struct hf_csr_key key = { HF_CSR_OTHER, 0, 0 };
	struct hf_tlv alg, oid, t;

	if (!hf_tlv_want(&in, HF_TLV_SEQUENCE, &alg))
		return broken(e, "the key of the template");
	if (alg.body.n && alg.body.p[0] == HF_TLV_SEQUENCE) { /* tagged explicitly by some */
		in = alg.body;
		if (!hf_tlv_want(&in, HF_TLV_SEQUENCE, &alg))
			return broken(e, "the key of the template");
	}
	if (!hf_tlv_want(&alg.body, HF_TLV_OID, &oid))
		return broken(e, "the key of the template");
	if (HF_TLV_IS(&oid, OID_EC_KEY)) {
		key.type = HF_CSR_EC;
		if (hf_tlv_want(&alg.body, HF_TLV_OID, &t))
			key.curve = curve_of(&t);
	} else if (HF_TLV_IS(&oid, OID_RSA_KEY)) {
		key.type = HF_CSR_RSA;
		if (hf_tlv_want(&in, HF_TLV_BITS, &t))
			key.bits = modulus_bits(t.body);
	}
	add_key(a, key);
	return HF_OK;
}

static enum hf_rc read_template(struct hf_csrattrs *a, struct hf_view set, struct hf_err *e)
{
	struct hf_tlv body, t, attr, oid, values;

	if (!hf_tlv_want(&set, HF_TLV_SEQUENCE, &body) || set.n ||
	    !hf_tlv_want(&body.body, HF_TLV_INTEGER, &t))
		return broken(e, "the template");
	hf_csrattrs_finish(a); /* only the template counts (RFC 9908, section 4) */
	a->template = true;
	if (hf_tlv_want(&body.body, HF_TLV_SEQUENCE, &t) && read_subject(a, t.body, e))
		return e->rc;
	if (hf_tlv_want(&body.body, HF_TLV_CONTEXT(0), &t) && read_key(a, t.body, e))
		return e->rc;
	if (!hf_tlv_want(&body.body, HF_TLV_CONTEXT(1), &t))
		return body.body.n ? broken(e, "the template") : HF_OK;
	while (t.body.n) {
		if (!hf_tlv_want(&t.body, HF_TLV_SEQUENCE, &attr) ||
		    !hf_tlv_want(&attr.body, HF_TLV_OID, &oid) ||
		    !hf_tlv_want(&attr.body, HF_TLV_SET, &values))
			return broken(e, "the template");
		if (HF_TLV_IS(&oid, OID_EXT_TEMPLATE) || HF_TLV_IS(&oid, OID_EXTENSION_REQUEST)) {
			if (read_extensions(a, values.body, HF_TLV_IS(&oid, OID_EXT_TEMPLATE), e))
				return e->rc;
		} else if (HF_TLV_IS(&oid, OID_CHALLENGE_PASSWORD)) {
			a->challenge_password = true;
		} else {
			a->unknown++;
		}
	}
	return body.body.n ? broken(e, "the template") : HF_OK;
}

/* ---------------------------------------------------------------- RFC 7030 */

static void read_signature(struct hf_csrattrs *a, const struct hf_tlv *oid)
{
	int digest = NID_undef, pkey = NID_undef;

	if (OBJ_find_sigid_algs(nid(oid), &digest, &pkey) && digest != NID_undef &&
	    a->n_digests < HF_CSRATTRS_KEYS_MAX)
		a->digests[a->n_digests++] = digest;
	else
		a->unknown++;
}

/* Its values are the curves, or sizes, that will do; none: any. */
static void read_keys(struct hf_csrattrs *a, int type, struct hf_view set)
{
	unsigned before = a->n_keys;
	struct hf_tlv t;

	while (set.n && hf_tlv_next(&set, &t)) {
		struct hf_csr_key key = { type, 0, 0 };

		if (type == HF_CSR_EC && t.tag == HF_TLV_OID)
			key.curve = curve_of(&t);
		else if (type == HF_CSR_RSA && t.tag == HF_TLV_INTEGER && t.body.n <= 3)
			for (; t.body.n; t.body.n--)
				key.bits = key.bits << 8 | *t.body.p++;
		else
			continue;
		add_key(a, key);
	}
	if (a->n_keys == before)
		add_key(a, (struct hf_csr_key){ type, 0, 0 });
}

static enum hf_rc read_attribute(struct hf_csrattrs *a, const struct hf_tlv *oid,
				 struct hf_view set, struct hf_err *e)
{
	if (HF_TLV_IS(oid, OID_CHALLENGE_PASSWORD))
		a->challenge_password = true;
	else if (HF_TLV_IS(oid, OID_EC_KEY))
		read_keys(a, HF_CSR_EC, set);
	else if (HF_TLV_IS(oid, OID_RSA_KEY))
		read_keys(a, HF_CSR_RSA, set);
	else if (HF_TLV_IS(oid, OID_EXTENSION_REQUEST))
		return read_extensions(a, set, false, e);
	else
		read_signature(a, oid);
	return HF_OK;
}

/* Is there a template among the attributes? Then its values are read instead. */
static bool find_template(struct hf_view in, struct hf_view *set)
{
	struct hf_tlv t, oid, values;

	while (in.n && hf_tlv_next(&in, &t))
		if (t.tag == HF_TLV_SEQUENCE && hf_tlv_want(&t.body, HF_TLV_OID, &oid) &&
		    HF_TLV_IS(&oid, OID_TEMPLATE) && hf_tlv_want(&t.body, HF_TLV_SET, &values)) {
			*set = values.body;
			return true;
		}
	return false;
}

enum hf_rc hf_csrattrs_read(struct hf_csrattrs *a, struct hf_view der, struct hf_err *e)
{
	struct hf_tlv list, t, oid, values;
	struct hf_view set;

	memset(a, 0, sizeof(*a));
	if (!hf_tlv_want(&der, HF_TLV_SEQUENCE, &list) || der.n)
		return broken(e, "the answer");
	if (find_template(list.body, &set))
		return read_template(a, set, e);
	while (list.body.n) {
		if (!hf_tlv_next(&list.body, &t))
			return broken(e, "the answer");
		if (t.tag == HF_TLV_OID) {
			if (read_attribute(a, &t, (struct hf_view){ NULL, 0 }, e))
				return e->rc;
			continue;
		}
		if (t.tag != HF_TLV_SEQUENCE || !hf_tlv_want(&t.body, HF_TLV_OID, &oid) ||
		    !hf_tlv_want(&t.body, HF_TLV_SET, &values) || t.body.n)
			return broken(e, "an attribute");
		if (read_attribute(a, &oid, values.body, e))
			return e->rc;
	}
	return HF_OK;
}

void hf_csrattrs_finish(struct hf_csrattrs *a)
{
	unsigned i;

	if (!a)
		return;
	for (i = 0; i < a->n_rdns; i++) {
		ASN1_OBJECT_free(a->rdns[i].type);
		ASN1_TYPE_free(a->rdns[i].value);
	}
	for (i = 0; i < a->n_exts; i++) {
		ASN1_OBJECT_free(a->exts[i].type);
		ASN1_OCTET_STRING_free(a->exts[i].value);
	}
	memset(a, 0, sizeof(*a));
}

char *hf_csr_key_text(const struct hf_csr_key *key, char *out, size_t size)
{
	if (key->type == HF_CSR_EC && key->curve)
		(void)snprintf(out, size, "EC %s",
			       key->curve > 0 ? OBJ_nid2sn(key->curve) : "on an unknown curve");
	else if (key->type == HF_CSR_RSA && key->bits)
		(void)snprintf(out, size, "RSA %d", key->bits);
	else
		(void)hf_copy(out, size,
			      key->type == HF_CSR_EC	? "EC"
			      : key->type == HF_CSR_RSA ? "RSA"
							: "of another kind");
	return out;
}
